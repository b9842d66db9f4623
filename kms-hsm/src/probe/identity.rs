//! Attacks 18 and 21: trust without the security officer, and a second key under a taken name.

use cryptoki_sys::{CKA_ID, CKA_LABEL, CKA_PRIVATE, CKA_TOKEN, CKA_TRUSTED, CKA_WRAP};

use kms_core::ports::HsmResult;

use super::bench::{Bench, Halt, Tried, need, no_scene, nothing};
use crate::raw::Encoded;
use crate::session::Token;
use crate::template::Template;

/// Label of the one token object the battery makes.
const LABEL: &[u8] = b"kms probe, throw-away";

fn trusted(bench: &Bench<'_>, key: u64, how: &str) -> Tried {
    if bench.shows(key, CKA_TRUSTED, true)? { Ok(how.to_owned()) } else { Err(nothing("CKA_TRUSTED")) }
}

pub(super) fn set_trusted(bench: &mut Bench<'_>) -> Tried {
    let template = bench.secret(&[(CKA_WRAP, true), (CKA_PRIVATE, false)]);
    let key = bench.scene_key("a wrapping key", &template)?;
    bench.set(key, CKA_TRUSTED, true)?;
    trusted(bench, key, "the user set TRUSTED")
}

pub(super) fn make_trusted(bench: &mut Bench<'_>) -> Tried {
    let template = bench.secret(&[(CKA_WRAP, true), (CKA_TRUSTED, true)]);
    let key = bench.generate(&template)?;
    trusted(bench, key, "the user made a TRUSTED key")
}

pub(super) fn copy_trusted(bench: &mut Bench<'_>) -> Tried {
    let template = bench.secret(&[(CKA_WRAP, true)]);
    let key = bench.scene_key("a wrapping key", &template)?;
    let copy = bench.copy(key, &[(CKA_TRUSTED, true)])?;
    trusted(bench, copy, "the user made a TRUSTED copy")
}

/// Destroys what a battery left that was cut off in attack 21: the next audit would find it.
pub(super) fn sweep(token: &mut Token) -> HsmResult<()> {
    let left = token.find_all(&Template::default().flag(CKA_TOKEN, true).bytes(CKA_LABEL, LABEL))?;
    let (session, functions) = (token.session()?, token.functions());
    left.into_iter().try_for_each(|object| functions.destroy(session, object))
}

pub(super) fn second_identity(bench: &mut Bench<'_>) -> Tried {
    let mut id = [0; 16];
    need("random bytes", bench.token.random(&mut id))?;
    let template = bench.secret(&[(CKA_TOKEN, true)]).bytes(CKA_ID, &id).bytes(CKA_LABEL, LABEL);
    no_scene("a token key", bench.generate(&template))?;
    bench.generate(&template)?;
    let wanted = Template::default().bytes(CKA_ID, &id);
    let found = bench.functions().find(bench.session, &mut Encoded::of(&wanted), 4)?;
    if found.len() < 2 {
        return Err(Halt::NoScene("the second key replaced the first".to_owned()));
    }
    Ok("two token keys have one class and CKA_ID".to_owned())
}
