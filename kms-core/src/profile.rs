//! A key profile: every key of a card product, as reviewed data.
//!
//! Not the file form (that is in `kms-api`) and not the keys. Guards: what a profile says is possible
//! on the card, in the SAM and in this build; a check value never goes into a package for a key that
//! secure messaging uses; the digest is that of the reviewed file's exact bytes.

mod key;
mod violation;

pub use key::{Algorithm, Evidence, KeyName, ProfileKey, ProfileKeyParts, Recipient, SamKeyType, Scope};
pub use violation::ProfileViolation;

use std::collections::BTreeMap;

use crate::{digest::Digest, diversify::Path, encoding::check_text, id::ProfileId, ports::Custody};

/// Most keys of a profile.
pub const PROFILE_KEYS_MAX: usize = 64;

/// Most key slots of a card: one per key and group.
pub const PROFILE_SLOTS_MAX: usize = 256;

/// Most groups of a key: a SAM has three bits for the version.
pub const KEY_GROUPS_MAX: u8 = 7;

/// Bytes of every key: SM4 knows no other length.
pub const KEY_BYTES: u8 = 16;

/// Longest title, in bytes.
pub const TITLE_BYTES_MAX: usize = 128;

/// Version of the first master of a slot; later ones count on.
pub const FIRST_MASTER_VERSION: u16 = 1;

/// A profile before it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileParts {
    /// Name of the card product, such as `resident-health-card`.
    pub id: String,
    /// Counts up with every change.
    pub version: u32,
    /// For people.
    pub title: String,
    /// What the weakest part of the profile rests on.
    pub evidence: Evidence,
    /// May national masters leave their HSM wrapped.
    pub national_custody: Custody,
    /// May provincial masters leave their HSM wrapped.
    pub provincial_custody: Custody,
    /// The keys, in listing order.
    pub keys: Vec<ProfileKeyParts>,
}

/// A checked profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProfile {
    id: ProfileId,
    version: u32,
    title: String,
    evidence: Evidence,
    national_custody: Custody,
    provincial_custody: Custody,
    path: Path,
    algorithm: Algorithm,
    keys: Vec<ProfileKey>,
    digest: Digest,
}

impl KeyProfile {
    /// Checks everything; the error lists all that is wrong. `digest` is SM3 of the file's bytes.
    pub fn from_parts(parts: ProfileParts, digest: Digest) -> Result<Self, Vec<ProfileViolation>> {
        let mut found = Vec::new();
        let id = ProfileId::new(&parts.id).map_err(|_| found.push(ProfileViolation::Id)).ok();
        if parts.version == 0 {
            found.push(ProfileViolation::Version);
        }
        if parts.title.is_empty() || check_text(&parts.title, TITLE_BYTES_MAX).is_err() {
            found.push(ProfileViolation::Title);
        }
        if !(1..=PROFILE_KEYS_MAX).contains(&parts.keys.len()) {
            found.push(ProfileViolation::KeyCount { found: parts.keys.len() });
        }
        check_unique(&parts.keys, &mut found);
        let slots = parts.keys.iter().map(|key| usize::from(key.groups)).sum();
        if slots > PROFILE_SLOTS_MAX {
            found.push(ProfileViolation::SlotCount { found: slots });
        }
        check_custody(&parts, &mut found);
        let keys: Vec<_> = parts.keys.iter().filter_map(|key| ProfileKey::from_parts(key, &mut found)).collect();
        let path = common_path(&keys, &mut found);
        let algorithm = common_algorithm(&keys, &mut found);
        match (id, path, algorithm) {
            (Some(id), Some(path), Some(algorithm)) if found.is_empty() => Ok(Self {
                id,
                version: parts.version,
                title: parts.title,
                evidence: parts.evidence,
                national_custody: parts.national_custody,
                provincial_custody: parts.provincial_custody,
                path,
                algorithm,
                keys,
                digest,
            }),
            _ => Err(found),
        }
    }

    /// Name of the card product.
    #[must_use]
    pub const fn id(&self) -> &ProfileId {
        &self.id
    }

    /// Version of the profile.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// For people.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What the weakest part of the profile rests on.
    #[must_use]
    pub const fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// May national masters leave their HSM wrapped.
    #[must_use]
    pub const fn national_custody(&self) -> Custody {
        self.national_custody
    }

    /// May provincial masters leave their HSM wrapped.
    #[must_use]
    pub const fn provincial_custody(&self) -> Custody {
        self.provincial_custody
    }

    /// The path that every key of the profile takes.
    #[must_use]
    pub const fn path(&self) -> &Path {
        &self.path
    }

    /// The algorithm of every key of the profile.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The keys, in listing order.
    #[must_use]
    pub fn keys(&self) -> &[ProfileKey] {
        &self.keys
    }

    /// The key of this name.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&ProfileKey> {
        self.keys.iter().find(|key| key.name().as_str() == name)
    }

    /// Every key slot of a card: keys in listing order, the groups of each from 1.
    // Stored format: packages hold keys in this order.
    pub fn slots(&self) -> impl Iterator<Item = Slot<'_>> {
        self.keys
            .iter()
            .flat_map(|key| (1..=key.groups()).map(move |group| Slot { key, group, version: FIRST_MASTER_VERSION }))
    }

    /// The slots that `recipient` may receive.
    pub fn slots_for(&self, recipient: Recipient) -> impl Iterator<Item = Slot<'_>> {
        self.slots().filter(move |slot| slot.key.may_go_to(recipient))
    }

    /// SM3 of the reviewed file's bytes: `openssl dgst -sm3 FILE` prints the same.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

/// One key slot of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot<'a> {
    /// The key.
    pub key: &'a ProfileKey,
    /// Its group (密钥组), from 1.
    pub group: u8,
    /// Version of the slot's first master; what is in force later stands in the log.
    pub version: u16,
}

impl Slot<'_> {
    /// Name of the key.
    #[must_use]
    pub fn name(&self) -> &str {
        self.key.name().as_str()
    }
}

/// `RK1_DF01/2`.
impl std::fmt::Display for Slot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.key.name(), self.group)
    }
}

fn check_unique(keys: &[ProfileKeyParts], found: &mut Vec<ProfileViolation>) {
    let (mut names, mut sam_ids) = (BTreeMap::new(), BTreeMap::new());
    for key in keys {
        if names.insert(&key.name, ()).is_some() {
            found.push(ProfileViolation::DuplicateName { key: key.name.clone() });
        }
        if let Some(other) = sam_ids.insert(key.sam_id, &key.name) {
            let (key, other) = (key.name.clone(), other.clone());
            found.push(ProfileViolation::DuplicateSamId { key, other });
        }
    }
}

/// A SAM receives the masters of its level themselves, so these must be able to leave wrapped.
fn check_custody(parts: &ProfileParts, found: &mut Vec<ProfileViolation>) {
    for (scope, custody) in [(Scope::National, parts.national_custody), (Scope::Provincial, parts.provincial_custody)] {
        let loads_sam = parts.keys.iter().any(|key| key.scope == scope && key.recipients.contains(&Recipient::Sam));
        if loads_sam && custody == Custody::Local {
            found.push(ProfileViolation::CustodyOfSamKey { level: scope.name() });
        }
    }
}

/// One HSM request diversifies all masters by the same block, so all keys take one path.
fn common_path(keys: &[ProfileKey], found: &mut Vec<ProfileViolation>) -> Option<Path> {
    let path = keys.first()?.path();
    for key in keys.iter().filter(|key| key.path() != path) {
        found.push(ProfileViolation::MixedPaths { key: key.name().as_str().into() });
    }
    Some(path.clone())
}

/// The masters of a profile lie in one HSM, whose map has one algorithm for them.
fn common_algorithm(keys: &[ProfileKey], found: &mut Vec<ProfileViolation>) -> Option<Algorithm> {
    let algorithm = keys.first()?.algorithm();
    for key in keys.iter().filter(|key| key.algorithm() != algorithm) {
        found.push(ProfileViolation::MixedAlgorithms { key: key.name().as_str().into() });
    }
    Some(algorithm)
}
