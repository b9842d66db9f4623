//! The one way from a document to bytes and back: strict DER, labels, size limits, and the X.509
//! SIGNED shape.
//!
//! Not the documents themselves. Guards: one encoding per value. What is read is encoded again and
//! compared, so that two byte strings never mean the same document; the length limit comes before
//! any parsing; unknown labels and versions are refused.

mod signed;
mod text;

pub use signed::{SIGNED_OVERHEAD_BYTES_MAX, Signed};
pub use text::{InvalidText, check_text};

use der::{Decode as _, SliceReader, Tag, asn1::Utf8StringRef};

/// Longest label of any document, in bytes.
pub const LABEL_BYTES_MAX: usize = 64;

/// A document: a DER SEQUENCE whose first field is a UTF8String label with the version in it
/// (`KMS-APPROVE/1`), which separates what is signed as one thing from what is signed as another.
///
/// Implementers derive [`der::Sequence`]. Rules for the fields: times are INTEGER milliseconds; no
/// DEFAULT, no SET OF, no extension markers; OPTIONAL only with a context tag; lists sorted by a
/// stated key; text passes [`check_text`]; BIT STRINGs have 0 unused bits.
pub trait Document: der::Encode + for<'a> der::Decode<'a, Error = der::Error> {
    /// The label with its version.
    const LABEL: &'static str;
    /// Longest encoding accepted or made, in bytes.
    const BYTES_MAX: usize;

    /// The label that this value carries in its first field.
    fn label(&self) -> &str;
}

/// Encodes a document.
pub fn encode<D: Document>(document: &D) -> Result<Vec<u8>, EncodingError> {
    if document.label() != D::LABEL {
        return Err(EncodingError::label::<D>(document.label()));
    }
    let bytes = document.to_der()?;
    check_length(&bytes, D::BYTES_MAX)?;
    Ok(bytes)
}

/// Decodes exactly one document. In this order: length limit, label, fields, encode again, compare.
pub fn decode<D: Document>(bytes: &[u8]) -> Result<D, EncodingError> {
    check_length(bytes, D::BYTES_MAX)?;
    let label = peek_label(bytes)?;
    if label != D::LABEL {
        return Err(EncodingError::label::<D>(label));
    }
    let document = D::from_der(bytes)?;
    if document.to_der()? != bytes {
        return Err(EncodingError::NotCanonical);
    }
    Ok(document)
}

/// The bytes that a signature of `tbs` covers.
pub fn tbs_bytes<T: Document>(tbs: &T) -> Result<Vec<u8>, EncodingError> {
    encode(tbs)
}

/// The label of a document, to choose which type to decode. The rest is not looked at.
pub fn peek_label(bytes: &[u8]) -> Result<&str, EncodingError> {
    let mut reader = SliceReader::new(bytes)?;
    let header = der::Header::decode(&mut reader)?;
    header.tag().assert_eq(Tag::Sequence)?;
    Ok(Utf8StringRef::decode(&mut reader)?.as_str())
}

/// Why bytes are not this document, or this document has no bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// The signature algorithm is neither sm2-with-sm3 nor ecdsa-with-SHA256 with absent parameters.
    #[error("the signature algorithm is neither sm2-with-sm3 nor ecdsa-with-SHA256 without parameters")]
    Algorithm,
    /// Not DER, or not the fields of this document.
    #[error("not the DER form of this document: {0}")]
    Der(#[from] der::Error),
    /// Another document, another version, or none of ours.
    #[error("expected a document labelled {expected}, found {found:?}")]
    Label {
        /// The label of the type asked for.
        expected: &'static str,
        /// The label in the bytes, at most [`LABEL_BYTES_MAX`] bytes of it.
        found: Box<str>,
    },
    /// It parses, but would be written with other bytes.
    #[error("the bytes are not the one encoding of this document")]
    NotCanonical,
    /// The BIT STRING does not hold one DER signature with 0 unused bits.
    #[error("the signature field does not hold one signature r, s in DER")]
    Signature,
    /// Longer than the document's limit.
    #[error("the document has {found} bytes, at most {limit} are accepted")]
    TooLong {
        /// `BYTES_MAX` of the document, and the signature where there is one.
        limit: usize,
        /// Bytes given.
        found: usize,
    },
}

impl EncodingError {
    fn label<D: Document>(found: &str) -> Self {
        let end = (0..=found.len().min(LABEL_BYTES_MAX)).rev().find(|end| found.is_char_boundary(*end)).unwrap_or(0);
        Self::Label { expected: D::LABEL, found: found[..end].into() }
    }
}

fn check_length(bytes: &[u8], limit: usize) -> Result<(), EncodingError> {
    if bytes.len() <= limit { Ok(()) } else { Err(EncodingError::TooLong { limit, found: bytes.len() }) }
}
