//! What is wrong with a profile, one variant per rule.

use super::{Algorithm, KEY_BYTES, KEY_GROUPS_MAX, PROFILE_KEYS_MAX, PROFILE_SLOTS_MAX, TITLE_BYTES_MAX};
use crate::{diversify::InvalidPath, secret::KcvMethod};

/// One broken rule. `key` is the name as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are named in the message above each variant")]
pub enum ProfileViolation {
    #[error("{key}: algorithm {}: this build supports sm4 and sm1", .found.name())]
    Algorithm { key: String, found: Algorithm },
    #[error(
        "custody: the {level} masters are \"local\", but a SAM is to receive one: SAM loading needs \"transferable\""
    )]
    CustodyOfSamKey { level: &'static str },
    #[error("{key}: the name stands twice")]
    DuplicateName { key: String },
    #[error("{key}: has the SAM id of {other}")]
    DuplicateSamId { key: String, other: String },
    #[error("{key}: {found} groups, 1 to {KEY_GROUPS_MAX} are possible")]
    Groups { key: String, found: u8 },
    #[error("id: 1 to 64 lower-case letters, digits, hyphens and dots")]
    Id,
    #[error("{key}: package_kcv = \"{found}\" is not supported by this build")]
    KcvMethod { key: String, found: KcvMethod },
    #[error("{key}: package_kcv must be \"none\" for a secure messaging key: E_K(0) helps to forge its CBC-MAC")]
    KcvOfMacKey { key: String },
    #[error("{found} keys, 1 to {PROFILE_KEYS_MAX} are possible")]
    KeyCount { found: usize },
    #[error("{key}: {found} bytes, a key has {KEY_BYTES}")]
    Length { key: String, found: u8 },
    #[error("{key}: another algorithm than the first key; all keys of a profile are of one")]
    MixedAlgorithms { key: String },
    #[error("{key}: another path than the first key; all keys of a profile take one path in this build")]
    MixedPaths { key: String },
    #[error("{key}: a name is 1 to 32 upper-case letters, digits and underscores, and begins with a letter")]
    Name { key: String },
    #[error("{key}: {reason}")]
    Path { key: String, reason: InvalidPath },
    #[error("{key}: recipients are \"bureau\", \"sam\" or both, each once")]
    Recipients { key: String },
    #[error("{key}: SAM id {found}, 1 to 31 are possible")]
    SamId { key: String, found: u8 },
    #[error("{key}: sam_use says key type {found}; 7 (authentication) and 8 (secure messaging) are known")]
    SamKeyType { key: String, found: u8 },
    #[error("{key}: sam_level {found}, its scope says {expected}")]
    SamLevel { key: String, expected: u8, found: u8 },
    #[error("{key}: sam_use says {found} diversification levels, scope and path say {expected}")]
    SamUseLevels { key: String, expected: usize, found: u8 },
    #[error("{found} key slots, {PROFILE_SLOTS_MAX} are possible")]
    SlotCount { found: usize },
    #[error("title: 1 to {TITLE_BYTES_MAX} bytes in Unicode normal form C without invisible characters")]
    Title,
    #[error("version: counts from 1")]
    Version,
}

impl ProfileViolation {
    /// The key that the rule is about, as the file names it; `None` for the profile as a whole.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Algorithm { key, .. }
            | Self::DuplicateName { key }
            | Self::DuplicateSamId { key, .. }
            | Self::Groups { key, .. }
            | Self::KcvMethod { key, .. }
            | Self::KcvOfMacKey { key }
            | Self::Length { key, .. }
            | Self::MixedAlgorithms { key }
            | Self::MixedPaths { key }
            | Self::Name { key }
            | Self::Path { key, .. }
            | Self::Recipients { key }
            | Self::SamId { key, .. }
            | Self::SamKeyType { key, .. }
            | Self::SamLevel { key, .. }
            | Self::SamUseLevels { key, .. } => Some(key),
            Self::CustodyOfSamKey { .. }
            | Self::Id
            | Self::KeyCount { .. }
            | Self::SlotCount { .. }
            | Self::Title
            | Self::Version => None,
        }
    }
}
