//! SM2: the examples of the standard, the accept and refuse cases, sealing.

use der::{Decode as _, Encode as _, Sequence};
use getrandom::SysRng;
use kms_core::{
    keys::{InvalidSignature, Signature, SignatureInvalid},
    secret::Secret,
    sm2::{DecryptError, EncryptError, InvalidPublicKey, InvalidScalar, PLAINTEXT_BYTES_MAX, PublicKey, SecretKey},
};
use serde_json::Value;
use sm2::dsa::signature::Signer as _;

use crate::vectors::{array, by_id, bytes, list, sm2 as vectors, text};

pub(crate) fn public_key(case: &Value) -> PublicKey {
    let point = [vec![4], bytes(&case["public_key_x"]), bytes(&case["public_key_y"])].concat();
    PublicKey::from_sec1(&point).unwrap()
}

pub(crate) fn secret_key(case: &Value) -> SecretKey {
    SecretKey::from_scalar(Secret::take(&mut array(&case["private_key"]))).unwrap()
}

#[test]
fn published_signature() {
    let vectors = vectors();
    let case = by_id(&vectors["signatures"], "sign-recommended-default-id");
    let key = public_key(case);
    assert_eq!(key.digest_for_signing(&bytes(&case["message"])), array(&case["e"]));
    let raw: [u8; 64] = [bytes(&case["r"]), bytes(&case["s"])].concat().try_into().unwrap();
    let signature = Signature::from_raw(&raw).unwrap();
    assert_eq!(signature.to_der(), bytes(&case["signature_der"]));
    assert_eq!(Signature::from_der(&signature.to_der()).unwrap().to_raw(), raw);
    assert_eq!(key.verify(&bytes(&case["message"]), &signature), Ok(()));
    assert_eq!(*secret_key(case).public(), key);
}

#[test]
fn a_signature_under_another_signer_id_is_refused() {
    let vectors = vectors();
    let case = by_id(&vectors["signatures"], "sign-recommended-alice-id");
    let signature = Signature::from_der(&bytes(&case["signature_der"])).unwrap();
    assert!(public_key(case).verify(&bytes(&case["message"]), &signature).is_err());
}

/// The 17 accept and refuse cases, of which the one with another id needs an API this crate has not.
#[test]
fn verification_cases() {
    let vectors = vectors();
    let key = public_key(&vectors["verification"]);
    let tests = list(&vectors["verification"]["tests"]);
    assert_eq!(tests.len(), 17);
    for case in tests.iter().filter(|case| case["signer_id_ascii"] == "1234567812345678") {
        let signature = Signature::from_der(&bytes(&case["signature_der"]));
        let verified = signature.is_ok_and(|signature| key.verify(&bytes(&case["message"]), &signature).is_ok());
        assert_eq!(verified, case["result"] == "valid", "{}", case["id"]);
    }
}

#[test]
fn raw_signatures_out_of_range_are_refused() {
    let order = hex::decode("fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123").unwrap();
    let one = [vec![0; 31], vec![1]].concat();
    let raw = |r: &[u8], s: &[u8]| -> [u8; 64] { [r, s].concat().try_into().unwrap() };
    for (r, s) in [(&[0; 32][..], &one[..]), (&one, &[0; 32])] {
        assert_eq!(Signature::from_raw(&raw(r, s)), Err(InvalidSignature::OutOfRange));
    }
    // Which order is the limit only the key knows.
    let key = public_key(&vectors()["verification"]);
    for (r, s) in [(&order, &one), (&one, &order)] {
        let signature = Signature::from_raw(&raw(r, s)).unwrap();
        assert_eq!(key.verify(b"message", &signature), Err(SignatureInvalid));
    }
}

/// Our signing and that of the sm2 crate derive the nonce in the same way.
#[test]
fn signing_agrees_with_the_sm2_crate() {
    let case = &vectors()["signatures"][0];
    let key = secret_key(case);
    let theirs = sm2::dsa::SigningKey::from_slice("1234567812345678", key.expose_scalar()).unwrap();
    for length in 0..64 {
        let message = vec![0x5a; length];
        let signature = key.sign(&message).unwrap();
        assert_eq!(signature.to_raw(), <[u8; 64]>::from(theirs.sign(&message).to_bytes()));
        assert_eq!(key.public().verify(&message, &signature), Ok(()));
        assert!(key.public().verify(b"other", &signature).is_err());
    }
}

#[test]
fn scalars_without_a_key_are_refused() {
    // 0, n - 1 (1 + d has no inverse), n, and all ones.
    for scalar in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54122",
        "fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ] {
        let mut bytes: [u8; 32] = hex::decode(scalar).unwrap().try_into().unwrap();
        assert_eq!(SecretKey::from_scalar(Secret::take(&mut bytes)).err(), Some(InvalidScalar), "{scalar}");
    }
}

#[test]
fn public_key_forms() {
    let vectors = vectors();
    let case = &vectors["x509_signed_pattern"];
    let key = PublicKey::from_spki_der(&bytes(&case["spki_der"])).unwrap();
    assert_eq!(key.to_spki_der().to_vec(), bytes(&case["spki_der"]));
    assert_eq!(key.to_der().unwrap(), bytes(&case["spki_der"]));
    assert_eq!(PublicKey::from_der(&bytes(&case["spki_der"])).unwrap(), key);
    assert_eq!(key.to_pem(), text(&case["spki_pem"]));
    assert_eq!(PublicKey::from_pem(&key.to_pem()).unwrap(), key);
    assert_eq!(PublicKey::from_sec1(&key.to_sec1()).unwrap(), key);
}

#[test]
fn public_keys_must_be_refused() {
    let case = vectors();
    let good = bytes(&case["x509_signed_pattern"]["spki_der"]);
    let point = good[26..].to_vec();
    let compressed = [vec![2 + (point[64] & 1)], point[1..33].to_vec()].concat();
    assert_eq!(PublicKey::from_sec1(&compressed), Err(InvalidPublicKey::Length { expected: 65, found: 33 }));
    let hybrid = [vec![6 + (point[64] & 1)], point[1..].to_vec()].concat();
    assert_eq!(PublicKey::from_sec1(&hybrid), Err(InvalidPublicKey::NotUncompressed));
    assert_eq!(PublicKey::from_sec1(&[0]), Err(InvalidPublicKey::Length { expected: 65, found: 1 }));
    assert_eq!(PublicKey::from_sec1(&[4; 65]), Err(InvalidPublicKey::NotOnCurve));
    assert_eq!(PublicKey::from_sec1(&[&[4][..], &[0; 64]].concat()), Err(InvalidPublicKey::NotOnCurve));
    let mut p256 = good.clone();
    p256[13..23].copy_from_slice(&hex::decode("06082a8648ce3d030107").unwrap());
    assert_eq!(PublicKey::from_spki_der(&p256), Err(InvalidPublicKey::NotSm2));
    // Any single bit: another header, or a point off the curve.
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(PublicKey::from_spki_der(&bad).is_err(), "bit {bit}");
        assert!(PublicKey::from_der(&bad).is_err(), "bit {bit}");
    }
    for pem in ["", "no pem", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        assert!(PublicKey::from_pem(pem).is_err());
    }
    let private = PublicKey::from_pem(&text(&case["x509_signed_pattern"]["spki_pem"]).replace("PUBLIC", "PRIVATE"));
    assert_eq!(private, Err(InvalidPublicKey::NotPem));
}

#[derive(Debug, PartialEq, Eq, Sequence)]
struct Holder {
    key: PublicKey,
    #[asn1(context_specific = "0", optional = "true")]
    other: Option<PublicKey>,
    more: Vec<PublicKey>,
}

#[test]
fn a_public_key_is_a_der_field() {
    let key = public_key(&vectors()["signatures"][0]);
    for other in [None, Some(key)] {
        let holder = Holder { key, other, more: vec![key, key] };
        assert_eq!(Holder::from_der(&holder.to_der().unwrap()).unwrap(), holder);
    }
}

#[test]
fn published_sealing() {
    let vectors = vectors();
    let case = by_id(&vectors["encryption"], "encrypt-recommended");
    let opened = secret_key(case).decrypt(&bytes(&case["ciphertext_der"])).unwrap();
    assert_eq!(opened.as_slice(), bytes(&case["message"]));
}

#[test]
fn sealing_round_trips() {
    let key = SecretKey::generate(&mut SysRng).unwrap();
    for length in [1, 16, 31, 32, 33, 64, PLAINTEXT_BYTES_MAX] {
        let plaintext = vec![0xA5; length];
        let sealed = key.public().encrypt(&plaintext, &mut SysRng).unwrap();
        assert_eq!(key.decrypt(&sealed).unwrap().as_slice(), plaintext);
    }
    assert_eq!(key.public().encrypt(&[], &mut SysRng), Err(EncryptError::Empty));
    let found = PLAINTEXT_BYTES_MAX + 1;
    let too_long = EncryptError::TooLong { limit: PLAINTEXT_BYTES_MAX, found };
    assert_eq!(key.public().encrypt(&vec![0; found], &mut SysRng), Err(too_long));
}

#[test]
fn sealed_bytes_must_be_refused() {
    let vectors = vectors();
    let case = by_id(&vectors["encryption"], "encrypt-recommended");
    let (key, sealed) = (secret_key(case), bytes(&case["ciphertext_der"]));
    for raw in ["raw_c1c3c2", "raw_c1c2c3"] {
        assert_eq!(key.decrypt(&bytes(&case[raw])).err(), Some(DecryptError::NotSm2Cipher));
    }
    for bit in 0..sealed.len() * 8 {
        let mut bad = sealed.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(key.decrypt(&bad).is_err(), "bit {bit}");
    }
    for end in 0..sealed.len() {
        assert!(key.decrypt(&sealed[..end]).is_err(), "{end}");
    }
    assert!(key.decrypt(&[&sealed[..], &[0]].concat()).is_err());
    assert!(matches!(key.decrypt(&vec![0x30; 5000]), Err(DecryptError::TooLong { .. })));
    let other = SecretKey::generate(&mut SysRng).unwrap();
    assert_eq!(other.decrypt(&sealed).err(), Some(DecryptError::WrongKeyOrDamaged));
}
