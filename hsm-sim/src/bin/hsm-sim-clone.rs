//! `hsm-sim-clone`: copies a token of the simulator into another directory, as vendors' cloning domains do.
//!
//! **For the simulator only**, to try pools of HSMs. See README, *Copies of a token*.

use std::{path::PathBuf, process::ExitCode};

use hsm_sim::clone::clone_token;
use zeroize::Zeroizing;

const USAGE: &str = "\
usage: hsm-sim-clone FROM TO --label LABEL --so-pin-file FILE --pin-file FILE

Copies the token LABEL of the simulator's directory FROM (an HSM_SIM_DIR) into the directory TO: same label, PINs and
objects, a serial number of its own, which is printed. Done again, it brings the copy up to date.
For the simulator only: a real HSM copies its keys by its maker's means.";

/// Longest PIN file that is read.
const PIN_FILE_BYTES_MAX: u64 = 4096;

fn main() -> ExitCode {
    match run() {
        Ok(serial) => {
            println!("{serial}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("hsm-sim-clone: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, String> {
    let mut arguments = std::env::args_os().skip(1);
    let (mut folders, mut label, mut so_pin, mut pin) = (Vec::new(), None, None, None);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE);
        match argument.to_str() {
            Some("--label") => label = Some(value()?.into_string().map_err(|_| USAGE)?),
            Some("--so-pin-file") => so_pin = Some(first_line(value()?.into())?),
            Some("--pin-file") => pin = Some(first_line(value()?.into())?),
            Some(other) if other.starts_with('-') => return Err(USAGE.to_owned()),
            _ => folders.push(PathBuf::from(argument)),
        }
    }
    match (folders.as_slice(), label, so_pin, pin) {
        ([from, to], Some(label), Some(so_pin), Some(pin)) if from != to => {
            clone_token(from, to, &label, &so_pin, &pin).map_err(|error| error.to_string())
        }
        _ => Err(USAGE.to_owned()),
    }
}

fn first_line(path: PathBuf) -> Result<Zeroizing<Vec<u8>>, String> {
    let told = |reason: &dyn std::fmt::Display| format!("{}: {reason}", path.display());
    let length = std::fs::metadata(&path).map_err(|error| told(&error))?.len();
    if length > PIN_FILE_BYTES_MAX {
        return Err(told(&"longer than a PIN file"));
    }
    let mut bytes = Zeroizing::new(std::fs::read(&path).map_err(|error| told(&error))?);
    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len());
    bytes.truncate(end);
    Ok(bytes)
}
