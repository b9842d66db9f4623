//! `kms hsm inventory`: the token's objects against the key list that the verified log gives.

use std::path::PathBuf;

use clap::Args;
use kms_core::state::State as LogState;
use kms_hsm::inventory::{self, Expected, Item, Kind, State};

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
        let items = inventory::compare(&named.config(pin), &key_list(&report.state))?;
        if self.json {
            console::json(&items)?;
        } else {
            items.iter().for_each(row);
        }
        let differing: Vec<_> = items.iter().filter(|item| item.state != State::Present).collect();
        if differing.is_empty() {
            return Ok(());
        }
        Err(Failure::not_verified(
            format!("{} of {} objects are not as the log says", differing.len(), items.len()),
            "stop issuing; find out by whom and when each was made or changed, before anything is repaired",
        )
        .with_lines(differing.into_iter().map(told)))
    }
}

/// What the instance believes it has, by the log.
fn key_list(state: &LogState) -> Vec<Expected> {
    let key = |kind, id, name: String, kcv| Expected { kind, id, name, kcv };
    let mut list = Vec::new();
    if let Some(keys) = state.keys() {
        let ids = &keys.ids;
        let own = [
            (Kind::Signing, ids.log, "log"),
            (Kind::Signing, ids.instance, "instance"),
            (Kind::Import, ids.import, "masters"),
            (Kind::Index, ids.index, "cards"),
            (Kind::Storage, ids.storage, "lists"),
        ];
        list.extend(own.map(|(kind, id, name)| key(kind, id, name.to_owned(), None)));
        let components = ids.component_import.map(|id| key(Kind::ComponentImport, id, "components".to_owned(), None));
        list.extend(components);
    }
    for set in state.masters().values() {
        let kind = if set.transferable { Kind::TransferableMaster } else { Kind::LocalMaster };
        list.extend(set.masters.iter().map(|master| key(kind, master.id, master.title(), Some(master.kcv))));
    }
    for (region, province) in state.provinces() {
        list.push(key(Kind::Recipient, province.recipient, format!("province {region}"), None));
    }
    for (name, bureau) in state.bureaus() {
        list.push(key(Kind::Recipient, bureau.recipient, format!("bureau {name}"), None));
        list.push(key(Kind::Transport, bureau.kek, format!("bureau {name}"), Some(bureau.kek_kcv)));
    }
    list
}

fn told(item: &Item) -> String {
    let state = match item.state {
        State::Present => "present",
        State::Missing => "MISSING",
        State::Duplicate => "DUPLICATE",
        State::Wrong => "WRONG",
        State::Unknown => "UNKNOWN",
    };
    let detail = if item.detail.is_empty() { String::new() } else { format!(": {}", item.detail) };
    format!("{state:<9} {} ({}, id {}){detail}", item.name, item.class, item.id)
}

fn row(item: &Item) {
    console::say(&told(item));
}
