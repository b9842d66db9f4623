//! Several processes on one token, and processes that die in the middle of a write.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use cryptoki_sys::*;

use crate::harness::*;

/// Set in the processes that the tests below start.
const HELPER: &str = "HSM_SIM_TEST_HELPER";
/// How often a writer is killed.
const KILLS: usize = 60;

fn dir() -> std::path::PathBuf {
    std::env::var_os("HSM_SIM_DIR").unwrap().into()
}

fn user_session() -> Session {
    let s = Lib::initialised().open(0);
    s.login(CKU_USER, USER_PIN).unwrap();
    s
}

fn stored(id: &str, label: &str) -> Vec<A> {
    vec![A::B(CKA_TOKEN, true), A::D(CKA_ID, id.into()), A::D(CKA_LABEL, label.into())]
}

/// A second process that does what it is told, one line each way.
struct Peer {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start() -> Self {
        let mut command = again("processes::helper_peer", &dir());
        let mut child = command.env(HELPER, "1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut peer = Self { child, orders, answers };
        assert_eq!(peer.answer(), "ready");
        peer
    }

    fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.answers.read_line(&mut line).unwrap(), 0, "the peer has died");
            // The test runner writes to the same pipe.
            if let Some(at) = line.find('@') {
                return line[at + 1..].trim().to_owned();
            }
        }
    }

    fn ask(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").unwrap();
        self.answer()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "a helper of the tests here, not a test"]
fn helper_peer() {
    if std::env::var_os(HELPER).is_none() {
        return;
    }
    let s = user_session();
    println!("@ready");
    let mut last = 0;
    for order in std::io::stdin().lines() {
        let order = order.unwrap();
        let (verb, id) = order.split_once(' ').unwrap();
        let answer = match verb {
            "create" => s.generate(&stored(id, "first")).map(|_| "done".to_owned()),
            "destroy" => s.destroy(s.by_id(id)[0]).map(|()| "done".to_owned()),
            "label" => s.set(s.by_id(id)[0], &[A::D(CKA_LABEL, b"second".to_vec())]).map(|()| "done".to_owned()),
            "hold" => {
                last = s.by_id(id)[0];
                Ok("done".to_owned())
            }
            "check" => s.get(last, CKA_CHECK_VALUE).map(hex::encode),
            "login" => s.lib.open(0).login(CKU_SO, id).map(|()| "done".to_owned()),
            "count" => Ok(s.by_id(id).len().to_string()),
            _ => panic!("unknown order {order:?}"),
        };
        println!("@{}", answer.unwrap_or_else(|rv| format!("{rv:#x}")));
    }
}

#[test]
fn processes_see_each_other_s_objects() {
    if !alone("processes::processes_see_each_other_s_objects") {
        return;
    }
    let s = user_token();
    let mut peer = Peer::start();
    assert_eq!(peer.ask("create theirs"), "done");
    let theirs = s.by_id("theirs");
    assert_eq!(theirs.len(), 1, "an object of another process is not found");
    let check_value = s.get(theirs[0], CKA_CHECK_VALUE).unwrap();
    assert_eq!(peer.ask("hold theirs"), "done");
    assert_eq!(peer.ask("check x"), hex::encode(&check_value));

    assert_eq!(peer.ask("label theirs"), "done");
    assert_eq!(s.get(theirs[0], CKA_LABEL).unwrap(), b"second", "a change is not seen under the old handle");

    assert_eq!(s.generate(&stored("theirs", "twin")), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    s.generate(&stored("mine", "first")).unwrap();
    assert_eq!(peer.ask("count mine"), "1");
    assert_eq!(peer.ask("create mine"), format!("{CKR_ATTRIBUTE_VALUE_INVALID:#x}"));

    s.destroy(theirs[0]).unwrap();
    assert_eq!(peer.ask("check x"), format!("{CKR_OBJECT_HANDLE_INVALID:#x}"), "a destroyed object is still used");
    assert_eq!(peer.ask("count theirs"), "0");
    assert_eq!(peer.ask("destroy mine"), "done");
    assert!(s.by_id("mine").is_empty());
}

#[test]
fn pin_tries_are_counted_over_processes() {
    if !alone("processes::pin_tries_are_counted_over_processes") {
        return;
    }
    let s = user_token();
    let mut peer = Peer::start();
    s.logout().unwrap();
    for _ in 0..9 {
        assert_eq!(s.login(CKU_USER, "wrong"), Err(CKR_PIN_INCORRECT));
    }
    let mut second = again("processes::helper_wrong_pin", &dir());
    assert!(second.env(HELPER, "1").status().unwrap().success());
    assert_eq!(s.login(CKU_USER, USER_PIN), Err(CKR_PIN_LOCKED), "a try in another process was not counted");
    assert_eq!(peer.ask("count x"), "0", "who is logged in stays logged in");
}

#[test]
#[ignore = "a helper of the tests here, not a test"]
fn helper_wrong_pin() {
    if std::env::var_os(HELPER).is_some() {
        assert_eq!(Lib::initialised().open(0).login(CKU_USER, "wrong"), Err(CKR_PIN_INCORRECT));
    }
}

#[test]
fn initialising_a_token_ends_the_sessions_of_others() {
    if !alone("processes::initialising_a_token_ends_the_sessions_of_others") {
        return;
    }
    let s = user_token();
    let key = s.generate(&stored("k", "first")).unwrap();
    let mut second = again("processes::helper_initialise", &dir());
    assert!(second.env(HELPER, "1").status().unwrap().success());
    assert_eq!(s.get(key, CKA_LABEL), Err(CKR_SESSION_HANDLE_INVALID));
    assert_eq!(s.generate(&[]), Err(CKR_SESSION_HANDLE_INVALID));
    assert_eq!(s.lib.open(0).login(CKU_USER, USER_PIN), Err(CKR_USER_PIN_NOT_INITIALIZED));
}

#[test]
#[ignore = "a helper of the tests here, not a test"]
fn helper_initialise() {
    if std::env::var_os(HELPER).is_some() {
        Lib::initialised().init_token(0, SO_PIN).unwrap();
    }
}

/// Writes for ever: create n, label n, and destroy n − 1 for odd n. Says what it has done.
#[test]
#[ignore = "a helper of the tests here, not a test"]
fn helper_writer() {
    let Some(start) = std::env::var_os(HELPER) else { return };
    let start: u64 = start.to_str().unwrap().parse().unwrap();
    let s = user_session();
    let say = |line: String| {
        let mut out = std::io::stdout().lock();
        out.write_all(line.as_bytes()).and_then(|()| out.flush()).unwrap();
    };
    say("@ready\n".to_owned());
    for step in 0.. {
        let (number, verb) = writer_step(start, step);
        let id = number.to_string();
        match verb {
            '+' => _ = s.generate(&stored(&id, "first")).unwrap(),
            '=' => s.set(s.by_id(&id)[0], &[A::D(CKA_LABEL, b"second".to_vec())]).unwrap(),
            _ => s.destroy(s.by_id(&id)[0]).unwrap(),
        }
        say(format!("@{verb}{id}\n"));
    }
}

/// What the writer does at `step`.
fn writer_step(start: u64, step: u64) -> (u64, char) {
    let (round, at) = (step / 5, step % 5);
    let first = start + round * 2;
    match at {
        0 => (first, '+'),
        1 => (first, '='),
        2 => (first + 1, '+'),
        3 => (first + 1, '='),
        _ => (first, '-'),
    }
}

fn apply(objects: &mut BTreeMap<u64, &'static str>, (number, verb): (u64, char)) {
    match verb {
        '+' => _ = objects.insert(number, "first"),
        '=' => _ = objects.insert(number, "second"),
        _ => _ = objects.remove(&number),
    }
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    if !alone("processes::kill_9_loses_nothing_that_was_acknowledged") {
        return;
    }
    let s = user_token();
    let mut expected = BTreeMap::new();
    let (mut acknowledged, mut in_flight_done) = (0, 0);
    for kill in 0..KILLS {
        let start = kill as u64 * 1_000_000;
        let mut command = again("processes::helper_writer", &dir());
        let mut child =
            command.env(HELPER, start.to_string()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.by_ref().find(|line| line.as_ref().unwrap().contains("@ready")).unwrap().unwrap();
        std::thread::sleep(Duration::from_micros(500 + (kill as u64 * 7919) % 60_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let steps = lines.filter(|line| line.as_ref().unwrap().contains('@')).count() as u64;
        (0..steps).for_each(|step| apply(&mut expected, writer_step(start, step)));
        acknowledged += steps;

        // This process has been logged in all the time and must see the state after the last acknowledged step, or
        // after the one that was under way.
        let mut after = expected.clone();
        apply(&mut after, writer_step(start, steps));
        let mut seen = BTreeMap::new();
        for object in s.find(&[A::B(CKA_TOKEN, true)]) {
            let number = String::from_utf8(s.get(object, CKA_ID).unwrap()).unwrap().parse::<u64>().unwrap();
            let label = if s.get(object, CKA_LABEL).unwrap() == b"first" { "first" } else { "second" };
            assert!(seen.insert(number, label).is_none(), "object {number} exists twice");
        }
        assert!(
            seen == expected || seen == after,
            "kill {kill} after {steps} steps: {seen:?}, not {expected:?} or {after:?}"
        );
        in_flight_done += usize::from(seen != expected);
        expected = seen;
    }
    assert!(acknowledged >= KILLS as u64, "only {acknowledged} writes were acknowledged");
    println!(
        "{KILLS} kills, {acknowledged} acknowledged writes, {in_flight_done} finished without acknowledgement, 0 lost"
    );
    // What a dead writer left is cleaned by the next one.
    s.generate(&stored("end", "first")).unwrap();
    let objects = std::fs::read_dir(dir().join("token-0000/objects")).unwrap();
    assert_eq!(objects.count(), expected.len() + 1);
    // And the token opens from the disk alone.
    let fresh = again("processes::helper_reopen", &dir()).env(HELPER, expected.len().to_string()).status().unwrap();
    assert!(fresh.success());
}

#[test]
#[ignore = "a helper of the tests here, not a test"]
fn helper_reopen() {
    let Some(expected) = std::env::var_os(HELPER) else { return };
    let s = user_session();
    for object in s.find(&[A::B(CKA_TOKEN, true)]) {
        assert_eq!(s.get(object, CKA_CHECK_VALUE).unwrap().len(), 3);
    }
    assert_eq!((s.find(&[A::B(CKA_TOKEN, true)]).len() - 1).to_string(), expected.to_str().unwrap());
}

#[test]
fn a_changed_file_stops_the_token() {
    if !alone("processes::a_changed_file_stops_the_token") {
        return;
    }
    let s = user_token();
    s.generate(&stored("k", "first")).unwrap();
    s.become_(CKU_SO);
    s.generate(&crate::roles::kek("kek")).unwrap();
    s.logout().unwrap();
    let objects: Vec<_> =
        std::fs::read_dir(dir().join("token-0000/objects")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(objects.len(), 2);
    for path in objects {
        let good = std::fs::read(&path).unwrap();
        for at in [0, 9, 20, 33, 60, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            assert_eq!(s.login(CKU_USER, USER_PIN), Err(CKR_DEVICE_ERROR), "byte {at} of {}", path.display());
        }
        std::fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert_eq!(s.login(CKU_USER, USER_PIN), Err(CKR_DEVICE_ERROR));
        std::fs::write(&path, &good).unwrap();
        s.login(CKU_USER, USER_PIN).unwrap();
        s.logout().unwrap();
    }
    let secrets_on_disk = std::fs::read(dir().join("token-0000/token")).unwrap();
    assert!(!secrets_on_disk.windows(USER_PIN.len()).any(|window| window == USER_PIN.as_bytes()));
}

#[test]
fn values_are_not_on_the_disk() {
    if !alone("processes::values_are_not_on_the_disk") {
        return;
    }
    let s = user_token();
    let value = *b"sixteen bytes!!!";
    let private = with(&crate::roles::known(&value, &[]), &stored("private", "secret label"));
    s.create(&private).unwrap();
    let public = with(&crate::roles::known(&value, &[]), &[A::B(CKA_PRIVATE, false)]);
    s.create(&with(&public, &stored("public", "shown label"))).unwrap();
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir().join("token-0000/objects")).unwrap() {
        all.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let holds = |needle: &[u8]| all.windows(needle.len()).any(|window| window == needle);
    assert!(!holds(&value[..8]) && !holds(&value[8..]) && !holds(b"secret label"));
    assert!(holds(b"shown label"), "the control: attributes of public objects are in clear");
}

#[test]
fn a_broken_token_does_not_take_the_others_along() {
    if !alone("processes::a_broken_token_does_not_take_the_others_along") {
        return;
    }
    let lib = Lib::initialised();
    lib.init_token(0, SO_PIN).unwrap();
    lib.init_token(1, SO_PIN).unwrap();
    call!(lib, C_Finalize, std::ptr::null_mut()).unwrap();
    let path = dir().join("token-0000/token");
    let mut meta = std::fs::read(&path).unwrap();
    meta[20] ^= 1;
    std::fs::write(&path, meta).unwrap();
    call!(lib, C_Initialize, std::ptr::null_mut()).unwrap();
    assert_eq!(lib.slots(), [0, 1, 2]);
    assert_eq!(lib.open_with(0, CKF_SERIAL_SESSION).err(), Some(CKR_DEVICE_ERROR));
    assert_eq!(lib.init_token(0, SO_PIN), Err(CKR_DEVICE_ERROR), "nothing is erased without its SO PIN");
    lib.open(1).login(CKU_SO, SO_PIN).unwrap();
}
