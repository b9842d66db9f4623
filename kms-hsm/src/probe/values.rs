//! Attacks 3 to 6: reading values, turning attributes back, copies.

use cryptoki_sys::{CK_ATTRIBUTE_TYPE, CKA_DECRYPT, CKA_EXTRACTABLE, CKA_SENSITIVE, CKA_WRAP, CKA_WRAP_WITH_TRUSTED};

use super::bench::{Bench, Halt, Tried, no_scene, nothing};

pub(super) fn read_sensitive(bench: &mut Bench<'_>) -> Tried {
    let key = bench.target()?;
    bench.read(key)?;
    Ok("CKA_VALUE of a sensitive key was read".to_owned())
}

pub(super) fn read_unextractable(bench: &mut Bench<'_>) -> Tried {
    let template = bench.secret(&[(CKA_SENSITIVE, false)]);
    let key = bench.generate(&template)?;
    bench.read(key)?;
    Ok("CKA_VALUE of a key that is not extractable was read".to_owned())
}

fn turn_back(bench: &mut Bench<'_>, flag: CK_ATTRIBUTE_TYPE, value: bool, what: &str) -> Tried {
    let template = bench.secret(&[(flag, !value)]);
    let key = bench.scene_key("a key with the attribute set", &template)?;
    bench.set(key, flag, value)?;
    if bench.shows(key, flag, value)? { Ok(what.to_owned()) } else { Err(nothing("C_SetAttributeValue")) }
}

pub(super) fn sensitive_off(bench: &mut Bench<'_>) -> Tried {
    turn_back(bench, CKA_SENSITIVE, false, "SENSITIVE was set to false")
}

pub(super) fn extractable_on(bench: &mut Bench<'_>) -> Tried {
    turn_back(bench, CKA_EXTRACTABLE, true, "EXTRACTABLE was set to true")
}

pub(super) fn trusted_only_off(bench: &mut Bench<'_>) -> Tried {
    if !bench.token.map().supports(CKA_WRAP_WITH_TRUSTED) {
        return Err(Halt::NoScene("the vendor map has no wrap-with-trusted".to_owned()));
    }
    turn_back(bench, CKA_WRAP_WITH_TRUSTED, false, "WRAP_WITH_TRUSTED was set to false")
}

fn copy(bench: &mut Bench<'_>, flag: CK_ATTRIBUTE_TYPE, value: bool, what: &str) -> Tried {
    let template = bench.secret(&[]);
    let key = no_scene("a key to copy", bench.generate(&template))?;
    let copy = bench.copy(key, &[(flag, value)])?;
    if bench.shows(copy, flag, value)? { Ok(what.to_owned()) } else { Err(nothing("C_CopyObject")) }
}

pub(super) fn copy_readable(bench: &mut Bench<'_>) -> Tried {
    copy(bench, CKA_SENSITIVE, false, "a copy is not sensitive")
}

pub(super) fn copy_extractable(bench: &mut Bench<'_>) -> Tried {
    copy(bench, CKA_EXTRACTABLE, true, "a copy is extractable")
}

pub(super) fn copy_that_wraps(bench: &mut Bench<'_>) -> Tried {
    copy(bench, CKA_WRAP, true, "a copy wraps, its original does not")
}

pub(super) fn copy_that_decrypts(bench: &mut Bench<'_>) -> Tried {
    copy(bench, CKA_DECRYPT, true, "a copy decrypts, its original does not")
}
