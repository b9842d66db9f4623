//! Key pairs: signatures and sealed keys.

use cryptoki_sys::{CKA_EC_PARAMS, CKA_ENCRYPT, CKA_TOKEN, CKA_UNWRAP};

use super::answers;
use super::keys::{compare, of_opened, opened};
use super::run::{Examined, timed, wrong};
use crate::ciphertext;
use crate::instance;
use crate::pair;
use crate::probe::bench::{Bench, Halt, no_scene};
use crate::raw::{Encoded, Parameter};
use crate::template::{SIGNING, VERIFYING};
use crate::vendor::Operation;

pub(super) fn signature(bench: &mut Bench<'_>) -> Examined {
    let map = bench.token.map();
    let private = SIGNING.template(map).flag(CKA_TOKEN, false);
    let curve = pair::curve(map.suite());
    let public = VERIFYING.template(map).flag(CKA_TOKEN, false).bytes(CKA_EC_PARAMS, curve);
    let generation = bench.mechanism(Operation::PairGen, Parameter::Nothing)?;
    let (functions, session) = (bench.functions(), bench.session);
    let (mut ours, mut theirs) = (Encoded::of(&public), Encoded::of(&private));
    let (public, key) = functions.generate_key_pair(session, generation, &mut ours, &mut theirs)?;
    bench.keep(public);
    bench.keep(key);
    compare(bench, key, SIGNING.name, &private)?;
    let (mechanism, e) = (bench.mechanism(Operation::Sign, Parameter::Nothing)?, [0x5e; 32]);
    let mut out = [0; 128];
    let written = functions.sign(session, mechanism, key, &e, &mut out)?;
    let public = pair::verifying_key(bench.token, public)?;
    let bytes = out.get(..written).unwrap_or_default();
    if instance::signature(bench.token.map().signature(), bytes, &public, &e).is_none() {
        return Err(wrong("C_Sign"));
    }
    let micros = timed(|| Ok(functions.sign(session, mechanism, key, &e, &mut out).map(|_| ())?))?;
    Ok(("verified over the ready 32 bytes".to_owned(), Some(micros)))
}

/// A known key sealed to a pair comes back in the form the map says, and opens to itself.
pub(super) fn sealing(bench: &mut Bench<'_>) -> Examined {
    let [_, inside, _] = answers::block(bench.token.map().suite());
    let (seal, open) = (bench.seal()?, bench.open()?);
    let pair = bench.pair(&[CKA_ENCRYPT], &[(CKA_UNWRAP, true)]);
    let (public, private) = no_scene("a pair that opens sealed keys", pair)?;
    let blob = bench.functions().encrypt(bench.session, seal, public, &inside, ciphertext::CIPHERTEXT_BYTES_MAX);
    let blob = no_scene("C_Encrypt with a public key", blob.map_err(Halt::from))?;
    let map = bench.token.map();
    let ours = ciphertext::from_token(map, &blob).map_err(Halt::Refused)?;
    if ciphertext::to_token(map, &ours).map_err(Halt::Refused)? != blob {
        return Err(wrong("C_Encrypt"));
    }
    let template = opened(bench);
    let key = bench.unwrap(open, private, &blob, &template)?;
    let known = bench.create(inside, &[(CKA_ENCRYPT, true)])?;
    let zeros = bench.block(known, &[0; 16], true)?;
    if zeros.first_chunk() != Some(&of_opened(bench, key)?) {
        return Err(wrong("C_UnwrapKey"));
    }
    Ok((format!("{} bytes, opened to the key inside", blob.len()), None))
}
