//! `kms hsm status --server`: what a running server found when it looked at its HSM.

use kms_api::body::{AuditHealth, Health, HsmState, ProbeHealth};
use kms_core::attack::Attack;
use kms_core::render::time;

use crate::client::Client;
use crate::console;
use crate::failure::{Failure, Outcome};

/// Shows it; fails when keys are not in use.
pub(super) fn show(server: &str, json: bool) -> Outcome<()> {
    let health = Client::new(server, None)?.health()?;
    if json {
        console::json(&health.hsm)?
    } else {
        print(&health)
    }
    let (what, next) = match health.hsm.state {
        HsmState::Ok => return Ok(()),
        HsmState::KeysDiffer => (
            "keys in the HSM are not as the key log says, and are not served",
            "stop issuing; run `kms hsm inventory` to see which; find out by whom and when they were changed",
        ),
        HsmState::Unfit => (
            "the HSM is not fit: no key in it is used",
            "run `kms hsm doctor` and `kms hsm probe`; attacks that stay open need the ceremony accept-risk",
        ),
        HsmState::Examining => ("the HSM is being examined before a key in it is used", "ask again in a moment"),
        HsmState::SoftwareToken => (
            "a production instance does not work on this token",
            "bind it to a model of [production] token_models in ceremonies.toml",
        ),
        HsmState::Pin => ("the HSM does not accept its PIN", "check the PIN file and the token's PIN state"),
        HsmState::Unavailable => ("the HSM does not answer", "look at the server's log"),
    };
    Err(Failure::not_verified(what.to_owned(), next))
}

fn print(health: &Health) {
    let hsm = &health.hsm;
    console::field("instance", &health.origin);
    console::field("environment", &health.environment);
    for (label, value) in [("serial number", &hsm.serial), ("token", &hsm.label), ("model", &hsm.model)] {
        console::field(label, value.as_deref().unwrap_or("-"));
    }
    if let Some(error) = &hsm.error {
        console::field("error", error);
    }
    match &hsm.audit {
        Some(audit) => print_audit(audit),
        None => console::field("audited", "never"),
    }
    match &hsm.probe {
        Some(probe) => print_probe(probe),
        None => console::field("probed", "never"),
    }
}

fn print_audit(audit: &AuditHealth) {
    console::field("last audit entry", time(audit.at_ms));
    console::field("  objects", audit.objects);
    console::field("  keys of the log", audit.keys);
    console::field("  snapshot (SM3)", audit.snapshot.0);
    console::field("  differences", audit.differences);
    console::field("  alarms so far", audit.alarms);
    for object in &audit.differing {
        let detail = object.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        let served = if object.state == "unknown" { "" } else { ", NOT SERVED" };
        console::say(&format!("{:<9} id {}{served}{detail}", object.state.to_uppercase(), object.id));
    }
}

fn print_probe(probe: &ProbeHealth) {
    console::field("last probe entry", time(probe.at_ms));
    console::field("  firmware", &probe.firmware);
    console::field("  vendor map (SM3)", probe.map.0);
    for check in &probe.failed {
        console::field("  WRONG ANSWER", check);
    }
    for number in &probe.open {
        let name = Attack::by_number(*number).map_or("?", |attack| attack.name);
        let accepted = if probe.unaccepted.contains(number) { "" } else { " (accepted by ceremony)" };
        console::field("  attack works", format!("{number} {name}{accepted}"));
    }
}
