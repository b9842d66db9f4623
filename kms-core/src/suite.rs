//! Suites: which family of algorithms the HSM of an instance works in, and how it wraps card keys.
//!
//! The suite is data, not a fork of the code: it decides what kinds of keys an instance shows and what its card keys
//! are; every document, rule and proof is the same. Officers, custodians, auditors and bureaus sign with SM2, and
//! digests are SM3, in both suites.
//!
//! Stored format: the numbers stand in documents.

use der::Enumerated;

use crate::profile::Algorithm;

/// A family of algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enumerated)]
#[repr(u8)]
pub enum Suite {
    /// SM2, SM3 and SM4 (GM/T).
    Sm = 0,
    /// AES-128, ECDSA on P-256 with SHA-256, RSA-OAEP: HSMs without the SM algorithms.
    Intl = 1,
}

impl Suite {
    /// Every suite.
    pub const ALL: [Self; 2] = [Self::Sm, Self::Intl];

    /// The name in maps and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sm => "sm",
            Self::Intl => "intl",
        }
    }

    /// What it consists of, for people.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Sm => "sm: signatures SM2, sealing SM2, card keys SM4 or SM1",
            Self::Intl => "intl: signatures ECDSA P-256, sealing RSA-OAEP, card keys AES-128",
        }
    }
}

impl std::fmt::Display for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How a transport key wraps one 16-byte card key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enumerated)]
#[repr(u8)]
pub enum KeyWrap {
    /// RFC 3394 (SP 800-38F): authenticated.
    Rfc3394 = 0,
    /// One block of the cipher in ECB mode, which PKCS#11 allows for C_WrapKey: for makes that number no key wrap.
    /// Not authenticated: what binds the blob is the signed Merkle leaf.
    Ecb = 1,
}

/// Longest wrapped key, in bytes.
pub const WRAPPED_BYTES_MAX: usize = 24;

impl KeyWrap {
    /// Every wrap.
    pub const ALL: [Self; 2] = [Self::Rfc3394, Self::Ecb];

    /// Bytes of a wrapped 16-byte key.
    #[must_use]
    pub const fn wrapped_bytes(self) -> usize {
        match self {
            Self::Rfc3394 => 24,
            Self::Ecb => 16,
        }
    }

    /// The name in maps and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rfc3394 => "rfc3394",
            Self::Ecb => "ecb",
        }
    }
}

impl std::fmt::Display for KeyWrap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What the masters and card keys of an HSM are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enumerated)]
#[repr(u8)]
pub enum CardAlgorithm {
    /// GM/T 0002.
    Sm4 = 0,
    /// Not public: only inside HSMs and cards.
    Sm1 = 1,
    /// FIPS 197 with 128-bit keys: stands in suite intl where a profile says SM4.
    Aes128 = 2,
}

impl CardAlgorithm {
    /// The suite it belongs to.
    #[must_use]
    pub const fn suite(self) -> Suite {
        match self {
            Self::Sm4 | Self::Sm1 => Suite::Sm,
            Self::Aes128 => Suite::Intl,
        }
    }

    /// Whether masters of this algorithm can serve a key for which a profile says `wanted`. AES-128 stands in for
    /// SM4 (same key and block length, same derivation by one block); SM1 is itself only.
    #[must_use]
    pub fn serves(self, wanted: Algorithm) -> bool {
        match self {
            Self::Sm4 | Self::Aes128 => wanted == Algorithm::Sm4,
            Self::Sm1 => wanted == Algorithm::Sm1,
        }
    }

    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sm4 => "SM4",
            Self::Sm1 => "SM1",
            Self::Aes128 => "AES-128",
        }
    }
}

impl std::fmt::Display for CardAlgorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
