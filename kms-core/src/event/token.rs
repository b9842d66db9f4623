//! What the instance found when it looked at its token: entries about the HSM itself.
//!
//! Stored format: changing a type here needs a new label.

use der::asn1::OctetString;
use der::{Enumerated, Sequence};

use crate::digest::Digest;

/// Most differences listed in one entry; [`TokenAudited::differences`] counts all.
pub const DIFFERENCES_MAX: usize = 256;
/// Longest CKA_ID written down, in bytes; of a longer one the beginning.
pub const OBJECT_ID_BYTES_MAX: usize = 64;
/// Most failed checks in one entry.
pub const FAILED_CHECKS_MAX: usize = 64;
/// Longest name of a model, firmware or check, in bytes.
pub const TOKEN_TEXT_BYTES_MAX: usize = 128;

/// In which way an object is not as the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[repr(u8)]
pub enum DifferenceKind {
    /// Not in the token.
    Missing = 0,
    /// Several objects under one class and id.
    Duplicate = 1,
    /// An attribute, the check value or the public half differs.
    Wrong = 2,
    /// In the token, and no key that the log knows.
    Unknown = 3,
}

impl DifferenceKind {
    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Duplicate => "duplicate",
            Self::Wrong => "wrong",
            Self::Unknown => "unknown",
        }
    }
}

/// An object that is not as the log says.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Difference {
    /// CKA_ID of the object.
    pub id: OctetString,
    /// How it differs.
    pub kind: DifferenceKind,
}

/// All objects of a token were compared with the keys that the log knows.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct TokenAudited {
    /// The token.
    pub hsm_serial: String,
    /// SM3 of the snapshot: every object with its attributes, the log head apart.
    pub snapshot: Digest,
    /// Objects in the token, the log head apart.
    pub objects: u32,
    /// Keys that the log knows.
    pub keys: u32,
    /// How many objects are missing, doubled, wrong or unknown.
    pub differences: u32,
    /// The first of them, sorted by id and kind, each once.
    pub differing: Vec<Difference>,
}

/// A token was attacked and examined on throw-away keys.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct TokenProbed {
    /// The token.
    pub hsm_serial: String,
    /// Its model.
    pub model: String,
    /// Its firmware version.
    pub firmware: String,
    /// SM3 of the vendor map.
    pub map: Digest,
    /// Attacks that work, by number, in order.
    pub open: Vec<u8>,
    /// Attacks that could not be tried, by number, in order.
    pub untried: Vec<u8>,
    /// Names of known-answer tests that failed.
    pub failed: Vec<String>,
}
