//! Digests and HMACs: SM3, and the SHA-2 family, which is the standard's and which every token has beside its SM algorithms.

use cryptoki_sys::CKR_KEY_SIZE_RANGE;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha224, Sha256, Sha384, Sha512};
use sm3::{Digest, Sm3};

use crate::rv::{Result, Rv};

/// Which hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashKind {
    Sm3,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl HashKind {
    /// Bytes of a digest.
    pub(crate) fn digest_bytes(self) -> usize {
        match self {
            Self::Sha224 => 28,
            Self::Sm3 | Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// Does the same with whichever hash it is.
macro_rules! whichever {
    ($family:ident, $value:expr, $inner:ident => $body:expr) => {
        match $value {
            $family::Sm3($inner) => $body,
            $family::Sha224($inner) => $body,
            $family::Sha256($inner) => $body,
            $family::Sha384($inner) => $body,
            $family::Sha512($inner) => $body,
        }
    };
}

/// A digest under way.
#[derive(Clone)]
pub(crate) enum Hash {
    Sm3(Sm3),
    Sha224(Sha224),
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hash {
    pub(crate) fn start(kind: HashKind) -> Self {
        match kind {
            HashKind::Sm3 => Self::Sm3(Sm3::new()),
            HashKind::Sha224 => Self::Sha224(Sha224::new()),
            HashKind::Sha256 => Self::Sha256(Sha256::new()),
            HashKind::Sha384 => Self::Sha384(Sha384::new()),
            HashKind::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        whichever!(Self, self, hash => Digest::update(hash, data));
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        whichever!(Self, self, hash => hash.finalize().to_vec())
    }
}

/// An HMAC under way.
#[derive(Clone)]
pub(crate) enum KeyedHash {
    Sm3(Hmac<Sm3>),
    Sha224(Hmac<Sha224>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

impl KeyedHash {
    pub(crate) fn start(kind: HashKind, key: &[u8]) -> Result<Self> {
        let made = match kind {
            HashKind::Sm3 => Hmac::new_from_slice(key).map(Self::Sm3),
            HashKind::Sha224 => Hmac::new_from_slice(key).map(Self::Sha224),
            HashKind::Sha256 => Hmac::new_from_slice(key).map(Self::Sha256),
            HashKind::Sha384 => Hmac::new_from_slice(key).map(Self::Sha384),
            HashKind::Sha512 => Hmac::new_from_slice(key).map(Self::Sha512),
        };
        made.map_err(|_| Rv(CKR_KEY_SIZE_RANGE))
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        whichever!(Self, self, mac => mac.update(data));
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        whichever!(Self, self, mac => mac.finalize().into_bytes().to_vec())
    }

    /// Is this the tag? The time that it takes does not depend on where they differ.
    pub(crate) fn agrees(self, tag: &[u8]) -> bool {
        whichever!(Self, self, mac => mac.verify_slice(tag).is_ok())
    }
}
