//! Quorum, recomputed from the log at every effect (I1, I5, I6, I9, I11).

use std::collections::BTreeSet;

use super::{Phase, State, require};
use crate::id::{Actor, PersonId, PlanId};
use crate::plan::{Decision, Role};
use crate::policy::Operation;
use crate::quorum;
use crate::violation::Violation;

/// Proof that, at the moment of the question, enough distinct persons stood behind exactly this plan.
/// Only [`State::authority`] makes one; it is not `Clone`, so it cannot be kept for later.
#[must_use]
#[derive(Debug)]
pub struct QuorumProof {
    plan: PlanId,
    persons: BTreeSet<PersonId>,
}

impl QuorumProof {
    /// The plan that is approved.
    pub fn plan(&self) -> PlanId {
        self.plan
    }

    /// Who stands behind it.
    pub fn persons(&self) -> &BTreeSet<PersonId> {
        &self.persons
    }
}

impl State {
    /// Is `plan` authorised at `now_ms` (database clock)?
    ///
    /// `persons(approvals of this plan) ∩ active ∩ security officers ∖ requester` has at least
    /// `max(M at open, M now)` members; nobody rejected; the later of the log's clock and `now_ms` lies
    /// inside the plan's time; the log has not grown past the plan's span.
    pub fn authority(&self, plan: PlanId, now_ms: u64) -> Result<QuorumProof, Violation> {
        let ceremony = self.ceremony(plan)?;
        let phase = ceremony.phase;
        let deciding = phase.may_decide();
        require(deciding, Violation::CeremonyNotOpen { phase: phase.name() })?;
        if let (Phase::Open, Some(parent)) = (phase, ceremony.plan.parent) {
            // What it would resume went on, or ended, without it.
            let parent = self.ceremony(parent)?.phase;
            require(parent == Phase::Paused, Violation::CeremonyNotOpen { phase: parent.name() })?;
        }
        ceremony.require_in_time(self.last_time_ms(), now_ms, self.size())?;
        let rejected = ceremony.decisions.values().any(|recorded| recorded.decision == Decision::Reject);
        require(!rejected, Violation::Rejected)?;
        let requester = match &ceremony.plan.requester {
            Actor::Person(person) => Some(person),
            _ => None,
        };
        let active = |id: &&PersonId| self.people().get(*id).is_some_and(|person| person.role == Role::Security);
        let counted = quorum::counted(ceremony.decisions.keys(), requester.as_ref(), active);
        let counted = counted
            .require(self.approvals_wanted(plan)?)
            .map_err(|few| Violation::QuorumNotReached { wanted: few.wanted, found: few.found })?;
        Ok(QuorumProof { plan, persons: counted.iter().map(|id| (*id).clone()).collect() })
    }

    /// As [`Self::authority`], and the ceremony is AUTHORISED or RUNNING: an effect may happen.
    pub fn authority_to_act(&self, plan: PlanId, now_ms: u64) -> Result<QuorumProof, Violation> {
        let phase = self.ceremony(plan)?.phase;
        let proof = self.authority(plan, now_ms)?;
        require(phase.may_act(), Violation::CeremonyNotOpen { phase: phase.name() })?;
        Ok(proof)
    }

    /// Approvals that `plan` needs now: the larger of its own number and the rule's.
    pub fn approvals_wanted(&self, plan: PlanId) -> Result<u8, Violation> {
        let ceremony = self.ceremony(plan)?;
        let identity = self.identity().ok_or(Violation::NotFounded)?;
        let rule = match ceremony.operation {
            // Founding needs every founder; that was checked when it was logged.
            Operation::Genesis => 0,
            other => identity.rule(other)?.approvals,
        };
        Ok(quorum::wanted(ceremony.plan.approvals, rule))
    }
}
