//! HTTP bodies in JSON. Unknown fields are refused on both sides.
//!
//! Digests and plan ids are 64, object, batch and nonce ids 32 lower-case hexadecimal digits; times
//! are milliseconds since 1970 in fields ending in `_ms`; DER documents are base64.

mod batch;
mod ceremony;
mod health;
mod status;

pub use batch::{BatchList, BatchPhase, BatchSubmit, BatchView, CardProof, CardProofs, CardStatus, ProveCard};
pub use ceremony::{
    CeremonyList, CeremonyPhase, CeremonyView, CustodianDraft, DecisionMade, DecisionView, DocumentRef, GenesisDraft,
    GenesisSubmit, PersonDraft, Proposal, RevocationReasonName, RoleName, SealedSource, StepState, StepView,
    WaitingFor,
};
pub use health::{
    AuditHealth, DatabaseHealth, DifferingObject, EngineHealth, EngineState, Health, HsmHealth, HsmState, LogHealth,
    Overall, PinStateName, ProbeHealth,
};
pub use status::{
    BureauView, CheckpointView, Confirm, HandOver, HandOvers, KeyView, LogInfo, MasterSetView, NationView, PersonView,
    ProfileView, ProvinceView, Pulled, Recorded, StatusView,
};
