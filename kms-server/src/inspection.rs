//! Looks at the token: at start, after the HSM came back, after a ceremony that made keys, once a day.
//!
//! A look is a probe (attacks and known answers, on throw-away keys) and an audit (every object against
//! the keys that the log knows). What it found is an entry of the key log: always once per run of the
//! server, and whenever it differs from the entry before. What follows from it for the use of keys is
//! the fold's to say; [`crate::guarded`] asks it. Guards: no key is used between the start, or the
//! return of the HSM, and the end of a look; a look that fails is no look.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kms_api::problem::Code;
use kms_core::event::{
    DIFFERENCES_MAX, Difference, DifferenceKind, Event, FAILED_CHECKS_MAX, OBJECT_ID_BYTES_MAX, TOKEN_TEXT_BYTES_MAX,
    TokenAudited, TokenProbed,
};
use kms_core::id::ObjectId;
use kms_core::ports::{AuditedObject, ExpectedKey, FaultClass, ObjectState, ProbeVerdict, TokenSnapshot};
use kms_core::state::{State, stops};
use kms_core::violation::Violation;

use crate::app::octets;
use crate::fault::Fault;
use crate::instance::Instance;
use crate::journal::{Act, Moment};

/// How long a look holds.
const INTERVAL: Duration = Duration::from_hours(24);
/// How long it holds while something is not in order: somebody may be repairing it.
const INTERVAL_IN_TROUBLE: Duration = Duration::from_mins(5);
/// Pause after a look that failed.
const PAUSE: Duration = Duration::from_secs(2);

/// When the token was looked at, and what is to be told of it beyond the log.
#[derive(Default)]
pub struct Inspection {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Not before, for the next look; `None`: now.
    due: Option<Instant>,
    /// What differs, by id in hexadecimal; names no bureau.
    details: BTreeMap<String, String>,
}

impl Inspection {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A look at the next occasion; keys stay in use until then.
    pub fn ask(&self) {
        self.lock().due = None;
    }

    /// What differs in an object, as the last look of this run saw it.
    pub fn detail(&self, id: &str) -> Option<String> {
        self.lock().details.get(id).cloned()
    }

    fn is_due(&self) -> bool {
        self.lock().due.is_none_or(|due| due <= Instant::now())
    }

    fn done(&self, next: Duration, details: BTreeMap<String, String>) {
        *self.lock() = Inner { due: Some(Instant::now() + next), details };
    }

    fn failed(&self) {
        self.lock().due = Some(Instant::now() + PAUSE);
    }
}

/// The HSM did not answer: whatever comes back is looked at before a key in it is used.
pub fn lost(instance: &Instance, fault: &Fault) {
    let Fault::Hsm(error) = fault else { return };
    if matches!(error.class, FaultClass::Broken | FaultClass::Retryable | FaultClass::Indeterminate) {
        instance.hsm.set_examined(false);
    }
}

/// Looks if it is time. Does nothing before the instance is founded and database and HSM are compared.
pub fn look_if_due(instance: &Instance) -> Result<(), Fault> {
    let wanted = !instance.hsm.is_examined() || instance.inspection.is_due();
    if !wanted || !instance.journal.is_open() || instance.journal.state().identity().is_none() {
        return Ok(());
    }
    let seen = look(instance);
    match &seen {
        Ok(()) => instance.engine.wake(),
        Err(_) => instance.inspection.failed(),
    }
    seen
}

/// Probe, audit, entries.
pub fn look(instance: &Instance) -> Result<(), Fault> {
    let serial = instance.token()?.serial;
    let verdict = instance.hsm.probe()?;
    let expected = instance.journal.state().expected_keys();
    let snapshot = instance.hsm.audit(&expected)?;
    for found in [&verdict.serial, &snapshot.serial] {
        if *found != serial {
            return Err(Violation::OtherHsm { wanted: serial, found: found.clone() }.into());
        }
    }
    let (audited, probed) = instance.journal.commit(|moment, _| {
        let audited = audited(moment.state, &snapshot, &expected)?;
        let probed = probed(&verdict);
        let events = worth_an_entry(moment, &audited, &probed);
        Ok((Act::own(events), (audited, probed)))
    })?;
    report(&snapshot, &audited, &verdict);
    let in_order = audited.differences == 0 && probed.failed.is_empty();
    instance.inspection.done(if in_order { INTERVAL } else { INTERVAL_IN_TROUBLE }, details(&snapshot));
    instance.hsm.set_examined(true);
    Ok(())
}

/// Before there is a log: the answers must be right, or nobody is founded on this token.
pub fn require_right_answers(instance: &Instance) -> Result<(), Fault> {
    let environment = instance.config.environment;
    match instance.hsm.probe()?.failed.into_iter().find(|check| stops(&check.name, environment)) {
        Some(check) => Err(Violation::KnownAnswerFailed { check: check.name }.into()),
        None => Ok(()),
    }
}

/// Once per run, and whenever something differs from the entry before.
fn worth_an_entry(moment: &Moment<'_>, audited: &TokenAudited, probed: &TokenProbed) -> Vec<Event> {
    let token = moment.state.token(&audited.hsm_serial);
    let (was_audited, was_probed) = moment.state.examined_in_this_run(&audited.hsm_serial);
    let audit = token.and_then(|token| token.audit.as_ref()).map(|audit| &audit.found);
    let probe = token.and_then(|token| token.probe.as_ref()).map(|probe| &probe.found);
    let mut events = Vec::new();
    if !was_probed || probe != Some(probed) {
        events.push(Event::TokenProbed(probed.clone()));
    }
    if !was_audited || audit != Some(audited) {
        events.push(Event::TokenAudited(audited.clone()));
    }
    events
}

fn audited(state: &State, snapshot: &TokenSnapshot, expected: &[ExpectedKey]) -> Result<TokenAudited, Fault> {
    if state.expected_keys() != expected {
        // A ceremony ended meanwhile; the list that was compared is no longer the log's.
        return Err(Fault::new(Code::HsmUnavailable, "keys were made while the token was looked at; once more"));
    }
    let making = state.ids_in_the_making();
    let mut differing = Vec::new();
    for line in snapshot.differing().filter(|line| !is_in_the_making(line, &making)) {
        let id = line.id.get(..line.id.len().min(OBJECT_ID_BYTES_MAX)).unwrap_or_default();
        differing.push((id.to_vec(), kind(line.state)));
    }
    differing.sort_by_key(|(id, kind)| (id.clone(), *kind as u8));
    differing.dedup();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(TokenAudited {
        hsm_serial: snapshot.serial.clone(),
        snapshot: snapshot.digest,
        objects: snapshot.objects,
        keys: count(expected.len()),
        differences: count(differing.len()),
        differing: differing
            .into_iter()
            .take(DIFFERENCES_MAX)
            .map(|(id, kind)| Ok(Difference { id: octets(&id)?, kind }))
            .collect::<Result<_, Fault>>()?,
    })
}

/// An object that an open ceremony makes is in the token before the log says so.
fn is_in_the_making(line: &AuditedObject, making: &[ObjectId]) -> bool {
    line.state == ObjectState::Unknown && making.iter().any(|id| id.as_bytes().as_slice() == line.id)
}

const fn kind(state: ObjectState) -> DifferenceKind {
    match state {
        ObjectState::Missing => DifferenceKind::Missing,
        ObjectState::Duplicate => DifferenceKind::Duplicate,
        ObjectState::Wrong => DifferenceKind::Wrong,
        ObjectState::Present | ObjectState::Unknown => DifferenceKind::Unknown,
    }
}

fn probed(verdict: &ProbeVerdict) -> TokenProbed {
    TokenProbed {
        hsm_serial: verdict.serial.clone(),
        model: plain(&verdict.model),
        firmware: plain(&verdict.firmware),
        map: verdict.map,
        open: verdict.open.clone(),
        untried: verdict.untried.clone(),
        failed: verdict.failed.iter().take(FAILED_CHECKS_MAX).map(|check| plain(&check.name)).collect(),
    }
}

/// A token's own words, as they may stand in the log.
fn plain(text: &str) -> String {
    let plain = |character: char| if character.is_ascii_graphic() || character == ' ' { character } else { '?' };
    text.chars().take(TOKEN_TEXT_BYTES_MAX).map(plain).collect()
}

fn hex(id: &[u8]) -> String {
    id.iter().take(OBJECT_ID_BYTES_MAX).map(|byte| format!("{byte:02x}")).collect()
}

/// For `/health`, which is open to everyone: what differs, without the names of keys.
fn details(snapshot: &TokenSnapshot) -> BTreeMap<String, String> {
    let detail = |line: &AuditedObject| match line.detail.as_str() {
        "" => line.class.clone(),
        detail => format!("{}: {detail}", line.class),
    };
    snapshot.differing().map(|line| (hex(&line.id), detail(line))).collect()
}

/// In the server's own log, with the names of the keys.
fn report(snapshot: &TokenSnapshot, audited: &TokenAudited, verdict: &ProbeVerdict) {
    tracing::info!(serial = %audited.hsm_serial, objects = audited.objects, snapshot = %audited.snapshot, "token examined");
    for line in snapshot.differing() {
        let (state, id) = (line.state.name(), hex(&line.id));
        tracing::error!(key = %line.name, class = %line.class, id, state, detail = %line.detail, "object in the token");
    }
    for check in &verdict.failed {
        tracing::error!(check = %check.name, found = %check.found, remedy = %check.remedy, "known-answer test failed");
    }
    if !verdict.open.is_empty() {
        tracing::warn!(attacks = ?verdict.open, model = %verdict.model, "attacks work on this token");
    }
}
