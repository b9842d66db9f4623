//! PKCS#11 2.40 §4 and §5.7 clause by clause: objects, their attributes, searches.

use std::ptr::null_mut;

use cryptoki_sys::*;

use crate::{harness::*, roles::known};

/// One entry of a C_GetAttributeValue.
fn entry(kind: CK_ATTRIBUTE_TYPE, room: Option<&mut [u8]>) -> CK_ATTRIBUTE {
    match room {
        None => CK_ATTRIBUTE { type_: kind, pValue: null_mut(), ulValueLen: 77 },
        Some(room) => {
            CK_ATTRIBUTE { type_: kind, pValue: room.as_mut_ptr().cast(), ulValueLen: room.len() as CK_ULONG }
        }
    }
}

/// Every entry is answered, whatever becomes of its neighbours, and the answer names one of the troubles (§5.7).
#[test]
fn reading_goes_on_after_trouble() {
    if !alone("standard_objects::reading_goes_on_after_trouble") {
        return;
    }
    let s = user_token();
    let key = s.generate(&[A::D(CKA_LABEL, b"label".to_vec()), A::B(CKA_ENCRYPT, true)]).unwrap();
    let read = |list: &mut [CK_ATTRIBUTE]| {
        call!(s.lib, C_GetAttributeValue, s.handle, key, list.as_mut_ptr(), list.len() as CK_ULONG)
    };
    let unavailable = CK_UNAVAILABLE_INFORMATION;
    let (mut value, mut label, mut short, mut flag, mut class) = ([0; 16], [9; 8], [9; 4], [9; 1], [9; 8]);
    let troubles = [CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_BUFFER_TOO_SMALL];
    let mut list = [
        entry(CKA_VALUE, Some(&mut value)),
        entry(CKA_LABEL, Some(&mut short)),
        entry(CKA_MODULUS, Some(&mut class)),
        entry(0xdead_beef, None),
        entry(CKA_VALUE, None),
        entry(CKA_LABEL, None),
        entry(CKA_LABEL, Some(&mut label)),
        entry(CKA_ENCRYPT, Some(&mut flag)),
    ];
    assert!(troubles.contains(&read(&mut list).unwrap_err()));
    let lengths = list.map(|entry| entry.ulValueLen);
    assert_eq!(lengths, [unavailable, unavailable, unavailable, unavailable, unavailable, 5, 5, 1]);
    assert_eq!((&label, flag, value, short, class), (b"label\x09\x09\x09", [1], [0; 16], [9; 4], [9; 8]));
    // One kind of trouble is named as what it is.
    assert_eq!(read(&mut [entry(CKA_VALUE, None)]), Err(CKR_ATTRIBUTE_SENSITIVE));
    assert_eq!(read(&mut [entry(CKA_MODULUS, None)]), Err(CKR_ATTRIBUTE_TYPE_INVALID));
    assert_eq!(read(&mut [entry(CKA_LABEL, Some(&mut short))]), Err(CKR_BUFFER_TOO_SMALL));
    assert_eq!(read(&mut []), Ok(()));
    // Exact room is enough; more is told.
    let mut exact = [0; 5];
    let mut list = [entry(CKA_LABEL, Some(&mut exact))];
    read(&mut list).unwrap();
    assert_eq!((&exact, list[0].ulValueLen), (b"label", 5));
    // A key that may be read.
    let open = s.generate(&[A::B(CKA_SENSITIVE, false), A::B(CKA_EXTRACTABLE, true)]).unwrap();
    assert_eq!(s.get(open, CKA_VALUE).unwrap().len(), 16);
    // One that may be read, lying sealed on the token while nobody is logged in: sensitive is what it is then.
    let stored = [A::B(CKA_TOKEN, true), A::B(CKA_PRIVATE, false)];
    let readable = with(&[A::B(CKA_SENSITIVE, false), A::B(CKA_EXTRACTABLE, true)], &stored);
    let public = s.generate(&readable).unwrap();
    s.logout().unwrap();
    assert_eq!(s.get(public, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
    assert_eq!(s.get(public, CKA_CLASS).unwrap(), CKO_SECRET_KEY.to_ne_bytes());
}

/// Every attribute that a class has by the standard can be read, with its default if it was not stated.
#[test]
fn objects_have_all_attributes_of_their_class() {
    if !alone("standard_objects::objects_have_all_attributes_of_their_class") {
        return;
    }
    let s = user_token();
    let storage = [CKA_CLASS, CKA_TOKEN, CKA_PRIVATE, CKA_MODIFIABLE, CKA_LABEL, CKA_COPYABLE, CKA_DESTROYABLE];
    let key = [CKA_KEY_TYPE, CKA_ID, CKA_START_DATE, CKA_END_DATE, CKA_DERIVE, CKA_LOCAL, CKA_KEY_GEN_MECHANISM];
    let secrecy = [CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE, CKA_WRAP_WITH_TRUSTED];
    let secret = [
        CKA_ENCRYPT,
        CKA_DECRYPT,
        CKA_SIGN,
        CKA_VERIFY,
        CKA_WRAP,
        CKA_UNWRAP,
        CKA_TRUSTED,
        CKA_VALUE_LEN,
        CKA_CHECK_VALUE,
    ];
    let public = [CKA_SUBJECT, CKA_ENCRYPT, CKA_VERIFY, CKA_VERIFY_RECOVER, CKA_WRAP, CKA_TRUSTED, CKA_EC_PARAMS];
    let private =
        [CKA_SUBJECT, CKA_DECRYPT, CKA_SIGN, CKA_SIGN_RECOVER, CKA_UNWRAP, CKA_ALWAYS_AUTHENTICATE, CKA_EC_PARAMS];
    let (public_key, private_key) = s.pair(&[], &[]).unwrap();
    let data = s.create(&[A::U(CKA_CLASS, CKO_DATA)]).unwrap();
    let objects = [
        (s.generate(&[]).unwrap(), [&storage[..], &key, &secrecy, &secret].concat()),
        (public_key, [&storage[..], &key, &public, &[CKA_EC_POINT]].concat()),
        (private_key, [&storage[..], &key, &secrecy, &private].concat()),
        (data, [&storage[..], &[CKA_APPLICATION, CKA_OBJECT_ID, CKA_VALUE]].concat()),
    ];
    for (object, attributes) in objects {
        for attribute in attributes {
            let value = s.get(object, attribute);
            assert!(value.is_ok(), "object {object} does not show attribute {attribute:#x}: {value:x?}");
            let empty = [CKA_START_DATE, CKA_END_DATE, CKA_SUBJECT, CKA_LABEL, CKA_ID];
            let empty =
                empty.contains(&attribute) || (object == data && matches!(attribute, CKA_VALUE | CKA_APPLICATION));
            assert!(!empty || value == Ok(vec![]), "attribute {attribute:#x}");
        }
    }
    assert_eq!(s.get(data, CKA_KEY_TYPE), Err(CKR_ATTRIBUTE_TYPE_INVALID));
    assert_eq!(s.get(public_key, CKA_VALUE), Err(CKR_ATTRIBUTE_TYPE_INVALID));
    assert_eq!(s.get(private_key, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
    let mut size = 0;
    call!(s.lib, C_GetObjectSize, s.handle, private_key, &mut size).unwrap();
    assert!((32..65_536).contains(&size), "{size}");
    assert_eq!(call!(s.lib, C_GetObjectSize, s.handle, 0, &mut size), Err(CKR_OBJECT_HANDLE_INVALID));
}

/// §4.1.1: what is missing, not allowed, contradictory, of the wrong form or said twice; nothing is made then.
#[test]
fn templates_are_refused_for_the_right_reason() {
    if !alone("standard_objects::templates_are_refused_for_the_right_reason") {
        return;
    }
    let s = user_token();
    let secret = known(&[1; 16], &[]);
    let size_of_key = |size: usize| with(&secret, &[A::D(CKA_VALUE, vec![1; size])]);
    let twice = [&secret[..], &[A::B(CKA_SIGN, true), A::B(CKA_SIGN, true)]].concat();
    let contradiction = [&secret[..], &[A::B(CKA_SIGN, true), A::B(CKA_SIGN, false)]].concat();
    for (template, reason) in [
        (vec![], CKR_TEMPLATE_INCOMPLETE),
        (vec![A::U(CKA_CLASS, CKO_SECRET_KEY)], CKR_TEMPLATE_INCOMPLETE),
        (without(&secret, CKA_VALUE), CKR_TEMPLATE_INCOMPLETE),
        (with(&secret, &[A::U(CKA_CLASS, CKO_CERTIFICATE)]), CKR_ATTRIBUTE_VALUE_INVALID),
        (with(&secret, &[A::U(CKA_CLASS, 0x4711)]), CKR_ATTRIBUTE_VALUE_INVALID),
        (with(&secret, &[A::U(CKA_KEY_TYPE, CKK_AES)]), CKR_ATTRIBUTE_VALUE_INVALID),
        (with(&secret, &[A::U(CKA_KEY_TYPE, CKK_SM2)]), CKR_TEMPLATE_INCONSISTENT),
        (size_of_key(0), CKR_ATTRIBUTE_VALUE_INVALID),
        (size_of_key(15), CKR_ATTRIBUTE_VALUE_INVALID),
        (size_of_key(17), CKR_ATTRIBUTE_VALUE_INVALID),
        (with(&secret, &[A::U(CKA_VALUE_LEN, 32)]), CKR_TEMPLATE_INCONSISTENT),
        (with(&secret, &[A::D(CKA_CHECK_VALUE, vec![0; 3])]), CKR_ATTRIBUTE_VALUE_INVALID),
        (with(&secret, &[A::D(CKA_SIGN, vec![1; 2])]), CKR_ATTRIBUTE_VALUE_INVALID),
        (with(&secret, &[A::D(CKA_SIGN, vec![2])]), CKR_ATTRIBUTE_VALUE_INVALID),
        (with(&secret, &[A::D(CKA_SIGN, vec![])]), CKR_ATTRIBUTE_VALUE_INVALID),
        (with(&secret, &[A::D(CKA_KEY_TYPE, vec![1; 4])]), CKR_ATTRIBUTE_VALUE_INVALID),
        (with(&secret, &[A::D(CKA_MODULUS, vec![1; 4])]), CKR_ATTRIBUTE_TYPE_INVALID),
        (with(&secret, &[A::D(V + 1, vec![1; 4])]), CKR_ATTRIBUTE_TYPE_INVALID),
        (with(&secret, &[A::D(CKA_EC_POINT, vec![1; 4])]), CKR_ATTRIBUTE_TYPE_INVALID),
        (with(&secret, &[A::B(CKA_LOCAL, false)]), CKR_ATTRIBUTE_READ_ONLY),
        (with(&secret, &[A::B(CKA_ALWAYS_SENSITIVE, true)]), CKR_ATTRIBUTE_READ_ONLY),
        (with(&secret, &[A::B(CKA_NEVER_EXTRACTABLE, true)]), CKR_ATTRIBUTE_READ_ONLY),
        (with(&secret, &[A::U(CKA_KEY_GEN_MECHANISM, SM4_KEY_GEN)]), CKR_ATTRIBUTE_READ_ONLY),
        (with(&secret, &[A::B(CKA_TRUSTED, true)]), CKR_ATTRIBUTE_READ_ONLY),
        (twice, CKR_TEMPLATE_INCONSISTENT),
        (contradiction, CKR_TEMPLATE_INCONSISTENT),
    ] {
        assert_eq!(s.create(&template), Err(reason), "{template:?}");
    }
    assert!(s.find(&[]).is_empty(), "a refused template left an object behind");
    for (template, reason) in [
        (vec![A::D(CKA_VALUE, vec![1; 16])], CKR_ATTRIBUTE_READ_ONLY),
        (vec![A::U(CKA_VALUE_LEN, 24)], CKR_TEMPLATE_INCONSISTENT),
        (vec![A::U(CKA_CLASS, CKO_DATA)], CKR_TEMPLATE_INCONSISTENT),
        (vec![A::U(CKA_KEY_TYPE, CKK_SM2)], CKR_TEMPLATE_INCONSISTENT),
        (vec![A::D(CKA_CHECK_VALUE, vec![0; 3])], CKR_ATTRIBUTE_READ_ONLY),
    ] {
        assert_eq!(s.generate(&template), Err(reason), "{template:?}");
    }
    let generic = |length| s.generate_with(CKM_GENERIC_SECRET_KEY_GEN, &[A::U(CKA_VALUE_LEN, length)]);
    assert_eq!(s.generate_with(CKM_GENERIC_SECRET_KEY_GEN, &[]), Err(CKR_TEMPLATE_INCOMPLETE));
    assert_eq!(generic(0), Err(CKR_KEY_SIZE_RANGE));
    assert_eq!(generic(CK_ULONG::MAX), Err(CKR_KEY_SIZE_RANGE));
    let p256 = hex::decode("06082a8648ce3d030107").unwrap();
    assert_eq!(s.pair(&[A::D(CKA_EC_PARAMS, p256)], &[]).err(), Some(CKR_CURVE_NOT_SUPPORTED));
    assert!(s.find(&[]).is_empty(), "a refused template left a key behind");
}

/// A change is made as a whole or not at all; a copy may say otherwise what the standard lets it.
#[test]
fn changes_and_copies() {
    if !alone("standard_objects::changes_and_copies") {
        return;
    }
    let s = user_token();
    let label = |text: &str| A::D(CKA_LABEL, text.as_bytes().to_vec());
    let key = s.generate(&[label("first"), A::B(CKA_ENCRYPT, true)]).unwrap();
    assert_eq!(s.set(key, &[label("second"), A::B(CKA_SENSITIVE, false)]), Err(CKR_ATTRIBUTE_READ_ONLY));
    assert_eq!(s.set(key, &[label("second"), A::D(CKA_MODULUS, vec![1])]), Err(CKR_ATTRIBUTE_TYPE_INVALID));
    assert_eq!(s.set(key, &[label("second"), A::D(CKA_ENCRYPT, vec![7])]), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    assert_eq!(s.get(key, CKA_LABEL).unwrap(), b"first");
    s.set(key, &[]).unwrap();
    s.set(key, &[label("second"), A::D(CKA_START_DATE, b"20260101".to_vec())]).unwrap();
    assert_eq!(s.get(key, CKA_LABEL).unwrap(), b"second");
    assert_eq!(s.get(key, CKA_START_DATE).unwrap(), b"20260101");
    // To say what is so already is no change.
    s.set(key, &[A::U(CKA_CLASS, CKO_SECRET_KEY), A::B(CKA_SENSITIVE, true), A::B(CKA_TOKEN, false)]).unwrap();
    let fixed = s.generate(&[A::B(CKA_MODIFIABLE, false)]).unwrap();
    assert_eq!(s.set(fixed, &[label("x")]), Err(CKR_ACTION_PROHIBITED));
    let kept = s.generate(&[A::B(CKA_DESTROYABLE, false)]).unwrap();
    assert_eq!(s.destroy(kept), Err(CKR_ACTION_PROHIBITED));
    let single = s.generate(&[A::B(CKA_COPYABLE, false)]).unwrap();
    assert_eq!(s.copy(single, &[]), Err(CKR_ACTION_PROHIBITED));
    assert_eq!(s.set(single, &[A::B(CKA_COPYABLE, true)]), Err(CKR_ATTRIBUTE_READ_ONLY));
    // Copies: another home, another label, less to be changed; the object copied stays as it was.
    let copy = s.copy(key, &[A::B(CKA_TOKEN, true), label("stored"), A::B(CKA_MODIFIABLE, false)]).unwrap();
    assert!(s.flag(copy, CKA_TOKEN) && !s.flag(copy, CKA_MODIFIABLE) && !s.flag(key, CKA_TOKEN));
    assert_eq!((s.get(copy, CKA_LABEL).unwrap(), s.get(key, CKA_LABEL).unwrap()), (b"stored".into(), b"second".into()));
    assert_eq!(s.get(copy, CKA_CHECK_VALUE), s.get(key, CKA_CHECK_VALUE));
    let data = s.create(&[A::U(CKA_CLASS, CKO_DATA), A::D(CKA_VALUE, b"text".to_vec())]).unwrap();
    let private = s.copy(data, &[A::B(CKA_PRIVATE, true), A::D(CKA_VALUE, b"other".to_vec())]).unwrap();
    assert_eq!(
        (s.get(data, CKA_VALUE).unwrap(), s.get(private, CKA_VALUE).unwrap()),
        (b"text".into(), b"other".into())
    );
    assert_eq!(s.copy(private, &[A::B(CKA_PRIVATE, false)]), Err(CKR_ATTRIBUTE_READ_ONLY));
    for refused in [A::U(CKA_CLASS, CKO_SECRET_KEY), A::U(CKA_KEY_TYPE, CKK_SM4)] {
        assert!(s.copy(data, &[refused]).is_err());
    }
    assert_eq!(s.copy(0, &[]), Err(CKR_OBJECT_HANDLE_INVALID));
}

/// §5.7: searches are operations, and what they find are the handles that there were at their start.
#[test]
fn searches_are_operations() {
    if !alone("standard_objects::searches_are_operations") {
        return;
    }
    let s = user_token();
    let (lib, h) = (s.lib, s.handle);
    let mut made: Vec<_> = (0..5).map(|_| s.generate(&[A::D(CKA_LABEL, b"one of five".to_vec())]).unwrap()).collect();
    made.sort_unstable();
    let mut template = raw(&[A::D(CKA_LABEL, b"one of five".to_vec())]);
    let begin = |template: &mut Raw| {
        call!(lib, C_FindObjectsInit, h, template.list.as_mut_ptr(), template.list.len() as CK_ULONG)
    };
    let next = |room: usize| {
        let (mut found, mut count) = (vec![0; room], 99);
        call!(lib, C_FindObjects, h, found.as_mut_ptr(), room as CK_ULONG, &mut count).map(|()| {
            found.truncate(count as usize);
            found
        })
    };
    let none = Err(CKR_OPERATION_NOT_INITIALIZED);
    assert_eq!(next(1), none);
    assert_eq!(call!(lib, C_FindObjectsFinal, h), Err(CKR_OPERATION_NOT_INITIALIZED));
    begin(&mut template).unwrap();
    assert_eq!(begin(&mut template), Err(CKR_OPERATION_ACTIVE));
    assert_eq!(next(0), Ok(vec![]));
    assert_eq!(next(2), Ok(made[..2].to_vec()));
    assert_eq!(call!(lib, C_FindObjects, h, null_mut(), 1, &mut 0), Err(CKR_ARGUMENTS_BAD));
    assert_eq!(next(9), Ok(made[2..].to_vec()));
    assert_eq!(next(9), Ok(vec![]));
    call!(lib, C_FindObjectsFinal, h).unwrap();
    assert_eq!(next(1), none);
    // The empty template finds everything that may be seen, a contradictory or foreign one nothing.
    let public = s.create(&[A::U(CKA_CLASS, CKO_DATA)]).unwrap();
    assert_eq!(s.find(&[]).len(), 6);
    for nothing in [
        vec![A::D(CKA_LABEL, b"one of".to_vec())],
        vec![A::D(CKA_MODULUS, vec![1])],
        vec![A::B(CKA_SIGN, true), A::B(CKA_SIGN, false)],
        vec![A::U(CKA_CLASS, CKO_CERTIFICATE)],
        vec![A::B(CKA_TOKEN, true)],
        vec![A::B(CKA_LOCAL, false), A::U(CKA_CLASS, CKO_SECRET_KEY)],
    ] {
        assert_eq!(s.find(&nothing), [0; 0], "{nothing:?}");
    }
    assert_eq!(s.find(&[A::B(CKA_LOCAL, true), A::U(CKA_VALUE_LEN, 16)]), made);
    // Searches of two sessions do not meet; a failed start leaves no search behind.
    let other = lib.open(0);
    begin(&mut template).unwrap();
    assert_eq!(other.find(&[]).len(), 6);
    assert_eq!(next(5), Ok(made));
    call!(lib, C_FindObjectsFinal, h).unwrap();
    assert_eq!(call!(lib, C_FindObjectsInit, h, null_mut(), 1), Err(CKR_ARGUMENTS_BAD));
    assert_eq!(next(1), none);
    s.logout().unwrap();
    assert_eq!(s.find(&[]), [public], "private objects are not found");
}
