//! `kms ceremony`: propose, read, decide, run. The officer's own program shows what it signs.

mod component;
mod decide;
mod propose;
mod trust;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kms_api::body::{CeremonyList, CeremonyView, StatusView};
use kms_core::digest::Digest;
use kms_core::encoding::Document;
use kms_core::id::{Actor, PersonId};
use kms_core::plan::{Decision, Plan};

use crate::client::{Client, ServerOptions};
use crate::commands::view;
use crate::console;
use crate::failure::{Exit, Failure, Outcome};
use crate::files::{self, Access};
use crate::plans::ReadPlan;

/// Ceremonies: propose, show, approve, run
#[derive(Subcommand, Debug)]
pub(crate) enum Ceremony {
    /// Put a plan before the officers
    #[command(subcommand)]
    Propose(propose::Propose),
    /// List all ceremonies
    List(List),
    /// Show a plan in words, its digest in hex and as words to read aloud
    Show(Show),
    /// Approve a plan: read it, say Yes, sign
    Approve(decide::Decide),
    /// Reject a plan: one rejection ends the ceremony
    Reject(decide::Decide),
    /// Hand in an approval or rejection signed offline
    Submit(decide::SubmitDecision),
    /// Let the instance make the next effects of an authorised plan
    Run(Act),
    /// Stop a ceremony
    Abort(Act),
    /// Stop a running ceremony where it is, to be resumed later
    Pause(Act),
    /// Put what is left of a paused ceremony before the officers, as a plan of its own
    Resume(Act),
    /// Root components of custodians
    #[command(subcommand)]
    Component(component::ComponentCommand),
    /// The security officer's part at the HSM: make keys TRUSTED, as an authorised plan says
    Trust(trust::Trust),
}

/// Options of `kms ceremony list`.
#[derive(Args, Debug)]
pub(crate) struct List {
    #[command(flatten)]
    server: ServerOptions,
    /// JSON for machines
    #[arg(long)]
    json: bool,
}

/// Options of `kms ceremony show`.
#[derive(Args, Debug)]
pub(crate) struct Show {
    /// Plan id (64 hexadecimal digits)
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    id: Option<Digest>,
    /// A plan file instead: entirely offline
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    server: ServerOptions,
    /// Save the plan, to be carried to officers who sign offline
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    out: Option<PathBuf>,
    /// JSON for machines: the ceremony's state as the server tells it
    #[arg(long, conflicts_with = "file")]
    json: bool,
}

/// A ceremony to act on.
#[derive(Args, Debug)]
pub(crate) struct Act {
    /// Plan id (64 hexadecimal digits)
    id: Digest,
    #[command(flatten)]
    server: ServerOptions,
}

impl Ceremony {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        match self {
            Self::Propose(propose) => propose.run(),
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Approve(decide) => decide.run(Decision::Approve),
            Self::Reject(decide) => decide.run(Decision::Reject),
            Self::Submit(submit) => submit.run(),
            Self::Run(act) => act.post("run"),
            Self::Abort(act) => act.post("abort"),
            Self::Pause(act) => act.post("pause"),
            Self::Resume(act) => act.post("resume"),
            Self::Component(component) => component.run(),
            Self::Trust(trust) => trust.run(),
        }
    }
}

impl List {
    fn run(&self) -> Outcome<()> {
        let list: CeremonyList = self.server.connect()?.get("/v1/ceremonies")?;
        if self.json {
            return console::json(&list);
        }
        list.ceremonies.iter().for_each(view::ceremony_line);
        console::note(&format!("{} ceremonies", list.ceremonies.len()));
        Ok(())
    }
}

impl Show {
    fn run(&self) -> Outcome<()> {
        match (&self.file, &self.id) {
            (Some(file), _) => ReadPlan::read(file)?.show(),
            (None, Some(id)) => self.show_online(id),
            (None, None) => Err(Failure::new(Exit::Usage, "no plan was named", "give a plan id or --file")),
        }
    }

    fn show_online(&self, id: &Digest) -> Outcome<()> {
        let client = self.server.connect()?;
        let ceremony: CeremonyView = client.get(&format!("/v1/ceremonies/{id}"))?;
        if self.json {
            return console::json(&ceremony);
        }
        let plan = fetch_plan(&client, id)?;
        if let Some(out) = &self.out {
            files::write_new(out, &plan.bytes, Access::Anyone)?;
        }
        plan.show()?;
        console::say("── its state, as the server tells it ──");
        view::ceremony(&ceremony);
        Ok(())
    }
}

impl Act {
    fn post(&self, what: &str) -> Outcome<()> {
        let ceremony: CeremonyView = self.server.connect()?.post(&format!("/v1/ceremonies/{}/{what}", self.id))?;
        view::ceremony(&ceremony);
        Ok(())
    }
}

/// Fetches exactly the plan with this id.
pub(crate) fn fetch_plan(client: &Client, id: &Digest) -> Outcome<ReadPlan> {
    ReadPlan::parse(client.get_bytes(&format!("/v1/ceremonies/{id}/plan"), Plan::BYTES_MAX)?)?.require(id)
}

/// Who the server says the key belongs to.
pub(crate) fn who_am_i(client: &Client) -> Outcome<Actor> {
    let status: StatusView = client.get("/v1/status")?;
    Actor::parse(&status.you).map_err(Failure::internal)
}

fn officer_id(client: &Client) -> Outcome<PersonId> {
    match who_am_i(client)? {
        Actor::Person(id) => Ok(id),
        other => Err(Failure::new(
            Exit::Input,
            format!("this key speaks for {other}, not for an officer"),
            "use an officer's key",
        )),
    }
}
