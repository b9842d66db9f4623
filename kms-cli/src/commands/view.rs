//! How far ceremonies and batches have come, as the server tells it: shown, never relied on.

use kms_api::body::{BatchPhase, BatchView, CeremonyPhase, CeremonyView, DecisionMade, StepState, WaitingFor};
use kms_core::render::time;

use crate::console;

/// Prints a ceremony.
pub(crate) fn ceremony(view: &CeremonyView) {
    console::field("ceremony", &view.plan_id);
    console::field("operation", &view.operation);
    console::field("requested by", &view.requester);
    console::field("state", phase(view.phase));
    if let Some(reason) = &view.paused {
        console::field("  paused", reason);
    }
    if let Some(parent) = &view.resumes {
        console::field("resumes", parent);
    }
    if let Some(child) = &view.resumed_by {
        console::field("resumed by", child);
    }
    let approvals = view.decisions.iter().filter(|d| d.decision == DecisionMade::Approve).count();
    console::field("approvals", format!("{approvals} of {}", view.wanted));
    for decision in &view.decisions {
        let verb = match decision.decision {
            DecisionMade::Approve => "approved by",
            DecisionMade::Reject => "REJECTED by",
        };
        console::field(&format!("  {verb}"), &decision.officer);
    }
    for (person, handed_in) in &view.custodians {
        console::field("  component of", format!("{person}: {}", if *handed_in { "handed in" } else { "missing" }));
    }
    for step in &view.steps {
        let state = match step.state {
            StepState::Done => "done",
            StepState::Intent => "begun (INTENT recorded)",
            StepState::Ready => "not begun",
        };
        console::field(&format!("  {}", step.name), state);
        check_values(step.keys.iter().filter_map(|key| {
            let kcv = key.kcv.as_ref()?;
            Some(if key.group == 0 {
                format!("{} {kcv}", key.name)
            } else {
                format!("{}/{}/{} {kcv}", key.name, key.group, key.version)
            })
        }));
        if let Some(document) = &step.document {
            console::field("    document (SM3)", document);
        }
    }
    if let Some(batch) = &view.batch {
        console::field("batch", batch);
    }
    console::field("valid until", time(view.expires_ms));
    console::field("next", waiting(view));
}

/// One line of `kms ceremony list`.
pub(crate) fn ceremony_line(view: &CeremonyView) {
    console::say(&format!("{}  {:<16} {:<10} {}", view.plan_id, view.operation, phase(view.phase), waiting(view)));
}

/// Prints a batch.
pub(crate) fn batch(view: &BatchView) {
    console::field("batch", &view.batch);
    console::field("bureau and counter", format!("{} number {}", view.bureau, view.counter));
    console::field("state", batch_phase(view.phase));
    console::field("cards", format!("{} ({} of them replacements)", view.cards, view.replacements));
    console::field("chunks", format!("{} of {}", view.chunks_done, view.chunks_total));
    console::field("profile", format!("{} (SM3 {})", view.profile_id, view.profile));
    console::field("ceremony", &view.plan_id);
    if let Some(manifest) = &view.manifest {
        console::field("manifest (SM3)", manifest);
    }
    if let Some(receipt) = &view.receipt {
        console::field("receipt (SM3)", receipt);
    }
}

/// Prints check values, four a line.
pub(crate) fn check_values(titles: impl Iterator<Item = String>) {
    let all: Vec<String> = titles.collect();
    for row in all.chunks(4) {
        console::say(&format!("    KCV {}", row.join("  ")));
    }
}

/// Phase in words.
pub(crate) fn batch_phase(phase: BatchPhase) -> &'static str {
    match phase {
        BatchPhase::Acknowledged => "acknowledged",
        BatchPhase::Authorised => "authorised",
        BatchPhase::Cancelled => "cancelled",
        BatchPhase::Producing => "producing",
        BatchPhase::Released => "released",
        BatchPhase::Requested => "requested: waiting for the officers",
    }
}

fn phase(phase: CeremonyPhase) -> &'static str {
    match phase {
        CeremonyPhase::Aborted => "aborted",
        CeremonyPhase::Authorised => "authorised",
        CeremonyPhase::Done => "done",
        CeremonyPhase::Expired => "expired",
        CeremonyPhase::Open => "open",
        CeremonyPhase::Paused => "paused",
        CeremonyPhase::Rejected => "rejected",
        CeremonyPhase::Running => "running",
    }
}

fn waiting(view: &CeremonyView) -> &'static str {
    match view.waiting_for {
        WaitingFor::Approvals => "more officers: kms ceremony approve",
        WaitingFor::Components => "custodians: kms ceremony component hand-in",
        WaitingFor::Engine => "nothing: the batch engine works on it",
        WaitingFor::None => "nothing: it is closed",
        WaitingFor::Resumption => "an officer: kms ceremony resume, then a fresh quorum for what is left",
        WaitingFor::Run => "an officer: kms ceremony run",
        WaitingFor::SecurityOfficer => {
            "the security officer at the HSM: kms ceremony trust, then kms ceremony run again"
        }
    }
}
