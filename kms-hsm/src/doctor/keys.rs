//! Masters and card keys as the KMS makes them: derivation, templates, wrap.

use cryptoki_sys::{
    CK_OBJECT_HANDLE, CKA_DERIVE, CKA_DERIVE_TEMPLATE, CKA_ENCRYPT, CKA_KEY_TYPE, CKA_SENSITIVE, CKA_UNWRAP, CKA_WRAP,
};

use super::answers;
use super::run::{Examined, timed, wrong};
use crate::check_value::{Bytes, Plan};
use crate::lanes::Lane;
use crate::probe::bench::{Bench, Halt};
use crate::probe::wrapping::roll;
use crate::raw::{Encoded, Parameter};
use crate::template::{CARD, MASTER, Template, Value, check};
use crate::vendor::{CardAlgorithm, CheckValue, KeyWrap, Operation};

/// Block of the derivation checks.
const BLOCK: [u8; 16] = [0xd0; 16];

/// The cipher of masters, block by block; absent where an SM1 map leaves it out.
fn cipher_of_masters(bench: &Bench<'_>) -> Result<Operation, Halt> {
    let operation = match bench.token.map().cards() {
        CardAlgorithm::Sm1 => Operation::Sm1Ecb,
        CardAlgorithm::Sm4 | CardAlgorithm::Aes128 => Operation::Ecb,
    };
    bench.number(operation).map(|_| operation)
}

/// A key of the masters' algorithm and known value that encrypts.
fn known(bench: &mut Bench<'_>, value: [u8; 16]) -> Result<CK_OBJECT_HANDLE, Halt> {
    let card = bench.token.map().key_types().card;
    let template = bench.known(value, &[(CKA_ENCRYPT, true)]).number(CKA_KEY_TYPE, card);
    bench.create_from(&template)
}

/// The check value of a known key, worked out with the cipher.
fn worked_out(bench: &mut Bench<'_>, operation: Operation, value: [u8; 16]) -> Result<Bytes, Halt> {
    let key =
        if operation == Operation::Ecb { bench.create(value, &[(CKA_ENCRYPT, true)])? } else { known(bench, value)? };
    let zeros = bench.block_by(operation, key, &[0; 16], true)?;
    zeros.first_chunk().copied().ok_or_else(|| wrong("C_Encrypt"))
}

/// The check value of a key derived from `base`, as issuing asks for it.
fn of_child(bench: &Bench<'_>, base: CK_OBJECT_HANDLE, child: CK_OBJECT_HANDLE) -> Result<Bytes, Halt> {
    let (plan, functions) = (Plan::new(bench.token)?, bench.functions());
    let lane = Lane { functions: &functions, session: bench.session };
    Ok(plan.checker().of_child(&lane, (base, &BLOCK), child)?)
}

fn same(found: Bytes, wanted: Bytes, function: &str) -> Result<(), Halt> {
    if found == wanted {
        return Ok(());
    }
    // Check values of public vectors: nothing is given away.
    let detail = format!("{found:02x?} instead of {wanted:02x?}");
    Err(Halt::Refused(crate::fault::refused(function, "CHECK_VALUE_DIFFERS", detail)))
}

/// A key derived from a known one equals the block's encryption under it.
pub(super) fn derivation(bench: &mut Bench<'_>) -> Examined {
    let operation = cipher_of_masters(bench)?;
    let [value, ..] = answers::block(bench.token.map().suite());
    let cipher = known(bench, value)?;
    let expected = bench.block_by(operation, cipher, &BLOCK, true)?;
    let wanted = worked_out(bench, operation, expected)?;
    let (card, key_type) = (bench.card(), bench.token.map().key_types().card);
    let mut base = bench.known(value, &[(CKA_DERIVE, true)]).number(CKA_KEY_TYPE, key_type);
    if bench.token.map().supports(CKA_DERIVE_TEMPLATE) {
        base = base.with(CKA_DERIVE_TEMPLATE, Value::Nested(card.clone()));
    }
    let base = bench.create_from(&base)?;
    let child = bench.diversify(&BLOCK, base, &card)?;
    same(of_child(bench, base, child)?, wanted, "C_DeriveKey")?;
    Ok(("equals the cipher's output".to_owned(), None))
}

/// Compares what the token made with what was asked for.
pub(super) fn compare(bench: &Bench<'_>, key: CK_OBJECT_HANDLE, role: &str, expected: &Template) -> Result<(), Halt> {
    check(&bench.functions(), bench.session, key, role, expected).map_err(Halt::Refused)
}

pub(super) fn card(bench: &mut Bench<'_>) -> Examined {
    let (template, wanted) = (bench.master(), bench.card());
    let master = bench.generate(&template)?;
    let child = bench.diversify(&BLOCK, master, &wanted)?;
    compare(bench, child, CARD.name, &wanted)?;
    let again = bench.diversify(&BLOCK, master, &wanted)?;
    same(of_child(bench, master, again)?, of_child(bench, master, child)?, "C_DeriveKey")?;
    let (functions, session) = (bench.functions(), bench.session);
    let mechanism = bench.mechanism(bench.token.map().diversify(), Parameter::Data(&BLOCK))?;
    let micros = timed(|| {
        let child = functions.derive_key(session, mechanism, master, &mut Encoded::of(&wanted))?;
        Ok(functions.destroy(session, child)?)
    })?;
    Ok(("derived twice, equal, with every attribute of CARD".to_owned(), Some(micros)))
}

pub(super) fn master(bench: &mut Bench<'_>) -> Examined {
    let template = bench.master();
    let key = bench.generate(&template)?;
    compare(bench, key, MASTER.name, &template)?;
    Ok(("every attribute of MASTER is shown".to_owned(), None))
}

pub(super) fn wrap(bench: &mut Bench<'_>) -> Examined {
    let bytes = bench.token.map().key_wrap().wrapped_bytes();
    let template = bench.secret(&[(CKA_WRAP, true)]);
    let (kek, target) = (bench.generate(&template)?, bench.target()?);
    let mechanism = bench.mechanism(Operation::KeyWrap, Parameter::Nothing)?;
    let blob = bench.wrap(mechanism, kek, target)?;
    if blob.len() != bytes || bench.wrap(mechanism, kek, target)? != blob {
        return Err(wrong("C_WrapKey"));
    }
    let micros = timed(|| bench.wrap(mechanism, kek, target).map(|_| ()))?;
    Ok((format!("{bytes} bytes, twice the same"), Some(micros)))
}

/// A blob made by hand opens to the key that is in it.
pub(super) fn unwrap(bench: &mut Bench<'_>) -> Examined {
    let [lab, inside, _] = answers::block(bench.token.map().suite());
    let cipher = bench.create(lab, &[(CKA_ENCRYPT, true)])?;
    let blob = roll(bench, cipher, &inside)?;
    let wanted = worked_out(bench, Operation::Ecb, inside)?;
    let opens = bench.create(lab, &[(CKA_UNWRAP, true)])?;
    let mechanism = bench.mechanism(Operation::KeyWrap, Parameter::Nothing)?;
    let template = opened(bench);
    let key = bench.unwrap(mechanism, opens, &blob, &template)?;
    same(of_opened(bench, key)?, wanted, "C_UnwrapKey")?;
    let form = match bench.token.map().key_wrap() {
        KeyWrap::Ecb => "one block, without authentication,",
        KeyWrap::Rfc3394 => "a blob after RFC 3394",
    };
    Ok((format!("{form} opens to its key"), None))
}

/// A sensitive key from a blob; it derives where that is how the make confirms keys.
pub(super) fn opened(bench: &Bench<'_>) -> Template {
    let derives = bench.token.map().check_value() == CheckValue::Derive;
    let template = bench.bare().flag(CKA_SENSITIVE, true);
    if derives { template.flag(CKA_DERIVE, true) } else { template }
}

/// Its check value.
pub(super) fn of_opened(bench: &Bench<'_>, key: CK_OBJECT_HANDLE) -> Result<Bytes, Halt> {
    let (plan, functions) = (Plan::new(bench.token)?, bench.functions());
    Ok(plan.checker().of_base(&Lane { functions: &functions, session: bench.session }, key)?)
}
