//! `kms hsm inventory`: the token's objects against the key list that the verified log gives.

use std::path::PathBuf;

use clap::Args;
use kms_core::ports::{AuditedObject, Hsm as _, ObjectState};
use kms_hsm::HsmClient;
use serde_json::{Value, json};

use crate::commands::anchor;
use crate::console;
use crate::evidence::Export;
use crate::failure::{Failure, Outcome};
use crate::settings::ConfigOption;
use crate::token::{self, TokenOptions};

/// Options of `kms hsm inventory`.
#[derive(Args, Debug)]
pub(crate) struct Inventory {
    #[command(flatten)]
    token: TokenOptions,
    /// Your own copy of the instance's trust anchor
    #[arg(long, value_name = "FILE")]
    anchor: PathBuf,
    /// Folder that `kms audit export` wrote: verified first, then read as the list of keys
    #[arg(long, value_name = "DIR")]
    log_export: PathBuf,
    /// File with the user PIN (mode 600)
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigOption,
}

impl Inventory {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        let trusted = anchor::read(&self.anchor)?;
        let report = Export::read(&self.log_export)?.audit(&trusted.bytes, None).map_err(|failure| {
            Failure::not_verified(
                format!("the log does not hold: {}", failure.reason),
                "run `kms audit verify`; an inventory against a log that does not hold says nothing",
            )
        })?;
        let settings = self.config.read()?;
        let named = self.token.named(&settings)?;
        let pin_file = self.pin_file.clone().or(settings.pin_file);
        let pin = token::pin(pin_file.as_deref(), "user PIN")?;
        let client = HsmClient::new(named.config(pin)).map_err(|reason| token::bad_map(&reason))?;
        let snapshot =
            client.audit(&report.state.expected_keys()).map_err(|error| token::failed(error, || client.status()))?;
        let lines = &snapshot.lines;
        if self.json {
            console::json(&lines.iter().map(machine).collect::<Vec<_>>())?;
        } else {
            lines.iter().for_each(|line| console::say(&told(line)));
            console::note(&format!("snapshot of {} objects: {}", snapshot.objects, snapshot.digest));
        }
        let differing: Vec<_> = snapshot.differing().collect();
        if differing.is_empty() {
            return Ok(());
        }
        Err(Failure::not_verified(
            format!("{} of {} objects are not as the log says", differing.len(), lines.len()),
            "stop issuing; find out by whom and when each was made or changed, before anything is repaired",
        )
        .with_lines(differing.into_iter().map(told)))
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn machine(line: &AuditedObject) -> Value {
    json!({
        "state": line.state.name(), "name": line.name, "class": line.class, "id": hex(&line.id), "detail": line.detail,
    })
}

fn told(line: &AuditedObject) -> String {
    let state = match line.state {
        ObjectState::Present => "present".to_owned(),
        other => other.name().to_uppercase(),
    };
    let detail = if line.detail.is_empty() { String::new() } else { format!(": {}", line.detail) };
    format!("{state:<9} {} ({}, id {}){detail}", line.name, line.class, hex(&line.id))
}
