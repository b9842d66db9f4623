//! `kms hsm`: a token before and between its uses.

mod doctor;
mod inventory;
mod probe;
mod served;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kms_core::ports::Hsm as HsmPort;
use kms_core::secret::Pin;
use kms_hsm::setup::{SetupConfig, init_token};
use kms_hsm::{HsmClient, PinSource, config};

use crate::console;
use crate::failure::{Failure, Outcome};
use crate::files;
use crate::settings::ConfigOption;
use crate::token::{self, TokenOptions, WorkerOptions};

/// HSM tokens
#[derive(Subcommand, Debug)]
pub(crate) enum Hsm {
    /// Examine a token with its vendor map: known answers, templates, times, and a remedy per finding
    Doctor(doctor::Doctor),
    /// Initialise a free slot as a token: label, SO PIN, user PIN
    InitToken(InitToken),
    /// Compare all objects of a token with the key list of the verified log
    Inventory(inventory::Inventory),
    /// Try 25 known attacks on a token, on keys of its own
    Probe(probe::Probe),
    /// Show a token, the state of its PIN and what its worker has given up; logs in only when a PIN is given
    Status(Status),
}

/// Options of `kms hsm init-token`.
#[derive(Args, Debug)]
pub(crate) struct InitToken {
    /// PKCS#11 library of the HSM
    #[arg(long, value_name = "FILE")]
    module: PathBuf,
    /// Label of the new token
    #[arg(long)]
    label: String,
    /// File with the new SO PIN (mode 600); asked for twice when absent
    #[arg(long, value_name = "FILE")]
    so_pin_file: Option<PathBuf>,
    /// File with the new user PIN (mode 600); asked for twice when absent
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    #[command(flatten)]
    worker: WorkerOptions,
}

/// Options of `kms hsm status`.
#[derive(Args, Debug)]
pub(crate) struct Status {
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    token: TokenOptions,
    /// Try the user PIN in this file (mode 600), once
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// Ask this running server what it found in its HSM, instead of the token itself
    #[arg(long, value_name = "URL", conflicts_with_all = ["token", "module", "map", "pin_file"])]
    server: Option<String>,
    /// Print the status as JSON
    #[arg(long)]
    json: bool,
}

impl Hsm {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        match self {
            Self::Doctor(doctor) => doctor.run(),
            Self::InitToken(init) => init.run(),
            Self::Inventory(inventory) => inventory.run(),
            Self::Probe(probe) => probe.run(),
            Self::Status(status) => status.run(),
        }
    }
}

impl InitToken {
    fn run(&self) -> Outcome<()> {
        let so_pin = new_pin(self.so_pin_file.as_ref(), "new SO PIN")?;
        let user_pin = new_pin(self.pin_file.as_ref(), "new user PIN")?;
        let setup = SetupConfig {
            module: self.module.clone(),
            worker: self.worker.worker.clone(),
            environment: Vec::new(),
            deadline: config::DEADLINE,
            sandbox: self.worker.sandbox.unwrap_or_default(),
        };
        token::show(&init_token(&setup, &self.label, &so_pin, &user_pin)?);
        console::say(
            "Give the SO PIN to the security officer and the user PIN to the service. One person holds one of them.",
        );
        Ok(())
    }
}

impl Status {
    fn run(&self) -> Outcome<()> {
        if let Some(server) = &self.server {
            return served::show(server, self.json);
        }
        // Asking for the status never logs in, so no PIN is used up when none is given.
        let pin = match &self.pin_file {
            Some(file) => PinSource::given(files::read_secret(file)?),
            None => PinSource::given(Pin::new(vec![0]).map_err(Failure::internal)?),
        };
        let client = HsmClient::new(self.token.named(&self.config.read()?)?.config(pin))
            .map_err(|reason| token::bad_map(&reason))?;
        let status = client.status()?;
        if self.json {
            token::json(&status)?;
        } else {
            token::show(&status);
        }
        if self.pin_file.is_none() {
            return Ok(());
        }
        match client.random(1) {
            Ok(_) => {
                if !self.json {
                    console::say("The PIN is right.");
                }
                Ok(())
            }
            Err(error) => Err(token::failed(error, || client.status())),
        }
    }
}

fn new_pin(file: Option<&PathBuf>, what: &str) -> Outcome<Pin> {
    match file {
        Some(file) => files::read_secret(file),
        None => console::password(what, true),
    }
}
