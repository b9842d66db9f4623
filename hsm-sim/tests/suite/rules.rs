//! Attributes: defaults, reading, searching, data objects, nested templates, and stated check values.

use std::{ptr::null_mut, slice::from_ref};

use cryptoki_sys::*;

use crate::{
    harness::*,
    roles::{card, deriving, known, master, uses},
};

#[test]
fn defaults_are_the_secure_values() {
    if !alone("rules::defaults_are_the_secure_values") {
        return;
    }
    let s = user_token();
    let key = s.generate(&[]).unwrap();
    let on = [
        CKA_PRIVATE,
        CKA_SENSITIVE,
        CKA_ALWAYS_SENSITIVE,
        CKA_NEVER_EXTRACTABLE,
        CKA_LOCAL,
        CKA_MODIFIABLE,
        CKA_COPYABLE,
        CKA_DESTROYABLE,
    ];
    let off = [
        CKA_TOKEN,
        CKA_EXTRACTABLE,
        CKA_ENCRYPT,
        CKA_DECRYPT,
        CKA_SIGN,
        CKA_VERIFY,
        CKA_WRAP,
        CKA_UNWRAP,
        CKA_DERIVE,
        CKA_TRUSTED,
        CKA_WRAP_WITH_TRUSTED,
    ];
    on.iter().for_each(|kind| assert!(s.flag(key, *kind), "{kind:#x}"));
    off.iter().for_each(|kind| assert!(!s.flag(key, *kind), "{kind:#x}"));
    assert_eq!(s.get(key, CKA_VALUE_LEN).unwrap(), 16u64.to_ne_bytes());
    assert_eq!(s.get(key, CKA_KEY_TYPE).unwrap(), CKK_SM4.to_ne_bytes());
    assert_eq!(s.get(key, CKA_ALLOWED_MECHANISMS), Err(CKR_ATTRIBUTE_TYPE_INVALID), "absent is not empty");
    let (public, private) = s.pair(&[], &[]).unwrap();
    assert!(!s.flag(public, CKA_PRIVATE) && s.flag(private, CKA_PRIVATE) && s.flag(private, CKA_SENSITIVE));
    let created = s.create(&known(&[1; 16], &[])).unwrap();
    assert!(
        !s.flag(created, CKA_LOCAL)
            && !s.flag(created, CKA_ALWAYS_SENSITIVE)
            && !s.flag(created, CKA_NEVER_EXTRACTABLE)
    );
    assert_eq!(s.get(created, CKA_KEY_GEN_MECHANISM).unwrap(), CK_UNAVAILABLE_INFORMATION.to_ne_bytes());
}

#[test]
fn templates_that_make_no_sense_are_refused() {
    if !alone("rules::templates_that_make_no_sense_are_refused") {
        return;
    }
    let s = user_token();
    for (attribute, rv) in [
        (A::B(CKA_LOCAL, true), CKR_ATTRIBUTE_READ_ONLY),
        (A::B(CKA_NEVER_EXTRACTABLE, true), CKR_ATTRIBUTE_READ_ONLY),
        (A::U(CKA_KEY_GEN_MECHANISM, 1), CKR_ATTRIBUTE_READ_ONLY),
        (A::D(CKA_VALUE, vec![0; 16]), CKR_ATTRIBUTE_READ_ONLY),
        (A::D(CKA_CHECK_VALUE, vec![0; 3]), CKR_ATTRIBUTE_READ_ONLY),
        (A::D(CKA_MODULUS, vec![0; 16]), CKR_ATTRIBUTE_TYPE_INVALID),
        (A::D(CKA_EC_POINT, vec![0; 65]), CKR_ATTRIBUTE_TYPE_INVALID),
        (A::D(CKA_APPLICATION, vec![]), CKR_ATTRIBUTE_TYPE_INVALID),
        (A::D(CKA_TOKEN, vec![2]), CKR_ATTRIBUTE_VALUE_INVALID),
        (A::D(CKA_TOKEN, vec![]), CKR_ATTRIBUTE_VALUE_INVALID),
        (A::D(CKA_CLASS, vec![4; 4]), CKR_ATTRIBUTE_VALUE_INVALID),
        (A::U(CKA_CLASS, CKO_PUBLIC_KEY), CKR_TEMPLATE_INCONSISTENT),
        (A::U(CKA_KEY_TYPE, CKK_AES), CKR_TEMPLATE_INCONSISTENT),
        (A::U(CKA_VALUE_LEN, 32), CKR_TEMPLATE_INCONSISTENT),
        (A::D(CKA_WRAP_TEMPLATE, vec![0; 25]), CKR_ATTRIBUTE_VALUE_INVALID),
        (A::D(CKA_ALLOWED_MECHANISMS, vec![0; 7]), CKR_ATTRIBUTE_VALUE_INVALID),
        (A::B(CKA_TRUSTED, true), CKR_ATTRIBUTE_READ_ONLY),
    ] {
        assert_eq!(s.generate(from_ref(&attribute)), Err(rv), "{attribute:?}");
    }
    assert_eq!(s.generate(&[A::B(CKA_TOKEN, false), A::B(CKA_TOKEN, false)]), Err(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(s.create(&[]), Err(CKR_TEMPLATE_INCOMPLETE));
    assert_eq!(s.create(&without(&known(&[1; 16], &[]), CKA_KEY_TYPE)), Err(CKR_TEMPLATE_INCOMPLETE));
    assert_eq!(s.create(&without(&known(&[1; 16], &[]), CKA_VALUE)), Err(CKR_TEMPLATE_INCOMPLETE));
    assert_eq!(s.create(&known(&[1; 15], &[])), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    assert_eq!(s.create(&[A::U(CKA_CLASS, CKO_CERTIFICATE)]), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    let public = |more: &[A]| s.create(&with(&[A::U(CKA_CLASS, CKO_PUBLIC_KEY), A::U(CKA_KEY_TYPE, CKK_SM2)], more));
    assert_eq!(public(&[]), Err(CKR_TEMPLATE_INCOMPLETE));
    assert_eq!(public(&[A::D(CKA_EC_POINT, vec![4; 65])]), Err(CKR_ATTRIBUTE_VALUE_INVALID), "not on the curve");
    let p256 = A::D(CKA_EC_PARAMS, hex::decode("06082a8648ce3d030107").unwrap());
    assert_eq!(s.pair(&[p256], &[]).err(), Some(CKR_CURVE_NOT_SUPPORTED));
    let private = |value: Vec<u8>| {
        s.create(&[A::U(CKA_CLASS, CKO_PRIVATE_KEY), A::U(CKA_KEY_TYPE, CKK_SM2), A::D(CKA_VALUE, value)])
    };
    for impossible in [vec![0; 32], vec![0xff; 32], vec![1; 31], vec![]] {
        assert_eq!(private(impossible), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    }
}

#[test]
fn nested_templates_are_read_in_three_rounds() {
    if !alone("rules::nested_templates_are_read_in_three_rounds") {
        return;
    }
    let s = user_token();
    let key = s.generate(&master("m", false)).unwrap();
    let mut outer = CK_ATTRIBUTE { type_: CKA_DERIVE_TEMPLATE, pValue: null_mut(), ulValueLen: 0 };
    call!(s.lib, C_GetAttributeValue, s.handle, key, &mut outer, 1).unwrap();
    let count = outer.ulValueLen as usize / size_of::<CK_ATTRIBUTE>();
    assert_eq!(count, card().len());
    let mut inner = vec![CK_ATTRIBUTE { type_: 0, pValue: null_mut(), ulValueLen: 0 }; count];
    outer.pValue = inner.as_mut_ptr().cast();
    call!(s.lib, C_GetAttributeValue, s.handle, key, &mut outer, 1).unwrap();
    let mut values: Vec<Vec<u8>> = inner.iter().map(|entry| vec![0; entry.ulValueLen as usize]).collect();
    inner.iter_mut().zip(&mut values).for_each(|(entry, value)| entry.pValue = value.as_mut_ptr().cast());
    call!(s.lib, C_GetAttributeValue, s.handle, key, &mut outer, 1).unwrap();
    for expected in card() {
        let (kind, bytes) = match expected {
            A::B(kind, on) => (kind, vec![u8::from(on)]),
            A::U(kind, number) => (kind, number.to_ne_bytes().to_vec()),
            other => panic!("{other:?}"),
        };
        let at = inner.iter().position(|entry| entry.type_ == kind).unwrap();
        assert_eq!(values[at], bytes, "{kind:#x}");
    }
    // The harness's plain reading shows the types and lengths, as wrappers without nested templates see them.
    assert_eq!(s.get(key, CKA_DERIVE_TEMPLATE).unwrap().len(), count * size_of::<CK_ATTRIBUTE>());
    outer.ulValueLen -= 1;
    assert_eq!(call!(s.lib, C_GetAttributeValue, s.handle, key, &mut outer, 1), Err(CKR_BUFFER_TOO_SMALL));
}

#[test]
fn templates_nest_six_deep() {
    if !alone("rules::templates_nest_six_deep") {
        return;
    }
    let s = user_token();
    let mut template = card();
    for depth in 1..=8 {
        let holder = with(&deriving(template.clone(), false), &[]);
        let made = s.generate(&holder);
        assert_eq!(made.is_ok(), depth <= 6, "depth {depth}: {made:?}");
        if let Ok(key) = made {
            let mut key = key;
            for _ in 0..depth {
                key = s.derive(key, &[depth as u8; 16], &[]).unwrap();
            }
            assert_eq!(s.derive(key, &[1; 16], &[]), Err(CKR_KEY_FUNCTION_NOT_PERMITTED), "the last one is a card key");
        }
        template = holder;
    }
}

#[test]
fn several_attributes_at_once() {
    if !alone("rules::several_attributes_at_once") {
        return;
    }
    let s = user_token();
    let key = s.generate(&[A::D(CKA_LABEL, b"four".to_vec())]).unwrap();
    let (mut label, mut value, mut kind) = ([0; 8], [0; 16], [0; 2]);
    let mut list = [
        CK_ATTRIBUTE { type_: CKA_LABEL, pValue: label.as_mut_ptr().cast(), ulValueLen: 8 },
        CK_ATTRIBUTE { type_: CKA_VALUE, pValue: value.as_mut_ptr().cast(), ulValueLen: 16 },
        CK_ATTRIBUTE { type_: CKA_MODULUS, pValue: null_mut(), ulValueLen: 0 },
        CK_ATTRIBUTE { type_: CKA_KEY_TYPE, pValue: kind.as_mut_ptr().cast(), ulValueLen: 2 },
    ];
    let outcome = call!(s.lib, C_GetAttributeValue, s.handle, key, list.as_mut_ptr(), 4);
    assert!(matches!(outcome, Err(CKR_ATTRIBUTE_SENSITIVE | CKR_ATTRIBUTE_TYPE_INVALID | CKR_BUFFER_TOO_SMALL)));
    assert_eq!((list[0].ulValueLen, &label[..4]), (4, &b"four"[..]), "the good ones are answered all the same");
    for bad in &list[1..] {
        assert_eq!({ bad.ulValueLen }, CK_UNAVAILABLE_INFORMATION);
    }
    assert_eq!((value, kind), ([0; 16], [0; 2]));
}

#[test]
fn data_objects_hold_the_log_head() {
    if !alone("rules::data_objects_hold_the_log_head") {
        return;
    }
    let s = user_token();
    let head = vec![
        A::U(CKA_CLASS, CKO_DATA),
        A::B(CKA_TOKEN, true),
        A::B(CKA_PRIVATE, true),
        A::D(CKA_APPLICATION, b"kms".to_vec()),
        A::D(CKA_LABEL, b"log-head".to_vec()),
        A::D(CKA_OBJECT_ID, vec![6, 1, 42]),
        A::D(CKA_VALUE, b"size 1".to_vec()),
    ];
    let object = s.create(&head).unwrap();
    for size in 2..20 {
        let value = format!("size {size}").into_bytes();
        s.set(object, &[A::D(CKA_VALUE, value.clone())]).unwrap();
        assert_eq!(s.get(object, CKA_VALUE).unwrap(), value);
    }
    assert_eq!(s.get(object, CKA_APPLICATION).unwrap(), b"kms");
    assert_eq!(s.get(object, CKA_KEY_TYPE), Err(CKR_ATTRIBUTE_TYPE_INVALID));
    s.become_(CKU_USER);
    let found = s.find(&[A::U(CKA_CLASS, CKO_DATA), A::D(CKA_LABEL, b"log-head".to_vec())]);
    assert_eq!(s.get(found[0], CKA_VALUE).unwrap(), b"size 19");
    assert_eq!(s.find(&[A::D(CKA_VALUE, b"size 19".to_vec())]), found);
    let fixed = s.create(&with(&head, &[A::B(CKA_MODIFIABLE, false)])).unwrap();
    assert_eq!(s.set(fixed, &[A::D(CKA_VALUE, vec![])]), Err(CKR_ACTION_PROHIBITED));
    let public = s.create(&with(&head, &[A::B(CKA_PRIVATE, false), A::D(CKA_LABEL, b"public".to_vec())])).unwrap();
    s.logout().unwrap();
    assert_eq!(s.get(public, CKA_VALUE).unwrap(), b"size 1");
    assert_eq!(s.set(public, &[A::D(CKA_VALUE, vec![])]), Err(CKR_USER_NOT_LOGGED_IN));
    assert_eq!(s.destroy(public), Err(CKR_USER_NOT_LOGGED_IN));
}

#[test]
fn searching() {
    if !alone("rules::searching") {
        return;
    }
    let s = user_token();
    let a = s.generate(&[A::D(CKA_ID, b"a".to_vec()), A::B(CKA_ENCRYPT, true)]).unwrap();
    let b = s.generate(&[A::D(CKA_ID, b"b".to_vec()), A::B(CKA_TOKEN, true)]).unwrap();
    let (public, private) = s.pair(&[A::D(CKA_ID, b"b".to_vec())], &[A::D(CKA_ID, b"b".to_vec())]).unwrap();
    let sorted = |template: &[A]| {
        let mut found = s.find(template);
        found.sort_unstable();
        found
    };
    let mut all = vec![a, b, public, private];
    all.sort_unstable();
    assert_eq!(sorted(&[]), all);
    assert_eq!(sorted(&[A::D(CKA_ID, b"a".to_vec())]), [a]);
    assert_eq!(sorted(&[A::B(CKA_TOKEN, true)]), [b]);
    assert_eq!(sorted(&[A::U(CKA_CLASS, CKO_PRIVATE_KEY), A::D(CKA_ID, b"b".to_vec())]), [private]);
    assert_eq!(sorted(&[A::D(CKA_CHECK_VALUE, s.get(a, CKA_CHECK_VALUE).unwrap())]), [a]);
    assert!(sorted(&[A::D(CKA_MODULUS, vec![1])]).is_empty());
    assert!(sorted(&[A::U(CKA_CLASS, CKO_CERTIFICATE)]).is_empty());
    call!(s.lib, C_FindObjectsInit, s.handle, null_mut(), 0).unwrap();
    assert_eq!(call!(s.lib, C_FindObjectsInit, s.handle, null_mut(), 0), Err(CKR_OPERATION_ACTIVE));
    let (mut one, mut count, mut seen) = (0, 1, Vec::new());
    while count == 1 {
        call!(s.lib, C_FindObjects, s.handle, &mut one, 1, &mut count).unwrap();
        seen.extend(std::iter::repeat_n(one, count as usize));
    }
    call!(s.lib, C_FindObjectsFinal, s.handle).unwrap();
    assert_eq!(call!(s.lib, C_FindObjectsFinal, s.handle), Err(CKR_OPERATION_NOT_INITIALIZED));
    seen.sort_unstable();
    assert_eq!(seen, all, "one by one");
    let mut size = 0;
    call!(s.lib, C_GetObjectSize, s.handle, a, &mut size).unwrap();
    assert!(size > 16);
}

#[test]
fn a_stated_check_value_must_be_right() {
    if !alone("rules::a_stated_check_value_must_be_right") {
        return;
    }
    let s = user_token();
    let right = s.get(s.create(&known(&[8; 16], &[])).unwrap(), CKA_CHECK_VALUE).unwrap();
    let stated = |value: Vec<u8>| s.create(&with(&known(&[8; 16], &[]), &[A::D(CKA_CHECK_VALUE, value)]));
    stated(right.clone()).unwrap();
    stated(vec![]).unwrap();
    let mut wrong = right.clone();
    wrong[2] ^= 1;
    assert_eq!(stated(wrong.clone()), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    assert_eq!(stated(right[..2].to_vec()), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    let unwrapper = s.create(&known(&[2; 16], &[CKA_UNWRAP])).unwrap();
    let blob = crate::chain::rfc3394(&[2; 16], &[8; 16]);
    let template = |value| [A::U(CKA_CLASS, CKO_SECRET_KEY), A::U(CKA_KEY_TYPE, CKK_SM4), A::D(CKA_CHECK_VALUE, value)];
    s.unwrap(KEY_WRAP, unwrapper, &blob, &template(right)).unwrap();
    assert_eq!(s.unwrap(KEY_WRAP, unwrapper, &blob, &template(wrong)), Err(CKR_ATTRIBUTE_VALUE_INVALID));
}

#[test]
fn allowed_mechanisms_bind_every_use() {
    if !alone("rules::allowed_mechanisms_bind_every_use") {
        return;
    }
    let s = user_token();
    let only = |uses_granted: &[CK_ATTRIBUTE_TYPE], list: &[CK_ULONG]| {
        s.create(&with(&known(&[1; 16], &[]), &[uses(uses_granted), vec![A::M(list.to_vec())]].concat())).unwrap()
    };
    let refused = CKR_MECHANISM_INVALID;
    let crypt = only(&[CKA_ENCRYPT, CKA_DECRYPT], &[SM4_CBC]);
    assert_eq!(s.encrypt(&mut mech(SM4_ECB, &mut []), crypt, &[0; 16]), Err(refused));
    assert_eq!(s.decrypt(&mut mech(SM4_ECB, &mut []), crypt, &[0; 16]), Err(refused));
    s.encrypt(&mut mech(SM4_CBC, &mut [0; 16]), crypt, &[0; 16]).unwrap();
    let mac = only(&[CKA_SIGN, CKA_VERIFY], &[HMAC]);
    assert_eq!(s.sign(&mut mech(CMAC, &mut []), mac, &[]), Err(refused));
    assert_eq!(s.verify(&mut mech(CMAC, &mut []), mac, &[], &[0; 16]), Err(refused));
    let unwrapper = only(&[CKA_UNWRAP], &[GCM]);
    assert_eq!(s.unwrap(KEY_WRAP, unwrapper, &[0; 24], &[A::U(CKA_CLASS, CKO_SECRET_KEY)]), Err(refused));
    let base = only(&[CKA_DERIVE], &[XOR_KEYS]);
    assert_eq!(s.derive(base, &[1; 16], &[]), Err(refused));
    let nothing = only(&[CKA_ENCRYPT], &[]);
    assert_eq!(s.encrypt(&mut mech(SM4_ECB, &mut []), nothing, &[0; 16]), Err(refused), "an empty list allows nothing");
    let wrapper = s.generate(&[A::B(CKA_WRAP, true), A::M(vec![GCM])]).unwrap();
    let target = s.generate(&[A::B(CKA_EXTRACTABLE, true)]).unwrap();
    assert_eq!(s.wrap(KEY_WRAP, wrapper, target), Err(refused));
    s.wrap(GCM, wrapper, target).unwrap();
}

#[test]
fn undestroyable_objects_and_read_only_sessions() {
    if !alone("rules::undestroyable_objects_and_read_only_sessions") {
        return;
    }
    let s = user_token();
    let kept = s.generate(&[A::B(CKA_DESTROYABLE, false), A::B(CKA_TOKEN, true)]).unwrap();
    assert_eq!(s.destroy(kept), Err(CKR_ACTION_PROHIBITED));
    let reader = s.lib.open_with(0, CKF_SERIAL_SESSION).unwrap();
    assert_eq!(reader.set(kept, &[A::D(CKA_LABEL, vec![])]), Err(CKR_SESSION_READ_ONLY));
    assert_eq!(reader.destroy(kept), Err(CKR_SESSION_READ_ONLY));
    assert_eq!(reader.copy(kept, &[]), Err(CKR_SESSION_READ_ONLY), "a copy of a token object is one");
    let copy = reader.copy(kept, &[A::B(CKA_TOKEN, false), A::B(CKA_DESTROYABLE, false)]).unwrap();
    assert_eq!(reader.destroy(copy), Err(CKR_ACTION_PROHIBITED));
}
