//! Card numbers: the citizen number of GB 11643-1999.
//!
//! Not a proof that such a citizen exists. Guards: 17 digits, a calendar date, the right check
//! character; wiped on drop and never printed.

use crate::secret::Secret;

/// Characters of a number.
pub(super) const NUMBER_BYTES: usize = 18;

/// GB 11643, 4.2 (ISO 7064 MOD 11-2): weights of the first 17 digits.
const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];

/// Check characters by the weighted sum modulo 11.
const CHECK_CHARACTERS: [u8; 11] = *b"10X98765432";

/// A card number (卡号).
pub struct CardNumber(Secret<NUMBER_BYTES>);

impl CardNumber {
    /// Checks digits, date and check character.
    pub fn parse(text: &str) -> Result<Self, InvalidCardNumber> {
        let bytes: &[u8; NUMBER_BYTES] =
            text.as_bytes().try_into().map_err(|_| InvalidCardNumber::Length { found: text.len() })?;
        let (digits, check) = (&bytes[..17], bytes[17]);
        if !digits.iter().all(u8::is_ascii_digit) || !(check.is_ascii_digit() || check == b'X') {
            return Err(InvalidCardNumber::Characters);
        }
        if !is_date(number(&digits[6..10]), number(&digits[10..12]), number(&digits[12..14])) {
            return Err(InvalidCardNumber::BirthDate);
        }
        if check_character(digits) != check {
            return Err(InvalidCardNumber::CheckCharacter);
        }
        let mut copy = *bytes;
        Ok(Self(Secret::take(&mut copy)))
    }

    /// The 18 characters: personal data.
    #[must_use]
    pub fn expose(&self) -> &[u8; NUMBER_BYTES] {
        self.0.expose()
    }
}

/// Masked.
impl std::fmt::Debug for CardNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CardNumber(masked)")
    }
}

/// The check character of 17 digits.
pub(super) fn check_character(digits: &[u8]) -> u8 {
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    CHECK_CHARACTERS[(sum % 11) as usize]
}

/// Days of a month, by the Gregorian calendar.
pub(super) const fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

fn is_date(year: u32, month: u32, day: u32) -> bool {
    (1850..=2150).contains(&year) && (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day)
}

fn number(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
}

/// Why text is not a card number. Holds no part of the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCardNumber {
    /// Positions 7 to 14 are no date.
    #[error("positions 7 to 14 of the card number are not a date")]
    BirthDate,
    /// Not digits and a check character.
    #[error("a card number is 17 digits and a digit or X")]
    Characters,
    /// The check character is wrong.
    #[error("the check character of the card number is wrong")]
    CheckCharacter,
    /// Not 18 characters.
    #[error("a card number has {NUMBER_BYTES} characters, not {found}")]
    Length {
        /// Bytes of the text.
        found: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two examples printed in GB 11643-1999, annex A.
    #[test]
    fn published_examples() {
        for number in ["11010519491231002X", "440524188001010014"] {
            assert_eq!(CardNumber::parse(number).map(|number| number.expose().to_vec()).unwrap(), number.as_bytes());
        }
    }

    #[test]
    fn every_other_check_character_is_refused() {
        for check in "0123456789".chars() {
            let number = format!("11010519491231002{check}");
            assert_eq!(CardNumber::parse(&number).err(), Some(InvalidCardNumber::CheckCharacter));
        }
    }

    #[test]
    fn must_be_refused() {
        for (text, reason) in [
            ("", InvalidCardNumber::Length { found: 0 }),
            ("11010519491231002", InvalidCardNumber::Length { found: 17 }),
            ("11010519491231002XX", InvalidCardNumber::Length { found: 19 }),
            ("11010519491231002x", InvalidCardNumber::Characters),
            ("1101051949123100ZX", InvalidCardNumber::Characters),
            ("110105194912310０", InvalidCardNumber::Characters),
            ("11010519490231002X", InvalidCardNumber::BirthDate),
            ("11010519001331002X", InvalidCardNumber::BirthDate),
            ("11010519000229002X", InvalidCardNumber::BirthDate),
        ] {
            assert_eq!(CardNumber::parse(text).err(), Some(reason), "{text}");
        }
    }

    #[test]
    fn debug_is_masked() {
        let number = CardNumber::parse("11010519491231002X").unwrap();
        assert_eq!(format!("{number:?}"), "CardNumber(masked)");
    }
}
