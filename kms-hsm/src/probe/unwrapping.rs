//! Attacks 8, 9 and 17: what unwrapping makes of blobs that are old, mixed or damaged.

use std::collections::BTreeSet;

use cryptoki_sys::{
    CK_OBJECT_HANDLE, CKA_ENCRYPT, CKA_EXTRACTABLE, CKA_KEY_TYPE, CKA_SENSITIVE, CKA_UNWRAP, CKA_UNWRAP_TEMPLATE,
    CKK_GENERIC_SECRET, CKM_RSA_PKCS,
};

use super::bench::{BLOCK, Bench, Halt, Tried, no_scene, nothing};
use super::wrapping::roll;
use crate::raw::{Mechanism, Parameter};
use crate::template::{Template, Value};
use crate::vendor::{Operation, Suite};

/// Value of the wrapping keys here: the attacker knows it, the token does not know that.
const LAB: [u8; 16] = [2; 16];
/// Values of the keys inside the blobs.
const INSIDE: [[u8; 16]; 2] = [[3; 16], [4; 16]];

/// A pair whose public half seals to the private one, which unwraps; and a blob.
fn sealed(bench: &mut Bench<'_>, pins: Option<Template>) -> Result<(CK_OBJECT_HANDLE, Vec<u8>), Halt> {
    let seal = bench.seal()?;
    let pair = match pins {
        None => bench.pair(&[CKA_ENCRYPT], &[(CKA_UNWRAP, true)]),
        Some(pins) => {
            bench.pair_with(&[CKA_ENCRYPT], &[(CKA_UNWRAP, true)], (CKA_UNWRAP_TEMPLATE, Value::Nested(pins)))
        }
    };
    let (public, private) = no_scene("a pair that opens sealed keys", pair)?;
    let blob = bench.functions().encrypt(bench.session, seal, public, &INSIDE[0], 512);
    Ok((private, no_scene("sealing a key", blob.map_err(Halt::from))?))
}

pub(super) fn readable_again(bench: &mut Bench<'_>) -> Tried {
    let (private, blob) = sealed(bench, None)?;
    let (open, hidden) = (bench.open()?, bench.bare().flag(CKA_SENSITIVE, true));
    no_scene("opening a sealed key", bench.unwrap(open, private, &blob, &hidden))?;
    let weaker = bench.bare().flag(CKA_SENSITIVE, false).flag(CKA_EXTRACTABLE, true);
    let key = bench.unwrap(open, private, &blob, &weaker)?;
    bench.read(key)?;
    Ok("a sealed key was opened a second time, readable".to_owned())
}

fn against_pins(bench: &mut Bench<'_>, change: fn(Template) -> Template, what: &str) -> Tried {
    if !bench.token.map().supports(CKA_UNWRAP_TEMPLATE) {
        return Err(Halt::NoScene("the vendor map has no unwrap-template".to_owned()));
    }
    let pins = bench.bare().flag(CKA_SENSITIVE, true).flag(CKA_EXTRACTABLE, false);
    let (private, blob) = sealed(bench, Some(pins))?;
    let (open, template) = (bench.open()?, change(bench.bare().flag(CKA_SENSITIVE, true).flag(CKA_EXTRACTABLE, false)));
    bench.unwrap(open, private, &blob, &template)?;
    Ok(what.to_owned())
}

pub(super) fn readable_against_pins(bench: &mut Bench<'_>) -> Tried {
    against_pins(bench, |t| t.flag(CKA_SENSITIVE, false), "SENSITIVE=false against UNWRAP_TEMPLATE")
}

pub(super) fn other_type_against_pins(bench: &mut Bench<'_>) -> Tried {
    against_pins(bench, |t| t.number(CKA_KEY_TYPE, CKK_GENERIC_SECRET), "another key type against UNWRAP_TEMPLATE")
}

/// An unwrapping key of known value and two blobs under it.
fn two_blobs(bench: &mut Bench<'_>) -> Result<(CK_OBJECT_HANDLE, [Vec<u8>; 2]), Halt> {
    let cipher = no_scene("a key that encrypts", bench.create(LAB, &[(CKA_ENCRYPT, true)]))?;
    let [one, two] = INSIDE.map(|value| no_scene("wrapping by hand", roll(bench, cipher, &value)));
    let opens = no_scene("a key that unwraps", bench.create(LAB, &[(CKA_UNWRAP, true)]))?;
    Ok((opens, [one?, two?]))
}

pub(super) fn mixed_halves(bench: &mut Bench<'_>) -> Tried {
    let mechanism = bench.mechanism(Operation::KeyWrap, Parameter::Nothing)?;
    let (opens, [one, two]) = two_blobs(bench)?;
    let template = bench.bare().flag(CKA_SENSITIVE, true);
    no_scene("opening a whole blob", bench.unwrap(mechanism, opens, &one, &template))?;
    let half = one.len() / 16 * 8;
    let mixed: Vec<u8> = one.iter().take(half).chain(two.iter().skip(half)).copied().collect();
    bench.unwrap(mechanism, opens, &mixed, &template)?;
    Ok("half of one blob and half of another were opened".to_owned())
}

fn without_authentication(bench: &mut Bench<'_>, operation: Operation, parameter: Parameter<'_>) -> Tried {
    let mechanism = bench.mechanism(operation, parameter)?;
    let opens = no_scene("a key that unwraps", bench.create(LAB, &[(CKA_UNWRAP, true)]))?;
    let template = bench.bare().flag(CKA_SENSITIVE, true);
    bench.unwrap(mechanism, opens, &BLOCK, &template)?;
    Ok(format!("{} opens any block as a key", bench.name(operation)))
}

pub(super) fn ecb_unwrap(bench: &mut Bench<'_>) -> Tried {
    without_authentication(bench, Operation::Ecb, Parameter::Nothing)
}

pub(super) fn cbc_unwrap(bench: &mut Bench<'_>) -> Tried {
    without_authentication(bench, Operation::Cbc, Parameter::Bytes(&BLOCK))
}

/// Good blobs open, damaged ones do not: with padding and no authentication that is an oracle.
fn oracle(bench: &mut Bench<'_>, mechanism: Mechanism<'_>, opens: CK_OBJECT_HANDLE, blob: &[u8], what: &str) -> Tried {
    let template = bench.bare().flag(CKA_SENSITIVE, true);
    bench.unwrap(mechanism, opens, blob, &template)?;
    let mut damaged = blob.to_vec();
    damaged.iter_mut().rev().take(1).for_each(|byte| *byte ^= 0xff);
    match bench.unwrap(mechanism, opens, &damaged, &template) {
        Ok(_) => Err(nothing("C_UnwrapKey")),
        Err(Halt::Refused(_)) => Ok(format!("{what} tells good padding from bad")),
        Err(other) => Err(other),
    }
}

pub(super) fn cbc_padding(bench: &mut Bench<'_>) -> Tried {
    let mechanism = bench.mechanism(Operation::CbcPad, Parameter::Bytes(&BLOCK))?;
    let cipher = no_scene("a key that encrypts", bench.create(LAB, &[(CKA_ENCRYPT, true)]))?;
    let blob = bench.functions().encrypt(bench.session, mechanism, cipher, &INSIDE[0], 64);
    let blob = no_scene("encrypting with padding", blob.map_err(Halt::from))?;
    let opens = no_scene("a key that unwraps", bench.create(LAB, &[(CKA_UNWRAP, true)]))?;
    oracle(bench, mechanism, opens, &blob, "unwrapping under CBC_PAD")
}

pub(super) fn pkcs1_padding(bench: &mut Bench<'_>) -> Tried {
    if bench.token.map().suite() != Suite::Intl {
        return Err(Halt::NoScene("the suite has no RSA".to_owned()));
    }
    let mechanism = Mechanism { number: CKM_RSA_PKCS, parameter: Parameter::Nothing };
    let pair = bench.pair(&[CKA_ENCRYPT], &[(CKA_UNWRAP, true)]);
    let (public, private) = no_scene("an RSA pair", pair)?;
    let blob = bench.functions().encrypt(bench.session, mechanism, public, &INSIDE[0], 512);
    let blob = no_scene("encrypting after PKCS#1 v1.5", blob.map_err(Halt::from))?;
    oracle(bench, mechanism, private, &blob, "unwrapping under PKCS#1 v1.5")
}

/// Sealed keys with a bit flipped in the key's part: every one must be refused, all in one way.
pub(super) fn damaged_seals(bench: &mut Bench<'_>) -> Tried {
    let (private, blob) = sealed(bench, None)?;
    let (open, template) = (bench.open()?, bench.bare().flag(CKA_SENSITIVE, true));
    no_scene("opening a sealed key", bench.unwrap(open, private, &blob, &template))?;
    let (mut codes, mut refusal) = (BTreeSet::new(), None);
    // The last 16 bytes are the key in SM2's forms, the 32 before their header the hash.
    for from_the_end in [0, 7, 15, 20, 30, 45] {
        let mut damaged = blob.clone();
        damaged.iter_mut().rev().skip(from_the_end).take(1).for_each(|byte| *byte ^= 0x40);
        match bench.unwrap(open, private, &damaged, &template) {
            Ok(_) => return Ok("a damaged sealed key was opened".to_owned()),
            Err(Halt::Refused(error)) => {
                codes.insert(error.code.clone());
                refusal = Some(error);
            }
            Err(other) => return Err(other),
        }
    }
    match refusal {
        Some(error) if codes.len() == 1 => Err(Halt::Refused(error)),
        _ => Ok(format!("{} different answers to damaged sealed keys", codes.len())),
    }
}
