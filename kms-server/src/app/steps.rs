//! Runs a ceremony's steps: INTENT, effect, OUTCOME, each durable before the next.
//!
//! Guards: quorum is recomputed by the fold at INTENT and at OUTCOME; the HSM is called only after the
//! INTENT is durable; an effect is repeated under the ids of the plan, never under new ones.

use std::sync::PoisonError;

use kms_api::body::CeremonyView;
use kms_api::problem::Code;
use kms_core::event::{Closed, Closing, EffectResult, Event, StepIntent, StepOutcome};
use kms_core::id::{Actor, PlanId};
use kms_core::plan::{Role, Step};
use kms_core::ports::FaultClass;
use kms_core::state::{Phase, StepState, step_digest};
use kms_core::violation::Violation;

use super::effects::{self, Effect};
use crate::fault::Fault;
use crate::instance::Instance;
use crate::journal::Act;

/// Runs every step that can run now; answers how far it came.
pub fn advance(instance: &Instance, plan: PlanId, actor: &Actor, role: Option<Role>) -> Result<CeremonyView, Fault> {
    let _alone = instance.runner.lock().unwrap_or_else(PoisonError::into_inner);
    // Only after a crash between a decision and what follows from it.
    super::ceremonies::settle(instance)?;
    loop {
        let state = instance.journal.state();
        let ceremony = state.ceremony(plan)?;
        match ceremony.phase {
            // Run again after it ended well: nothing is left to do.
            Phase::Done => break,
            phase if phase.is_terminal() => return Err(Violation::CeremonyNotOpen { phase: phase.name() }.into()),
            _ => {}
        }
        let Some((number, step)) = ceremony.next_step() else {
            // Only after a crash between the last OUTCOME and this entry, which share a transaction today.
            close(instance, plan)?;
            break;
        };
        if let Step::IssueBatch(_) = step {
            return Err(Fault::new(Code::NothingToRun, "the batch engine makes the keys of a batch by itself"));
        }
        // Refuses before anything is written when quorum, time or span do not hold.
        let _proof = state.authority_to_act(plan, super::view::now_ms(instance)?)?;
        if ceremony.steps.get(number as usize) == Some(&StepState::Ready) {
            intend(instance, plan, number, step, actor, role)?;
        }
        match effects::perform(instance, &state, ceremony, step) {
            Ok(Some(effect)) => record(instance, plan, number, ceremony.plan.steps.len(), effect)?,
            Ok(None) => break,
            Err(fault) => {
                record_failure(instance, plan, number, &fault);
                return Err(fault);
            }
        }
    }
    if instance.journal.state().ceremony(plan)?.plan.makes_keys() {
        instance.inspection.ask();
    }
    if let Err(fault) = instance.checkpointer.sign() {
        tracing::warn!(%fault, "no checkpoint after a ceremony; the next second tries again");
    }
    super::ceremonies::show(instance, plan)
}

fn intend(
    instance: &Instance,
    plan: PlanId,
    step: u32,
    what: &Step,
    actor: &Actor,
    role: Option<Role>,
) -> Result<(), Fault> {
    let intent = StepIntent { plan, step, parameters: step_digest(what)?, hsm_serial: instance.token()?.serial };
    let act = Act::by(actor.clone(), role, vec![Event::StepIntent(intent)]);
    instance.journal.commit(|_, _| Ok((act, ())))
}

fn record(instance: &Instance, plan: PlanId, step: u32, steps: usize, effect: Effect) -> Result<(), Fault> {
    let outcome = StepOutcome {
        plan,
        step,
        result: EffectResult::Ok,
        keys: effect.keys,
        document: effect.document.as_ref().map(|document| kms_core::digest::Digest::of(document)),
        fault: None,
    };
    let mut events = vec![Event::StepOutcome(outcome)];
    if step as usize + 1 == steps {
        events.push(Event::Closed(Closed { plan, closing: Closing::Done }));
    }
    let act = effect.document.into_iter().fold(Act::own(events), Act::with);
    instance.journal.commit(|_, _| Ok((act, ())))?;
    tracing::info!(%plan, step, "ceremony step done");
    Ok(())
}

/// Writes down what the HSM refused. A fault that may pass by itself is no outcome: the INTENT stands.
fn record_failure(instance: &Instance, plan: PlanId, step: u32, fault: &Fault) {
    let Fault::Hsm(error) = fault else { return };
    tracing::warn!(%plan, step, %error, "ceremony step failed");
    if error.class != FaultClass::Refused {
        return;
    }
    let outcome = StepOutcome {
        plan,
        step,
        result: EffectResult::Failed,
        keys: Vec::new(),
        document: None,
        fault: Some(format!("{}: {}", error.function, error.code)),
    };
    let act = Act::own(vec![Event::StepOutcome(outcome)]);
    if let Err(fault) = instance.journal.commit(|_, _| Ok((act, ()))) {
        tracing::warn!(%fault, "the failure of a step could not be recorded");
    }
}

fn close(instance: &Instance, plan: PlanId) -> Result<(), Fault> {
    let act = Act::own(vec![Event::Closed(Closed { plan, closing: Closing::Done })]);
    instance.journal.commit(|_, _| Ok((act, ())))
}
