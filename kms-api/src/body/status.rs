//! Bodies that show an instance: people, masters, partners, the log; and the hand-over between nation
//! and province.

use kms_core::digest::Digest;
use kms_core::id::{BureauId, Origin, PersonId, ProfileId, RegionCode};
use kms_core::secret::Kcv;
use serde::{Deserialize, Serialize};

use super::ceremony::RoleName;
use crate::text::{Base64, Text};

/// A person on the roster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonView {
    /// Id.
    pub id: Text<PersonId>,
    /// Name.
    pub name: String,
    /// Role.
    pub role: RoleName,
    /// SM3 of the public key's SubjectPublicKeyInfo.
    pub key_id: Text<Digest>,
}

/// A key profile this server knows: `GET /v1/profiles/{digest}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileView {
    /// Name.
    pub id: Text<ProfileId>,
    /// SM3 of the file.
    pub digest: Text<Digest>,
    /// Keys per card.
    pub slots: u32,
}

/// A key and what may be told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyView {
    /// Name.
    pub name: String,
    /// Group; 0 where there is none.
    pub group: u8,
    /// Version; 0 where there is none.
    pub version: u16,
    /// Check value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kcv: Option<Text<Kcv>>,
}

/// Masters of one profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MasterSetView {
    /// Profile digest.
    pub profile: Text<Digest>,
    /// The masters.
    pub keys: Vec<KeyView>,
}

/// A paired province.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvinceView {
    /// Region.
    pub region: Text<RegionCode>,
    /// Its log.
    pub origin: Text<Origin>,
}

/// The paired nation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NationView {
    /// Its log.
    pub origin: Text<Origin>,
}

/// A registered bureau.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BureauView {
    /// Id.
    pub id: Text<BureauId>,
    /// Company name.
    pub name: String,
    /// No batch is authorised after this time.
    pub valid_until_ms: u64,
}

/// Answer of `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusView {
    /// Name of the instance.
    pub origin: Text<Origin>,
    /// `national` or `provincial`.
    pub level: String,
    /// Region.
    pub region: Text<RegionCode>,
    /// `production` or `test`.
    pub environment: String,
    /// The caller, as the server knows them: `person:…`, `bureau:…`, `instance:…`.
    pub you: String,
    /// The roster.
    pub people: Vec<PersonView>,
    /// Profiles this server knows.
    pub profiles: Vec<ProfileView>,
    /// Masters it holds.
    pub masters: Vec<MasterSetView>,
    /// Provinces paired with it.
    pub provinces: Vec<ProvinceView>,
    /// The nation it is paired with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nation: Option<NationView>,
    /// Bureaus registered here; a bureau sees only itself.
    pub bureaus: Vec<BureauView>,
    /// The log.
    pub log: LogInfo,
}

/// The latest checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointView {
    /// Entries it covers.
    pub size: u64,
    /// Root over them.
    pub root: Text<Digest>,
}

/// Answer of `GET /v1/log/info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogInfo {
    /// Name of the log.
    pub origin: Text<Origin>,
    /// Entries.
    pub size: u64,
    /// Root over them.
    pub root: Text<Digest>,
    /// Latest signed checkpoint; its note is at `/v1/log/checkpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointView>,
}

/// A set of sealed masters on its way to a province.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandOver {
    /// The ceremony that sealed it.
    pub plan: Text<Digest>,
    /// SM3 of the signed set.
    pub digest: Text<Digest>,
    /// The signed set, DER.
    pub sealed: Base64,
    /// Was the receipt recorded?
    pub confirmed: bool,
}

/// Answer of `GET /v1/hand-overs`: what the calling province may fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandOvers {
    /// The sets.
    pub hand_overs: Vec<HandOver>,
}

/// Answer of `POST /v1/hand-over/pull` at a province: sets now kept there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pulled {
    /// SM3 of each signed set; propose `import-masters` with one of them.
    pub sealed: Vec<Text<Digest>>,
}

/// Body of `POST /v1/hand-over/confirm` at a province: sends the receipt of an import to the nation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// The import ceremony at the province.
    pub plan: Text<Digest>,
}

/// A document was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// SM3 of it.
    pub digest: Text<Digest>,
}
