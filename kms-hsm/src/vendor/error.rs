//! What can be wrong with a vendor map.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a map file is not usable: file, line, reason.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{}: {reason}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct MapError {
    /// The file.
    pub path: PathBuf,
    /// 1-based line, where one is known.
    pub line: Option<usize>,
    /// The reason.
    pub reason: MapFault,
}

impl MapError {
    pub(super) fn new(path: &Path, line: Option<usize>, reason: MapFault) -> Self {
        Self { path: path.to_owned(), line, reason }
    }
}

/// What is wrong with a map file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MapFault {
    /// Not TOML, or not the form of a map; the parser's words.
    #[error("{0}")]
    Form(String),
    /// A name of other characters than the reports can show.
    #[error("name {found:?} must be lower-case letters, digits and hyphens")]
    Name {
        /// The name given.
        found: String,
    },
    /// A number no PKCS#11 module can have.
    #[error(
        "number {found:#x} is not between 1 and 0xfffffffe (0 is right for CKK_RSA and CKM_RSA_PKCS_KEY_PAIR_GEN only)"
    )]
    NumberRange {
        /// The number given.
        found: u64,
    },
    /// A suite without its key types.
    #[error("[key-types] needs {wanted}")]
    KeyTypeMissing {
        /// Their names.
        wanted: &'static str,
    },
    /// `[cards]` in a suite that has one algorithm for them.
    #[error("suite intl has AES-128 cards; leave [cards] out")]
    CardsOfTheSuite,
    /// The key wrap is said twice or not at all.
    #[error("key-wrap = \"ecb\" wraps with {ecb}: give {ecb} a number and leave {wrap} out")]
    KeyWrap {
        /// Name of the key wrap in this suite.
        wrap: &'static str,
        /// Name of the block mode.
        ecb: &'static str,
    },
    /// Something for cards of another algorithm than the map's.
    #[error("{name} is for [cards] algorithm = \"sm1\"")]
    NotTheCards {
        /// Its name.
        name: &'static str,
    },
    /// A pinned master derives card keys only, no three bytes for a check value.
    #[error("check-value = \"derive\" cannot work with derive-template among the attributes")]
    PinnedAndDerived,
    /// One operation under two of its names.
    #[error("one of {} has a number, not both", names.join(" and "))]
    TwoNames {
        /// The names.
        names: &'static [&'static str],
    },
    /// A key type that the suite of the map does not have.
    #[error("key type {name} belongs to the other suite")]
    OtherSuite {
        /// Its name.
        name: String,
    },
    /// Two kinds of keys under one key type: certainly a mistake.
    #[error("two kinds of keys have the same key type {number:#x}")]
    SameKeyType {
        /// The number given twice.
        number: u64,
    },
    /// `signer-id` and the signature mechanism contradict each other.
    #[error("signer-id is \"caller\" exactly where sm2-sign has a number")]
    SignerId,
    /// Two operations under one number.
    #[error("{first} and {second} have the same number {number:#x}")]
    SameMechanism {
        /// The number given twice.
        number: u64,
        /// One operation.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// Not a mechanism of this suite.
    #[error("unknown mechanism {name:?}; README.md lists the names of each suite")]
    UnknownMechanism {
        /// The name given.
        name: String,
    },
    /// Longer than the limit.
    #[error("{found} bytes; at most {max} are read")]
    TooLong {
        /// Bytes of the file.
        found: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(std::io::ErrorKind),
}
