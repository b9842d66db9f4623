//! Names and numbers that identify things: validated once, at the edge, never bare strings afterwards.
//!
//! Guards: an id that exists is well-formed, so nothing below has to look again; ids of different
//! things are different types, so they cannot be swapped.

use std::fmt;

use der::{DecodeValue, EncodeValue, FixedTag, Header, Length, Reader, Tag, Writer};
use thiserror::Error;

use crate::digest::Digest;

/// Longest text id in bytes (ASCII, so also characters).
pub const TEXT_ID_BYTES_MAX: usize = 64;

/// A text or byte string that is not an id of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidId {
    /// Empty or longer than the limit.
    #[error("{kind} has {found} characters; 1 to {max} are allowed")]
    Length {
        /// What was being read.
        kind: &'static str,
        /// Characters found.
        found: usize,
        /// Most characters allowed.
        max: usize,
    },
    /// A character outside the alphabet of this id.
    #[error("{kind} holds {found:?}; allowed are lower-case letters, digits and {punctuation:?}")]
    Character {
        /// What was being read.
        kind: &'static str,
        /// The first character that does not belong.
        found: char,
        /// Punctuation that is allowed besides letters and digits.
        punctuation: &'static str,
    },
    /// Not the stated number of hexadecimal digits.
    #[error("{kind} wants {wanted} hexadecimal digits")]
    Hex {
        /// What was being read.
        kind: &'static str,
        /// Digits wanted.
        wanted: usize,
    },
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $punctuation:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Parses the id; lower-case ASCII letters, digits and the punctuation of this kind.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                if text.is_empty() || text.len() > TEXT_ID_BYTES_MAX {
                    return Err(InvalidId::Length { kind: $kind, found: text.chars().count(), max: TEXT_ID_BYTES_MAX });
                }
                let alien = text.chars().find(|c| {
                    !(c.is_ascii_lowercase() || c.is_ascii_digit() || $punctuation.contains(*c))
                });
                match alien {
                    Some(found) => Err(InvalidId::Character { kind: $kind, found, punctuation: $punctuation }),
                    None => Ok(Self(text.to_owned())),
                }
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl FixedTag for $name {
            const TAG: Tag = Tag::Utf8String;
        }

        impl<'a> DecodeValue<'a> for $name {
            type Error = der::Error;
            fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
                let text = String::decode_value(reader, header)?;
                Self::new(&text).map_err(|_| reader.error(Tag::Utf8String.value_error()))
            }
        }

        impl EncodeValue for $name {
            fn value_len(&self) -> der::Result<Length> {
                self.0.value_len()
            }
            fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
                self.0.encode_value(writer)
            }
        }
    };
}

text_id!(
    /// Name of one key log, and so of one instance: `kms.example/henan/test/log/1`.
    Origin, "origin", "-./"
);
text_id!(
    /// One natural person (officer, operator, auditor): `zhang-wei`. Two keys of a person share it.
    PersonId, "person id", "-."
);
text_id!(
    /// One personalization bureau (个人化机构): `yellow-river-cards`.
    BureauId, "bureau id", "-."
);
text_id!(
    /// A key profile's name: `resident-health-card`.
    ProfileId, "profile id", "-."
);

text_id!(
    /// Region code after GB/T 2260, six digits: `410000`; the nation is `000000`.
    RegionCode, "region code", ""
);

impl RegionCode {
    /// The nation itself.
    pub fn nation() -> Self {
        Self("000000".to_owned())
    }
}

/// Who did something. There is no default: every command and every log entry names one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Actor {
    /// A person on the roster.
    Person(PersonId),
    /// A bureau registered by ceremony.
    Bureau(BureauId),
    /// Another instance, by its log's origin.
    Instance(Origin),
    /// This instance itself: engine, start-up, expiry.
    Own,
    /// A caller that could not be authenticated.
    Unknown,
}

impl Actor {
    /// `person:…`, `bureau:…`, `instance:…`, `own` or `unknown`: the form of log and HTTP.
    pub fn to_text(&self) -> String {
        match self {
            Self::Person(id) => format!("person:{id}"),
            Self::Bureau(id) => format!("bureau:{id}"),
            Self::Instance(origin) => format!("instance:{origin}"),
            Self::Own => "own".to_owned(),
            Self::Unknown => "unknown".to_owned(),
        }
    }

    /// Reads what [`Actor::to_text`] writes.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        match text.split_once(':') {
            Some(("person", id)) => PersonId::new(id).map(Self::Person),
            Some(("bureau", id)) => BureauId::new(id).map(Self::Bureau),
            Some(("instance", id)) => Origin::new(id).map(Self::Instance),
            None if text == "own" => Ok(Self::Own),
            None if text == "unknown" => Ok(Self::Unknown),
            _ => Err(InvalidId::Character {
                kind: "actor",
                found: ':',
                punctuation: "person: bureau: instance: own unknown",
            }),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl FixedTag for Actor {
    const TAG: Tag = Tag::Utf8String;
}

impl<'a> DecodeValue<'a> for Actor {
    type Error = der::Error;
    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
        let text = String::decode_value(reader, header)?;
        Self::parse(&text).map_err(|_| reader.error(Tag::Utf8String.value_error()))
    }
}

impl EncodeValue for Actor {
    fn value_len(&self) -> der::Result<Length> {
        self.to_text().value_len()
    }
    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        self.to_text().encode_value(writer)
    }
}

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Wraps 16 bytes; all values are allowed.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Reads 32 hexadecimal digits.
            pub fn from_hex(text: &str) -> Result<Self, InvalidId> {
                let wrong = InvalidId::Hex { kind: $kind, wanted: 32 };
                if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(wrong);
                }
                let mut bytes = [0u8; 16];
                for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    let pair = std::str::from_utf8(pair).map_err(|_| wrong.clone())?;
                    *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong.clone())?;
                }
                Ok(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::from_hex(text)
            }
        }

        impl FixedTag for $name {
            const TAG: Tag = Tag::OctetString;
        }

        impl<'a> DecodeValue<'a> for $name {
            type Error = der::Error;
            fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
                if u32::from(header.length()) != 16 {
                    return Err(reader.error(Tag::OctetString.length_error()));
                }
                let mut bytes = [0u8; 16];
                reader.read_into(&mut bytes)?;
                Ok(Self(bytes))
            }
        }

        impl EncodeValue for $name {
            fn value_len(&self) -> der::Result<Length> {
                Ok(Length::new(16))
            }
            fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
                writer.write(&self.0)
            }
        }
    };
}

byte_id!(
    /// One batch of card keys, chosen at random by the bureau that asks for it.
    BatchId, "batch id"
);
byte_id!(
    /// CKA_ID of an object in the HSM, chosen at random *before* the object is made, so that a
    /// crash between making and recording can be resolved by looking it up.
    ObjectId, "object id"
);
byte_id!(
    /// A number used once.
    Nonce, "nonce"
);

/// Digest of a ceremony plan's DER bytes: the plan's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlanId(pub(crate) Digest);

impl PlanId {
    /// Names the plan that has this digest.
    pub const fn from_digest(digest: Digest) -> Self {
        Self(digest)
    }

    /// SM3 of the plan's DER bytes.
    pub const fn digest(&self) -> Digest {
        self.0
    }
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FixedTag for PlanId {
    const TAG: Tag = Tag::OctetString;
}

impl<'a> DecodeValue<'a> for PlanId {
    type Error = der::Error;
    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
        Digest::decode_value(reader, header).map(Self)
    }
}

impl EncodeValue for PlanId {
    fn value_len(&self) -> der::Result<Length> {
        self.0.value_len()
    }
    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        self.0.encode_value(writer)
    }
}
