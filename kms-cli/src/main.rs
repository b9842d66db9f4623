//! `kms`: commands for officers, bureaus, auditors and operators of the key management system.
//!
//! Not the server and not the HSM: it shows, asks, signs and verifies. `kms-cli/README.md` has the
//! table of exit codes. Guards: prompts live in [`console`] only; every failure is printed with what
//! to do next.

#![forbid(unsafe_code)]

mod certificates;
mod client;
mod commands;
mod console;
mod evidence;
mod failure;
mod files;
mod identity;
mod plans;
mod settings;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::{anchor, audit, batch, bureau, ceremony, genesis, handover, hsm, officer, policy, quickstart};
use failure::Outcome;

/// Open key management for smart cards with Chinese algorithms
#[derive(Parser, Debug)]
#[command(name = "kms", version, propagate_version = true, subcommand_required = true, arg_required_else_help = true)]
struct Kms {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    #[command(subcommand)]
    Officer(officer::Officer),
    #[command(subcommand)]
    Policy(policy::Policy),
    #[command(subcommand)]
    Hsm(hsm::Hsm),
    #[command(subcommand)]
    Genesis(genesis::Genesis),
    #[command(subcommand)]
    Anchor(anchor::Anchor),
    #[command(subcommand)]
    Ceremony(Box<ceremony::Ceremony>),
    #[command(subcommand)]
    Handover(handover::Handover),
    #[command(subcommand)]
    Bureau(Box<bureau::Bureau>),
    #[command(subcommand)]
    Batch(Box<batch::Batch>),
    #[command(subcommand)]
    Audit(audit::Audit),
    Quickstart(Box<quickstart::Quickstart>),
}

impl Command {
    fn run(&self) -> Outcome<()> {
        match self {
            Self::Officer(noun) => noun.run(),
            Self::Policy(noun) => noun.run(),
            Self::Hsm(noun) => noun.run(),
            Self::Genesis(noun) => noun.run(),
            Self::Anchor(noun) => noun.run(),
            Self::Ceremony(noun) => noun.run(),
            Self::Handover(noun) => noun.run(),
            Self::Bureau(noun) => noun.run(),
            Self::Batch(noun) => noun.run(),
            Self::Audit(noun) => noun.run(),
            Self::Quickstart(noun) => noun.run(),
        }
    }
}

fn main() -> ExitCode {
    // Officers' keys and passwords pass through this process.
    for dropped in kms_hsm::drop_privileges() {
        if let Err(reason) = dropped.done {
            console::note(&format!("warning: memory of this process is less protected than it should be: {reason}"));
        }
    }
    match Kms::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            console::failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}
