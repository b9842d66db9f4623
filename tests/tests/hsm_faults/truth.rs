//! What must come out, from the cipher crates alone.

use aes_kw::{AesKw, InnerInit as _};
use sm4::Sm4;
use sm4::cipher::{BlockCipherEncrypt as _, KeyInit as _};

/// Two components; their XOR is the seed of all masters.
pub(crate) const COMPONENTS: [[u8; 16]; 2] = [[0x11; 16], *b"second component"];

/// The seed.
pub(crate) fn seed() -> [u8; 16] {
    std::array::from_fn(|at| COMPONENTS[0][at] ^ COMPONENTS[1][at])
}

/// SM4 of one block.
pub(crate) fn sm4(key: &[u8; 16], block: &[u8; 16]) -> [u8; 16] {
    let mut out = (*block).into();
    Sm4::new(key.into()).encrypt_block(&mut out);
    out.into()
}

/// The master made from the seed by a block of this byte.
pub(crate) fn master(number: u8) -> [u8; 16] {
    sm4(&seed(), &[number; 16])
}

/// Three bytes of `E_K(0)`.
pub(crate) fn kcv(key: &[u8; 16]) -> [u8; 3] {
    let [a, b, c, ..] = sm4(key, &[0; 16]);
    [a, b, c]
}

/// RFC 3394.
pub(crate) fn wrapped(kek: &[u8; 16], key: &[u8; 16]) -> [u8; 24] {
    let mut out = [0; 24];
    AesKw::inner_init(Sm4::new(kek.into())).wrap_key(key, &mut out).unwrap();
    out
}

/// RFC 3394 backwards; `None` where the blob is not one under this key.
pub(crate) fn unwrapped(kek: &[u8; 16], blob: &[u8]) -> Option<[u8; 16]> {
    let mut out = [0; 16];
    AesKw::inner_init(Sm4::new(kek.into())).unwrap_key(blob, &mut out).ok()?;
    Some(out)
}
