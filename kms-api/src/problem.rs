//! Problem details (RFC 9457): one stable code per failure a client can meet.
//!
//! The code is the last segment of `type`: `urn:kms:problem:<code>`. Codes of the state machine are
//! those of [`Violation`]; the others are [`Code`]. A 500 says nothing but where to look.

mod line;
mod violation;

use kms_core::violation::Violation;
use serde::{Deserialize, Serialize};

/// Media type of an error answer.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// Prefix of `type`.
pub const TYPE_PREFIX: &str = "urn:kms:problem:";
/// Most card lines named in one answer.
pub const LINES_MAX: usize = 100;
/// Seconds a client should wait after a 503.
pub const RETRY_AFTER_S: u32 = 5;

/// Codes that are not rules of the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The profile asks for another algorithm than the HSM's map offers.
    AlgorithmDiffers,
    /// The package's parts exist only after release.
    BatchNotReleased,
    /// The body is longer than this endpoint takes.
    BodyTooLarge,
    /// A card or factor was issued before and the line is not a replacement.
    CardAlreadyIssued,
    /// The list is not the one that the signed request commits to.
    CardListDiffers,
    /// Lines of the card list cannot be used; all of them are listed.
    CardListInvalid,
    /// The genesis plan is not the one that this instance's configuration calls for.
    GenesisDiffers,
    /// The HSM refuses its PIN, or it is locked. Never retried by itself.
    HsmPin,
    /// The HSM said no: a configuration fault.
    HsmRefused,
    /// The HSM does not answer.
    HsmUnavailable,
    /// A fault of the server; details are in its log.
    Internal,
    /// The key log cannot be written: nothing key-related is done.
    LogUnavailable,
    /// Not JSON, not DER, or not the fields of this endpoint.
    MalformedBody,
    /// The nation's server refused, or does not answer.
    NationUnavailable,
    /// No such thing, or no such endpoint.
    NotFound,
    /// A bureau asked for another bureau's batch.
    NotTheOwner,
    /// There is nothing for `run` to do.
    NothingToRun,
    /// The profile is not among this server's policy files.
    ProfileUnknown,
    /// The range lies outside the file.
    RangeInvalid,
    /// The request's time window is over, or has not begun.
    RequestExpired,
    /// The request's nonce was used before.
    RequestReplayed,
    /// The request's signature or digest is wrong.
    RequestSignatureInvalid,
    /// This role may not do this.
    RoleForbidden,
    /// A production instance was bound to a software token.
    SoftwareToken,
    /// The key id belongs to nobody here.
    UnknownKey,
    /// The request carries no signature.
    UnsignedRequest,
}

impl Code {
    /// Every code, for documentation and tests.
    pub const ALL: [Self; 26] = [
        Self::AlgorithmDiffers,
        Self::BatchNotReleased,
        Self::BodyTooLarge,
        Self::CardAlreadyIssued,
        Self::CardListDiffers,
        Self::CardListInvalid,
        Self::GenesisDiffers,
        Self::HsmPin,
        Self::HsmRefused,
        Self::HsmUnavailable,
        Self::Internal,
        Self::LogUnavailable,
        Self::MalformedBody,
        Self::NationUnavailable,
        Self::NotFound,
        Self::NotTheOwner,
        Self::NothingToRun,
        Self::ProfileUnknown,
        Self::RangeInvalid,
        Self::RequestExpired,
        Self::RequestReplayed,
        Self::RequestSignatureInvalid,
        Self::RoleForbidden,
        Self::SoftwareToken,
        Self::UnknownKey,
        Self::UnsignedRequest,
    ];

    /// Stable kebab-case name, never renamed.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// HTTP status.
    pub const fn status(self) -> u16 {
        self.row().1
    }

    /// One line for people.
    pub const fn title(self) -> &'static str {
        self.row().2
    }

    /// What to do about it.
    pub const fn next(self) -> &'static str {
        self.row().3
    }

    const fn row(self) -> (&'static str, u16, &'static str, &'static str) {
        match self {
            Self::AlgorithmDiffers => (
                "algorithm-differs",
                422,
                "this server's HSM does not offer the algorithm of the profile",
                "use a profile for this HSM, or an HSM whose vendor map has the algorithm",
            ),
            Self::BatchNotReleased => {
                ("batch-not-released", 409, "the batch is not released yet", "ask for its state, wait for `released`")
            }
            Self::BodyTooLarge => {
                ("body-too-large", 413, "the body is too large", "split the card list into several batches")
            }
            Self::CardAlreadyIssued => (
                "card-already-issued",
                409,
                "keys were issued for these cards before",
                "remove the lines, or mark real replacement cards with a reason",
            ),
            Self::CardListDiffers => (
                "card-list-differs",
                422,
                "the card list is not the one that was signed for",
                "sign a request for this very list and salt",
            ),
            Self::CardListInvalid => (
                "card-list-invalid",
                422,
                "the card list has bad lines",
                "correct the listed lines; nothing was started",
            ),
            Self::GenesisDiffers => (
                "genesis-differs",
                422,
                "the genesis plan does not fit this server's configuration",
                "draft a new genesis plan from this server",
            ),
            Self::HsmPin => (
                "hsm-pin",
                503,
                "the HSM does not accept its PIN",
                "check the PIN file and the token's PIN state, then restart the server; it does not try again by itself",
            ),
            Self::HsmRefused => (
                "hsm-refused",
                502,
                "the HSM refused the operation",
                "compare token, vendor map and plan; `kms hsm status` shows the token",
            ),
            Self::HsmUnavailable => (
                "hsm-unavailable",
                503,
                "the HSM does not answer",
                "see /health; repeat the request when the HSM is back",
            ),
            Self::Internal => (
                "internal",
                500,
                "internal error",
                "tell the operator the time of this answer; the server's log has more",
            ),
            Self::LogUnavailable => {
                ("log-unavailable", 503, "the key log cannot be written", "tell the operator; nothing was done")
            }
            Self::MalformedBody => {
                ("malformed-body", 400, "the body cannot be read", "compare it with the documented form")
            }
            Self::NationUnavailable => (
                "nation-unavailable",
                502,
                "the nation's server refused or does not answer",
                "check nation_url and the nation's /health, or carry the file by hand",
            ),
            Self::NotFound => ("not-found", 404, "there is no such thing here", "check the id and the path"),
            Self::NotTheOwner => (
                "not-the-owner",
                403,
                "the batch belongs to another bureau",
                "use the key of the bureau that asked for it",
            ),
            Self::NothingToRun => {
                ("nothing-to-run", 409, "this ceremony has no step that can run now", "look at what it is waiting for")
            }
            Self::ProfileUnknown => (
                "profile-unknown",
                422,
                "this server has no such key profile",
                "use the digest of a profile that the server lists in its status",
            ),
            Self::RangeInvalid => {
                ("range-invalid", 416, "the range lies outside the file", "ask from a position within the file")
            }
            Self::RequestExpired => (
                "request-expired",
                401,
                "the request is outside its time window",
                "check the clock and sign the request again",
            ),
            Self::RequestReplayed => {
                ("request-replayed", 401, "the request was made before", "sign a new request with a fresh nonce")
            }
            Self::RequestSignatureInvalid => (
                "request-signature-invalid",
                401,
                "the signature of the request is not valid",
                "sign exactly the method, path, query and body that are sent",
            ),
            Self::RoleForbidden => {
                ("role-forbidden", 403, "your role may not do this", "ask a person whose role it is")
            }
            Self::SoftwareToken => (
                "software-token",
                503,
                "a production instance does not work on a software token",
                "bind it to a hardware HSM, or found a test instance",
            ),
            Self::UnknownKey => (
                "unknown-key",
                401,
                "nobody here has this key",
                "use the key that is on the roster or in the registered certificate",
            ),
            Self::UnsignedRequest => ("unsigned-request", 401, "the request is not signed", "sign it as the API says"),
        }
    }
}

/// A line of a card list that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineProblem {
    /// Line number in the file, from 1.
    pub line: u64,
    /// Stable code of the reason.
    pub code: String,
    /// The reason in words; holds no card data.
    pub message: String,
}

/// A problem (RFC 9457) with our extension members `next`, `errors` and `errors_total`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:kms:problem:<code>`.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// The same for every problem of this type.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// This very case.
    pub detail: String,
    /// What to do.
    pub next: String,
    /// Bad card lines, the first [`LINES_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<LineProblem>,
    /// How many bad card lines there are in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors_total: Option<u64>,
}

impl Problem {
    /// A problem that is not a rule of the state machine.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            type_uri: format!("{TYPE_PREFIX}{}", code.name()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            next: code.next().to_owned(),
            errors: Vec::new(),
            errors_total: None,
        }
    }

    /// A rule of the state machine that the request breaks.
    pub fn of_violation(violation: &Violation) -> Self {
        Self {
            type_uri: format!("{TYPE_PREFIX}{}", violation.code()),
            title: "the rules of the ceremony do not allow this".to_owned(),
            status: violation::status(violation),
            detail: violation.to_string(),
            next: violation::next(violation).to_owned(),
            errors: Vec::new(),
            errors_total: None,
        }
    }

    /// Adds bad card lines; only the first [`LINES_MAX`] are kept. `total` counts all of them.
    #[must_use]
    pub fn with_lines(mut self, lines: impl IntoIterator<Item = LineProblem>, total: u64) -> Self {
        self.errors = lines.into_iter().take(LINES_MAX).collect();
        self.errors_total = Some(total);
        self
    }

    /// The code: the last segment of `type`.
    pub fn code(&self) -> &str {
        self.type_uri.strip_prefix(TYPE_PREFIX).unwrap_or(&self.type_uri)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code(), self.detail)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_kebab_case() {
        let names: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    }

    #[test]
    fn lines_are_cut_but_counted() {
        let line = LineProblem { line: 2, code: "check-character".into(), message: "wrong".into() };
        let problem = Problem::new(Code::CardListInvalid, "bad").with_lines(vec![line; LINES_MAX + 1], 101);
        assert_eq!((problem.errors.len(), problem.errors_total), (LINES_MAX, Some(101)));
        assert_eq!(problem.code(), "card-list-invalid");
    }
}
