//! The C boundary (PKCS#11 2.40 §5): reads the caller's memory, calls `api`, writes the answer, maps the outcome.
//!
//! Every entry is one [`entry!`]: no panic crosses it, no pointer is followed that may be null, no length is believed
//! beyond a named limit. What cannot be checked is that a non-null pointer and its length are honest; PKCS#11 leaves
//! that to the caller. Guards: after fork, the child's calls answer CKR_CRYPTOKI_NOT_INITIALIZED.

#![allow(unsafe_code, reason = "the PKCS#11 interface is C: raw pointers in, raw pointers out")]

mod attributes;
mod ciphers;
mod faults;
mod general;
mod keys;
mod memory;
mod objects;
mod parameters;
mod sessions;
mod signatures;
mod table;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Once,
        atomic::{AtomicPtr, Ordering},
    },
};

use cryptoki_sys::{
    CK_RV, CK_SESSION_HANDLE, CK_ULONG, CKR_CRYPTOKI_ALREADY_INITIALIZED, CKR_CRYPTOKI_NOT_INITIALIZED,
    CKR_GENERAL_ERROR, CKR_OK,
};

pub use self::table::C_GetFunctionList;
use crate::{
    fault::Function,
    module::Module,
    rv::{Result, Rv},
    session::Session,
};

const _: () = assert!(size_of::<CK_ULONG>() == 8 && size_of::<usize>() == 8, "written for 64-bit Unix");

/// Defines one C entry. Inside, the whole body is unsafe: it consists of reading and writing the caller's memory.
macro_rules! entry {
    (
        $(#[$doc:meta])*
        $function:ident: fn $name:ident($first:ident: $first_kind:ty $(, $arg:ident: $kind:ty)* $(,)?) $body:block
    ) => {
        $(#[$doc])*
        #[allow(unused_unsafe, reason = "entries that only refuse read nothing")]
        pub(super) unsafe extern "C" fn $name($first: $first_kind $(, $arg: $kind)*) -> cryptoki_sys::CK_RV {
            let function = $crate::fault::Function::$function;
            // SAFETY: the caller of a PKCS#11 function vouches that its non-null pointers point to as much memory as it
            // says (§5.1); the helpers refuse null pointers and lengths beyond their limits.
            $crate::ffi::boundary(function, $first as cryptoki_sys::CK_ULONG, || unsafe { $body })
        }
    };
}
use entry;

/// Null unless initialised. What it points to is never freed: a call of another thread may still be inside when the
/// library is finalised, and a forked child must not touch locks that some thread of its parent held. A finalised module
/// is emptied instead; what stays is a few hundred bytes for each C_Initialize.
static MODULE: AtomicPtr<Module> = AtomicPtr::new(std::ptr::null_mut());

/// Runs one entry, with the faults that a script asks for.
fn boundary(function: Function, first: CK_ULONG, entry: impl FnOnce() -> Result<()>) -> CK_RV {
    if function == Function::C_Initialize && MODULE.load(Ordering::Acquire).is_null() {
        let loaded = guarded(faults::load);
        if loaded != CKR_OK {
            return loaded;
        }
    }
    match faults::plan() {
        None => guarded(entry),
        Some(plan) => {
            if plan.has_network() {
                faults::wake_on_time();
            }
            plan.run(function, first, module().ok(), || guarded(entry))
        }
    }
}

/// A panic becomes CKR_GENERAL_ERROR.
fn guarded(entry: impl FnOnce() -> Result<()>) -> CK_RV {
    match catch_unwind(AssertUnwindSafe(entry)) {
        Ok(Ok(())) => CKR_OK,
        Ok(Err(Rv(rv))) => rv,
        Err(_) => CKR_GENERAL_ERROR,
    }
}

/// The initialised module.
fn module() -> Result<&'static Module> {
    // SAFETY: null, or a leaked module.
    unsafe { MODULE.load(Ordering::Acquire).as_ref() }.ok_or(Rv(CKR_CRYPTOKI_NOT_INITIALIZED))
}

fn session(handle: CK_SESSION_HANDLE) -> Result<Arc<Session>> {
    module()?.session(handle)
}

/// Publishes a new module; refuses if there is one.
fn install(make: impl FnOnce() -> Result<Module>) -> Result<()> {
    if !MODULE.load(Ordering::Acquire).is_null() {
        return Err(Rv(CKR_CRYPTOKI_ALREADY_INITIALIZED));
    }
    watch_for_fork();
    let fresh = Box::into_raw(Box::new(make()?));
    if MODULE.compare_exchange(std::ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
        // SAFETY: `fresh` comes from `into_raw` above and was not published.
        drop(unsafe { Box::from_raw(fresh) });
        return Err(Rv(CKR_CRYPTOKI_ALREADY_INITIALIZED));
    }
    Ok(())
}

/// Takes the module out of service.
fn uninstall() -> Result<()> {
    let old = MODULE.swap(std::ptr::null_mut(), Ordering::AcqRel);
    // SAFETY: null, or a leaked module.
    unsafe { old.as_ref() }.ok_or(Rv(CKR_CRYPTOKI_NOT_INITIALIZED))?.shut();
    Ok(())
}

/// A child starts uninitialised (PKCS#11 2.40 §2.5.2).
fn watch_for_fork() {
    extern "C" fn in_child() {
        MODULE.store(std::ptr::null_mut(), Ordering::Release);
        faults::forget();
    }
    static ONCE: Once = Once::new();
    // SAFETY: the handler stores two atomic pointers, which is allowed between fork and exec.
    ONCE.call_once(|| _ = unsafe { libc::pthread_atfork(None, None, Some(in_child)) });
}
