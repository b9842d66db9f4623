//! The key roles of a key management system as templates, and that each of them can be made and read back.

use cryptoki_sys::*;

use crate::harness::*;

const USES: [CK_ATTRIBUTE_TYPE; 7] = [CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE];

/// All use flags, TRUE for those named.
pub(crate) fn uses(granted: &[CK_ATTRIBUTE_TYPE]) -> Vec<A> {
    USES.iter().map(|kind| A::B(*kind, granted.contains(kind))).collect()
}

/// What a card key is: exactly this, and nothing that the caller chooses.
pub(crate) fn card() -> Vec<A> {
    let fixed = [
        A::U(CKA_CLASS, CKO_SECRET_KEY),
        A::U(CKA_KEY_TYPE, CKK_SM4),
        A::U(CKA_VALUE_LEN, 16),
        A::B(CKA_TOKEN, false),
        A::B(CKA_PRIVATE, true),
        A::B(CKA_SENSITIVE, true),
        A::B(CKA_EXTRACTABLE, true),
        A::B(CKA_WRAP_WITH_TRUSTED, true),
    ];
    [&fixed[..], &uses(&[])].concat()
}

/// A key that derives `child` and does nothing else.
pub(crate) fn deriving(child: Vec<A>, extractable: bool) -> Vec<A> {
    let fixed = [
        A::U(CKA_CLASS, CKO_SECRET_KEY),
        A::U(CKA_KEY_TYPE, CKK_SM4),
        A::B(CKA_PRIVATE, true),
        A::B(CKA_SENSITIVE, true),
        A::B(CKA_EXTRACTABLE, extractable),
        A::B(CKA_WRAP_WITH_TRUSTED, extractable),
        A::B(CKA_MODIFIABLE, false),
        A::B(CKA_COPYABLE, false),
        A::M(vec![DIVERSIFY]),
        A::T(CKA_DERIVE_TEMPLATE, child),
    ];
    [&fixed[..], &uses(&[CKA_DERIVE])].concat()
}

/// A master key on the token.
pub(crate) fn master(id: &str, extractable: bool) -> Vec<A> {
    with(&deriving(card(), extractable), &[A::B(CKA_TOKEN, true), A::D(CKA_ID, id.into())])
}

/// A component key: goes into an XOR, whose result is a `result`.
pub(crate) fn component(result: Vec<A>) -> Vec<A> {
    let mine = [A::M(vec![XOR_KEYS]), A::T(CKA_DERIVE_TEMPLATE, result), A::B(CKA_WRAP_WITH_TRUSTED, false)];
    with(&deriving(card(), false), &mine)
}

/// A bureau's transport key, made by the SO.
pub(crate) fn kek(id: &str) -> Vec<A> {
    let wraps = vec![
        A::U(CKA_KEY_TYPE, CKK_SM4),
        A::U(CKA_VALUE_LEN, 16),
        A::B(CKA_SENSITIVE, true),
        A::B(CKA_WRAP_WITH_TRUSTED, true),
    ];
    let fixed = [
        A::B(CKA_TOKEN, true),
        A::B(CKA_PRIVATE, false),
        A::B(CKA_TRUSTED, true),
        A::B(CKA_SENSITIVE, true),
        A::B(CKA_EXTRACTABLE, true),
        A::B(CKA_WRAP_WITH_TRUSTED, true),
        A::M(vec![KEY_WRAP]),
        A::T(CKA_WRAP_TEMPLATE, wraps),
        A::D(CKA_ID, id.into()),
    ];
    [&fixed[..], &uses(&[CKA_WRAP])].concat()
}

/// A bureau's public key, brought in by the SO.
pub(crate) fn recipient(id: &str, point: &[u8]) -> Vec<A> {
    vec![
        A::U(CKA_CLASS, CKO_PUBLIC_KEY),
        A::U(CKA_KEY_TYPE, CKK_SM2),
        A::B(CKA_TOKEN, true),
        A::B(CKA_PRIVATE, false),
        A::B(CKA_TRUSTED, true),
        A::B(CKA_WRAP, true),
        A::M(vec![SM2_ENCRYPT]),
        A::D(CKA_EC_POINT, point.to_vec()),
        A::D(CKA_ID, id.into()),
    ]
}

/// The two halves of an import key: what arrives is an `arrival`.
pub(crate) fn import_pair(id: &str, arrival: Vec<A>) -> (Vec<A>, Vec<A>) {
    let public = vec![A::B(CKA_TOKEN, true), A::D(CKA_ID, id.into())];
    let private = vec![
        A::B(CKA_TOKEN, true),
        A::B(CKA_UNWRAP, true),
        A::M(vec![SM2_ENCRYPT]),
        A::T(CKA_UNWRAP_TEMPLATE, arrival),
        A::D(CKA_ID, id.into()),
    ];
    (public, private)
}

/// A key that signs and does nothing else.
pub(crate) fn signing_pair(id: &str) -> (Vec<A>, Vec<A>) {
    let public = vec![A::B(CKA_TOKEN, true), A::B(CKA_VERIFY, true), A::D(CKA_ID, id.into())];
    let private = vec![A::B(CKA_TOKEN, true), A::B(CKA_SIGN, true), A::M(vec![SM2_RAW]), A::D(CKA_ID, id.into())];
    (public, private)
}

/// A known SM4 key for a laboratory.
pub(crate) fn known(value: &[u8], uses: &[CK_ATTRIBUTE_TYPE]) -> Vec<A> {
    let mut template =
        vec![A::U(CKA_CLASS, CKO_SECRET_KEY), A::U(CKA_KEY_TYPE, CKK_SM4), A::D(CKA_VALUE, value.to_vec())];
    template.extend(uses.iter().map(|kind| A::B(*kind, true)));
    template
}

#[test]
fn every_role_can_be_made() {
    if !alone("roles::every_role_can_be_made") {
        return;
    }
    let s = user_token();
    let local = s.generate(&master("local", false)).unwrap();
    for (kind, expected) in [
        (CKA_ALWAYS_SENSITIVE, true),
        (CKA_NEVER_EXTRACTABLE, true),
        (CKA_LOCAL, true),
        (CKA_SENSITIVE, true),
        (CKA_EXTRACTABLE, false),
        (CKA_DERIVE, true),
        (CKA_ENCRYPT, false),
        (CKA_TRUSTED, false),
        (CKA_MODIFIABLE, false),
        (CKA_COPYABLE, false),
        (CKA_DESTROYABLE, true),
    ] {
        assert_eq!(s.flag(local, kind), expected, "attribute {kind:#x}");
    }
    assert_eq!(s.get(local, CKA_KEY_GEN_MECHANISM).unwrap(), SM4_KEY_GEN.to_ne_bytes());
    assert_eq!(s.get(local, CKA_ALLOWED_MECHANISMS).unwrap(), DIVERSIFY.to_ne_bytes());
    assert_eq!(s.get(local, CKA_CHECK_VALUE).unwrap().len(), 3);
    let transferable = s.generate(&master("transferable", true)).unwrap();
    assert!(!s.flag(transferable, CKA_NEVER_EXTRACTABLE) && s.flag(transferable, CKA_WRAP_WITH_TRUSTED));

    let (public, private) = signing_pair("log");
    let (verify, sign) = s.pair(&public, &private).unwrap();
    assert_eq!(s.get(verify, CKA_EC_POINT).unwrap(), s.get(sign, CKA_EC_POINT).unwrap());
    assert_eq!(s.get(verify, CKA_EC_PARAMS).unwrap(), hex::decode("06082a811ccf5501822d").unwrap());
    let point = s.get(verify, CKA_EC_POINT).unwrap();
    assert_eq!((point.len(), &point[..3]), (67, &[0x04, 0x41, 0x04][..]));

    let (public, private) = import_pair("import", deriving(card(), false));
    s.pair(&public, &private).unwrap();

    s.become_(CKU_SO);
    let kek_handle = s.generate(&kek("kek")).unwrap();
    let recipient_handle = s.create(&recipient("bureau", &point)).unwrap();
    assert!(s.by_id("local").is_empty(), "the SO sees a private object");
    s.become_(CKU_USER);
    assert_eq!(s.by_id("kek"), [kek_handle], "public objects keep their handles");
    assert_eq!(s.by_id("bureau"), [recipient_handle]);
    let (master, kek_key) = (s.by_id("local")[0], s.by_id("kek")[0]);
    let child = s.derive(master, &[7; 16], &[]).unwrap();
    assert_eq!(s.wrap(KEY_WRAP, kek_key, child).unwrap().len(), 24);
    let sealed = s.wrap(SM2_ENCRYPT, recipient_handle, kek_key).unwrap();
    assert_eq!(sealed[0], 0x30);
    s.destroy(child).unwrap();
    assert_eq!(s.wrap(KEY_WRAP, kek_key, child), Err(CKR_KEY_HANDLE_INVALID));
}

#[test]
fn trust_is_the_so_s() {
    if !alone("roles::trust_is_the_so_s") {
        return;
    }
    let s = user_token();
    assert_eq!(s.generate(&kek("kek")), Err(CKR_ATTRIBUTE_READ_ONLY));
    let untrusted = with(&kek("kek"), &[A::B(CKA_TRUSTED, false), A::B(CKA_MODIFIABLE, false)]);
    let key = s.generate(&untrusted).unwrap();
    assert_eq!(s.set(key, &[A::B(CKA_TRUSTED, true)]), Err(CKR_ATTRIBUTE_READ_ONLY));
    s.become_(CKU_SO);
    s.set(key, &[A::B(CKA_TRUSTED, true)]).unwrap();
    assert_eq!(s.set(key, &[A::D(CKA_LABEL, b"x".to_vec())]), Err(CKR_ACTION_PROHIBITED));
    assert_eq!(s.generate(&master("m", false)), Err(CKR_USER_NOT_LOGGED_IN), "the SO makes a private object");
    s.become_(CKU_USER);
    assert!(s.flag(key, CKA_TRUSTED));
    let copy = s.copy(key, &[A::D(CKA_ID, b"copy".to_vec())]).unwrap();
    assert!(!s.flag(copy, CKA_TRUSTED), "a user's copy inherited the SO's trust");
    assert_eq!(s.copy(key, &[A::D(CKA_ID, b"c2".to_vec()), A::B(CKA_TRUSTED, true)]), Err(CKR_ATTRIBUTE_READ_ONLY));
    s.logout().unwrap();
    assert_eq!(s.get(key, CKA_CHECK_VALUE).unwrap().len(), 3, "check values of public keys need no login");
    assert_eq!(s.copy(key, &[A::D(CKA_ID, b"c3".to_vec())]), Err(CKR_USER_NOT_LOGGED_IN));
}
