//! HTTP message signatures (RFC 9421) with the caller's key, in one fixed form.
//!
//! ```text
//! Content-Digest: sm3=:<base64 of SM3(body)>:
//! Signature-Input: kms=("@method" "@path" "@query" "content-digest");created=<s>;expires=<s>;nonce="<32 hex>";keyid="<64 hex>";alg="sm2-sm3"
//! Signature: kms=:<base64 of r ‖ s>:
//! ```
//!
//! `sm3` as a digest algorithm and `sm2-sm3` as a signature algorithm are ours: IANA lists neither. A province of
//! suite intl signs with `alg="ecdsa-p256-sha256"` (RFC 9421 §3.3.4); the name must be that of the key.
//! `keyid` is SM3 of the signer's SubjectPublicKeyInfo; SM2 uses the default signer id. An empty body
//! has a digest too, and a missing query counts as `?`.
//!
//! Guards: there is exactly one form of the three headers for given values; anything else is refused,
//! so no two readers can understand a request differently. Who the key belongs to, and whether the
//! nonce was seen before, is for the server ([`Verified`] hands out both). The signature does not name
//! the instance: what must not move between instances (plans, approvals, batch requests) names its
//! origin itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kms_core::digest::Digest;
use kms_core::id::Nonce;
use kms_core::keys::{Signature, SignatureAlgorithm, Verifier};
use sfv::{BareItem, Dictionary, InnerList, ListEntry, Parser};
use thiserror::Error;

/// Header with the digest of the body.
pub const CONTENT_DIGEST: &str = "Content-Digest";
/// Header with what is signed.
pub const SIGNATURE_INPUT: &str = "Signature-Input";
/// Header with the signature.
pub const SIGNATURE: &str = "Signature";
/// Longest life of a signed request in seconds.
pub const LIFETIME_S_MAX: u64 = 300;
/// How far the caller's clock may be ahead of the server's, in seconds.
pub const CLOCK_SKEW_S_MAX: u64 = 60;
/// Longest of the three header values, in bytes.
pub const HEADER_BYTES_MAX: usize = 512;

const LABEL: &str = "kms";
const COMPONENTS: &str = r#"("@method" "@path" "@query" "content-digest")"#;

/// The three headers of a signed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureHeaders {
    /// Value of [`CONTENT_DIGEST`].
    pub content_digest: String,
    /// Value of [`SIGNATURE_INPUT`].
    pub signature_input: String,
    /// Value of [`SIGNATURE`].
    pub signature: String,
}

impl SignatureHeaders {
    /// Names and values, to put on a request.
    pub fn pairs(&self) -> [(&'static str, &str); 3] {
        [(CONTENT_DIGEST, &self.content_digest), (SIGNATURE_INPUT, &self.signature_input), (SIGNATURE, &self.signature)]
    }
}

/// What a signature says besides the request itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// When it was signed, seconds since 1970 by the caller's clock.
    pub created_s: u64,
    /// From when on it is worthless.
    pub expires_s: u64,
    /// Used once.
    pub nonce: Nonce,
    /// SM3 of the signer's SubjectPublicKeyInfo.
    pub key_id: Digest,
    /// Of that key.
    pub algorithm: SignatureAlgorithm,
}

impl Parameters {
    fn to_text(self) -> String {
        let Self { created_s, expires_s, nonce, key_id, algorithm } = self;
        let algorithm = algorithm.name();
        format!(
            r#"{COMPONENTS};created={created_s};expires={expires_s};nonce="{nonce}";keyid="{key_id}";alg="{algorithm}""#
        )
    }
}

/// Signs a request. `path_and_query` is what stands in the request line; `sign` makes a signature with
/// the private half of `key` over the bytes it is given (its error comes back unchanged). Lives [`LIFETIME_S_MAX`] seconds.
pub fn sign_request<E>(
    method: &str,
    path_and_query: &str,
    body: &[u8],
    created_s: u64,
    nonce: Nonce,
    key: &impl Verifier,
    sign: impl FnOnce(&[u8]) -> Result<Signature, E>,
) -> Result<SignatureHeaders, E> {
    let expires_s = created_s.saturating_add(LIFETIME_S_MAX);
    let parameters = Parameters { created_s, expires_s, nonce, key_id: key.id(), algorithm: key.algorithm() };
    let digest = Digest::of(body);
    let signature = sign(&signature_base(method, path_and_query, &digest, &parameters))?;
    Ok(SignatureHeaders {
        content_digest: content_digest(&digest),
        signature_input: format!("{LABEL}={}", parameters.to_text()),
        signature: format!("{LABEL}=:{}:", STANDARD.encode(signature.to_raw())),
    })
}

/// A request whose headers have the right form; nothing in it is to be believed yet.
#[derive(Clone, Debug)]
pub struct Unverified {
    parameters: Parameters,
    content_digest: Digest,
    base: Vec<u8>,
    signature: Signature,
}

impl Unverified {
    /// Reads the three headers. `None` for a header that is missing or there more than once.
    pub fn parse(
        method: &str,
        path_and_query: &str,
        content_digest: Option<&str>,
        signature_input: Option<&str>,
        signature: Option<&str>,
    ) -> Result<Self, SigningError> {
        let content_digest = parse_content_digest(header(content_digest, CONTENT_DIGEST)?)?;
        let parameters = parse_input(header(signature_input, SIGNATURE_INPUT)?)?;
        let signature = parse_signature(header(signature, SIGNATURE)?)?;
        let base = signature_base(method, path_and_query, &content_digest, &parameters);
        Ok(Self { parameters, content_digest, base, signature })
    }

    /// Whose key to verify with.
    pub fn key_id(&self) -> Digest {
        self.parameters.key_id
    }

    /// Checks the time window and the signature. The body still has to be compared with
    /// [`Verified::check_body`]; this way no body is read for a stranger.
    pub fn verify(self, key: &impl Verifier, now_s: u64) -> Result<Verified, SigningError> {
        let Parameters { created_s, expires_s, key_id, algorithm, .. } = self.parameters;
        if key.id() != key_id || key.algorithm() != algorithm {
            return Err(SigningError::Signature);
        }
        key.verify(&self.base, &self.signature).map_err(|_| SigningError::Signature)?;
        if expires_s <= created_s || expires_s - created_s > LIFETIME_S_MAX {
            return Err(SigningError::Lifetime { created_s, expires_s });
        }
        if created_s > now_s.saturating_add(CLOCK_SKEW_S_MAX) || expires_s <= now_s {
            return Err(SigningError::Expired { created_s, expires_s, now_s });
        }
        Ok(Verified { parameters: self.parameters, content_digest: self.content_digest })
    }
}

/// A request line that the named key signed within its time. Only [`Unverified::verify`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Verified {
    parameters: Parameters,
    content_digest: Digest,
}

impl Verified {
    /// Nonce, times and key id: the nonce must be remembered until `expires_s` has passed.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Is this the body that was signed?
    pub fn check_body(&self, body: &[u8]) -> Result<(), SigningError> {
        let found = Digest::of(body);
        if found == self.content_digest {
            Ok(())
        } else {
            Err(SigningError::Body { expected: self.content_digest, found })
        }
    }
}

/// Reads, verifies and compares in one go, for callers that hold the whole request.
pub fn verify_request(
    method: &str,
    path_and_query: &str,
    body: &[u8],
    headers: &SignatureHeaders,
    key: &impl Verifier,
    now_s: u64,
) -> Result<Parameters, SigningError> {
    let verified = Unverified::parse(
        method,
        path_and_query,
        Some(&headers.content_digest),
        Some(&headers.signature_input),
        Some(&headers.signature),
    )?
    .verify(key, now_s)?;
    verified.check_body(body)?;
    Ok(verified.parameters)
}

/// Why a request is not signed as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SigningError {
    /// Another body than the one that was signed.
    #[error("the body has the digest {found}, signed was {expected}")]
    Body {
        /// As signed.
        expected: Digest,
        /// Of the body.
        found: Digest,
    },
    /// Outside its time window.
    #[error("the request is valid from {created_s} to {expires_s} s; it is {now_s} s")]
    Expired {
        /// Signed at.
        created_s: u64,
        /// Worthless from.
        expires_s: u64,
        /// The server's clock.
        now_s: u64,
    },
    /// Valid for too long, or for no time.
    #[error("the request is valid from {created_s} to {expires_s} s; at most {LIFETIME_S_MAX} s are accepted")]
    Lifetime {
        /// Signed at.
        created_s: u64,
        /// Worthless from.
        expires_s: u64,
    },
    /// Not the one form of this header.
    #[error("the header {header} does not have the form of this API")]
    Malformed {
        /// Which.
        header: &'static str,
    },
    /// Not there, or there twice.
    #[error("the header {header} is missing or repeated")]
    Missing {
        /// Which.
        header: &'static str,
    },
    /// Does not verify with the named key.
    #[error("the signature of the request does not verify")]
    Signature,
}

/// RFC 9421 §2.5.
fn signature_base(method: &str, path_and_query: &str, digest: &Digest, parameters: &Parameters) -> Vec<u8> {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let path = if path.is_empty() { "/" } else { path };
    format!(
        "\"@method\": {method}\n\"@path\": {path}\n\"@query\": ?{query}\n\"content-digest\": {}\n\"@signature-params\": {}",
        content_digest(digest),
        parameters.to_text()
    )
    .into_bytes()
}

fn content_digest(digest: &Digest) -> String {
    format!("sm3=:{}:", STANDARD.encode(digest.as_bytes()))
}

fn header<'a>(value: Option<&'a str>, header: &'static str) -> Result<&'a str, SigningError> {
    let value = value.ok_or(SigningError::Missing { header })?;
    if value.len() > HEADER_BYTES_MAX { Err(SigningError::Malformed { header }) } else { Ok(value) }
}

fn parse_content_digest(text: &str) -> Result<Digest, SigningError> {
    let malformed = SigningError::Malformed { header: CONTENT_DIGEST };
    let bytes = only_bytes(text, "sm3").and_then(|bytes| bytes.try_into().ok()).ok_or(malformed.clone())?;
    let digest = Digest::from_bytes(bytes);
    if content_digest(&digest) == text { Ok(digest) } else { Err(malformed) }
}

fn parse_signature(text: &str) -> Result<Signature, SigningError> {
    let malformed = SigningError::Malformed { header: SIGNATURE };
    let raw: [u8; 64] = only_bytes(text, LABEL).and_then(|bytes| bytes.try_into().ok()).ok_or(malformed.clone())?;
    if format!("{LABEL}=:{}:", STANDARD.encode(raw)) != text {
        return Err(malformed);
    }
    Signature::from_raw(&raw).map_err(|_| malformed)
}

fn parse_input(text: &str) -> Result<Parameters, SigningError> {
    let malformed = SigningError::Malformed { header: SIGNATURE_INPUT };
    let parameters = read_parameters(text).ok_or(malformed.clone())?;
    // One form only: order, spacing and letter case included.
    if text.strip_prefix("kms=") == Some(&parameters.to_text()) { Ok(parameters) } else { Err(malformed) }
}

fn read_parameters(text: &str) -> Option<Parameters> {
    let dictionary: Dictionary = Parser::new(text).parse().ok()?;
    let Some(ListEntry::InnerList(InnerList { params, .. })) = dictionary.get(LABEL) else {
        return None;
    };
    let integer = |name: &str| match params.get(name)? {
        BareItem::Integer(value) => u64::try_from(i64::from(*value)).ok(),
        _ => None,
    };
    let string = |name: &str| match params.get(name)? {
        BareItem::String(value) => Some(value.as_str().to_owned()),
        _ => None,
    };
    Some(Parameters {
        created_s: integer("created")?,
        expires_s: integer("expires")?,
        nonce: Nonce::from_hex(&string("nonce")?).ok()?,
        key_id: Digest::from_hex(&string("keyid")?).ok()?,
        algorithm: SignatureAlgorithm::from_name(&string("alg")?)?,
    })
}

fn only_bytes(text: &str, name: &str) -> Option<Vec<u8>> {
    let dictionary: Dictionary = Parser::new(text).parse().ok()?;
    match dictionary.get(name) {
        Some(ListEntry::Item(item)) if dictionary.len() == 1 => match &item.bare_item {
            BareItem::ByteSequence(bytes) => Some(bytes.clone()),
            _ => None,
        },
        _ => None,
    }
}
