//! PKCS#11 2.40 §5.4 to §5.6 clause by clause: initialisation, slots and tokens, sessions and logins.

use std::ptr::null_mut;

use cryptoki_sys::*;

use crate::harness::*;

const SERIAL: CK_FLAGS = CKF_SERIAL_SESSION;
const WRITE: CK_FLAGS = CKF_SERIAL_SESSION | CKF_RW_SESSION;

fn arguments(flags: CK_FLAGS, functions: [bool; 4]) -> CK_C_INITIALIZE_ARGS {
    unsafe extern "C" fn create(_: *mut *mut std::ffi::c_void) -> CK_RV {
        CKR_GENERAL_ERROR
    }
    unsafe extern "C" fn other(_: *mut std::ffi::c_void) -> CK_RV {
        CKR_GENERAL_ERROR
    }
    CK_C_INITIALIZE_ARGS {
        CreateMutex: functions[0].then_some(create),
        DestroyMutex: functions[1].then_some(other),
        LockMutex: functions[2].then_some(other),
        UnlockMutex: functions[3].then_some(other),
        flags,
        pReserved: null_mut(),
    }
}

#[test]
fn initialisation_takes_the_four_forms_of_the_standard() {
    if !alone("standard_general::initialisation_takes_the_four_forms_of_the_standard") {
        return;
    }
    let lib = Lib::load();
    let threads = CKF_LIBRARY_CANT_CREATE_OS_THREADS;
    let (os, none, all) = (CKF_OS_LOCKING_OK, [false; 4], [true; 4]);
    let attempt = |mut arguments: CK_C_INITIALIZE_ARGS| {
        let outcome = call!(lib, C_Initialize, (&raw mut arguments).cast());
        if outcome.is_ok() {
            call!(lib, C_Finalize, null_mut()).unwrap();
        }
        outcome
    };
    // No threads, the system's locks, the application's or the system's; only the application's is refused as it may be.
    assert_eq!(attempt(arguments(0, none)), Ok(()));
    assert_eq!(attempt(arguments(os, none)), Ok(()));
    assert_eq!(attempt(arguments(os | threads, none)), Ok(()));
    assert_eq!(attempt(arguments(os, all)), Ok(()));
    assert_eq!(attempt(arguments(0, all)), Err(CKR_CANT_LOCK));
    // Some functions but not all.
    for given in 1_u8..15 {
        let some = [given & 1 != 0, given & 2 != 0, given & 4 != 0, given & 8 != 0];
        assert_eq!(attempt(arguments(os, some)), Err(CKR_ARGUMENTS_BAD), "{some:?}");
    }
    let reserved = CK_C_INITIALIZE_ARGS { pReserved: (&raw const lib).cast_mut().cast(), ..arguments(os, none) };
    assert_eq!(attempt(reserved), Err(CKR_ARGUMENTS_BAD));
    for _ in 0..3 {
        call!(lib, C_Initialize, null_mut()).unwrap();
        assert_eq!(call!(lib, C_Initialize, null_mut()), Err(CKR_CRYPTOKI_ALREADY_INITIALIZED));
        call!(lib, C_Finalize, null_mut()).unwrap();
        assert_eq!(call!(lib, C_Finalize, null_mut()), Err(CKR_CRYPTOKI_NOT_INITIALIZED));
    }
}

/// Every function but C_Initialize and C_GetFunctionList says that it is too early, before it looks at an argument.
#[test]
fn before_initialisation_every_function_says_so() {
    if !alone("standard_general::before_initialisation_every_function_says_so") {
        return;
    }
    let lib = Lib::load();
    let list: *const CK_FUNCTION_LIST = lib.0;
    for entry in 1..=68_usize {
        // 1 is C_Initialize, 4 C_GetFunctionList.
        if entry == 1 || entry == 4 {
            continue;
        }
        // SAFETY: 68 pointers follow the version. On the machines that the library is written for, arguments that a
        // function does not take are ignored, and no function takes more than eight; all of them are zero.
        let outcome = unsafe {
            let address = list.cast::<usize>().add(entry).read();
            let function: unsafe extern "C" fn(u64, u64, u64, u64, u64, u64, u64, u64) -> CK_RV =
                std::mem::transmute(address);
            function(0, 0, 0, 0, 0, 0, 0, 0)
        };
        assert_eq!(outcome, CKR_CRYPTOKI_NOT_INITIALIZED, "entry {entry}");
    }
}

#[test]
fn lists_are_asked_for_in_two_steps() {
    if !alone("standard_general::lists_are_asked_for_in_two_steps") {
        return;
    }
    let lib = Lib::initialised();
    lib.init_token(0, SO_PIN).unwrap();
    for present in [CK_FALSE, CK_TRUE] {
        let mut count = 77;
        call!(lib, C_GetSlotList, present, null_mut(), &mut count).unwrap();
        assert_eq!(count, 2);
        let mut list = [99; 4];
        for room in [0, 1] {
            let mut count = room;
            let short = call!(lib, C_GetSlotList, present, list.as_mut_ptr(), &mut count);
            assert_eq!((short, count, list), (Err(CKR_BUFFER_TOO_SMALL), 2, [99; 4]));
        }
        for room in [2, 3, 4] {
            let (mut list, mut count) = ([99; 4], room);
            call!(lib, C_GetSlotList, present, list.as_mut_ptr(), &mut count).unwrap();
            assert_eq!((list, count), ([0, 1, 99, 99], 2));
        }
        assert_eq!(call!(lib, C_GetSlotList, present, list.as_mut_ptr(), null_mut()), Err(CKR_ARGUMENTS_BAD));
    }
    let mut count = 0;
    call!(lib, C_GetMechanismList, 0, null_mut(), &mut count).unwrap();
    let (all, mut list) = (count, vec![0; count as usize]);
    count = all - 1;
    let short = call!(lib, C_GetMechanismList, 0, list.as_mut_ptr(), &mut count);
    assert_eq!((short, count), (Err(CKR_BUFFER_TOO_SMALL), all));
    assert!(list.iter().all(|number| *number == 0), "something was written into a short buffer");
    call!(lib, C_GetMechanismList, 0, list.as_mut_ptr(), &mut count).unwrap();
    let mut distinct = list.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), list.len(), "a mechanism is listed twice");
    let usable = CKF_ENCRYPT | CKF_DECRYPT | CKF_DIGEST | CKF_SIGN | CKF_VERIFY | CKF_GENERATE | CKF_GENERATE_KEY_PAIR;
    for number in list {
        let mut info = CK_MECHANISM_INFO { ulMinKeySize: 9, ulMaxKeySize: 0, flags: 0 };
        call!(lib, C_GetMechanismInfo, 0, number, &mut info).unwrap();
        assert!(info.ulMinKeySize <= info.ulMaxKeySize, "{number:#x}");
        assert_ne!(info.flags & (usable | CKF_WRAP | CKF_UNWRAP | CKF_DERIVE), 0, "{number:#x} does nothing");
        assert_eq!(info.flags & CKF_HW, 0, "this is software");
    }
    let mut info = CK_MECHANISM_INFO { ulMinKeySize: 0, ulMaxKeySize: 0, flags: 0 };
    for absent in [CKM_RSA_PKCS, CKM_AES_ECB, CK_ULONG::MAX, 0] {
        assert_eq!(call!(lib, C_GetMechanismInfo, 0, absent, &mut info), Err(CKR_MECHANISM_INVALID));
    }
    assert_eq!(call!(lib, C_GetMechanismInfo, 9, SM3, &mut info), Err(CKR_SLOT_ID_INVALID));
}

/// Text fields are padded with blanks and not ended by a zero (§3).
#[test]
fn texts_are_padded_with_blanks() {
    if !alone("standard_general::texts_are_padded_with_blanks") {
        return;
    }
    let lib = Lib::initialised();
    let padded = |text: &[u8]| {
        let end = text.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
        assert!(text[..end].iter().all(|byte| (b' '..0x7f).contains(byte)), "{text:?}");
    };
    let mut info = std::mem::MaybeUninit::<CK_INFO>::zeroed();
    call!(lib, C_GetInfo, info.as_mut_ptr()).unwrap();
    // SAFETY: plain data, filled.
    let info = unsafe { info.assume_init() };
    assert_eq!((info.cryptokiVersion.major, info.cryptokiVersion.minor, info.flags), (2, 40, 0));
    padded(&info.manufacturerID);
    padded(&info.libraryDescription);
    for slot in [0, 1] {
        let mut info = std::mem::MaybeUninit::<CK_SLOT_INFO>::zeroed();
        call!(lib, C_GetSlotInfo, 0, info.as_mut_ptr()).unwrap();
        // SAFETY: plain data, filled.
        let info = unsafe { info.assume_init() };
        padded(&info.slotDescription);
        padded(&info.manufacturerID);
        assert_eq!(info.flags, CKF_TOKEN_PRESENT);
        let token = lib.token_info(0);
        for text in [&token.label[..], &token.manufacturerID, &token.model, &token.serialNumber, &token.utcTime] {
            padded(text);
        }
        let initialised = token.flags & CKF_TOKEN_INITIALIZED != 0;
        assert_eq!(initialised, slot == 1);
        assert_ne!(token.flags & CKF_RNG, 0);
        assert_ne!(token.flags & CKF_LOGIN_REQUIRED, 0);
        assert_eq!(token.flags & (CKF_WRITE_PROTECTED | CKF_PROTECTED_AUTHENTICATION_PATH | CKF_CLOCK_ON_TOKEN), 0);
        assert!(token.ulMinPinLen <= token.ulMaxPinLen);
        if slot == 0 {
            lib.init_token(0, SO_PIN).unwrap();
        }
    }
    assert_eq!(&lib.token_info(0).label, b"test                            ");
    for slot in [7, CK_ULONG::MAX] {
        let mut info = std::mem::MaybeUninit::<CK_SLOT_INFO>::zeroed();
        assert_eq!(call!(lib, C_GetSlotInfo, slot, info.as_mut_ptr()), Err(CKR_SLOT_ID_INVALID));
        let mut info = std::mem::MaybeUninit::<CK_TOKEN_INFO>::zeroed();
        assert_eq!(call!(lib, C_GetTokenInfo, slot, info.as_mut_ptr()), Err(CKR_SLOT_ID_INVALID));
        assert_eq!(call!(lib, C_CloseAllSessions, slot), Err(CKR_SLOT_ID_INVALID));
    }
}

fn state(s: &Session) -> (CK_SLOT_ID, CK_STATE, CK_FLAGS) {
    let mut info = CK_SESSION_INFO { slotID: 9, state: 9, flags: 0, ulDeviceError: 9 };
    call!(s.lib, C_GetSessionInfo, s.handle, &mut info).unwrap();
    assert_eq!(info.ulDeviceError, 0);
    (info.slotID, info.state, info.flags)
}

/// The five states of a session (§2.6.4), and that a login is one of the token and not of a session.
#[test]
fn sessions_go_through_their_five_states() {
    if !alone("standard_general::sessions_go_through_their_five_states") {
        return;
    }
    let writer = fresh_token();
    let lib = writer.lib;
    let reader = lib.open_with(0, SERIAL).unwrap();
    assert_eq!(state(&writer), (0, CKS_RW_PUBLIC_SESSION, WRITE));
    assert_eq!(state(&reader), (0, CKS_RO_PUBLIC_SESSION, SERIAL));
    assert_eq!(reader.login(CKU_SO, SO_PIN), Err(CKR_SESSION_READ_ONLY_EXISTS));
    assert_eq!(writer.login(CKU_SO, SO_PIN), Err(CKR_SESSION_READ_ONLY_EXISTS), "some session is read-only");
    // A login through the read-only session is everybody's.
    reader.login(CKU_USER, USER_PIN).unwrap();
    assert_eq!((state(&writer).1, state(&reader).1), (CKS_RW_USER_FUNCTIONS, CKS_RO_USER_FUNCTIONS));
    let later = lib.open_with(0, SERIAL).unwrap();
    assert_eq!(state(&later).1, CKS_RO_USER_FUNCTIONS, "a session opened later is logged in too");
    assert_eq!(writer.login(CKU_USER, USER_PIN), Err(CKR_USER_ALREADY_LOGGED_IN));
    assert_eq!(writer.login(CKU_USER, "wrong-pin"), Err(CKR_USER_ALREADY_LOGGED_IN));
    assert!(matches!(
        writer.login(CKU_SO, SO_PIN),
        Err(CKR_USER_ANOTHER_ALREADY_LOGGED_IN | CKR_SESSION_READ_ONLY_EXISTS)
    ));
    writer.logout().unwrap();
    assert_eq!((state(&writer).1, state(&later).1), (CKS_RW_PUBLIC_SESSION, CKS_RO_PUBLIC_SESSION));
    for session in [&reader, &later] {
        call!(lib, C_CloseSession, session.handle).unwrap();
        assert_eq!(call!(lib, C_CloseSession, session.handle), Err(CKR_SESSION_HANDLE_INVALID));
    }
    writer.login(CKU_SO, SO_PIN).unwrap();
    assert_eq!(state(&writer).1, CKS_RW_SO_FUNCTIONS);
    assert_eq!(lib.open_with(0, SERIAL).err(), Some(CKR_SESSION_READ_WRITE_SO_EXISTS));
    let other = lib.open_with(0, WRITE).unwrap();
    assert_eq!(state(&other).1, CKS_RW_SO_FUNCTIONS);
    assert_eq!(other.login(CKU_USER, USER_PIN), Err(CKR_USER_ANOTHER_ALREADY_LOGGED_IN));
    assert_eq!(other.login(CKU_SO, SO_PIN), Err(CKR_USER_ALREADY_LOGGED_IN));
    // The last session that closes takes the login with it; one that is not the last does not.
    call!(lib, C_CloseSession, writer.handle).unwrap();
    assert_eq!(state(&other).1, CKS_RW_SO_FUNCTIONS);
    call!(lib, C_CloseAllSessions, 0).unwrap();
    let fresh = lib.open_with(0, SERIAL).unwrap();
    assert_eq!(state(&fresh).1, CKS_RO_PUBLIC_SESSION);
    for flags in [0, CKF_RW_SESSION] {
        assert_eq!(lib.open_with(0, flags).err(), Some(CKR_SESSION_PARALLEL_NOT_SUPPORTED));
    }
    // Handles are never used again, also not after C_Finalize.
    call!(lib, C_Finalize, null_mut()).unwrap();
    call!(lib, C_Initialize, null_mut()).unwrap();
    let reborn = lib.open(0);
    for old in [&writer, &reader, &later, &other, &fresh] {
        assert_ne!(old.handle, reborn.handle);
        assert_eq!(old.generate(&[]), Err(CKR_SESSION_HANDLE_INVALID));
    }
}

/// What each state may do with each kind of object (§2.6.4, table 7), and with PINs.
#[test]
fn states_decide_what_may_be_touched() {
    if !alone("standard_general::states_decide_what_may_be_touched") {
        return;
    }
    let s = fresh_token();
    let lib = s.lib;
    let reader = lib.open_with(0, SERIAL).unwrap();
    let data = |token, private| [A::U(CKA_CLASS, CKO_DATA), A::B(CKA_TOKEN, token), A::B(CKA_PRIVATE, private)];
    // Public sessions: public session objects only.
    for session in [&s, &reader] {
        session.create(&data(false, false)).unwrap();
        assert_eq!(session.create(&data(false, true)), Err(CKR_USER_NOT_LOGGED_IN));
        assert!(session.create(&data(true, false)).is_err() && session.create(&data(true, true)).is_err());
        assert_eq!(session.init_pin("some-pin"), Err(CKR_USER_NOT_LOGGED_IN));
    }
    s.login(CKU_USER, USER_PIN).unwrap();
    for private in [false, true] {
        let object = s.create(&data(true, private)).unwrap();
        assert_eq!(reader.create(&data(true, private)), Err(CKR_SESSION_READ_ONLY));
        assert_eq!(reader.set(object, &[A::D(CKA_LABEL, b"x".to_vec())]), Err(CKR_SESSION_READ_ONLY));
        assert_eq!(reader.copy(object, &[]), Err(CKR_SESSION_READ_ONLY));
        assert_eq!(reader.destroy(object), Err(CKR_SESSION_READ_ONLY));
        let copy = reader.copy(object, &[A::B(CKA_TOKEN, false)]).unwrap();
        reader.destroy(copy).unwrap();
        s.destroy(object).unwrap();
        let session_object = reader.create(&data(false, private)).unwrap();
        reader.set(session_object, &[A::D(CKA_LABEL, b"x".to_vec())]).unwrap();
        // Session objects are visible in the application's other sessions, and end with their own.
        assert_eq!(s.get(session_object, CKA_LABEL).unwrap(), b"x");
    }
    assert_eq!(s.init_pin("some-pin"), Err(CKR_USER_NOT_LOGGED_IN), "the user is not the SO");
    let (old, new) = (USER_PIN.as_ptr().cast_mut(), b"another-pin".as_ptr().cast_mut());
    let length = USER_PIN.len() as CK_ULONG;
    assert_eq!(call!(lib, C_SetPIN, reader.handle, old, length, new, 11), Err(CKR_SESSION_READ_ONLY));
    assert_eq!(call!(lib, C_SetPIN, s.handle, new, 11, new, 11), Err(CKR_PIN_INCORRECT));
    assert_eq!(call!(lib, C_SetPIN, s.handle, old, length, new, 3), Err(CKR_PIN_LEN_RANGE));
    // C_SetPIN needs no login.
    s.logout().unwrap();
    call!(lib, C_SetPIN, s.handle, old, length, new, 11).unwrap();
    assert_eq!(s.login(CKU_USER, USER_PIN), Err(CKR_PIN_INCORRECT));
    call!(lib, C_CloseSession, reader.handle).unwrap();
    s.login(CKU_SO, SO_PIN).unwrap();
    s.create(&data(true, false)).unwrap();
    assert_eq!(s.create(&data(true, true)), Err(CKR_USER_NOT_LOGGED_IN));
    assert_eq!(s.init_pin("abc"), Err(CKR_PIN_LEN_RANGE));
    s.init_pin(USER_PIN).unwrap();
    assert_eq!(lib.init_token(0, SO_PIN), Err(CKR_SESSION_EXISTS));
}

/// A logout takes private objects, their handles and the operations with them; public ones stay (§5.6, C_Logout).
#[test]
fn a_logout_takes_what_was_private() {
    if !alone("standard_general::a_logout_takes_what_was_private") {
        return;
    }
    let s = user_token();
    let other = s.lib.open(0);
    let stored = s.generate(&[A::B(CKA_TOKEN, true), A::B(CKA_ENCRYPT, true), A::D(CKA_ID, b"k".to_vec())]).unwrap();
    let passing = s.generate(&[A::B(CKA_ENCRYPT, true)]).unwrap();
    let public = s.create(&[A::U(CKA_CLASS, CKO_DATA), A::B(CKA_PRIVATE, false)]).unwrap();
    call!(s.lib, C_EncryptInit, s.handle, &mut mech(SM4_ECB, &mut []), passing).unwrap();
    call!(s.lib, C_EncryptInit, other.handle, &mut mech(SM4_ECB, &mut []), stored).unwrap();
    call!(s.lib, C_DigestInit, s.handle, &mut mech(SM3, &mut [])).unwrap();
    call!(s.lib, C_FindObjectsInit, other.handle, null_mut(), 0).unwrap();
    s.logout().unwrap();
    let (mut block, mut length) = ([0; 16], 16);
    let b = block.as_mut_ptr();
    for session in [&s, &other] {
        let goes_on = call!(s.lib, C_Encrypt, session.handle, b, 16, b, &mut length);
        assert_eq!(goes_on, Err(CKR_OPERATION_NOT_INITIALIZED), "a key was used after the logout");
    }
    assert_eq!(call!(s.lib, C_FindObjects, other.handle, &mut 0, 1, &mut 0), Err(CKR_OPERATION_NOT_INITIALIZED));
    for session in [&s, &other] {
        for gone in [stored, passing] {
            assert_eq!(session.get(gone, CKA_CLASS), Err(CKR_OBJECT_HANDLE_INVALID));
        }
        session.get(public, CKA_CLASS).unwrap();
    }
    s.login(CKU_USER, USER_PIN).unwrap();
    for gone in [stored, passing] {
        assert_eq!(s.get(gone, CKA_CLASS), Err(CKR_OBJECT_HANDLE_INVALID), "even after the next login");
    }
    assert_ne!(s.by_id("k"), [stored]);
    assert_eq!(s.by_id("k").len(), 1);
    // An object destroyed through one session is gone in the others.
    let shared = s.generate(&[A::B(CKA_ENCRYPT, true)]).unwrap();
    other.destroy(shared).unwrap();
    assert_eq!(s.get(shared, CKA_CLASS), Err(CKR_OBJECT_HANDLE_INVALID));
    let begin = call!(s.lib, C_EncryptInit, s.handle, &mut mech(SM4_ECB, &mut []), shared);
    assert_eq!(begin, Err(CKR_KEY_HANDLE_INVALID));
    // A session's objects go with it, its neighbour's stay.
    let (mine, theirs) = (s.generate(&[]).unwrap(), other.generate(&[]).unwrap());
    call!(s.lib, C_CloseSession, other.handle).unwrap();
    assert_eq!(s.get(theirs, CKA_CLASS), Err(CKR_OBJECT_HANDLE_INVALID));
    s.get(mine, CKA_CLASS).unwrap();
}

/// §5.14 and §5.15.
#[test]
fn random_numbers_and_parallel_functions() {
    if !alone("standard_general::random_numbers_and_parallel_functions") {
        return;
    }
    let s = fresh_token();
    let (lib, h) = (s.lib, s.handle);
    for length in [1_usize, 2, 16, 4096, 2 << 20] {
        let mut bytes = vec![0; length];
        call!(lib, C_GenerateRandom, h, bytes.as_mut_ptr(), length as CK_ULONG).unwrap();
        assert!(length < 16 || bytes.iter().any(|byte| *byte != 0));
    }
    let mut seed = [7; 64];
    call!(lib, C_SeedRandom, h, seed.as_mut_ptr(), 64).unwrap();
    assert_eq!(call!(lib, C_GenerateRandom, h, null_mut(), 16), Err(CKR_ARGUMENTS_BAD));
    assert_eq!(call!(lib, C_GenerateRandom, h, seed.as_mut_ptr(), CK_ULONG::MAX), Err(CKR_ARGUMENTS_BAD));
    assert_eq!(call!(lib, C_SeedRandom, h, null_mut(), 16), Err(CKR_ARGUMENTS_BAD));
    assert_eq!(call!(lib, C_SeedRandom, h, seed.as_mut_ptr(), CK_ULONG::MAX), Err(CKR_ARGUMENTS_BAD));
    assert_eq!(call!(lib, C_GetFunctionStatus, h), Err(CKR_FUNCTION_NOT_PARALLEL));
    assert_eq!(call!(lib, C_CancelFunction, h), Err(CKR_FUNCTION_NOT_PARALLEL));
    let mut slot = 0;
    assert_eq!(call!(lib, C_WaitForSlotEvent, CKF_DONT_BLOCK, &mut slot, null_mut()), Err(CKR_NO_EVENT));
    assert_eq!(call!(lib, C_WaitForSlotEvent, 0, &mut slot, null_mut()), Err(CKR_FUNCTION_NOT_SUPPORTED));
    let reserved = (&raw mut seed).cast();
    assert_eq!(call!(lib, C_WaitForSlotEvent, CKF_DONT_BLOCK, &mut slot, reserved), Err(CKR_ARGUMENTS_BAD));
}
