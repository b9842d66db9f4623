//! Public keys of both suites, and signatures under them.
//!
//! A key says by its SubjectPublicKeyInfo what kind it is; what it may be used for is a narrower type: a
//! [`VerifyingKey`] (SM2, P-256) verifies what an instance signs, a [`SealingKey`] (SM2, RSA) is what keys are sealed
//! to. People's and bureaus' own keys are SM2 in both suites ([`crate::sm2`]). Guards: one DER form per key; the
//! algorithm named in a signed document must be that of the key; P-256 accepts one signature per message and nonce.
//!
//! Stored format: changing a DER form needs a migration.

mod p256;
mod purpose;
mod rsa;
mod signature;

use std::fmt;

use der::{
    DecodeValue, Encode as _, EncodeValue, ErrorKind, FixedTag, Header, Length, Reader, Writer, pem::LineEnding,
};

pub use p256::P256Key;
pub use purpose::{SealingKey, VerifyingKey};
pub use rsa::{RSA_BYTES_MAX, RSA_BYTES_MIN, RSA_EXPONENT, RsaKey};
pub use signature::{InvalidSignature, SIGNATURE_DER_BYTES_MAX, Signature, SignatureInvalid};

use crate::digest::Digest;
use crate::sm2;

/// Longest SubjectPublicKeyInfo, in bytes: RSA with 4096 bits.
pub const SPKI_BYTES_MAX: usize = 550;

/// Bytes of an uncompressed point.
pub const POINT_BYTES: usize = 65;

/// PEM label of a public key.
const PEM_LABEL: &str = "PUBLIC KEY";

/// How a signed document was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// sm2-with-sm3, 1.2.156.10197.1.501 (GM/T 0006).
    Sm2Sm3,
    /// ecdsa-with-SHA256, 1.2.840.10045.4.3.2 (RFC 5758) on P-256.
    EcdsaP256Sha256,
}

/// Bytes of either AlgorithmIdentifier.
pub const ALGORITHM_BYTES: usize = 12;

impl SignatureAlgorithm {
    /// The AlgorithmIdentifier, parameters absent.
    #[must_use]
    pub const fn identifier(self) -> &'static [u8; ALGORITHM_BYTES] {
        match self {
            Self::Sm2Sm3 => &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x83, 0x75],
            Self::EcdsaP256Sha256 => &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
        }
    }

    /// The algorithm of an AlgorithmIdentifier in exactly that form.
    #[must_use]
    pub fn from_identifier(bytes: &[u8]) -> Option<Self> {
        [Self::Sm2Sm3, Self::EcdsaP256Sha256].into_iter().find(|algorithm| algorithm.identifier() == bytes)
    }

    /// The algorithm of a name in signed requests.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sm2Sm3, Self::EcdsaP256Sha256].into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The name in signed requests: of our own for SM2, the registered one (RFC 9421 §6.2.2) for P-256.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sm2Sm3 => "sm2-sm3",
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
        }
    }
}

/// A key that verifies: of an instance ([`VerifyingKey`]), of a person or a bureau ([`sm2::PublicKey`]).
pub trait Verifier {
    /// The key id: SM3 of the SubjectPublicKeyInfo.
    fn id(&self) -> Digest;
    /// Its algorithm.
    fn algorithm(&self) -> SignatureAlgorithm;
    /// Its point, `04 ‖ x ‖ y`.
    fn point(&self) -> [u8; POINT_BYTES];
    /// Verifies a signature over `message`.
    fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureInvalid>;
}

impl Verifier for sm2::PublicKey {
    fn id(&self) -> Digest {
        Self::id(self)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Sm2Sm3
    }

    fn point(&self) -> [u8; POINT_BYTES] {
        self.to_sec1()
    }

    fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureInvalid> {
        Self::verify(self, message, signature)
    }
}

/// A public key of any kind. In DER its SubjectPublicKeyInfo.
#[derive(Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// SM2: signs or opens.
    Sm2(sm2::PublicKey),
    /// P-256: signs.
    P256(P256Key),
    /// RSA: opens.
    Rsa(RsaKey),
}

impl PublicKey {
    /// From exactly the bytes that [`Self::to_spki_der`] writes.
    pub fn from_spki_der(bytes: &[u8]) -> Result<Self, InvalidPublicKey> {
        if bytes.len() > SPKI_BYTES_MAX {
            return Err(InvalidPublicKey::TooLong { limit: SPKI_BYTES_MAX, found: bytes.len() });
        }
        if let Some(point) = bytes.strip_prefix(&p256::SPKI_PREFIX) {
            return P256Key::from_sec1(point).map(Self::P256);
        }
        if let Some(point) = bytes.strip_prefix(&sm2::SPKI_PREFIX) {
            return Ok(Self::Sm2(sm2::PublicKey::from_sec1(point)?));
        }
        RsaKey::from_spki_der(bytes).map(Self::Rsa)
    }

    /// SubjectPublicKeyInfo (RFC 5280): uncompressed point, or RSA modulus and exponent.
    #[must_use]
    pub fn to_spki_der(&self) -> Vec<u8> {
        match self {
            Self::Sm2(key) => key.to_spki_der().to_vec(),
            Self::P256(key) => key.to_spki_der(),
            Self::Rsa(key) => key.to_spki_der(),
        }
    }

    /// From one `PUBLIC KEY` block.
    pub fn from_pem(text: &str) -> Result<Self, InvalidPublicKey> {
        let (label, der) = der::pem::decode_vec(text.as_bytes()).map_err(|_| InvalidPublicKey::NotPem)?;
        if label == PEM_LABEL { Self::from_spki_der(&der) } else { Err(InvalidPublicKey::NotPem) }
    }

    /// One `PUBLIC KEY` block, lines of 64, LF.
    #[must_use]
    pub fn to_pem(&self) -> String {
        // At most 550 bytes always fit; an empty string would be refused by every reader.
        der::pem::encode_string(PEM_LABEL, LineEnding::LF, &self.to_spki_der()).unwrap_or_default()
    }

    /// The key id: SM3 of the SubjectPublicKeyInfo.
    #[must_use]
    pub fn id(&self) -> Digest {
        Digest::of(&self.to_spki_der())
    }

    /// What kind of key it is, for people.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sm2(_) => "SM2",
            Self::P256(_) => "P-256",
            Self::Rsa(_) => "RSA",
        }
    }
}

impl From<sm2::PublicKey> for PublicKey {
    fn from(key: sm2::PublicKey) -> Self {
        Self::Sm2(key)
    }
}

macro_rules! in_der {
    ($name:ident) => {
        /// The key id, shortened.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), self.id())
            }
        }

        impl<'a> DecodeValue<'a> for $name {
            type Error = der::Error;

            fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
                let malformed = ErrorKind::Value { tag: Self::TAG };
                if usize::try_from(header.length())? > SPKI_BYTES_MAX {
                    return Err(reader.error(ErrorKind::Length { tag: Self::TAG }));
                }
                let mut bytes = header.to_der()?;
                bytes.extend_from_slice(&reader.read_vec(header.length())?);
                Self::from_spki_der(&bytes).map_err(|_| reader.error(malformed))
            }
        }

        impl EncodeValue for $name {
            fn value_len(&self) -> der::Result<Length> {
                let bytes = self.to_spki_der();
                Length::try_from(spki_value(&bytes)?.len())
            }

            fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
                let bytes = self.to_spki_der();
                writer.write(spki_value(&bytes)?)
            }
        }

        impl der::Sequence<'_> for $name {}
    };
}
in_der!(PublicKey);
in_der!(VerifyingKey);
in_der!(SealingKey);

/// What is inside the outer SEQUENCE of a SubjectPublicKeyInfo.
fn spki_value(bytes: &[u8]) -> der::Result<&[u8]> {
    let mut reader = der::SliceReader::new(bytes)?;
    let header = <Header as der::Decode<'_>>::decode(&mut reader)?;
    header.tag().assert_eq(PublicKey::TAG)?;
    reader.read_slice(header.length())
}

/// Why bytes are not a public key, or not one for this purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPublicKey {
    /// Another algorithm or curve, or parameters written otherwise.
    #[error("not the SubjectPublicKeyInfo of an SM2, P-256 or RSA key in its one form")]
    Algorithm,
    /// A point too short or too long.
    #[error("an uncompressed point has {expected} bytes, not {found}")]
    Length {
        /// Of a point.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// Not a point of the curve, or a coordinate not below p.
    #[error("the point is not on its curve")]
    NotOnCurve,
    /// Not one `PUBLIC KEY` block.
    #[error("not a PEM block with the label {PEM_LABEL}")]
    NotPem,
    /// A compressed or hybrid point.
    #[error("the point is not uncompressed")]
    NotUncompressed,
    /// A key of this kind does something else.
    #[error("an {kind} key is not for {wanted}")]
    Purpose {
        /// Kind of key.
        kind: &'static str,
        /// What it was wanted for.
        wanted: &'static str,
    },
    /// Modulus or exponent outside the limits.
    #[error("an RSA key has 2048 to 4096 bits in whole bytes, an odd modulus and the exponent 65537")]
    Rsa,
    /// Not of this kind.
    #[error(transparent)]
    Sm2(#[from] sm2::InvalidPublicKey),
    /// Longer than any key.
    #[error("the public key has {found} bytes, at most {limit} are accepted")]
    TooLong {
        /// [`SPKI_BYTES_MAX`].
        limit: usize,
        /// Bytes given.
        found: usize,
    },
}
