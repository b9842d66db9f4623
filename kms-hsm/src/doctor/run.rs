//! The examination in the worker.

use std::time::Instant;

use cryptoki_sys::{
    CK_OBJECT_HANDLE, CKA_CHECK_VALUE, CKA_DERIVE, CKA_DERIVE_TEMPLATE, CKA_EC_PARAMS, CKA_ENCRYPT, CKA_EXTRACTABLE,
    CKA_SENSITIVE, CKA_TOKEN, CKA_UNWRAP, CKA_WRAP,
};
use kms_core::ports::HsmResult;

use super::{Check, State, answers};
use crate::instance::{self, SM2_CURVE};
use crate::probe::bench::{Bench, Halt, nothing};
use crate::probe::wrapping::roll;
use crate::raw::{Encoded, Parameter};
use crate::session::Token;
use crate::template::{CARD, MASTER, SIGNING, Template, VERIFYING, Value, check};
use crate::vendor::{Operation, Suite};

/// Calls timed for one figure.
const ROUNDS: u32 = 32;
/// Block of the derivation checks.
const BLOCK: [u8; 16] = [0xd0; 16];
/// Bytes of a 16-byte key after RFC 3394.
const WRAPPED_BYTES: usize = 24;

const NUMBERS: &str = "compare the map with the header of this firmware; do not use the token with this map";
const CHECK_VALUES: &str = "either the number means another mechanism, or the token's check values of such keys are not \
                            E_K(0): no key can be confirmed on this token";
const TEMPLATES: &str = "the token changes or refuses an attribute the KMS relies on: correct the map's attribute list, \
                         and weigh what is then not protected";

/// What a check found, and the microseconds of one operation.
type Examined = Result<(String, Option<u64>), Halt>;

/// One check: name, what to do if it fails, and the check.
type Row = (&'static str, Operation, &'static str, fn(&mut Bench<'_>) -> Examined);

const ROWS: &[Row] = &[
    ("digest, known answer", Operation::Digest, NUMBERS, digest),
    ("block cipher, known answer", Operation::Ecb, NUMBERS, block),
    ("check value, known answer", Operation::Ecb, NUMBERS, check_value),
    ("key generation", Operation::KeyGen, NUMBERS, key_generation),
    ("signature, verified in software", Operation::Sign, NUMBERS, signature),
    ("derivation, known answer", Operation::Diversify, CHECK_VALUES, derivation),
    ("derivation as the KMS does it", Operation::Diversify, TEMPLATES, card),
    ("master template", Operation::KeyGen, TEMPLATES, master),
    ("key wrap, length", Operation::KeyWrap, NUMBERS, wrap),
    ("key wrap, known answer opened", Operation::KeyWrap, CHECK_VALUES, unwrap),
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
        if bench.token.map().mechanism(*operation).is_none() {
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

/// Whether the token knows each number of the map.
fn numbers(token: &Token) -> HsmResult<Vec<Check>> {
    let (functions, map) = (token.functions(), token.map());
    let mut checks = Vec::new();
    for operation in Operation::ALL {
        let Some(number) = map.mechanism(operation) else { continue };
        let name = format!("mechanism {} ({number:#x})", operation.name(map.suite()));
        checks.push(match functions.mechanism_info(token.slot_id(), number) {
            Ok(_) => Check::new(name, State::Good, "known to the token", ""),
            Err(error) if operation.is_needed() => Check::new(name, State::Failed, told(&error), NUMBERS),
            Err(error) => Check::new(name, State::Warning, told(&error), "used by probe and doctor only"),
        });
    }
    Ok(checks)
}

/// Runs `body` [`ROUNDS`] times; microseconds of one.
fn timed(mut body: impl FnMut() -> Result<(), Halt>) -> Result<u64, Halt> {
    let start = Instant::now();
    for _ in 0..ROUNDS {
        body()?;
    }
    Ok(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX) / u64::from(ROUNDS))
}

fn wrong(what: &str) -> Halt {
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

/// The check value of a key as the token shows it.
fn shown_kcv(bench: &Bench<'_>, key: CK_OBJECT_HANDLE) -> Result<Vec<u8>, Halt> {
    let value = bench.functions().value(bench.session, key, CKA_CHECK_VALUE)?;
    value.filter(|value| value.len() == 3).ok_or_else(|| nothing("CKA_CHECK_VALUE"))
}

fn check_value(bench: &mut Bench<'_>) -> Examined {
    let [key, ..] = answers::block(bench.token.map().suite());
    let key = bench.create(key, &[(CKA_ENCRYPT, true)])?;
    let zeros = bench.block(key, &[0; 16], true)?;
    if zeros.get(..3) != Some(&shown_kcv(bench, key)?) {
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

/// A key derived from a known one equals the block's encryption under it.
fn derivation(bench: &mut Bench<'_>) -> Examined {
    let [key, ..] = answers::block(bench.token.map().suite());
    let cipher = bench.create(key, &[(CKA_ENCRYPT, true)])?;
    let expected = bench.block(cipher, &BLOCK, true)?;
    let expected = bench.create(expected, &[])?;
    let card = bench.card();
    let base = if bench.token.map().supports(CKA_DERIVE_TEMPLATE) {
        bench.create_with(key, &[(CKA_DERIVE, true)], (CKA_DERIVE_TEMPLATE, Value::Nested(card.clone())))?
    } else {
        bench.create(key, &[(CKA_DERIVE, true)])?
    };
    let child = bench.derive(Operation::Diversify, Parameter::Data(&BLOCK), base, &card)?;
    let (found, wanted) = (shown_kcv(bench, child)?, shown_kcv(bench, expected)?);
    if found != wanted {
        // Check values of public vectors: nothing is given away.
        let detail = format!("{found:02x?} instead of {wanted:02x?}");
        return Err(Halt::Refused(crate::fault::refused("C_DeriveKey", "CHECK_VALUE_DIFFERS", detail)));
    }
    Ok(("equals the cipher's output".to_owned(), None))
}

/// Compares what the token made with what was asked for.
fn compare(bench: &Bench<'_>, key: CK_OBJECT_HANDLE, role: &str, expected: &Template) -> Result<(), Halt> {
    check(&bench.functions(), bench.session, key, role, expected).map_err(Halt::Refused)
}

fn card(bench: &mut Bench<'_>) -> Examined {
    let (template, wanted) = (bench.master(), bench.card());
    let master = bench.generate(&template)?;
    let child = bench.derive(Operation::Diversify, Parameter::Data(&BLOCK), master, &wanted)?;
    compare(bench, child, CARD.name, &wanted)?;
    let again = bench.derive(Operation::Diversify, Parameter::Data(&BLOCK), master, &wanted)?;
    if shown_kcv(bench, child)? != shown_kcv(bench, again)? {
        return Err(wrong("C_DeriveKey"));
    }
    let (functions, session) = (bench.functions(), bench.session);
    let mechanism = bench.mechanism(Operation::Diversify, Parameter::Data(&BLOCK))?;
    let micros = timed(|| {
        let child = functions.derive_key(session, mechanism, master, &mut Encoded::of(&wanted))?;
        Ok(functions.destroy(session, child)?)
    })?;
    Ok(("derived twice, equal, with every attribute of CARD".to_owned(), Some(micros)))
}

fn master(bench: &mut Bench<'_>) -> Examined {
    let template = bench.master();
    let key = bench.generate(&template)?;
    compare(bench, key, MASTER.name, &template)?;
    Ok(("every attribute of MASTER is shown".to_owned(), None))
}

fn wrap(bench: &mut Bench<'_>) -> Examined {
    let template = bench.secret(&[(CKA_WRAP, true)]);
    let (kek, target) = (bench.generate(&template)?, bench.target()?);
    let mechanism = bench.mechanism(Operation::KeyWrap, Parameter::Nothing)?;
    let blob = bench.wrap(mechanism, kek, target)?;
    if blob.len() != WRAPPED_BYTES || bench.wrap(mechanism, kek, target)? != blob {
        return Err(wrong("C_WrapKey"));
    }
    let micros = timed(|| bench.wrap(mechanism, kek, target).map(|_| ()))?;
    Ok((format!("{WRAPPED_BYTES} bytes, twice the same"), Some(micros)))
}

/// A blob made by hand opens to the key that is in it.
fn unwrap(bench: &mut Bench<'_>) -> Examined {
    let [lab, inside, _] = answers::block(bench.token.map().suite());
    let cipher = bench.create(lab, &[(CKA_ENCRYPT, true)])?;
    let blob = roll(bench, cipher, &inside)?;
    let opens = bench.create(lab, &[(CKA_UNWRAP, true)])?;
    let mechanism = bench.mechanism(Operation::KeyWrap, Parameter::Nothing)?;
    let template = bench.bare().flag(CKA_SENSITIVE, true);
    let (key, expected) = (bench.unwrap(mechanism, opens, &blob, &template)?, bench.create(inside, &[])?);
    if shown_kcv(bench, key)? != shown_kcv(bench, expected)? {
        return Err(wrong("C_UnwrapKey"));
    }
    Ok(("a blob after RFC 3394 opens to its key".to_owned(), None))
}

fn signature(bench: &mut Bench<'_>) -> Examined {
    if bench.token.map().suite() == Suite::Intl {
        return Err(Halt::NoScene("not examined in suite intl".to_owned()));
    }
    let private = SIGNING.template(bench.token.map()).flag(CKA_TOKEN, false);
    let public = VERIFYING.template(bench.token.map()).flag(CKA_TOKEN, false).bytes(CKA_EC_PARAMS, &SM2_CURVE);
    let pair = bench.mechanism(Operation::PairGen, Parameter::Nothing)?;
    let (functions, session) = (bench.functions(), bench.session);
    let (mut ours, mut theirs) = (Encoded::of(&public), Encoded::of(&private));
    let (public, key) = functions.generate_key_pair(session, pair, &mut ours, &mut theirs)?;
    bench.keep(public);
    bench.keep(key);
    compare(bench, key, SIGNING.name, &private)?;
    let (mechanism, e) = (bench.mechanism(Operation::Sign, Parameter::Nothing)?, [0x5e; 32]);
    let mut out = [0; 128];
    let written = functions.sign(session, mechanism, key, &e, &mut out)?;
    let point = instance::point(bench.token, public)?;
    let signature = instance::signature(bench.token.map().signature(), out.get(..written).unwrap_or_default());
    if !signature.is_some_and(|signature| instance::verifies(&point, &e, &signature)) {
        return Err(wrong("C_Sign"));
    }
    let micros = timed(|| Ok(functions.sign(session, mechanism, key, &e, &mut out).map(|_| ())?))?;
    Ok(("verified over the ready value e".to_owned(), Some(micros)))
}
