//! PINs: tries, locks, flags, and what each role may do.

use cryptoki_sys::*;

use crate::harness::*;

/// The constant that the token documents.
const TRIES: usize = 10;

#[test]
fn wrong_pins_lock_the_user_and_the_so_unlocks() {
    if !alone("pins::wrong_pins_lock_the_user_and_the_so_unlocks") {
        return;
    }
    let s = fresh_token();
    let flags = || s.lib.token_info(0).flags;
    assert_eq!(flags() & (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED), 0);
    for attempt in 1..=TRIES {
        assert_eq!(s.login(CKU_USER, "wrong"), Err(CKR_PIN_INCORRECT), "try {attempt}");
        assert_ne!(flags() & CKF_USER_PIN_COUNT_LOW, 0);
        assert_eq!(flags() & CKF_USER_PIN_FINAL_TRY != 0, attempt == TRIES - 1);
        assert_eq!(flags() & CKF_USER_PIN_LOCKED != 0, attempt == TRIES);
        assert_eq!(flags() & (CKF_SO_PIN_COUNT_LOW | CKF_SO_PIN_FINAL_TRY | CKF_SO_PIN_LOCKED), 0);
    }
    assert_eq!(s.login(CKU_USER, USER_PIN), Err(CKR_PIN_LOCKED));
    s.login(CKU_SO, SO_PIN).unwrap();
    s.init_pin("another-pin").unwrap();
    s.logout().unwrap();
    assert_eq!(flags() & CKF_USER_PIN_LOCKED, 0);
    assert_eq!(s.login(CKU_USER, USER_PIN), Err(CKR_PIN_INCORRECT));
    s.login(CKU_USER, "another-pin").unwrap();
    assert_eq!(flags() & CKF_USER_PIN_COUNT_LOW, 0, "a right PIN clears the count");
}

#[test]
fn a_locked_so_pin_stays_locked() {
    if !alone("pins::a_locked_so_pin_stays_locked") {
        return;
    }
    let s = fresh_token();
    for _ in 0..TRIES - 1 {
        assert_eq!(s.login(CKU_SO, "wrong"), Err(CKR_PIN_INCORRECT));
    }
    assert_ne!(s.lib.token_info(0).flags & CKF_SO_PIN_FINAL_TRY, 0);
    call!(s.lib, C_CloseSession, s.handle).unwrap();
    assert_eq!(s.lib.init_token(0, "wrong"), Err(CKR_PIN_INCORRECT), "C_InitToken is a try as well");
    assert_eq!(s.lib.init_token(0, SO_PIN), Err(CKR_PIN_LOCKED));
    let s = s.lib.open(0);
    assert_eq!(s.login(CKU_SO, SO_PIN), Err(CKR_PIN_LOCKED));
    s.login(CKU_USER, USER_PIN).unwrap();
}

#[test]
fn pin_changes_keep_the_objects() {
    if !alone("pins::pin_changes_keep_the_objects") {
        return;
    }
    let s = user_token();
    let key = s.generate(&[A::B(CKA_TOKEN, true), A::D(CKA_ID, b"k".to_vec())]).unwrap();
    let check_value = s.get(key, CKA_CHECK_VALUE).unwrap();
    let set = |old: &str, new: &str| {
        let (o, n) = (old.as_ptr().cast_mut(), new.as_ptr().cast_mut());
        call!(s.lib, C_SetPIN, s.handle, o, old.len() as CK_ULONG, n, new.len() as CK_ULONG)
    };
    assert_eq!(set(USER_PIN, "abc"), Err(CKR_PIN_LEN_RANGE));
    assert_eq!(set(USER_PIN, &"x".repeat(65)), Err(CKR_PIN_LEN_RANGE));
    assert_eq!(set("wrong-pin", "next-pin"), Err(CKR_PIN_INCORRECT));
    set(USER_PIN, "next-pin").unwrap();
    s.logout().unwrap();
    assert_eq!(s.login(CKU_USER, USER_PIN), Err(CKR_PIN_INCORRECT));
    s.login(CKU_USER, "next-pin").unwrap();
    assert_eq!(s.get(s.by_id("k")[0], CKA_CHECK_VALUE).unwrap(), check_value);
    s.logout().unwrap();
    s.login(CKU_SO, SO_PIN).unwrap();
    s.init_pin("third-pin").unwrap();
    set(SO_PIN, "so-pin-2").unwrap();
    s.logout().unwrap();
    assert_eq!(s.login(CKU_SO, SO_PIN), Err(CKR_PIN_INCORRECT));
    s.login(CKU_USER, "third-pin").unwrap();
    assert_eq!(s.get(s.by_id("k")[0], CKA_CHECK_VALUE).unwrap(), check_value);
}

#[test]
fn logins_follow_the_standard() {
    if !alone("pins::logins_follow_the_standard") {
        return;
    }
    let lib = Lib::initialised();
    lib.init_token(0, SO_PIN).unwrap();
    let s = lib.open(0);
    assert_eq!(s.login(CKU_USER, USER_PIN), Err(CKR_USER_PIN_NOT_INITIALIZED));
    assert_eq!(s.init_pin(USER_PIN), Err(CKR_USER_NOT_LOGGED_IN));
    assert_eq!(s.logout(), Err(CKR_USER_NOT_LOGGED_IN));
    assert_eq!(s.login(7, SO_PIN), Err(CKR_USER_TYPE_INVALID));
    assert_eq!(s.login(CKU_CONTEXT_SPECIFIC, SO_PIN), Err(CKR_OPERATION_NOT_INITIALIZED));
    s.login(CKU_SO, SO_PIN).unwrap();
    s.init_pin(USER_PIN).unwrap();
    assert_eq!(s.login(CKU_SO, SO_PIN), Err(CKR_USER_ALREADY_LOGGED_IN));
    assert_eq!(s.login(CKU_USER, USER_PIN), Err(CKR_USER_ANOTHER_ALREADY_LOGGED_IN));
    assert_eq!(lib.open_with(0, CKF_SERIAL_SESSION).err(), Some(CKR_SESSION_READ_WRITE_SO_EXISTS));
    s.logout().unwrap();
    let reader = lib.open_with(0, CKF_SERIAL_SESSION).unwrap();
    assert_eq!(s.login(CKU_SO, SO_PIN), Err(CKR_SESSION_READ_ONLY_EXISTS));
    s.login(CKU_USER, USER_PIN).unwrap();
    let state = |s: &Session| {
        let mut info = CK_SESSION_INFO { slotID: 9, state: 9, flags: 0, ulDeviceError: 0 };
        call!(lib, C_GetSessionInfo, s.handle, &mut info).unwrap();
        info.state
    };
    assert_eq!((state(&s), state(&reader)), (CKS_RW_USER_FUNCTIONS, CKS_RO_USER_FUNCTIONS));
    assert_eq!(reader.generate(&[A::B(CKA_TOKEN, true)]), Err(CKR_SESSION_READ_ONLY));
    reader.generate(&[]).unwrap();
    assert_eq!(lib.init_token(0, SO_PIN), Err(CKR_SESSION_EXISTS));
    call!(lib, C_CloseAllSessions, 0).unwrap();
    let s = lib.open(0);
    assert_eq!(state(&s), CKS_RW_PUBLIC_SESSION, "the last session took the login with it");
    assert_eq!(s.generate(&[]), Err(CKR_USER_NOT_LOGGED_IN));
    assert_eq!(s.generate(&[A::B(CKA_PRIVATE, false), A::B(CKA_TOKEN, true)]), Err(CKR_USER_NOT_LOGGED_IN));
    assert_eq!(lib.open_with(0, CKF_RW_SESSION).err(), Some(CKR_SESSION_PARALLEL_NOT_SUPPORTED));
    assert_eq!(lib.open_with(1, CKF_SERIAL_SESSION).err(), Some(CKR_TOKEN_NOT_RECOGNIZED));
    assert_eq!(lib.open_with(77, CKF_SERIAL_SESSION).err(), Some(CKR_SLOT_ID_INVALID));
    assert_eq!(lib.init_token(1, "123"), Err(CKR_PIN_LEN_RANGE));
}

#[test]
fn slots_stay_with_their_tokens() {
    if !alone("pins::slots_stay_with_their_tokens") {
        return;
    }
    let lib = Lib::initialised();
    assert_eq!(lib.slots(), [0]);
    assert_eq!(lib.token_info(0).flags & CKF_TOKEN_INITIALIZED, 0);
    let mut serials = Vec::new();
    for slot in 0..3 {
        lib.init_token(slot, SO_PIN).unwrap();
        let info = lib.token_info(slot);
        assert_ne!(info.flags & CKF_TOKEN_INITIALIZED, 0);
        assert_eq!(&info.model, b"hsm-sim         ");
        assert_eq!(&info.manufacturerID[..11], b"KMS project");
        assert!(info.serialNumber.iter().all(u8::is_ascii_hexdigit));
        serials.push(info.serialNumber);
    }
    assert_eq!(lib.slots(), [0, 1, 2, 3]);
    lib.init_token(1, SO_PIN).unwrap();
    assert_ne!(lib.token_info(1).serialNumber, serials[1], "a token initialised anew has a new serial number");
    assert_eq!(lib.token_info(2).serialNumber, serials[2]);
    assert_eq!(lib.init_token(1, "other-so-pin"), Err(CKR_PIN_INCORRECT));
}

#[test]
fn initialising_again_erases() {
    if !alone("pins::initialising_again_erases") {
        return;
    }
    let s = user_token();
    s.generate(&[A::B(CKA_TOKEN, true), A::D(CKA_ID, b"k".to_vec())]).unwrap();
    call!(s.lib, C_CloseSession, s.handle).unwrap();
    s.lib.init_token(0, SO_PIN).unwrap();
    let again = s.lib.open(0);
    assert_eq!(again.login(CKU_USER, USER_PIN), Err(CKR_USER_PIN_NOT_INITIALIZED));
    again.login(CKU_SO, SO_PIN).unwrap();
    again.init_pin(USER_PIN).unwrap();
    again.become_(CKU_USER);
    assert!(again.find(&[]).is_empty());
}
