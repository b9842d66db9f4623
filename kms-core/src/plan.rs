//! The ceremony plan: exactly what officers read and sign.
//!
//! A plan is DER; its SM3 is its id. Everything an effect needs, the CKA_IDs of new objects included, stands in the
//! plan, so an effect is a function of bytes that a quorum signed (I2) and can be repeated under the
//! same ids after a crash. Source of the layout: `docs/formats.md` §3.
//!
//! Stored format: changing a type here needs a new label.

mod roster;
mod step;

use der::{Choice, Enumerated, Sequence};

pub use roster::{ChangePersonKey, ChangePolicy, EnrolPerson, RevocationReason, RevokePerson};
pub use step::{
    AcceptRisk, CreateInstanceKeys, CreateMasters, Custodian, FoundInstance, ImportMasters, IssueBatch, MasterEntry,
    SealMasters, SealTransportKey, TrustBureau, TrustNation, TrustProvince,
};

use crate::digest::Digest;
use crate::encoding::{self, Document, EncodingError};
use crate::id::{Actor, Nonce, Origin, PersonId, PlanId};
use crate::policy::Operation;
use crate::sm2::PublicKey;

/// What an instance was founded as, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[repr(u8)]
pub enum Environment {
    /// Real cards. Software tokens and test conveniences are refused.
    Production = 0,
    /// Everything else.
    Test = 1,
}

/// Level of an instance in the key hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[repr(u8)]
pub enum Level {
    /// Holds the national roots.
    National = 0,
    /// Holds masters diversified for one province.
    Provincial = 1,
}

/// Role of a person; mutually exclusive (三员分立).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[repr(u8)]
pub enum Role {
    /// System administrator (系统管理员): installs, starts, watches; no key power.
    System = 0,
    /// Security officer (安全管理员/密钥管理员): proposes and approves ceremonies.
    Security = 1,
    /// Auditor (审计员): reads everything, changes nothing.
    Audit = 2,
}

/// One person of the roster with the SM2 key that speaks for them.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Person {
    /// Who.
    pub id: PersonId,
    /// As printed in reports.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Their signing key.
    pub key: PublicKey,
}

/// How many approvals one operation needs.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct QuorumRule {
    /// Operation by its policy name.
    pub operation: String,
    /// M: distinct persons, the requester not among them.
    pub approvals: u8,
    /// Longest life of a plan in milliseconds.
    pub validity_ms: u64,
    /// Most log entries between opening and effect.
    pub max_log_span: u64,
}

/// One effect of a plan. Steps run in order, each with its own INTENT and OUTCOME.
#[derive(Clone, Debug, PartialEq, Eq, Choice)]
pub enum Step {
    /// Found the instance.
    #[asn1(context_specific = "0", constructed = "true", tag_mode = "EXPLICIT")]
    FoundInstance(FoundInstance),
    /// Make its own keys.
    #[asn1(context_specific = "1", constructed = "true", tag_mode = "EXPLICIT")]
    CreateInstanceKeys(CreateInstanceKeys),
    /// Make national masters.
    #[asn1(context_specific = "2", constructed = "true", tag_mode = "EXPLICIT")]
    CreateMasters(CreateMasters),
    /// Pin a province (security officer).
    #[asn1(context_specific = "3", constructed = "true", tag_mode = "EXPLICIT")]
    TrustProvince(TrustProvince),
    /// Seal masters for a province.
    #[asn1(context_specific = "4", constructed = "true", tag_mode = "EXPLICIT")]
    SealMasters(SealMasters),
    /// Pin the nation.
    #[asn1(context_specific = "5", constructed = "true", tag_mode = "EXPLICIT")]
    TrustNation(TrustNation),
    /// Import masters.
    #[asn1(context_specific = "6", constructed = "true", tag_mode = "EXPLICIT")]
    ImportMasters(ImportMasters),
    /// Trust a bureau's key, make its transport key (security officer).
    #[asn1(context_specific = "7", constructed = "true", tag_mode = "EXPLICIT")]
    TrustBureau(TrustBureau),
    /// Seal the transport key to the bureau.
    #[asn1(context_specific = "8", constructed = "true", tag_mode = "EXPLICIT")]
    SealTransportKey(SealTransportKey),
    /// Issue a batch.
    #[asn1(context_specific = "9", constructed = "true", tag_mode = "EXPLICIT")]
    IssueBatch(IssueBatch),
    /// Accept known weaknesses of the token.
    #[asn1(context_specific = "12", constructed = "true", tag_mode = "EXPLICIT")]
    AcceptRisk(AcceptRisk),
    /// Enrol a person.
    #[asn1(context_specific = "13", constructed = "true", tag_mode = "EXPLICIT")]
    EnrolPerson(EnrolPerson),
    /// Take a person off the roster.
    #[asn1(context_specific = "14", constructed = "true", tag_mode = "EXPLICIT")]
    RevokePerson(RevokePerson),
    /// Give a person another key.
    #[asn1(context_specific = "15", constructed = "true", tag_mode = "EXPLICIT")]
    ChangePersonKey(ChangePersonKey),
    /// Change the rules.
    #[asn1(context_specific = "16", constructed = "true", tag_mode = "EXPLICIT")]
    ChangePolicy(ChangePolicy),
}

impl Step {
    /// Short name for logs and progress.
    pub fn name(&self) -> &'static str {
        match self {
            Self::FoundInstance(_) => "found-instance",
            Self::CreateInstanceKeys(_) => "create-instance-keys",
            Self::CreateMasters(_) => "create-masters",
            Self::TrustProvince(_) => "trust-province",
            Self::SealMasters(_) => "seal-masters",
            Self::TrustNation(_) => "trust-nation",
            Self::ImportMasters(_) => "import-masters",
            Self::TrustBureau(_) => "trust-bureau",
            Self::SealTransportKey(_) => "seal-transport-key",
            Self::IssueBatch(_) => "issue-batch",
            Self::AcceptRisk(_) => "accept-risk",
            Self::EnrolPerson(_) => "enrol-person",
            Self::RevokePerson(_) => "revoke-person",
            Self::ChangePersonKey(_) => "change-person-key",
            Self::ChangePolicy(_) => "change-policy",
        }
    }

    /// Does it make or trust a key in the HSM that stays there?
    pub fn makes_keys(&self) -> bool {
        match self {
            Self::CreateInstanceKeys(_)
            | Self::CreateMasters(_)
            | Self::TrustProvince(_)
            | Self::ImportMasters(_)
            | Self::TrustBureau(_) => true,
            Self::FoundInstance(_)
            | Self::SealMasters(_)
            | Self::TrustNation(_)
            | Self::SealTransportKey(_)
            | Self::IssueBatch(_)
            | Self::AcceptRisk(_)
            | Self::EnrolPerson(_)
            | Self::RevokePerson(_)
            | Self::ChangePersonKey(_)
            | Self::ChangePolicy(_) => false,
        }
    }

    /// Does a security officer's own session make the effect (rather than the server's worker)?
    pub fn needs_security_officer(&self) -> bool {
        matches!(self, Self::TrustProvince(_) | Self::TrustBureau(_))
    }
}

/// A ceremony plan (`KMS-CEREMONY-PLAN/1`).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Plan {
    /// Always [`Plan::LABEL`](Document::LABEL).
    pub label: String,
    /// Log of the instance it is for.
    pub origin: Origin,
    /// Production or test.
    pub environment: Environment,
    /// Makes equal plans distinct.
    pub nonce: Nonce,
    /// Who asked; their approval never counts.
    pub requester: Actor,
    /// Roster and policy epoch it was opened under.
    pub policy_epoch: u64,
    /// M when it was opened; never below 2.
    pub approvals: u8,
    /// Log size when it was opened.
    pub opened_size: u64,
    /// Log root at that size.
    pub opened_root: Digest,
    /// Not valid before (ms since 1970, database clock).
    pub not_before_ms: u64,
    /// Not valid at or after.
    pub expires_ms: u64,
    /// Most log entries between opening and effect.
    pub max_log_span: u64,
    /// HSM the effects happen in.
    pub hsm_serial: String,
    /// The effects, in order.
    pub steps: Vec<Step>,
    /// SM3 of the ceremony script's text, if one is followed.
    #[asn1(context_specific = "0", optional = "true")]
    pub script: Option<Digest>,
    /// The plan this one resumes.
    #[asn1(context_specific = "1", optional = "true")]
    pub parent: Option<PlanId>,
}

impl Document for Plan {
    const LABEL: &'static str = "KMS-CEREMONY-PLAN/1";
    const BYTES_MAX: usize = 256 * 1024;
    fn label(&self) -> &str {
        &self.label
    }
}

/// Why a decoded plan is not a plan of any known operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the steps of this plan ({steps} of them) form no known operation")]
pub struct UnknownShape {
    /// Number of steps found.
    pub steps: usize,
}

impl Plan {
    /// The plan's id: SM3 of its DER bytes.
    pub fn id(&self) -> Result<PlanId, EncodingError> {
        Ok(PlanId(Digest::of(&encoding::encode(self)?)))
    }

    /// Which operation these steps are. Each operation is exactly one sequence of steps.
    pub fn operation(&self) -> Result<Operation, UnknownShape> {
        match self.steps.as_slice() {
            [Step::FoundInstance(_), Step::CreateInstanceKeys(_)] => Ok(Operation::Genesis),
            [Step::CreateMasters(_)] => Ok(Operation::CreateRoots),
            [Step::TrustProvince(_)] => Ok(Operation::PairProvince),
            [Step::SealMasters(_)] => Ok(Operation::DeriveProvince),
            [Step::TrustNation(_)] => Ok(Operation::PairNation),
            [Step::ImportMasters(_)] => Ok(Operation::ImportMasters),
            [Step::TrustBureau(_), Step::SealTransportKey(_)] => Ok(Operation::RegisterBureau),
            [Step::IssueBatch(_)] => Ok(Operation::AuthoriseBatch),
            [Step::EnrolPerson(_)] => Ok(Operation::EnrolPerson),
            [Step::RevokePerson(_)] => Ok(Operation::RevokePerson),
            [Step::ChangePersonKey(_)] => Ok(Operation::ChangePersonKey),
            [Step::ChangePolicy(_)] => Ok(Operation::ChangePolicy),
            // What may be left of a longer plan that another one resumes.
            [Step::SealTransportKey(_)] if self.parent.is_some() => Ok(Operation::RegisterBureau),
            [Step::AcceptRisk(_)] => Ok(Operation::AcceptRisk),
            steps => Err(UnknownShape { steps: steps.len() }),
        }
    }

    /// Does any of its steps make or trust a key in the HSM?
    pub fn makes_keys(&self) -> bool {
        self.steps.iter().any(Step::makes_keys)
    }

    /// The founding step, when this is a genesis plan.
    pub fn founding(&self) -> Option<&FoundInstance> {
        match self.steps.first() {
            Some(Step::FoundInstance(found)) => Some(found),
            _ => None,
        }
    }

    /// Does this genesis plan make a key that components are sealed to?
    pub fn makes_component_key(&self) -> bool {
        matches!(self.steps.as_slice(), [_, Step::CreateInstanceKeys(keys)] if keys.component_import.is_some())
    }

    /// The batch step, when this plan issues a batch.
    pub fn batch(&self) -> Option<&IssueBatch> {
        match self.steps.as_slice() {
            [Step::IssueBatch(issue)] => Some(issue),
            _ => None,
        }
    }
}

/// What an officer decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[repr(u8)]
pub enum Decision {
    /// Go ahead.
    Approve = 0,
    /// Stop: one rejection ends the ceremony.
    Reject = 1,
}

/// An officer's decision on exactly one plan (`KMS-APPROVE/1`, SIGNED by the officer).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Approval {
    /// Always [`Approval::LABEL`](Document::LABEL).
    pub label: String,
    /// Log of the instance.
    pub origin: Origin,
    /// The plan.
    pub plan: PlanId,
    /// Who decides.
    pub officer: PersonId,
    /// In which role.
    pub role: Role,
    /// What they decide.
    pub decision: Decision,
    /// The officer's own clock in milliseconds: orders their decisions; evidence, not authority.
    pub sequence: u64,
}

impl Document for Approval {
    const LABEL: &'static str = "KMS-APPROVE/1";
    const BYTES_MAX: usize = 2048;
    fn label(&self) -> &str {
        &self.label
    }
}
