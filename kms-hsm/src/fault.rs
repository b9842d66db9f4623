//! (function, return value) → what the caller may do.
//!
//! Not a log and not a retry policy. Guards: the name of the call and of its code survive up to the
//! person who reads them, an unknown code is never taken for success, and a PIN error is recognised
//! as one whatever call it comes from.

use cryptoki::context::Function;
use cryptoki::error::{Error, Rv, RvError};
use cryptoki_sys::CK_RV;
use kms_core::ports::{FaultClass, HsmError, HsmResult};

/// Turns a return value into a result.
pub(crate) fn check(rv: CK_RV, function: Function) -> HsmResult<()> {
    Rv::from(rv).into_result(function).map_err(from_cryptoki)
}

/// Keeps what cryptoki knows of a failure.
pub(crate) fn from_cryptoki(error: Error) -> HsmError {
    match error {
        Error::Pkcs11(rv, function) => {
            HsmError { class: classify(rv), function: format!("C_{function:?}"), code: code_name(rv), detail: None }
        }
        Error::LibraryLoading(cause) => broken("load", "MODULE_UNUSABLE", cause.to_string()),
        Error::MissingSymbol(name) => broken("load", "MODULE_UNUSABLE", format!("the module has no {name}")),
        Error::NullFunctionPointer => broken("load", "FUNCTION_MISSING", "the module leaves this function out"),
        other => refused("cryptoki", "ANSWER_UNREADABLE", other.to_string()),
    }
}

/// A configuration fault found by the worker itself.
pub(crate) fn refused(function: &str, code: &str, detail: impl Into<String>) -> HsmError {
    fault(FaultClass::Refused, function, code, detail)
}

/// Nothing will work until somebody repairs it.
pub(crate) fn broken(function: &str, code: &str, detail: impl Into<String>) -> HsmError {
    fault(FaultClass::Broken, function, code, detail)
}

/// A failure with its class.
pub(crate) fn fault(class: FaultClass, function: &str, code: &str, detail: impl Into<String>) -> HsmError {
    HsmError { class, function: function.to_owned(), code: code.to_owned(), detail: Some(detail.into()) }
}

/// Adds which object it was, where nothing is said yet.
pub(crate) fn about(mut error: HsmError, object: impl FnOnce() -> String) -> HsmError {
    error.detail.get_or_insert_with(object);
    error
}

/// Handles that went stale show as one of these; a wrap template that does not fit may, too.
pub(crate) fn is_handle_fault(error: &HsmError) -> bool {
    matches!(
        error.code.as_str(),
        "CKR_OBJECT_HANDLE_INVALID"
            | "CKR_KEY_HANDLE_INVALID"
            | "CKR_WRAPPING_KEY_HANDLE_INVALID"
            | "CKR_UNWRAPPING_KEY_HANDLE_INVALID"
    )
}

const fn classify(rv: RvError) -> FaultClass {
    use RvError as Rv;
    match rv {
        Rv::PinIncorrect
        | Rv::PinInvalid
        | Rv::PinLenRange
        | Rv::PinExpired
        | Rv::PinLocked
        | Rv::PinTooWeak
        | Rv::UserPinNotInitialized => FaultClass::Pin,
        Rv::SessionClosed
        | Rv::SessionHandleInvalid
        | Rv::SessionCount
        | Rv::DeviceRemoved
        | Rv::TokenNotPresent
        | Rv::SlotIdInvalid
        | Rv::UserNotLoggedIn
        | Rv::CryptokiNotInitialized
        | Rv::OperationActive
        // The worker begins every operation it goes on with: the token forgot this one with the login.
        | Rv::OperationNotInitialized
        | Rv::ObjectHandleInvalid
        | Rv::KeyHandleInvalid
        | Rv::WrappingKeyHandleInvalid
        | Rv::UnwrappingKeyHandleInvalid => FaultClass::Retryable,
        Rv::GeneralError
        | Rv::FunctionFailed
        | Rv::FunctionCanceled
        | Rv::Cancel
        | Rv::DeviceError
        | Rv::HostMemory
        | Rv::VendorDefined(_)
        | Rv::UnknownErrorCode(_) => FaultClass::Indeterminate,
        Rv::DeviceMemory
        | Rv::TokenNotRecognized
        | Rv::LibraryLoadFailed
        | Rv::CryptokiAlreadyInitialized
        | Rv::CantLock
        | Rv::FipsSelfTestFailed => FaultClass::Broken,
        _ => FaultClass::Refused,
    }
}

/// The standard's name; unlisted codes keep their number.
fn code_name(rv: RvError) -> String {
    if let RvError::VendorDefined(number) | RvError::UnknownErrorCode(number) = rv {
        return format!("CKR_{number:#010x}");
    }
    standard_name("CKR", &format!("{rv:?}"))
}

/// cryptoki's name in the standard's spelling: `KeyUnextractable` → `CKR_KEY_UNEXTRACTABLE`.
pub(crate) fn standard_name(prefix: &str, name: &str) -> String {
    name.chars().fold(prefix.to_owned(), |mut name, character| {
        if character.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(character.to_ascii_uppercase());
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cryptoki_sys::{CKR_GENERAL_ERROR, CKR_KEY_UNEXTRACTABLE, CKR_PIN_LOCKED, CKR_SESSION_HANDLE_INVALID};

    #[test]
    fn codes_keep_their_names_and_find_their_class() {
        for (rv, code, class) in [
            (CKR_KEY_UNEXTRACTABLE, "CKR_KEY_UNEXTRACTABLE", FaultClass::Refused),
            (CKR_SESSION_HANDLE_INVALID, "CKR_SESSION_HANDLE_INVALID", FaultClass::Retryable),
            (CKR_GENERAL_ERROR, "CKR_GENERAL_ERROR", FaultClass::Indeterminate),
            (CKR_PIN_LOCKED, "CKR_PIN_LOCKED", FaultClass::Pin),
            (0x8000_0001, "CKR_0x80000001", FaultClass::Indeterminate),
        ] {
            let error = check(rv, Function::WrapKey).unwrap_err();
            assert_eq!((error.code.as_str(), error.class, error.function.as_str()), (code, class, "C_WrapKey"));
        }
    }
}
