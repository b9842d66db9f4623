//! The one error type: a PKCS#11 return value other than `CKR_OK`.
//!
//! PKCS#11 names every failure by number, so the token keeps the number and nothing else: no text can leak a secret,
//! and the C boundary has nothing to translate.

use cryptoki_sys::CK_RV;

/// A `CK_RV` that is not `CKR_OK` (PKCS#11 2.40 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rv(pub(crate) CK_RV);

/// What every inner function returns.
pub(crate) type Result<T> = std::result::Result<T, Rv>;

/// Refuses with `rv` unless `holds`.
pub(crate) fn ensure(holds: bool, rv: CK_RV) -> Result<()> {
    if holds { Ok(()) } else { Err(Rv(rv)) }
}
