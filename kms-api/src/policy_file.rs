//! The policy files: key profiles and ceremony rules, as people review them.
//!
//! Strict TOML: unknown keys, missing keys and wrong types are refused with their line; then the
//! domain checks the whole and names everything that is wrong. Both forms are described in
//! `policies/README.md`.
//!
//! Not the rules themselves (`kms_core::profile`, `kms_core::policy`) and not file access. Guards: the
//! digest that plans and log entries name is SM3 of the bytes that were read.

mod ceremonies;
mod duration;
mod profile;

pub use ceremonies::parse_ceremony_policy;
pub use duration::{InvalidDuration, parse_duration_ms};
pub use profile::parse_profile;

use std::fmt;

/// Longest policy file, in bytes.
pub const POLICY_FILE_BYTES_MAX: usize = 256 * 1024;

/// Why a policy file is refused. `V` is the kind of rule that the file can break.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError<V: fmt::Debug + fmt::Display> {
    /// Another form, or a version of the form that this build does not know.
    #[error("line {line}: form is {found:?}, expected {expected:?}")]
    Form {
        /// Line of the value.
        line: usize,
        /// The form asked for.
        expected: &'static str,
        /// The form in the file.
        found: String,
    },
    /// Not UTF-8.
    #[error("the file is not UTF-8")]
    NotUtf8,
    /// It reads, but says what must not be.
    #[error("{}", Findings(.0))]
    Rules(Vec<Finding<V>>),
    /// Not TOML, or not the keys and types of this form; the message names line and column.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// Longer than any policy file.
    #[error("the file has {found} bytes, at most {limit} are accepted")]
    TooLong {
        /// [`POLICY_FILE_BYTES_MAX`].
        limit: usize,
        /// Bytes given.
        found: usize,
    },
}

/// A broken rule and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding<V> {
    /// Line of the entry that the rule is about; `None` if it is about the whole file.
    pub line: Option<usize>,
    /// What is wrong.
    pub violation: V,
}

/// One line each.
struct Findings<'a, V>(&'a [Finding<V>]);

impl<V: fmt::Display> fmt::Display for Findings<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, finding) in self.0.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            if let Some(line) = finding.line {
                write!(f, "line {line}: ")?;
            }
            write!(f, "{}", finding.violation)?;
        }
        Ok(())
    }
}

/// Limit and UTF-8, then the form's own shape.
fn read<'a, V: fmt::Debug + fmt::Display, F: serde::Deserialize<'a>>(
    bytes: &'a [u8],
) -> Result<(&'a str, F), PolicyFileError<V>> {
    if bytes.len() > POLICY_FILE_BYTES_MAX {
        return Err(PolicyFileError::TooLong { limit: POLICY_FILE_BYTES_MAX, found: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| PolicyFileError::NotUtf8)?;
    Ok((text, toml::from_str(text)?))
}

/// Refuses a file whose `form` is not `expected`.
fn check_form<V: fmt::Debug + fmt::Display>(
    text: &str,
    form: &toml::Spanned<String>,
    expected: &'static str,
) -> Result<(), PolicyFileError<V>> {
    if form.get_ref() == expected {
        return Ok(());
    }
    let found = form.get_ref().chars().take(64).collect();
    Err(PolicyFileError::Form { line: line_of(text, form.span().start), expected, found })
}

/// 1-based line of a byte offset.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
