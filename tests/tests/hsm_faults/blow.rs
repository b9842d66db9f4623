//! What can go wrong in a call, and what the caller may make of it.

use kms_core::ports::FaultClass;

use FaultClass::{Broken, Indeterminate, Pin, Refused, Retryable};

/// One kind of fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blow {
    /// As the script spells it.
    pub(crate) fault: &'static str,
    /// Classes of errors that it may end in.
    pub(crate) classes: &'static [FaultClass],
    /// The caller must get the right result all the same, if it happens once and the worker was up.
    pub(crate) survived: bool,
    /// May it last? What is wrong in the same way every time cannot be told from what is right.
    pub(crate) lasts: bool,
    /// Functions that it can hit and that the workers call.
    pub(crate) hits: Hits,
}

/// Functions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hits {
    All,
    Login,
    /// All with a session.
    Session,
    These(&'static [&'static str]),
}

impl Blow {
    /// The code that the error must name.
    pub(crate) fn code(&self) -> Option<&'static str> {
        self.fault.strip_prefix("return ").or_else(|| self.fault.strip_prefix("said-error "))
    }

    pub(crate) fn can_hit(&self, function: &str) -> bool {
        match self.hits {
            Hits::All => true,
            Hits::Login => function == "C_Login",
            Hits::Session => !NO_SESSION.contains(&function),
            Hits::These(functions) => functions.contains(&function),
        }
    }
}

const NO_SESSION: &[&str] = &[
    "C_Initialize",
    "C_Finalize",
    "C_GetInfo",
    "C_GetSlotList",
    "C_GetSlotInfo",
    "C_GetTokenInfo",
    "C_GetMechanismList",
    "C_GetMechanismInfo",
    "C_OpenSession",
    "C_InitToken",
    "C_CloseAllSessions",
];
const WRITERS: Hits = Hits::These(&[
    "C_CreateObject",
    "C_DeriveKey",
    "C_GenerateKey",
    "C_GenerateKeyPair",
    "C_SetAttributeValue",
    "C_UnwrapKey",
]);
const BYTES: Hits = Hits::These(&["C_WrapKey", "C_Sign", "C_Encrypt", "C_Decrypt", "C_GetAttributeValue"]);
const REPEATED: Hits = Hits::These(&[
    "C_WrapKey",
    "C_Sign",
    "C_Encrypt",
    "C_Decrypt",
    "C_CreateObject",
    "C_GenerateKey",
    "C_UnwrapKey",
    "C_DeriveKey",
    "C_GenerateRandom",
]);
const NAMED: Hits = Hits::These(&[
    "C_DestroyObject",
    "C_GetAttributeValue",
    "C_EncryptInit",
    "C_DecryptInit",
    "C_SignInit",
    "C_WrapKey",
    "C_UnwrapKey",
    "C_DeriveKey",
]);
const FOUND: Hits = Hits::These(&["C_FindObjects"]);
const VALUES: Hits = Hits::These(&["C_GetAttributeValue"]);

const fn blow(fault: &'static str, classes: &'static [FaultClass], survived: bool, lasts: bool, hits: Hits) -> Blow {
    Blow { fault, classes, survived, lasts, hits }
}

/// A code that a repeat gets over.
const fn passing(fault: &'static str, classes: &'static [FaultClass]) -> Blow {
    blow(fault, classes, true, true, Hits::All)
}

/// A code that says that the request or the set-up is wrong.
const fn lasting(fault: &'static str, classes: &'static [FaultClass]) -> Blow {
    blow(fault, classes, false, true, Hits::All)
}

/// Classes as PKCS#11 2.40 §11.1 describes the codes, not as the product sorts them.
pub(crate) const BLOWS: &[Blow] = &[
    passing("return CKR_GENERAL_ERROR", &[Indeterminate, Refused]),
    passing("return CKR_FUNCTION_FAILED", &[Indeterminate]),
    passing("return CKR_DEVICE_ERROR", &[Indeterminate]),
    passing("return CKR_HOST_MEMORY", &[Indeterminate]),
    passing("return CKR_FUNCTION_CANCELED", &[Indeterminate]),
    passing("return 0x80000123", &[Indeterminate]),
    passing("return 0x999", &[Indeterminate]),
    passing("return CKR_SESSION_HANDLE_INVALID", &[Retryable]),
    passing("return CKR_SESSION_CLOSED", &[Retryable]),
    passing("return CKR_SESSION_COUNT", &[Retryable]),
    passing("return CKR_DEVICE_REMOVED", &[Retryable]),
    passing("return CKR_TOKEN_NOT_PRESENT", &[Retryable]),
    passing("return CKR_SLOT_ID_INVALID", &[Retryable]),
    passing("return CKR_USER_NOT_LOGGED_IN", &[Retryable]),
    passing("return CKR_CRYPTOKI_NOT_INITIALIZED", &[Retryable]),
    passing("return CKR_OPERATION_ACTIVE", &[Retryable]),
    passing("return CKR_KEY_HANDLE_INVALID", &[Retryable, Refused]),
    passing("return CKR_OBJECT_HANDLE_INVALID", &[Retryable, Refused]),
    lasting("return CKR_KEY_FUNCTION_NOT_PERMITTED", &[Refused]),
    lasting("return CKR_MECHANISM_INVALID", &[Refused]),
    lasting("return CKR_TEMPLATE_INCONSISTENT", &[Refused]),
    lasting("return CKR_ATTRIBUTE_VALUE_INVALID", &[Refused]),
    lasting("return CKR_KEY_UNEXTRACTABLE", &[Refused]),
    lasting("return CKR_KEY_NOT_WRAPPABLE", &[Refused]),
    lasting("return CKR_BUFFER_TOO_SMALL", &[Refused]),
    lasting("return CKR_DEVICE_MEMORY", &[Broken]),
    lasting("return CKR_TOKEN_NOT_RECOGNIZED", &[Broken]),
    blow("return CKR_PIN_INCORRECT", &[Pin], false, true, Hits::Login),
    blow("return CKR_PIN_LOCKED", &[Pin], false, true, Hits::Login),
    blow("return CKR_PIN_EXPIRED", &[Pin], false, true, Hits::Login),
    blow("said-error CKR_PIN_INCORRECT", &[Pin], false, true, Hits::Login),
    passing("said-error CKR_GENERAL_ERROR", &[Indeterminate, Refused]),
    passing("said-error CKR_DEVICE_ERROR", &[Indeterminate]),
    passing("said-error CKR_SESSION_HANDLE_INVALID", &[Retryable]),
    lasting("said-error CKR_ATTRIBUTE_VALUE_INVALID", &[Refused]),
    blow("delay 2ms", &[], true, true, Hits::All),
    blow("slow 2ms", &[], true, true, Hits::Session),
    blow("hang", &[Indeterminate], true, false, Hits::All),
    blow("crash", &[Indeterminate], true, true, Hits::All),
    blow("crash-after", &[Indeterminate], true, true, Hits::All),
    blow("drop-session", &[Retryable], true, true, Hits::Session),
    blow("drop-login", &[Retryable, Refused], true, true, Hits::Session),
    blow("lose-token 3", &[Retryable, Broken], false, true, Hits::Session),
    blow("lose-token 500", &[Retryable, Broken], false, true, Hits::Session),
    blow("memory-full", &[Broken], false, true, WRITERS),
    blow("flip-bit", &[Indeterminate, Refused], false, false, BYTES),
    blow("flip-bit 0", &[Indeterminate, Refused], false, false, BYTES),
    blow("truncate 1", &[Indeterminate, Refused], false, false, BYTES),
    blow("long-answer 8", &[Indeterminate, Refused], false, false, BYTES),
    blow("repeat-answer", &[Indeterminate, Refused, Retryable], false, false, REPEATED),
    blow("other-object", &[Indeterminate, Refused, Retryable], false, false, NAMED),
    blow("wrong-check-value", &[Indeterminate], true, false, VALUES),
    blow("duplicate-object", &[], true, true, FOUND),
    blow("missing-object", &[], true, false, FOUND),
];
