//! What is wrong with a card list, without a byte of personal data.

use super::{CARDS_MAX, InvalidCardNumber, LINE_BYTES_MAX, LIST_BYTES_MAX};
use crate::{diversify::InvalidCardFactor, encoding::InvalidText};

/// All that is wrong with a list; the first of it in detail, in the order of the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardListErrors {
    pub(super) first: Vec<LineError>,
    pub(super) total: usize,
}

impl CardListErrors {
    /// The first errors, by line.
    #[must_use]
    pub fn first(&self) -> &[LineError] {
        &self.first
    }

    /// How many there are in all.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.total
    }
}

/// The number of errors, then a line for each of the first.
impl std::fmt::Display for CardListErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the card list has {} error{}", self.total, if self.total == 1 { "" } else { "s" })?;
        self.first.iter().try_for_each(|error| write!(f, "\n{error}"))?;
        if self.total > self.first.len() {
            write!(f, "\n… and {} more", self.total - self.first.len())
        } else {
            Ok(())
        }
    }
}

impl std::error::Error for CardListErrors {}

/// One bad line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct LineError {
    /// From 1; the header is line 1.
    pub line: usize,
    /// What is wrong.
    pub reason: LineErrorReason,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineErrorReason {
    /// Bad card number.
    #[error(transparent)]
    CardNumber(#[from] InvalidCardNumber),
    /// The factor stands in an earlier line too.
    #[error("the factor of line {first_line} again")]
    DuplicateFactor {
        /// Where it stands first.
        first_line: usize,
    },
    /// The card number stands in an earlier line too.
    #[error("the card number of line {first_line} again")]
    DuplicateNumber {
        /// Where it stands first.
        first_line: usize,
    },
    /// No characters at all.
    #[error("the line is empty")]
    EmptyLine,
    /// Bad factor.
    #[error(transparent)]
    Factor(#[from] InvalidCardFactor),
    /// Not as many fields as the header.
    #[error("{found} fields, the header has {expected}")]
    Fields {
        /// Of the header.
        expected: usize,
        /// Of the line.
        found: usize,
    },
    /// Neither of the two headers.
    #[error("the first line must be card_number,factor or card_number,factor,replacement,reason")]
    Header,
    /// Longer than any list.
    #[error("the list has {found} bytes, at most {LIST_BYTES_MAX} are accepted")]
    ListTooLong {
        /// Bytes given.
        found: usize,
    },
    /// Longer than any line.
    #[error("the line has {found} bytes, at most {LINE_BYTES_MAX} are accepted")]
    LineTooLong {
        /// Bytes given.
        found: usize,
    },
    /// A header and nothing else.
    #[error("the list names no card")]
    NoCards,
    /// Not UTF-8.
    #[error("the line is not UTF-8")]
    NotUtf8,
    /// Quotation marks have no meaning here.
    #[error("fields are not quoted")]
    Quote,
    /// Bad reason.
    #[error("reason: {0}")]
    Reason(#[from] InvalidText),
    /// A replacement without, or a first card with, a reason.
    #[error("a replacement has a reason, any other card has none")]
    ReasonWithoutReplacement,
    /// Neither empty nor `replacement`.
    #[error("the third field is empty or the word replacement")]
    Replacement,
    /// More cards than a list may name.
    #[error("the list names more than {CARDS_MAX} cards")]
    TooManyCards,
}
