//! The 25 known attacks on key management through PKCS#11, 1 to 17: call sequence, and the refusal that stops it.

use std::slice::from_ref;

use cryptoki_sys::*;

use crate::{
    harness::*,
    roles::{card, deriving, import_pair, kek, known, master, recipient},
};

pub(crate) const REFUSED: Rv<CK_OBJECT_HANDLE> = Err(CKR_TEMPLATE_INCONSISTENT);

/// A token with a master, a trusted KEK, and a card key derived under the user's login.
pub(crate) fn scene() -> (Session, [CK_OBJECT_HANDLE; 3]) {
    let s = user_token();
    s.generate(&master("master", false)).unwrap();
    s.become_(CKU_SO);
    s.generate(&kek("kek")).unwrap();
    s.become_(CKU_USER);
    let (master, kek) = (s.by_id("master")[0], s.by_id("kek")[0]);
    let card = s.derive(master, &[5; 16], &[]).unwrap();
    (s, [master, kek, card])
}

#[test]
fn a01_wrap_and_decrypt() {
    if alone("attacks::a01_wrap_and_decrypt") {
        let s = user_token();
        assert_eq!(s.generate(&[A::B(CKA_WRAP, true), A::B(CKA_DECRYPT, true)]), REFUSED);
    }
}

#[test]
fn a02_wrap_under_the_public_half_decrypt_with_the_private() {
    if !alone("attacks::a02_wrap_under_the_public_half_decrypt_with_the_private") {
        return;
    }
    let (s, [_, _, card]) = scene();
    let wraps = [A::B(CKA_WRAP, true)];
    assert_eq!(s.pair(&wraps, &[A::B(CKA_DECRYPT, true)]).err(), Some(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(s.pair(&wraps, &[A::B(CKA_UNWRAP, true)]).err(), Some(CKR_TEMPLATE_INCONSISTENT));
    // Around the check: the public half again, as an object of its own.
    let (public, _) = s.pair(&[A::B(CKA_ENCRYPT, true)], &[A::B(CKA_DECRYPT, true)]).unwrap();
    let point = s.get(public, CKA_EC_POINT).unwrap();
    let untrusted = with(&recipient("r", &point), &[A::B(CKA_TRUSTED, false)]);
    let wrapper = s.create(&untrusted).unwrap();
    assert_eq!(s.wrap(SM2_ENCRYPT, wrapper, card), Err(CKR_KEY_NOT_WRAPPABLE));
    let sensitive = s.generate(&[A::B(CKA_EXTRACTABLE, true)]).unwrap();
    assert_eq!(s.wrap(SM2_ENCRYPT, wrapper, sensitive), Err(CKR_KEY_NOT_WRAPPABLE));
    // Nor under a public half made here: its private half can be read.
    let readable = [A::B(CKA_SENSITIVE, false), A::B(CKA_EXTRACTABLE, true)];
    let (local, known) = s.pair(&wraps, &readable).unwrap();
    assert_eq!(s.get(known, CKA_VALUE).unwrap().len(), 32);
    assert_eq!(s.wrap(SM2_ENCRYPT, local, sensitive), Err(CKR_KEY_NOT_WRAPPABLE));
}

#[test]
fn a03_a04_read_the_value() {
    if !alone("attacks::a03_a04_read_the_value") {
        return;
    }
    let (s, keys) = scene();
    for key in keys {
        assert_eq!(s.get(key, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
    }
    let open = s.generate(&[A::B(CKA_SENSITIVE, false), A::B(CKA_EXTRACTABLE, false)]).unwrap();
    assert_eq!(s.get(open, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE), "not extractable");
    let open = s.generate(&[A::B(CKA_SENSITIVE, false), A::B(CKA_EXTRACTABLE, true)]).unwrap();
    assert_eq!(s.get(open, CKA_VALUE).unwrap().len(), 16, "the control: an open key can be read");
    // Searching by value is reading by guessing.
    let guess = s.create(&with(&known(&[1; 16], &[]), &[A::B(CKA_SENSITIVE, true)])).unwrap();
    assert!(s.find(&[A::D(CKA_VALUE, vec![1; 16])]).is_empty(), "{guess} was found by its value");
}

#[test]
fn a05_turn_sticky_bits_back() {
    if !alone("attacks::a05_turn_sticky_bits_back") {
        return;
    }
    let s = user_token();
    let key = s.generate(&[A::B(CKA_WRAP_WITH_TRUSTED, true), A::B(CKA_ENCRYPT, true)]).unwrap();
    for change in [
        A::B(CKA_SENSITIVE, false),
        A::B(CKA_EXTRACTABLE, true),
        A::B(CKA_WRAP_WITH_TRUSTED, false),
        A::B(CKA_DECRYPT, true),
        A::B(CKA_WRAP, true),
        A::B(CKA_DERIVE, true),
        A::B(CKA_ALWAYS_SENSITIVE, false),
        A::B(CKA_LOCAL, false),
        A::B(CKA_PRIVATE, false),
        A::B(CKA_TOKEN, true),
        A::M(vec![SM4_ECB]),
        A::T(CKA_UNWRAP_TEMPLATE, vec![]),
        A::U(CKA_KEY_TYPE, CKK_GENERIC_SECRET),
        A::D(CKA_VALUE, vec![0; 16]),
    ] {
        assert_eq!(s.set(key, from_ref(&change)), Err(CKR_ATTRIBUTE_READ_ONLY), "{change:?}");
    }
    s.set(key, &[A::B(CKA_ENCRYPT, false), A::D(CKA_LABEL, b"less".to_vec())]).unwrap();
    assert_eq!(s.set(key, &[A::B(CKA_ENCRYPT, true)]), Err(CKR_ATTRIBUTE_READ_ONLY), "a use given up is gone");
}

#[test]
fn a06_copy_with_weaker_attributes_or_more_uses() {
    if !alone("attacks::a06_copy_with_weaker_attributes_or_more_uses") {
        return;
    }
    let (s, [master, ..]) = scene();
    assert_eq!(s.copy(master, &[]), Err(CKR_ACTION_PROHIBITED));
    let key = s.generate(&[A::B(CKA_ENCRYPT, true), A::B(CKA_WRAP_WITH_TRUSTED, true)]).unwrap();
    for change in [
        A::B(CKA_SENSITIVE, false),
        A::B(CKA_EXTRACTABLE, true),
        A::B(CKA_WRAP_WITH_TRUSTED, false),
        A::B(CKA_WRAP, true),
        A::B(CKA_DECRYPT, true),
        A::B(CKA_TRUSTED, true),
        A::B(CKA_PRIVATE, false),
        A::B(CKA_NEVER_EXTRACTABLE, false),
        A::T(CKA_WRAP_TEMPLATE, vec![]),
    ] {
        assert_eq!(s.copy(key, from_ref(&change)), Err(CKR_ATTRIBUTE_READ_ONLY), "{change:?}");
    }
    let copy = s.copy(key, &[A::D(CKA_LABEL, b"copy".to_vec()), A::B(CKA_ENCRYPT, false)]).unwrap();
    assert_eq!(s.get(copy, CKA_CHECK_VALUE), s.get(key, CKA_CHECK_VALUE));
    assert!(!s.flag(copy, CKA_ENCRYPT));
}

#[test]
fn a07_wrap_under_a_known_kek() {
    if !alone("attacks::a07_wrap_under_a_known_kek") {
        return;
    }
    let (s, [_, _, card]) = scene();
    assert_eq!(s.create(&known(&[1; 16], &[CKA_WRAP])), REFUSED);
    // Derived, unwrapped and readable keys are known keys as well.
    let readable =
        s.generate(&[A::B(CKA_SENSITIVE, false), A::B(CKA_EXTRACTABLE, true), A::B(CKA_WRAP, true)]).unwrap();
    let target = s.generate(&[A::B(CKA_EXTRACTABLE, true)]).unwrap();
    assert_eq!(s.wrap(KEY_WRAP, readable, target), Err(CKR_KEY_NOT_WRAPPABLE));
    assert_eq!(s.wrap(KEY_WRAP, readable, card), Err(CKR_KEY_NOT_WRAPPABLE));
    let unwrapper = s.create(&known(&[2; 16], &[CKA_UNWRAP])).unwrap();
    let blob = crate::chain::rfc3394(&[2; 16], &[3; 16]);
    let plain = [A::U(CKA_CLASS, CKO_SECRET_KEY), A::U(CKA_KEY_TYPE, CKK_SM4)];
    assert_eq!(s.unwrap(KEY_WRAP, unwrapper, &blob, &with(&plain, &[A::B(CKA_WRAP, true)])), REFUSED);
    let sealed = s.generate(&[A::B(CKA_WRAP, true)]).unwrap();
    assert_eq!(s.wrap(KEY_WRAP, sealed, target).unwrap().len(), 24, "the control: a key nobody knows wraps");
}

#[test]
fn a08_unwrap_twice_with_different_templates() {
    if !alone("attacks::a08_unwrap_twice_with_different_templates") {
        return;
    }
    let s = user_token();
    let pinned = with(&deriving(card(), false), &[A::B(CKA_TOKEN, false)]);
    let lab = s.create(&with(&known(&[2; 16], &[CKA_UNWRAP]), &[A::T(CKA_UNWRAP_TEMPLATE, pinned)])).unwrap();
    let blob = crate::chain::rfc3394(&[2; 16], &[3; 16]);
    s.unwrap(KEY_WRAP, lab, &blob, &[]).unwrap();
    for wish in [
        A::B(CKA_SENSITIVE, false),
        A::B(CKA_EXTRACTABLE, true),
        A::B(CKA_DECRYPT, true),
        A::B(CKA_TOKEN, true),
        A::U(CKA_KEY_TYPE, CKK_GENERIC_SECRET),
        A::U(CKA_CLASS, CKO_DATA),
        A::T(CKA_DERIVE_TEMPLATE, vec![A::B(CKA_SENSITIVE, false)]),
        A::T(CKA_UNWRAP_TEMPLATE, vec![A::B(CKA_SENSITIVE, false)]),
    ] {
        assert_eq!(s.unwrap(KEY_WRAP, lab, &blob, from_ref(&wish)), REFUSED, "{wish:?}");
    }
    // Without UNWRAP_TEMPLATE nobody vouches for the key: it wraps and derives nothing and cannot be read.
    let free = s.create(&known(&[2; 16], &[CKA_UNWRAP])).unwrap();
    let plain = [A::U(CKA_CLASS, CKO_SECRET_KEY), A::U(CKA_KEY_TYPE, CKK_SM4)];
    for wish in [
        A::B(CKA_SENSITIVE, false),
        A::B(CKA_WRAP, true),
        A::B(CKA_DERIVE, true),
        A::T(CKA_DERIVE_TEMPLATE, card()),
        A::T(CKA_UNWRAP_TEMPLATE, vec![A::B(CKA_SENSITIVE, false)]),
    ] {
        assert_eq!(s.unwrap(KEY_WRAP, free, &blob, &with(&plain, from_ref(&wish))), REFUSED, "{wish:?}");
    }
    let open = with(&plain, &[A::B(CKA_EXTRACTABLE, true), A::B(CKA_WRAP_WITH_TRUSTED, false)]);
    assert_eq!(s.unwrap(KEY_WRAP, free, &blob, &open), REFUSED);
    let arrived = s.unwrap(KEY_WRAP, free, &blob, &with(&plain, &[A::B(CKA_EXTRACTABLE, true)])).unwrap();
    assert!(s.flag(arrived, CKA_SENSITIVE) && s.flag(arrived, CKA_WRAP_WITH_TRUSTED) && !s.flag(arrived, CKA_LOCAL));
    // An import key made inside the token cannot be told to deliver readable keys, nor deriving ones without pins.
    let readable = import_pair("i", vec![A::B(CKA_SENSITIVE, false)]);
    assert_eq!(s.pair(&readable.0, &readable.1).err(), Some(CKR_TEMPLATE_INCONSISTENT));
    let unpinned = import_pair("i", without(&deriving(card(), false), CKA_DERIVE_TEMPLATE));
    assert_eq!(s.pair(&unpinned.0, &unpinned.1).err(), Some(CKR_TEMPLATE_INCONSISTENT));
}

#[test]
fn a09_cut_and_paste_between_blobs() {
    if !alone("attacks::a09_cut_and_paste_between_blobs") {
        return;
    }
    let s = user_token();
    let free = s.create(&known(&[2; 16], &[CKA_UNWRAP])).unwrap();
    let plain = [A::U(CKA_CLASS, CKO_SECRET_KEY), A::U(CKA_KEY_TYPE, CKK_SM4)];
    let (one, two) = (crate::chain::rfc3394(&[2; 16], &[3; 16]), crate::chain::rfc3394(&[2; 16], &[4; 16]));
    for mixed in [[&one[..16], &two[16..]].concat(), [&one[..8], &two[8..]].concat(), one[..16].to_vec()] {
        assert_eq!(s.unwrap(KEY_WRAP, free, &mixed, &plain), Err(CKR_WRAPPED_KEY_INVALID));
    }
    for number in [SM4_ECB, SM4_CBC, SM4_CBC_PAD] {
        let mut iv = if number == SM4_ECB { vec![] } else { vec![0; 16] };
        let tried = s.unwrap_with(&mut mech(number, &mut iv), free, &one, &plain);
        assert_eq!(tried, Err(CKR_MECHANISM_INVALID), "unauthenticated unwrap");
    }
}

#[test]
fn a10_a11_short_or_readable_children() {
    if !alone("attacks::a10_a11_short_or_readable_children") {
        return;
    }
    let (s, [master, ..]) = scene();
    for length in (0..=15).chain([17, 24, 32]) {
        assert_eq!(s.derive(master, &[5; 16], &[A::U(CKA_VALUE_LEN, length)]), REFUSED, "{length} bytes");
    }
    for wish in [
        A::B(CKA_SENSITIVE, false),
        A::B(CKA_TOKEN, true),
        A::B(CKA_WRAP_WITH_TRUSTED, false),
        A::B(CKA_ENCRYPT, true),
        A::B(CKA_DECRYPT, true),
        A::B(CKA_DERIVE, true),
        A::B(CKA_WRAP, true),
        A::U(CKA_KEY_TYPE, CKK_GENERIC_SECRET),
        A::T(CKA_DERIVE_TEMPLATE, vec![]),
    ] {
        assert_eq!(s.derive(master, &[5; 16], from_ref(&wish)), REFUSED, "{wish:?}");
    }
    assert_eq!(s.derive(master, &[5; 32], &[]), Err(CKR_MECHANISM_PARAM_INVALID), "a second name for one child");
    // A master that pins nothing gives nothing.
    let unpinned = s.generate(&without(&master_free(), CKA_DERIVE_TEMPLATE)).unwrap();
    assert_eq!(s.derive(unpinned, &[5; 16], &[]), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    // Nor one whose pins leave gaps: what is not granted stays closed.
    let gaps = vec![A::B(CKA_EXTRACTABLE, true)];
    let gaps = s.generate(&with(&master_free(), &[A::T(CKA_DERIVE_TEMPLATE, gaps)])).unwrap();
    let child = s.derive(gaps, &[5; 16], &[]).unwrap();
    assert!(s.flag(child, CKA_SENSITIVE) && s.flag(child, CKA_WRAP_WITH_TRUSTED) && !s.flag(child, CKA_ENCRYPT));
    for wish in [
        A::U(CKA_VALUE_LEN, 8),
        A::U(CKA_KEY_TYPE, CKK_GENERIC_SECRET),
        A::B(CKA_ENCRYPT, true),
        A::B(CKA_SENSITIVE, false),
    ] {
        assert_eq!(s.derive(gaps, &[5; 16], from_ref(&wish)), REFUSED, "{wish:?}");
    }
    let opens = vec![A::B(CKA_SENSITIVE, false)];
    assert_eq!(s.generate(&with(&master_free(), &[A::T(CKA_DERIVE_TEMPLATE, opens)])), REFUSED);
}

fn master_free() -> Vec<A> {
    without(&deriving(card(), false), CKA_ID)
}

#[test]
fn a12_a13_a14_derive_and_another_use() {
    if !alone("attacks::a12_a13_a14_derive_and_another_use") {
        return;
    }
    let (s, [master, ..]) = scene();
    for other in [CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP] {
        assert_eq!(s.generate(&with(&master_free(), &[A::B(other, true)])), REFUSED, "DERIVE with {other:#x}");
        assert_eq!(s.create(&known(&[1; 16], &[CKA_DERIVE, other])), REFUSED);
    }
    assert_eq!(s.encrypt(&mut mech(SM4_ECB, &mut []), master, &[5; 16]), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    assert_eq!(
        s.encrypt(&mut GcmParams::new(&[0; 12], &[]).mech(), master, &[5; 16]),
        Err(CKR_KEY_FUNCTION_NOT_PERMITTED)
    );
    assert_eq!(s.sign(&mut mech(CMAC, &mut []), master, &[5; 16]), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
}

#[test]
fn a15_other_derivations() {
    if !alone("attacks::a15_other_derivations") {
        return;
    }
    let (s, [master, _, card]) = scene();
    for number in
        [CKM_CONCATENATE_BASE_AND_KEY, CKM_CONCATENATE_BASE_AND_DATA, CKM_XOR_BASE_AND_DATA, CKM_EXTRACT_KEY_FROM_KEY]
    {
        assert_eq!(s.derive_with(&mut mech(number, &mut [0; 16]), master, &[]), Err(CKR_MECHANISM_INVALID));
    }
    assert_eq!(s.xor(master, &[card], &[]), Err(CKR_MECHANISM_INVALID));
}

#[test]
fn a16_contradicting_uses() {
    if !alone("attacks::a16_contradicting_uses") {
        return;
    }
    let s = user_token();
    let groups: [&[CK_ATTRIBUTE_TYPE]; 5] =
        [&[CKA_ENCRYPT, CKA_DECRYPT], &[CKA_SIGN, CKA_VERIFY], &[CKA_WRAP], &[CKA_UNWRAP], &[CKA_DERIVE]];
    let mut refused = 0;
    for (at, group) in groups.iter().enumerate() {
        let together: Vec<A> = group.iter().map(|kind| A::B(*kind, true)).collect();
        s.generate(&together).unwrap();
        for other in groups[at + 1..].iter().copied().flatten() {
            for mine in *group {
                assert_eq!(s.generate(&[A::B(*mine, true), A::B(*other, true)]), REFUSED);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 2 * 5 + 2 * 3 + 2 + 1);
    assert_eq!(s.pair(&[], &[A::B(CKA_DECRYPT, true), A::B(CKA_UNWRAP, true)]).err(), Some(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(s.pair(&[], &[A::B(CKA_DECRYPT, true), A::B(CKA_SIGN, true)]).err(), Some(CKR_TEMPLATE_INCONSISTENT));
}

#[test]
fn a17_padding_oracle_on_unwrap() {
    if !alone("attacks::a17_padding_oracle_on_unwrap") {
        return;
    }
    let s = user_token();
    let free = s.create(&known(&[2; 16], &[CKA_UNWRAP])).unwrap();
    let plain = [A::U(CKA_CLASS, CKO_SECRET_KEY), A::U(CKA_KEY_TYPE, CKK_SM4)];
    let good = crate::chain::rfc3394(&[2; 16], &[3; 16]);
    let mut tried = 0;
    for bit in 0..good.len() * 8 {
        let mut damaged = good.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(s.unwrap(KEY_WRAP, free, &damaged, &plain), Err(CKR_WRAPPED_KEY_INVALID));
        tried += 1;
    }
    for length in (0..100).filter(|length| *length != 24) {
        assert_eq!(s.unwrap(KEY_WRAP, free, &vec![7; length], &plain), Err(CKR_WRAPPED_KEY_INVALID), "{length} bytes");
        assert_eq!(s.unwrap(GCM, free, &vec![7; length], &plain), Err(CKR_WRAPPED_KEY_INVALID), "{length} bytes");
    }
    assert_eq!(tried, 192);
    let (public, private) = s.pair(&[A::B(CKA_ENCRYPT, true)], &[A::B(CKA_UNWRAP, true)]).unwrap();
    let sealed = s.encrypt(&mut mech(SM2_ENCRYPT, &mut []), public, &[3; 16]).unwrap();
    s.unwrap(SM2_ENCRYPT, private, &sealed, &plain).unwrap();
    for at in 0..sealed.len() {
        let mut damaged = sealed.clone();
        damaged[at] ^= 0x40;
        assert_eq!(s.unwrap(SM2_ENCRYPT, private, &damaged, &plain), Err(CKR_WRAPPED_KEY_INVALID), "byte {at}");
    }
    let long = s.encrypt(&mut mech(SM2_ENCRYPT, &mut []), public, &[3; 17]).unwrap();
    assert_eq!(s.unwrap(SM2_ENCRYPT, private, &long, &plain), Err(CKR_WRAPPED_KEY_INVALID), "a key of 17 bytes");
}
