//! An SM3 value.
//!
//! Not a hash context and not a keyed hash. Guards: a digest is always 32 bytes, whether it comes
//! from hexadecimal text, from DER or from the hash itself.

use std::fmt;

use ::sm3::{Digest as _, Sm3};
use der::{DecodeValue, EncodeValue, ErrorKind, FixedTag, Header, Length, Reader, Tag, Writer};

use crate::words;

/// Bytes of an SM3 value.
pub const DIGEST_BYTES: usize = 32;

/// Words read aloud for a digest: its first eight bytes.
pub const DIGEST_WORDS: usize = 8;

/// An SM3 value (GM/T 0004). In DER an OCTET STRING of exactly 32 bytes.
// Stored format: changing the DER form needs a migration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; DIGEST_BYTES]);

impl Digest {
    /// SM3 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_parts(&[bytes])
    }

    /// SM3 of the parts one after the other, without separators: the caller sees to it that the
    /// concatenation is unambiguous.
    #[must_use]
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = Sm3::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// A digest that was computed elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; DIGEST_BYTES]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; DIGEST_BYTES] {
        &self.0
    }

    /// Exactly 64 lower-case hexadecimal digits, as [`fmt::Display`] writes them.
    pub fn from_hex(text: &str) -> Result<Self, ParseDigestError> {
        if text.len() != 2 * DIGEST_BYTES {
            return Err(ParseDigestError::Length { expected: 2 * DIGEST_BYTES, found: text.len() });
        }
        let mut bytes = [0; DIGEST_BYTES];
        for (position, character) in text.bytes().enumerate() {
            let value = match character {
                b'0'..=b'9' => character - b'0',
                b'a'..=b'f' => character - b'a' + 10,
                _ => return Err(ParseDigestError::Character { position }),
            };
            bytes[position / 2] = bytes[position / 2] << 4 | value;
        }
        Ok(Self(bytes))
    }

    /// The first eight bytes in words of the PGP word list, for reading aloud.
    #[must_use]
    pub fn words(&self) -> [&'static str; DIGEST_WORDS] {
        std::array::from_fn(|position| words::word(position, self.0[position]))
    }
}

/// 64 lower-case hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The first eight digits: enough to tell two digests apart in a test failure.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Digest({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl std::str::FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        Self::from_hex(text)
    }
}

impl FixedTag for Digest {
    const TAG: Tag = Tag::OctetString;
}

impl<'a> DecodeValue<'a> for Digest {
    type Error = der::Error;

    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
        let mut bytes = [0; DIGEST_BYTES];
        if usize::try_from(header.length())? != DIGEST_BYTES {
            return Err(reader.error(ErrorKind::Length { tag: Self::TAG }));
        }
        reader.read_into(&mut bytes)?;
        Ok(Self(bytes))
    }
}

impl EncodeValue for Digest {
    fn value_len(&self) -> der::Result<Length> {
        Length::try_from(DIGEST_BYTES)
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        writer.write(&self.0)
    }
}

/// Why text is not a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseDigestError {
    /// Something other than `0`–`9`, `a`–`f`.
    #[error("character {} of the digest is not a lower-case hexadecimal digit", .position + 1)]
    Character {
        /// 0-based.
        position: usize,
    },
    /// Not 64 digits.
    #[error("a digest has {expected} hexadecimal digits, not {found}")]
    Length {
        /// 64.
        expected: usize,
        /// Bytes of the text.
        found: usize,
    },
}
