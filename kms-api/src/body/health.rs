//! Body of `/health`: what an operator's monitoring reads. Open to everyone, so it names no person,
//! bureau or batch.

use kms_core::digest::Digest;
use kms_core::id::{Origin, RegionCode};
use kms_core::ports::Restriction;
use serde::{Deserialize, Serialize};

use crate::text::Text;

/// Answer of `GET /health`: 200 when everything works, else 503 with the same body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Everything taken together.
    pub status: Overall,
    /// Name of the instance.
    pub origin: Text<Origin>,
    /// `national` or `provincial`.
    pub level: String,
    /// Its region.
    pub region: Text<RegionCode>,
    /// `production` or `test`.
    pub environment: String,
    /// Was the genesis ceremony held?
    pub founded: bool,
    /// Version of the program.
    pub build: String,
    /// The database.
    pub database: DatabaseHealth,
    /// The key log.
    pub log: LogHealth,
    /// The HSM.
    pub hsm: HsmHealth,
    /// The batch engine.
    pub engine: EngineHealth,
}

/// Everything taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overall {
    /// All parts work.
    Ok,
    /// Some part does not; reading still works.
    Degraded,
}

/// The database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseHealth {
    /// Does it answer?
    pub ok: bool,
    /// Which kind: `sqlite`.
    pub kind: String,
}

/// The key log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogHealth {
    /// Entries.
    pub size: u64,
    /// Root over them.
    pub root: Text<Digest>,
    /// Entries covered by the latest signed checkpoint.
    pub checkpoint_size: u64,
}

/// The HSM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HsmHealth {
    /// Does it work?
    pub state: HsmState,
    /// Serial number, when it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Token label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Name of the vendor map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map: Option<String>,
    /// State of the user PIN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_pin: Option<PinStateName>,
    /// Sessions that may work on a chunk at once, as configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lanes: Option<u16>,
    /// As many of them as the token gave for the last chunk, once there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lanes_given: Option<u16>,
    /// What the worker process has given up, and what it could not; empty when the HSM does not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sandbox: Vec<RestrictionHealth>,
    /// The failed call and its code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The last comparison of the token with the key log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditHealth>,
    /// The last probe of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeHealth>,
}

/// The last comparison of the token with the key log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditHealth {
    /// When.
    pub at_ms: u64,
    /// SM3 of all objects with their attributes.
    pub snapshot: Text<Digest>,
    /// Objects in the token.
    pub objects: u32,
    /// Keys that the log knows.
    pub keys: u32,
    /// How many objects are missing, doubled, wrong or unknown.
    pub differences: u32,
    /// The first of them: keys among them are not served.
    pub differing: Vec<DifferingObject>,
    /// Audits so far that found what no ceremony explains.
    pub alarms: u64,
}

/// An object that is not as the log says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DifferingObject {
    /// CKA_ID in hexadecimal.
    pub id: String,
    /// `missing`, `duplicate`, `wrong` or `unknown`.
    pub state: String,
    /// What it is, and what differs, where this run of the server saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The last probe of the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeHealth {
    /// When.
    pub at_ms: u64,
    /// Model of the token.
    pub model: String,
    /// Its firmware version.
    pub firmware: String,
    /// SM3 of the vendor map.
    pub map: Text<Digest>,
    /// Attacks that work, by number (`kms hsm probe` describes them).
    pub open: Vec<u8>,
    /// Those of them that no acceptance in force names: a production instance uses no key while there is one.
    pub unaccepted: Vec<u8>,
    /// Attacks not tried.
    pub untried: Vec<u8>,
    /// Known-answer tests that failed: no key is used while there is one.
    pub failed: Vec<String>,
}

/// One thing the HSM's worker gives up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestrictionHealth {
    /// What.
    pub measure: String,
    /// `in-force`, `waived` (the configuration wants it so) or `lacking` (this system cannot).
    pub hold: String,
    /// How, or why not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl From<&Restriction> for RestrictionHealth {
    fn from(restriction: &Restriction) -> Self {
        Self {
            measure: restriction.measure.clone(),
            hold: restriction.hold.name().to_owned(),
            note: restriction.note.clone(),
        }
    }
}

/// Does the HSM work?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HsmState {
    /// It answers; the server compares it with the key log and probes it before it uses a key.
    Examining,
    /// A key is not as the key log says and is not served; the others are.
    KeysDiffer,
    /// Yes.
    Ok,
    /// It does not accept the PIN, or one more failure locks it.
    Pin,
    /// A production instance does not work on it.
    SoftwareToken,
    /// It does not answer.
    Unavailable,
    /// A known-answer test failed, or in production an attack works that nobody accepted: no key is used.
    Unfit,
}

/// State of a PIN as the token's flags tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinStateName {
    /// At least one failed attempt since the last good one.
    CountLow,
    /// One more failure locks the PIN.
    FinalTry,
    /// No failed attempt is outstanding.
    Good,
    /// Only the security officer can reset it.
    Locked,
}

/// The batch engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineHealth {
    /// What it does.
    pub state: EngineState,
    /// Why it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What the engine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineState {
    /// Nothing to do.
    Idle,
    /// A fault that needs people; the error says which.
    Stopped,
    /// For the HSM or the disk to come back.
    Waiting,
    /// Making chunks.
    Working,
}
