//! Quorum, recomputed from the log at every effect (I1, I5, I6, I9, I11).

use std::collections::BTreeSet;

use super::State;
use crate::id::{Actor, PersonId, PlanId};
use crate::plan::{Decision, Role};
use crate::policy::Operation;
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
        ceremony.require_live()?;
        ceremony.require_in_time(now_ms.max(self.last_time_ms()), self.size())?;
        let rejected = ceremony.decisions.values().any(|recorded| recorded.decision == Decision::Reject);
        if rejected {
            return Err(Violation::Rejected);
        }
        let persons: BTreeSet<PersonId> = ceremony
            .decisions
            .keys()
            .filter(|id| self.people().get(*id).is_some_and(|person| person.role == Role::Security))
            .filter(|id| ceremony.plan.requester != Actor::Person((*id).clone()))
            .cloned()
            .collect();
        let wanted = self.approvals_wanted(plan)?;
        if persons.len() < usize::from(wanted) {
            let found = u8::try_from(persons.len()).unwrap_or(u8::MAX);
            return Err(Violation::QuorumNotReached { wanted, found });
        }
        Ok(QuorumProof { plan, persons })
    }

    /// Approvals that `plan` needs now: the larger of its own number and the rule's.
    pub fn approvals_wanted(&self, plan: PlanId) -> Result<u8, Violation> {
        let ceremony = self.ceremony(plan)?;
        let identity = self.identity().ok_or(Violation::NotFounded)?;
        let operation = ceremony.plan.operation().map_err(|_| Violation::UnknownShape)?;
        let rule = match operation {
            // Founding needs every founder; that was checked when it was logged.
            Operation::Genesis => 0,
            other => identity.rule(other)?.approvals,
        };
        Ok(ceremony.plan.approvals.max(rule))
    }
}
