//! Which local HSM token a command uses, and the PIN for it.

use std::path::{Path, PathBuf};

use clap::Args;
use kms_core::ports::{FaultClass, Hold, HsmError, HsmResult, PinState, Restriction, TokenStatus};
use kms_hsm::config::LANES_MAX;
use kms_hsm::{HsmConfig, Lanes, PinSource, SandboxMode};

use crate::console;
use crate::failure::{Exit, Failure, Outcome};
use crate::files;
use crate::settings::{Settings, wanted};

/// Module, vendor map and label of a token.
#[derive(Args, Clone, Debug)]
pub(crate) struct TokenOptions {
    /// PKCS#11 library of the HSM; only the worker process loads it
    #[arg(long, value_name = "FILE")]
    pub(crate) module: Option<PathBuf>,
    /// Vendor map, one of policies/hsm/*.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) map: Option<PathBuf>,
    /// Label of the token
    #[arg(long, value_name = "LABEL")]
    pub(crate) token: Option<String>,
    /// Serial number of the token, where several have the label
    #[arg(long, value_name = "NUMBER")]
    pub(crate) serial: Option<String>,
    /// Sessions on the token that rewrap a chunk at once; 1 when left out
    #[arg(long, value_name = "NUMBER")]
    pub(crate) lanes: Option<u16>,
    #[command(flatten)]
    pub(crate) worker: WorkerOptions,
}

/// Where the worker program is.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct WorkerOptions {
    /// The program kms-hsm-worker; beside kms when left out
    #[arg(long, value_name = "FILE")]
    pub(crate) worker: Option<PathBuf>,
    /// How much the worker insists on its restrictions: strict, best-effort, off
    #[arg(long, value_name = "MODE", value_parser = sandbox_mode)]
    pub(crate) sandbox: Option<SandboxMode>,
}

fn sandbox_mode(text: &str) -> Result<SandboxMode, String> {
    let named = SandboxMode::ALL.into_iter().find(|mode| mode.name() == text);
    named.ok_or_else(|| format!("one of {}", SandboxMode::ALL.map(SandboxMode::name).join(", ")))
}

/// A token that is named completely.
#[derive(Clone, Debug)]
pub(crate) struct NamedToken {
    /// Its label.
    pub(crate) label: String,
    serial: Option<String>,
    module: PathBuf,
    map: PathBuf,
    worker: Option<PathBuf>,
    lanes: Lanes,
    sandbox: SandboxMode,
}

impl TokenOptions {
    /// What was not given comes from the settings.
    pub(crate) fn named(&self, settings: &Settings) -> Outcome<NamedToken> {
        Ok(NamedToken {
            label: wanted(self.token.clone(), settings.token.clone(), "token")?,
            // The settings' serial number goes with the settings' label.
            serial: self.serial.clone().or_else(|| settings.serial.clone().filter(|_| self.token.is_none())),
            module: wanted(self.module.clone(), settings.module.clone(), "module")?,
            map: wanted(self.map.clone(), settings.map.clone(), "map")?,
            worker: self.worker.worker.clone(),
            lanes: self.lanes.or(settings.lanes).map_or(Ok(Lanes::ONE), lanes)?,
            sandbox: self.worker.sandbox.or(settings.sandbox).unwrap_or_default(),
        })
    }
}

impl NamedToken {
    /// The configuration for one login.
    pub(crate) fn config(&self, pin: PinSource) -> HsmConfig {
        let mut config = HsmConfig::new(self.module.clone(), self.map.clone(), &self.label, pin);
        config.token_serial = self.serial.clone();
        config.worker = self.worker.clone();
        config.lanes = self.lanes;
        config.sandbox = self.sandbox;
        config
    }
}

fn lanes(count: u16) -> Outcome<Lanes> {
    Lanes::new(count).ok_or_else(|| {
        let next = format!("say --lanes with 1 to {LANES_MAX}, or `lanes = …` in kms.toml");
        Failure::new(Exit::Usage, format!("{count} sessions at once cannot be used"), next)
    })
}

/// The PIN: from a file only its owner can read, or asked for.
pub(crate) fn pin(file: Option<&Path>, what: &str) -> Outcome<PinSource> {
    let pin = match file {
        Some(file) => files::read_secret(file)?,
        None => console::password(what, false)?,
    };
    Ok(PinSource::given(pin))
}

/// Prints what a token says of itself.
pub(crate) fn show(status: &TokenStatus) {
    console::field("token", &status.label);
    console::field("serial number", &status.serial);
    console::field("model", format!("{} {}", status.manufacturer, status.model));
    console::field("firmware", &status.firmware);
    console::field("vendor map", &status.map);
    console::field("user PIN", pin_state(status.user_pin));
    for Restriction { measure, hold, note } in &status.restrictions {
        let hold = match hold {
            Hold::InForce => "given up by the worker",
            Hold::Waived => "WAIVED by the configuration",
            Hold::Lacking => "LACKING: this system cannot",
        };
        let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
        console::field(measure, format!("{hold}{note}"));
    }
}

/// What a token says of itself, for programs.
pub(crate) fn json(status: &TokenStatus) -> Outcome<()> {
    let restriction = |restriction: &Restriction| {
        let Restriction { measure, hold, note } = restriction;
        serde_json::json!({ "measure": measure, "hold": hold.name(), "note": note })
    };
    console::json(&serde_json::json!({
        "token": status.label,
        "serial": status.serial,
        "model": format!("{} {}", status.manufacturer, status.model),
        "map": status.map,
        "user_pin": match status.user_pin {
            PinState::Good => "good",
            PinState::CountLow => "count-low",
            PinState::FinalTry => "final-try",
            PinState::Locked => "locked",
        },
        "sandbox": status.restrictions.iter().map(restriction).collect::<Vec<_>>(),
    }))
}

/// A PIN state in words.
pub(crate) fn pin_state(state: PinState) -> &'static str {
    match state {
        PinState::Good => "good",
        PinState::CountLow => "COUNT LOW: at least one wrong attempt since the last right one",
        PinState::FinalTry => "FINAL TRY: one more wrong attempt locks it",
        PinState::Locked => "LOCKED: only the security officer can reset it",
    }
}

/// A failed HSM call; after a PIN error the state of the PIN is told, so that nobody tries blindly.
pub(crate) fn failed(error: HsmError, status: impl FnOnce() -> HsmResult<TokenStatus>) -> Failure {
    let is_pin = error.class == FaultClass::Pin;
    let failure = Failure::from(error);
    match status() {
        Ok(status) if is_pin => failure.with_lines([format!("user PIN is now: {}", pin_state(status.user_pin))]),
        _ => failure,
    }
}

/// A vendor map that cannot be used.
pub(crate) fn bad_map(reason: &kms_hsm::MapError) -> Failure {
    Failure::new(
        Exit::Input,
        format!("vendor map: {reason}"),
        "give one of policies/hsm/*.toml; policies/hsm/README.md explains the keys",
    )
}
