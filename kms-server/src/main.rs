//! `kms-server --config FILE [check]`: reads the configuration, connects the HSM's worker, serves.

#![forbid(unsafe_code)]

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use kms_hsm::{HsmClient, PinSource};
use kms_server::config::Config;
use kms_server::policies::Policies;

const USAGE: &str = "usage: kms-server --config FILE [check]";
/// Which messages are written, in the notation of `tracing`.
const LOG_VARIABLE: &str = "KMS_LOG";
/// Ours, and what goes wrong below.
const LOG_FILTER: &str = "warn,kms_server=info,kms_hsm=info,rocket::launch=off";

fn main() -> ExitCode {
    let kept = kms_hsm::drop_privileges();
    let filter = tracing_subscriber::EnvFilter::try_from_env(LOG_VARIABLE)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(LOG_FILTER));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    for dropped in kept {
        if let Err(reason) = dropped.done {
            tracing::warn!(reason, "memory of this process is less protected than it should be");
        }
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "kms-server cannot run");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let (path, check) = arguments()?;
    let config = Config::read(&path)?;
    if check {
        let policies = Policies::read(&config.policies_dir)?;
        tracing::info!(profiles = policies.profiles().count(), "configuration and policy files are right");
        return Ok(());
    }
    let hsm = Arc::new(HsmClient::new(hsm_config(&config))?);
    let rocket = kms_server::build(config, hsm)?;
    rocket::execute(rocket.launch()).map(|_| ()).map_err(|error| error.to_string().into())
}

fn hsm_config(config: &Config) -> kms_hsm::HsmConfig {
    let hsm = &config.hsm;
    let pin = PinSource::File(hsm.pin_file.clone());
    let mut client = kms_hsm::HsmConfig::new(hsm.module.clone(), hsm.map.clone(), &hsm.token_label, pin);
    client.worker.clone_from(&hsm.worker);
    client.lanes = hsm.lanes;
    client.sandbox = hsm.sandbox;
    client
}

/// The configuration file, and whether it is only to be checked.
fn arguments() -> Result<(PathBuf, bool), &'static str> {
    let mut arguments = std::env::args_os().skip(1);
    let (mut path, mut check) = (None, false);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--config") => path = Some(PathBuf::from(arguments.next().ok_or(USAGE)?)),
            Some("check") => check = true,
            _ => return Err(USAGE),
        }
    }
    Ok((path.ok_or(USAGE)?, check))
}
