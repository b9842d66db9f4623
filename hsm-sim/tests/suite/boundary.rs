//! The C boundary: every entry present, exact lengths, and no input that crashes the library.

use std::ptr::null_mut;

use cryptoki_sys::*;

use crate::{harness::*, roles::known};

const ENTRIES: usize = 68;

#[test]
fn all_68_entries_are_there() {
    let lib = Lib::load();
    assert_eq!((lib.0.version.major, lib.0.version.minor), (2, 40));
    let list: *const CK_FUNCTION_LIST = lib.0;
    assert_eq!(size_of::<CK_FUNCTION_LIST>(), (ENTRIES + 1) * size_of::<usize>());
    for entry in 1..=ENTRIES {
        // SAFETY: the list is the version, padded to a pointer, and 68 pointers.
        let address = unsafe { list.cast::<usize>().add(entry).read() };
        assert_ne!(address, 0, "entry {entry} is null");
    }
}

#[test]
fn nothing_works_before_initialisation() {
    if !alone("boundary::nothing_works_before_initialisation") {
        return;
    }
    let lib = Lib::load();
    let (mut count, not_yet) = (0, Err(CKR_CRYPTOKI_NOT_INITIALIZED));
    assert_eq!(call!(lib, C_GetSlotList, CK_TRUE, null_mut(), &mut count), not_yet);
    assert_eq!(call!(lib, C_GetInfo, null_mut()), not_yet);
    assert_eq!(call!(lib, C_Finalize, null_mut()), not_yet);
    assert_eq!(call!(lib, C_GenerateRandom, 1, null_mut(), 0), not_yet);
    assert_eq!(call!(lib, C_WrapKey, 1, null_mut(), 1, 1, null_mut(), null_mut()), not_yet);
    let mut arguments = CK_C_INITIALIZE_ARGS {
        CreateMutex: None,
        DestroyMutex: None,
        LockMutex: None,
        UnlockMutex: None,
        flags: CKF_OS_LOCKING_OK,
        pReserved: (&raw mut count).cast(),
    };
    assert_eq!(call!(lib, C_Initialize, (&raw mut arguments).cast()), Err(CKR_ARGUMENTS_BAD));
    arguments.pReserved = null_mut();
    call!(lib, C_Initialize, (&raw mut arguments).cast()).unwrap();
    assert_eq!(call!(lib, C_Initialize, null_mut()), Err(CKR_CRYPTOKI_ALREADY_INITIALIZED));
    assert_eq!(call!(lib, C_Finalize, (&raw mut count).cast()), Err(CKR_ARGUMENTS_BAD));
    call!(lib, C_Finalize, null_mut()).unwrap();
    assert_eq!(call!(lib, C_GetInfo, null_mut()), not_yet);
    call!(lib, C_Initialize, null_mut()).unwrap();
    assert_eq!(call!(lib, C_GetInfo, null_mut()), Err(CKR_ARGUMENTS_BAD));
}

#[test]
fn an_unknown_profile_is_refused() {
    if std::env::var_os("HSM_SIM_PROFILE").is_some() {
        assert_eq!(call!(Lib::load(), C_Initialize, null_mut()), Err(CKR_ARGUMENTS_BAD));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = again("boundary::an_unknown_profile_is_refused", dir.path());
    assert!(command.env("HSM_SIM_PROFILE", "no-such-vendor").output().unwrap().status.success());
}

#[test]
fn null_pointers_are_refused() {
    if !alone("boundary::null_pointers_are_refused") {
        return;
    }
    let s = user_token();
    let (lib, h, bad) = (s.lib, s.handle, Err(CKR_ARGUMENTS_BAD));
    let key = s.generate(&[A::B(CKA_ENCRYPT, true), A::B(CKA_DECRYPT, true)]).unwrap();
    let signer = s.generate(&[A::B(CKA_SIGN, true), A::B(CKA_VERIFY, true)]).unwrap();
    let mut byte = 0u8;
    assert_eq!(call!(lib, C_GetFunctionList, null_mut()), bad);
    assert_eq!(call!(lib, C_GetSlotList, CK_TRUE, null_mut(), null_mut()), bad);
    assert_eq!(call!(lib, C_GetSlotInfo, 0, null_mut()), bad);
    assert_eq!(call!(lib, C_GetTokenInfo, 0, null_mut()), bad);
    assert_eq!(call!(lib, C_GetMechanismList, 0, null_mut(), null_mut()), bad);
    assert_eq!(call!(lib, C_GetMechanismInfo, 0, SM3, null_mut()), bad);
    assert_eq!(call!(lib, C_InitToken, 1, null_mut(), 4, null_mut()), bad);
    assert_eq!(call!(lib, C_InitPIN, h, null_mut(), 4), bad);
    assert_eq!(call!(lib, C_SetPIN, h, null_mut(), 4, null_mut(), 4), bad);
    assert_eq!(call!(lib, C_OpenSession, 0, CKF_SERIAL_SESSION, null_mut(), None, null_mut()), bad);
    assert_eq!(call!(lib, C_GetSessionInfo, h, null_mut()), bad);
    assert_eq!(call!(lib, C_Login, h, CKU_USER, null_mut(), 4), bad);
    assert_eq!(call!(lib, C_CreateObject, h, null_mut(), 1, null_mut()), bad);
    assert_eq!(call!(lib, C_CreateObject, h, null_mut(), 1, &mut 0), bad);
    assert_eq!(call!(lib, C_CopyObject, h, key, null_mut(), 3, &mut 0), bad);
    assert_eq!(call!(lib, C_GetObjectSize, h, key, null_mut()), bad);
    assert_eq!(call!(lib, C_GetAttributeValue, h, key, null_mut(), 1), bad);
    assert_eq!(call!(lib, C_SetAttributeValue, h, key, null_mut(), 1), bad);
    assert_eq!(call!(lib, C_FindObjectsInit, h, null_mut(), 1), bad);
    call!(lib, C_FindObjectsInit, h, null_mut(), 0).unwrap();
    assert_eq!(call!(lib, C_FindObjects, h, null_mut(), 1, null_mut()), bad);
    call!(lib, C_FindObjectsFinal, h).unwrap();
    assert_eq!(call!(lib, C_EncryptInit, h, null_mut(), key), bad);
    let begin = |what: u8| match what {
        b'e' => call!(lib, C_EncryptInit, h, &mut mech(SM4_ECB, &mut []), key).unwrap(),
        b'd' => call!(lib, C_DigestInit, h, &mut mech(SM3, &mut [])).unwrap(),
        b's' => call!(lib, C_SignInit, h, &mut mech(CMAC, &mut []), signer).unwrap(),
        _ => call!(lib, C_VerifyInit, h, &mut mech(CMAC, &mut []), signer).unwrap(),
    };
    // A bad argument ends the operation: each time it can be begun again.
    begin(b'e');
    assert_eq!(call!(lib, C_Encrypt, h, null_mut(), 16, &mut byte, &mut 0), bad);
    begin(b'e');
    assert_eq!(call!(lib, C_Encrypt, h, &mut byte, 1, null_mut(), null_mut()), bad);
    begin(b'e');
    assert_eq!(call!(lib, C_EncryptUpdate, h, null_mut(), 16, &mut byte, &mut 0), bad);
    begin(b'e');
    assert_eq!(call!(lib, C_EncryptFinal, h, null_mut(), null_mut()), bad);
    assert_eq!(call!(lib, C_DecryptInit, h, null_mut(), key), bad);
    assert_eq!(call!(lib, C_DigestInit, h, null_mut()), bad);
    begin(b'd');
    assert_eq!(call!(lib, C_DigestUpdate, h, null_mut(), 5), bad);
    begin(b'd');
    assert_eq!(call!(lib, C_Digest, h, null_mut(), 0, null_mut(), null_mut()), bad);
    assert_eq!(call!(lib, C_SignInit, h, null_mut(), signer), bad);
    begin(b's');
    assert_eq!(call!(lib, C_Sign, h, null_mut(), 9, &mut byte, &mut 1), bad);
    begin(b's');
    assert_eq!(call!(lib, C_SignFinal, h, &mut byte, null_mut()), bad);
    begin(b'v');
    assert_eq!(call!(lib, C_Verify, h, &mut byte, 1, null_mut(), 16), bad);
    begin(b'v');
    assert_eq!(call!(lib, C_VerifyFinal, h, null_mut(), 16), bad);
    assert_eq!(call!(lib, C_GenerateKey, h, null_mut(), null_mut(), 0, &mut 0), bad);
    assert_eq!(call!(lib, C_GenerateKey, h, &mut mech(SM4_KEY_GEN, &mut []), null_mut(), 0, null_mut()), bad);
    let mut pair = mech(SM2_PAIR_GEN, &mut []);
    assert_eq!(call!(lib, C_GenerateKeyPair, h, &mut pair, null_mut(), 0, null_mut(), 0, null_mut(), &mut 0), bad);
    assert_eq!(call!(lib, C_WrapKey, h, &mut mech(KEY_WRAP, &mut []), key, key, null_mut(), null_mut()), bad);
    assert_eq!(call!(lib, C_UnwrapKey, h, null_mut(), key, null_mut(), 24, null_mut(), 0, &mut 0), bad);
    assert_eq!(call!(lib, C_DeriveKey, h, null_mut(), key, null_mut(), 0, &mut 0), bad);
    assert_eq!(call!(lib, C_GenerateRandom, h, null_mut(), 1), bad);
    assert_eq!(call!(lib, C_WaitForSlotEvent, CKF_DONT_BLOCK, null_mut(), null_mut()), bad);
}

#[test]
fn handles_of_nothing_are_refused() {
    if !alone("boundary::handles_of_nothing_are_refused") {
        return;
    }
    let s = user_token();
    for handle in [0, 1, 999, CK_ULONG::MAX, s.handle + 1] {
        if handle == s.handle {
            continue;
        }
        let stranger = Session { lib: s.lib, handle };
        assert_eq!(stranger.generate(&[]), Err(CKR_SESSION_HANDLE_INVALID));
        assert_eq!(stranger.logout(), Err(CKR_SESSION_HANDLE_INVALID));
        assert_eq!(call!(s.lib, C_CloseSession, handle), Err(CKR_SESSION_HANDLE_INVALID));
        assert_eq!(call!(s.lib, C_GetFunctionStatus, handle), Err(CKR_SESSION_HANDLE_INVALID));
        assert_eq!(call!(s.lib, C_DigestUpdate, handle, null_mut(), 0), Err(CKR_SESSION_HANDLE_INVALID));
    }
    for handle in [0, 1, 998, 999, CK_ULONG::MAX] {
        assert_eq!(s.get(handle, CKA_CLASS), Err(CKR_OBJECT_HANDLE_INVALID));
        assert_eq!(s.destroy(handle), Err(CKR_OBJECT_HANDLE_INVALID));
        assert_eq!(s.copy(handle, &[]), Err(CKR_OBJECT_HANDLE_INVALID));
        assert_eq!(s.derive(handle, &[1; 16], &[]), Err(CKR_KEY_HANDLE_INVALID));
        assert_eq!(s.wrap(KEY_WRAP, handle, handle), Err(CKR_WRAPPING_KEY_HANDLE_INVALID));
        assert_eq!(s.unwrap(KEY_WRAP, handle, &[0; 24], &[]), Err(CKR_UNWRAPPING_KEY_HANDLE_INVALID));
        assert_eq!(s.encrypt(&mut mech(SM4_ECB, &mut []), handle, &[]), Err(CKR_KEY_HANDLE_INVALID));
        assert_eq!(s.sign(&mut mech(CMAC, &mut []), handle, &[]), Err(CKR_KEY_HANDLE_INVALID));
    }
    for slot in [2, 77, CK_ULONG::MAX] {
        assert_eq!(s.lib.init_token(slot, SO_PIN), Err(CKR_SLOT_ID_INVALID));
        assert_eq!(call!(s.lib, C_GetMechanismList, slot, null_mut(), &mut 0), Err(CKR_SLOT_ID_INVALID));
    }
}

#[test]
fn absurd_lengths_are_refused() {
    if !alone("boundary::absurd_lengths_are_refused") {
        return;
    }
    let s = user_token();
    let key = s.generate(&[A::B(CKA_ENCRYPT, true)]).unwrap();
    let mut byte = 0u8;
    for length in [1 << 27, 1 << 40, 1 << 63, CK_ULONG::MAX] {
        let mut ecb = mech(SM4_ECB, &mut []);
        call!(s.lib, C_EncryptInit, s.handle, &mut ecb, key).unwrap();
        let encrypted = call!(s.lib, C_Encrypt, s.handle, &mut byte, length, null_mut(), &mut 0);
        assert_eq!(encrypted, Err(CKR_DATA_LEN_RANGE));
        let over = call!(s.lib, C_EncryptFinal, s.handle, null_mut(), &mut 0);
        assert_eq!(over, Err(CKR_OPERATION_NOT_INITIALIZED));
        let mut attribute = CK_ATTRIBUTE { type_: CKA_LABEL, pValue: (&raw mut byte).cast(), ulValueLen: length };
        assert_eq!(call!(s.lib, C_CreateObject, s.handle, &mut attribute, 1, &mut 0), Err(CKR_ATTRIBUTE_VALUE_INVALID));
        attribute.ulValueLen = 1;
        assert!(call!(s.lib, C_CreateObject, s.handle, &mut attribute, length, &mut 0).is_err());
        assert!(call!(s.lib, C_GetAttributeValue, s.handle, key, &mut attribute, length).is_err());
        attribute = CK_ATTRIBUTE { type_: CKA_DERIVE_TEMPLATE, pValue: (&raw mut byte).cast(), ulValueLen: length };
        assert!(call!(s.lib, C_CreateObject, s.handle, &mut attribute, 1, &mut 0).is_err());
        assert!(call!(s.lib, C_GenerateRandom, s.handle, &mut byte, length).is_err());
        assert!(call!(s.lib, C_Login, s.handle, CKU_SO, &mut byte, length).is_err());
        for number in [SM4_CBC, DIVERSIFY, XOR_KEYS, GCM, SM2_SM3, SM3] {
            let mut how =
                CK_MECHANISM { mechanism: number, pParameter: (&raw mut byte).cast(), ulParameterLen: length };
            let outcome = match number {
                SM4_CBC | GCM => call!(s.lib, C_EncryptInit, s.handle, &mut how, key),
                SM2_SM3 => call!(s.lib, C_SignInit, s.handle, &mut how, key),
                SM3 => call!(s.lib, C_DigestInit, s.handle, &mut how),
                _ => call!(s.lib, C_DeriveKey, s.handle, &mut how, key, null_mut(), 0, &mut 0),
            };
            assert_eq!(outcome, Err(CKR_MECHANISM_PARAM_INVALID));
        }
        let mut wrap = mech(KEY_WRAP, &mut []);
        let unwrapped = call!(s.lib, C_UnwrapKey, s.handle, &mut wrap, key, &mut byte, length, null_mut(), 0, &mut 0);
        assert_eq!(unwrapped, Err(CKR_WRAPPED_KEY_INVALID));
        let mut found = 0;
        call!(s.lib, C_FindObjectsInit, s.handle, null_mut(), 0).unwrap();
        let mut handles = [0; 8];
        call!(s.lib, C_FindObjects, s.handle, handles.as_mut_ptr(), 8, &mut found).unwrap();
        call!(s.lib, C_FindObjectsFinal, s.handle).unwrap();
        assert_eq!(found, 1);
    }
}

#[test]
fn parameters_of_the_wrong_size_are_refused() {
    if !alone("boundary::parameters_of_the_wrong_size_are_refused") {
        return;
    }
    let s = user_token();
    let key = s.create(&known(&[1; 16], &[CKA_ENCRYPT])).unwrap();
    for number in [SM4_CBC, SM4_CBC_PAD, GCM, SM4_ECB, DIVERSIFY, XOR_KEYS] {
        for size in [1, 8, 12, 15, 17, 47, 49, 200] {
            if number == XOR_KEYS && size == 8 {
                continue;
            }
            let mut parameter = vec![0; size];
            let mut how = mech(number, &mut parameter);
            let outcome = match number {
                DIVERSIFY | XOR_KEYS => call!(s.lib, C_DeriveKey, s.handle, &mut how, key, null_mut(), 0, &mut 0),
                _ => call!(s.lib, C_EncryptInit, s.handle, &mut how, key),
            };
            assert_eq!(outcome, Err(CKR_MECHANISM_PARAM_INVALID), "{number:#x} with {size} bytes");
        }
    }
    let mut no_iv = GcmParams::new(&[], &[]);
    assert_eq!(s.encrypt(&mut no_iv.mech(), key, &[]), Err(CKR_MECHANISM_PARAM_INVALID));
    let mut short_tag = GcmParams::new(&[1; 12], &[]);
    short_tag.params.ulTagBits = 96;
    assert_eq!(s.encrypt(&mut short_tag.mech(), key, &[]), Err(CKR_MECHANISM_PARAM_INVALID));
    let mut null_aad = GcmParams::new(&[1; 12], &[]);
    null_aad.params.ulAADLen = 5;
    assert_eq!(s.encrypt(&mut null_aad.mech(), key, &[]), Err(CKR_MECHANISM_PARAM_INVALID));
    for block in [&[0u8; 0][..], &[0; 15], &[0; 17]] {
        assert_eq!(s.derive(key, block, &[]), Err(CKR_MECHANISM_PARAM_INVALID));
    }
    assert_eq!(s.encrypt(&mut mech(CKM_AES_ECB, &mut []), key, &[0; 16]), Err(CKR_MECHANISM_INVALID));
    assert_eq!(s.encrypt(&mut mech(CMAC, &mut []), key, &[0; 16]), Err(CKR_MECHANISM_INVALID));
    assert_eq!(s.encrypt(&mut mech(SM2_ENCRYPT, &mut []), key, &[0; 16]), Err(CKR_KEY_TYPE_INCONSISTENT));
    assert_eq!(s.encrypt(&mut mech(SM4_ECB, &mut []), key, &[0; 15]), Err(CKR_DATA_LEN_RANGE));
}

#[test]
fn short_buffers_keep_the_operation() {
    if !alone("boundary::short_buffers_keep_the_operation") {
        return;
    }
    let s = user_token();
    let key = s.create(&known(&[1; 16], &[CKA_ENCRYPT])).unwrap();
    let signer = s.create(&known(&[1; 16], &[CKA_SIGN])).unwrap();
    let (mut data, mut out) = ([7; 20], [0; 64]);
    let mut how = mech(SM4_CBC_PAD, &mut [0; 16]);
    let mut iv = [0; 16];
    how.pParameter = iv.as_mut_ptr().cast();
    call!(s.lib, C_EncryptInit, s.handle, &mut how, key).unwrap();
    assert_eq!(call!(s.lib, C_EncryptInit, s.handle, &mut how, key), Err(CKR_OPERATION_ACTIVE));
    for room in [0, 1, 31] {
        let mut length = room;
        let short = call!(s.lib, C_Encrypt, s.handle, data.as_mut_ptr(), 20, out.as_mut_ptr(), &mut length);
        assert_eq!((short, length), (Err(CKR_BUFFER_TOO_SMALL), 32));
        assert_eq!(out, [0; 64], "something was written into a short buffer");
    }
    let mut length = 64;
    call!(s.lib, C_Encrypt, s.handle, data.as_mut_ptr(), 20, out.as_mut_ptr(), &mut length).unwrap();
    assert_eq!(length, 32);
    assert_eq!(out[32..], [0; 32], "more than the length was written");
    let ended = call!(s.lib, C_Encrypt, s.handle, data.as_mut_ptr(), 20, out.as_mut_ptr(), &mut length);
    assert_eq!(ended, Err(CKR_OPERATION_NOT_INITIALIZED));

    call!(s.lib, C_SignInit, s.handle, &mut mech(CMAC, &mut []), signer).unwrap();
    call!(s.lib, C_SignUpdate, s.handle, data.as_mut_ptr(), 20).unwrap();
    let mut length = 15;
    assert_eq!(call!(s.lib, C_SignFinal, s.handle, out.as_mut_ptr(), &mut length), Err(CKR_BUFFER_TOO_SMALL));
    call!(s.lib, C_SignFinal, s.handle, out.as_mut_ptr(), &mut length).unwrap();
    assert_eq!(out[..16], s.sign(&mut mech(CMAC, &mut []), signer, &data).unwrap());

    let wrapper = s.generate(&[A::B(CKA_WRAP, true)]).unwrap();
    let target = s.generate(&[A::B(CKA_EXTRACTABLE, true)]).unwrap();
    let mut length = 23;
    let mut wrap = mech(KEY_WRAP, &mut []);
    let short = call!(s.lib, C_WrapKey, s.handle, &mut wrap, wrapper, target, out.as_mut_ptr(), &mut length);
    assert_eq!((short, length), (Err(CKR_BUFFER_TOO_SMALL), 24));
    let (mut list, mut count) = ([0; 64], 3);
    let short = call!(s.lib, C_GetMechanismList, 0, list.as_mut_ptr(), &mut count);
    assert_eq!((short, count), (Err(CKR_BUFFER_TOO_SMALL), 24));
    call!(s.lib, C_GetMechanismList, 0, list.as_mut_ptr(), &mut count).unwrap();
    assert!(list[..24].contains(&DIVERSIFY) && list[..24].contains(&XOR_KEYS));
}

#[test]
fn what_the_token_does_not_have_says_so() {
    if !alone("boundary::what_the_token_does_not_have_says_so") {
        return;
    }
    let s = user_token();
    let (h, absent, mut length) = (s.handle, Err(CKR_FUNCTION_NOT_SUPPORTED), 0);
    let n = null_mut;
    assert_eq!(call!(s.lib, C_GetOperationState, h, null_mut(), &mut length), absent);
    assert_eq!(call!(s.lib, C_SetOperationState, h, null_mut(), 0, 0, 0), absent);
    assert_eq!(call!(s.lib, C_SignRecoverInit, h, null_mut(), 0), absent);
    assert_eq!(call!(s.lib, C_SignRecover, h, n(), 0, n(), &mut length), absent);
    assert_eq!(call!(s.lib, C_VerifyRecoverInit, h, null_mut(), 0), absent);
    assert_eq!(call!(s.lib, C_VerifyRecover, h, n(), 0, n(), &mut length), absent);
    assert_eq!(call!(s.lib, C_DigestEncryptUpdate, h, n(), 0, n(), &mut length), absent);
    assert_eq!(call!(s.lib, C_DecryptDigestUpdate, h, n(), 0, n(), &mut length), absent);
    assert_eq!(call!(s.lib, C_SignEncryptUpdate, h, n(), 0, n(), &mut length), absent);
    assert_eq!(call!(s.lib, C_DecryptVerifyUpdate, h, n(), 0, n(), &mut length), absent);
    assert_eq!(call!(s.lib, C_GetFunctionStatus, h), Err(CKR_FUNCTION_NOT_PARALLEL));
    assert_eq!(call!(s.lib, C_CancelFunction, h), Err(CKR_FUNCTION_NOT_PARALLEL));
    assert_eq!(call!(s.lib, C_SeedRandom, h, n(), 1), Err(CKR_ARGUMENTS_BAD));
    let mut slot = 0;
    assert_eq!(call!(s.lib, C_WaitForSlotEvent, CKF_DONT_BLOCK, &mut slot, null_mut()), Err(CKR_NO_EVENT));
    let (mut one, mut two) = ([0; 32], [0; 32]);
    call!(s.lib, C_GenerateRandom, h, one.as_mut_ptr(), 32).unwrap();
    call!(s.lib, C_GenerateRandom, h, two.as_mut_ptr(), 32).unwrap();
    assert_ne!(one, two);
}
