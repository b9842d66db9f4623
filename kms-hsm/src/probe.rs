//! The battery of 25 attacks on key management through PKCS#11.
//!
//! Run in a worker of its own with a user's login, on keys made for it and destroyed after it; the
//! attacks on handles, PIN and forks (22 to 24) on throw-away tokens only. Not a proof of security:
//! an attack that is open is certain, one that is blocked was blocked in the form tried. Guards: a
//! fault of module or worker ends the run and never counts as a refusal, and an attack whose scene
//! could not be set is "not applicable", never "blocked".

pub(crate) mod bench;
mod derivation;
mod handles;
mod identity;
pub(crate) mod pairs;
mod run;
mod throw_away;
mod unwrapping;
mod values;
pub(crate) mod wrapping;

use kms_core::digest::Digest;
use kms_core::ports::{FailedCheck, HsmResult, ProbeVerdict, TokenStatus};
use kms_core::secret::Pin;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::client::inspector::Inspector;
use crate::config::HsmConfig;
use crate::doctor;
use crate::vendor::VendorMap;
use crate::wire::{Request, Response, garbled};

pub use kms_core::attack::{ATTACKS, Attack};
pub(crate) use run::run;
pub use throw_away::{ThrowAway, throw_away};

/// How much longer than one call a whole battery may take.
const DEADLINES: u32 = 10;

/// How an attack ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The token refused every form tried.
    Blocked,
    /// At least one form worked.
    Open,
    /// The scene could not be set, or the attack is not for this token.
    NotApplicable,
}

/// A call the token refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Refusal {
    /// The PKCS#11 function.
    pub function: String,
    /// The CKR code.
    pub code: String,
}

/// What one attack came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Number in the battery, 1 to 25.
    pub id: u8,
    /// The verdict.
    pub verdict: Verdict,
    /// The refusals met, each once.
    pub refusals: Vec<Refusal>,
    /// What worked, and what could not be tried.
    pub notes: Vec<String>,
}

/// One record of a report: the attack and what it came to.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// The attack.
    #[serde(flatten, serialize_with = "described")]
    pub attack: Attack,
    /// The verdict.
    pub verdict: Verdict,
    /// The refusals met.
    pub refusals: Vec<Refusal>,
    /// What worked, and what could not be tried.
    pub notes: Vec<String>,
}

/// The domain's description in JSON.
fn described<S: serde::Serializer>(attack: &Attack, to: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap as _;
    let mut map = to.serialize_map(None)?;
    map.serialize_entry("id", &attack.id)?;
    map.serialize_entry("name", attack.name)?;
    map.serialize_entry("tried", attack.tried)?;
    map.serialize_entry("expected", attack.expected)?;
    map.end()
}

/// What the battery found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Label of the token.
    pub token: String,
    /// Manufacturer and model, as the token says.
    pub model: String,
    /// Name of the vendor map.
    pub map: String,
    /// Attacks refused.
    pub blocked: usize,
    /// Attacks that work.
    pub open: usize,
    /// Attacks not tried.
    pub not_applicable: usize,
    /// All attacks.
    pub total: usize,
    /// One record per attack, by number.
    pub attacks: Vec<Record>,
}

/// Runs the battery on a token. With the SO PIN, which nobody gives but for a throw-away token, the
/// attacks on handles, PIN and forks are run as well.
pub(crate) fn probe(config: &HsmConfig, so_pin: Option<&Pin>) -> HsmResult<Report> {
    let (mut inspector, map) = Inspector::alone(config)?;
    let findings = findings(&mut inspector, so_pin)?;
    Ok(report(&inspector.status, &map, findings))
}

/// One finding for each attack, by number.
fn findings(inspector: &mut Inspector, so_pin: Option<&Pin>) -> HsmResult<Vec<Finding>> {
    let secret = so_pin.map(|pin| Zeroizing::new(pin.expose().to_vec()));
    let request = Request::Probe { throw_away: so_pin.is_some() };
    let Response::Findings(findings) = inspector.ask(&request, secret.as_ref(), DEADLINES)? else {
        return Err(garbled("not findings"));
    };
    if findings.len() != ATTACKS.len() || findings.iter().zip(ATTACKS).any(|(found, attack)| found.id != attack.id) {
        return Err(garbled("not one finding for each attack"));
    }
    Ok(findings)
}

/// What a server wants to know before it uses a token in use: open attacks and failed known answers.
pub(crate) fn verdict(inspector: &mut Inspector, map: Digest) -> HsmResult<ProbeVerdict> {
    let findings = findings(inspector, None)?;
    let checks = doctor::checks_of(inspector)?;
    let failed = checks.into_iter().filter(|check| check.state == doctor::State::Failed);
    let with = |verdict| findings.iter().filter(move |finding| finding.verdict == verdict).map(|finding| finding.id);
    let status = inspector.status.clone();
    Ok(ProbeVerdict {
        serial: status.serial,
        model: status.model,
        firmware: status.firmware,
        map,
        open: with(Verdict::Open).collect(),
        untried: with(Verdict::NotApplicable).collect(),
        failed: failed
            .map(|check| FailedCheck { name: check.name, found: check.found, remedy: check.remedy })
            .collect(),
    })
}

/// Runs the battery on a token in use: 22 of 25 attacks, on session keys and one token object of its own.
pub fn live(config: &HsmConfig) -> HsmResult<Report> {
    probe(config, None)
}

fn report(status: &TokenStatus, map: &VendorMap, findings: Vec<Finding>) -> Report {
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    Report {
        token: status.label.clone(),
        model: format!("{} {}", status.manufacturer, status.model),
        map: map.name().to_owned(),
        blocked: count(Verdict::Blocked),
        open: count(Verdict::Open),
        not_applicable: count(Verdict::NotApplicable),
        total: ATTACKS.len(),
        attacks: findings
            .into_iter()
            .zip(ATTACKS)
            .map(|(finding, attack)| Record {
                attack: *attack,
                verdict: finding.verdict,
                refusals: finding.refusals,
                notes: finding.notes,
            })
            .collect(),
    }
}
