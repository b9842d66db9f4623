//! Key check values: method and value together.
//!
//! Not a computation (the HSM computes check values) and not a secret. Guards: never more than three
//! bytes of `E_K(0)` or five of `CMAC_K(0)` are held, and values of different methods never compare
//! as equal.

use std::fmt;

use der::{
    Decode as _, DecodeValue, Encode as _, EncodeValue, ErrorKind, Header, Length, Reader, Sequence, Tag, Writer,
    asn1::{OctetStringRef, Utf8StringRef},
};

/// How a check value is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KcvMethod {
    /// First five bytes of CMAC over one zero block.
    Cmac5,
    /// First three bytes of the encryption of one zero block.
    Ecb3,
}

impl KcvMethod {
    /// Every method.
    pub const ALL: [Self; 2] = [Self::Cmac5, Self::Ecb3];

    /// Bytes of a value.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Cmac5 => 5,
            Self::Ecb3 => 3,
        }
    }

    /// `cmac5` or `ecb3`: the name in DER, in policy files and on paper.
    // Stored format: changing this needs a migration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cmac5 => "cmac5",
            Self::Ecb3 => "ecb3",
        }
    }

    /// The method with this [`Self::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}

impl fmt::Display for KcvMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A key check value: `Kcv ::= SEQUENCE { method UTF8String, value OCTET STRING }`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kcv {
    method: KcvMethod,
    /// As long as the method says; the rest is zero.
    value: [u8; 5],
}

impl Kcv {
    /// A value of exactly the method's length.
    pub fn new(method: KcvMethod, value: &[u8]) -> Result<Self, ParseKcvError> {
        if value.len() != method.bytes() {
            return Err(ParseKcvError::Length { method, found: value.len() });
        }
        Ok(Self::cut(method, value))
    }

    /// The first bytes of a longer value, as devices with eight-byte check values answer. Refuses
    /// fewer bytes than the method has.
    pub fn truncated(method: KcvMethod, value: &[u8]) -> Result<Self, ParseKcvError> {
        match value.get(..method.bytes()) {
            Some(kept) => Ok(Self::cut(method, kept)),
            None => Err(ParseKcvError::Length { method, found: value.len() }),
        }
    }

    /// How it was computed.
    #[must_use]
    pub const fn method(&self) -> KcvMethod {
        self.method
    }

    /// Three or five bytes.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value[..self.method.bytes()]
    }

    /// Refuses another value and another method; the error holds both.
    pub fn must_equal(&self, found: &Self) -> Result<(), KcvMismatch> {
        if self == found { Ok(()) } else { Err(KcvMismatch { expected: *self, found: *found }) }
    }

    fn cut(method: KcvMethod, exact: &[u8]) -> Self {
        let mut value = [0; 5];
        value[..method.bytes()].copy_from_slice(exact);
        Self { method, value }
    }
}

/// `ecb3:2677f4`.
impl fmt::Display for Kcv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.method)?;
        self.value().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Kcv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kcv({self})")
    }
}

/// Reads what [`fmt::Display`] writes.
impl std::str::FromStr for Kcv {
    type Err = ParseKcvError;

    fn from_str(text: &str) -> Result<Self, ParseKcvError> {
        let (name, digits) = text.split_once(':').ok_or(ParseKcvError::Form)?;
        let method = KcvMethod::from_name(name).ok_or(ParseKcvError::Method)?;
        if digits.len() != 2 * method.bytes() {
            return Err(ParseKcvError::Length { method, found: digits.len() / 2 });
        }
        let mut value = [0; 5];
        for (position, digit) in digits.bytes().enumerate() {
            let digit = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return Err(ParseKcvError::Form),
            };
            value[position / 2] = value[position / 2] << 4 | digit;
        }
        Ok(Self { method, value })
    }
}

impl<'a> DecodeValue<'a> for Kcv {
    type Error = der::Error;

    fn decode_value<R: Reader<'a>>(reader: &mut R, _header: Header) -> der::Result<Self> {
        let method = Utf8StringRef::decode(reader)?;
        let value = <&OctetStringRef>::decode(reader)?;
        let method = KcvMethod::from_name(method.as_str())
            .ok_or_else(|| reader.error(ErrorKind::Value { tag: Tag::Utf8String }))?;
        Self::new(method, value.as_bytes()).map_err(|_| reader.error(ErrorKind::Length { tag: Tag::OctetString }))
    }
}

impl EncodeValue for Kcv {
    fn value_len(&self) -> der::Result<Length> {
        Utf8StringRef::new(self.method.name())?.encoded_len()? + OctetStringRef::new(self.value())?.encoded_len()?
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        Utf8StringRef::new(self.method.name())?.encode(writer)?;
        OctetStringRef::new(self.value())?.encode(writer)
    }
}

impl Sequence<'_> for Kcv {}

/// Why something is not a check value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseKcvError {
    /// Not `method:hex` in lower case.
    #[error("a check value is written METHOD:HEX in lower case")]
    Form,
    /// Too few or too many bytes for the method.
    #[error("a check value by {method} has {} bytes, not {found}", .method.bytes())]
    Length {
        /// The method.
        method: KcvMethod,
        /// Bytes given.
        found: usize,
    },
    /// Neither `ecb3` nor `cmac5`.
    #[error("unknown check value method: ecb3 and cmac5 are known")]
    Method,
}

/// Two check values differ that must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("check value {found} instead of {expected}")]
pub struct KcvMismatch {
    /// On record.
    pub expected: Kcv,
    /// Computed now.
    pub found: Kcv,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_der_round_trip() {
        for text in ["ecb3:2677f4", "cmac5:909f5e6ed1"] {
            let kcv: Kcv = text.parse().unwrap();
            assert_eq!(kcv.to_string(), text);
            use der::Decode as _;
            assert_eq!(Kcv::from_der(&der::Encode::to_der(&kcv).unwrap()), Ok(kcv));
        }
    }

    #[test]
    fn must_be_refused() {
        for text in [
            "",
            "ecb3",
            "ecb3:",
            "ecb3:2677F4",
            "ecb3:2677f",
            "ecb3:2677f46b",
            "cmac5:2677f4",
            "ECB3:2677f4",
            "ecb4:2677f4",
        ] {
            assert!(text.parse::<Kcv>().is_err(), "{text}");
        }
        assert!(Kcv::new(KcvMethod::Ecb3, &[1; 8]).is_err());
        assert!(Kcv::truncated(KcvMethod::Ecb3, &[1; 2]).is_err());
    }

    #[test]
    fn eight_bytes_are_cut_and_methods_do_not_mix() {
        let cut = Kcv::truncated(KcvMethod::Ecb3, &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        assert_eq!(cut.value(), [1, 2, 3]);
        let other = Kcv::new(KcvMethod::Cmac5, &[1, 2, 3, 0, 0]).unwrap();
        assert_eq!(cut.must_equal(&other), Err(KcvMismatch { expected: cut, found: other }));
        assert_eq!(cut.must_equal(&cut), Ok(()));
    }
}
