//! What is left of secrets in the memory of server, worker and `kms`, and in everything they write.
//!
//! At each point every eight-byte window of the batch's card keys, of the masters, PINs and people's
//! private keys is searched for. The worker may hold masters and PIN, for hsm-sim *is* the token; card
//! keys are gone after each call. The others hold nothing. Root reads what nobody else can, so this
//! takes root: `KMS_MEMORY=skip` leaves it out.

mod scan;
mod secrets;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{BUREAU, PATIENCE, Scene, Server, program, wait_until};
use crate::http;
use scan::{Found, Search};
use secrets::{CANARY_VALUE, CARD, PIN, PROVINCE};

/// Cards of the batch: two chunks and a half.
const CARDS: usize = 100;
/// Points at which memory was looked at, at least.
const POINTS_MIN: usize = 12;
/// Looks until a card key is met in the middle of a call, at most.
const LOOKS_MAX: usize = 20;

/// What was found where.
struct Story {
    search: Search,
    points: usize,
    wrong: Vec<String>,
    bytes: usize,
    cards_seen: usize,
    masters_seen: usize,
    pin_windows: (usize, usize),
}

impl Story {
    fn note(&mut self, point: &str, process: &str, found: &Found, allowed: &[usize]) {
        self.bytes += found.bytes;
        self.cards_seen += found.counts[CARD];
        self.masters_seen += found.counts[PROVINCE];
        self.pin_windows.0 += found.counts[PIN];
        self.pin_windows.1 += found.loose[PIN];
        let wrong = found.but(allowed);
        if !wrong.is_empty() {
            self.wrong.push(format!("{point}, {process}:\n    {}", wrong.join("\n    ")));
        }
    }

    /// Server and workers of a running instance.
    #[track_caller]
    fn look(&mut self, point: &str, server: &Server) {
        self.look_allowing(point, server, &[PROVINCE, PIN]);
    }

    #[track_caller]
    fn look_allowing(&mut self, point: &str, server: &Server, allowed: &[usize]) {
        self.points += 1;
        let found = self.search.process(server.pid());
        self.note(point, "server", &found, &[]);
        for worker in server.workers() {
            let found = self.search.process(worker);
            self.note(point, "worker", &found, allowed);
        }
    }

    /// `kms` when it has done everything and is about to end; its output.
    #[track_caller]
    fn look_at_tool(&mut self, point: &str, scene: &Scene, site: &str, arguments: &[&str]) {
        self.points += 1;
        let delay = ["-o", "/dev/null", "-e", "trace=exit_group", "-e", "inject=exit_group:delay_enter=60000000"];
        let mut tool = Command::new("strace")
            .args(delay)
            .arg(program("kms"))
            .args(arguments)
            .current_dir(&scene.dir)
            .env("HSM_SIM_DIR", scene.dir.join(site).join("hsm"))
            .env("KMS_CANARY", CANARY_VALUE)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let begin = Instant::now();
        let kms = loop {
            assert!(begin.elapsed() < PATIENCE && tool.try_wait().unwrap().is_none(), "{point}: kms did not get there");
            let ending = children(tool.id()).into_iter().find(|pid| is_leaving(*pid));
            match ending {
                Some(pid) => break pid,
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let found = self.search.process(kms);
        self.note(point, "kms", &found, &[]);
        Command::new("kill").args(["-9", &kms.to_string()]).status().unwrap();
        let _ = tool.kill();
        let done = tool.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(!said.contains("what to do"), "{point}: {said}");
    }
}

fn children(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// Has the process called exit_group?
fn is_leaving(pid: u32) -> bool {
    let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let exit_group = if cfg!(target_arch = "x86_64") { "231 " } else { "94 " };
    call.starts_with(exit_group)
}

#[test]
fn no_secret_is_left_where_it_is_not_needed() {
    if std::env::var("KMS_MEMORY").is_ok_and(|value| value == "skip") {
        println!("left out: KMS_MEMORY=skip");
        return;
    }
    let scene = Scene::new("memory");
    let known = secrets::of(&scene, 0..CARDS);
    let mut story = Story {
        search: Search::new(&known),
        points: 0,
        wrong: Vec::new(),
        bytes: 0,
        cards_seen: 0,
        masters_seen: 0,
        pin_windows: (0, 0),
    };
    // Slow enough to be looked at in the middle: the key to be wrapped waits in the token.
    std::fs::create_dir(scene.dir.join("faults")).unwrap();
    std::fs::write(scene.dir.join("faults/slow"), "C_WrapKey every delay 1ms\n").unwrap();
    let faults = scene.path("faults/slow");
    let environment = [("KMS_CANARY", CANARY_VALUE), ("HSM_SIM_FAULTS", &faults)];
    let server = scene.start_with_environment("henan", &environment);
    story.look("idle after the start", &server);
    http::get(&server.url, "/health").unwrap();
    story.look("after login and health", &server);

    scene.card_list("memory.csv", 0, CARDS);
    let (batch, plan) = scene.request(&server, "memory.csv");
    story.look("after a batch request", &server);
    let config = ["--config", "henan/chen-jie.toml", "--server", &server.url];
    let approve = ["ceremony", "approve", &plan, "--yes-digest", &plan];
    story.look_at_tool("an officer has approved", &scene, "henan", &[&approve[..], &config[..]].concat());
    story.look("after one approval", &server);
    scene.kms_as("liu-yang", &server, &approve).good();
    // While chunks are made, and the worker is in the middle of a call: hsm-sim is at work on card keys, and to
    // see them there is the control for all the places where they must not be.
    for _ in 0..LOOKS_MAX {
        story.look_allowing("in mid-batch", &server, &[CARD, PROVINCE, PIN]);
        if story.cards_seen > 0 {
            break;
        }
    }
    assert_ne!(scene.batch(&server, &batch)["phase"], "released", "looked too late to see a batch being made");
    scene.kms_as(BUREAU, &server, &["batch", "status", &batch, "--watch"]).good();
    story.look("after the batch", &server);
    scene.kms_as(BUREAU, &server, &["batch", "pull", &batch, "--out", "mine"]).good();
    secrets::control(&known, &scene.dir.join("mine/chunks"));
    story.look("after the package was pulled", &server);

    // Errors: a card twice, an unknown batch, a request that nobody signed.
    let again = ["batch", "request", "--profile", "resident-health-card", "--cards", "memory.csv"];
    scene.kms_as(BUREAU, &server, &again).refused("");
    assert_eq!(http::get(&server.url, "/v1/batches").unwrap().status, 401);
    story.look("after refused requests", &server);

    server.kill_workers();
    wait_until("a new worker", || http::get(&server.url, "/health").is_ok_and(|answer| answer.status == 200));
    story.look("after the worker was killed and replaced", &server);

    // A wrong PIN, in a worker of the tool's own.
    std::fs::write(scene.dir.join("wrong-pin"), "0000000000000000\n").unwrap();
    std::fs::copy(scene.dir.join("henan/pin"), scene.dir.join("right-pin")).unwrap();
    for file in ["wrong-pin", "right-pin"] {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(scene.dir.join(file), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let module = program("libhsm_sim.so");
    let token = ["--module", module.to_str().unwrap(), "--map", "policies/hsm/hsm-sim.toml", "--token", "henan"];
    let with_pin = |file| [&["hsm", "status", "--pin-file", file], &token[..]].concat();
    scene.kms_at("henan", &with_pin("wrong-pin")).refused("");
    story.look("after a wrong PIN elsewhere", &server);
    story.look_at_tool("kms tried a PIN", &scene, "henan", &with_pin("right-pin"));

    let token = ["--module", module.to_str().unwrap(), "--map", "policies/hsm/hsm-sim.toml", "--token", "bureau"];
    let keys = ["--enc-key", "bureau/keys/encryption.pem", "--enc-password-file", "bureau/password"];
    let open = ["batch", "open", "mine", "--anchor", "henan/anchor.der", "--pin-file", "bureau/pin", "--out", "opened"];
    let open = [&open[..], &token[..], &keys[..]].concat();
    story.look_at_tool("a bureau has opened its package", &scene, "bureau", &open);

    server.kill();
    let server = scene.start_with_environment("henan", &environment);
    story.look("after a crash and a new start", &server);
    scene.audit(&server, "export/memory").good();
    story.look("after an audit export", &server);

    // Everything written, the database with its log included, while the server runs.
    std::fs::write(scene.dir.join("canary"), CANARY_VALUE).unwrap();
    let home = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let custodian = path.parent().is_some_and(|folder| folder.ends_with("custodians"));
        let person = name.ends_with("pin") || name.ends_with("password") || name == "known-key.pem";
        custodian || person
    };
    let found = story.search.files(&scene.dir, &home);
    story.note("everything on the disk", "files", &found, &[]);
    drop(server);

    println!(
        "{{\"points\": {}, \"windows\": {}, \"megabytes\": {}, \"windows_of_masters_in_workers\": {}, \
         \"windows_of_card_keys_in_mid_call\": {}, \
         \"windows_of_pins_in_workers\": {}, \"of_these_in_memory_that_may_be_swapped\": {}, \"files_megabytes\": {}}}",
        story.points,
        known.iter().map(|(_, secret)| secret.len() - 7).sum::<usize>(),
        story.bytes >> 20,
        story.masters_seen,
        story.cards_seen,
        story.pin_windows.0,
        story.pin_windows.1,
        found.bytes >> 20,
    );
    assert!(story.points >= POINTS_MIN);
    assert!(story.cards_seen > 0, "no card key was seen in a worker in mid-call: the search looks for others");
    assert!(story.masters_seen > 0, "hsm-sim holds the masters, so not finding one means that we look for other keys");
    assert_eq!(story.pin_windows.1, 0, "a PIN lies in a worker's memory that may be swapped or dumped");
    assert!(story.wrong.is_empty(), "{}", story.wrong.join("\n"));
}
