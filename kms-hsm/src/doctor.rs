//! What a token is, which of the KMS's operations work on it, and what to do about the rest.
//!
//! Known answers and keys of its own only, all of them session objects. Not the battery of attacks:
//! that is [`crate::probe`]. Guards: a check that could not be made is reported as failed, never left
//! out, and every finding has a remedy.

mod answers;
mod keys;
mod pairs;
mod run;

use kms_core::ports::{Hold, HsmResult, PinState, Restriction, TokenStatus};
use serde::{Deserialize, Serialize};

use crate::client::inspector::Inspector;
use crate::config::HsmConfig;
use crate::vendor::{KeyWrap, Operation, VendorMap};
use crate::wire::{Request, Response, garbled};

pub(crate) use run::run;

/// How much longer than one call the examination may take.
const DEADLINES: u32 = 4;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it should be.
    Good,
    /// Declared missing by the vendor map: the operation is refused, the protection is not in force.
    Missing,
    /// Works, but somebody should look.
    Warning,
    /// Does not work as the map says.
    Failed,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it ended.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do; empty where nothing is.
    pub remedy: String,
    /// Microseconds of one operation, where measured.
    pub micros: Option<u64>,
}

impl Check {
    fn new(name: impl Into<String>, state: State, found: impl Into<String>, remedy: &str) -> Self {
        Self { name: name.into(), state, found: found.into(), remedy: remedy.to_owned(), micros: None }
    }
}

/// What the doctor says.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Label of the token.
    pub token: String,
    /// Its serial number.
    pub serial: String,
    /// Manufacturer and model, as the token says.
    pub model: String,
    /// Name of the vendor map.
    pub map: String,
    /// No check failed.
    pub fit: bool,
    /// The checks, in the order they were made.
    pub checks: Vec<Check>,
}

/// Examines a token with its map.
pub fn examine(config: &HsmConfig) -> HsmResult<Report> {
    let (mut inspector, map) = Inspector::alone(config)?;
    let status = inspector.status.clone();
    let mut checks = vec![pin_check(&status)];
    checks.extend(status.restrictions.iter().map(restriction));
    checks.extend(declared_missing(&map));
    checks.extend(checks_of(&mut inspector)?);
    Ok(Report {
        fit: checks.iter().all(|check| check.state != State::Failed),
        token: status.label,
        serial: status.serial,
        model: format!("{} {}", status.manufacturer, status.model),
        map: map.name().to_owned(),
        checks,
    })
}

/// The checks that are made in the worker: numbers, known answers, templates.
pub(crate) fn checks_of(inspector: &mut Inspector) -> HsmResult<Vec<Check>> {
    match inspector.ask(&Request::Examine, None, DEADLINES)? {
        Response::Checks(checks) => Ok(checks),
        _ => Err(garbled("not checks")),
    }
}

fn pin_check(status: &TokenStatus) -> Check {
    let (state, found, remedy) = match status.user_pin {
        PinState::Good => (State::Good, "good", ""),
        PinState::CountLow => {
            (State::Warning, "a wrong PIN was tried", "find out who tried; a right login sets the count back")
        }
        PinState::FinalTry => (State::Failed, "one attempt is left", "enter the PIN by hand, once"),
        PinState::Locked => (State::Failed, "locked", "the security officer sets a new user PIN"),
    };
    Check::new("user PIN", state, found, remedy)
}

fn restriction(restriction: &Restriction) -> Check {
    let (state, remedy) = match restriction.hold {
        Hold::InForce => (State::Good, ""),
        Hold::Waived => (State::Warning, "kms-server/README.md says what is not held back without it"),
        Hold::Lacking => (
            State::Warning,
            "use a newer kernel or give the container the call; sandbox = \"strict\" refuses to work so",
        ),
    };
    let found = match restriction.note.as_str() {
        "" => restriction.hold.name().to_owned(),
        note => format!("{}: {note}", restriction.hold.name()),
    };
    Check::new(format!("worker gives up {}", restriction.measure), state, found, remedy)
}

fn declared_missing(map: &VendorMap) -> Vec<Check> {
    let (attributes, operations) = map.lacking();
    let attributes = attributes.into_iter().map(|attribute| {
        let remedy = "policies/hsm/README.md says what is not protected without it; weigh that in a risk decision";
        Check::new(format!("attribute {}", attribute.name()), State::Missing, "not in the vendor map", remedy)
    });
    let operations = operations.into_iter().map(|operation| {
        let remedy = "ask the maker for the number; without it the operation is refused, and nothing stands in for it";
        Check::new(map.operation_name(operation), State::Missing, "not in the vendor map", remedy)
    });
    attributes.chain(operations).chain(stood_in_for(map)).collect()
}

/// What is done in another way than the best one, because the make has nothing better.
fn stood_in_for(map: &VendorMap) -> Vec<Check> {
    let missing = |name: &str, found: &str, remedy: &str| Check::new(name, State::Missing, found, remedy);
    let mut checks = Vec::new();
    if map.key_wrap() == KeyWrap::Ecb {
        let remedy = "wrapped card keys are not authenticated: rely on the package's manifest, never on a blob alone";
        checks.push(missing("authenticated key wrap", "card keys are wrapped by one ECB block", remedy));
    }
    if map.storage() == Operation::Ecb {
        let remedy = "the worker's memory holds data keys of stored lists while it works; no card key is among them";
        checks.push(missing("GCM in the token", "stored data has keys of its own, kept by the storage key", remedy));
    }
    if !map.confirms_unwrapped() {
        let remedy =
            "a bureau on this make trusts seal and signature of a delivered key alone; it is told so each time";
        checks.push(missing("check values of unwrapped keys", "transport and card keys are not confirmed", remedy));
    }
    checks
}
