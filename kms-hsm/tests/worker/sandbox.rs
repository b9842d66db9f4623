//! What a hostile library can do from inside the worker: nothing of what it tries.
//!
//! The positive control is the same library in the same place with the sandbox off: there the attempts
//! work. As root too, which is the point.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use kms_core::ports::{FaultClass, Hold, Hsm as _, PinState, TokenStatus};
use kms_hsm::{HsmClient, SANDBOX_INCOMPLETE, SandboxMode};

use crate::harness::{Site, USER_PIN, library, map, module, worker};

/// When the hostile module tries: while it is loaded, when it is initialised, before the PIN is used.
const MOMENTS: [&str; 3] = ["constructor", "C_Initialize", "C_GetTokenInfo"];

/// Attempts that only root may make, or that a hardened kernel refuses everybody: their control is
/// wanted where we are root, and where the kernel has them at all.
const PRIVILEGED: &[&str] = &[
    "read /etc/shadow",
    "trace the parent",
    "read the parent's memory by process_vm_readv",
    "read the parent's memory by /proc",
    "read the parent's environment",
    "list the parent's files",
    "mount",
    "new namespace",
    "become another user",
];

/// Attempts with arguments that mean nothing: in the control, any answer but "not permitted" counts.
const ASKED_BADLY: &[&str] = &["kernel keys", "io_uring", "bpf", "perf_event_open"];

const EPERM: &str = "1";
const ENOSYS: &str = "38";

/// Read from outside by the hostile module.
static TREASURE: &[u8] = b"treasure of the parent";

struct Hostile {
    site: Site,
    outside: tempfile::TempDir,
    port: TcpListener,
    socket: UnixListener,
}

impl Hostile {
    fn new() -> Self {
        let site = Site::with_tokens(&["instance"]);
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "not for modules").unwrap();
        let socket = UnixListener::bind(outside.path().join("socket")).unwrap();
        Self { site, outside, port: TcpListener::bind("127.0.0.1:0").unwrap(), socket }
    }

    fn client(&self, sandbox: SandboxMode, map_with: &str) -> HsmClient {
        let mut config = self.site.config("instance", USER_PIN);
        config.module = library("libhostile_module.so");
        config.sandbox = sandbox;
        config.map = self.outside.path().join("map.toml");
        std::fs::write(&config.map, std::fs::read_to_string(map()).unwrap() + map_with).unwrap();
        let port = self.port.local_addr().unwrap().port();
        let socket = self.socket.local_addr().unwrap().as_pathname().unwrap().display().to_string();
        for (name, value) in [
            ("HOSTILE_MODULE", module().display().to_string()),
            ("HOSTILE_OUTSIDE", self.outside.path().display().to_string()),
            ("HOSTILE_PORT", port.to_string()),
            ("HOSTILE_SOCKET", socket),
            ("HOSTILE_ADDRESS", TREASURE.as_ptr().addr().to_string()),
        ] {
            config.environment.push((name.to_owned(), value));
        }
        HsmClient::new(config).unwrap()
    }

    /// What came of each attempt, at one moment.
    fn outcome(&self, moment: &str) -> BTreeMap<String, String> {
        let file = self.site.directory.path().join(format!("hostile-{moment}"));
        let text = std::fs::read_to_string(file).unwrap();
        text.lines().map(|line| line.split_once('\t').unwrap()).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
    }
}

fn is_root() -> bool {
    std::fs::read("/etc/shadow").is_ok()
}

/// What this kernel gave, for whoever reads the test's output.
fn found(status: &TokenStatus) -> String {
    let told = |r: &kms_core::ports::Restriction| format!("{} {} {}", r.measure, r.hold.name(), r.note);
    status.restrictions.iter().map(told).collect::<Vec<_>>().join("; ")
}

fn hold(status: &TokenStatus, measure: &str) -> Hold {
    status.restrictions.iter().find(|restriction| restriction.measure == measure).unwrap().hold
}

#[test]
fn a_hostile_module_reaches_nothing() {
    let hostile = Hostile::new();
    let hsm = hostile.client(SandboxMode::Strict, "");
    let status = hsm.status().unwrap();
    hsm.random(1).unwrap();
    println!("root: {}; {}", is_root(), found(&status));
    assert!(status.restrictions.iter().all(|restriction| restriction.hold == Hold::InForce), "{}", found(&status));
    for moment in MOMENTS {
        let outcome = hostile.outcome(moment);
        assert!(outcome.len() > 30, "{moment}: {outcome:#?}");
        for (attempt, answer) in &outcome {
            assert_eq!(attempt.starts_with("allowed: "), answer == "ok", "{moment}: {attempt}: {answer}");
        }
    }
    drop(hsm);

    // The positive control.
    let hsm = hostile.client(SandboxMode::Off, "");
    let status = hsm.status().unwrap();
    assert_eq!(hold(&status, "files"), Hold::Waived);
    let mut excused = Vec::new();
    for (attempt, answer) in hostile.outcome("C_GetTokenInfo") {
        let works = answer == "ok" || ASKED_BADLY.contains(&attempt.as_str()) && answer != EPERM && answer != ENOSYS;
        let excuse = PRIVILEGED.contains(&attempt.as_str()) && !is_root() || ASKED_BADLY.contains(&attempt.as_str());
        assert!(
            works || excuse,
            "without the sandbox {attempt:?} should work, or its refusal proves nothing: {answer}"
        );
        if !works {
            excused.push(format!("{attempt} ({answer})"));
        }
    }
    println!("refused by this system even without the sandbox: {excused:?}");
}

#[test]
fn the_vendor_map_opens_what_a_library_needs_and_no_more() {
    let hostile = Hostile::new();
    let secret = hostile.outside.path().join("secret");
    let needs = format!("\n[sandbox]\nread = [{secret:?}, \"/nowhere/vendor.conf\"]\nsockets = \"unix\"\n");
    let hsm = hostile.client(SandboxMode::Strict, &needs);
    let status = hsm.status().unwrap();
    assert!(found(&status).contains("not there: /nowhere/vendor.conf"), "{}", found(&status));
    let outcome = hostile.outcome("C_Initialize");
    let opened = ["read a file elsewhere", "read through a link", "UNIX connect"];
    for (attempt, answer) in &outcome {
        let open = attempt.starts_with("allowed: ") || opened.contains(&attempt.as_str());
        assert_eq!(open, answer == "ok", "{attempt}: {answer}");
    }
    drop(hsm);

    let hsm = hostile.client(SandboxMode::Strict, "\n[sandbox]\nsockets = \"network\"\n");
    let status = hsm.status().unwrap();
    assert_eq!(hold(&status, "network"), Hold::Waived);
    let outcome = hostile.outcome("C_Initialize");
    assert_eq!(outcome["TCP connect"], "ok");
    assert_ne!(outcome["read a file elsewhere"], "ok");
    drop(hsm);

    for wrong in ["read = [\"vendor.conf\"]", "sockets = \"all\"", "exec = true"] {
        let text = std::fs::read_to_string(map()).unwrap() + "\n[sandbox]\n" + wrong + "\n";
        assert!(kms_hsm::VendorMap::parse("map.toml".as_ref(), &text).is_err(), "{wrong}");
    }
}

/// A worker on a kernel that answers some calls with an error: strace plays the kernel.
fn on_a_poor_kernel(site: &Site, calls: &[(&str, &str)]) -> PathBuf {
    let inject: String = calls.iter().map(|(call, error)| format!(" -e inject={call}:error={error}")).collect();
    let names = calls.iter().map(|(call, _)| *call).collect::<Vec<_>>().join(",");
    let text = format!("#!/bin/sh\nexec strace -f -o /dev/null -e trace={names}{inject} {}\n", worker().display());
    let script = site.directory.path().join("worker");
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    script
}

#[test]
fn what_a_kernel_lacks_is_told_and_refused_where_all_is_wanted() {
    for (calls, lacking, held) in [
        (&[("landlock_create_ruleset", "ENOSYS")][..], &["files"][..], &["network", "signals", "system-calls"][..]),
        (&[("landlock_create_ruleset", "EOPNOTSUPP")], &["files"], &["network", "signals", "system-calls"]),
        (&[("seccomp", "EINVAL")], &["network", "system-calls"], &["files", "signals"]),
        (&[("mlock", "ENOMEM"), ("close_range", "ENOSYS")], &["locked-memory", "inherited-files"], &["files"]),
    ] {
        let site = Site::with_tokens(&["instance"]);
        let mut config = site.config("instance", USER_PIN);
        config.worker = Some(on_a_poor_kernel(&site, calls));
        config.sandbox = SandboxMode::BestEffort;
        let hsm = HsmClient::new(config.clone()).unwrap();
        hsm.random(1).unwrap();
        let status = hsm.status().unwrap();
        for measure in lacking {
            assert_eq!(hold(&status, measure), Hold::Lacking, "{calls:?}: {}", found(&status));
        }
        for measure in held {
            assert_eq!(hold(&status, measure), Hold::InForce, "{calls:?}: {}", found(&status));
        }
        drop(hsm);

        config.sandbox = SandboxMode::Strict;
        let hsm = HsmClient::new(config).unwrap();
        let error = hsm.random(1).unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (FaultClass::Broken, SANDBOX_INCOMPLETE), "{error}");
        for measure in lacking {
            assert!(error.to_string().contains(measure), "{error}");
        }
    }
}

/// A worker that never says what it gave up.
#[test]
fn a_worker_that_does_not_say_what_it_gave_up_gets_no_pin() {
    let site = Site::with_tokens(&["instance"]);
    let script = site.directory.path().join("worker");
    std::fs::write(&script, "#!/bin/sh\ncat > \"$0.heard\"\n:\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut config = site.config("instance", USER_PIN);
    config.worker = Some(script.clone());
    config.deadline = Duration::from_millis(500);
    let error = HsmClient::new(config).unwrap().random(1).unwrap_err();
    assert_eq!(error.code, "DEADLINE");
    let heard = std::fs::read(script.with_extension("heard")).unwrap();
    let heard = String::from_utf8_lossy(&heard);
    assert!(heard.contains("instance") && !heard.contains(USER_PIN), "{heard:?}");
    assert_eq!(site.hsm("instance").status().unwrap().user_pin, PinState::Good);
}

/// The page a PIN arrives in is neither swapped nor dumped.
#[test]
fn memory_for_the_pin_is_locked() {
    let site = Site::with_tokens(&["instance"]);
    let hsm = site.hsm("instance");
    hsm.random(1).unwrap();
    let status = hsm.status().unwrap();
    assert_eq!(hold(&status, "locked-memory"), Hold::InForce, "{}", found(&status));
    let smaps = std::fs::read_to_string(format!("/proc/{}/smaps", hsm.worker_id().unwrap()));
    match smaps {
        Ok(text) => {
            let flags = text.lines().filter_map(|line| line.strip_prefix("VmFlags:"));
            let kept = flags.filter(|flags| flags.contains(" lo") && flags.contains(" dd")).count();
            assert!(kept > 0, "no mapping is locked and left out of dumps");
        }
        // Not dumpable, so only root looks: that it is refused is as good.
        Err(error) => println!("not root, so the worker's memory map is closed to us: {error}"),
    }
}
