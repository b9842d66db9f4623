//! X.509 certificates on SM2 keys (GM/T 0015): only what the KMS pins and compares.
//!
//! Not a path validator: a certificate counts because a ceremony pinned its bytes. Guards: the key is an
//! SM2 key on its curve, and times and usages are read once, here.

use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::sm2::{PublicKey, Signature, SignatureInvalid};

/// Longest certificate accepted, in bytes.
pub const CERTIFICATE_BYTES_MAX: usize = 4096;

/// OID of sm2-with-sm3 (GM/T 0006).
const SM2_WITH_SM3: &str = "1.2.156.10197.1.501";

/// A parsed SM2 certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    subject: String,
    not_before_ms: u64,
    not_after_ms: u64,
    key: PublicKey,
    signs: bool,
    encrypts: bool,
}

/// Why a certificate is of no use here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// Longer than the limit.
    #[error("{found} bytes; at most {max} are read")]
    TooLong {
        /// Bytes given.
        found: usize,
        /// Limit.
        max: usize,
    },
    /// Not one X.509 certificate in DER.
    #[error("not one X.509 certificate in DER")]
    Malformed,
    /// The public key is not an SM2 key.
    #[error("its key is not an SM2 key on the recommended curve")]
    NotSm2,
    /// Signed with another algorithm than sm2-with-sm3.
    #[error("it is signed with {found}, not with sm2-with-sm3 (1.2.156.10197.1.501)")]
    Algorithm {
        /// OID found.
        found: String,
    },
    /// A validity time before 1970.
    #[error("its validity lies before 1970")]
    Time,
    /// The issuer's signature does not verify.
    #[error("the issuer's signature does not verify")]
    Signature,
}

impl Certificate {
    /// Reads one DER certificate. The issuer's signature is not checked: see [`Certificate::verify_issued_by`].
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let parsed = parse(der)?;
        let key = PublicKey::from_spki_der(parsed.public_key().raw).map_err(|_| CertificateError::NotSm2)?;
        let usage = parsed.key_usage().map_err(|_| CertificateError::Malformed)?;
        let signs = usage.as_ref().is_some_and(|u| u.value.digital_signature());
        let encrypts = usage.as_ref().is_some_and(|u| u.value.key_encipherment() || u.value.data_encipherment());
        let ms = |seconds: i64| u64::try_from(seconds).map(|s| s * 1000).map_err(|_| CertificateError::Time);
        Ok(Self {
            subject: parsed.subject().to_string(),
            not_before_ms: ms(parsed.validity().not_before.timestamp())?,
            not_after_ms: ms(parsed.validity().not_after.timestamp())?,
            key,
            signs,
            encrypts,
        })
    }

    /// Checks the sm2-with-sm3 signature of the issuer's key over the certificate.
    pub fn verify_issued_by(der: &[u8], issuer: &PublicKey) -> Result<(), CertificateError> {
        let parsed = parse(der)?;
        let signature = Signature::from_der(&parsed.signature_value.data).map_err(|_| CertificateError::Signature)?;
        issuer
            .verify(parsed.tbs_certificate.as_ref(), &signature)
            .map_err(|_: SignatureInvalid| CertificateError::Signature)
    }

    /// Subject as text.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// First moment of validity (ms since 1970).
    pub fn not_before_ms(&self) -> u64 {
        self.not_before_ms
    }

    /// Last moment of validity (ms since 1970).
    pub fn not_after_ms(&self) -> u64 {
        self.not_after_ms
    }

    /// The key it is about.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// Key usage digitalSignature.
    pub fn may_sign(&self) -> bool {
        self.signs
    }

    /// Key usage keyEncipherment or dataEncipherment.
    pub fn may_encrypt(&self) -> bool {
        self.encrypts
    }
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    if der.len() > CERTIFICATE_BYTES_MAX {
        return Err(CertificateError::TooLong { found: der.len(), max: CERTIFICATE_BYTES_MAX });
    }
    let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
    if !rest.is_empty() {
        return Err(CertificateError::Malformed);
    }
    let oid = parsed.signature_algorithm.algorithm.to_id_string();
    if oid == SM2_WITH_SM3 { Ok(parsed) } else { Err(CertificateError::Algorithm { found: oid }) }
}
