//! The fault script at the boundary: one pointer, null when there is no script.

use std::{
    cell::Cell,
    env,
    path::PathBuf,
    sync::atomic::{AtomicPtr, Ordering},
};

use cryptoki_sys::{CK_OBJECT_HANDLE, CKR_ARGUMENTS_BAD};

use crate::{
    fault::Plan,
    rv::{Result, Rv},
};

/// Never freed once published: calls of other threads may be inside, some of them hanging on purpose.
static PLAN: AtomicPtr<Plan> = AtomicPtr::new(std::ptr::null_mut());

/// The script at work.
#[inline]
pub(super) fn plan() -> Option<&'static Plan> {
    // SAFETY: null, or a leaked plan.
    unsafe { PLAN.load(Ordering::Acquire).as_ref() }
}

/// Reads `HSM_SIM_FAULTS` (again). A script that is not understood is refused, with a line on standard error: PKCS#11
/// has no other way to say why.
pub(super) fn load() -> Result<()> {
    let path = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let Some(script) = path("HSM_SIM_FAULTS") else {
        forget();
        return Ok(());
    };
    match Plan::load(&script, path("HSM_SIM_FAULTS_LOG").as_deref(), plan()) {
        Ok(fresh) => {
            PLAN.store(Box::into_raw(Box::new(fresh)), Ordering::Release);
            Ok(())
        }
        Err(refusal) => {
            eprintln!("{refusal}");
            Err(Rv(CKR_ARGUMENTS_BAD))
        }
    }
}

/// Threads that wait for the network of a script are woken when it is time: the system may be 50 µs late otherwise.
pub(super) fn wake_on_time() {
    thread_local! {
        static DONE: Cell<bool> = const { Cell::new(false) };
    }
    if !DONE.replace(true) {
        // SAFETY: PR_SET_TIMERSLACK takes numbers only. Where it is refused the network is a little slower.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    }
}

/// After fork, and when there is no script.
pub(super) fn forget() {
    PLAN.store(std::ptr::null_mut(), Ordering::Release);
}

/// The object that a call works on.
pub(super) fn named(object: CK_OBJECT_HANDLE) -> CK_OBJECT_HANDLE {
    plan().map_or(object, |plan| plan.named(object))
}

/// The handle of a new object, as the caller is told.
pub(super) fn told(made: CK_OBJECT_HANDLE) -> CK_OBJECT_HANDLE {
    plan().map_or(made, |plan| plan.object(made))
}
