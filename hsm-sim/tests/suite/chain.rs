//! Diversification: the published chain, generated chains, and the ceremony from components to card keys.

use std::slice::from_ref;

use cryptoki_sys::*;

use crate::{
    harness::*,
    roles::{card, component, deriving, import_pair, kek, known, master, recipient},
};

/// A card key, unwrapped where everything is known.
fn laboratory_value(s: &Session, laboratory: CK_OBJECT_HANDLE, blob: &[u8]) -> Vec<u8> {
    let plain = [A::U(CKA_CLASS, CKO_SECRET_KEY), A::U(CKA_KEY_TYPE, CKK_SM4)];
    let key = s.unwrap(KEY_WRAP, laboratory, blob, &plain).unwrap();
    let value = s.get(key, CKA_VALUE).unwrap();
    s.destroy(key).unwrap();
    value
}

/// An unwrapping key of known value whose arrivals can be read.
fn laboratory(s: &Session, value: &[u8]) -> CK_OBJECT_HANDLE {
    let readable = vec![A::B(CKA_SENSITIVE, false), A::B(CKA_EXTRACTABLE, true)];
    s.create(&with(&known(value, &[CKA_UNWRAP]), &[A::T(CKA_UNWRAP_TEMPLATE, readable)])).unwrap()
}

#[test]
fn diversification_vectors() {
    if !alone("chain::diversification_vectors") {
        return;
    }
    let s = user_token();
    let file = vectors("diversification.json");
    let mut chains = 0;
    for list in ["tests", "generated"] {
        for case in file[list].as_array().unwrap().iter().filter(|case| case["algorithm"] == "SM4") {
            let levels = case["levels"].as_array().unwrap();
            // The last level is a card key, each one above derives the next.
            let mut child = card();
            let mut pins = vec![child.clone()];
            for _ in 1..levels.len() {
                child = deriving(child, false);
                pins.push(child.clone());
            }
            let top = [A::T(CKA_DERIVE_TEMPLATE, pins.pop().unwrap()), A::M(vec![DIVERSIFY])];
            let mut key = s.create(&with(&known(&unhex(&case["root"]), &[CKA_DERIVE]), &top)).unwrap();
            assert_eq!(s.get(key, CKA_CHECK_VALUE).unwrap(), unhex(&case["root_kcv_ecb3"]));
            for level in levels {
                key = s.derive(key, &unhex(&level["input_block"]), &[]).unwrap();
                assert_eq!(s.get(key, CKA_CHECK_VALUE).unwrap(), unhex(&level["kcv_ecb3"]), "{}", case["id"]);
                assert_eq!(s.get(key, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
            }
            // The same root with readable children, to see all 16 bytes.
            let open = [A::B(CKA_SENSITIVE, false), A::B(CKA_EXTRACTABLE, true)];
            let readable = vec![open[0].clone(), open[1].clone(), A::B(CKA_WRAP_WITH_TRUSTED, false)];
            let first = with(&known(&unhex(&case["root"]), &[CKA_DERIVE]), &open);
            let first = s.create(&with(&first, &[A::T(CKA_DERIVE_TEMPLATE, readable)])).unwrap();
            let child = s.derive(first, &unhex(&levels[0]["input_block"]), &[]).unwrap();
            assert_eq!(s.get(child, CKA_VALUE).unwrap(), unhex(&levels[0]["key"]), "{}", case["id"]);
            chains += 1;
        }
    }
    assert!(chains >= 22, "only {chains} chains");
}

#[test]
fn from_components_to_card_keys() {
    if !alone("chain::from_components_to_card_keys") {
        return;
    }
    let s = user_token();
    // Card keys come from masters, masters from the seed, the seed from components that arrive through an import key:
    // UNWRAP_TEMPLATE → DERIVE_TEMPLATE (seed) → DERIVE_TEMPLATE (master) → DERIVE_TEMPLATE (card).
    let seed = deriving(deriving(card(), false), false);
    let arrival = with(&component(seed), &[]);
    let (public, private) = import_pair("import", arrival);
    let (import_public, import_private) = s.pair(&public, &private).unwrap();

    let case = &vectors("diversification.json")["tests"][1];
    let root = unhex(&case["root"]);
    let shares = [vec![0x5a; 16], (0..16).map(|byte| byte * 11).collect::<Vec<u8>>()];
    let third: Vec<u8> = (0..16).map(|at| root[at] ^ shares[0][at] ^ shares[1][at]).collect();

    // Each custodian seals a component to the import key elsewhere: here, under a copy of its public point.
    let point = s.get(import_public, CKA_EC_POINT).unwrap();
    let outside = s
        .create(&with(
            &recipient("", &point),
            &[A::B(CKA_TOKEN, false), A::B(CKA_TRUSTED, false), A::B(CKA_WRAP, false), A::B(CKA_ENCRYPT, true)],
        ))
        .unwrap();
    let mut components = Vec::new();
    for share in [&shares[0], &shares[1], &third] {
        let blob = s.encrypt(&mut mech(SM2_ENCRYPT, &mut []), outside, share).unwrap();
        let key = s.unwrap(SM2_ENCRYPT, import_private, &blob, &[]).unwrap();
        assert!(!s.flag(key, CKA_LOCAL) && !s.flag(key, CKA_ALWAYS_SENSITIVE) && s.flag(key, CKA_DERIVE));
        assert_eq!(s.derive(key, &[1; 16], &[]), Err(CKR_MECHANISM_INVALID), "a component derives by encryption");
        components.push(key);
    }
    let seed = s.xor(components[0], &components[1..], &[A::D(CKA_LABEL, b"seed".to_vec())]).unwrap();
    assert_eq!(s.get(seed, CKA_CHECK_VALUE).unwrap(), unhex(&case["root_kcv_ecb3"]));
    let mut key = seed;
    for level in case["levels"].as_array().unwrap() {
        key = s.derive(key, &unhex(&level["input_block"]), &[]).unwrap();
        assert_eq!(s.get(key, CKA_CHECK_VALUE).unwrap(), unhex(&level["kcv_ecb3"]));
    }
    assert!(!s.flag(key, CKA_DERIVE) && s.flag(key, CKA_EXTRACTABLE) && s.flag(key, CKA_WRAP_WITH_TRUSTED));
    assert_eq!(s.derive(key, &[1; 16], &[]), Err(CKR_KEY_FUNCTION_NOT_PERMITTED), "a card key derives");

    // The same blob again with other wishes.
    let blob = s.encrypt(&mut mech(SM2_ENCRYPT, &mut []), outside, &third).unwrap();
    for wish in [
        A::B(CKA_SENSITIVE, false),
        A::B(CKA_EXTRACTABLE, true),
        A::B(CKA_ENCRYPT, true),
        A::B(CKA_WRAP, true),
        A::M(vec![DIVERSIFY]),
        A::T(CKA_DERIVE_TEMPLATE, card()),
        A::U(CKA_KEY_TYPE, CKK_GENERIC_SECRET),
    ] {
        assert_eq!(
            s.unwrap(SM2_ENCRYPT, import_private, &blob, from_ref(&wish)),
            Err(CKR_TEMPLATE_INCONSISTENT),
            "{wish:?}"
        );
    }
}

#[test]
fn xor_takes_component_keys_only() {
    if !alone("chain::xor_takes_component_keys_only") {
        return;
    }
    let s = user_token();
    let result = deriving(card(), false);
    let make = |value: u8, template: Vec<A>| {
        let mine = [A::D(CKA_VALUE, vec![value; 16]), A::B(CKA_COPYABLE, true)];
        s.create(&with(&template, &mine)).unwrap()
    };
    let (a, b) = (make(1, component(result.clone())), make(2, component(result.clone())));
    let other_pins = make(3, component(card()));
    let ordinary = make(4, deriving(card(), false));
    let same_value = make(1, component(result));
    assert_eq!(s.xor(a, &[a], &[]), Err(CKR_MECHANISM_PARAM_INVALID));
    assert_eq!(s.xor(a, &[b, b], &[]), Err(CKR_MECHANISM_PARAM_INVALID));
    assert_eq!(s.xor(a, &[], &[]), Err(CKR_MECHANISM_PARAM_INVALID));
    assert_eq!(s.xor(a, &[other_pins], &[]), Err(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(s.xor(a, &[ordinary], &[]), Err(CKR_MECHANISM_INVALID));
    assert_eq!(s.xor(ordinary, &[a], &[]), Err(CKR_MECHANISM_INVALID));
    assert_eq!(s.xor(a, &[same_value], &[]), Err(CKR_MECHANISM_PARAM_INVALID), "two equal components cancel out");
    assert_eq!(s.xor(a, &[0xffff], &[]), Err(CKR_KEY_HANDLE_INVALID));
    assert_eq!(s.xor(a, &[b], &[A::B(CKA_SENSITIVE, false)]), Err(CKR_TEMPLATE_INCONSISTENT));
    let sum = s.xor(a, &[b], &[]).unwrap();
    let expected = s.create(&known(&[3; 16], &[])).unwrap();
    assert_eq!(s.get(sum, CKA_CHECK_VALUE).unwrap(), s.get(expected, CKA_CHECK_VALUE).unwrap());
    let unpinned = make(5, without(&component(card()), CKA_DERIVE_TEMPLATE));
    assert_eq!(s.xor(unpinned, &[a], &[]), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
}

#[test]
fn the_bureau_opens_what_was_wrapped() {
    if !alone("chain::the_bureau_opens_what_was_wrapped") {
        return;
    }
    let s = user_token();
    // The bureau's key pair, in the same token for want of a second one.
    let kek_arrival = vec![
        A::U(CKA_CLASS, CKO_SECRET_KEY),
        A::U(CKA_KEY_TYPE, CKK_SM4),
        A::B(CKA_UNWRAP, true),
        A::B(CKA_SENSITIVE, true),
        A::B(CKA_EXTRACTABLE, false),
        A::M(vec![KEY_WRAP]),
    ];
    let (public, private) = import_pair("bureau", kek_arrival);
    let (bureau_public, _) = s.pair(&public, &private).unwrap();
    let point = s.get(bureau_public, CKA_EC_POINT).unwrap();
    s.generate(&master("master", false)).unwrap();
    s.become_(CKU_SO);
    s.generate(&kek("kek")).unwrap();
    s.create(&recipient("recipient", &point)).unwrap();
    s.become_(CKU_USER);
    let one = |id| *s.by_id(id).first().unwrap();
    let (kek_key, master_key) = (one("kek"), one("master"));
    let bureau_private = s.find(&[A::D(CKA_ID, b"bureau".to_vec()), A::U(CKA_CLASS, CKO_PRIVATE_KEY)])[0];
    let sealed = s.wrap(SM2_ENCRYPT, one("recipient"), kek_key).unwrap();
    let bureau_kek = s.unwrap(SM2_ENCRYPT, bureau_private, &sealed, &[]).unwrap();
    assert_eq!(s.get(bureau_kek, CKA_CHECK_VALUE).unwrap(), s.get(kek_key, CKA_CHECK_VALUE).unwrap());
    let card_key = s.derive(master_key, &[9; 16], &[]).unwrap();
    let blob = s.wrap(KEY_WRAP, kek_key, card_key).unwrap();
    assert_eq!(s.wrap(KEY_WRAP, kek_key, card_key).unwrap(), blob, "RFC 3394 is deterministic");
    let arrived =
        s.unwrap(KEY_WRAP, bureau_kek, &blob, &[A::U(CKA_CLASS, CKO_SECRET_KEY), A::U(CKA_KEY_TYPE, CKK_SM4)]).unwrap();
    assert_eq!(s.get(arrived, CKA_CHECK_VALUE).unwrap(), s.get(card_key, CKA_CHECK_VALUE).unwrap());
    assert!(s.flag(arrived, CKA_SENSITIVE) && !s.flag(arrived, CKA_EXTRACTABLE));

    // A laboratory KEK of known value reads what it wraps.
    let lab = laboratory(&s, &[0x42; 16]);
    let lab_wrap =
        s.encrypt(&mut mech(SM4_ECB, &mut []), s.create(&known(&[0x42; 16], &[CKA_ENCRYPT])).unwrap(), &[0; 16]);
    assert_eq!(lab_wrap.unwrap()[..3], s.get(lab, CKA_CHECK_VALUE).unwrap());
    let made = rfc3394(&[0x42; 16], &[0xab; 16]);
    assert_eq!(laboratory_value(&s, lab, &made), [0xab; 16]);
}

/// RFC 3394 §2.2.1 from single SM4 blocks, as an independent implementation.
pub(crate) fn rfc3394(key: &[u8; 16], plain: &[u8; 16]) -> Vec<u8> {
    use sm4::cipher::{BlockCipherEncrypt, KeyInit};
    let cipher = sm4::Sm4::new(key.into());
    let mut a = [0xa6; 8];
    let mut r = [<[u8; 8]>::try_from(&plain[..8]).unwrap(), plain[8..].try_into().unwrap()];
    for step in 0..12u64 {
        let at = (step % 2) as usize;
        let mut block = [a, r[at]].concat();
        cipher.encrypt_block(block.as_mut_slice().try_into().unwrap());
        a.copy_from_slice(&block[..8]);
        a = (u64::from_be_bytes(a) ^ (step + 1)).to_be_bytes();
        r[at].copy_from_slice(&block[8..]);
    }
    [a, r[0], r[1]].concat()
}
