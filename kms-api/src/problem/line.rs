//! Codes of bad card lines.

use kms_core::cards::{LineError, LineErrorReason as R};

use super::LineProblem;

impl From<&LineError> for LineProblem {
    fn from(error: &LineError) -> Self {
        Self { line: error.line as u64, code: code(&error.reason).to_owned(), message: error.reason.to_string() }
    }
}

const fn code(reason: &R) -> &'static str {
    match reason {
        R::CardNumber(_) => "card-number-invalid",
        R::DuplicateFactor { .. } => "factor-duplicate",
        R::DuplicateNumber { .. } => "card-number-duplicate",
        R::EmptyLine => "line-empty",
        R::Factor(_) => "factor-invalid",
        R::Fields { .. } => "field-count",
        R::Header => "header-invalid",
        R::ListTooLong { .. } => "list-too-long",
        R::LineTooLong { .. } => "line-too-long",
        R::NoCards => "no-cards",
        R::NotUtf8 => "not-utf-8",
        R::Quote => "quoted-field",
        R::Reason(_) => "reason-invalid",
        R::ReasonWithoutReplacement => "reason-without-replacement",
        R::Replacement => "replacement-invalid",
        R::TooManyCards => "too-many-cards",
    }
}
