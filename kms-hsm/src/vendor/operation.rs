//! What the KMS does with a mechanism, and what that is called in a map of either suite.
//!
//! One operation, one number, one name per suite. Guards: a name of the other suite is unknown, so a
//! map cannot mix the two.

use super::Suite;

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
    /// Block cipher, block by block: wraps where the make has no key wrap, and keeps data keys where it has no GCM;
    /// else probe and doctor only. Never with a master.
    Ecb,
    /// GCM with the caller's nonce.
    Gcm,
    /// HMAC.
    Hmac,
    /// Generation of the HMAC key.
    HmacKeyGen,
    /// Generation of a 16-byte block cipher key.
    KeyGen,
    /// Wrapping of one 16-byte key under another.
    KeyWrap,
    /// MAC with the block cipher; probe only.
    Mac,
    /// Unwrapping with a private key, where that is not the number of [`Self::Seal`].
    Open,
    /// Generation of a key pair that signs.
    PairGen,
    /// Encryption to a public key: wraps, unwraps.
    Seal,
    /// Generation of a key pair that opens what is sealed, where the pairs that sign are of another kind.
    SealPairGen,
    /// Signature over the ready 32-byte value (SM2: `e`).
    Sign,
    /// [`Self::Diversify`] with SM1 masters.
    Sm1Diversify,
    /// SM1, block by block; doctor only.
    Sm1Ecb,
    /// Generation of an SM1 key.
    Sm1KeyGen,
    /// XOR of keys with keys, inside the token.
    XorKeys,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 21] = [
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
        Self::Open,
        Self::PairGen,
        Self::Seal,
        Self::SealPairGen,
        Self::Sign,
        Self::Sm1Diversify,
        Self::Sm1Ecb,
        Self::Sm1KeyGen,
        Self::XorKeys,
    ];

    /// The names in a map of this suite; the first is the one for reports. None: not of this suite.
    #[must_use]
    pub const fn names(self, suite: Suite) -> &'static [&'static str] {
        let (sm, intl): (&[&str], &[&str]) = match self {
            Self::Cbc => (&["sm4-cbc"], &["aes-cbc"]),
            Self::CbcPad => (&["sm4-cbc-pad"], &["aes-cbc-pad"]),
            Self::Ctr => (&["sm4-ctr"], &["aes-ctr"]),
            Self::Digest => (&["sm3"], &["sha256"]),
            Self::Diversify => (&["diversify"], &["diversify"]),
            Self::Ecb => (&["sm4-ecb"], &["aes-ecb"]),
            Self::Gcm => (&["sm4-gcm"], &["aes-gcm"]),
            // Few makes number HMAC-SM3; SHA-256 has the standard's number everywhere.
            Self::Hmac => (&["hmac-sm3", "hmac-sha256"], &["hmac-sha256"]),
            Self::HmacKeyGen => (&["hmac-key-gen"], &["hmac-key-gen"]),
            Self::KeyGen => (&["sm4-key-gen"], &["aes-key-gen"]),
            Self::KeyWrap => (&["sm4-key-wrap"], &["aes-key-wrap"]),
            Self::Mac => (&["sm4-mac"], &["aes-mac"]),
            Self::Open => (&["sm2-unwrap"], &[]),
            Self::PairGen => (&["sm2-key-pair-gen"], &["ec-key-pair-gen"]),
            Self::Seal => (&["sm2-encrypt"], &["rsa-oaep"]),
            Self::SealPairGen => (&[], &["rsa-key-pair-gen"]),
            Self::Sign => (&["sm2-sign"], &["ecdsa"]),
            Self::Sm1Diversify => (&["sm1-diversify"], &[]),
            Self::Sm1Ecb => (&["sm1-ecb"], &[]),
            Self::Sm1KeyGen => (&["sm1-key-gen"], &[]),
            Self::XorKeys => (&["xor-keys"], &["xor-keys"]),
        };
        match suite {
            Suite::Intl => intl,
            Suite::Sm => sm,
        }
    }

    /// The name for reports.
    #[must_use]
    pub fn name(self, suite: Suite) -> &'static str {
        self.names(suite).first().copied().unwrap_or("an operation of the other suite")
    }

    /// The operation of that name in a map of this suite.
    #[must_use]
    pub fn named(suite: Suite, name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.names(suite).contains(&name))
    }

    /// Whether it is one with SM1 keys.
    pub(super) const fn is_sm1(self) -> bool {
        matches!(self, Self::Sm1Diversify | Self::Sm1Ecb | Self::Sm1KeyGen)
    }

    /// The one number that the standard itself sets to zero: CKM_RSA_PKCS_KEY_PAIR_GEN.
    pub(super) const fn may_be_zero(self) -> bool {
        matches!(self, Self::SealPairGen)
    }
}
