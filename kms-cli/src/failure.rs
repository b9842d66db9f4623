//! How a command fails: one exit code, what happened, what to do.
//!
//! Not error types of libraries: this is where those end. Guards: no failure reaches a person without
//! a line that says what to do next.

use std::path::Path;

use kms_api::problem::{Code, Problem};
use kms_core::ports::{FaultClass, HsmError};

/// Exit codes of `kms`; the table is part of `kms-cli/README.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// A fault of this program.
    Internal = 1,
    /// The command line is wrong (clap uses the same number).
    Usage = 2,
    /// A file or value is missing, malformed or not what the command needs.
    Input = 3,
    /// Somebody did not say `Yes`, or `--yes-digest` names another digest.
    Declined = 4,
    /// A signature, digest, proof, quorum or count does not hold.
    NotVerified = 5,
    /// The server refused; its problem code is printed.
    Refused = 6,
    /// The server, or the HSM behind it, does not answer.
    Unavailable = 7,
    /// The local HSM refused or failed.
    Hsm = 8,
    /// A PIN or password is wrong. It was tried once.
    Secret = 9,
    /// The local disk or terminal failed.
    Io = 10,
}

/// Why a command ends without having done its work.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Exit code.
    pub(crate) exit: Exit,
    /// What happened.
    pub(crate) what: String,
    /// Single findings, one a line.
    pub(crate) lines: Vec<String>,
    /// What to do.
    pub(crate) next: String,
}

/// Result of everything a command does.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// A failure with advice.
    pub(crate) fn new(exit: Exit, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { exit, what: what.into(), lines: Vec::new(), next: next.into() }
    }

    /// A file or value that cannot be used.
    pub(crate) fn input(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(Exit::Input, what, next)
    }

    /// Something that does not hold.
    pub(crate) fn not_verified(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(Exit::NotVerified, what, next)
    }

    /// A file operation that failed.
    pub(crate) fn io(action: &str, path: &Path, error: &std::io::Error) -> Self {
        let next = match error.kind() {
            std::io::ErrorKind::NotFound => "check the path",
            std::io::ErrorKind::AlreadyExists => "choose another name, or remove the old file yourself",
            std::io::ErrorKind::PermissionDenied => "check owner and mode of the file and its folder",
            std::io::ErrorKind::StorageFull => "free some disk space and repeat the command",
            _ => "repair the disk or choose another place, then repeat the command",
        };
        Self::new(Exit::Io, format!("cannot {action} {}: {error}", path.display()), next)
    }

    /// A fault of this program.
    pub(crate) fn internal(what: impl std::fmt::Display) -> Self {
        Self::new(Exit::Internal, format!("internal error: {what}"), "report it with the command line you used")
    }

    /// Adds findings.
    pub(crate) fn with_lines(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.lines.extend(lines);
        self
    }
}

/// The random source of the operating system failed.
pub(crate) fn no_entropy(error: impl std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Io,
        format!("the operating system gives no random bytes: {error}"),
        "nothing was made; repeat later",
    )
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let unavailable = [Code::HsmUnavailable, Code::HsmPin, Code::LogUnavailable, Code::NationUnavailable];
        let exit = if unavailable.iter().any(|code| code.name() == problem.code()) {
            Exit::Unavailable
        } else {
            Exit::Refused
        };
        let mut lines: Vec<String> =
            problem.errors.iter().map(|bad| format!("line {}: {} ({})", bad.line, bad.message, bad.code)).collect();
        if let Some(total) = problem.errors_total.filter(|total| *total > problem.errors.len() as u64) {
            lines.push(format!("… {total} bad lines in all"));
        }
        Self::new(exit, format!("the server refused: {problem}"), problem.next.clone()).with_lines(lines)
    }
}

impl From<HsmError> for Failure {
    fn from(error: HsmError) -> Self {
        let (exit, next) = match error.class {
            FaultClass::Pin => (
                Exit::Secret,
                "the PIN was tried once and not again; run `kms hsm status` to see its state before the next attempt",
            ),
            FaultClass::Refused => {
                (Exit::Hsm, "the token said no: compare token, map and object with what the plan names")
            }
            FaultClass::Retryable => (Exit::Hsm, "repeat the command"),
            FaultClass::Indeterminate => (Exit::Hsm, "repeat the command: what was made under its id is found again"),
            FaultClass::Broken => (Exit::Hsm, "check module path, map, token and worker binary, then repeat"),
        };
        Self::new(exit, error.to_string(), next)
    }
}
