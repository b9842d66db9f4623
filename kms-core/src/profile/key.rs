//! One key of a profile.
//!
//! Guards: reference, SAM numbers, scope and path agree with one another.

use super::{KEY_BYTES, KEY_GROUPS_MAX, ProfileViolation as Violation};
use crate::{
    diversify::{Path, PathElement},
    secret::KcvMethod,
};

/// Longest key name, in bytes.
const NAME_BYTES_MAX: usize = 32;

/// Highest SAM key id: five bits of P2.
const SAM_ID_MAX: u8 = 31;

/// Name of a key: `RK1_DF01`. Upper-case ASCII letters, digits and underscores.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName(Box<str>);

impl KeyName {
    /// `None` if the text is no key name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let clean = text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        let starts = text.starts_with(|first: char| first.is_ascii_uppercase());
        (clean && starts && text.len() <= NAME_BYTES_MAX).then(|| Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for KeyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a statement of a profile rests on, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Evidence {
    /// Official text.
    Spec,
    /// Running code and real card traffic.
    Impl,
    /// A close relative of the card.
    Analogue,
    /// Reasoned.
    Inferred,
    /// Looked for and not found.
    Unknown,
}

impl Evidence {
    /// Every mark.
    pub const ALL: [Self; 5] = [Self::Spec, Self::Impl, Self::Analogue, Self::Inferred, Self::Unknown];

    /// The mark in profile files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spec => "spec",
            Self::Impl => "impl",
            Self::Analogue => "analogue",
            Self::Inferred => "inferred",
            Self::Unknown => "unknown",
        }
    }
}

/// Algorithm of a card key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Not public; only HSMs whose map has it.
    Sm1,
    /// GM/T 0002. In an HSM of suite intl AES-128 stands in its place.
    Sm4,
    /// Legacy cards. Refused by this build.
    TripleDes,
}

impl Algorithm {
    /// Every algorithm that a profile may name.
    pub const ALL: [Self; 3] = [Self::Sm1, Self::Sm4, Self::TripleDes];

    /// The name in profile files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sm1 => "sm1",
            Self::Sm4 => "sm4",
            Self::TripleDes => "3des",
        }
    }
}

/// Whose key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Used across the country: SAMs hold the national master.
    National,
    /// Used by the issuing province: SAMs hold the provincial master.
    Provincial,
}

impl Scope {
    /// `national` or `provincial`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::National => "national",
            Self::Provincial => "provincial",
        }
    }

    /// The level at which a SAM holds the key.
    const fn sam_level(self) -> u8 {
        match self {
            Self::National => 1,
            Self::Provincial => 2,
        }
    }
}

/// Who may receive a key in an encrypted package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Recipient {
    /// A personalization bureau, for cards.
    Bureau,
    /// A SAM.
    Sam,
}

impl Recipient {
    /// `bureau` or `sam`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bureau => "bureau",
            Self::Sam => "sam",
        }
    }
}

/// Key type in a SAM: the low five bits of its usage byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SamKeyType {
    /// 7: authentication.
    Authentication,
    /// 8: encryption and CBC-MAC of secure messaging.
    SecureMessaging,
}

/// A key before it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileKeyParts {
    /// `RK1_DF01`.
    pub name: String,
    /// Key reference in the user card; b8 means local to the DF.
    pub card_ref: u8,
    /// Groups (versions) on the card.
    pub groups: u8,
    /// Bytes.
    pub length: u8,
    /// SAM usage byte: b8–b6 diversification levels still to come, b5–b1 key type.
    pub sam_use: u8,
    /// SAM key id, 1 to 31.
    pub sam_id: u8,
    /// 1: SAMs hold the national master; 2: the provincial one.
    pub sam_level: u8,
    /// Whose key it is.
    pub scope: Scope,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// The check value that goes into packages, if any.
    pub package_kcv: Option<KcvMethod>,
    /// From national master to card key.
    pub path: Vec<PathElement>,
    /// Who may receive it.
    pub recipients: Vec<Recipient>,
    /// What this entry rests on.
    pub evidence: Evidence,
}

/// A checked key of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileKey {
    name: KeyName,
    path: Path,
    sam_key_type: SamKeyType,
    parts: ProfileKeyParts,
}

impl ProfileKey {
    pub(super) fn from_parts(parts: &ProfileKeyParts, found: &mut Vec<Violation>) -> Option<Self> {
        let before = found.len();
        let key = || parts.name.clone();
        let name = KeyName::parse(&parts.name);
        if name.is_none() {
            found.push(Violation::Name { key: key() });
        }
        if !(1..=KEY_GROUPS_MAX).contains(&parts.groups) {
            found.push(Violation::Groups { key: key(), found: parts.groups });
        }
        if parts.length != KEY_BYTES {
            found.push(Violation::Length { key: key(), found: parts.length });
        }
        if parts.algorithm == Algorithm::TripleDes {
            found.push(Violation::Algorithm { key: key(), found: parts.algorithm });
        }
        let path = Path::new(&parts.path).map_err(|reason| found.push(Violation::Path { key: key(), reason })).ok();
        check_recipients(parts, found);
        let sam_key_type = check_sam(parts, path.as_ref(), found);
        match (name, path, sam_key_type) {
            (Some(name), Some(path), Some(sam_key_type)) if found.len() == before => {
                Some(Self { name, path, sam_key_type, parts: parts.clone() })
            }
            _ => None,
        }
    }

    /// `RK1_DF01`.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// Key reference in the user card.
    #[must_use]
    pub const fn card_ref(&self) -> u8 {
        self.parts.card_ref
    }

    /// Groups (versions) on the card.
    #[must_use]
    pub const fn groups(&self) -> u8 {
        self.parts.groups
    }

    /// Bytes of the key.
    #[must_use]
    pub const fn length(&self) -> u8 {
        self.parts.length
    }

    /// SAM usage byte: P1 of the SAM's derive command.
    #[must_use]
    pub const fn sam_use(&self) -> u8 {
        self.parts.sam_use
    }

    /// SAM key id.
    #[must_use]
    pub const fn sam_id(&self) -> u8 {
        self.parts.sam_id
    }

    /// P2 of the SAM's derive command: version in b8–b6, id in b5–b1. Authentication keys count
    /// versions from 1, secure messaging keys from 0, as seen in card traffic.
    #[must_use]
    pub const fn sam_p2(&self, group: u8) -> Option<u8> {
        if group == 0 || group > self.parts.groups {
            return None;
        }
        let version = match self.sam_key_type {
            SamKeyType::Authentication => group,
            SamKeyType::SecureMessaging => group - 1,
        };
        Some(version << 5 | self.parts.sam_id)
    }

    /// Key type in a SAM.
    #[must_use]
    pub const fn sam_key_type(&self) -> SamKeyType {
        self.sam_key_type
    }

    /// 1: SAMs hold the national master; 2: the provincial one.
    #[must_use]
    pub const fn sam_level(&self) -> u8 {
        self.parts.sam_level
    }

    /// Whose key it is.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        self.parts.scope
    }

    /// Its algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.parts.algorithm
    }

    /// The check value that goes into packages, if any.
    #[must_use]
    pub const fn package_kcv(&self) -> Option<KcvMethod> {
        self.parts.package_kcv
    }

    /// From national master to card key.
    #[must_use]
    pub const fn path(&self) -> &Path {
        &self.path
    }

    /// Whether `recipient` may receive it.
    #[must_use]
    pub fn may_go_to(&self, recipient: Recipient) -> bool {
        self.parts.recipients.contains(&recipient)
    }

    /// What this entry rests on.
    #[must_use]
    pub const fn evidence(&self) -> Evidence {
        self.parts.evidence
    }
}

fn check_recipients(parts: &ProfileKeyParts, found: &mut Vec<Violation>) {
    let mut distinct = parts.recipients.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.is_empty() || distinct.len() != parts.recipients.len() {
        found.push(Violation::Recipients { key: parts.name.clone() });
    }
}

/// SAM numbers against one another, against the scope and against the path; and the check value
/// against the key type.
fn check_sam(parts: &ProfileKeyParts, path: Option<&Path>, found: &mut Vec<Violation>) -> Option<SamKeyType> {
    let key = || parts.name.clone();
    if !(1..=SAM_ID_MAX).contains(&parts.sam_id) {
        found.push(Violation::SamId { key: key(), found: parts.sam_id });
    }
    let expected = parts.scope.sam_level();
    if parts.sam_level != expected {
        found.push(Violation::SamLevel { key: key(), expected, found: parts.sam_level });
    }
    if let Some(path) = path {
        // A provincial master has only the card step before it.
        let steps = path.elements().len();
        let expected = if parts.scope == Scope::National { steps } else { steps.min(1) };
        let levels = parts.sam_use >> 5;
        if usize::from(levels) != expected {
            found.push(Violation::SamUseLevels { key: key(), expected, found: levels });
        }
    }
    let sam_key_type = match parts.sam_use & 0x1F {
        7 => SamKeyType::Authentication,
        8 => SamKeyType::SecureMessaging,
        other => {
            found.push(Violation::SamKeyType { key: key(), found: other });
            return None;
        }
    };
    // Iwata and Wang 2014: E_K(0) of a key used in CBC-MAC helps to forge. Other methods have no
    // place in a package yet.
    match (sam_key_type, parts.package_kcv) {
        (_, None) | (SamKeyType::Authentication, Some(KcvMethod::Ecb3)) => {}
        (SamKeyType::SecureMessaging, Some(KcvMethod::Ecb3)) => found.push(Violation::KcvOfMacKey { key: key() }),
        (_, Some(method @ KcvMethod::Cmac5)) => found.push(Violation::KcvMethod { key: key(), found: method }),
    }
    Some(sam_key_type)
}
