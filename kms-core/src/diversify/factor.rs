//! Diversification factors (分散因子).
//!
//! Not where a card factor comes from: the offset in an answer to reset differs between readers, so
//! the factor is input and stored as given. Guards: card factors and region factors are disjoint.

use std::fmt;

/// Eight bytes that diversify one level.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Factor8([u8; 8]);

impl Factor8 {
    /// Any eight bytes. For cards use [`CardFactor`], for provinces [`ProvinceCode::factor`].
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for Factor8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Factor8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Factor8({self})")
    }
}

/// Provinces of GB/T 2260 by their two digits.
const PROVINCES: [u8; 31] = [
    11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 50, 51, 52, 53, 54, 61, 62, 63,
    64, 65,
];

/// A province by its six-digit code of GB/T 2260, such as `410000` for Henan (河南).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProvinceCode(u8);

impl ProvinceCode {
    /// Six digits, the first two a province, the last four zero.
    pub fn parse(text: &str) -> Result<Self, InvalidProvinceCode> {
        let digits = text.strip_suffix("0000").filter(|digits| digits.len() == 2);
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
        let number = digits.and_then(|digits| digits.parse().ok()).ok_or(InvalidProvinceCode::Form)?;
        if PROVINCES.contains(&number) { Ok(Self(number)) } else { Err(InvalidProvinceCode::Unknown { number }) }
    }

    /// ASCII of the two digits, then ASCII `000000`: Henan is 34 31 30 30 30 30 30 30.
    #[must_use]
    pub const fn factor(self) -> Factor8 {
        Factor8([b'0' + self.0 / 10, b'0' + self.0 % 10, b'0', b'0', b'0', b'0', b'0', b'0'])
    }

    /// Every province of GB/T 2260.
    pub fn all() -> impl Iterator<Item = Self> {
        PROVINCES.into_iter().map(Self)
    }
}

/// The six digits.
impl fmt::Display for ProvinceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}0000", self.0)
    }
}

impl fmt::Debug for ProvinceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProvinceCode({self})")
    }
}

impl std::str::FromStr for ProvinceCode {
    type Err = InvalidProvinceCode;

    fn from_str(text: &str) -> Result<Self, InvalidProvinceCode> {
        Self::parse(text)
    }
}

/// Why text is not a province.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProvinceCode {
    /// Not two digits and four zeros.
    #[error("a province code is two digits and 0000, such as 410000")]
    Form,
    /// Not in GB/T 2260.
    #[error("{number:02}0000 is not a province of GB/T 2260")]
    Unknown {
        /// The first two digits.
        number: u8,
    },
}

/// The factor of one card: eight bytes of the chip's serial, as the bureau read it.
///
/// Refused are bytes that no chip serial has and that would do harm: all `00` and all `FF` (a chip
/// that was not read), and ASCII digits that end in `0000`, which is how region factors look
/// (`41000000` for a province, `41010000` for a city): since every level uses one formula, such a
/// "card" under a national master would be given the master of that region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CardFactor(Factor8);

impl CardFactor {
    /// Checks eight bytes.
    pub fn new(bytes: [u8; 8]) -> Result<Self, InvalidCardFactor> {
        if bytes == [0x00; 8] || bytes == [0xFF; 8] {
            return Err(InvalidCardFactor::Blank);
        }
        if bytes.iter().all(u8::is_ascii_digit) && bytes.ends_with(b"0000") {
            return Err(InvalidCardFactor::RegionForm);
        }
        Ok(Self(Factor8(bytes)))
    }

    /// Sixteen hexadecimal digits, either case.
    pub fn from_hex(text: &str) -> Result<Self, InvalidCardFactor> {
        let digits = text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        match u64::from_str_radix(text, 16) {
            Ok(number) if digits => Self::new(number.to_be_bytes()),
            _ => Err(InvalidCardFactor::Digits),
        }
    }

    /// The factor.
    #[must_use]
    pub const fn factor(&self) -> Factor8 {
        self.0
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        self.0.as_bytes()
    }
}

/// Sixteen lower-case hexadecimal digits.
impl fmt::Display for CardFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CardFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CardFactor({self})")
    }
}

/// Why bytes are not a card factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCardFactor {
    /// All 00 or all FF.
    #[error("the card factor is blank (all 00 or all FF): the chip was not read")]
    Blank,
    /// Not sixteen hexadecimal digits.
    #[error("a card factor is 16 hexadecimal digits")]
    Digits,
    /// ASCII digits ending in 0000.
    #[error("the card factor has the form of a region factor (ASCII digits ending in 0000)")]
    RegionForm,
}
