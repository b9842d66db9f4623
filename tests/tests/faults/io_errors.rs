//! The disk refuses: an I/O error at a sync, no space at a write. The server stops and says so, or says so
//! and waits; after the next start everything is there.
//!
//! Guards: after a failed write to the database the process writes nothing more (a sync that failed once
//! may lie the next time); no failure stays unmentioned.

use std::time::{Duration, Instant};

use crate::aftermath::{Order, restart_and_check};
use crate::clients::{resume, talk};
use crate::injection::{Blow, Injection};
use crate::kills::{DATABASE, ENOUGH, Series, on, points, settled};
use crate::report::{Report, Trouble, full};
use crate::scene::{PATIENCE, Scene, Server};
use crate::template::{approved, cards, chunks, founded};

/// Exit status of a server that must not go on.
const STOPPED: i32 = 74;
/// Time for a last word.
const LAST_WORD: Duration = Duration::from_millis(300);
/// What a mention of a failed write contains.
const WORDS: [&str; 7] =
    ["disk is full", "disk I/O error", "No space left", "Input/output error", "os error", "cannot run", "CKR_DEVICE"];

const SYNCS: &[Series] = &[
    on("fsync", DATABASE, &[1, 2, 3, 5, 8, 10]),
    on("fsync", "henan/data/staging/{batch}/0.1.tmp", &[1]),
    on("fsync", "henan/data/staging/{batch}/2.1.tmp", &[1]),
    on("fsync", "henan/data/staging/{batch}", &[1, 4]),
    on("fsync", "henan/data/staging", &[2]),
    on("fsync", "henan/data/packages", &[1]),
    on("fsync", "henan/data/packages/{batch}", &[1, 4]),
    on("fsync", "henan/data", &[1]),
];

const WRITES: &[Series] = &[
    on("pwrite64", DATABASE, &[1, 4, 9, 14, 19, 24, 30, 38, 46]),
    on("pwrite64", "henan/data/kms.db-shm", &[1]),
    on("openat", "henan/data/staging/{batch}/1.1.tmp", &[1]),
    on("write", "henan/data/staging/{batch}/0.1.tmp", &[1]),
    on("write", "henan/data/staging/{batch}/3.1.tmp", &[1]),
    on("mkdir", "henan/data/staging/{batch}", &[1]),
    on("mkdir", "henan/data/packages/{batch}", &[1]),
    on("rename", "henan/data/staging/{batch}/1.1.tmp", &[1]),
];

/// The same while clients are answered: a nonce, a request, a decision.
const CLIENT_SYNCS: &[Series] = &[on("fsync", DATABASE, &[1, 2, 3, 4])];
const CLIENT_WRITES: &[Series] = &[on("pwrite64", DATABASE, &[2, 4, 6, 9, 12, 16, 20])];

#[test]
fn a_failed_write_of_the_engine_is_never_silent() {
    let mut report = Report::new("I/O errors of the engine");
    let (template, batch) = approved();
    for (series, blow) in [(SYNCS, Blow::Once("EIO")), (WRITES, Blow::Once("ENOSPC")), (WRITES, Blow::Always("ENOSPC"))]
    {
        points(series, blow, |injection| {
            let scene = Scene::of(template, "error-engine");
            let injection = injection(&scene, batch);
            let order = Order { batch, cards: 0..cards(), chunks_since: chunks(), objects: scene.objects("henan") };
            let mut server = scene.launch("henan", Some(&injection));
            let begin = Instant::now();
            server.wait_for(PATIENCE, || {
                settled(&scene, batch) || (begin.elapsed() > ENOUGH && injection.fired(&scene.trace("henan")))
            });
            let (fired, spoken) = judge(&injection, &mut server, "");
            let outcome = spoken.and_then(|()| restart_and_check(&scene, &order));
            scene.remove_or_keep(outcome.is_ok());
            report.add(&injection.to_string(), fired, outcome);
            fired
        });
    }
    report.finish(if full() { 300 } else { 35 });
}

#[test]
fn a_failed_write_for_a_client_stops_the_server() {
    let mut report = Report::new("I/O errors while clients are answered");
    for (series, blow) in [(CLIENT_SYNCS, Blow::Once("EIO")), (CLIENT_WRITES, Blow::Once("ENOSPC"))] {
        points(series, blow, |injection| {
            let scene = Scene::of(founded(), "error-clients");
            let injection = injection(&scene, "none");
            let objects = scene.objects("henan");
            let mut server = scene.launch("henan", Some(&injection));
            let known = talk(&scene, &mut server);
            let (fired, spoken) = judge(&injection, &mut server, &known.refusals);
            let outcome = spoken.and_then(|()| resume(&scene, &known, objects));
            scene.remove_or_keep(outcome.is_ok());
            report.add(&injection.to_string(), fired, outcome);
            fired
        });
    }
    report.finish(if full() { 30 } else { 9 });
}

/// Did the fault happen, and did the server say what it must? Ends the server.
fn judge(injection: &Injection, server: &mut Server, told: &str) -> (bool, Result<(), Trouble>) {
    let fired = injection.fired(&server.trace());
    // A server that is about to stop gets the time to do so.
    let ended = server.wait_for(LAST_WORD, || !fired);
    let log = server.log();
    server.kill();
    let mentioned = WORDS.iter().any(|word| log.contains(word));
    let database = injection.path.as_deref().is_some_and(|path| path.contains("kms.db"));
    let outcome = match ended {
        _ if !fired => Ok(()),
        Some(status) if !mentioned => Err(Trouble::Silent(format!("{status} without a word: {log}"))),
        Some(status) if ![Some(STOPPED), Some(1)].contains(&status.code()) => {
            Err(Trouble::Silent(format!("{status}: {log}")))
        }
        None if database => Err(Trouble::Silent(format!("goes on after a failed write: {log} {told}"))),
        None if !mentioned => Err(Trouble::Silent(format!("goes on without a word: {log} {told}"))),
        _ => Ok(()),
    };
    (fired, outcome)
}
