//! X.509 certificates of SM2 keys (GM/T 0015), as bureaus and instances bring them.
//!
//! Not a PKI: one certificate against one issuer key, no chain building, no revocation; who is
//! trusted is decided by ceremony. Guards: only SM2 keys and sm2-with-sm3 signatures; a certificate
//! says what its key is for; nothing critical is skipped.

mod error;

pub use error::CertificateError;

use der::{Decode as _, Header, Reader as _, SliceReader, Tag, asn1::BitStringRef};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{KeyUsage, ParsedExtension},
    prelude::FromDer as _,
    x509::{AlgorithmIdentifier, X509Version},
};

use crate::{digest::Digest, encoding::check_text, keys::Signature, sm2::PublicKey};

/// Longest certificate, in bytes of DER.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;

/// Longest common name, in bytes.
pub const COMMON_NAME_BYTES_MAX: usize = 128;

/// Longest serial number, in bytes (RFC 5280, 4.1.2.2).
pub const SERIAL_BYTES_MAX: usize = 20;

/// Content octets of the OID 1.2.156.10197.1.501, sm2-with-sm3.
const SM2_WITH_SM3: [u8; 8] = [0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x83, 0x75];

/// AlgorithmIdentifier of it, parameters absent.
const ALGORITHM: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x83, 0x75];

/// AlgorithmIdentifier of it, parameters NULL.
const ALGORITHM_WITH_NULL: [u8; 14] =
    [0x30, 0x0c, 0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x83, 0x75, 0x05, 0x00];

const PEM_LABEL: &str = "CERTIFICATE";

/// A certificate that was read; who signed it is not known before [`Self::verify_issued_by`].
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    subject: String,
    serial: Vec<u8>,
    not_before_ms: u64,
    not_after_ms: u64,
    usage: Usage,
    public_key: PublicKey,
    tbs: Vec<u8>,
    signature: Signature,
}

/// What the key of a certificate may be used for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Usage {
    signing: bool,
    encryption: bool,
    issuing: bool,
}

impl Certificate {
    /// Reads DER, or PEM if the bytes begin with `-----BEGIN`.
    pub fn parse(bytes: &[u8]) -> Result<Self, CertificateError> {
        // PEM is a third longer, and may have lines around it.
        if bytes.len() > 2 * CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::TooLong { limit: CERTIFICATE_BYTES_MAX, found: bytes.len() });
        }
        if !bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Self::from_der(bytes);
        }
        let (label, der) = der::pem::decode_vec(bytes).map_err(|_| CertificateError::NotPem)?;
        if label == PEM_LABEL { Self::from_der(&der) } else { Err(CertificateError::NotPem) }
    }

    /// Reads DER, and nothing after it.
    pub fn from_der(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::TooLong { limit: CERTIFICATE_BYTES_MAX, found: bytes.len() });
        }
        let (rest, parsed) = X509Certificate::from_der(bytes).map_err(|_| CertificateError::NotCertificate)?;
        if !rest.is_empty() || parsed.version() != X509Version::V3 {
            return Err(CertificateError::NotCertificate);
        }
        check_algorithm(&parsed.tbs_certificate.signature)?;
        let (tbs, signature) = split(bytes)?;
        if tbs != parsed.tbs_certificate.as_ref() {
            return Err(CertificateError::NotCertificate);
        }
        let public_key = PublicKey::from_spki_der(parsed.public_key().raw).map_err(CertificateError::PublicKey)?;
        let serial = parsed.tbs_certificate.raw_serial();
        if serial.is_empty() || serial.len() > SERIAL_BYTES_MAX + 1 {
            return Err(CertificateError::Serial { found: serial.len() });
        }
        Ok(Self {
            subject: common_name(&parsed)?,
            serial: serial.to_vec(),
            not_before_ms: milliseconds(parsed.validity().not_before.timestamp())?,
            not_after_ms: milliseconds(parsed.validity().not_after.timestamp())?,
            usage: usage(&parsed)?,
            public_key,
            tbs: tbs.to_vec(),
            signature,
            der: bytes.to_vec(),
        })
    }

    /// The DER bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// One PEM block.
    #[must_use]
    pub fn to_pem(&self) -> String {
        // Within the limits of PEM by construction.
        der::pem::encode_string(PEM_LABEL, der::pem::LineEnding::LF, &self.der).unwrap_or_default()
    }

    /// SM3 of the DER bytes, which people compare.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.der)
    }

    /// The one common name of the subject.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The serial number, big-endian, as encoded.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// First moment of validity, milliseconds since 1970.
    #[must_use]
    pub const fn not_before_ms(&self) -> u64 {
        self.not_before_ms
    }

    /// Last second of validity, milliseconds since 1970.
    #[must_use]
    pub const fn not_after_ms(&self) -> u64 {
        self.not_after_ms
    }

    /// The subject's key.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Verifies the issuer's signature.
    pub fn verify_issued_by(&self, issuer: &PublicKey) -> Result<(), CertificateError> {
        issuer.verify(&self.tbs, &self.signature).map_err(CertificateError::NotIssuedBy)
    }

    /// Refuses a moment outside the validity.
    pub fn check_valid_at(&self, now_ms: u64) -> Result<(), CertificateError> {
        if now_ms < self.not_before_ms {
            return Err(CertificateError::NotYetValid { not_before_ms: self.not_before_ms, now_ms });
        }
        // The last second is valid to its end (RFC 5280, 4.1.2.5).
        if now_ms >= self.not_after_ms.saturating_add(1000) {
            return Err(CertificateError::Expired { not_after_ms: self.not_after_ms, now_ms });
        }
        Ok(())
    }

    /// Whether the key may sign: digitalSignature is set.
    #[must_use]
    pub const fn may_sign(&self) -> bool {
        self.usage.signing
    }

    /// Whether the key may be encrypted to: keyEncipherment or dataEncipherment is set.
    #[must_use]
    pub const fn may_encrypt(&self) -> bool {
        self.usage.encryption
    }

    /// Whether the key may issue certificates: keyCertSign is set.
    #[must_use]
    pub const fn may_issue(&self) -> bool {
        self.usage.issuing
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({}, {:?})", self.subject, self.digest())
    }
}

/// TBS and signature. Everything outside the TBS, which no signature covers, must be written in the one
/// way of DER, so that nobody can make another file of the same certificate.
fn split(bytes: &[u8]) -> Result<(&[u8], Signature), CertificateError> {
    let not_certificate = |_| CertificateError::NotCertificate;
    let mut reader = SliceReader::new(bytes).map_err(not_certificate)?;
    let header = Header::decode(&mut reader).map_err(not_certificate)?;
    header.tag().assert_eq(Tag::Sequence).map_err(not_certificate)?;
    let tbs = reader.tlv_bytes().map_err(not_certificate)?;
    let algorithm = reader.tlv_bytes().map_err(not_certificate)?;
    if algorithm != ALGORITHM && algorithm != ALGORITHM_WITH_NULL {
        return Err(CertificateError::Algorithm);
    }
    let bits = BitStringRef::decode(&mut reader).map_err(|_| CertificateError::SignatureForm)?;
    reader.finish().map_err(not_certificate)?;
    let signature = bits.as_bytes().and_then(|der| Signature::from_der(der).ok());
    Ok((tbs, signature.ok_or(CertificateError::SignatureForm)?))
}

/// Parameters absent (GM/T 0015, RFC 8998) or NULL, which some CAs write.
fn check_algorithm(algorithm: &AlgorithmIdentifier<'_>) -> Result<(), CertificateError> {
    let plain = algorithm.parameters.as_ref().is_none_or(|parameters| parameters.as_null().is_ok());
    if algorithm.algorithm.as_bytes() == SM2_WITH_SM3 && plain { Ok(()) } else { Err(CertificateError::Algorithm) }
}

fn common_name(parsed: &X509Certificate<'_>) -> Result<String, CertificateError> {
    let mut names = parsed.subject().iter_common_name();
    let (Some(name), None) = (names.next(), names.next()) else {
        return Err(CertificateError::CommonName);
    };
    let name = name.as_str().map_err(|_| CertificateError::CommonName)?;
    if name.is_empty() || check_text(name, COMMON_NAME_BYTES_MAX).is_err() {
        return Err(CertificateError::CommonName);
    }
    Ok(name.to_owned())
}

fn milliseconds(seconds: i64) -> Result<u64, CertificateError> {
    u64::try_from(seconds).ok().and_then(|seconds| seconds.checked_mul(1000)).ok_or(CertificateError::Validity)
}

/// The key usage, which must be there; refuses doubled extensions and critical ones not understood.
fn usage(parsed: &X509Certificate<'_>) -> Result<Usage, CertificateError> {
    parsed.extensions_map().map_err(|_| CertificateError::DuplicateExtension)?;
    let mut usage = None;
    for extension in parsed.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::KeyUsage(found) => usage = Some(found),
            ParsedExtension::BasicConstraints(_)
            | ParsedExtension::ExtendedKeyUsage(_)
            | ParsedExtension::SubjectAlternativeName(_) => {}
            _ if extension.critical => return Err(CertificateError::CriticalExtension),
            _ => {}
        }
    }
    let usage: &KeyUsage = usage.ok_or(CertificateError::KeyUsageMissing)?;
    Ok(Usage {
        signing: usage.digital_signature(),
        encryption: usage.key_encipherment() || usage.data_encipherment(),
        issuing: usage.key_cert_sign(),
    })
}
