//! Policy files this server was started with: quorum rules and key profiles, by digest.
//!
//! Read once at start. Guards: a profile is found by the SM3 of its reviewed bytes, so a changed file is
//! another profile.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kms_api::policy_file::{parse_ceremony_policy, parse_profile};
use kms_core::digest::Digest;
use kms_core::id::ProfileId;
use kms_core::policy::CeremonyPolicy;
use kms_core::profile::KeyProfile;
use thiserror::Error;

/// Most profile files.
const PROFILES_MAX: usize = 64;

/// Policy files in force.
pub struct Policies {
    ceremonies: CeremonyPolicy,
    profiles: BTreeMap<Digest, (KeyProfile, Vec<u8>)>,
}

/// A policy file that cannot be used.
#[derive(Debug, Error)]
pub enum PolicyError {
    /// Cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its content is wrong.
    #[error("{}: {reason}", path.display())]
    Wrong {
        /// Which.
        path: PathBuf,
        /// All that is wrong.
        reason: String,
    },
    /// Two files define the same profile.
    #[error("{}: there is another file for the profile {id}", path.display())]
    Twice {
        /// The second one.
        path: PathBuf,
        /// Whose.
        id: ProfileId,
    },
    /// More than anyone reviews.
    #[error("{}: more than {PROFILES_MAX} profiles", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
}

impl Policies {
    /// Reads `ceremonies.toml` and `profiles/*.toml`.
    pub fn read(folder: &Path) -> Result<Self, PolicyError> {
        let path = folder.join("ceremonies.toml");
        let ceremonies = parse_ceremony_policy(&read(&path)?).map_err(|error| wrong(&path, &error))?;
        let mut profiles = BTreeMap::new();
        for path in profile_files(&folder.join("profiles"))? {
            let bytes = read(&path)?;
            let profile = parse_profile(&bytes).map_err(|error| wrong(&path, &error))?;
            let id = profile.id().clone();
            if profiles.values().any(|(known, _): &(KeyProfile, _)| *known.id() == id) {
                return Err(PolicyError::Twice { path, id });
            }
            profiles.insert(profile.digest(), (profile, bytes));
        }
        Ok(Self { ceremonies, profiles })
    }

    /// Quorum rules, batch limits, production tokens.
    pub fn ceremonies(&self) -> &CeremonyPolicy {
        &self.ceremonies
    }

    /// All profiles.
    pub fn profiles(&self) -> impl Iterator<Item = &KeyProfile> {
        self.profiles.values().map(|(profile, _)| profile)
    }

    /// The profile with this digest.
    pub fn profile(&self, digest: &Digest) -> Option<&KeyProfile> {
        self.profiles.get(digest).map(|(profile, _)| profile)
    }

    /// The profile of this name.
    pub fn profile_named(&self, id: &ProfileId) -> Option<&KeyProfile> {
        self.profiles().find(|profile| profile.id() == id)
    }

    /// The bytes of the profile file with this digest.
    pub fn profile_file(&self, digest: &Digest) -> Option<&[u8]> {
        self.profiles.get(digest).map(|(_, bytes)| bytes.as_slice())
    }
}

fn profile_files(folder: &Path) -> Result<Vec<PathBuf>, PolicyError> {
    let unreadable = |source| PolicyError::Unreadable { path: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(unreadable)?.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    if files.len() > PROFILES_MAX { Err(PolicyError::TooMany { path: folder.to_owned() }) } else { Ok(files) }
}

fn read(path: &Path) -> Result<Vec<u8>, PolicyError> {
    fs::read(path).map_err(|source| PolicyError::Unreadable { path: path.to_owned(), source })
}

fn wrong(path: &Path, error: &dyn std::error::Error) -> PolicyError {
    PolicyError::Wrong { path: path.to_owned(), reason: error.to_string() }
}
