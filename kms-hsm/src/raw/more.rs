//! Calls that only probe and doctor make: copies, digests, values in clear, and a forked child.
//!
//! Same rules as the parent module. Guard: nothing here is reached by the workers that serve.

use cryptoki::context::Function;
use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_MECHANISM_INFO, CK_MECHANISM_TYPE, CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CK_SLOT_ID, CK_ULONG,
    CK_UNAVAILABLE_INFORMATION,
};
use kms_core::ports::HsmResult;

use super::{Encoded, Functions, Mechanism, with, written};
use crate::fault::{self, broken};
use crate::lockdown;

/// How long the forked child may take, in seconds.
const CHILD_SECONDS: libc::c_uint = 5;

impl Functions {
    /// C_CopyObject.
    pub(crate) fn copy(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        template: &mut Encoded,
    ) -> HsmResult<CK_OBJECT_HANDLE> {
        let mut copy = 0;
        let (attributes, count) = template.parts();
        call!(self, C_CopyObject, CopyObject, session, object, attributes, count, &raw mut copy)?;
        Ok(copy)
    }

    /// C_DigestInit and C_Digest.
    pub(crate) fn digest(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: Mechanism<'_>,
        data: &[u8],
        capacity: usize,
    ) -> HsmResult<Vec<u8>> {
        let mut out = vec![0; capacity];
        let mut length = capacity as CK_ULONG;
        let (bytes, count) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
        with(mechanism, |m| call!(self, C_DigestInit, DigestInit, session, m))?;
        call!(self, C_Digest, Digest, session, bytes, count, out.as_mut_ptr(), &raw mut length)?;
        out.truncate(written(length, capacity, "C_Digest")?);
        Ok(out)
    }

    /// C_GetMechanismInfo.
    pub(crate) fn mechanism_info(&self, slot: CK_SLOT_ID, number: CK_MECHANISM_TYPE) -> HsmResult<CK_MECHANISM_INFO> {
        let mut info = CK_MECHANISM_INFO::default();
        call!(self, C_GetMechanismInfo, GetMechanismInfo, slot, number, &raw mut info)?;
        Ok(info)
    }

    /// Sessions the token allows at once; `None` where it does not say or sets no limit.
    pub(crate) fn session_limit(&self, slot: CK_SLOT_ID) -> HsmResult<Option<u64>> {
        let mut info = cryptoki_sys::CK_TOKEN_INFO::default();
        call!(self, C_GetTokenInfo, GetTokenInfo, slot, &raw mut info)?;
        let limit = info.ulMaxSessionCount;
        Ok(Some(limit).filter(|limit| *limit != 0 && *limit != CK_UNAVAILABLE_INFORMATION))
    }

    /// An attribute that should not be readable, with the token's own words when it is not.
    pub(crate) fn bare_value(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        kind: CK_ATTRIBUTE_TYPE,
    ) -> HsmResult<Vec<u8>> {
        let mut out = vec![0; 64];
        let written = self.value_into(session, object, kind, &mut out)?;
        out.truncate(written);
        Ok(out)
    }

    /// Whether a child process could run `body` to the end with what it inherited. `None`: it did not end in time.
    pub(crate) fn in_forked_child(body: impl FnOnce() -> bool) -> HsmResult<Option<bool>> {
        // SAFETY: the child runs `body` and leaves by _exit, without destructors; the parent only waits.
        let child = unsafe { libc::fork() };
        if child < 0 {
            return Err(broken("fork", "FORK", std::io::Error::last_os_error().to_string()));
        }
        if child == 0 {
            // A worker may signal no process but itself: a child that hangs must end by itself.
            // SAFETY: sets a timer of the child; its signal ends the process.
            unsafe { libc::alarm(CHILD_SECONDS) };
            lockdown::exit_now(i32::from(body()));
        }
        let mut status = 0;
        // SAFETY: waits for the child just made; `status` is a live local.
        if unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
            return Err(broken("fork", "FORK", std::io::Error::last_os_error().to_string()));
        }
        let hung = libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGALRM;
        Ok((!hung).then_some(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 1))
    }
}
