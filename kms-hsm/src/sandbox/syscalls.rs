//! seccomp: system calls that no PKCS#11 library has business with.
//!
//! A list of what is refused, not of what is allowed: docs/adr/0006 says why. Refusals are EPERM, an
//! error every library can handle; calls newer than this list are ENOSYS, as on an older kernel.
//! Guards: the filter holds for every thread; another architecture's calls end the process.

use std::collections::BTreeMap;

use landlock::ABI;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    sock_filter,
};

use super::Sockets;

/// The newest call weighed for the lists: mseal, Linux 6.10. The same number on every architecture since 424.
const NEWEST: u32 = 462;

/// Refused whatever their arguments.
const REFUSED: &[libc::c_long] = &[
    // Other programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Other processes' memory, descriptors and threads.
    libc::SYS_kcmp,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_tkill,
    // Ways round these lists.
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_userfaultfd,
    // The kernel and its keys.
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_perf_event_open,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    // Mounts and namespaces.
    libc::SYS_chroot,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_setns,
    libc::SYS_umount2,
    libc::SYS_unshare,
    // Who we are, what time and which host.
    libc::SYS_adjtimex,
    libc::SYS_capset,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_setdomainname,
    libc::SYS_setfsgid,
    libc::SYS_setfsuid,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_sethostname,
    libc::SYS_setregid,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_setreuid,
    libc::SYS_settimeofday,
    libc::SYS_setuid,
    // Owners, modes and attributes of files, which Landlock leaves open.
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fremovexattr,
    libc::SYS_fsetxattr,
    libc::SYS_lremovexattr,
    libc::SYS_lsetxattr,
    libc::SYS_removexattr,
    libc::SYS_setxattr,
];

/// The older forms, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[libc::c_long] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_lchown,
    libc::SYS_modify_ldt,
    libc::SYS_sysfs,
    libc::SYS_uselib,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[libc::c_long] = &[];

/// Flags of clone that make a namespace.
const NAMESPACES: &[libc::c_int] = &[
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// Puts words into the terminal of whoever started the service.
const TERMINAL: [u64; 2] = [0x5412, 0x541C]; // TIOCSTI, TIOCLINUX

/// Rules by number of the call; no rule under a number refuses it always.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Installs both filters for all threads.
pub(super) fn restrict(sockets: Sockets, landlock: Option<ABI>) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| format!("no system call filter: {error}");
    let filter = refusing(sockets, landlock, std::process::id()).map_err(|error| told(&error))?;
    seccompiler::apply_filter_all_threads(&unknown()).map_err(|error| told(&error))?;
    seccompiler::apply_filter_all_threads(&filter).map_err(|error| told(&error))
}

fn refusing(sockets: Sockets, landlock: Option<ABI>, process: u32) -> Result<BpfProgram, seccompiler::BackendError> {
    let arch = std::env::consts::ARCH.try_into()?;
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules(sockets, landlock, process)?, SeccompAction::Allow, refuse, arch)?.try_into()
}

fn rules(sockets: Sockets, landlock: Option<ABI>, process: u32) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = REFUSED.iter().chain(REFUSED_HERE).map(|number| (*number, Vec::new())).collect();
    let process = u64::from(process);
    let differs = |argument, value| condition(argument, SeccompCmpOp::Ne, value);
    let equals = |argument, value| condition(argument, SeccompCmpOp::Eq, value);
    for number in [libc::SYS_kill, libc::SYS_tgkill] {
        rules.insert(number, vec![SeccompRule::new(vec![differs(0, process)?])?]);
    }
    let namespaces = NAMESPACES.iter().map(|flag| u64::from(flag.unsigned_abs()));
    let clones = namespaces.map(|flag| SeccompRule::new(vec![condition(0, SeccompCmpOp::MaskedEq(flag), flag)?]));
    rules.insert(libc::SYS_clone, clones.collect::<Result<_, _>>()?);
    let terminal = TERMINAL.iter().map(|request| SeccompRule::new(vec![equals(1, *request)?]));
    rules.insert(libc::SYS_ioctl, terminal.collect::<Result<_, _>>()?);
    // What the first lines of main did stays done.
    let undone = [libc::PR_SET_DUMPABLE, libc::PR_SET_PTRACER];
    let undone = undone.iter().map(|option| SeccompRule::new(vec![equals(0, u64::from(option.unsigned_abs()))?]));
    rules.insert(libc::SYS_prctl, undone.collect::<Result<_, _>>()?);
    let core = u64::from(libc::RLIMIT_CORE);
    rules.insert(libc::SYS_setrlimit, vec![SeccompRule::new(vec![equals(0, core)?])?]);
    let others = SeccompRule::new(vec![differs(0, 0)?, differs(0, process)?])?;
    let core = SeccompRule::new(vec![equals(1, core)?, differs(2, 0)?])?;
    rules.insert(libc::SYS_prlimit64, vec![others, core]);
    let families: &[libc::c_int] = match sockets {
        Sockets::None => &[],
        Sockets::Unix => &[libc::AF_UNIX],
        Sockets::Network => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
    };
    let allowed: Vec<_> =
        families.iter().map(|family| differs(0, u64::from(family.unsigned_abs()))).collect::<Result<_, _>>()?;
    let socket = if allowed.is_empty() { Vec::new() } else { vec![SeccompRule::new(allowed)?] };
    rules.insert(libc::SYS_socket, socket);
    if landlock.is_some_and(|abi| abi < ABI::V3) {
        // Before ABI 3 Landlock does not look at it.
        rules.insert(libc::SYS_truncate, Vec::new());
    }
    Ok(rules)
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

/// ENOSYS for calls that nobody weighed, and for clone3, whose flags a filter cannot see: the C library
/// then uses clone. On x86-64 the x32 forms have numbers above all others and fall under it too.
fn unknown() -> BpfProgram {
    let step = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    let answer = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    vec![
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, 2, 0, NEWEST),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, 0, libc::SYS_clone3 as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, answer),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_filters_fit_the_kernel() {
        for sockets in [Sockets::None, Sockets::Unix, Sockets::Network] {
            let filter = refusing(sockets, Some(ABI::V1), 4711).unwrap();
            assert!(filter.len() < 2048, "{}", filter.len());
        }
        assert_eq!(unknown().len(), 5);
    }

    #[test]
    fn sockets_are_as_the_map_says() {
        let socket = |sockets| rules(sockets, None, 1).unwrap()[&libc::SYS_socket].len();
        assert_eq!([Sockets::None, Sockets::Unix, Sockets::Network].map(socket), [0, 1, 1]);
        assert!(!rules(Sockets::None, Some(ABI::V3), 1).unwrap().contains_key(&libc::SYS_truncate));
        assert!(rules(Sockets::None, Some(ABI::V2), 1).unwrap().contains_key(&libc::SYS_truncate));
    }

    #[test]
    fn nothing_newer_is_refused_by_number() {
        let known = |number: &libc::c_long| u32::try_from(*number).is_ok_and(|number| number <= NEWEST);
        assert!(REFUSED.iter().chain(REFUSED_HERE).all(known));
    }
}
