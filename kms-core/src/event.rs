//! Entries of the key log: what happened, one event each.
//!
//! An entry is DER (`KMS-LOG-ENTRY/1`); the log is the Merkle tree over the entries' bytes; the state
//! of an instance is the fold of its entries ([`crate::state`]). Layout: `docs/formats.md` §5.
//! No secret, PIN, card key, card number or factor has a field here.
//!
//! Stored format: changing a type here needs a new label.

mod ceremony;
mod token;

use der::asn1::OctetString;
use der::{Choice, Enumerated, Sequence};

pub use ceremony::{Authorised, Closed, Closing, Contributed, Decided, Opened, PauseReason, Paused};
pub use token::{
    DIFFERENCES_MAX, Difference, DifferenceKind, FAILED_CHECKS_MAX, OBJECT_ID_BYTES_MAX, TOKEN_TEXT_BYTES_MAX,
    TokenAudited, TokenProbed,
};

use crate::digest::Digest;
use crate::encoding::Document;
use crate::id::{Actor, BatchId, BureauId, ObjectId, Origin, PlanId};
use crate::keys::PublicKey;
use crate::plan::Role;
use crate::secret::Kcv;

/// Entry 0: the genesis plan took effect.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Founded {
    /// The instance's own name.
    pub origin: Origin,
    /// Genesis plan; its bytes are a document of the log.
    pub plan: PlanId,
    /// SM3 of each founding officer's signed approval, in the order of the roster.
    pub approvals: Vec<Digest>,
}

/// The server came up (first entry of each run).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Started {
    /// Version and commit of the program.
    pub build: String,
    /// SM3 of the configuration file.
    pub configuration: Digest,
    /// SM3 of the trust anchor, once there is one.
    #[asn1(context_specific = "0", optional = "true")]
    pub anchor: Option<Digest>,
}

/// An effect is about to happen (INTENT): written before the HSM is called.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct StepIntent {
    /// Ceremony.
    pub plan: PlanId,
    /// Step, from 0.
    pub step: u32,
    /// SM3 of the step's DER bytes: the parameters are those of the plan.
    pub parameters: Digest,
    /// HSM it happens in.
    pub hsm_serial: String,
}

/// How an effect ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[repr(u8)]
pub enum EffectResult {
    /// Done.
    Ok = 0,
    /// Refused or impossible; the step stays open.
    Failed = 1,
}

/// A key that a step made, changed or named.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct KeyRecord {
    /// Name: of the profile (`RK1_DF01`), or `LOG`, `INSTANCE`, `IMPORT`, `COMPONENT-IMPORT`, `INDEX`, `STORAGE`, `KEK`, `RECIPIENT`, `SEED`.
    pub name: String,
    /// Group, 0 where there is none.
    pub group: u8,
    /// Version, 0 where there is none.
    pub version: u16,
    /// CKA_ID, absent for a key that did not outlive the step.
    #[asn1(context_specific = "0", optional = "true")]
    pub id: Option<ObjectId>,
    /// Check value.
    #[asn1(context_specific = "1", optional = "true")]
    pub kcv: Option<Kcv>,
    /// Public half.
    #[asn1(context_specific = "2", optional = "true")]
    pub public: Option<PublicKey>,
}

/// An effect ended (OUTCOME).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct StepOutcome {
    /// Ceremony.
    pub plan: PlanId,
    /// Step, from 0.
    pub step: u32,
    /// How.
    pub result: EffectResult,
    /// Keys made or named; every one became active with this entry.
    pub keys: Vec<KeyRecord>,
    /// SM3 of the signed document the step produced (trust anchor, sealed keys, receipt).
    #[asn1(context_specific = "0", optional = "true")]
    pub document: Option<Digest>,
    /// Code of the failure.
    #[asn1(context_specific = "1", optional = "true")]
    pub fault: Option<String>,
}

/// A bureau's request was accepted; its plan was opened in the same transaction.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct BatchRequested {
    /// Batch.
    pub batch: BatchId,
    /// Bureau.
    pub bureau: BureauId,
    /// SM3 of the signed request, a document of the log.
    pub request: Digest,
    /// The plan that would issue it.
    pub plan: PlanId,
}

/// A chunk is about to be made (INTENT).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct ChunkIntent {
    /// Batch.
    pub batch: BatchId,
    /// Chunk, from 0.
    pub chunk: u32,
    /// Fencing token: grows with every lease of this chunk.
    pub token: u64,
    /// Cards in the chunk.
    pub cards: u32,
    /// HSM.
    pub hsm_serial: String,
}

/// A chunk was made and is durable in staging (OUTCOME).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct ChunkOutcome {
    /// Batch.
    pub batch: BatchId,
    /// Chunk.
    pub chunk: u32,
    /// The token of its INTENT.
    pub token: u64,
    /// Cards.
    pub cards: u32,
    /// Card keys.
    pub keys: u32,
    /// Bytes of the chunk file.
    pub bytes: u64,
    /// SM3 of the chunk file.
    pub digest: Digest,
    /// Merkle root over its card leaves.
    pub root: Digest,
}

/// A package may leave. Carries the manifest's digest: one manifest per batch, ever.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct BatchReleased {
    /// Batch.
    pub batch: BatchId,
    /// SM3 of the signed manifest, a document of the log.
    pub manifest: Digest,
    /// Root over the chunk roots.
    pub root: Digest,
    /// Cards.
    pub cards: u32,
    /// Card keys.
    pub keys: u64,
}

/// The bureau signed for the package.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct BatchAcknowledged {
    /// Batch.
    pub batch: BatchId,
    /// SM3 of the signed receipt, a document of the log.
    pub receipt: Digest,
    /// Cards in use.
    pub accepted: u32,
    /// Cards spoiled.
    pub spoiled: u32,
}

/// A batch was stopped before release; its cards are free again.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct BatchCancelled {
    /// Batch.
    pub batch: BatchId,
}

/// A province's receipt for sealed masters arrived at the nation.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct HandOverConfirmed {
    /// The ceremony that sealed them.
    pub plan: PlanId,
    /// SM3 of the signed receipt, a document of the log.
    pub receipt: Digest,
}

/// Something was refused.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Refused {
    /// What was asked, as method and route or command name.
    pub operation: String,
    /// Problem code.
    pub code: String,
    /// How many alike within the same minute and source; 1 for an authenticated caller.
    pub count: u32,
    /// Plan, batch or document it was about.
    #[asn1(context_specific = "0", optional = "true")]
    pub subject: Option<OctetString>,
}

/// What happened. Tags begin at 1: 0 is the optional role before it in [`LogEntry`].
#[derive(Clone, Debug, PartialEq, Eq, Choice)]
#[expect(missing_docs, reason = "each variant is its own type's documentation")]
pub enum Event {
    #[asn1(context_specific = "1", constructed = "true", tag_mode = "EXPLICIT")]
    Founded(Founded),
    #[asn1(context_specific = "2", constructed = "true", tag_mode = "EXPLICIT")]
    Started(Started),
    #[asn1(context_specific = "3", constructed = "true", tag_mode = "EXPLICIT")]
    Opened(Opened),
    #[asn1(context_specific = "4", constructed = "true", tag_mode = "EXPLICIT")]
    Decided(Decided),
    #[asn1(context_specific = "5", constructed = "true", tag_mode = "EXPLICIT")]
    Contributed(Contributed),
    #[asn1(context_specific = "6", constructed = "true", tag_mode = "EXPLICIT")]
    StepIntent(StepIntent),
    #[asn1(context_specific = "7", constructed = "true", tag_mode = "EXPLICIT")]
    StepOutcome(StepOutcome),
    #[asn1(context_specific = "8", constructed = "true", tag_mode = "EXPLICIT")]
    Closed(Closed),
    #[asn1(context_specific = "9", constructed = "true", tag_mode = "EXPLICIT")]
    BatchRequested(BatchRequested),
    #[asn1(context_specific = "10", constructed = "true", tag_mode = "EXPLICIT")]
    ChunkIntent(ChunkIntent),
    #[asn1(context_specific = "11", constructed = "true", tag_mode = "EXPLICIT")]
    ChunkOutcome(ChunkOutcome),
    #[asn1(context_specific = "12", constructed = "true", tag_mode = "EXPLICIT")]
    BatchReleased(BatchReleased),
    #[asn1(context_specific = "13", constructed = "true", tag_mode = "EXPLICIT")]
    BatchAcknowledged(BatchAcknowledged),
    #[asn1(context_specific = "14", constructed = "true", tag_mode = "EXPLICIT")]
    BatchCancelled(BatchCancelled),
    #[asn1(context_specific = "15", constructed = "true", tag_mode = "EXPLICIT")]
    HandOverConfirmed(HandOverConfirmed),
    #[asn1(context_specific = "16", constructed = "true", tag_mode = "EXPLICIT")]
    Refused(Refused),
    #[asn1(context_specific = "17", constructed = "true", tag_mode = "EXPLICIT")]
    Authorised(Authorised),
    #[asn1(context_specific = "18", constructed = "true", tag_mode = "EXPLICIT")]
    Paused(Paused),
    #[asn1(context_specific = "19", constructed = "true", tag_mode = "EXPLICIT")]
    TokenAudited(TokenAudited),
    #[asn1(context_specific = "20", constructed = "true", tag_mode = "EXPLICIT")]
    TokenProbed(TokenProbed),
}

impl Event {
    /// Short name for tables and filters.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Founded(_) => "founded",
            Self::Started(_) => "started",
            Self::Opened(_) => "opened",
            Self::Decided(_) => "decided",
            Self::Contributed(_) => "contributed",
            Self::StepIntent(_) => "step-intent",
            Self::StepOutcome(_) => "step-outcome",
            Self::Closed(_) => "closed",
            Self::BatchRequested(_) => "batch-requested",
            Self::ChunkIntent(_) => "chunk-intent",
            Self::ChunkOutcome(_) => "chunk-outcome",
            Self::BatchReleased(_) => "batch-released",
            Self::BatchAcknowledged(_) => "batch-acknowledged",
            Self::BatchCancelled(_) => "batch-cancelled",
            Self::HandOverConfirmed(_) => "hand-over-confirmed",
            Self::Refused(_) => "refused",
            Self::Authorised(_) => "authorised",
            Self::Paused(_) => "paused",
            Self::TokenAudited(_) => "token-audited",
            Self::TokenProbed(_) => "token-probed",
        }
    }

    /// The ceremony this is about, if it is about one.
    pub fn plan(&self) -> Option<PlanId> {
        match self {
            Self::Founded(e) => Some(e.plan),
            Self::Opened(e) => Some(e.plan),
            Self::Decided(e) => Some(e.plan),
            Self::Contributed(e) => Some(e.plan),
            Self::StepIntent(e) => Some(e.plan),
            Self::StepOutcome(e) => Some(e.plan),
            Self::Closed(e) => Some(e.plan),
            Self::BatchRequested(e) => Some(e.plan),
            Self::HandOverConfirmed(e) => Some(e.plan),
            Self::Authorised(e) => Some(e.plan),
            Self::Paused(e) => Some(e.plan),
            Self::Started(_)
            | Self::ChunkIntent(_)
            | Self::ChunkOutcome(_)
            | Self::BatchReleased(_)
            | Self::BatchAcknowledged(_)
            | Self::BatchCancelled(_)
            | Self::Refused(_)
            | Self::TokenAudited(_)
            | Self::TokenProbed(_) => None,
        }
    }
}

/// One entry (`KMS-LOG-ENTRY/1`).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct LogEntry {
    /// Always [`LogEntry::LABEL`](Document::LABEL).
    pub label: String,
    /// Position, from 0.
    pub index: u64,
    /// SM3 of the origin's text: an entry cannot be moved to another log.
    pub origin: Digest,
    /// Position among the entries of one transaction, from 0.
    pub sequence: u32,
    /// Database clock in milliseconds since 1970; never decreases.
    pub time_ms: u64,
    /// Who.
    pub actor: Actor,
    /// In which role, for a person.
    #[asn1(context_specific = "0", optional = "true")]
    pub role: Option<Role>,
    /// What.
    pub event: Event,
}

impl Document for LogEntry {
    const LABEL: &'static str = "KMS-LOG-ENTRY/1";
    const BYTES_MAX: usize = 64 * 1024;
    fn label(&self) -> &str {
        &self.label
    }
}
