//! The PKCS#11 calls cryptoki cannot make: mechanisms by number with any parameter, nested
//! templates, wrapping in one call.
//!
//! The only `unsafe` of the worker besides the lock-down. No policy: it calls, checks the return
//! value, and hands out exactly as many bytes as the module says it wrote. Guards: every pointer
//! given to the module comes from a live borrow, a NULL function is an error and not a jump, and a
//! length larger than the buffer is refused.
#![expect(unsafe_code, reason = "calls into a C function table")]

mod attributes;
#[macro_use]
mod call;
mod more;
mod parameter;
mod reading;

use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use cryptoki::context::Function;
use cryptoki_sys::{CK_FUNCTION_LIST, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_ULONG};
use kms_core::ports::HsmResult;

pub(crate) use attributes::Encoded;
use parameter::with;
pub(crate) use parameter::{Mechanism, Parameter};

use crate::fault::{self, broken, refused};

/// The module's function table.
///
/// It is used from several threads at once, each with a session of its own. Nothing in it changes after loading, so
/// the compiler finds it `Send` and `Sync` by itself; that the *functions* may be called so is what the module promises
/// by accepting CKF_OS_LOCKING_OK in C_Initialize (PKCS#11 2.40 §5.4): a module that cannot lock refuses to start. One
/// session is never used by two threads: its operations would mix.
pub(crate) struct Functions {
    /// Keeps the library loaded while the table is used.
    _library: cryptoki_sys::Pkcs11,
    table: CK_FUNCTION_LIST,
    /// A session object could not be destroyed.
    left_behind: AtomicBool,
}

const fn shared_between_threads<T: Send + Sync>() {}
const _: () = shared_between_threads::<Functions>();

impl Functions {
    /// Opens the library (again: one state per process) and takes its table.
    pub(crate) fn load(module: &Path) -> HsmResult<Self> {
        // SAFETY: loading runs the library's initialisers; that is what this process exists for.
        let library = unsafe { cryptoki_sys::Pkcs11::new(module) }
            .map_err(|error| broken("load", "MODULE_UNUSABLE", error.to_string()))?;
        let mut list: *mut CK_FUNCTION_LIST = ptr::null_mut();
        let Ok(function_list) = &library.C_GetFunctionList else {
            return Err(broken("load", "MODULE_UNUSABLE", "the module has no C_GetFunctionList"));
        };
        // SAFETY: the symbol has this signature by the standard; `list` is a live local.
        fault::check(unsafe { function_list(&raw mut list) }, Function::GetFunctionList)?;
        if list.is_null() {
            return Err(broken("C_GetFunctionList", "MODULE_UNUSABLE", "the module answers no function table"));
        }
        // SAFETY: not NULL, and the module promises a table that lives as long as it is loaded.
        let table = unsafe { *list };
        Ok(Self { _library: library, table, left_behind: AtomicBool::new(false) })
    }

    /// Notes that a session object could not be destroyed.
    pub(crate) fn leave_behind(&self) {
        self.left_behind.store(true, Ordering::Relaxed);
    }

    /// Whether one was left since the last time.
    pub(crate) fn took_left_behind(&self) -> bool {
        self.left_behind.swap(false, Ordering::Relaxed)
    }

    /// C_GenerateKey.
    pub(crate) fn generate_key(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: Mechanism<'_>,
        template: &mut Encoded,
    ) -> HsmResult<CK_OBJECT_HANDLE> {
        let mut key = 0;
        let (attributes, count) = template.parts();
        with(mechanism, |m| call!(self, C_GenerateKey, GenerateKey, session, m, attributes, count, &raw mut key))?;
        Ok(key)
    }

    /// C_GenerateKeyPair; answers (public, private).
    pub(crate) fn generate_key_pair(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: Mechanism<'_>,
        public: &mut Encoded,
        private: &mut Encoded,
    ) -> HsmResult<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE)> {
        let (mut public_key, mut private_key) = (0, 0);
        let (ours, our_count) = public.parts();
        let (theirs, their_count) = private.parts();
        with(mechanism, |m| {
            call!(
                self,
                C_GenerateKeyPair,
                GenerateKeyPair,
                session,
                m,
                ours,
                our_count,
                theirs,
                their_count,
                &raw mut public_key,
                &raw mut private_key,
            )
        })?;
        Ok((public_key, private_key))
    }

    /// C_CreateObject.
    pub(crate) fn create_object(
        &self,
        session: CK_SESSION_HANDLE,
        template: &mut Encoded,
    ) -> HsmResult<CK_OBJECT_HANDLE> {
        let mut object = 0;
        let (attributes, count) = template.parts();
        call!(self, C_CreateObject, CreateObject, session, attributes, count, &raw mut object)?;
        Ok(object)
    }

    /// C_SetAttributeValue.
    pub(crate) fn set_attributes(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        template: &mut Encoded,
    ) -> HsmResult<()> {
        let (attributes, count) = template.parts();
        call!(self, C_SetAttributeValue, SetAttributeValue, session, object, attributes, count)
    }

    /// C_DestroyObject.
    pub(crate) fn destroy(&self, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> HsmResult<()> {
        call!(self, C_DestroyObject, DestroyObject, session, object)
    }

    /// Handles of at most `limit` objects that match.
    pub(crate) fn find(
        &self,
        session: CK_SESSION_HANDLE,
        template: &mut Encoded,
        limit: usize,
    ) -> HsmResult<Vec<CK_OBJECT_HANDLE>> {
        let (attributes, count) = template.parts();
        call!(self, C_FindObjectsInit, FindObjectsInit, session, attributes, count)?;
        let mut found: Vec<CK_OBJECT_HANDLE> = vec![0; limit];
        let mut number: CK_ULONG = 0;
        let result =
            call!(self, C_FindObjects, FindObjects, session, found.as_mut_ptr(), limit as CK_ULONG, &raw mut number);
        // Ends the search even when it failed, else the session stays busy.
        let ended = call!(self, C_FindObjectsFinal, FindObjectsFinal, session);
        result.and(ended)?;
        found.truncate(written(number, limit, "C_FindObjects")?);
        Ok(found)
    }

    /// C_DeriveKey.
    pub(crate) fn derive_key(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: Mechanism<'_>,
        base: CK_OBJECT_HANDLE,
        template: &mut Encoded,
    ) -> HsmResult<CK_OBJECT_HANDLE> {
        let mut key = 0;
        let (attributes, count) = template.parts();
        with(mechanism, |m| call!(self, C_DeriveKey, DeriveKey, session, m, base, attributes, count, &raw mut key))?;
        Ok(key)
    }

    /// C_WrapKey in one call; answers the bytes written.
    pub(crate) fn wrap_key(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: Mechanism<'_>,
        wrapping: CK_OBJECT_HANDLE,
        key: CK_OBJECT_HANDLE,
        out: &mut [u8],
    ) -> HsmResult<usize> {
        let mut length = out.len() as CK_ULONG;
        with(mechanism, |m| {
            call!(self, C_WrapKey, WrapKey, session, m, wrapping, key, out.as_mut_ptr(), &raw mut length)
        })?;
        written(length, out.len(), "C_WrapKey")
    }

    /// C_UnwrapKey.
    pub(crate) fn unwrap_key(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: Mechanism<'_>,
        unwrapping: CK_OBJECT_HANDLE,
        wrapped: &[u8],
        template: &mut Encoded,
    ) -> HsmResult<CK_OBJECT_HANDLE> {
        let mut key = 0;
        let (attributes, count) = template.parts();
        let (bytes, length) = (wrapped.as_ptr().cast_mut(), wrapped.len() as CK_ULONG);
        with(mechanism, |m| {
            call!(self, C_UnwrapKey, UnwrapKey, session, m, unwrapping, bytes, length, attributes, count, &raw mut key)
        })?;
        Ok(key)
    }

    /// C_SignInit and C_Sign; answers the bytes written.
    pub(crate) fn sign(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: Mechanism<'_>,
        key: CK_OBJECT_HANDLE,
        data: &[u8],
        out: &mut [u8],
    ) -> HsmResult<usize> {
        with(mechanism, |m| call!(self, C_SignInit, SignInit, session, m, key))?;
        let mut length = out.len() as CK_ULONG;
        let (bytes, count) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
        call!(self, C_Sign, Sign, session, bytes, count, out.as_mut_ptr(), &raw mut length)?;
        written(length, out.len(), "C_Sign")
    }

    /// C_EncryptInit and C_Encrypt into a buffer of `capacity` bytes.
    pub(crate) fn encrypt(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: Mechanism<'_>,
        key: CK_OBJECT_HANDLE,
        data: &[u8],
        capacity: usize,
    ) -> HsmResult<Vec<u8>> {
        let mut out = vec![0; capacity];
        let mut length = capacity as CK_ULONG;
        let (bytes, count) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
        // The parameter outlives both calls: a module may keep its pointer until the end.
        with(mechanism, |m| {
            call!(self, C_EncryptInit, EncryptInit, session, m, key)?;
            call!(self, C_Encrypt, Encrypt, session, bytes, count, out.as_mut_ptr(), &raw mut length)
        })?;
        out.truncate(written(length, capacity, "C_Encrypt")?);
        Ok(out)
    }

    /// C_DecryptInit and C_Decrypt into a buffer of `capacity` bytes.
    pub(crate) fn decrypt(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: Mechanism<'_>,
        key: CK_OBJECT_HANDLE,
        data: &[u8],
        capacity: usize,
    ) -> HsmResult<Vec<u8>> {
        let mut out = vec![0; capacity];
        let mut length = capacity as CK_ULONG;
        let (bytes, count) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
        with(mechanism, |m| {
            call!(self, C_DecryptInit, DecryptInit, session, m, key)?;
            call!(self, C_Decrypt, Decrypt, session, bytes, count, out.as_mut_ptr(), &raw mut length)
        })?;
        out.truncate(written(length, capacity, "C_Decrypt")?);
        Ok(out)
    }
}

/// A length the module reports, which must fit the buffer it was given.
fn written(length: CK_ULONG, capacity: usize, function: &str) -> HsmResult<usize> {
    match usize::try_from(length) {
        Ok(length) if length <= capacity => Ok(length),
        _ => Err(refused(function, "ANSWER_LENGTH", format!("{length} bytes in a buffer of {capacity}"))),
    }
}

/// Only for [`reading`]: the bare return value of C_GetAttributeValue matters there.
fn attribute_value(
    functions: &Functions,
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    attributes: &mut [cryptoki_sys::CK_ATTRIBUTE],
) -> HsmResult<CK_RV> {
    match functions.table.C_GetAttributeValue {
        Some(function) => {
            // SAFETY: the array is a live mutable borrow; each pValue is NULL or points to
            // ulValueLen writable bytes, which `reading` sees to.
            Ok(unsafe { function(session, object, attributes.as_mut_ptr(), attributes.len() as CK_ULONG) })
        }
        None => Err(broken("C_GetAttributeValue", "FUNCTION_MISSING", "the module leaves this function out")),
    }
}
