//! What a public key may be used for: verifying what an instance signs, or being sealed to.
//!
//! Guards: an RSA key never verifies, a P-256 key is never sealed to; fields are private, so nothing makes such a key
//! but a conversion that looked.

use super::{
    InvalidPublicKey, P256Key, POINT_BYTES, PublicKey, RsaKey, Signature, SignatureAlgorithm, SignatureInvalid,
    Verifier,
};
use crate::digest::Digest;
use crate::sm2;
use crate::suite::Suite;

/// A key that verifies what an instance signs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey(Signing);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Signing {
    Sm2(sm2::PublicKey),
    P256(P256Key),
}

impl VerifyingKey {
    /// The suite it belongs to.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        match self.0 {
            Signing::Sm2(_) => Suite::Sm,
            Signing::P256(_) => Suite::Intl,
        }
    }

    /// Its algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> SignatureAlgorithm {
        match self.0 {
            Signing::Sm2(_) => SignatureAlgorithm::Sm2Sm3,
            Signing::P256(_) => SignatureAlgorithm::EcdsaP256Sha256,
        }
    }

    /// What an HSM signs for `message`: `e = SM3(Z ‖ message)` for SM2, SHA-256 for P-256.
    #[must_use]
    pub fn digest_for_signing(&self, message: &[u8]) -> [u8; 32] {
        match &self.0 {
            Signing::Sm2(key) => key.digest_for_signing(message),
            Signing::P256(_) => P256Key::digest(message),
        }
    }

    /// Verifies a signature over `message`.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureInvalid> {
        self.verify_digest(&self.digest_for_signing(message), signature)
    }

    /// Verifies a signature over the value of [`Self::digest_for_signing`].
    pub fn verify_digest(&self, digest: &[u8; 32], signature: &Signature) -> Result<(), SignatureInvalid> {
        match &self.0 {
            Signing::Sm2(key) => key.verify_digest(digest, signature),
            Signing::P256(key) => key.verify_digest(digest, signature),
        }
    }

    /// The one accepted form of a token's signature: P-256 with the low `s`. Says nothing about whether it verifies.
    pub fn normalized(&self, signature: &Signature) -> Result<Signature, SignatureInvalid> {
        match self.0 {
            Signing::Sm2(_) => Ok(*signature),
            Signing::P256(_) => P256Key::normalized(signature),
        }
    }

    /// `04 ‖ x ‖ y`.
    #[must_use]
    pub fn to_sec1(&self) -> [u8; POINT_BYTES] {
        match &self.0 {
            Signing::Sm2(key) => key.to_sec1(),
            Signing::P256(key) => key.to_sec1(),
        }
    }
}

impl Verifier for VerifyingKey {
    fn id(&self) -> Digest {
        Self::id(self)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        Self::algorithm(self)
    }

    fn point(&self) -> [u8; POINT_BYTES] {
        self.to_sec1()
    }

    fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureInvalid> {
        Self::verify(self, message, signature)
    }
}

impl From<sm2::PublicKey> for VerifyingKey {
    fn from(key: sm2::PublicKey) -> Self {
        Self(Signing::Sm2(key))
    }
}

impl From<P256Key> for VerifyingKey {
    fn from(key: P256Key) -> Self {
        Self(Signing::P256(key))
    }
}

impl TryFrom<PublicKey> for VerifyingKey {
    type Error = InvalidPublicKey;

    fn try_from(key: PublicKey) -> Result<Self, InvalidPublicKey> {
        match key {
            PublicKey::Sm2(key) => Ok(key.into()),
            PublicKey::P256(key) => Ok(key.into()),
            PublicKey::Rsa(_) => Err(InvalidPublicKey::Purpose { kind: "RSA", wanted: "verifying" }),
        }
    }
}

impl From<VerifyingKey> for PublicKey {
    fn from(key: VerifyingKey) -> Self {
        match key.0 {
            Signing::Sm2(key) => Self::Sm2(key),
            Signing::P256(key) => Self::P256(key),
        }
    }
}

/// A key that keys are sealed to; its private half lies in an HSM.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingKey(Opening);

#[derive(Clone, PartialEq, Eq)]
enum Opening {
    Sm2(sm2::PublicKey),
    Rsa(RsaKey),
}

impl SealingKey {
    /// The suite it belongs to.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        match self.0 {
            Opening::Sm2(_) => Suite::Sm,
            Opening::Rsa(_) => Suite::Intl,
        }
    }

    /// The SM2 key, if it is one.
    #[must_use]
    pub const fn as_sm2(&self) -> Option<&sm2::PublicKey> {
        match &self.0 {
            Opening::Sm2(key) => Some(key),
            Opening::Rsa(_) => None,
        }
    }

    /// The RSA key, if it is one.
    #[must_use]
    pub const fn as_rsa(&self) -> Option<&RsaKey> {
        match &self.0 {
            Opening::Sm2(_) => None,
            Opening::Rsa(key) => Some(key),
        }
    }
}

impl From<sm2::PublicKey> for SealingKey {
    fn from(key: sm2::PublicKey) -> Self {
        Self(Opening::Sm2(key))
    }
}

impl From<RsaKey> for SealingKey {
    fn from(key: RsaKey) -> Self {
        Self(Opening::Rsa(key))
    }
}

impl TryFrom<PublicKey> for SealingKey {
    type Error = InvalidPublicKey;

    fn try_from(key: PublicKey) -> Result<Self, InvalidPublicKey> {
        match key {
            PublicKey::Sm2(key) => Ok(key.into()),
            PublicKey::Rsa(key) => Ok(key.into()),
            PublicKey::P256(_) => Err(InvalidPublicKey::Purpose { kind: "P-256", wanted: "sealing" }),
        }
    }
}

impl From<SealingKey> for PublicKey {
    fn from(key: SealingKey) -> Self {
        match key.0 {
            Opening::Sm2(key) => Self::Sm2(key),
            Opening::Rsa(key) => Self::Rsa(key),
        }
    }
}

macro_rules! narrowed {
    ($name:ident) => {
        impl $name {
            /// From a SubjectPublicKeyInfo of one of its kinds.
            pub fn from_spki_der(bytes: &[u8]) -> Result<Self, InvalidPublicKey> {
                PublicKey::from_spki_der(bytes)?.try_into()
            }

            /// SubjectPublicKeyInfo.
            #[must_use]
            pub fn to_spki_der(&self) -> Vec<u8> {
                PublicKey::from(self.clone()).to_spki_der()
            }

            /// From one `PUBLIC KEY` block.
            pub fn from_pem(text: &str) -> Result<Self, InvalidPublicKey> {
                PublicKey::from_pem(text)?.try_into()
            }

            /// One `PUBLIC KEY` block.
            #[must_use]
            pub fn to_pem(&self) -> String {
                PublicKey::from(self.clone()).to_pem()
            }

            /// The key id: SM3 of the SubjectPublicKeyInfo.
            #[must_use]
            pub fn id(&self) -> Digest {
                PublicKey::from(self.clone()).id()
            }
        }
    };
}
narrowed!(VerifyingKey);
narrowed!(SealingKey);
