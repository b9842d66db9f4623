//! `kms hsm doctor`: what works on a token with a map, what does not, and what to do about it.

use std::path::PathBuf;

use clap::Args;
use kms_hsm::doctor::{self, Check, State};

use crate::console;
use crate::failure::{Failure, Outcome};
use crate::settings::ConfigOption;
use crate::token::{self, TokenOptions};

/// Options of `kms hsm doctor`.
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    #[command(flatten)]
    token: TokenOptions,
    /// File with the user PIN (mode 600)
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigOption,
}

impl Doctor {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        let settings = self.config.read()?;
        let named = self.token.named(&settings)?;
        let pin_file = self.pin_file.clone().or(settings.pin_file);
        let pin = token::pin(pin_file.as_deref(), "user PIN")?;
        let report = doctor::examine(&named.config(pin))?;
        if self.json {
            console::json(&report)?;
        } else {
            console::field("token", &report.token);
            console::field("serial number", &report.serial);
            console::field("model", &report.model);
            console::field("vendor map", &report.map);
            report.checks.iter().for_each(row);
            console::field("verdict", if report.fit { "fit for use with this map" } else { "NOT FIT" });
        }
        if report.fit {
            return Ok(());
        }
        let failed = report.checks.iter().filter(|check| check.state == State::Failed);
        Err(Failure::not_verified(
            format!("{} does not work as vendor map {} says", report.model, report.map),
            "follow the remedies above; use the token only when the doctor says it is fit",
        )
        .with_lines(failed.map(|check| format!("{}: {}", check.name, check.found))))
    }
}

fn row(check: &Check) {
    let state = match check.state {
        State::Good => "good",
        State::Missing => "MISSING",
        State::Warning => "WARNING",
        State::Failed => "FAILED",
    };
    let micros = check.micros.map(|micros| format!(", {micros} µs each")).unwrap_or_default();
    console::say(&format!("{state:<8} {}: {}{micros}", check.name, check.found));
    if !check.remedy.is_empty() {
        console::say(&format!("         what to do: {}", check.remedy));
    }
}
