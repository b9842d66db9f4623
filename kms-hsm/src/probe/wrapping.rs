//! Attacks 1, 7, 16, 19, 20 and 25: keys leaving under the wrong key, or in the wrong form.

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CKA_DECRYPT, CKA_ENCRYPT, CKA_EXTRACTABLE, CKA_UNWRAP, CKA_WRAP, CKA_WRAP_TEMPLATE,
    CKA_WRAP_WITH_TRUSTED,
};

use super::bench::{BLOCK, Bench, Halt, Tried, no_scene, nothing};
use crate::raw::Parameter;
use crate::template::{Template, Value};
use crate::vendor::{KeyWrap, Operation};

/// What RFC 3394 puts before a key.
const WRAP_IV: [u8; 8] = [0xa6; 8];
/// Rounds of RFC 3394.
const ROUNDS: u64 = 6;

/// Undoes the map's wrap with single blocks of the cipher: no wrap hides anything from who may decrypt.
fn unroll(bench: &Bench<'_>, key: u64, blob: &[u8]) -> Result<[u8; 16], Halt> {
    if bench.token.map().key_wrap() == KeyWrap::Ecb {
        let Ok(blob) = <[u8; 16]>::try_from(blob) else { return Err(nothing("C_WrapKey")) };
        return bench.block(key, &blob, false);
    }
    let Ok(blob) = <[u8; 24]>::try_from(blob) else { return Err(nothing("C_WrapKey")) };
    let mut state = blob;
    for step in (1..=2 * ROUNDS).rev() {
        let at = if step % 2 == 0 { 16 } else { 8 };
        let mut block = [0; 16];
        for (byte, (found, count)) in block.iter_mut().zip(state.iter().zip(step.to_be_bytes())) {
            *byte = found ^ count;
        }
        block.iter_mut().skip(8).zip(state.iter().skip(at)).for_each(|(byte, found)| *byte = *found);
        let block = bench.block(key, &block, false)?;
        state.iter_mut().zip(block).take(8).for_each(|(byte, found)| *byte = found);
        state.iter_mut().skip(at).zip(block.iter().skip(8)).for_each(|(byte, found)| *byte = *found);
    }
    match (state.first_chunk::<8>(), state.last_chunk::<16>()) {
        (Some(iv), Some(value)) if *iv == WRAP_IV => Ok(*value),
        _ => Err(nothing("C_Decrypt")),
    }
}

/// The map's wrap with a key of known value, block by block.
pub(crate) fn roll(bench: &Bench<'_>, key: u64, value: &[u8; 16]) -> Result<Vec<u8>, Halt> {
    if bench.token.map().key_wrap() == KeyWrap::Ecb {
        return bench.block(key, value, true).map(Vec::from);
    }
    let mut state = [0; 24];
    state.iter_mut().zip(WRAP_IV.iter().chain(value)).for_each(|(byte, given)| *byte = *given);
    for step in 1..=2 * ROUNDS {
        let at = if step % 2 == 0 { 16 } else { 8 };
        let mut block = [0; 16];
        block.iter_mut().zip(state).take(8).for_each(|(byte, found)| *byte = found);
        block.iter_mut().skip(8).zip(state.iter().skip(at)).for_each(|(byte, found)| *byte = *found);
        let block = bench.block(key, &block, true)?;
        for (byte, (found, count)) in state.iter_mut().zip(block.iter().zip(step.to_be_bytes())) {
            *byte = found ^ count;
        }
        state.iter_mut().skip(at).zip(block.iter().skip(8)).for_each(|(byte, found)| *byte = *found);
    }
    Ok(state.to_vec())
}

pub(super) fn wrap_and_decrypt(bench: &mut Bench<'_>) -> Tried {
    let template = bench.secret(&[(CKA_WRAP, true), (CKA_DECRYPT, true)]);
    let key = bench.generate(&template)?;
    steal(bench, key)
}

pub(super) fn wrap_then_decrypt(bench: &mut Bench<'_>) -> Tried {
    let template = bench.secret(&[(CKA_WRAP, true)]);
    let key = bench.scene_key("a wrapping key", &template)?;
    bench.set(key, CKA_DECRYPT, true)?;
    steal(bench, key)
}

fn steal(bench: &mut Bench<'_>, key: u64) -> Tried {
    let target = bench.target()?;
    let mechanism = bench.mechanism(Operation::KeyWrap, Parameter::Nothing)?;
    let blob = bench.wrap(mechanism, key, target)?;
    let value = unroll(bench, key, &blob)?;
    bench.confirm(&value, target)?;
    Ok("a wrapped key was decrypted".to_owned())
}

pub(super) fn known_kek(bench: &mut Bench<'_>) -> Tried {
    let target = bench.target()?;
    let kek = bench.create([1; 16], &[(CKA_WRAP, true)])?;
    let mechanism = bench.mechanism(Operation::KeyWrap, Parameter::Nothing)?;
    bench.wrap(mechanism, kek, target)?;
    Ok("a key left under a wrapping key of known value".to_owned())
}

fn make(bench: &mut Bench<'_>, uses: [CK_ATTRIBUTE_TYPE; 2], what: &str) -> Tried {
    let template = bench.secret(&uses.map(|kind| (kind, true)));
    bench.generate(&template)?;
    Ok(format!("a key with {what} was made"))
}

pub(super) fn make_wrap_decrypt(bench: &mut Bench<'_>) -> Tried {
    make(bench, [CKA_WRAP, CKA_DECRYPT], "WRAP and DECRYPT")
}

pub(super) fn make_wrap_unwrap(bench: &mut Bench<'_>) -> Tried {
    make(bench, [CKA_WRAP, CKA_UNWRAP], "WRAP and UNWRAP")
}

pub(super) fn untrusted_kek(bench: &mut Bench<'_>) -> Tried {
    let guarded = bench.token.map().supports(CKA_WRAP_WITH_TRUSTED);
    let mut template = bench.secret(&[(CKA_EXTRACTABLE, true)]);
    if guarded {
        template = template.flag(CKA_WRAP_WITH_TRUSTED, true);
    }
    let target = bench.scene_key("a key to steal", &template)?;
    let template = bench.secret(&[(CKA_WRAP, true)]);
    let kek = bench.scene_key("a wrapping key", &template)?;
    let mechanism = bench.mechanism(Operation::KeyWrap, Parameter::Nothing)?;
    bench.wrap(mechanism, kek, target)?;
    let how = if guarded { "WRAP_WITH_TRUSTED was ignored" } else { "the make has no WRAP_WITH_TRUSTED" };
    Ok(how.to_owned())
}

pub(super) fn against_wrap_template(bench: &mut Bench<'_>) -> Tried {
    let pinned = bench.token.map().supports(CKA_WRAP_TEMPLATE);
    let mut template = bench.secret(&[(CKA_WRAP, true)]);
    if pinned {
        template = template.with(CKA_WRAP_TEMPLATE, Value::Nested(Template::default().flag(CKA_ENCRYPT, true)));
    }
    let kek = bench.scene_key("a wrapping key with WRAP_TEMPLATE", &template)?;
    let mechanism = bench.mechanism(Operation::KeyWrap, Parameter::Nothing)?;
    if pinned {
        let fits = bench.secret(&[(CKA_EXTRACTABLE, true), (CKA_ENCRYPT, true)]);
        let fits = bench.scene_key("a key that fits", &fits)?;
        no_scene("wrapping a key that fits", bench.wrap(mechanism, kek, fits))?;
    }
    let target = bench.target()?;
    bench.wrap(mechanism, kek, target)?;
    let how = if pinned { "WRAP_TEMPLATE was ignored" } else { "the make has no WRAP_TEMPLATE" };
    Ok(how.to_owned())
}

fn chosen_iv(bench: &mut Bench<'_>, operation: Operation, parameter: Parameter<'_>) -> Tried {
    let mechanism = bench.mechanism(operation, parameter)?;
    let template = bench.secret(&[(CKA_WRAP, true)]);
    let kek = bench.scene_key("a wrapping key", &template)?;
    let target = bench.target()?;
    bench.wrap(mechanism, kek, target)?;
    Ok(format!("wrapped under {} with an IV of the caller's choice", bench.name(operation)))
}

pub(super) fn gcm_iv(bench: &mut Bench<'_>) -> Tried {
    chosen_iv(bench, Operation::Gcm, Parameter::Gcm { nonce: &[1; 12], context: &[] })
}

pub(super) fn ctr_iv(bench: &mut Bench<'_>) -> Tried {
    chosen_iv(bench, Operation::Ctr, Parameter::Ctr(&BLOCK))
}
