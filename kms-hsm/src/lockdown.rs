//! The first lines of every `main` that handles secrets (worker, server, CLI): what the process gives up.
//!
//! Guards: other processes of the same user cannot read its memory, no core file holds it, and, in the
//! worker, no descriptor of its parent is left, nothing a vendor library prints can get into the frames,
//! and memory that a PIN arrives in is neither swapped nor dumped. Root still reads everything.
#![expect(unsafe_code, reason = "prctl, setrlimit, close_range, mlock, dup2")]

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

/// One thing given up, or why not.
#[derive(Debug)]
pub struct Dropped {
    /// What.
    pub measure: &'static str,
    /// Whether it worked; else why not.
    pub done: Result<(), String>,
}

/// Makes the process undumpable.
pub fn drop_privileges() -> Vec<Dropped> {
    // SAFETY: PR_SET_DUMPABLE takes one number and touches no memory of ours.
    let dumpable = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    let dumpable = Dropped { measure: "dumpable", done: done(dumpable, "PR_SET_DUMPABLE") };
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads one rlimit structure from a live local.
    let core = unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    vec![dumpable, Dropped { measure: "core-files", done: done(core, "RLIMIT_CORE") }]
}

/// Closes every descriptor but the three standard ones: what a careless parent left open. Only for a
/// process that has opened nothing itself yet.
pub(crate) fn close_inherited() -> Dropped {
    let first = libc::STDERR_FILENO.unsigned_abs() + 1;
    // SAFETY: at the start of main nobody owns a descriptor above the standard ones.
    let closed = unsafe { libc::close_range(first, libc::c_uint::MAX, 0) };
    Dropped { measure: "inherited-files", done: done(closed, "close_range") }
}

/// No program this process might start has more rights than it.
pub(crate) fn no_new_privileges() -> Result<(), String> {
    // SAFETY: takes one number and touches no memory of ours.
    done(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, "PR_SET_NO_NEW_PRIVS")
}

/// Whether memory can be kept from swap and dumps here.
pub(crate) fn can_lock() -> Result<(), String> {
    keep_in_memory(&Vec::with_capacity(1))
}

/// Keeps the pages of a buffer out of swap and dumps, for as long as the process lives.
pub(crate) fn keep_in_memory(buffer: &Vec<u8>) -> Result<(), String> {
    // SAFETY: asks for a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let (from, until) = (buffer.as_ptr().addr(), buffer.as_ptr().addr() + buffer.capacity());
    let first = from / page * page;
    let (start, length) = (std::ptr::without_provenance_mut(first), until.next_multiple_of(page) - first);
    // SAFETY: changes how whole pages are kept, not what is in them; the buffer lies within them.
    let locked = unsafe { libc::mlock(start, length) };
    // SAFETY: as above.
    let dumped = unsafe { libc::madvise(start, length, libc::MADV_DONTDUMP) };
    done(locked, "mlock (RLIMIT_MEMLOCK)").and_then(|()| done(dumped, "MADV_DONTDUMP"))
}

fn done(answer: libc::c_int, what: &str) -> Result<(), String> {
    if answer == 0 { Ok(()) } else { Err(format!("{what}: {}", io::Error::last_os_error())) }
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
