//! Why a certificate is refused.

use super::{CERTIFICATE_BYTES_MAX, COMMON_NAME_BYTES_MAX, SERIAL_BYTES_MAX};
use crate::keys::SignatureInvalid;
use crate::sm2::InvalidPublicKey;

/// Why a certificate is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not sm2-with-sm3.
    #[error("the certificate is not signed with sm2-with-sm3 (1.2.156.10197.1.501)")]
    Algorithm,
    /// No common name, several, or an unreadable one.
    #[error("the subject needs exactly one common name of 1 to {COMMON_NAME_BYTES_MAX} bytes")]
    CommonName,
    /// An extension that must be understood, and is not.
    #[error("the certificate has a critical extension that is not supported")]
    CriticalExtension,
    /// An extension twice.
    #[error("the certificate has an extension twice")]
    DuplicateExtension,
    /// Too late.
    #[error("the certificate was valid to {not_after_ms} ms, it is {now_ms} ms")]
    Expired {
        /// Last second of validity.
        not_after_ms: u64,
        /// The moment asked about.
        now_ms: u64,
    },
    /// The certificate does not say what its key is for.
    #[error("the certificate has no key usage")]
    KeyUsageMissing,
    /// Not DER, not version 3, or bytes after it.
    #[error("not an X.509 version 3 certificate in DER")]
    NotCertificate,
    /// Another key signed it.
    #[error("the certificate was not issued by this key")]
    NotIssuedBy(#[source] SignatureInvalid),
    /// Not one CERTIFICATE block.
    #[error("not a PEM block with the label CERTIFICATE")]
    NotPem,
    /// Too early.
    #[error("the certificate is valid from {not_before_ms} ms, it is {now_ms} ms")]
    NotYetValid {
        /// First moment of validity.
        not_before_ms: u64,
        /// The moment asked about.
        now_ms: u64,
    },
    /// Another algorithm or curve.
    #[error("the subject's key: {0}")]
    PublicKey(#[source] InvalidPublicKey),
    /// Empty or longer than RFC 5280 allows.
    #[error("the serial number has {found} bytes, 1 to {SERIAL_BYTES_MAX} are allowed")]
    Serial {
        /// Bytes in the certificate.
        found: usize,
    },
    /// Not an SM2 signature in DER.
    #[error("the signature field does not hold one SM2 signature in DER")]
    SignatureForm,
    /// Longer than any certificate here.
    #[error("the certificate has {found} bytes, at most {CERTIFICATE_BYTES_MAX} are accepted")]
    TooLong {
        /// [`CERTIFICATE_BYTES_MAX`].
        limit: usize,
        /// Bytes given.
        found: usize,
    },
    /// A date before 1970 or beyond all bounds.
    #[error("the validity of the certificate is out of bounds")]
    Validity,
}
