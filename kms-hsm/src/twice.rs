//! What a token answers is believed when it answers it twice.
//!
//! A blob wrapped for another HSM cannot be opened here, a MAC has nothing to be compared with, an attribute is what the
//! token says it is. Derivation, RFC 3394 and HMAC give one answer to one question, so a bit that tipped over, a stale
//! handle or a buffer of the call before shows as two different answers. Not a proof against a token that is wrong in the
//! same way every time: that takes a second HSM. Guard: of two answers that differ neither is used.

use cryptoki_sys::{CK_ATTRIBUTE_TYPE, CK_OBJECT_HANDLE, CK_SESSION_HANDLE};
use kms_core::ports::{FaultClass, HsmError, HsmResult};

use crate::fault::fault;
use crate::raw::Functions;

/// Asks twice.
pub(crate) fn twice<T: PartialEq>(function: &str, mut ask: impl FnMut() -> HsmResult<T>) -> HsmResult<T> {
    let first = ask()?;
    if ask()? == first { Ok(first) } else { Err(unsteady(function)) }
}

/// Two answers to one question.
pub(crate) fn unsteady(function: &str) -> HsmError {
    let detail = "the token gave two different answers to one question; neither was used";
    fault(FaultClass::Indeterminate, function, "ANSWERS_DIFFER", detail)
}

/// The value of an attribute, read twice.
pub(crate) fn steady_value(
    functions: &Functions,
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    kind: CK_ATTRIBUTE_TYPE,
) -> HsmResult<Option<Vec<u8>>> {
    twice("C_GetAttributeValue", || functions.value(session, object, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_answers_that_differ_are_none() {
        let mut answers = [1, 1, 2, 3].into_iter();
        let mut ask = || Ok(answers.next().unwrap());
        assert_eq!(twice("C_Sign", &mut ask), Ok(1));
        let error = twice("C_Sign", &mut ask).unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (FaultClass::Indeterminate, "ANSWERS_DIFFER"));
    }
}
