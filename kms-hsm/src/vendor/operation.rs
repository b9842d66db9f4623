//! What the KMS does with a mechanism, and what that is called in a map of either suite.
//!
//! One operation, one number, one name per suite. Guards: a name of the other suite is unknown, so a
//! map cannot mix the two.

use std::fmt;

use kms_core::suite::Suite;

/// What the KMS does with a mechanism. One operation, one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Block cipher in CBC mode; probe only.
    Cbc,
    /// The same with padding; probe only.
    CbcPad,
    /// Block cipher in CTR mode; probe only.
    Ctr,
    /// Digest; doctor only.
    Digest,
    /// Child key = encryption of a 16-byte block under the base key (`*_ECB_ENCRYPT_DATA`).
    Diversify,
    /// Block cipher, block by block; probe and doctor only, never with a key of the KMS.
    Ecb,
    /// GCM with the caller's nonce.
    Gcm,
    /// HMAC.
    Hmac,
    /// Generation of the HMAC key.
    HmacKeyGen,
    /// Generation of a 16-byte block cipher key.
    KeyGen,
    /// Key wrap after RFC 3394.
    KeyWrap,
    /// MAC with the block cipher; probe only.
    Mac,
    /// Generation of a key pair that signs.
    PairGen,
    /// Encryption to a public key: wraps, unwraps.
    Seal,
    /// Signature over the ready 32-byte value (SM2: `e`).
    Sign,
    /// XOR of keys with keys, inside the token.
    XorKeys,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 16] = [
        Self::Cbc,
        Self::CbcPad,
        Self::Ctr,
        Self::Digest,
        Self::Diversify,
        Self::Ecb,
        Self::Gcm,
        Self::Hmac,
        Self::HmacKeyGen,
        Self::KeyGen,
        Self::KeyWrap,
        Self::Mac,
        Self::PairGen,
        Self::Seal,
        Self::Sign,
        Self::XorKeys,
    ];

    /// The name in a map of this suite.
    #[must_use]
    pub const fn name(self, suite: Suite) -> &'static str {
        let (sm, intl) = match self {
            Self::Cbc => ("sm4-cbc", "aes-cbc"),
            Self::CbcPad => ("sm4-cbc-pad", "aes-cbc-pad"),
            Self::Ctr => ("sm4-ctr", "aes-ctr"),
            Self::Digest => ("sm3", "sha256"),
            Self::Diversify => ("diversify", "diversify"),
            Self::Ecb => ("sm4-ecb", "aes-ecb"),
            Self::Gcm => ("sm4-gcm", "aes-gcm"),
            Self::Hmac => ("hmac-sm3", "hmac-sha256"),
            Self::HmacKeyGen => ("hmac-key-gen", "hmac-key-gen"),
            Self::KeyGen => ("sm4-key-gen", "aes-key-gen"),
            Self::KeyWrap => ("sm4-key-wrap", "aes-key-wrap"),
            Self::Mac => ("sm4-mac", "aes-mac"),
            Self::PairGen => ("sm2-key-pair-gen", "ec-key-pair-gen"),
            Self::Seal => ("sm2-encrypt", "rsa-oaep"),
            Self::Sign => ("sm2-sign", "ecdsa"),
            Self::XorKeys => ("xor-keys", "xor-keys"),
        };
        match suite {
            Suite::Intl => intl,
            Suite::Sm => sm,
        }
    }

    /// The operation of that name in a map of this suite.
    #[must_use]
    pub fn named(suite: Suite, name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name(suite) == name)
    }

    /// Whether the main work needs it; the others serve probe and doctor.
    #[must_use]
    pub const fn is_needed(self) -> bool {
        !matches!(self, Self::Cbc | Self::CbcPad | Self::Ctr | Self::Digest | Self::Ecb | Self::Mac)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name(Suite::Sm))
    }
}
