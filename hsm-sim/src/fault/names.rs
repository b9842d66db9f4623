//! Names of the standard's functions and return values, as a fault script spells them.

use cryptoki_sys::CK_RV;

macro_rules! functions {
    ($($name:ident),* $(,)?) => {
        /// A function of PKCS#11 2.40 §5.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[allow(non_camel_case_types, clippy::enum_variant_names, reason = "the names are the standard's")]
        pub(crate) enum Function { $($name),* }

        impl Function {
            const ALL: &[Self] = &[$(Self::$name),*];

            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

functions! {
    C_Initialize,
    C_Finalize,
    C_GetInfo,
    C_GetFunctionList,
    C_GetSlotList,
    C_GetSlotInfo,
    C_GetTokenInfo,
    C_GetMechanismList,
    C_GetMechanismInfo,
    C_InitToken,
    C_InitPIN,
    C_SetPIN,
    C_OpenSession,
    C_CloseSession,
    C_CloseAllSessions,
    C_GetSessionInfo,
    C_GetOperationState,
    C_SetOperationState,
    C_Login,
    C_Logout,
    C_CreateObject,
    C_CopyObject,
    C_DestroyObject,
    C_GetObjectSize,
    C_GetAttributeValue,
    C_SetAttributeValue,
    C_FindObjectsInit,
    C_FindObjects,
    C_FindObjectsFinal,
    C_EncryptInit,
    C_Encrypt,
    C_EncryptUpdate,
    C_EncryptFinal,
    C_DecryptInit,
    C_Decrypt,
    C_DecryptUpdate,
    C_DecryptFinal,
    C_DigestInit,
    C_Digest,
    C_DigestUpdate,
    C_DigestKey,
    C_DigestFinal,
    C_SignInit,
    C_Sign,
    C_SignUpdate,
    C_SignFinal,
    C_SignRecoverInit,
    C_SignRecover,
    C_VerifyInit,
    C_Verify,
    C_VerifyUpdate,
    C_VerifyFinal,
    C_VerifyRecoverInit,
    C_VerifyRecover,
    C_DigestEncryptUpdate,
    C_DecryptDigestUpdate,
    C_SignEncryptUpdate,
    C_DecryptVerifyUpdate,
    C_GenerateKey,
    C_GenerateKeyPair,
    C_WrapKey,
    C_UnwrapKey,
    C_DeriveKey,
    C_SeedRandom,
    C_GenerateRandom,
    C_GetFunctionStatus,
    C_CancelFunction,
    C_WaitForSlotEvent,
}

impl Function {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|function| function.name() == name).copied()
    }

    /// Does a call of it go to the device? What the library answers by itself is not late and not lost.
    pub(crate) fn reaches_token(self) -> bool {
        !matches!(self, Self::C_Initialize | Self::C_Finalize | Self::C_GetInfo | Self::C_GetFunctionList)
    }

    /// Is its first argument a slot whose token it needs?
    pub(crate) fn takes_slot(self) -> bool {
        matches!(
            self,
            Self::C_GetTokenInfo
                | Self::C_GetMechanismList
                | Self::C_GetMechanismInfo
                | Self::C_InitToken
                | Self::C_OpenSession
                | Self::C_CloseAllSessions
        )
    }

    /// Is its first argument a session?
    pub(crate) fn takes_session(self) -> bool {
        let others = matches!(self, Self::C_GetSlotList | Self::C_GetSlotInfo | Self::C_WaitForSlotEvent);
        self.reaches_token() && !self.takes_slot() && !others
    }

    /// Does it answer bytes of which the caller may ask the length?
    pub(crate) fn answers_bytes(self) -> bool {
        matches!(
            self,
            Self::C_Encrypt
                | Self::C_EncryptUpdate
                | Self::C_EncryptFinal
                | Self::C_Decrypt
                | Self::C_DecryptUpdate
                | Self::C_DecryptFinal
                | Self::C_Digest
                | Self::C_DigestFinal
                | Self::C_Sign
                | Self::C_SignFinal
                | Self::C_WrapKey
        )
    }

    /// Does it answer the handle of one new object?
    pub(crate) fn answers_object(self) -> bool {
        matches!(
            self,
            Self::C_CreateObject | Self::C_CopyObject | Self::C_GenerateKey | Self::C_UnwrapKey | Self::C_DeriveKey
        )
    }

    /// Does it name an object that is there? Of C_WrapKey's two it is the one that is wrapped.
    pub(crate) fn takes_object(self) -> bool {
        matches!(
            self,
            Self::C_CopyObject
                | Self::C_DestroyObject
                | Self::C_GetAttributeValue
                | Self::C_SetAttributeValue
                | Self::C_EncryptInit
                | Self::C_DecryptInit
                | Self::C_SignInit
                | Self::C_VerifyInit
                | Self::C_WrapKey
                | Self::C_UnwrapKey
                | Self::C_DeriveKey
        )
    }

    /// Does it take room on the device?
    pub(crate) fn takes_room(self) -> bool {
        let writes = matches!(
            self,
            Self::C_GenerateKeyPair | Self::C_SetAttributeValue | Self::C_InitToken | Self::C_InitPIN | Self::C_SetPIN
        );
        writes || self.answers_object()
    }
}

macro_rules! return_values {
    ($($name:ident),* $(,)?) => {
        const RETURN_VALUES: &[(&str, CK_RV)] = &[$((stringify!($name), cryptoki_sys::$name)),*];
    };
}

/// Any CKR but CKR_OK, by its name or as a number (`0x30`, `48`).
pub(crate) fn return_value(text: &str) -> Option<CK_RV> {
    let named = RETURN_VALUES.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    let number = || match text.strip_prefix("0x") {
        Some(digits) if !digits.starts_with('+') => CK_RV::from_str_radix(digits, 16).ok(),
        _ if text.starts_with('+') => None,
        _ => text.parse().ok(),
    };
    named.or_else(number).filter(|value| *value != cryptoki_sys::CKR_OK)
}

/// The name of a CKR, or its number where it has none.
pub(crate) fn return_name(value: CK_RV) -> String {
    let named = RETURN_VALUES.iter().find(|(_, known)| *known == value);
    named.map_or_else(|| format!("{value:#x}"), |(name, _)| (*name).to_owned())
}

return_values! {
    CKR_CANCEL, CKR_HOST_MEMORY, CKR_SLOT_ID_INVALID, CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED, CKR_ARGUMENTS_BAD,
    CKR_NO_EVENT, CKR_NEED_TO_CREATE_THREADS, CKR_CANT_LOCK, CKR_ATTRIBUTE_READ_ONLY, CKR_ATTRIBUTE_SENSITIVE,
    CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_VALUE_INVALID, CKR_ACTION_PROHIBITED, CKR_DATA_INVALID,
    CKR_DATA_LEN_RANGE, CKR_DEVICE_ERROR, CKR_DEVICE_MEMORY, CKR_DEVICE_REMOVED, CKR_ENCRYPTED_DATA_INVALID,
    CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_AEAD_DECRYPT_FAILED, CKR_FUNCTION_CANCELED, CKR_FUNCTION_NOT_PARALLEL,
    CKR_FUNCTION_NOT_SUPPORTED, CKR_KEY_HANDLE_INVALID, CKR_KEY_SIZE_RANGE, CKR_KEY_TYPE_INCONSISTENT,
    CKR_KEY_NOT_NEEDED, CKR_KEY_CHANGED, CKR_KEY_NEEDED, CKR_KEY_INDIGESTIBLE, CKR_KEY_FUNCTION_NOT_PERMITTED,
    CKR_KEY_NOT_WRAPPABLE, CKR_KEY_UNEXTRACTABLE, CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID,
    CKR_OBJECT_HANDLE_INVALID, CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED, CKR_PIN_INCORRECT,
    CKR_PIN_INVALID, CKR_PIN_LEN_RANGE, CKR_PIN_EXPIRED, CKR_PIN_LOCKED, CKR_SESSION_CLOSED, CKR_SESSION_COUNT,
    CKR_SESSION_HANDLE_INVALID, CKR_SESSION_PARALLEL_NOT_SUPPORTED, CKR_SESSION_READ_ONLY, CKR_SESSION_EXISTS,
    CKR_SESSION_READ_ONLY_EXISTS, CKR_SESSION_READ_WRITE_SO_EXISTS, CKR_SIGNATURE_INVALID,
    CKR_SIGNATURE_LEN_RANGE, CKR_TEMPLATE_INCOMPLETE, CKR_TEMPLATE_INCONSISTENT, CKR_TOKEN_NOT_PRESENT,
    CKR_TOKEN_NOT_RECOGNIZED, CKR_TOKEN_WRITE_PROTECTED, CKR_UNWRAPPING_KEY_HANDLE_INVALID,
    CKR_UNWRAPPING_KEY_SIZE_RANGE, CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, CKR_USER_ALREADY_LOGGED_IN,
    CKR_USER_NOT_LOGGED_IN, CKR_USER_PIN_NOT_INITIALIZED, CKR_USER_TYPE_INVALID,
    CKR_USER_ANOTHER_ALREADY_LOGGED_IN, CKR_USER_TOO_MANY_TYPES, CKR_WRAPPED_KEY_INVALID,
    CKR_WRAPPED_KEY_LEN_RANGE, CKR_WRAPPING_KEY_HANDLE_INVALID, CKR_WRAPPING_KEY_SIZE_RANGE,
    CKR_WRAPPING_KEY_TYPE_INCONSISTENT, CKR_RANDOM_SEED_NOT_SUPPORTED, CKR_RANDOM_NO_RNG,
    CKR_DOMAIN_PARAMS_INVALID, CKR_CURVE_NOT_SUPPORTED, CKR_BUFFER_TOO_SMALL, CKR_SAVED_STATE_INVALID,
    CKR_INFORMATION_SENSITIVE, CKR_STATE_UNSAVEABLE, CKR_CRYPTOKI_NOT_INITIALIZED,
    CKR_CRYPTOKI_ALREADY_INITIALIZED, CKR_MUTEX_BAD, CKR_MUTEX_NOT_LOCKED, CKR_NEW_PIN_MODE, CKR_NEXT_OTP,
    CKR_EXCEEDED_MAX_ITERATIONS, CKR_FIPS_SELF_TEST_FAILED, CKR_LIBRARY_LOAD_FAILED, CKR_PIN_TOO_WEAK,
    CKR_PUBLIC_KEY_INVALID, CKR_FUNCTION_REJECTED, CKR_TOKEN_RESOURCE_EXCEEDED, CKR_OPERATION_CANCEL_FAILED,
    CKR_KEY_EXHAUSTED, CKR_PENDING, CKR_SESSION_ASYNC_NOT_SUPPORTED, CKR_SEED_RANDOM_REQUIRED,
    CKR_OPERATION_NOT_VALIDATED, CKR_TOKEN_NOT_INITIALIZED, CKR_PARAMETER_SET_NOT_SUPPORTED,
}
