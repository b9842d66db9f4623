//! Key bytes: boxed, wiped on drop, never printed.
//!
//! Guards: secrets are created in place and not moved by value, because a move leaves a copy that nothing wipes.

use std::{fs::OpenOptions, io::Write};

use cryptoki_sys::{CKR_DEVICE_MEMORY, CKR_RANDOM_NO_RNG, CKR_RANDOM_SEED_NOT_SUPPORTED};
use zeroize::Zeroize;

use crate::rv::{Result, Rv};

/// Secret bytes of a fixed length. No `Debug`, no `Clone`: sharing goes through `Arc`.
pub(crate) struct Secret(Box<[u8]>);

impl Secret {
    /// A copy of bytes that live elsewhere (a caller's template, a decrypted file).
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// `length` zero bytes, to be filled in place through [`Secret::expose_mut`].
    pub(crate) fn zeroed(length: usize) -> Result<Self> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| Rv(CKR_DEVICE_MEMORY))?;
        bytes.resize(length, 0);
        Ok(Self(bytes.into_boxed_slice()))
    }

    /// `length` bytes from the operating system's random source.
    pub(crate) fn random(length: usize) -> Result<Self> {
        let mut secret = Self::zeroed(length)?;
        fill_random(&mut secret.0)?;
        Ok(secret)
    }

    /// The bytes. The name is the warning.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, for filling them in place.
    pub(crate) fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Length in bytes, which is public.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Comparison whose time depends on the lengths only.
    pub(crate) fn equals(&self, other: &[u8]) -> bool {
        let differences = self.0.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
        self.0.len() == other.len() && differences == 0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Gives a seed to the operating system's random source, which mixes it in and does not rely on it.
pub(crate) fn stir_random(seed: &[u8]) -> Result<()> {
    let source = OpenOptions::new().write(true).open("/dev/urandom");
    source.and_then(|mut source| source.write_all(seed)).map_err(|_| Rv(CKR_RANDOM_SEED_NOT_SUPPORTED))
}

/// Fills `bytes` from the operating system's random source.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|_| Rv(CKR_RANDOM_NO_RNG))
}
