//! The X.509 SIGNED shape: `SEQUENCE { tbs, AlgorithmIdentifier, BIT STRING }`, sm2-with-sm3 or (an instance of suite
//! intl) ecdsa-with-SHA256, the DER signature in the bit string. `openssl asn1parse` and `openssl dgst` alone can check it.
//!
//! Not X.509 certificates. Guards: the content of a document that was read is reachable only by
//! [`Signed::verify`], or by a name that says it is not verified; the algorithm named must be that of the key.

use std::ops::Range;

use der::{Decode as _, Encode as _, Header, Reader as _, SliceReader, Tag, asn1::BitStringRef};

use super::{Document, EncodingError, check_length, decode, encode};
use crate::{
    digest::Digest,
    keys::{ALGORITHM_BYTES, SIGNATURE_DER_BYTES_MAX, Signature, SignatureAlgorithm, SignatureInvalid, Verifier},
};

/// Most bytes that the SIGNED shape adds to its content: outer header, algorithm, bit string.
pub const SIGNED_OVERHEAD_BYTES_MAX: usize = 6 + ALGORITHM_BYTES + 3 + SIGNATURE_DER_BYTES_MAX;

/// A signed document. Reading one says nothing about who signed it: see [`Self::verify`].
pub struct Signed<T: Document> {
    bytes: Vec<u8>,
    tbs_range: Range<usize>,
    tbs: T,
    algorithm: SignatureAlgorithm,
    signature: Signature,
}

impl<T: Document> Signed<T> {
    /// Reads the shape and the content, both strictly; checks no signature.
    pub fn parse(bytes: &[u8]) -> Result<Self, EncodingError> {
        check_length(bytes, T::BYTES_MAX.saturating_add(SIGNED_OVERHEAD_BYTES_MAX))?;
        let mut reader = SliceReader::new(bytes)?;
        let header = Header::decode(&mut reader)?;
        header.tag().assert_eq(Tag::Sequence)?;
        let tbs = reader.tlv_bytes()?;
        let algorithm = SignatureAlgorithm::from_identifier(reader.tlv_bytes()?).ok_or(EncodingError::Algorithm)?;
        let bits = BitStringRef::decode(&mut reader)?;
        reader.finish()?;
        let signature = bits.as_bytes().ok_or(EncodingError::Signature)?;
        let signature = Signature::from_der(signature).map_err(|_| EncodingError::Signature)?;
        let read = Self::assemble(decode(tbs)?, algorithm, &signature)?;
        if read.bytes == bytes { Ok(read) } else { Err(EncodingError::NotCanonical) }
    }

    /// Puts content and signature together; whether they belong together is for [`Self::verify`].
    pub fn assemble(tbs: T, algorithm: SignatureAlgorithm, signature: &Signature) -> Result<Self, EncodingError> {
        let content = encode(&tbs)?;
        let bits = BitStringRef::from_bytes(&signature.to_der())?.to_der()?;
        let value_len = content.len() + ALGORITHM_BYTES + bits.len();
        let mut bytes = Header::new(Tag::Sequence, der::Length::try_from(value_len)?).to_der()?;
        let tbs_range = bytes.len()..bytes.len() + content.len();
        bytes.extend_from_slice(&content);
        bytes.extend_from_slice(algorithm.identifier());
        bytes.extend_from_slice(&bits);
        Ok(Self { bytes, tbs_range, tbs, algorithm, signature: *signature })
    }

    /// The content, if `key` signed it.
    pub fn verify(&self, key: &impl Verifier) -> Result<&T, SignatureInvalid> {
        if key.algorithm() != self.algorithm {
            return Err(SignatureInvalid);
        }
        key.verify(self.tbs_bytes(), &self.signature)?;
        Ok(&self.tbs)
    }

    /// The content by value, if `key` signed it.
    pub fn into_verified(self, key: &impl Verifier) -> Result<T, SignatureInvalid> {
        self.verify(key)?;
        Ok(self.tbs)
    }

    /// The content, for finding out whose key to verify with. Nothing in it is to be believed yet.
    #[must_use]
    pub const fn unverified_tbs(&self) -> &T {
        &self.tbs
    }

    /// What the signature covers.
    #[must_use]
    pub fn tbs_bytes(&self) -> &[u8] {
        &self.bytes[self.tbs_range.clone()]
    }

    /// The whole document.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How it says it is signed.
    #[must_use]
    pub const fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// The signature.
    #[must_use]
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// SM3 of the whole document, signature included.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }
}

impl<T: Document + Clone> Clone for Signed<T> {
    fn clone(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            tbs_range: self.tbs_range.clone(),
            tbs: self.tbs.clone(),
            algorithm: self.algorithm,
            signature: self.signature,
        }
    }
}

/// Equal bytes mean an equal document, and the reverse.
impl<T: Document> PartialEq for Signed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<T: Document> Eq for Signed<T> {}

impl<T: Document> std::fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signed({}, {:?})", T::LABEL, self.digest())
    }
}
