//! `kms audit verify` and `show`: offline. Imports neither client nor HSM; what needs the server is in
//! [`super::witness`].

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kms_core::event::{Event, LogEntry};
use kms_core::log::checkpoint::NOTE_BYTES_MAX;
use kms_core::render::time;
use kms_core::verify::{AuditFailure, AuditReport};
use serde_json::json;

use crate::commands::{anchor, witness};
use crate::console;
use crate::evidence::Export;
use crate::failure::{Failure, Outcome};
use crate::files;

/// Check what happened, without trusting the server
#[derive(Subcommand, Debug)]
pub(crate) enum Audit {
    /// Fetch the key log with every document it names
    Export(witness::ExportLog),
    /// Verify an export offline, from it and the trust anchor alone
    Verify(Verify),
    /// Show where the keys of one card went, with proof
    Prove(witness::Prove),
    /// Print the entries of an export as a table (offline, unverified)
    Show(Show),
}

/// Options of `kms audit verify`.
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// Folder that `kms audit export` wrote
    dir: PathBuf,
    /// Your own copy of the instance's trust anchor
    #[arg(long, value_name = "FILE")]
    anchor: PathBuf,
    /// Checkpoint kept from an earlier audit: the log must continue it
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// JSON for machines
    #[arg(long)]
    json: bool,
}

/// Options of `kms audit show`.
#[derive(Args, Debug)]
pub(crate) struct Show {
    /// Folder that `kms audit export` wrote
    dir: PathBuf,
}

impl Audit {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        match self {
            Self::Export(export) => export.run(),
            Self::Verify(verify) => verify.run(),
            Self::Prove(prove) => prove.run(),
            Self::Show(show) => show.run(),
        }
    }
}

impl Verify {
    fn run(&self) -> Outcome<()> {
        let trusted = anchor::read(&self.anchor)?;
        let export = Export::read(&self.dir)?;
        let previous = self.previous.as_deref().map(|path| files::read_text(path, NOTE_BYTES_MAX)).transpose()?;
        let result = export.audit(&trusted.bytes, previous.as_deref());
        if self.json {
            print_json(&result)?;
        } else if let Ok(report) = &result {
            print(report, self.previous.is_some());
        }
        result.map(drop).map_err(|failure| refuse(&failure))
    }
}

impl Show {
    fn run(&self) -> Outcome<()> {
        let export = Export::read(&self.dir)?;
        for entry in export.entries()? {
            console::say(&format!(
                "{:>6}  {}  {:<28} {}",
                entry.index,
                time(entry.time_ms),
                entry.actor,
                about(&entry)
            ));
        }
        console::note("This is a listing, not a proof: run `kms audit verify` as well.");
        Ok(())
    }
}

fn refuse(failure: &AuditFailure) -> Failure {
    let what = match failure.index {
        Some(index) => format!("THE LOG DOES NOT HOLD. First bad entry: {index}: {}", failure.reason),
        None => format!("THE LOG DOES NOT HOLD: {}", failure.reason),
    };
    Failure::not_verified(
        what,
        "keep the export as evidence; export again from another place, and compare checkpoints with other witnesses",
    )
}

fn print(report: &AuditReport, continued: bool) {
    let anchor = &report.anchor;
    console::say("THE LOG HOLDS: every entry, signature, quorum, state and count was checked.");
    console::field("instance", &anchor.origin);
    console::field("entries", report.size);
    console::field("root", report.root);
    console::field("from", time(report.span_ms.0));
    console::field("to", time(report.span_ms.1));
    if continued {
        console::field("earlier checkpoint", "continued by this log");
    }
    for (name, count) in &report.events {
        console::field(&format!("  {name}"), count);
    }
    console::field("effects without outcome", report.open_intents);
    print_token(report);
    for batch in &report.batches {
        console::field("batch", format!("{} for {}: {}", batch.batch, batch.bureau, batch.phase.name()));
        let used = match (batch.accepted, batch.spoiled) {
            (Some(accepted), Some(spoiled)) => format!("{accepted} acknowledged, {spoiled} spoiled"),
            _ => "not acknowledged".to_owned(),
        };
        console::field(
            "  cards",
            format!("{} authorised, {} produced, {used}; {} keys", batch.authorised, batch.produced, batch.keys),
        );
    }
}

/// What the log says of the HSM: audits that no ceremony explains, open attacks, accepted risks.
fn print_token(report: &AuditReport) {
    let state = &report.state;
    console::field("token alarms", state.alarms().len());
    for alarm in state.alarms() {
        let what = match alarm.differences {
            0 => "other objects than before, and no ceremony in between".to_owned(),
            count => format!("{count} objects not as the log says"),
        };
        console::field(
            "  ALARM",
            format!("entry {}, {}: token {}: {what}", alarm.index, time(alarm.time_ms), alarm.hsm_serial),
        );
    }
    let token = state.token(&report.anchor.hsm_serial);
    if let Some(audit) = token.and_then(|token| token.audit.as_ref()) {
        let found = &audit.found;
        console::field(
            "last token audit",
            format!("entry {}, {} differences, snapshot {}", audit.index, found.differences, found.snapshot),
        );
    }
    if let Some(probe) = token.and_then(|token| token.probe.as_ref()) {
        let found = &probe.found;
        console::field(
            "last token probe",
            format!("entry {}, attacks that work: {}", probe.index, numbers(&found.open)),
        );
    }
    for acceptance in state.acceptances() {
        let risk = &acceptance.risk;
        console::field(
            "accepted risk",
            format!(
                "attacks {} of {} {} until {}",
                numbers(&risk.attacks),
                risk.model,
                risk.firmware,
                time(risk.valid_until_ms)
            ),
        );
    }
}

fn numbers(attacks: &[u8]) -> String {
    let numbers: Vec<String> = attacks.iter().map(u8::to_string).collect();
    if numbers.is_empty() { "none".to_owned() } else { numbers.join(", ") }
}

fn print_json(result: &Result<AuditReport, AuditFailure>) -> Outcome<()> {
    let value = match result {
        Err(failure) => json!({ "ok": false, "entry": failure.index, "reason": failure.reason.to_string() }),
        Ok(report) => {
            let batches: Vec<_> = report.batches.iter().map(|b| json!({
                "batch": b.batch.to_string(), "bureau": b.bureau.as_str(), "phase": b.phase.name(), "authorised": b.authorised,
                "produced": b.produced, "keys": b.keys, "accepted": b.accepted, "spoiled": b.spoiled,
            })).collect();
            let alarms: Vec<_> = report.state.alarms().iter().map(|alarm| json!({
                "entry": alarm.index, "at_ms": alarm.time_ms, "hsm_serial": alarm.hsm_serial, "differences": alarm.differences,
            })).collect();
            let risks: Vec<_> = report.state.acceptances().iter().map(|acceptance| json!({
                "plan": acceptance.plan.to_string(), "model": acceptance.risk.model, "firmware": acceptance.risk.firmware,
                "attacks": acceptance.risk.attacks, "valid_until_ms": acceptance.risk.valid_until_ms,
            })).collect();
            json!({
                "ok": true, "origin": report.anchor.origin.as_str(), "entries": report.size, "root": report.root.to_string(),
                "first_ms": report.span_ms.0, "last_ms": report.span_ms.1, "events": report.events,
                "open_intents": report.open_intents, "batches": batches, "token_alarms": alarms, "accepted_risks": risks,
            })
        }
    };
    console::json(&value)
}

/// What an entry is about, in one line.
fn about(entry: &LogEntry) -> String {
    let name = entry.event.name();
    match &entry.event {
        Event::StepIntent(e) => format!("{name} step {} of {}", e.step, short(&e.plan)),
        Event::StepOutcome(e) => format!(
            "{name} step {} of {}: {} keys{}",
            e.step,
            short(&e.plan),
            e.keys.len(),
            e.fault.as_ref().map(|f| format!(", FAILED {f}")).unwrap_or_default()
        ),
        Event::ChunkIntent(e) => format!("{name} chunk {} token {} of batch {}", e.chunk, e.token, e.batch),
        Event::ChunkOutcome(e) => {
            format!("{name} chunk {} of batch {}: {} cards, {} keys", e.chunk, e.batch, e.cards, e.keys)
        }
        Event::BatchReleased(e) => format!("{name} {}: {} cards, {} keys", e.batch, e.cards, e.keys),
        Event::BatchAcknowledged(e) => format!("{name} {}: {} accepted, {} spoiled", e.batch, e.accepted, e.spoiled),
        Event::BatchCancelled(e) => format!("{name} {}", e.batch),
        Event::Refused(e) => format!("{name} {}: {} ({} times)", e.operation, e.code, e.count),
        Event::Started(e) => format!("{name} {}", e.build),
        Event::TokenAudited(e) => {
            format!("{name} {}: {} objects, {} differences", e.hsm_serial, e.objects, e.differences)
        }
        Event::TokenProbed(e) => format!("{name} {}: attacks that work: {}", e.hsm_serial, numbers(&e.open)),
        other => other.plan().map_or_else(|| name.to_owned(), |plan| format!("{name} {}", short(&plan))),
    }
}

fn short(plan: &kms_core::id::PlanId) -> String {
    plan.to_string().chars().take(12).collect()
}
