//! The file form of a key profile.
// Reviewed format: its version is in `form`.

use kms_core::{
    digest::Digest,
    diversify::PathElement,
    ports::Custody,
    profile::{Algorithm, Evidence, KeyProfile, ProfileKeyParts, ProfileParts, ProfileViolation, Recipient, Scope},
    secret::KcvMethod,
};
use serde::Deserialize;
use toml::Spanned;

use super::{Finding, PolicyFileError, check_form, line_of, read};

const FORM: &str = "kms-profile/1";

/// Reads `policies/profiles/*.toml`.
pub fn parse_profile(bytes: &[u8]) -> Result<KeyProfile, PolicyFileError<ProfileViolation>> {
    let (text, file) = read::<_, ProfileFile>(bytes)?;
    check_form(text, &file.form, FORM)?;
    let lines: Vec<_> =
        file.keys.iter().map(|key| (key.name.get_ref().clone(), line_of(text, key.name.span().start))).collect();
    KeyProfile::from_parts(file.into_parts(), Digest::of(bytes)).map_err(|violations| {
        let line = |violation: &ProfileViolation| {
            // Of two keys with one name the later is the one too many.
            let entry = lines.iter().rev().find(|(name, _)| Some(name.as_str()) == violation.key());
            entry.map(|(_, line)| *line)
        };
        PolicyFileError::Rules(
            violations.into_iter().map(|violation| Finding { line: line(&violation), violation }).collect(),
        )
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileFile {
    form: Spanned<String>,
    id: String,
    version: u32,
    title: String,
    evidence: EvidenceName,
    custody: CustodyTable,
    defaults: Defaults,
    keys: Vec<KeyTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CustodyTable {
    national: CustodyName,
    provincial: CustodyName,
}

/// What every key has that does not say otherwise.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Defaults {
    algorithm: AlgorithmName,
    length: u8,
    path: Vec<ElementName>,
    recipients: Vec<RecipientName>,
    evidence: EvidenceName,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyTable {
    name: Spanned<String>,
    card_ref: u8,
    groups: u8,
    sam_use: u8,
    sam_id: u8,
    sam_level: u8,
    scope: ScopeName,
    package_kcv: KcvName,
    algorithm: Option<AlgorithmName>,
    length: Option<u8>,
    path: Option<Vec<ElementName>>,
    recipients: Option<Vec<RecipientName>>,
    evidence: Option<EvidenceName>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EvidenceName {
    Analogue,
    Impl,
    Inferred,
    Spec,
    Unknown,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CustodyName {
    Local,
    Transferable,
}

#[derive(Clone, Copy, Deserialize)]
enum AlgorithmName {
    #[serde(rename = "sm1")]
    Sm1,
    #[serde(rename = "sm4")]
    Sm4,
    #[serde(rename = "3des")]
    TripleDes,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ScopeName {
    National,
    Provincial,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RecipientName {
    Bureau,
    Sam,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KcvName {
    Cmac5,
    Ecb3,
    None,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct ElementName(PathElement);

impl TryFrom<String> for ElementName {
    type Error = kms_core::diversify::InvalidPath;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        PathElement::parse(&text).map(Self)
    }
}

impl ProfileFile {
    fn into_parts(self) -> ProfileParts {
        let defaults = self.defaults;
        ProfileParts {
            id: self.id,
            version: self.version,
            title: self.title,
            evidence: self.evidence.into(),
            national_custody: self.custody.national.into(),
            provincial_custody: self.custody.provincial.into(),
            keys: self.keys.into_iter().map(|key| key.into_parts(&defaults)).collect(),
        }
    }
}

impl KeyTable {
    fn into_parts(self, defaults: &Defaults) -> ProfileKeyParts {
        let path = self.path.as_ref().unwrap_or(&defaults.path);
        let recipients = self.recipients.as_ref().unwrap_or(&defaults.recipients);
        ProfileKeyParts {
            card_ref: self.card_ref,
            groups: self.groups,
            length: self.length.unwrap_or(defaults.length),
            sam_use: self.sam_use,
            sam_id: self.sam_id,
            sam_level: self.sam_level,
            scope: self.scope.into(),
            algorithm: self.algorithm.unwrap_or(defaults.algorithm).into(),
            package_kcv: self.package_kcv.into(),
            path: path.iter().map(|element| element.0).collect(),
            recipients: recipients.iter().map(|recipient| (*recipient).into()).collect(),
            evidence: self.evidence.unwrap_or(defaults.evidence).into(),
            name: self.name.into_inner(),
        }
    }
}

impl From<EvidenceName> for Evidence {
    fn from(name: EvidenceName) -> Self {
        match name {
            EvidenceName::Analogue => Self::Analogue,
            EvidenceName::Impl => Self::Impl,
            EvidenceName::Inferred => Self::Inferred,
            EvidenceName::Spec => Self::Spec,
            EvidenceName::Unknown => Self::Unknown,
        }
    }
}

impl From<CustodyName> for Custody {
    fn from(name: CustodyName) -> Self {
        match name {
            CustodyName::Local => Self::Local,
            CustodyName::Transferable => Self::Transferable,
        }
    }
}

impl From<AlgorithmName> for Algorithm {
    fn from(name: AlgorithmName) -> Self {
        match name {
            AlgorithmName::Sm1 => Self::Sm1,
            AlgorithmName::Sm4 => Self::Sm4,
            AlgorithmName::TripleDes => Self::TripleDes,
        }
    }
}

impl From<ScopeName> for Scope {
    fn from(name: ScopeName) -> Self {
        match name {
            ScopeName::National => Self::National,
            ScopeName::Provincial => Self::Provincial,
        }
    }
}

impl From<RecipientName> for Recipient {
    fn from(name: RecipientName) -> Self {
        match name {
            RecipientName::Bureau => Self::Bureau,
            RecipientName::Sam => Self::Sam,
        }
    }
}

impl From<KcvName> for Option<KcvMethod> {
    fn from(name: KcvName) -> Self {
        match name {
            KcvName::Cmac5 => Some(KcvMethod::Cmac5),
            KcvName::Ecb3 => Some(KcvMethod::Ecb3),
            KcvName::None => None,
        }
    }
}
