//! Why an event may not happen: every rule of the fold as one variant with one stable code.
//!
//! The server answers with the code (RFC 9457 `type`), the auditor's tool prints the message beside
//! the first bad entry: same rule, same words.

use thiserror::Error;

use crate::digest::Digest;
use crate::encoding::EncodingError;
use crate::id::{Actor, BatchId, BureauId, ObjectId, PersonId, PlanId, RegionCode};
use crate::suite::{KeyWrap, Suite};

/// A rule of the state machine that an entry breaks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the message of each variant says what its fields are")]
pub enum Violation {
    #[error("entry has index {found}, the log stands at {expected}")]
    Index { expected: u64, found: u64 },
    #[error("entry belongs to another log")]
    ForeignOrigin,
    #[error("entry time {found} ms lies before the last one, {last} ms")]
    ClockBackwards { last: u64, found: u64 },
    #[error("actor {actor} is not {wanted}")]
    ActorNotAllowed { actor: Actor, wanted: &'static str },
    #[error("the role in the entry is not the roster's role of {actor}")]
    RoleMismatch { actor: Actor },
    #[error("the instance is not founded: hold the genesis ceremony first")]
    NotFounded,
    #[error("the instance is founded already")]
    AlreadyFounded,
    #[error("document {digest} is missing")]
    DocumentMissing { digest: Digest },
    #[error("{what}: {reason}")]
    DocumentMalformed { what: &'static str, reason: EncodingError },
    #[error("the signature on {what} does not verify with the key of its signer")]
    SignatureInvalid { what: &'static str },
    #[error("{what}: {field} does not agree with the log")]
    DocumentMismatch { what: &'static str, field: &'static str },
    #[error("the genesis plan is not signed by founding officer {person}")]
    FounderMissing { person: PersonId },
    #[error("the roster is not usable: {reason}")]
    RosterInvalid { reason: &'static str },
    #[error("the quorum rule of {operation} is not usable: {reason}")]
    RuleInvalid { operation: String, reason: &'static str },
    #[error("there is no quorum rule for {operation}")]
    RuleMissing { operation: String },
    #[error("the steps of the plan form no known operation")]
    UnknownShape,
    #[error("the plan was written for policy epoch {found}, in force is {current}")]
    PolicyEpochStale { current: u64, found: u64 },
    #[error("the plan asks for {found} approvals, the rule for {wanted}")]
    TooFewApprovalsPlanned { wanted: u8, found: u8 },
    #[error("the plan's {field} is outside what the policy allows")]
    PlanLimits { field: &'static str },
    #[error("plan {plan} is already open or closed")]
    PlanKnown { plan: PlanId },
    #[error("there is no ceremony {plan}")]
    PlanUnknown { plan: PlanId },
    #[error("the approval is for plan {found}, not for {wanted}")]
    ApprovalForOtherPlan { wanted: PlanId, found: PlanId },
    #[error("{person} asked for this ceremony and cannot approve it")]
    RequesterCannotApprove { person: PersonId },
    #[error("{person} has already decided on this plan")]
    AlreadyDecided { person: PersonId },
    #[error("{person} is or was on the roster; an id is used once")]
    PersonKnown { person: PersonId },
    #[error("{person} is not on the roster")]
    PersonUnknown { person: PersonId },
    #[error("{person} is not a security officer")]
    NotAnOfficer { person: PersonId },
    #[error("the ceremony is {phase}")]
    CeremonyNotOpen { phase: &'static str },
    #[error("the plan expired at {expires} ms; it is {now} ms")]
    PlanExpired { expires: u64, now: u64 },
    #[error("the plan is not valid before {not_before} ms; it is {now} ms")]
    PlanNotYetValid { not_before: u64, now: u64 },
    #[error("{span} entries since the plan was opened; it allows {max}")]
    LogSpanExceeded { span: u64, max: u64 },
    #[error("{found} of {wanted} approvals")]
    QuorumNotReached { wanted: u8, found: u8 },
    #[error("an officer rejected the plan")]
    Rejected,
    #[error("step {found} is not next; next is {next:?}")]
    StepOutOfOrder { next: Option<u32>, found: u32 },
    #[error("outcome without intent")]
    OutcomeWithoutIntent,
    #[error("the entry's parameters are not those of the plan")]
    ParametersDiffer,
    #[error("the HSM is {found}, the plan says {wanted}")]
    OtherHsm { wanted: String, found: String },
    #[error("{person} is not a custodian of this plan")]
    NotACustodian { person: PersonId },
    #[error("{person} has already handed in a component")]
    AlreadyContributed { person: PersonId },
    #[error("{missing} root components are still missing")]
    ComponentsMissing { missing: usize },
    #[error("{what} differs from the plan or from an earlier entry")]
    KeyMismatch { what: String },
    #[error("key {title} exists already")]
    MasterExists { title: String },
    #[error("there is no master {title} of this profile")]
    MasterUnknown { title: String },
    #[error("there are no masters of profile {profile} here")]
    ProfileWithoutMasters { profile: Digest },
    #[error("this operation is not for a {level} instance")]
    WrongLevel { level: &'static str },
    #[error("the other side was founded as another environment")]
    EnvironmentMixed,
    #[error("{what} is of suite {found}, this instance of suite {own}: both sides need HSMs of one suite")]
    SuiteDiffers { what: &'static str, own: Suite, found: Suite },
    #[error("the HSM of {bureau} unwraps card keys by {found}, the plan says {planned}")]
    WrapDiffers { bureau: BureauId, planned: KeyWrap, found: KeyWrap },
    #[error("this HSM combines no components: generate the masters in the HSM instead, leave out --custodian")]
    ComponentsUnsupported,
    #[error("province {region} is already paired")]
    ProvinceKnown { region: RegionCode },
    #[error("there is no province {region}")]
    ProvinceUnknown { region: RegionCode },
    #[error("this instance is already paired with the nation")]
    NationKnown,
    #[error("this instance is not paired with the nation")]
    NationUnknown,
    #[error("bureau {bureau} is already registered")]
    BureauKnown { bureau: BureauId },
    #[error("there is no bureau {bureau}")]
    BureauUnknown { bureau: BureauId },
    #[error("bureau {bureau}'s {what} ended at {end} ms")]
    BureauExpired { bureau: BureauId, what: &'static str, end: u64 },
    #[error("batch {batch} exists already")]
    BatchKnown { batch: BatchId },
    #[error("there is no batch {batch}")]
    BatchUnknown { batch: BatchId },
    #[error("batch {batch} is {phase}")]
    BatchPhase { batch: BatchId, phase: &'static str },
    #[error("the batch counter is {found}, the next one is {wanted}")]
    CounterWrong { wanted: u64, found: u64 },
    #[error("batch of {found} cards; 1 to {max} are allowed")]
    BatchSize { max: u32, found: u32 },
    #[error("chunk {chunk}: {reason}")]
    ChunkInvalid { chunk: u32, reason: &'static str },
    #[error("chunk {chunk}: token {found} is stale, current is {current}")]
    TokenStale { chunk: u32, current: u64, found: u64 },
    #[error("the manifest's {field} does not agree with the chunks of the log")]
    ManifestDiffers { field: &'static str },
    #[error("accepted and spoiled cards do not add up to {cards}")]
    CountsDiffer { cards: u32 },
    #[error("certificate of {bureau}: {reason}")]
    CertificateInvalid { bureau: BureauId, reason: crate::certificate::CertificateError },
    #[error("key {id} is not served: the last audit of the token found it {found}")]
    KeyNotServed { id: ObjectId, found: &'static str },
    #[error("the token failed a known-answer test: {check}")]
    KnownAnswerFailed { check: String },
    #[error("token {serial} was not audited and probed since the server started")]
    TokenUnexamined { serial: String },
    #[error("attack {attack} works on the token, and no acceptance in force names it")]
    AttackOpen { attack: u8 },
    #[error("attack {attack} is not one that a probe of this kind of token found open")]
    AttackNotShown { attack: u8 },
    #[error("a finding about the token does not hold: {field}")]
    FindingInvalid { field: &'static str },
}

impl Violation {
    /// Is it the token that stands in the way, rather than the request?
    pub fn is_about_token(&self) -> bool {
        matches!(
            self,
            Self::KeyNotServed { .. }
                | Self::KnownAnswerFailed { .. }
                | Self::TokenUnexamined { .. }
                | Self::AttackOpen { .. }
        )
    }

    /// Stable kebab-case code, never renamed: the last segment of the problem type.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Index { .. } => "log-index-wrong",
            Self::ForeignOrigin => "foreign-origin",
            Self::ClockBackwards { .. } => "clock-backwards",
            Self::ActorNotAllowed { .. } => "actor-not-allowed",
            Self::RoleMismatch { .. } => "role-mismatch",
            Self::NotFounded => "not-founded",
            Self::AlreadyFounded => "already-founded",
            Self::DocumentMissing { .. } => "document-missing",
            Self::DocumentMalformed { .. } => "document-malformed",
            Self::SignatureInvalid { .. } => "signature-invalid",
            Self::DocumentMismatch { .. } => "document-mismatch",
            Self::FounderMissing { .. } => "founder-missing",
            Self::RosterInvalid { .. } => "roster-invalid",
            Self::RuleInvalid { .. } => "rule-invalid",
            Self::RuleMissing { .. } => "rule-missing",
            Self::UnknownShape => "plan-shape-unknown",
            Self::PolicyEpochStale { .. } => "policy-epoch-stale",
            Self::TooFewApprovalsPlanned { .. } => "too-few-approvals-planned",
            Self::PlanLimits { .. } => "plan-limits",
            Self::PlanKnown { .. } => "plan-known",
            Self::PlanUnknown { .. } => "plan-unknown",
            Self::ApprovalForOtherPlan { .. } => "approval-for-other-plan",
            Self::RequesterCannotApprove { .. } => "requester-cannot-approve",
            Self::AlreadyDecided { .. } => "already-decided",
            Self::PersonUnknown { .. } => "person-unknown",
            Self::PersonKnown { .. } => "person-known",
            Self::NotAnOfficer { .. } => "not-an-officer",
            Self::CeremonyNotOpen { .. } => "ceremony-not-open",
            Self::PlanExpired { .. } => "plan-expired",
            Self::PlanNotYetValid { .. } => "plan-not-yet-valid",
            Self::LogSpanExceeded { .. } => "log-span-exceeded",
            Self::QuorumNotReached { .. } => "quorum-not-reached",
            Self::Rejected => "plan-rejected",
            Self::StepOutOfOrder { .. } => "step-out-of-order",
            Self::OutcomeWithoutIntent => "outcome-without-intent",
            Self::ParametersDiffer => "parameters-differ",
            Self::OtherHsm { .. } => "other-hsm",
            Self::NotACustodian { .. } => "not-a-custodian",
            Self::AlreadyContributed { .. } => "already-contributed",
            Self::ComponentsMissing { .. } => "components-missing",
            Self::KeyMismatch { .. } => "key-mismatch",
            Self::MasterExists { .. } => "master-exists",
            Self::MasterUnknown { .. } => "master-unknown",
            Self::ProfileWithoutMasters { .. } => "profile-without-masters",
            Self::WrongLevel { .. } => "wrong-level",
            Self::EnvironmentMixed => "environment-mixed",
            Self::SuiteDiffers { .. } => "suite-differs",
            Self::WrapDiffers { .. } => "wrap-differs",
            Self::ComponentsUnsupported => "components-unsupported",
            Self::ProvinceKnown { .. } => "province-known",
            Self::ProvinceUnknown { .. } => "province-unknown",
            Self::NationKnown => "nation-known",
            Self::NationUnknown => "nation-unknown",
            Self::BureauKnown { .. } => "bureau-known",
            Self::BureauUnknown { .. } => "bureau-unknown",
            Self::BureauExpired { .. } => "bureau-expired",
            Self::BatchKnown { .. } => "batch-known",
            Self::BatchUnknown { .. } => "batch-unknown",
            Self::BatchPhase { .. } => "batch-phase",
            Self::CounterWrong { .. } => "counter-wrong",
            Self::BatchSize { .. } => "batch-size",
            Self::ChunkInvalid { .. } => "chunk-invalid",
            Self::TokenStale { .. } => "token-stale",
            Self::ManifestDiffers { .. } => "manifest-differs",
            Self::CountsDiffer { .. } => "counts-differ",
            Self::CertificateInvalid { .. } => "certificate-invalid",
            Self::KeyNotServed { .. } => "key-not-served",
            Self::KnownAnswerFailed { .. } => "known-answer-failed",
            Self::TokenUnexamined { .. } => "token-unexamined",
            Self::AttackOpen { .. } => "attack-open",
            Self::AttackNotShown { .. } => "attack-not-shown",
            Self::FindingInvalid { .. } => "finding-invalid",
        }
    }
}
