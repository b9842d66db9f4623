//! `kms batch`: from a card list to keys in the bureau's own HSM, and the receipt.

mod open;
mod package;
mod pull;
mod receipt;
mod records;
mod request;

use std::time::Duration;

use clap::{Args, Subcommand};
use kms_api::body::{BatchList, BatchPhase, BatchView};
use kms_core::id::BatchId;

use crate::client::{Client, ServerOptions};
use crate::commands::view;
use crate::console;
use crate::failure::{Exit, Failure, Outcome};

/// How often a watched batch is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// Batches of card keys
#[derive(Subcommand, Debug)]
pub(crate) enum Batch {
    /// Ask for the keys of the cards in a list
    Request(request::Request),
    /// List batches
    List(List),
    /// Show how far a batch has come
    Status(Status),
    /// Download a released package; resumes where a broken download ended
    Pull(pull::Pull),
    /// Verify a downloaded package offline, and name the bad part
    Verify(package::Verify),
    /// Verify a package and wrap its keys for the personalization machine, inside your HSM
    Open(open::Open),
    /// Sign for a package, naming spoiled cards
    Acknowledge(receipt::Acknowledge),
    /// Cancel a batch before it is released
    Cancel(Cancel),
}

/// Options of `kms batch list`.
#[derive(Args, Debug)]
pub(crate) struct List {
    #[command(flatten)]
    server: ServerOptions,
    /// JSON for machines
    #[arg(long)]
    json: bool,
}

/// Options of `kms batch status`.
#[derive(Args, Debug)]
pub(crate) struct Status {
    /// Batch id (32 hexadecimal digits)
    id: BatchId,
    #[command(flatten)]
    server: ServerOptions,
    /// Wait, with a progress bar, until the package is released
    #[arg(long)]
    watch: bool,
    /// JSON for machines
    #[arg(long)]
    json: bool,
}

/// Options of `kms batch cancel`.
#[derive(Args, Debug)]
pub(crate) struct Cancel {
    /// Batch id (32 hexadecimal digits)
    id: BatchId,
    #[command(flatten)]
    server: ServerOptions,
}

impl Batch {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        match self {
            Self::Request(request) => request.run(),
            Self::List(list) => list.run(),
            Self::Status(status) => status.run(),
            Self::Pull(pull) => pull.run(),
            Self::Verify(verify) => verify.run(),
            Self::Open(open) => open.run(),
            Self::Acknowledge(acknowledge) => acknowledge.run(),
            Self::Cancel(cancel) => cancel.run(),
        }
    }
}

impl List {
    fn run(&self) -> Outcome<()> {
        let list: BatchList = self.server.connect()?.get("/v1/batches")?;
        if self.json {
            return console::json(&list);
        }
        for batch in &list.batches {
            console::say(&format!(
                "{}  {} {:>5}  {:>8} cards  chunks {}/{}  {}",
                batch.batch,
                batch.bureau,
                batch.counter,
                batch.cards,
                batch.chunks_done,
                batch.chunks_total,
                view::batch_phase(batch.phase)
            ));
        }
        console::note(&format!("{} batches", list.batches.len()));
        Ok(())
    }
}

impl Status {
    fn run(&self) -> Outcome<()> {
        let client = self.server.connect()?;
        let mut batch = fetch(&client, self.id)?;
        if self.watch {
            batch = watch(&client, batch)?;
        }
        if self.json {
            return console::json(&batch);
        }
        view::batch(&batch);
        match batch.phase {
            BatchPhase::Cancelled if self.watch => Err(Failure::new(
                Exit::Refused,
                "the batch was cancelled",
                "ask the officers why, and request a new one",
            )),
            _ => Ok(()),
        }
    }
}

impl Cancel {
    fn run(&self) -> Outcome<()> {
        let batch: BatchView = self.server.connect()?.post(&format!("/v1/batches/{}/cancel", self.id))?;
        view::batch(&batch);
        Ok(())
    }
}

fn fetch(client: &Client, id: BatchId) -> Outcome<BatchView> {
    client.get(&format!("/v1/batches/{id}"))
}

fn watch(client: &Client, mut batch: BatchView) -> Outcome<BatchView> {
    let bar = console::progress(u64::from(batch.cards), "cards");
    while matches!(batch.phase, BatchPhase::Requested | BatchPhase::Authorised | BatchPhase::Producing) {
        std::thread::sleep(WATCH_INTERVAL);
        batch = fetch(client, batch.batch.0)?;
        let share = u64::from(batch.chunks_done) * u64::from(batch.cards) / u64::from(batch.chunks_total.max(1));
        bar.set_position(share);
    }
    bar.finish();
    Ok(batch)
}
