//! Why a use case did not do what it was asked, and what the client is told.
//!
//! Guards: details of the database or of a bug stay in the server's log; an HSM failure keeps the name
//! of the call and its code.

use kms_api::problem::{Code, Problem};
use kms_core::encoding::EncodingError;
use kms_core::ports::{FaultClass, HsmError};
use kms_core::violation::Violation;

use crate::packages::PackageError;
use crate::store::{Severity, StoreError};

/// A failed use case.
#[derive(Debug)]
pub enum Fault {
    /// A rule of the state machine.
    Violation(Violation),
    /// A problem with a code of its own.
    Problem(Box<Problem>),
    /// The HSM.
    Hsm(HsmError),
    /// The database.
    Store(StoreError),
    /// A file of a package.
    File(std::io::Error),
    /// A document of our own cannot be encoded: a bug.
    Encoding(EncodingError),
}

impl Fault {
    /// A problem with one of the API's own codes.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem::new(code, detail).into()
    }

    /// What the client is told.
    pub fn into_problem(self) -> Problem {
        match self {
            Self::Violation(violation) => Problem::of_violation(&violation),
            Self::Problem(problem) => *problem,
            Self::Hsm(error) => Problem::new(hsm_code(&error), error.to_string()),
            Self::Store(StoreError::Fatal { reason } | StoreError::Unavailable { reason }) => {
                tracing::error!(%reason, "database failed");
                Problem::new(Code::LogUnavailable, "the database cannot be used at the moment")
            }
            Self::Store(error) => internal(&error),
            Self::File(error) => {
                tracing::error!(%error, "package file failed");
                Problem::new(Code::LogUnavailable, "the package store cannot be used at the moment")
            }
            Self::Encoding(error) => internal(&error),
        }
    }

    /// May the same thing work later without anybody changing the request?
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Hsm(error) => {
                matches!(error.class, FaultClass::Retryable | FaultClass::Indeterminate | FaultClass::Broken)
            }
            Self::Store(error) => matches!(error, StoreError::Unavailable { .. }),
            Self::File(_) => true,
            Self::Problem(problem) => problem.status == Code::HsmUnavailable.status(),
            Self::Violation(_) | Self::Encoding(_) => false,
        }
    }
}

impl Severity for Fault {
    fn fatal(&self) -> Option<&str> {
        match self {
            Self::Store(error) => error.fatal(),
            Self::Violation(_) | Self::Problem(_) | Self::Hsm(_) | Self::File(_) | Self::Encoding(_) => None,
        }
    }
}

/// For logs; the client gets [`Fault::into_problem`].
impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Violation(violation) => write!(f, "{}: {violation}", violation.code()),
            Self::Problem(problem) => problem.fmt(f),
            Self::Hsm(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::File(error) => write!(f, "package store: {error}"),
            Self::Encoding(error) => write!(f, "encoding: {error}"),
        }
    }
}

impl From<Violation> for Fault {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<HsmError> for Fault {
    fn from(error: HsmError) -> Self {
        Self::Hsm(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<EncodingError> for Fault {
    fn from(error: EncodingError) -> Self {
        Self::Encoding(error)
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::File(error)
    }
}

/// A file that differs from its OUTCOME, or is gone, is for people: making it anew would hide that
/// somebody touched it.
impl From<PackageError> for Fault {
    fn from(error: PackageError) -> Self {
        match error {
            PackageError::Io(error) => Self::File(error),
            PackageError::Missing { .. } | PackageError::Changed { .. } => {
                tracing::error!(%error, "package file touched");
                Self::new(Code::Internal, error.to_string())
            }
        }
    }
}

/// The API's code for an HSM failure.
fn hsm_code(error: &HsmError) -> Code {
    match error.class {
        FaultClass::Refused => Code::HsmRefused,
        FaultClass::Pin => Code::HsmPin,
        FaultClass::Retryable | FaultClass::Indeterminate | FaultClass::Broken => Code::HsmUnavailable,
    }
}

fn internal(error: &dyn std::error::Error) -> Problem {
    tracing::error!(%error, "internal error");
    Problem::new(Code::Internal, "the server could not do this")
}
