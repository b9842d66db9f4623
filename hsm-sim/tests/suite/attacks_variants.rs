//! Variants of the known attacks that a battery written elsewhere would try: other key types and sizes, other ways to the
//! same key, keys of one's own in the place of the token's.

use std::slice::from_ref;

use cryptoki_sys::*;

use crate::{
    attacks::{REFUSED, scene},
    harness::*,
    roles::{card, component, deriving, known},
};

const UNPERMITTED: Rv<CK_OBJECT_HANDLE> = Err(CKR_KEY_FUNCTION_NOT_PERMITTED);

/// What could be asked of a child that would give it away: every type, every size, every use, in both homes.
#[test]
fn no_child_but_the_pinned_one() {
    if !alone("attacks_variants::no_child_but_the_pinned_one") {
        return;
    }
    let (s, [master, ..]) = scene();
    let before = s.find(&[]).len();
    for kind in
        [CKK_GENERIC_SECRET, CKK_AES, CKK_DES, CKK_DES3, CKK_SM2, V + 0x0D53_0001, V + 0x0D53_0011, 0, CK_ULONG::MAX]
    {
        for length in [0, 1, 2, 8, 15, 16, 17, 24, 32, 512, CK_ULONG::MAX] {
            for home in [false, true] {
                let wish = [A::U(CKA_KEY_TYPE, kind), A::U(CKA_VALUE_LEN, length), A::B(CKA_TOKEN, home)];
                assert!(s.derive(master, &[5; 16], &wish).is_err(), "{wish:?}");
            }
        }
    }
    for wish in [
        A::U(CKA_CLASS, CKO_DATA),
        A::U(CKA_CLASS, CKO_PUBLIC_KEY),
        A::U(CKA_CLASS, CKO_PRIVATE_KEY),
        A::B(CKA_PRIVATE, false),
        A::B(CKA_TRUSTED, true),
        A::B(CKA_SIGN, true),
        A::B(CKA_VERIFY, true),
        A::B(CKA_UNWRAP, true),
        A::B(CKA_SENSITIVE, false),
        A::B(CKA_WRAP_WITH_TRUSTED, false),
        A::B(CKA_LOCAL, true),
        A::B(CKA_ALWAYS_SENSITIVE, true),
        A::D(CKA_VALUE, vec![0; 16]),
        A::U(CKA_KEY_GEN_MECHANISM, SM4_KEY_GEN),
        A::T(CKA_WRAP_TEMPLATE, vec![]),
        A::T(CKA_UNWRAP_TEMPLATE, vec![]),
        A::D(CKA_EC_POINT, vec![4; 65]),
    ] {
        assert!(s.derive(master, &[5; 16], from_ref(&wish)).is_err(), "{wish:?}");
    }
    // A stated check value is compared, with nothing said of how much of it was right, and only as a whole.
    let child = s.derive(master, &[5; 16], &[]).unwrap();
    let right = s.get(child, CKA_CHECK_VALUE).unwrap();
    s.derive(master, &[5; 16], &[A::D(CKA_CHECK_VALUE, right.clone())]).unwrap();
    for wrong in [vec![right[0]], right[..2].to_vec(), [&right[..], &[0]].concat(), vec![0; 16]] {
        let guess = s.derive(master, &[5; 16], &[A::D(CKA_CHECK_VALUE, wrong)]);
        assert_eq!(guess, Err(CKR_ATTRIBUTE_VALUE_INVALID));
    }
    assert_eq!(s.find(&[]).len(), before + 2, "a refused derivation left a key behind");
}

/// Masters of all kinds as keys of everything else that the token does.
#[test]
fn masters_do_nothing_else() {
    if !alone("attacks_variants::masters_do_nothing_else") {
        return;
    }
    let (s, [master, kek, card_key]) = scene();
    let part = s.create(&with(&component(card()), &[A::D(CKA_VALUE, vec![1; 16])])).unwrap();
    let mut iv = [0; 16];
    let mut ciphers = [mech(SM4_ECB, &mut []), mech(SM4_CBC, &mut iv), mech(SM4_CBC_PAD, &mut iv)];
    for key in [master, part, card_key, kek] {
        for how in &mut ciphers {
            assert!(call!(s.lib, C_EncryptInit, s.handle, how, key).is_err());
            assert!(call!(s.lib, C_DecryptInit, s.handle, how, key).is_err());
        }
        let mut gcm = GcmParams::new(&[0; 12], &[]);
        assert!(call!(s.lib, C_EncryptInit, s.handle, &mut gcm.mech(), key).is_err());
        for number in [CMAC, HMAC, CKM_SHA256_HMAC, SM2_RAW, SM2_SM3] {
            assert!(call!(s.lib, C_SignInit, s.handle, &mut mech(number, &mut []), key).is_err());
            assert!(call!(s.lib, C_VerifyInit, s.handle, &mut mech(number, &mut []), key).is_err());
        }
        for number in [SM3, CKM_SHA256, CKM_SHA512] {
            call!(s.lib, C_DigestInit, s.handle, &mut mech(number, &mut [])).unwrap();
            assert_eq!(call!(s.lib, C_DigestKey, s.handle, key), Err(CKR_KEY_INDIGESTIBLE));
            let (mut out, mut length) = ([0; 64], 64);
            call!(s.lib, C_DigestFinal, s.handle, out.as_mut_ptr(), &mut length).unwrap();
        }
        for number in [KEY_WRAP, GCM, SM2_ENCRYPT] {
            assert!(s.unwrap(number, key, &[0; 44], &known(&[], &[])).is_err());
            if key != kek {
                assert!(s.wrap(number, key, card_key).is_err());
            }
        }
        for number in [SM4_ECB, SM4_CBC, SM4_CBC_PAD, SM3, DIVERSIFY] {
            assert!(s.wrap(number, kek, key).is_err() && s.wrap(number, key, card_key).is_err());
        }
    }
    // Neither kind of base does the other's derivation.
    assert_eq!(s.derive(part, &[5; 16], &[]), Err(CKR_MECHANISM_INVALID));
    assert_eq!(s.xor(part, &[master], &[]), Err(CKR_MECHANISM_INVALID));
    assert_eq!(s.derive(kek, &[5; 16], &[]), UNPERMITTED);
    assert_eq!(s.derive(card_key, &[5; 16], &[]), UNPERMITTED);
}

/// The one who knows all components but one, or puts zeros in the place of a key, learns nothing by XOR.
#[test]
fn components_of_known_value() {
    if !alone("attacks_variants::components_of_known_value") {
        return;
    }
    let s = user_token();
    let pins = deriving(card(), false);
    let part = |value: &[u8]| s.create(&with(&component(pins.clone()), &[A::D(CKA_VALUE, value.to_vec())]));
    let secret = s.generate(&component(pins.clone())).unwrap();
    let (zero, one) = (part(&[0; 16]).unwrap(), part(&[1; 16]).unwrap());
    // The sum is what the components pinned, whoever knows how much of it.
    for wish in [
        A::B(CKA_SENSITIVE, false),
        A::B(CKA_EXTRACTABLE, true),
        A::B(CKA_ENCRYPT, true),
        A::B(CKA_TOKEN, false),
        A::U(CKA_VALUE_LEN, 8),
        A::U(CKA_KEY_TYPE, CKK_GENERIC_SECRET),
        A::T(CKA_DERIVE_TEMPLATE, vec![]),
    ] {
        let outcome = s.xor(secret, &[zero], from_ref(&wish));
        assert!(outcome.is_err() || wish == A::B(CKA_TOKEN, false), "{wish:?}");
    }
    let sum = s.xor(secret, &[zero], &[]).unwrap();
    assert_eq!(s.get(sum, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
    assert_eq!(s.xor(sum, &[one], &[]), Err(CKR_MECHANISM_INVALID), "a sum is no component");
    // The same component twice cancels out; so does a copy of it, were there one.
    assert_eq!(s.xor(secret, &[secret], &[]), Err(CKR_MECHANISM_PARAM_INVALID));
    assert_eq!(s.xor(secret, &[one, one], &[]), Err(CKR_MECHANISM_PARAM_INVALID));
    let twin = part(&[1; 16]).unwrap();
    assert_eq!(s.xor(secret, &[one, twin], &[]), Err(CKR_MECHANISM_PARAM_INVALID));
    assert_eq!(s.copy(secret, &[]), Err(CKR_ACTION_PROHIBITED));
    // A component with pins of one's own opens nothing.
    let loose = with(&component(card()), &[A::D(CKA_VALUE, vec![2; 16])]);
    let loose = s.create(&loose).unwrap();
    assert_eq!(s.xor(secret, &[loose], &[]), Err(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(s.xor(loose, &[secret], &[]), Err(CKR_TEMPLATE_INCONSISTENT));
    let open = with(&component(pins), &[A::D(CKA_VALUE, vec![3; 16]), A::B(CKA_ENCRYPT, true)]);
    assert_eq!(s.create(&open), REFUSED);
    assert_eq!(s.create(&with(&component(vec![A::B(CKA_SENSITIVE, false)]), &[A::D(CKA_VALUE, vec![4; 16])])), REFUSED);
}

/// Private keys of SM2 do not leave: not wrapped, not copied, not read, not as somebody else's secret key.
#[test]
fn private_keys_stay() {
    if !alone("attacks_variants::private_keys_stay") {
        return;
    }
    let (s, [_, kek, _]) = scene();
    let wrapper = s.generate(&[A::B(CKA_WRAP, true)]).unwrap();
    for extractable in [false, true] {
        let flags = [A::B(CKA_SIGN, true), A::B(CKA_EXTRACTABLE, extractable)];
        let (public, private) = s.pair(&[A::B(CKA_VERIFY, true)], &flags).unwrap();
        for by in [kek, wrapper] {
            for number in [KEY_WRAP, GCM] {
                assert!(s.wrap(number, by, private).is_err() && s.wrap(number, by, public).is_err());
            }
        }
        assert_eq!(s.get(private, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
        for weaker in
            [A::B(CKA_SENSITIVE, false), A::B(CKA_DECRYPT, true), A::B(CKA_UNWRAP, true), A::B(CKA_PRIVATE, false)]
        {
            assert!(s.copy(private, from_ref(&weaker)).is_err() && s.set(private, from_ref(&weaker)).is_err());
        }
        assert_eq!(s.derive(private, &[5; 16], &[]), UNPERMITTED);
    }
    // One unwraps to secret keys only.
    let unwrapper = s.create(&known(&[2; 16], &[CKA_UNWRAP])).unwrap();
    let blob = crate::chain::rfc3394(&[2; 16], &[3; 16]);
    for class in [CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_DATA] {
        let template = [A::U(CKA_CLASS, class), A::U(CKA_KEY_TYPE, CKK_SM2)];
        assert!(s.unwrap(KEY_WRAP, unwrapper, &blob, &template).is_err());
    }
}

/// Somebody with the user's PIN makes a key and lets the token's keys leave under it: by generating, creating, unwrapping,
/// deriving or copying one, with trust of one's own making.
#[test]
fn keys_of_one_s_own() {
    if !alone("attacks_variants::keys_of_one_s_own") {
        return;
    }
    let (s, [master, kek, card_key]) = scene();
    for home in [A::B(CKA_TOKEN, false), A::B(CKA_TOKEN, true)] {
        for private in [A::B(CKA_PRIVATE, false), A::B(CKA_PRIVATE, true)] {
            let mine = [A::B(CKA_WRAP, true), home.clone(), private.clone()];
            let own = s.generate(&mine).unwrap();
            assert_eq!(s.wrap(KEY_WRAP, own, card_key), Err(CKR_KEY_NOT_WRAPPABLE));
            assert_eq!(s.wrap(KEY_WRAP, own, kek), Err(CKR_KEY_NOT_WRAPPABLE));
            assert_eq!(s.wrap(KEY_WRAP, own, master), Err(CKR_KEY_UNEXTRACTABLE));
            assert!(s.generate(&with(&mine, &[A::B(CKA_TRUSTED, true)])).is_err());
            assert!(s.set(own, &[A::B(CKA_TRUSTED, true)]).is_err());
            assert!(s.copy(own, &[A::B(CKA_TRUSTED, true)]).is_err());
            for way in [A::B(CKA_UNWRAP, true), A::B(CKA_DECRYPT, true), A::B(CKA_ENCRYPT, true)] {
                assert_eq!(s.generate(&with(&mine, from_ref(&way))), REFUSED);
                assert!(s.copy(own, from_ref(&way)).is_err() && s.set(own, from_ref(&way)).is_err());
            }
            assert_eq!(s.create(&with(&known(&[1; 16], &[CKA_WRAP]), &[home.clone(), private.clone()])), REFUSED);
        }
    }
    // The SO's trust does not go over to what a user makes of a trusted key.
    let copy = s.copy(kek, &[A::B(CKA_TOKEN, false), A::D(CKA_ID, vec![])]).unwrap();
    assert!(!s.flag(copy, CKA_TRUSTED));
    assert_eq!(s.wrap(KEY_WRAP, copy, card_key), Err(CKR_KEY_NOT_WRAPPABLE));
    for change in
        [A::B(CKA_WRAP_WITH_TRUSTED, false), A::M(vec![GCM]), A::T(CKA_WRAP_TEMPLATE, vec![]), A::B(CKA_UNWRAP, true)]
    {
        assert!(s.copy(kek, from_ref(&change)).is_err() && s.set(kek, from_ref(&change)).is_err(), "{change:?}");
    }
    assert!(s.set(kek, &[A::D(CKA_LABEL, b"mine".to_vec())]).is_err(), "a trusted key under another name");
    assert!(s.set(kek, &[A::D(CKA_ID, b"mine".to_vec())]).is_err());
    assert!(s.set(kek, &[A::B(CKA_TRUSTED, false)]).is_err());
    // A child of a known base is known, and so is what one unwraps under it.
    let pins = with(&card(), &[A::B(CKA_WRAP, true)]);
    let base = s.create(&with(&known(&[2; 16], &[CKA_DERIVE]), &[A::T(CKA_DERIVE_TEMPLATE, pins)]));
    if let Ok(base) = base {
        let child = s.derive(base, &[5; 16], &[]).unwrap();
        assert_eq!(s.wrap(KEY_WRAP, child, card_key), Err(CKR_KEY_NOT_WRAPPABLE));
        let sensitive = s.generate(&[A::B(CKA_EXTRACTABLE, true)]).unwrap();
        assert_eq!(s.wrap(KEY_WRAP, child, sensitive), Err(CKR_KEY_NOT_WRAPPABLE));
    }
    let grants = vec![A::U(CKA_CLASS, CKO_SECRET_KEY), A::U(CKA_KEY_TYPE, CKK_SM4), A::B(CKA_WRAP, true)];
    let opener = s.create(&with(&known(&[2; 16], &[CKA_UNWRAP]), &[A::T(CKA_UNWRAP_TEMPLATE, grants)]));
    if let Ok(opener) = opener {
        let arrived = s.unwrap(KEY_WRAP, opener, &crate::chain::rfc3394(&[2; 16], &[3; 16]), &[]).unwrap();
        let sensitive = s.generate(&[A::B(CKA_EXTRACTABLE, true)]).unwrap();
        assert_eq!(s.wrap(KEY_WRAP, arrived, card_key), Err(CKR_KEY_NOT_WRAPPABLE));
        assert_eq!(s.wrap(KEY_WRAP, arrived, sensitive), Err(CKR_KEY_NOT_WRAPPABLE));
    }
}

/// What one learns from a key by asking for it in other ways: its value in searches and templates, its size, its check value.
#[test]
fn guessing_by_the_back_door() {
    if !alone("attacks_variants::guessing_by_the_back_door") {
        return;
    }
    let s = user_token();
    let value = [0x42; 16];
    let key = s.create(&with(&known(&value, &[CKA_ENCRYPT]), &[A::B(CKA_SENSITIVE, true)])).unwrap();
    for template in [
        vec![A::D(CKA_VALUE, value.to_vec())],
        vec![A::D(CKA_VALUE, value.to_vec()), A::U(CKA_CLASS, CKO_SECRET_KEY)],
        vec![A::D(CKA_VALUE, vec![])],
    ] {
        assert!(s.find(&template).is_empty(), "{template:?}");
    }
    // To set or copy it to a guess would say whether the guess is right.
    for guess in [value, [0x43; 16]] {
        assert_eq!(s.set(key, &[A::D(CKA_VALUE, guess.to_vec())]), Err(CKR_ATTRIBUTE_READ_ONLY));
        assert_eq!(s.copy(key, &[A::D(CKA_VALUE, guess.to_vec())]), Err(CKR_ATTRIBUTE_READ_ONLY));
    }
    for check in [A::D(CKA_CHECK_VALUE, vec![]), A::D(CKA_CHECK_VALUE, vec![0]), A::D(CKA_CHECK_VALUE, vec![0; 3])] {
        assert!(s.set(key, from_ref(&check)).is_err() && s.copy(key, from_ref(&check)).is_err(), "{check:?}");
        assert!(s.find(from_ref(&check)).is_empty());
    }
    // Templates that hold values would compare for whoever holds them.
    for kind in [CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_DERIVE_TEMPLATE] {
        for inner in [A::D(CKA_VALUE, value.to_vec()), A::D(CKA_CHECK_VALUE, vec![1; 3])] {
            assert!(s.generate(&[A::T(kind, vec![inner])]).is_err());
        }
    }
    // Short secrets have no check value, and no digest.
    for length in [1, 2, 16] {
        let short = with(&known(&vec![9; length], &[]), &[A::U(CKA_KEY_TYPE, CKK_GENERIC_SECRET)]);
        let short = s.create(&with(&short, &[A::B(CKA_SENSITIVE, true)])).unwrap();
        assert_eq!(s.get(short, CKA_CHECK_VALUE), Err(CKR_ATTRIBUTE_TYPE_INVALID));
        call!(s.lib, C_DigestInit, s.handle, &mut mech(CKM_SHA256, &mut [])).unwrap();
        assert_eq!(call!(s.lib, C_DigestKey, s.handle, short), Err(CKR_KEY_INDIGESTIBLE));
        let (mut out, mut size) = ([0; 32], 32);
        call!(s.lib, C_DigestFinal, s.handle, out.as_mut_ptr(), &mut size).unwrap();
    }
}

/// GCM: the caller's IV encrypts data only; keys that encrypt data do not wrap, and wrapped keys are not data.
#[test]
fn gcm_s_key_stream_is_nobody_s() {
    if !alone("attacks_variants::gcm_s_key_stream_is_nobody_s") {
        return;
    }
    let (s, [_, _, card_key]) = scene();
    let wrapper = s.generate(&[A::B(CKA_WRAP, true)]).unwrap();
    let target = s.generate(&[A::B(CKA_EXTRACTABLE, true)]).unwrap();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..200 {
        assert!(seen.insert(s.wrap(GCM, wrapper, target).unwrap()[..12].to_vec()), "an IV came twice");
    }
    for iv in [&[0; 12][..], &[1; 12], &[1; 16], &[1; 8], &[1; 1]] {
        let mut chosen = GcmParams::new(iv, &[]);
        assert_eq!(s.wrap_with(&mut chosen.mech(), wrapper, target), Err(CKR_MECHANISM_PARAM_INVALID));
        assert!(s.wrap_with(&mut chosen.mech(), wrapper, card_key).is_err());
    }
    for tag in [0, 8, 32, 64, 96, 120, 127, 256] {
        let mut short = GcmParams::new(&[], &[]);
        short.params.ulTagBits = tag;
        assert_eq!(s.wrap_with(&mut short.mech(), wrapper, target), Err(CKR_MECHANISM_PARAM_INVALID));
    }
    let begin = |how: &mut CK_MECHANISM| call!(s.lib, C_DecryptInit, s.handle, how, wrapper);
    assert_eq!(begin(&mut GcmParams::new(&[1; 12], &[]).mech()), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
}
