//! How a ceremony looks to people: computed from the state and, for check values, from the log.

use std::collections::BTreeMap;

use kms_api::body::{
    CeremonyPhase, CeremonyView, DecisionMade, DecisionView, DocumentRef, KeyView, StepState as StepStateName,
    StepView, WaitingFor,
};
use kms_api::text::Text;
use kms_core::encoding;
use kms_core::event::{EffectResult, Event, KeyRecord, LogEntry};
use kms_core::plan::{Decision, Step};
use kms_core::state::{Ceremony, Phase, State, StepState};
use kms_core::violation::Violation;

use crate::fault::Fault;
use crate::instance::Instance;
use crate::store::log;

/// Entries read at a time when looking for outcomes.
const PAGE_ENTRIES: u32 = 500;

/// One ceremony in full.
pub fn full(instance: &Instance, ceremony: &Ceremony, state: &State) -> Result<CeremonyView, Fault> {
    let mut view = brief(ceremony, state, now_ms(instance)?);
    let finished = ceremony.steps.iter().filter(|step| matches!(step, StepState::Done { .. })).count();
    if finished > 0 && ceremony.plan.batch().is_none() {
        for (step, keys) in outcome_keys(instance, ceremony, finished)? {
            if let Some(step) = view.steps.get_mut(step as usize) {
                step.keys = keys.iter().map(key_view).collect();
            }
        }
    }
    Ok(view)
}

/// One ceremony without check values.
pub fn brief(ceremony: &Ceremony, state: &State, now_ms: u64) -> CeremonyView {
    let missing = ceremony.components_missing();
    let custodians: BTreeMap<String, bool> =
        custodians(ceremony).into_iter().map(|person| (person.to_string(), !missing.contains(person))).collect();
    CeremonyView {
        plan_id: Text(ceremony.id.digest()),
        operation: ceremony.operation.name().to_owned(),
        phase: phase(ceremony, state, now_ms),
        waiting_for: waiting_for(ceremony, state, now_ms),
        requester: ceremony.plan.requester.to_text(),
        expires_ms: ceremony.plan.expires_ms,
        wanted: state.approvals_wanted(ceremony.id).unwrap_or(ceremony.plan.approvals),
        decisions: decisions(ceremony),
        custodians,
        steps: ceremony.plan.steps.iter().zip(&ceremony.steps).map(|(step, state)| step_view(step, state)).collect(),
        paused: ceremony.paused.map(|reason| reason.name().to_owned()),
        resumes: ceremony.plan.parent.map(|parent| Text(parent.digest())),
        resumed_by: ceremony.resumed_by.map(|child| Text(child.digest())),
        batch: ceremony.plan.batch().map(|issue| Text(issue.batch)),
        documents: documents(ceremony),
    }
}

/// The database's clock.
pub fn now_ms(instance: &Instance) -> Result<u64, Fault> {
    instance.store.read(|connection| crate::store::backend::now_ms(connection).map_err(Fault::from))
}

/// A key record as the API shows it.
pub fn key_view(record: &KeyRecord) -> KeyView {
    KeyView { name: record.name.clone(), group: record.group, version: record.version, kcv: record.kcv.map(Text) }
}

fn phase(ceremony: &Ceremony, state: &State, now_ms: u64) -> CeremonyPhase {
    match ceremony.phase {
        Phase::Draft | Phase::Open => match state.authority(ceremony.id, now_ms) {
            Ok(_proof) => CeremonyPhase::Authorised,
            Err(Violation::PlanExpired { .. } | Violation::LogSpanExceeded { .. }) => CeremonyPhase::Expired,
            Err(_) => CeremonyPhase::Open,
        },
        Phase::Authorised => CeremonyPhase::Authorised,
        Phase::Paused => CeremonyPhase::Paused,
        Phase::Running => CeremonyPhase::Running,
        Phase::Done => CeremonyPhase::Done,
        Phase::Rejected => CeremonyPhase::Rejected,
        Phase::Aborted => CeremonyPhase::Aborted,
        Phase::Expired => CeremonyPhase::Expired,
    }
}

fn waiting_for(ceremony: &Ceremony, state: &State, now_ms: u64) -> WaitingFor {
    if ceremony.phase.is_terminal() {
        return WaitingFor::None;
    }
    if ceremony.phase == Phase::Paused {
        return WaitingFor::Resumption;
    }
    match state.authority(ceremony.id, now_ms) {
        Ok(_proof) => {}
        Err(Violation::PlanExpired { .. } | Violation::LogSpanExceeded { .. }) => return WaitingFor::None,
        Err(_) => return WaitingFor::Approvals,
    }
    match ceremony.next_step() {
        Some((_, Step::IssueBatch(_))) => WaitingFor::Engine,
        Some((_, Step::CreateMasters(_))) if !ceremony.components_missing().is_empty() => WaitingFor::Components,
        Some((number, step)) if step.needs_security_officer() => {
            let intended = ceremony.steps.get(number as usize) == Some(&StepState::Intent);
            if intended { WaitingFor::SecurityOfficer } else { WaitingFor::Run }
        }
        _ => WaitingFor::Run,
    }
}

fn custodians(ceremony: &Ceremony) -> Vec<&kms_core::id::PersonId> {
    let steps = ceremony.plan.steps.iter();
    steps
        .flat_map(|step| match step {
            Step::CreateMasters(create) => create.custodians.as_slice(),
            _ => &[],
        })
        .map(|custodian| &custodian.person)
        .collect()
}

fn decisions(ceremony: &Ceremony) -> Vec<DecisionView> {
    let view = |(officer, recorded): (&kms_core::id::PersonId, &kms_core::state::Recorded)| DecisionView {
        officer: Text(officer.clone()),
        decision: match recorded.decision {
            Decision::Approve => DecisionMade::Approve,
            Decision::Reject => DecisionMade::Reject,
        },
        approval: Text(recorded.approval),
    };
    ceremony.decisions.iter().map(view).collect()
}

fn step_view(step: &Step, state: &StepState) -> StepView {
    let (state, document) = match state {
        StepState::Ready => (StepStateName::Ready, None),
        StepState::Intent => (StepStateName::Intent, None),
        StepState::Done { document } => (StepStateName::Done, document.map(Text)),
    };
    StepView { name: step.name().to_owned(), state, keys: Vec::new(), document }
}

fn documents(ceremony: &Ceremony) -> Vec<DocumentRef> {
    let reference = |kind: &str, digest| DocumentRef { kind: kind.to_owned(), digest: Text(digest) };
    let mut found = vec![reference("plan", ceremony.id.digest())];
    found.extend(ceremony.decisions.values().map(|recorded| reference("approval", recorded.approval)));
    found.extend(ceremony.contributions.values().map(|digest| reference("component", *digest)));
    for (step, state) in ceremony.plan.steps.iter().zip(&ceremony.steps) {
        if let StepState::Done { document: Some(digest) } = state {
            found.push(reference(product(step), *digest));
        }
    }
    found
}

/// What kind of document a step produces.
const fn product(step: &Step) -> &'static str {
    match step {
        Step::CreateInstanceKeys(_) => "trust-anchor",
        Step::SealMasters(_) | Step::SealTransportKey(_) => "sealed-keys",
        Step::ImportMasters(_) => "import-receipt",
        Step::IssueBatch(_) => "manifest",
        Step::FoundInstance(_)
        | Step::CreateMasters(_)
        | Step::TrustProvince(_)
        | Step::TrustNation(_)
        | Step::TrustBureau(_)
        | Step::AcceptRisk(_)
        | Step::EnrolPerson(_)
        | Step::RevokePerson(_)
        | Step::ChangePersonKey(_)
        | Step::ChangePolicy(_) => "document",
    }
}

/// Keys of the successful outcomes of a ceremony, from the log: the state keeps only what rules need.
fn outcome_keys(instance: &Instance, ceremony: &Ceremony, wanted: usize) -> Result<Vec<(u32, Vec<KeyRecord>)>, Fault> {
    // The founding step has no outcome of its own.
    let wanted = wanted - usize::from(ceremony.plan.founding().is_some());
    let mut found = Vec::new();
    let mut from = ceremony.opened_index;
    while found.len() < wanted {
        let page = instance.store.read(|c| log::entries(c, from, PAGE_ENTRIES).map_err(Fault::from))?;
        if page.is_empty() {
            break;
        }
        from += page.len() as u64;
        for der in page {
            let entry: LogEntry = encoding::decode(&der)?;
            if let Event::StepOutcome(outcome) = entry.event
                && outcome.plan == ceremony.id
                && outcome.result == EffectResult::Ok
            {
                found.push((outcome.step, outcome.keys));
            }
        }
    }
    Ok(found)
}
