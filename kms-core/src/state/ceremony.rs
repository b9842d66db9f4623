//! One ceremony: plan, decisions, contributions, steps; and the entries that move it.
//!
//! Which phase may follow which stands in [`Phase::after`] (I4, I8). That a ceremony is AUTHORISED says that the
//! quorum was reached once; whether it holds is computed again at every effect (I1, [`State::authority`]).
//! What is PAUSED goes on only in a child plan with a quorum of its own (I14).

use std::collections::BTreeMap;

use super::phase::{Move, Phase};
use super::{Documents, State, actor_not_allowed, fetch_plain, fetch_signed, require, verified};
use crate::digest::Digest;
use crate::document::Component;
use crate::event::{
    Authorised, Closed, Closing, Contributed, Decided, LogEntry, Opened, PauseReason, Paused, StepIntent,
};
use crate::id::{Actor, PersonId, PlanId};
use crate::plan::{Approval, Decision, Plan, Role, Step};
use crate::policy::Operation;
use crate::quorum::{Bounds, OutOfBounds};
use crate::violation::Violation;

/// Where a step stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Not begun.
    Ready,
    /// INTENT written, no OUTCOME yet.
    Intent,
    /// OUTCOME(ok) written.
    Done {
        /// SM3 of the document it produced.
        document: Option<Digest>,
    },
}

/// A decision on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// What.
    pub decision: Decision,
    /// SM3 of the signed approval.
    pub approval: Digest,
}

/// A ceremony.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceremony {
    /// SM3 of the plan.
    pub id: PlanId,
    /// The plan.
    pub plan: Plan,
    /// What it does; a plan that resumes another does the same as that one.
    pub operation: Operation,
    /// Where it stands.
    pub phase: Phase,
    /// Why it is paused.
    pub paused: Option<PauseReason>,
    /// The plan that took over what was left of it.
    pub resumed_by: Option<PlanId>,
    /// Index of the entry that opened it.
    pub opened_index: u64,
    /// When it was opened.
    pub opened_ms: u64,
    /// Decisions by person: one each, so nobody counts twice.
    pub decisions: BTreeMap<PersonId, Recorded>,
    /// Root components handed in.
    pub contributions: BTreeMap<PersonId, Digest>,
    /// One per step of the plan.
    pub steps: Vec<StepState>,
}

impl Ceremony {
    pub(super) fn open(id: PlanId, plan: Plan, operation: Operation, entry: &LogEntry) -> Self {
        let steps = vec![StepState::Ready; plan.steps.len()];
        Self {
            id,
            plan,
            operation,
            phase: Phase::Open,
            paused: None,
            resumed_by: None,
            opened_index: entry.index,
            opened_ms: entry.time_ms,
            decisions: BTreeMap::new(),
            contributions: BTreeMap::new(),
            steps,
        }
    }

    /// The founding step of a genesis plan takes effect with the entry that opens it.
    pub(super) fn found(&mut self) {
        self.phase = Phase::Running;
        if let Some(first) = self.steps.first_mut() {
            *first = StepState::Done { document: None };
        }
    }

    pub(super) fn decide(&mut self, person: PersonId, decision: Decision, approval: Digest) {
        self.decisions.insert(person, Recorded { decision, approval });
    }

    /// First step without an OUTCOME.
    pub fn next_step(&self) -> Option<(u32, &Step)> {
        let position = self.steps.iter().position(|s| !matches!(s, StepState::Done { .. }))?;
        Some((u32::try_from(position).ok()?, self.plan.steps.get(position)?))
    }

    /// Custodians whose component has not arrived.
    pub fn components_missing(&self) -> Vec<PersonId> {
        let custodians = self.plan.steps.iter().flat_map(|step| match step {
            Step::CreateMasters(create) => create.custodians.as_slice(),
            _ => &[],
        });
        custodians.filter(|c| !self.contributions.contains_key(&c.person)).map(|c| c.person.clone()).collect()
    }

    /// What is left to do: the steps from the first without an OUTCOME on.
    #[must_use]
    pub fn remaining_steps(&self) -> &[Step] {
        let done = self.next_step().map_or(self.plan.steps.len(), |(number, _)| number as usize);
        self.plan.steps.get(done..).unwrap_or_default()
    }

    /// The phase after a move that the table has.
    pub(super) fn moved(&self, step: Move) -> Result<Phase, Violation> {
        self.phase.after(step).ok_or(Violation::CeremonyNotOpen { phase: self.phase.name() })
    }

    pub(super) fn require_deciding(&self) -> Result<(), Violation> {
        require(self.phase.may_decide(), Violation::CeremonyNotOpen { phase: self.phase.name() })
    }

    /// Refuses a moment outside the plan's time or log span.
    pub(super) fn require_in_time(&self, logged_ms: u64, clock_ms: u64, size: u64) -> Result<(), Violation> {
        let plan = &self.plan;
        let bounds = Bounds {
            not_before_ms: plan.not_before_ms,
            expires_ms: plan.expires_ms,
            opened_size: plan.opened_size,
            max_log_span: plan.max_log_span,
        };
        bounds.require(logged_ms, clock_ms, size).map_err(|reason| match reason {
            OutOfBounds::NotYet { now_ms } => {
                Violation::PlanNotYetValid { not_before: plan.not_before_ms, now: now_ms }
            }
            OutOfBounds::Expired { now_ms } => Violation::PlanExpired { expires: plan.expires_ms, now: now_ms },
            OutOfBounds::Span { span } => Violation::LogSpanExceeded { span, max: plan.max_log_span },
        })
    }
}

impl State {
    pub(super) fn apply_opened(
        &mut self,
        entry: &LogEntry,
        event: &Opened,
        documents: &dyn Documents,
    ) -> Result<(), Violation> {
        require(!self.ceremonies.contains_key(&event.plan), Violation::PlanKnown { plan: event.plan })?;
        let plan: Plan = fetch_plain(documents, &event.plan.digest(), "ceremony plan")?;
        let operation = self.check_plan(entry, &plan, documents)?;
        self.ceremonies.insert(event.plan, Ceremony::open(event.plan, plan, operation, entry));
        Ok(())
    }

    /// The quorum is there. A plan that resumes another takes its place with this entry.
    pub(super) fn apply_authorised(&mut self, entry: &LogEntry, event: &Authorised) -> Result<(), Violation> {
        self.require_own(entry)?;
        let proof = self.authority(event.plan, entry.time_ms)?;
        let counted = proof.persons().iter().eq(&event.persons);
        require(counted, Violation::DocumentMismatch { what: "authorisation", field: "persons" })?;
        let ceremony = self.ceremony(event.plan)?;
        let phase = ceremony.moved(Move::Authorise)?;
        if let Some(parent) = ceremony.plan.parent {
            let handed = self.ceremony(parent)?.moved(Move::Hand)?;
            let parent = self.ceremony_mut(parent)?;
            parent.phase = handed;
            parent.resumed_by = Some(event.plan);
            let parent = parent.id;
            self.hand_batch_over(parent, event.plan);
        }
        self.ceremony_mut(event.plan)?.phase = phase;
        Ok(())
    }

    /// A running ceremony stops where it is.
    pub(super) fn apply_paused(&mut self, entry: &LogEntry, event: &Paused) -> Result<(), Violation> {
        match event.reason {
            PauseReason::Officer => drop(self.officer(entry)?),
            PauseReason::Quorum | PauseReason::Clock | PauseReason::Hsm => self.require_own(entry)?,
        }
        if event.reason == PauseReason::Quorum {
            let lost = matches!(self.authority(event.plan, entry.time_ms), Err(Violation::QuorumNotReached { .. }));
            require(lost, Violation::CeremonyNotOpen { phase: "running, and its quorum holds" })?;
        }
        let phase = self.ceremony(event.plan)?.moved(Move::Pause)?;
        let ceremony = self.ceremony_mut(event.plan)?;
        ceremony.phase = phase;
        ceremony.paused = Some(event.reason);
        Ok(())
    }

    pub(super) fn apply_decided(
        &mut self,
        entry: &LogEntry,
        event: &Decided,
        documents: &dyn Documents,
    ) -> Result<(), Violation> {
        let officer = self.officer(entry)?.clone();
        let identity = self.founded()?;
        let ceremony = self.ceremony(event.plan)?;
        ceremony.require_deciding()?;
        let signed = fetch_signed::<Approval>(documents, &event.approval, "approval")?;
        let approval = verified(&signed, &officer.key, "approval")?;
        let other_plan = Violation::ApprovalForOtherPlan { wanted: event.plan, found: approval.plan };
        require(approval.plan == event.plan, other_plan)?;
        require(approval.origin == identity.origin, Violation::ForeignOrigin)?;
        let mismatch = |field| Violation::DocumentMismatch { what: "approval", field };
        require(approval.officer == officer.id, mismatch("officer"))?;
        require(approval.role == Role::Security, mismatch("role"))?;
        require(approval.decision == event.decision, mismatch("decision"))?;
        if event.decision == Decision::Approve {
            let own = ceremony.plan.requester == Actor::Person(officer.id.clone());
            require(!own, Violation::RequesterCannotApprove { person: officer.id.clone() })?;
            ceremony.require_in_time(self.last_time_ms(), entry.time_ms, entry.index)?;
        }
        let before = ceremony.decisions.get(&officer.id).map(|recorded| recorded.decision);
        let repeated = before == Some(event.decision) || before == Some(Decision::Reject);
        require(!repeated, Violation::AlreadyDecided { person: officer.id.clone() })?;
        self.ceremony_mut(event.plan)?.decide(officer.id, event.decision, event.approval);
        Ok(())
    }

    pub(super) fn apply_contributed(
        &mut self,
        entry: &LogEntry,
        event: &Contributed,
        documents: &dyn Documents,
    ) -> Result<(), Violation> {
        let officer = self.officer(entry)?.clone();
        let ceremony = self.ceremony(event.plan)?;
        ceremony.require_deciding()?;
        ceremony.require_in_time(self.last_time_ms(), entry.time_ms, entry.index)?;
        let custodian = ceremony.plan.steps.iter().find_map(|step| match step {
            Step::CreateMasters(create) => create.custodians.iter().find(|c| c.person == officer.id),
            _ => None,
        });
        let custodian = custodian.ok_or_else(|| Violation::NotACustodian { person: officer.id.clone() })?;
        let signed = fetch_signed::<Component>(documents, &event.component, "component")?;
        let component = verified(&signed, &officer.key, "component")?;
        let mismatch = |field| Violation::DocumentMismatch { what: "component", field };
        require(component.plan == event.plan, mismatch("plan"))?;
        require(component.officer == officer.id, mismatch("officer"))?;
        require(component.kcv == custodian.kcv, mismatch("check value"))?;
        let known = ceremony.contributions.contains_key(&officer.id);
        require(!known, Violation::AlreadyContributed { person: officer.id.clone() })?;
        self.ceremony_mut(event.plan)?.contributions.insert(officer.id, event.component);
        Ok(())
    }

    pub(super) fn apply_step_intent(&mut self, entry: &LogEntry, event: &StepIntent) -> Result<(), Violation> {
        let _proof = self.authority_to_act(event.plan, entry.time_ms)?;
        let ceremony = self.ceremony(event.plan)?;
        let next = ceremony.next_step();
        let (number, step) = next.ok_or(Violation::StepOutOfOrder { next: None, found: event.step })?;
        require(number == event.step, Violation::StepOutOfOrder { next: Some(number), found: event.step })?;
        require(step_digest(step)? == event.parameters, Violation::ParametersDiffer)?;
        let other = Violation::OtherHsm { wanted: ceremony.plan.hsm_serial.clone(), found: event.hsm_serial.clone() };
        require(event.hsm_serial == ceremony.plan.hsm_serial, other)?;
        self.require_usable(&event.hsm_serial, step, entry.time_ms)?;
        if matches!(step, Step::CreateMasters(_)) {
            let missing = ceremony.components_missing().len();
            require(missing == 0, Violation::ComponentsMissing { missing })?;
        }
        let phase = ceremony.moved(Move::Begin)?;
        if step.makes_keys() {
            self.tokens.keys_made(entry.index);
        }
        let ceremony = self.ceremony_mut(event.plan)?;
        ceremony.phase = phase;
        if let Some(state) = ceremony.steps.get_mut(number as usize) {
            *state = StepState::Intent;
        }
        Ok(())
    }

    pub(super) fn apply_closed(&mut self, entry: &LogEntry, event: &Closed) -> Result<(), Violation> {
        let ceremony = self.ceremony(event.plan)?;
        let step = match event.closing {
            Closing::Done => {
                let next = ceremony.next_step().map(|(number, _)| number);
                require(next.is_none(), Violation::StepOutOfOrder { next, found: u32::MAX })?;
                Move::Finish
            }
            Closing::Rejected => {
                let rejected = ceremony.decisions.values().any(|r| r.decision == Decision::Reject);
                require(rejected, actor_not_allowed(entry, "an officer who rejected the plan"))?;
                Move::Reject
            }
            Closing::Aborted => {
                if entry.actor != ceremony.plan.requester {
                    self.officer(entry)?;
                }
                Move::Abort
            }
            Closing::Expired => {
                let live = ceremony.require_in_time(self.last_time_ms(), entry.time_ms, entry.index).is_ok();
                let not_expired = Violation::CeremonyNotOpen { phase: "still in time" };
                require(!live && entry.time_ms >= ceremony.plan.not_before_ms, not_expired)?;
                Move::Expire
            }
        };
        let phase = ceremony.moved(step)?;
        self.require_no_release_undone(event.plan, phase)?;
        if self.ceremony(event.plan)?.plan.makes_keys() {
            self.tokens.keys_made(entry.index);
        }
        self.ceremony_mut(event.plan)?.phase = phase;
        self.stop_batch_of(event.plan, phase);
        Ok(())
    }

    pub(super) fn ceremony_mut(&mut self, plan: PlanId) -> Result<&mut Ceremony, Violation> {
        self.ceremonies.get_mut(&plan).ok_or(Violation::PlanUnknown { plan })
    }
}

/// SM3 of a step's DER bytes: the parameters an INTENT names.
pub fn step_digest(step: &Step) -> Result<Digest, Violation> {
    use der::Encode;
    let malformed = |reason: der::Error| Violation::DocumentMalformed { what: "step", reason: reason.into() };
    let bytes = step.to_der().map_err(malformed)?;
    Ok(Digest::of(&bytes))
}
