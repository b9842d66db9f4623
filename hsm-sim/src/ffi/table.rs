//! The function list: all 68 entries of PKCS#11 2.40, none of them null, because C callers do not look.

use cryptoki_sys::{CK_FUNCTION_LIST, CK_RV, CK_VERSION};

use super::{boundary, ciphers, general, keys, memory::write, objects, sessions, signatures};
use crate::fault::Function;

/// What C_GetFunctionList points to.
struct Table(CK_FUNCTION_LIST);

// SAFETY: the list holds function pointers only and is never changed.
unsafe impl Sync for Table {}

static TABLE: Table = Table(CK_FUNCTION_LIST {
    version: CK_VERSION { major: 2, minor: 40 },
    C_Initialize: Some(general::initialize),
    C_Finalize: Some(general::finalize),
    C_GetInfo: Some(general::info),
    C_GetFunctionList: Some(C_GetFunctionList),
    C_GetSlotList: Some(general::slot_list),
    C_GetSlotInfo: Some(general::slot_info),
    C_GetTokenInfo: Some(general::token_info),
    C_GetMechanismList: Some(general::mechanism_list),
    C_GetMechanismInfo: Some(general::mechanism_info),
    C_InitToken: Some(general::init_token),
    C_InitPIN: Some(general::init_pin),
    C_SetPIN: Some(general::set_pin),
    C_OpenSession: Some(sessions::open_session),
    C_CloseSession: Some(sessions::close_session),
    C_CloseAllSessions: Some(sessions::close_all_sessions),
    C_GetSessionInfo: Some(sessions::session_info),
    C_GetOperationState: Some(sessions::operation_state),
    C_SetOperationState: Some(sessions::set_operation_state),
    C_Login: Some(sessions::login),
    C_Logout: Some(sessions::logout),
    C_CreateObject: Some(objects::create_object),
    C_CopyObject: Some(objects::copy_object),
    C_DestroyObject: Some(objects::destroy_object),
    C_GetObjectSize: Some(objects::object_size),
    C_GetAttributeValue: Some(objects::attribute_value),
    C_SetAttributeValue: Some(objects::set_attribute_value),
    C_FindObjectsInit: Some(objects::find_objects_init),
    C_FindObjects: Some(objects::find_objects),
    C_FindObjectsFinal: Some(objects::find_objects_final),
    C_EncryptInit: Some(ciphers::encrypt_init),
    C_Encrypt: Some(ciphers::encrypt),
    C_EncryptUpdate: Some(ciphers::encrypt_update),
    C_EncryptFinal: Some(ciphers::encrypt_final),
    C_DecryptInit: Some(ciphers::decrypt_init),
    C_Decrypt: Some(ciphers::decrypt),
    C_DecryptUpdate: Some(ciphers::decrypt_update),
    C_DecryptFinal: Some(ciphers::decrypt_final),
    C_DigestInit: Some(ciphers::digest_init),
    C_Digest: Some(ciphers::digest),
    C_DigestUpdate: Some(ciphers::digest_update),
    C_DigestKey: Some(ciphers::digest_key),
    C_DigestFinal: Some(ciphers::digest_final),
    C_SignInit: Some(signatures::sign_init),
    C_Sign: Some(signatures::sign),
    C_SignUpdate: Some(signatures::sign_update),
    C_SignFinal: Some(signatures::sign_final),
    C_SignRecoverInit: Some(signatures::sign_recover_init),
    C_SignRecover: Some(signatures::sign_recover),
    C_VerifyInit: Some(signatures::verify_init),
    C_Verify: Some(signatures::verify),
    C_VerifyUpdate: Some(signatures::verify_update),
    C_VerifyFinal: Some(signatures::verify_final),
    C_VerifyRecoverInit: Some(signatures::verify_recover_init),
    C_VerifyRecover: Some(signatures::verify_recover),
    C_DigestEncryptUpdate: Some(ciphers::digest_encrypt_update),
    C_DecryptDigestUpdate: Some(ciphers::decrypt_digest_update),
    C_SignEncryptUpdate: Some(ciphers::sign_encrypt_update),
    C_DecryptVerifyUpdate: Some(ciphers::decrypt_verify_update),
    C_GenerateKey: Some(keys::generate_key),
    C_GenerateKeyPair: Some(keys::generate_key_pair),
    C_WrapKey: Some(keys::wrap_key),
    C_UnwrapKey: Some(keys::unwrap_key),
    C_DeriveKey: Some(keys::derive_key),
    C_SeedRandom: Some(sessions::seed_random),
    C_GenerateRandom: Some(sessions::generate_random),
    C_GetFunctionStatus: Some(sessions::function_status),
    C_CancelFunction: Some(sessions::cancel_function),
    C_WaitForSlotEvent: Some(general::wait_for_slot_event),
});

/// The library's only exported symbol (PKCS#11 2.40 §5.4).
///
/// # Safety
/// `list` is null or points to room for one pointer.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "the name is the standard's")]
pub unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    // SAFETY: passed on. Callers get a mutable pointer because the standard's type says so; they only read.
    boundary(Function::C_GetFunctionList, 0, || unsafe { write(list, (&raw const TABLE.0).cast_mut()) })
}
