//! Ceremonies as officers see and move them: list, look, decide, hand in a component, stop.

use kms_api::body::{CeremonyList, CeremonyView};
use kms_api::problem::Code;
use kms_core::digest::Digest;
use kms_core::document::Component;
use kms_core::encoding::{EncodingError, Signed};
use kms_core::event::{Authorised, Closed, Closing, Contributed, Decided, Event, PauseReason, Paused};
use kms_core::id::{Actor, PlanId};
use kms_core::plan::{Approval, Decision, Role};
use kms_core::state::Phase;
use kms_core::violation::Violation;

use super::caller::Caller;
use super::view;
use crate::fault::Fault;
use crate::instance::Instance;
use crate::journal::{Act, Moment};

/// All ceremonies, oldest first.
pub fn list(instance: &Instance) -> Result<CeremonyList, Fault> {
    let state = instance.journal.state();
    let now_ms = view::now_ms(instance)?;
    let mut ceremonies: Vec<_> = state.ceremonies().values().collect();
    ceremonies.sort_by_key(|ceremony| ceremony.opened_index);
    Ok(CeremonyList { ceremonies: ceremonies.into_iter().map(|c| view::brief(c, &state, now_ms)).collect() })
}

/// One ceremony.
pub fn show(instance: &Instance, plan: PlanId) -> Result<CeremonyView, Fault> {
    let state = instance.journal.state();
    view::full(instance, state.ceremony(plan)?, &state)
}

/// The plan's bytes.
pub fn plan(instance: &Instance, plan: PlanId) -> Result<Vec<u8>, Fault> {
    instance.journal.state().ceremony(plan)?;
    super::document(instance, &plan.digest())
}

/// Records an officer's signed decision; a rejection ends the ceremony in the same transaction.
pub fn decide(instance: &Instance, plan: PlanId, approval: &[u8]) -> Result<CeremonyView, Fault> {
    let signed = Signed::<Approval>::parse(approval).map_err(malformed)?;
    let Approval { officer, decision, .. } = signed.unverified_tbs().clone();
    let mut events = vec![Event::Decided(Decided { plan, approval: Digest::of(approval), decision })];
    if decision == Decision::Reject {
        events.push(Event::Closed(Closed { plan, closing: Closing::Rejected }));
    }
    // A decision is its signer's, whichever officer carries it here from a computer without a network:
    // the fold checks the signature with the key of the officer it names.
    let act = Act::by(Actor::Person(officer), Some(Role::Security), events).with(approval);
    instance.journal.commit(|_, _| Ok((act, ())))?;
    settle(instance)?;
    instance.engine.wake();
    show(instance, plan)
}

/// Writes down what follows from the state by itself: a quorum that is reached, a running ceremony whose quorum is
/// lost. Called after every decision and every second, so a crash in between costs nothing.
pub fn settle(instance: &Instance) -> Result<(), Fault> {
    let follows = |moment: &Moment<'_>| {
        let state = moment.state;
        state.ceremonies().values().find_map(|ceremony| {
            let plan = ceremony.id;
            match (ceremony.phase, state.authority(plan, moment.now_ms)) {
                (Phase::Open, Ok(proof)) => {
                    let persons = proof.persons().iter().cloned().collect();
                    Some(Event::Authorised(Authorised { plan, persons }))
                }
                (Phase::Running, Err(Violation::QuorumNotReached { .. })) => {
                    Some(Event::Paused(Paused { plan, reason: PauseReason::Quorum }))
                }
                _ => None,
            }
        })
    };
    let now_ms = view::now_ms(instance)?;
    while follows(&Moment { state: &instance.journal.state(), now_ms }).is_some() {
        instance.journal.commit(|moment, _| Ok((Act::own(follows(moment).into_iter().collect()), ())))?;
    }
    Ok(())
}

/// Stops a running ceremony where it is.
pub fn pause(instance: &Instance, caller: &Caller, plan: PlanId) -> Result<CeremonyView, Fault> {
    let act = caller.act(vec![Event::Paused(Paused { plan, reason: PauseReason::Officer })]);
    instance.journal.commit(|_, _| Ok((act, ())))?;
    show(instance, plan)
}

/// Records a custodian's sealed root component.
pub fn contribute(instance: &Instance, caller: &Caller, plan: PlanId, component: &[u8]) -> Result<CeremonyView, Fault> {
    Signed::<Component>::parse(component).map_err(malformed)?;
    let event = Event::Contributed(Contributed { plan, component: Digest::of(component) });
    let act = caller.act(vec![event]).with(component);
    instance.journal.commit(|_, _| Ok((act, ())))?;
    show(instance, plan)
}

/// Stops a ceremony.
pub fn abort(instance: &Instance, caller: &Caller, plan: PlanId) -> Result<CeremonyView, Fault> {
    let act = caller.act(vec![Event::Closed(Closed { plan, closing: Closing::Aborted })]);
    instance.journal.commit(|_, _| Ok((act, ())))?;
    show(instance, plan)
}

/// Closes ceremonies whose time or log span ran out.
pub fn expire(instance: &Instance) -> Result<(), Fault> {
    let state = instance.journal.state();
    let now_ms = view::now_ms(instance)?.max(state.last_time_ms());
    let overdue = state.ceremonies().values().filter(|ceremony| !ceremony.phase.is_terminal()).filter(|ceremony| {
        let span = state.size().saturating_sub(ceremony.plan.opened_size);
        now_ms >= ceremony.plan.expires_ms || span > ceremony.plan.max_log_span
    });
    for ceremony in overdue {
        let event = Event::Closed(Closed { plan: ceremony.id, closing: Closing::Expired });
        instance.journal.commit(|_, _| Ok((Act::own(vec![event]), ())))?;
    }
    Ok(())
}

pub(super) fn malformed(error: EncodingError) -> Fault {
    Fault::new(Code::MalformedBody, error.to_string())
}
