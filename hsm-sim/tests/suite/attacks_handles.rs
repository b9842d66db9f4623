//! The 25 known attacks on key management through PKCS#11, 18 to 25: trust, identities, handles, forks, IVs.

use cryptoki_sys::*;

use crate::{
    attacks::scene,
    harness::*,
    roles::{card, component, kek, known, master},
};

#[test]
fn a18_a19_a20_trust_and_wrap_templates() {
    if !alone("attacks_handles::a18_a19_a20_trust_and_wrap_templates") {
        return;
    }
    let (s, [_, kek_key, card]) = scene();
    let own = s.generate(&[A::B(CKA_WRAP, true), A::B(CKA_PRIVATE, false)]).unwrap();
    assert_eq!(s.set(own, &[A::B(CKA_TRUSTED, true)]), Err(CKR_ATTRIBUTE_READ_ONLY));
    assert_eq!(s.wrap(KEY_WRAP, own, card), Err(CKR_KEY_NOT_WRAPPABLE), "WRAP_WITH_TRUSTED under an untrusted key");
    s.wrap(KEY_WRAP, kek_key, card).unwrap();
    // Not what WRAP_TEMPLATE says: another type, or one that may leave under anything.
    let hmac = [A::U(CKA_VALUE_LEN, 16), A::B(CKA_EXTRACTABLE, true), A::B(CKA_WRAP_WITH_TRUSTED, true)];
    let hmac = s.generate_with(CKM_GENERIC_SECRET_KEY_GEN, &hmac).unwrap();
    let loose = s.generate(&[A::B(CKA_EXTRACTABLE, true)]).unwrap();
    for key in [hmac, loose] {
        assert_eq!(s.wrap(KEY_WRAP, kek_key, key), Err(CKR_KEY_NOT_WRAPPABLE));
    }
    let fixed = s.generate(&[]).unwrap();
    assert_eq!(s.wrap(KEY_WRAP, kek_key, fixed), Err(CKR_KEY_UNEXTRACTABLE));
    assert_eq!(s.wrap(KEY_WRAP, kek_key, kek_key), Err(CKR_KEY_NOT_WRAPPABLE), "a key under itself");
    assert_eq!(s.wrap(GCM, kek_key, card), Err(CKR_MECHANISM_INVALID), "ALLOWED_MECHANISMS");
    assert_eq!(s.wrap(SM2_ENCRYPT, kek_key, card), Err(CKR_WRAPPING_KEY_TYPE_INCONSISTENT));
}

#[test]
fn a21_a_second_object_of_the_same_identity() {
    if !alone("attacks_handles::a21_a_second_object_of_the_same_identity") {
        return;
    }
    let (s, [master_key, ..]) = scene();
    let taken = Err(CKR_ATTRIBUTE_VALUE_INVALID);
    assert_eq!(s.generate(&master("master", false)), taken);
    assert_eq!(
        s.create(&with(&known(&[1; 16], &[CKA_DERIVE]), &[A::D(CKA_ID, b"master".to_vec())])),
        taken,
        "session object"
    );
    let other = s.generate(&[A::B(CKA_TOKEN, true), A::D(CKA_ID, b"other".to_vec())]).unwrap();
    assert_eq!(s.set(other, &[A::D(CKA_ID, b"master".to_vec())]), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    // The SO does not see the master, and cannot put another one beside it all the same.
    s.become_(CKU_SO);
    assert_eq!(s.generate(&kek("master")), taken);
    assert_eq!(s.generate(&kek("kek")), taken);
    s.become_(CKU_USER);
    assert_eq!(s.by_id("master").len(), 1);
    // Another class may share the ID, as the halves of a pair do; and an ID is free again after its object.
    let (public, private) = crate::roles::signing_pair("master");
    s.pair(&public, &private).unwrap();
    assert_eq!(s.pair(&public, &private).err(), Some(CKR_ATTRIBUTE_VALUE_INVALID));
    assert_eq!(s.find(&[A::U(CKA_CLASS, CKO_PRIVATE_KEY)]).len(), 1, "half a pair stayed behind");
    assert_eq!(s.destroy(master_key), Err(CKR_OBJECT_HANDLE_INVALID), "a handle of the login before");
    s.destroy(s.find(&[A::D(CKA_ID, b"master".to_vec()), A::U(CKA_CLASS, CKO_SECRET_KEY)])[0]).unwrap();
    s.generate(&master("master", false)).unwrap();
}

#[test]
fn a22_stale_handles() {
    if !alone("attacks_handles::a22_stale_handles") {
        return;
    }
    let (s, [master_key, kek_key, card]) = scene();
    let second = s.lib.open(0);
    let theirs = second.generate(&[]).unwrap();
    call!(s.lib, C_CloseSession, second.handle).unwrap();
    assert_eq!(s.get(theirs, CKA_CLASS), Err(CKR_OBJECT_HANDLE_INVALID), "session objects end with their session");
    assert_eq!(second.generate(&[]), Err(CKR_SESSION_HANDLE_INVALID));
    s.logout().unwrap();
    let stale = [master_key, card];
    for key in stale {
        assert_eq!(s.get(key, CKA_CLASS), Err(CKR_OBJECT_HANDLE_INVALID));
    }
    s.login(CKU_USER, USER_PIN).unwrap();
    for key in stale {
        assert_eq!(s.get(key, CKA_CLASS), Err(CKR_OBJECT_HANDLE_INVALID), "a handle came back to life");
        assert_eq!(s.derive(key, &[5; 16], &[]), Err(CKR_KEY_HANDLE_INVALID));
        assert_eq!(s.wrap(KEY_WRAP, kek_key, key), Err(CKR_KEY_HANDLE_INVALID));
    }
    let fresh = s.by_id("master")[0];
    s.derive(fresh, &[5; 16], &[]).unwrap();
    call!(s.lib, C_Finalize, std::ptr::null_mut()).unwrap();
    call!(s.lib, C_Initialize, std::ptr::null_mut()).unwrap();
    assert_eq!(s.derive(fresh, &[5; 16], &[]), Err(CKR_SESSION_HANDLE_INVALID));
    let again = s.lib.open(0);
    again.login(CKU_USER, USER_PIN).unwrap();
    assert_eq!(again.derive(fresh, &[5; 16], &[]), Err(CKR_KEY_HANDLE_INVALID));
}

// a23, exhausting the PIN's tries: `pins::wrong_pins_lock_the_user_and_the_so_unlocks`.

#[test]
fn a24_use_after_fork() {
    if !alone("attacks_handles::a24_use_after_fork") {
        return;
    }
    let (s, [master_key, ..]) = scene();
    // SAFETY: the child only calls the library and leaves without running destructors.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = s.derive(master_key, &[5; 16], &[]) == Err(CKR_CRYPTOKI_NOT_INITIALIZED);
        let again = call!(s.lib, C_Initialize, std::ptr::null_mut()).is_ok();
        let stranger = s.derive(master_key, &[5; 16], &[]) == Err(CKR_SESSION_HANDLE_INVALID);
        let own = s.lib.open(0).login(CKU_USER, USER_PIN).is_ok();
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(!(refused && again && stranger && own))) };
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the child could use its parent's session");
    s.derive(master_key, &[5; 16], &[]).unwrap();
}

#[test]
fn a25_wrap_with_a_chosen_iv() {
    if !alone("attacks_handles::a25_wrap_with_a_chosen_iv") {
        return;
    }
    let s = user_token();
    let wrapper = s.generate(&[A::B(CKA_WRAP, true)]).unwrap();
    let key = s.generate(&[A::B(CKA_EXTRACTABLE, true)]).unwrap();
    let mut chosen = GcmParams::new(&[1; 12], b"header");
    assert_eq!(s.wrap_with(&mut chosen.mech(), wrapper, key), Err(CKR_MECHANISM_PARAM_INVALID));
    let mut own = GcmParams::new(&[], b"header");
    let (one, two) =
        (s.wrap_with(&mut own.mech(), wrapper, key).unwrap(), s.wrap_with(&mut own.mech(), wrapper, key).unwrap());
    assert_eq!(one.len(), 12 + 16 + 16);
    assert_ne!(one[..12], two[..12], "the same IV twice");
    assert_eq!(s.wrap(GCM, wrapper, key).unwrap().len(), 44);

    // The other end, with a key of known value.
    let (open, seal) =
        (s.create(&known(&[6; 16], &[CKA_UNWRAP])).unwrap(), s.create(&known(&[6; 16], &[CKA_ENCRYPT])).unwrap());
    let blob =
        [vec![9; 12], s.encrypt(&mut GcmParams::new(&[9; 12], b"header").mech(), seal, &[3; 16]).unwrap()].concat();
    let plain = [A::U(CKA_CLASS, CKO_SECRET_KEY), A::U(CKA_KEY_TYPE, CKK_SM4)];
    let arrived = s.unwrap_with(&mut own.mech(), open, &blob, &plain).unwrap();
    let expected = s.create(&known(&[3; 16], &[])).unwrap();
    assert_eq!(s.get(arrived, CKA_CHECK_VALUE).unwrap(), s.get(expected, CKA_CHECK_VALUE).unwrap());
    assert_eq!(s.unwrap(GCM, open, &blob, &plain), Err(CKR_WRAPPED_KEY_INVALID), "other AAD");
    assert_eq!(s.unwrap_with(&mut chosen.mech(), open, &blob, &plain), Err(CKR_MECHANISM_PARAM_INVALID));
}

#[test]
fn digests_of_keys() {
    if !alone("attacks_handles::digests_of_keys") {
        return;
    }
    let (s, keys) = scene();
    let short = s.create(&with(&known(&[7], &[]), &[A::U(CKA_KEY_TYPE, CKK_GENERIC_SECRET)])).unwrap();
    for key in keys.into_iter().chain([short]) {
        call!(s.lib, C_DigestInit, s.handle, &mut mech(SM3, &mut [])).unwrap();
        assert_eq!(call!(s.lib, C_DigestKey, s.handle, key), Err(CKR_KEY_INDIGESTIBLE));
        let (mut out, mut length) = ([0; 32], 32);
        call!(s.lib, C_DigestFinal, s.handle, out.as_mut_ptr(), &mut length).unwrap();
    }
    assert_eq!(s.get(short, CKA_CHECK_VALUE), Err(CKR_ATTRIBUTE_TYPE_INVALID), "a check value of a short key");
    // Components: a single one tells nothing, and none of them can be read.
    let part = s.create(&with(&component(card()), &[A::D(CKA_VALUE, vec![1; 16])])).unwrap();
    assert_eq!(s.get(part, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
}
