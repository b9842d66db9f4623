//! The attempts, each by its shortest way. Whatever works is undone where that can be done.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr::{null, null_mut};

type Tried = io::Result<()>;

/// What is tried, and how.
type Attempt = (&'static str, fn() -> Tried);

const ATTEMPTS: &[Attempt] = &[
    // Positive controls: what a module must be able to do.
    ("allowed: write into the token's folder", || own_file().map(|_| ())),
    ("allowed: read the module's folder", || fs::read_dir(module_folder()).map(|_| ())),
    ("allowed: load a system library", load_library),
    ("allowed: random numbers", || File::open("/dev/urandom")?.read_exact(&mut [0; 8])),
    ("allowed: fork and signal oneself", fork_and_signal),
    // Programs.
    ("execute a program", || Command::new("/bin/true").status().map(|_| ())),
    ("execute a file of one's own", execute_own),
    // Files.
    ("read a file elsewhere", || fs::read(secret()).map(|_| ())),
    ("read /etc/shadow", || fs::read("/etc/shadow").map(|_| ())),
    ("read through a link", read_through_link),
    ("list a folder elsewhere", || fs::read_dir(outside()).map(|_| ())),
    ("write a file elsewhere", || write_and_remove(&outside().join("planted"))),
    ("hard link to a file elsewhere", hard_link),
    ("move a file out", move_out),
    ("change a mode elsewhere", || fs::set_permissions(secret(), fs::Permissions::from_mode(0o640))),
    ("write into the module's folder", || write_and_remove(&module_folder().join("planted.so"))),
    ("write into the module", || OpenOptions::new().append(true).open(module()).map(|_| ())),
    // Network.
    ("TCP connect", || TcpStream::connect(("127.0.0.1", number("HOSTILE_PORT") as u16)).map(|_| ())),
    ("TCP listen", || TcpListener::bind("127.0.0.1:0").map(|_| ())),
    ("UDP send", || UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", "127.0.0.1:9").map(|_| ())),
    ("UNIX connect", || UnixStream::connect(variable("HOSTILE_SOCKET")).map(|_| ())),
    // The parent.
    ("trace the parent", trace_parent),
    ("read the parent's memory by process_vm_readv", read_parent_directly),
    ("read the parent's memory by /proc", read_parent_by_file),
    ("read the parent's environment", || fs::read(format!("/proc/{}/environ", parent())).map(|_| ())),
    ("list the parent's files", || fs::read_dir(format!("/proc/{}/fd", parent())).map(|_| ())),
    ("signal the parent", || call(libc::SYS_kill, [parent() as u64, 0, 0, 0, 0])),
    // The rest of the system.
    ("mount", mount),
    ("new namespace", new_namespace),
    ("become another user", || call(libc::SYS_setresuid, [u64::MAX, u64::MAX, u64::MAX, 0, 0])),
    ("be dumpable again", dumpable_again),
    ("kernel keys", || call(libc::SYS_keyctl, [0, (-1_i64) as u64, 1, 0, 0])),
    ("io_uring", || call(libc::SYS_io_uring_setup, [1, 0, 0, 0, 0])),
    ("bpf", || call(libc::SYS_bpf, [0, 0, 0, 0, 0])),
    ("perf_event_open", || call(libc::SYS_perf_event_open, [0, 0, 0, 0, 0])),
];

/// Tries everything and writes what came of it.
pub(crate) fn all(moment: &str) {
    let lines = ATTEMPTS.iter().map(|(name, attempt)| match attempt() {
        Ok(()) => format!("{name}\tok\n"),
        Err(error) => format!("{name}\t{}\n", error.raw_os_error().unwrap_or(-1)),
    });
    let text: String = lines.collect();
    let file = folder().join(format!("hostile-{moment}"));
    if let Err(error) = fs::write(&file, text) {
        eprintln!("hostile module: {}: {error}", file.display());
    }
}

fn variable(name: &str) -> PathBuf {
    std::env::var_os(name).unwrap().into()
}

fn number(name: &str) -> u64 {
    std::env::var(name).unwrap().parse().unwrap()
}

/// The token's folder.
fn folder() -> PathBuf {
    variable("HSM_SIM_DIR")
}

/// A folder that is none of the worker's business.
fn outside() -> PathBuf {
    variable("HOSTILE_OUTSIDE")
}

fn secret() -> PathBuf {
    outside().join("secret")
}

fn module() -> PathBuf {
    variable("HOSTILE_MODULE")
}

fn module_folder() -> PathBuf {
    module().parent().unwrap().to_owned()
}

fn parent() -> libc::pid_t {
    // SAFETY: asks for a number.
    unsafe { libc::getppid() }
}

fn call(number: libc::c_long, arguments: [u64; 5]) -> Tried {
    let [a, b, c, d, e] = arguments;
    // SAFETY: every use here passes numbers, or NULL where the kernel wants memory.
    match unsafe { libc::syscall(number, a, b, c, d, e) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn own_file() -> io::Result<PathBuf> {
    let file = folder().join("hostile-own");
    fs::write(&file, "#!/bin/sh\n")?;
    Ok(file)
}

fn write_and_remove(file: &Path) -> Tried {
    File::create(file)?.write_all(b"x")?;
    fs::remove_file(file)
}

fn execute_own() -> Tried {
    let file = own_file()?;
    // Refused already where modes cannot be changed; the mode is not what holds an execution back.
    let _ = fs::set_permissions(&file, fs::Permissions::from_mode(0o700));
    Command::new(file).status().map(|_| ())
}

fn read_through_link() -> Tried {
    let link = folder().join("hostile-link");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(secret(), &link)?;
    fs::read(&link).map(|_| ())
}

fn hard_link() -> Tried {
    let link = folder().join("hostile-hard-link");
    let _ = fs::remove_file(&link);
    fs::hard_link(secret(), &link)?;
    fs::read(&link).map(|_| ())
}

fn move_out() -> Tried {
    let moved = outside().join("moved");
    fs::rename(own_file()?, &moved)?;
    fs::remove_file(moved)
}

fn load_library() -> Tried {
    let name = CString::new("libm.so.6").unwrap();
    // SAFETY: a library of the C runtime, closed again.
    unsafe {
        let library = libc::dlopen(name.as_ptr(), libc::RTLD_NOW);
        if library.is_null() {
            return Err(io::Error::other("dlopen"));
        }
        libc::dlclose(library);
    }
    Ok(())
}

fn fork_and_signal() -> Tried {
    // SAFETY: the child leaves at once; the parent waits for it, and then asks whether it may signal itself.
    unsafe {
        let child = libc::fork();
        match child {
            -1 => return Err(io::Error::last_os_error()),
            0 => libc::_exit(0),
            _ => libc::waitpid(child, null_mut(), 0),
        };
        if libc::kill(libc::getpid(), 0) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Attaches without stopping, then stops and lets go.
fn trace_parent() -> Tried {
    let parent = parent() as u64;
    call(libc::SYS_ptrace, [u64::from(libc::PTRACE_SEIZE), parent, 0, 0, 0])?;
    call(libc::SYS_ptrace, [u64::from(libc::PTRACE_INTERRUPT), parent, 0, 0, 0])?;
    // SAFETY: waits for the stop just asked for.
    unsafe { libc::waitpid(parent as libc::pid_t, null_mut(), libc::__WALL) };
    call(libc::SYS_ptrace, [u64::from(libc::PTRACE_DETACH), parent, 0, 0, 0])
}

const TREASURE: &[u8] = b"treasure of the parent";

fn read_parent_directly() -> Tried {
    let mut found = [0_u8; TREASURE.len()];
    let local = libc::iovec { iov_base: found.as_mut_ptr().cast(), iov_len: found.len() };
    let address = number("HOSTILE_ADDRESS") as usize;
    let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: found.len() };
    // SAFETY: `local` is a live buffer; the other is not ours, which is the point.
    if unsafe { libc::process_vm_readv(parent(), &raw const local, 1, &raw const remote, 1, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    if found == TREASURE { Ok(()) } else { Err(io::Error::other("read, but not what is there")) }
}

fn read_parent_by_file() -> Tried {
    let mut memory = File::open(format!("/proc/{}/mem", parent()))?;
    memory.seek(SeekFrom::Start(number("HOSTILE_ADDRESS")))?;
    let mut found = [0; TREASURE.len()];
    memory.read_exact(&mut found)?;
    if found == TREASURE { Ok(()) } else { Err(io::Error::other("read, but not what is there")) }
}

fn mount() -> Tried {
    let target = CString::new(folder().into_os_string().into_encoded_bytes()).unwrap();
    let kind = c"tmpfs".as_ptr();
    // SAFETY: live C strings; what was mounted is unmounted.
    unsafe {
        if libc::mount(kind, target.as_ptr(), kind, 0, null()) != 0 {
            return Err(io::Error::last_os_error());
        }
        libc::umount(target.as_ptr());
    }
    Ok(())
}

/// In a child, which then is in the new namespace.
fn new_namespace() -> Tried {
    // SAFETY: the child makes one system call and leaves with its answer.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            let refused = libc::unshare(libc::CLONE_NEWUTS) != 0;
            libc::_exit(if refused { *libc::__errno_location() } else { 0 });
        }
        let mut status = 0;
        libc::waitpid(child, &raw mut status, 0);
        match libc::WEXITSTATUS(status) {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }
}

fn dumpable_again() -> Tried {
    call(libc::SYS_prctl, [libc::PR_SET_DUMPABLE as u64, 1, 0, 0, 0])?;
    call(libc::SYS_prctl, [libc::PR_SET_DUMPABLE as u64, 0, 0, 0, 0])
}
