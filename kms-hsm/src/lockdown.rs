//! The first lines of every `main` that handles secrets (worker, server, CLI): what the process gives up.
//!
//! Guards: other processes of the same user cannot read its memory, no core file holds it, and, in the
//! worker, nothing a vendor library prints can get into the frames. Root still reads everything.
#![expect(unsafe_code, reason = "prctl, setrlimit, dup2")]

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

/// Makes the process undumpable; answers what could not be done.
pub fn drop_privileges() -> Vec<String> {
    let mut failed = Vec::new();
    // SAFETY: PR_SET_DUMPABLE takes one number and touches no memory of ours.
    if unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } != 0 {
        failed.push(format!("PR_SET_DUMPABLE: {}", io::Error::last_os_error()));
    }
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads one rlimit structure from a live local.
    if unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) } != 0 {
        failed.push(format!("RLIMIT_CORE: {}", io::Error::last_os_error()));
    }
    failed
}

/// Takes standard output for the frames and points descriptor 1 to standard error, so that a
/// library that prints cannot break the framing.
pub(crate) fn take_stdout() -> io::Result<File> {
    let frames = io::stdout().as_fd().try_clone_to_owned()?;
    // SAFETY: both descriptors are open; dup2 touches no memory.
    if unsafe { libc::dup2(libc::STDERR_FILENO, libc::STDOUT_FILENO) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(File::from(frames))
}

/// Ends the process at once, without the exit handlers of a library that may hang.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: never returns and runs no code of ours.
    unsafe { libc::_exit(code) }
}
