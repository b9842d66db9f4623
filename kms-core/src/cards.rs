//! Card lists: the strict CSV that a bureau hands in.
//!
//! ```text
//! card_number,factor                        or   card_number,factor,replacement,reason
//! 99999919000101001X,80a1b2c3d4e5f607            …,…,replacement,chip failure
//! ```
//! `card_number` is a citizen number of GB 11643 (18 characters, check character right), `factor` 16
//! hexadecimal digits, `replacement` empty or the word `replacement`, `reason` empty or, for a
//! replacement, why. UTF-8 with or without BOM, lines end in LF or CRLF, no quoting, no empty lines.
//!
//! Not a store: whoever parses a list drops it, and the numbers in it are wiped. Guards: at least one
//! card, no number and no factor twice, every check character right; errors and `Debug` hold no
//! personal data.

mod card_number;
mod errors;
mod parse;
mod synthetic;

pub use card_number::{CardNumber, InvalidCardNumber};
pub use errors::{CardListErrors, LineError, LineErrorReason};
pub use synthetic::{SYNTHETIC_REGION, synthetic, synthetic_csv};

use crate::{digest::Digest, diversify::CardFactor};

/// Most cards of a list.
pub const CARDS_MAX: usize = 1_000_000;

/// Longest line, in bytes, without its end.
pub const LINE_BYTES_MAX: usize = 256;

/// Longest list, in bytes.
pub const LIST_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Longest reason, in bytes.
pub const REASON_BYTES_MAX: usize = 128;

/// Most errors reported of one list; all are counted.
pub const LINE_ERRORS_MAX: usize = 100;

/// Bytes that claim to be a card list.
#[derive(Debug)]
pub enum CardList {}

impl CardList {
    /// Reads a list. The error names the first [`LINE_ERRORS_MAX`] bad lines and counts all.
    pub fn parse(bytes: &[u8]) -> Result<ValidCardList, CardListErrors> {
        let cards = parse::parse(bytes)?;
        Ok(ValidCardList { cards, digest: Digest::of(bytes) })
    }
}

/// A card list that is right in itself: at least one card, no card number and no factor twice, every
/// check character right.
pub struct ValidCardList {
    cards: Vec<ValidCard>,
    digest: Digest,
}

impl ValidCardList {
    /// The cards, in the order of the list.
    #[must_use]
    pub fn cards(&self) -> &[ValidCard] {
        &self.cards
    }

    /// How many; at least one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cards.len()
    }

    /// Never: here because a `len` wants one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cards.is_empty()
    }

    /// How many are replacements.
    #[must_use]
    pub fn replacements(&self) -> usize {
        self.cards.iter().filter(|card| card.replacement.is_some()).count()
    }

    /// SM3 of the list's exact bytes: `openssl dgst -sm3 FILE` prints the same.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

/// How many cards, not which.
impl std::fmt::Debug for ValidCardList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ValidCardList({} cards, {:?})", self.cards.len(), self.digest)
    }
}

/// One line of a list.
#[derive(Debug)]
pub struct ValidCard {
    number: CardNumber,
    factor: CardFactor,
    replacement: Option<Reason>,
}

impl ValidCard {
    /// The holder's number: personal data.
    #[must_use]
    pub const fn number(&self) -> &CardNumber {
        &self.number
    }

    /// The chip's diversification factor.
    #[must_use]
    pub const fn factor(&self) -> CardFactor {
        self.factor
    }

    /// Why the card replaces an earlier one; `None` for a first card.
    #[must_use]
    pub const fn replacement(&self) -> Option<&Reason> {
        self.replacement.as_ref()
    }
}

/// Why a card replaces an earlier one: 1 to [`REASON_BYTES_MAX`] bytes, NFC, nothing invisible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(Box<str>);

impl Reason {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
