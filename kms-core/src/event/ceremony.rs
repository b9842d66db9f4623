//! How a ceremony moves: opened, decided, authorised, paused, closed.
//!
//! Stored format: changing a type here needs a new label.

use der::{Enumerated, Sequence};

use crate::digest::Digest;
use crate::id::{PersonId, PlanId};
use crate::plan::Decision;

/// A plan was put before the officers.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Opened {
    /// The plan; its bytes are a document of the log.
    pub plan: PlanId,
}

/// An officer decided.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Decided {
    /// About which plan.
    pub plan: PlanId,
    /// SM3 of the signed approval, a document of the log.
    pub approval: Digest,
    /// What.
    pub decision: Decision,
}

/// The quorum of a plan was reached: effects may begin. A plan that resumes another takes its place.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Authorised {
    /// The plan.
    pub plan: PlanId,
    /// Exactly the persons that counted, sorted.
    pub persons: Vec<PersonId>,
}

/// Why a running ceremony stopped where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[repr(u8)]
pub enum PauseReason {
    /// Too few of those who approved it still count.
    Quorum = 0,
    /// The clock moved in a way clocks do not.
    Clock = 1,
    /// The HSM cannot go on.
    Hsm = 2,
    /// An officer stopped it for now.
    Officer = 3,
}

impl PauseReason {
    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quorum => "quorum lost",
            Self::Clock => "clock fault",
            Self::Hsm => "HSM fault",
            Self::Officer => "by an officer",
        }
    }
}

/// A running ceremony stopped at a step boundary. It goes on only in a child plan with a fresh quorum.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Paused {
    /// The plan.
    pub plan: PlanId,
    /// Why.
    pub reason: PauseReason,
}

/// A custodian handed in a sealed root component.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Contributed {
    /// To which ceremony.
    pub plan: PlanId,
    /// SM3 of the signed component, a document of the log.
    pub component: Digest,
}

/// How a ceremony ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[repr(u8)]
pub enum Closing {
    /// Every step has its OUTCOME.
    Done = 0,
    /// An officer rejected it.
    Rejected = 1,
    /// Stopped by an officer or the requester.
    Aborted = 2,
    /// Its time or log span ran out.
    Expired = 3,
}

/// A ceremony reached a terminal state.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Closed {
    /// Ceremony.
    pub plan: PlanId,
    /// How.
    pub closing: Closing,
}
