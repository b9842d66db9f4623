//! A counter that all processes using a token share: one memory load tells whether anything has changed.
//!
//! Odd while a writer works. A writer that is killed leaves it odd; whoever gets the lock next sees that and moves on,
//! so that every reader reloads. Guards: a change is never missed, and looking costs no system call.

#![allow(unsafe_code, reason = "a shared counter needs a shared memory mapping")]

use std::{
    fs::OpenOptions,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::Path,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use cryptoki_sys::CKR_DEVICE_ERROR;

use crate::{
    rv::{Result, Rv},
    storage::device_error,
};

const BYTES: usize = size_of::<AtomicU64>();

/// The mapped counter.
pub(crate) struct Generation(NonNull<AtomicU64>);

// SAFETY: the pointee is an atomic in a mapping that lives as long as the value.
unsafe impl Send for Generation {}
// SAFETY: as above; all access is atomic.
unsafe impl Sync for Generation {}

impl Generation {
    /// Maps the counter file, making it when missing.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(device_error)?;
        if file.metadata().map_err(device_error)?.len() < BYTES as u64 {
            file.set_len(BYTES as u64).map_err(device_error)?;
        }
        // SAFETY: a fresh shared mapping of a file of at least BYTES bytes; no address is requested.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(device_error(std::io::Error::last_os_error()));
        }
        // A mapping is page-aligned, so it is aligned for the atomic.
        NonNull::new(address.cast()).map(Self).ok_or(Rv(CKR_DEVICE_ERROR))
    }

    fn counter(&self) -> &AtomicU64 {
        // SAFETY: the mapping is valid until drop; the file is never shortened by the token.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn load(&self) -> u64 {
        self.counter().load(Ordering::Acquire)
    }

    /// Only meaningful under the token's lock, where no writer can be at work.
    pub(crate) fn writer_died(&self) -> bool {
        self.load() % 2 == 1
    }

    /// Before the first change, under the lock.
    pub(crate) fn begin(&self) {
        self.counter().fetch_add(1, Ordering::AcqRel);
    }

    /// After the last change, under the lock.
    pub(crate) fn end(&self) {
        self.counter().fetch_add(1, Ordering::AcqRel);
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        // SAFETY: unmaps exactly what `open` mapped; nothing borrows it any more.
        unsafe { libc::munmap(self.0.as_ptr().cast(), BYTES) };
    }
}
