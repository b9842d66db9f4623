//! SM2 on the curve of GM/T 0003.5: keys, signatures (0003.2) and encryption (0003.4, DER of GM/T 0009 §7.2).

use der::{Decode, Encode};
use getrandom::SysRng;
use sm2::{
    PublicKey, SecretKey,
    dsa::{
        Signature, SigningKey, VerifyingKey,
        signature::hazmat::{PrehashVerifier, RandomizedPrehashSigner},
    },
    elliptic_curve::{Generate, point::AffineCoordinates},
    pke::{Cipher, DecryptingKey, EncryptingKey, Mode},
};
use sm3::{Digest, Sm3};
use zeroize::Zeroizing;

use cryptoki_sys::{
    CKA_EC_POINT, CKR_ATTRIBUTE_VALUE_INVALID, CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_INVALID, CKR_FUNCTION_FAILED,
    CKR_KEY_TYPE_INCONSISTENT, CKR_MECHANISM_PARAM_INVALID, CKR_RANDOM_NO_RNG,
};

use crate::{
    object::Object,
    profile::{CiphertextForm, SignatureForm},
    rv::{Result, Rv, ensure},
    secret::Secret,
};

/// DER of the OID 1.2.156.10197.1.301 (GM/T 0006): CKA_EC_PARAMS of every SM2 key.
pub(crate) const EC_PARAMS: &[u8] = &[0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d];
/// r ‖ s.
const SIGNATURE_BYTES: usize = 64;
/// DER of r and s: two INTEGERs of at most 33 bytes.
const SIGNATURE_DER_BYTES_MAX: usize = 72;
/// 04 ‖ x ‖ y.
pub(crate) const POINT_BYTES: usize = 65;
/// The signer ID that GM/T 0009 §10 gives to those who agreed on none.
pub(crate) const DEFAULT_SIGNER_ID: &[u8] = b"1234567812345678";
/// Longest signer ID.
pub(crate) const SIGNER_ID_BYTES_MAX: usize = 256;
/// Longest message of one SM2 encryption; longer ones are not keys.
const MESSAGE_BYTES_MAX: usize = 4096;

/// a ‖ b ‖ xG ‖ yG of GM/T 0003.5, as they go into Z (GM/T 0003.2 §5.5).
const CURVE: [u8; 128] = *b"\xff\xff\xff\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xfc\
\x28\xe9\xfa\x9e\x9d\x9f\x5e\x34\x4d\x5a\x9e\x4b\xcf\x65\x09\xa7\xf3\x97\x89\xf5\x15\xab\x8f\x92\xdd\xbc\xbd\x41\x4d\x94\x0e\x93\
\x32\xc4\xae\x2c\x1f\x19\x81\x19\x5f\x99\x04\x46\x6a\x39\xc9\x94\x8f\xe3\x0b\xbf\xf2\x66\x0b\xe1\x71\x5a\x45\x89\x33\x4c\x74\xc7\
\xbc\x37\x36\xa2\xf4\xf6\x77\x9c\x59\xbd\xce\xe3\x6b\x69\x21\x53\xd0\xa9\x87\x7c\xc6\x2a\x47\x40\x02\xdf\x32\xe5\x21\x39\xf0\xa0";

/// A new private key and its public point.
pub(crate) fn generate() -> Result<(Secret, [u8; POINT_BYTES])> {
    let key = SecretKey::try_generate_from_rng(&mut SysRng).map_err(|_| Rv(CKR_RANDOM_NO_RNG))?;
    let mut bytes = key.to_bytes();
    let secret = Secret::copy_of(&bytes);
    zeroize::Zeroize::zeroize(bytes.as_mut_slice());
    Ok((secret, encode_point(&key.public_key())?))
}

/// The public point of a private key given from outside.
pub(crate) fn point_of_private(value: &Secret) -> Result<[u8; POINT_BYTES]> {
    let key = SecretKey::from_slice(value.expose()).map_err(|_| Rv(CKR_ATTRIBUTE_VALUE_INVALID))?;
    encode_point(&key.public_key())
}

/// Reads CKA_EC_POINT: the DER OCTET STRING of PKCS#11 2.40 §2.3.3, or the bare 65 bytes that some tokens use.
pub(crate) fn parse_point(given: &[u8]) -> Result<[u8; POINT_BYTES]> {
    let bare = match given {
        [0x04, 0x41, point @ ..] if point.len() == POINT_BYTES => point,
        point => point,
    };
    let key = PublicKey::from_sec1_bytes(bare).map_err(|_| Rv(CKR_ATTRIBUTE_VALUE_INVALID))?;
    ensure(bare.len() == POINT_BYTES, CKR_ATTRIBUTE_VALUE_INVALID)?;
    encode_point(&key)
}

/// CKA_EC_POINT as the token stores it: DER OCTET STRING.
pub(crate) fn der_point(point: &[u8; POINT_BYTES]) -> Box<[u8]> {
    [&[0x04, 0x41], point.as_slice()].concat().into()
}

/// The public point of a public or private key object.
pub(crate) fn point_of(key: &Object) -> Result<[u8; POINT_BYTES]> {
    parse_point(key.attrs().bytes(CKA_EC_POINT).ok_or(Rv(CKR_KEY_TYPE_INCONSISTENT))?)
}

/// Z = SM3(ENTL ‖ ID ‖ a ‖ b ‖ xG ‖ yG ‖ xA ‖ yA) (GM/T 0003.2 §5.5).
pub(crate) fn identity_digest(point: &[u8; POINT_BYTES], id: &[u8]) -> Result<[u8; 32]> {
    let bits = u16::try_from(id.len() * 8).map_err(|_| Rv(CKR_MECHANISM_PARAM_INVALID))?;
    let digest = Sm3::new().chain_update(bits.to_be_bytes()).chain_update(id).chain_update(CURVE);
    Ok(digest.chain_update(&point[1..]).finalize().into())
}

/// Signs e. The nonce is derived from key, e and fresh randomness; the standard's rare retries are made here.
pub(crate) fn sign(key: &Object, e: &[u8; 32], form: SignatureForm) -> Result<Vec<u8>> {
    let secret = private_key(key)?;
    // Z is not used for raw e; the ID only completes the type.
    let signer = SigningKey::new("", &secret).map_err(|_| Rv(CKR_FUNCTION_FAILED))?;
    for _ in 0..8 {
        let attempt: std::result::Result<Signature, _> = signer.sign_prehash_with_rng(&mut SysRng, e);
        if let Ok(signature) = attempt {
            return Ok(match form {
                SignatureForm::Pair => signature.to_vec(),
                SignatureForm::Der => signature.to_der().as_bytes().to_vec(),
            });
        }
    }
    Err(Rv(CKR_RANDOM_NO_RNG))
}

/// Length of a signature; the greatest, for DER.
pub(crate) fn signature_length(form: SignatureForm) -> usize {
    match form {
        SignatureForm::Pair => SIGNATURE_BYTES,
        SignatureForm::Der => SIGNATURE_DER_BYTES_MAX,
    }
}

/// Is this a signature over e?
pub(crate) fn verify(key: &Object, e: &[u8; 32], signature: &[u8], form: SignatureForm) -> Result<bool> {
    let verifier = VerifyingKey::new("", public_key(key)?).map_err(|_| Rv(CKR_FUNCTION_FAILED))?;
    let parsed = match form {
        SignatureForm::Pair => Signature::from_slice(signature),
        SignatureForm::Der => Signature::from_der(signature),
    };
    let Ok(signature) = parsed else { return Ok(false) };
    Ok(verifier.verify_prehash(e, &signature).is_ok())
}

/// Encrypts. DER gets a constant length: C1 is drawn until both its coordinates have their top bit set, so that each is a
/// 33-byte INTEGER. A caller that asks for the length first (PKCS#11 2.40 §5.2) then gets the exact one, at the price of
/// four draws on average and two bits of the nonce.
pub(crate) fn encrypt(key: &Object, message: &[u8], form: CiphertextForm) -> Result<Vec<u8>> {
    let length = ciphertext_length(message.len(), form).ok_or(Rv(CKR_DATA_LEN_RANGE))?;
    let key = EncryptingKey::new(public_key(key)?);
    loop {
        let cipher = key.encrypt_cipher::<_, Sm3>(&mut SysRng, message).map_err(|_| Rv(CKR_RANDOM_NO_RNG))?;
        if form == CiphertextForm::C1C3C2 {
            return cipher.to_vec(Mode::C1C3C2, false).map_err(|_| Rv(CKR_FUNCTION_FAILED));
        }
        let c1 = cipher.c1();
        if c1.x()[0] >= 0x80 && c1.y()[0] >= 0x80 {
            let der = cipher.to_der().map_err(|_| Rv(CKR_FUNCTION_FAILED))?;
            ensure(der.len() == length, CKR_FUNCTION_FAILED)?;
            return Ok(der);
        }
    }
}

/// Length of [`encrypt`]'s result; `None` for messages that it does not take.
pub(crate) fn ciphertext_length(message: usize, form: CiphertextForm) -> Option<usize> {
    if message == 0 || message > MESSAGE_BYTES_MAX {
        return None;
    }
    if form == CiphertextForm::C1C3C2 {
        return Some(POINT_BYTES + 32 + message);
    }
    let header = |length: usize| match length {
        0..0x80 => 2,
        0x80..0x100 => 3,
        _ => 4,
    };
    // Two INTEGERs of 33 bytes, an OCTET STRING of 32, one of the message's length.
    let inner = 2 * 35 + 34 + header(message) + message;
    Some(header(inner) + inner)
}

/// Decrypts strict DER, or C1 ‖ C3 ‖ C2 with an uncompressed C1. Every failure is the same failure.
pub(crate) fn decrypt(key: &Object, ciphertext: &[u8], form: CiphertextForm) -> Result<Zeroizing<Vec<u8>>> {
    let invalid = Rv(CKR_ENCRYPTED_DATA_INVALID);
    let cipher = match form {
        CiphertextForm::Der => Cipher::from_der(ciphertext).map_err(|_| invalid)?,
        CiphertextForm::C1C3C2 => {
            ensure(ciphertext.first() == Some(&4) && ciphertext.len() > POINT_BYTES + 32, CKR_ENCRYPTED_DATA_INVALID)?;
            Cipher::from_slice(ciphertext, Mode::C1C3C2).map_err(|_| invalid)?
        }
    };
    ensure((1..=MESSAGE_BYTES_MAX).contains(&cipher.c2().len()), CKR_ENCRYPTED_DATA_INVALID)?;
    let key = DecryptingKey::new(private_key(key)?);
    key.decrypt_cipher::<Sm3>(&cipher).map(Zeroizing::new).map_err(|_| invalid)
}

fn private_key(key: &Object) -> Result<SecretKey> {
    SecretKey::from_slice(key.secret()?.expose()).map_err(|_| Rv(CKR_KEY_TYPE_INCONSISTENT))
}

fn public_key(key: &Object) -> Result<PublicKey> {
    PublicKey::from_sec1_bytes(&point_of(key)?).map_err(|_| Rv(CKR_KEY_TYPE_INCONSISTENT))
}

fn encode_point(key: &PublicKey) -> Result<[u8; POINT_BYTES]> {
    (&*key.to_sec1_bytes()).try_into().map_err(|_| Rv(CKR_FUNCTION_FAILED))
}
