//! Bodies around ceremonies: founding, proposals, and how far one has come.

use std::collections::BTreeMap;

use kms_core::digest::Digest;
use kms_core::id::{BatchId, PersonId, ProfileId, RegionCode};
use kms_core::plan::{RevocationReason, Role};
use kms_core::secret::Kcv;
use serde::{Deserialize, Serialize};

use super::status::KeyView;
use crate::text::{Base64, Text};

/// Role of a person in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoleName {
    /// Auditor (审计员).
    Audit,
    /// Security officer (安全管理员).
    Security,
    /// System administrator (系统管理员).
    System,
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::Audit => Self::Audit,
            Role::Security => Self::Security,
            Role::System => Self::System,
        }
    }
}

impl From<RoleName> for Role {
    fn from(role: RoleName) -> Self {
        match role {
            RoleName::Audit => Self::Audit,
            RoleName::Security => Self::Security,
            RoleName::System => Self::System,
        }
    }
}

/// A person of the founding roster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonDraft {
    /// Id.
    pub id: Text<PersonId>,
    /// As printed in reports.
    pub name: String,
    /// Role.
    pub role: RoleName,
    /// SM2 public key, PEM.
    pub public_key_pem: String,
}

/// Body of `POST /v1/genesis/draft`; the answer is the genesis plan in DER.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisDraft {
    /// The founding roster.
    pub people: Vec<PersonDraft>,
}

/// Body of `POST /v1/genesis`: founds the instance and makes its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisSubmit {
    /// The plan, DER.
    pub plan: Base64,
    /// Signed approvals of all founding officers, DER each.
    pub approvals: Vec<Base64>,
}

/// A custodian of a root component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustodianDraft {
    /// Who.
    pub person: Text<PersonId>,
    /// Check value of the component.
    pub kcv: Text<Kcv>,
}

/// Where a set of sealed keys is to be taken from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SealedSource {
    /// Carried by hand: the signed set itself, DER.
    Bytes(Base64),
    /// Pulled from the nation before: SM3 of the signed set.
    Digest(Text<Digest>),
}

/// Body of `POST /v1/ceremonies`: what an officer proposes. The server writes the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Proposal {
    /// Make the national masters of a profile.
    CreateRoots {
        /// Profile name.
        profile: Text<ProfileId>,
        /// Empty: generated in the HSM. Otherwise combined from these components.
        #[serde(default)]
        custodians: Vec<CustodianDraft>,
        /// May the masters ever leave wrapped?
        transferable: bool,
    },
    /// Pin a province.
    PairProvince {
        /// Its signed trust anchor, DER.
        anchor: Base64,
    },
    /// Seal the masters of a profile for a paired province.
    DeriveProvince {
        /// Which province.
        region: Text<RegionCode>,
        /// Profile name.
        profile: Text<ProfileId>,
    },
    /// Pin the nation at a province.
    PairNation {
        /// Its signed trust anchor, DER.
        anchor: Base64,
    },
    /// Import provincial masters.
    ImportMasters {
        /// The signed set.
        sealed: SealedSource,
        /// Profile name.
        profile: Text<ProfileId>,
        /// May the masters ever leave wrapped again?
        #[serde(default)]
        transferable: bool,
    },
    /// Register a bureau.
    RegisterBureau {
        /// Its signed application, DER.
        application: Base64,
        /// No batch is authorised after this time.
        valid_until_ms: u64,
    },
    /// Live with known weaknesses of the token for a time; model, firmware and map are those of the
    /// server's last probe.
    AcceptRisk {
        /// Attacks that work, by number.
        attacks: Vec<u8>,
        /// Why.
        reason: String,
        /// Not accepted at or after.
        valid_until_ms: u64,
    },
    /// Put a person on the roster.
    EnrolPerson {
        /// Their signed enrolment, DER.
        enrolment: Base64,
    },
    /// Take a person off the roster.
    RevokePerson {
        /// Who.
        person: Text<PersonId>,
        /// Why.
        reason: RevocationReasonName,
    },
    /// Give a person on the roster another key.
    ChangePersonKey {
        /// Their signed enrolment with the new key, DER.
        enrolment: Base64,
        /// Why the old key goes.
        reason: RevocationReasonName,
    },
    /// Put the rules of the server's policy file in force.
    ChangePolicy {},
}

/// Why a person or key no longer counts, in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevocationReasonName {
    /// Somebody else may have the key.
    KeyCompromised,
    /// The key or its password is lost.
    KeyLost,
    /// Left, or does something else now.
    Left,
    /// Broke the rules.
    Misconduct,
}

impl From<RevocationReasonName> for RevocationReason {
    fn from(name: RevocationReasonName) -> Self {
        match name {
            RevocationReasonName::KeyCompromised => Self::KeyCompromised,
            RevocationReasonName::KeyLost => Self::KeyLost,
            RevocationReasonName::Left => Self::Left,
            RevocationReasonName::Misconduct => Self::Misconduct,
        }
    }
}

/// Where a ceremony stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CeremonyPhase {
    /// Stopped by an officer or the requester.
    Aborted,
    /// Quorum reached, no step begun.
    Authorised,
    /// Every step has its outcome.
    Done,
    /// Time or log span ran out.
    Expired,
    /// Waiting for decisions.
    Open,
    /// An officer rejected it.
    Rejected,
    /// Stopped at a step; goes on in a plan of its own.
    Paused,
    /// At least one step has begun.
    Running,
}

/// What a ceremony needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitingFor {
    /// More approvals.
    Approvals,
    /// Root components of custodians.
    Components,
    /// The batch engine: nothing to do for people.
    Engine,
    /// Nothing: it is closed.
    None,
    /// `POST …/resume`: a plan for what is left, with a quorum of its own.
    Resumption,
    /// `POST …/run`.
    Run,
    /// A security officer's session at the HSM, then `POST …/run` again.
    SecurityOfficer,
}

/// What an officer decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecisionMade {
    /// Go ahead.
    Approve,
    /// Stop.
    Reject,
}

/// A recorded decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionView {
    /// Who.
    pub officer: Text<PersonId>,
    /// What.
    pub decision: DecisionMade,
    /// SM3 of the signed approval.
    pub approval: Text<Digest>,
}

/// State of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// It ended with OUTCOME ok.
    Done,
    /// Its INTENT is recorded.
    Intent,
    /// Not begun.
    Ready,
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepView {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: StepState,
    /// Keys it made or named, once done.
    #[serde(default)]
    pub keys: Vec<KeyView>,
    /// SM3 of the signed document it produced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Text<Digest>>,
}

/// A document that belongs to a ceremony: `GET /v1/documents/{digest}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentRef {
    /// `plan`, `approval`, `component`, `trust-anchor`, `sealed-keys`, `import-receipt`.
    pub kind: String,
    /// SM3 of its bytes.
    pub digest: Text<Digest>,
}

/// How far a ceremony has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CeremonyView {
    /// SM3 of the plan.
    pub plan_id: Text<Digest>,
    /// Operation by its policy name.
    pub operation: String,
    /// Where it stands.
    pub phase: CeremonyPhase,
    /// What it needs next.
    pub waiting_for: WaitingFor,
    /// Who asked: `person:…`, `bureau:…` or `own`.
    pub requester: String,
    /// Not valid at or after.
    pub expires_ms: u64,
    /// Approvals needed.
    pub wanted: u8,
    /// Decisions so far.
    pub decisions: Vec<DecisionView>,
    /// Custodians, and whether each has handed in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub custodians: BTreeMap<String, bool>,
    /// The steps.
    pub steps: Vec<StepView>,
    /// Why it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// The plan it resumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumes: Option<Text<Digest>>,
    /// The plan that took over what was left of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_by: Option<Text<Digest>>,
    /// For a batch plan: which batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Text<BatchId>>,
    /// Documents that belong to it.
    pub documents: Vec<DocumentRef>,
}

/// Answer of `GET /v1/ceremonies`, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CeremonyList {
    /// The ceremonies.
    pub ceremonies: Vec<CeremonyView>,
}
