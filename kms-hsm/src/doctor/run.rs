//! The examination in the worker.

use std::time::Instant;

use cryptoki_sys::{CKA_CHECK_VALUE, CKA_ENCRYPT, CKA_EXTRACTABLE, CKA_KEY_TYPE};
use kms_core::ports::{HsmResult, SM1_ANSWER};

use super::{Check, State, answers, keys, pairs};
use crate::probe::bench::{Bench, Halt};
use crate::raw::Parameter;
use crate::session::Token;
use crate::vendor::{Operation, VendorMap};

/// Calls timed for one figure.
const ROUNDS: u32 = 32;

const NUMBERS: &str = "compare the map with the header of this firmware; do not use the token with this map";
const CHECK_VALUES: &str = "either the number means another mechanism, or the token's check values of such keys are not \
                            E_K(0): set check-value in the map to what the token does, or do not use it with this map";
const TEMPLATES: &str = "the token changes or refuses an attribute the KMS relies on: correct the map's attribute list, \
                         and weigh what is then not protected";
const SEALING: &str = "the number means another mechanism, or ciphertext in the map names another form than the token's: \
                       correct the map";
const NOT_SM1: &str = "what answers under SM1's numbers is not SM1: never issue cards with this token";

/// What a check found, and the microseconds of one operation.
pub(super) type Examined = Result<(String, Option<u64>), Halt>;

/// One check: name, the operation without which it is left out, what to do if it fails, and the check.
type Row = (&'static str, fn(&VendorMap) -> Operation, &'static str, fn(&mut Bench<'_>) -> Examined);

const ROWS: &[Row] = &[
    ("digest, known answer", |_| Operation::Digest, NUMBERS, digest),
    ("block cipher, known answer", |_| Operation::Ecb, NUMBERS, block),
    (SM1_ANSWER, |_| Operation::Sm1Ecb, NOT_SM1, sm1),
    ("check value, known answer", |_| Operation::Ecb, NUMBERS, check_value),
    ("key generation", |_| Operation::KeyGen, NUMBERS, key_generation),
    ("signature, verified in software", |_| Operation::Sign, NUMBERS, pairs::signature),
    ("sealing, opened again", |_| Operation::Seal, SEALING, pairs::sealing),
    ("derivation, known answer", VendorMap::diversify, CHECK_VALUES, keys::derivation),
    ("derivation as the KMS does it", VendorMap::diversify, TEMPLATES, keys::card),
    ("master template", VendorMap::master_key_gen, TEMPLATES, keys::master),
    ("key wrap, length", |_| Operation::KeyWrap, NUMBERS, keys::wrap),
    ("key wrap, known answer opened", |_| Operation::KeyWrap, CHECK_VALUES, keys::unwrap),
];

/// Makes every check whose operation the map numbers.
pub(crate) fn run(token: &mut Token) -> HsmResult<Vec<Check>> {
    let mut checks = numbers(token)?;
    let limit = token.functions().session_limit(token.slot_id())?;
    let found = limit.map_or_else(|| "no limit shown".to_owned(), |limit| limit.to_string());
    let state = if limit.is_some_and(|limit| limit < 4) { State::Warning } else { State::Good };
    checks.push(Check::new("sessions at once", state, found, if state == State::Good { "" } else { FEW_SESSIONS }));
    let mut bench = Bench::new(token)?;
    for (name, operation, remedy, examine) in ROWS {
        if bench.token.map().mechanism(operation(bench.token.map())).is_none() {
            continue;
        }
        let examined = examine(&mut bench);
        bench.clear();
        checks.push(match examined {
            Ok((found, micros)) => Check { micros, ..Check::new(*name, State::Good, found, "") },
            Err(Halt::Refused(error)) => Check::new(*name, State::Failed, told(&error), remedy),
            Err(Halt::NoScene(why)) => {
                Check::new(*name, State::Warning, why, "the check could not be made; see the others")
            }
            Err(Halt::Fault(error)) => Check::new(*name, State::Failed, told(&error), remedy),
        });
    }
    Ok(checks)
}

const FEW_SESSIONS: &str = "end other users of the token, or raise its limit";

fn told(error: &kms_core::ports::HsmError) -> String {
    let detail = error.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
    format!("{} {}{detail}", error.function, error.code)
}

/// Whether the token knows each number of the map, once.
fn numbers(token: &Token) -> HsmResult<Vec<Check>> {
    let (functions, map) = (token.functions(), token.map());
    let (mut checks, mut seen) = (Vec::new(), Vec::new());
    // Those that are needed first: a number may serve two operations.
    let (needed, others): (Vec<_>, Vec<_>) =
        Operation::ALL.into_iter().partition(|operation| map.needs_operation(*operation));
    for operation in needed.into_iter().chain(others) {
        let Some(number) = map.mechanism(operation) else { continue };
        if seen.contains(&number) {
            continue;
        }
        seen.push(number);
        let name = format!("mechanism {} ({number:#x})", map.operation_name(operation));
        checks.push(match functions.mechanism_info(token.slot_id(), number) {
            Ok(_) => Check::new(name, State::Good, "known to the token", ""),
            Err(error) if map.needs_operation(operation) => Check::new(name, State::Failed, told(&error), NUMBERS),
            Err(error) => Check::new(name, State::Warning, told(&error), "used by probe and doctor only"),
        });
    }
    Ok(checks)
}

/// Runs `body` [`ROUNDS`] times; microseconds of one.
pub(super) fn timed(mut body: impl FnMut() -> Result<(), Halt>) -> Result<u64, Halt> {
    let start = Instant::now();
    for _ in 0..ROUNDS {
        body()?;
    }
    Ok(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX) / u64::from(ROUNDS))
}

pub(super) fn wrong(what: &str) -> Halt {
    Halt::Refused(crate::fault::refused(what, "ANSWER_WRONG", "another result than the public vector"))
}

fn digest(bench: &mut Bench<'_>) -> Examined {
    let mechanism = bench.mechanism(Operation::Digest, Parameter::Nothing)?;
    let functions = bench.functions();
    let found = functions.digest(bench.session, mechanism, answers::MESSAGE, 64)?;
    if found != answers::digest(bench.token.map().suite()) {
        return Err(wrong("C_Digest"));
    }
    let micros = timed(|| Ok(functions.digest(bench.session, mechanism, answers::MESSAGE, 64).map(|_| ())?))?;
    Ok(("the public vector".to_owned(), Some(micros)))
}

fn block(bench: &mut Bench<'_>) -> Examined {
    let [key, plain, expected] = answers::block(bench.token.map().suite());
    let key = bench.create(key, &[(CKA_ENCRYPT, true)])?;
    if bench.block(key, &plain, true)? != expected {
        return Err(wrong("C_Encrypt"));
    }
    let micros = timed(|| bench.block(key, &plain, true).map(|_| ()))?;
    Ok(("the public vector".to_owned(), Some(micros)))
}

/// The public vector of SM1. The algorithm is not public, so nothing else tells a real one from a stand-in.
fn sm1(bench: &mut Bench<'_>) -> Examined {
    let [key, plain, expected] = answers::SM1;
    let card = bench.token.map().key_types().card;
    let template = bench.known(key, &[(CKA_ENCRYPT, true)]).number(CKA_KEY_TYPE, card);
    let key = bench.create_from(&template)?;
    if bench.block_by(Operation::Sm1Ecb, key, &plain, true)? != expected {
        let detail = "another result than the public vector of SM1: this is not SM1";
        return Err(Halt::Refused(crate::fault::refused("C_Encrypt", "NOT_SM1", detail)));
    }
    Ok(("the public vector".to_owned(), None))
}

fn check_value(bench: &mut Bench<'_>) -> Examined {
    let [key, ..] = answers::block(bench.token.map().suite());
    let key = bench.create(key, &[(CKA_ENCRYPT, true)])?;
    let zeros = bench.block(key, &[0; 16], true)?;
    let shown = bench.functions().value(bench.session, key, CKA_CHECK_VALUE)?;
    if shown.as_deref() != zeros.get(..3) {
        return Err(wrong("CKA_CHECK_VALUE"));
    }
    Ok(("three bytes of the encryption of zeros".to_owned(), None))
}

fn key_generation(bench: &mut Bench<'_>) -> Examined {
    let template = bench.secret(&[(CKA_EXTRACTABLE, true)]);
    let micros = timed(|| {
        bench.generate(&template)?;
        bench.clear();
        Ok(())
    })?;
    Ok(("made and destroyed".to_owned(), Some(micros)))
}
