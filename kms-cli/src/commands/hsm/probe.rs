//! `kms hsm probe`: the battery of attacks on a token, or on a throw-away token of the same module.

use std::path::PathBuf;

use clap::Args;
use kms_hsm::config;
use kms_hsm::probe::{self, Record, Report, Verdict};

use crate::console;
use crate::failure::{Failure, Outcome};
use crate::settings::{ConfigOption, wanted};
use crate::token::{self, TokenOptions};

/// Options of `kms hsm probe`.
#[derive(Args, Debug)]
pub(crate) struct Probe {
    #[command(flatten)]
    token: TokenOptions,
    /// Make a token in a temporary folder and run all 25 attacks; hsm-sim and SoftHSM only
    #[arg(long, conflicts_with = "token")]
    throw_away: bool,
    /// File with the user PIN (mode 600)
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigOption,
}

impl Probe {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        let report = self.report()?;
        if self.json {
            console::json(&report)?
        } else {
            show(&report)
        }
        if report.open == 0 {
            return Ok(());
        }
        let works = report.attacks.iter().filter(|record| record.verdict == Verdict::Open);
        Err(Failure::not_verified(
            format!("{} of {} attacks work on {}", report.open, report.total, report.model),
            "do not keep production keys in this token; its maker may have a setting, a firmware or a policy that closes them",
        )
        .with_lines(works.map(|record| format!("{} {}", record.attack.id, record.attack.name))))
    }

    fn report(&self) -> Outcome<Report> {
        let settings = self.config.read()?;
        if self.throw_away {
            let module = wanted(self.token.module.clone(), settings.module.clone(), "module")?;
            let worker = self.token.worker.worker.clone();
            return Ok(probe::throw_away(module, self.token.map.clone(), worker, config::DEADLINE)?);
        }
        let named = self.token.named(&settings)?;
        let pin_file = self.pin_file.clone().or(settings.pin_file);
        let pin = token::pin(pin_file.as_deref(), "user PIN")?;
        Ok(probe::live(&named.config(pin))?)
    }
}

fn show(report: &Report) {
    console::field("token", &report.token);
    console::field("model", &report.model);
    console::field("vendor map", &report.map);
    report.attacks.iter().for_each(row);
    console::field("blocked", report.blocked);
    console::field("open", report.open);
    console::field("not applicable", report.not_applicable);
    console::field("total", report.total);
}

fn row(record: &Record) {
    let verdict = match record.verdict {
        Verdict::Blocked => "blocked",
        Verdict::Open => "OPEN",
        Verdict::NotApplicable => "not applicable",
    };
    console::field(&format!("{:2} {}", record.attack.id, record.attack.name), verdict);
    if record.verdict != Verdict::Blocked {
        console::say(&format!("     tried: {}", record.attack.tried));
        console::say(&format!("     a good token: {}", record.attack.expected));
    }
    for refusal in &record.refusals {
        console::say(&format!("     refused: {} {}", refusal.function, refusal.code));
    }
    for note in &record.notes {
        console::say(&format!("     {note}"));
    }
}
