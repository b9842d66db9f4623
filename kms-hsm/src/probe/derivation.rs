//! Attacks 10 to 15: masters made to say what they derive.

use cryptoki_sys::{
    CK_MECHANISM_TYPE, CKA_CHECK_VALUE, CKA_CLASS, CKA_DERIVE, CKA_ENCRYPT, CKA_EXTRACTABLE, CKA_KEY_TYPE, CKA_PRIVATE,
    CKA_SENSITIVE, CKA_SIGN, CKA_TOKEN, CKA_VALUE_LEN, CKA_WRAP, CKA_WRAP_WITH_TRUSTED, CKK_GENERIC_SECRET,
    CKM_CONCATENATE_BASE_AND_DATA, CKM_CONCATENATE_BASE_AND_KEY, CKM_EXTRACT_KEY_FROM_KEY, CKM_XOR_BASE_AND_DATA,
    CKO_SECRET_KEY,
};

use super::bench::{BLOCK, Bench, Halt, Tried, no_scene, nothing};
use crate::raw::{Encoded, Mechanism, Parameter};
use crate::template::Template;
use crate::vendor::Operation;

/// A master as the KMS makes it, proved to derive a card key.
fn master(bench: &mut Bench<'_>) -> Result<u64, Halt> {
    let (template, card) = (bench.master(), bench.card());
    let master = bench.scene_key("a master", &template)?;
    let child = bench.diversify(&BLOCK, master, &card);
    no_scene("deriving a card key", child)?;
    Ok(master)
}

/// A sensitive child of another type or length.
fn short_child(key_type: u64, bytes: u64) -> Template {
    Template::default()
        .number(CKA_CLASS, CKO_SECRET_KEY)
        .number(CKA_KEY_TYPE, key_type)
        .number(CKA_VALUE_LEN, bytes)
        .flag(CKA_TOKEN, false)
        .flag(CKA_PRIVATE, true)
        .flag(CKA_SENSITIVE, true)
        .flag(CKA_EXTRACTABLE, false)
}

fn truncated(bench: &mut Bench<'_>, key_type: u64) -> Tried {
    let master = master(bench)?;
    let (mut granted, mut shown, mut refusal) = (0, 0, None);
    for bytes in 1..16 {
        match bench.diversify(&BLOCK, master, &short_child(key_type, bytes)) {
            Ok(child) => {
                granted += 1;
                shown += usize::from(bench.functions().value(bench.session, child, CKA_CHECK_VALUE)?.is_some());
            }
            Err(Halt::Refused(error)) => refusal = Some(error),
            Err(other) => return Err(other),
        }
    }
    match refusal {
        Some(error) if granted == 0 => Err(Halt::Refused(error)),
        _ => Ok(format!("{granted} lengths below 16 bytes derived, {shown} of them with a check value")),
    }
}

pub(super) fn truncated_generic(bench: &mut Bench<'_>) -> Tried {
    truncated(bench, CKK_GENERIC_SECRET)
}

pub(super) fn truncated_block(bench: &mut Bench<'_>) -> Tried {
    let card = bench.token.map().key_types().card;
    truncated(bench, card)
}

pub(super) fn readable_child(bench: &mut Bench<'_>) -> Tried {
    let (master, template) = (master(bench)?, bench.card().flag(CKA_SENSITIVE, false));
    let child = bench.diversify(&BLOCK, master, &template)?;
    bench.read(child)?;
    Ok("a card key was derived readable, and read".to_owned())
}

pub(super) fn loose_child(bench: &mut Bench<'_>) -> Tried {
    let master = master(bench)?;
    let mut template = bench.card();
    if bench.token.map().supports(CKA_WRAP_WITH_TRUSTED) {
        template = template.flag(CKA_WRAP_WITH_TRUSTED, false);
    }
    let child = bench.diversify(&BLOCK, master, &template)?;
    let kek = bench.secret(&[(CKA_WRAP, true)]);
    let kek = bench.scene_key("a wrapping key", &kek)?;
    let mechanism = bench.mechanism(Operation::KeyWrap, Parameter::Nothing)?;
    bench.wrap(mechanism, kek, child)?;
    Ok("a card key was derived without WRAP_WITH_TRUSTED and left under an untrusted key".to_owned())
}

pub(super) fn derive_and_encrypt(bench: &mut Bench<'_>) -> Tried {
    let template = bench.secret(&[(CKA_DERIVE, true), (CKA_ENCRYPT, true)]);
    let key = bench.generate(&template)?;
    bench.block(key, &BLOCK, true)?;
    Ok("a key with DERIVE encrypted the derivation block".to_owned())
}

pub(super) fn master_with_encrypt(bench: &mut Bench<'_>) -> Tried {
    let template = bench.master();
    let key = bench.scene_key("a master", &template)?;
    bench.block(key, &BLOCK, true)?;
    Ok("a master encrypted the derivation block".to_owned())
}

pub(super) fn derive_and_sign(bench: &mut Bench<'_>) -> Tried {
    let template = bench.secret(&[(CKA_DERIVE, true), (CKA_SIGN, true)]);
    let key = bench.generate(&template)?;
    let mechanism = bench.mechanism(Operation::Mac, Parameter::Nothing)?;
    let mut out = [0; 64];
    bench.functions().sign(bench.session, mechanism, key, &BLOCK, &mut out)?;
    Ok("a key with DERIVE made a MAC of the derivation block".to_owned())
}

fn keystream(bench: &mut Bench<'_>, operation: Operation, parameter: Parameter<'_>) -> Tried {
    let template = bench.secret(&[(CKA_DERIVE, true), (CKA_ENCRYPT, true)]);
    let key = bench.generate(&template)?;
    let mechanism = bench.mechanism(operation, parameter)?;
    let out = bench.functions().encrypt(bench.session, mechanism, key, &[0; 16], 64)?;
    if out.len() < 16 {
        return Err(nothing("C_Encrypt"));
    }
    Ok(format!("a key with DERIVE gave keystream in {}", bench.name(operation)))
}

pub(super) fn ctr_keystream(bench: &mut Bench<'_>) -> Tried {
    keystream(bench, Operation::Ctr, Parameter::Ctr(&BLOCK))
}

pub(super) fn gcm_keystream(bench: &mut Bench<'_>) -> Tried {
    keystream(bench, Operation::Gcm, Parameter::Gcm { nonce: &[0x5a; 12], context: &[] })
}

/// By a standard number on a base without ALLOWED_MECHANISMS, which would refuse for another reason.
fn other(bench: &mut Bench<'_>, number: CK_MECHANISM_TYPE, parameter: Parameter<'_>, what: &str) -> Tried {
    let template = bench.secret(&[(CKA_DERIVE, true)]);
    let base = bench.scene_key("a key with DERIVE", &template)?;
    let child = short_child(CKK_GENERIC_SECRET, 1);
    let mechanism = Mechanism { number, parameter };
    let child = bench.functions().derive_key(bench.session, mechanism, base, &mut Encoded::of(&child))?;
    bench.keep(child);
    Ok(format!("{what} derived a key"))
}

pub(super) fn concatenate_key(bench: &mut Bench<'_>) -> Tried {
    let key = bench.target()?;
    other(bench, CKM_CONCATENATE_BASE_AND_KEY, Parameter::Keys(&[key]), "CONCATENATE_BASE_AND_KEY")
}

pub(super) fn concatenate_data(bench: &mut Bench<'_>) -> Tried {
    other(bench, CKM_CONCATENATE_BASE_AND_DATA, Parameter::Data(&BLOCK), "CONCATENATE_BASE_AND_DATA")
}

pub(super) fn xor_data(bench: &mut Bench<'_>) -> Tried {
    other(bench, CKM_XOR_BASE_AND_DATA, Parameter::Data(&BLOCK), "XOR_BASE_AND_DATA")
}

pub(super) fn extract_bits(bench: &mut Bench<'_>) -> Tried {
    other(bench, CKM_EXTRACT_KEY_FROM_KEY, Parameter::Keys(&[0]), "EXTRACT_KEY_FROM_KEY")
}

/// The component mechanism is for components only.
pub(super) fn xor_master(bench: &mut Bench<'_>) -> Tried {
    let (master, key) = (master(bench)?, bench.target()?);
    let template = short_child(CKK_GENERIC_SECRET, 16);
    bench.derive(Operation::XorKeys, Parameter::Keys(&[key]), master, &template)?;
    Ok("a master was combined with another key".to_owned())
}
