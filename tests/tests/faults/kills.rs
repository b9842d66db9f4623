//! Killed before a write: at system calls on the database, on chunk files, on folders and on pipes, while
//! the engine makes a batch, and while clients are being answered.

use std::time::{Duration, Instant};

use crate::aftermath::{Order, restart_and_check};
use crate::clients::{resume, talk};
use crate::injection::{Blow, Injection};
use crate::report::{Report, full};
use crate::scene::{PATIENCE, Scene};
use crate::template::{approved, cards, chunks, founded};

/// A worker may be killed over and over while the server goes on; that much of it is enough.
pub(crate) const ENOUGH: Duration = Duration::from_secs(3);
/// No thread makes more calls of a kind than this in one run.
const WHEN_MAX: u32 = 2000;
pub(crate) const DATABASE: &str = "henan/data/kms.db-wal";

/// Calls of a kind on one file (`{batch}` stands for its id), and at which of them a spread hits.
pub(crate) struct Series {
    pub(crate) call: &'static str,
    pub(crate) path: Option<&'static str>,
    pub(crate) spread: &'static [u32],
}

pub(crate) const fn on(call: &'static str, path: &'static str, spread: &'static [u32]) -> Series {
    Series { call, path: Some(path), spread }
}

const fn anywhere(call: &'static str, spread: &'static [u32]) -> Series {
    Series { call, path: None, spread }
}

/// What the engine, and the HSM worker below it, write for a batch.
pub(crate) const ENGINE: &[Series] = &[
    on("pwrite64", DATABASE, &[1, 4, 7, 10, 13, 16, 19, 22, 25, 29, 33, 37, 41, 45, 50]),
    on("fsync", DATABASE, &[1, 2, 3, 4, 6, 8, 10]),
    on("openat", "henan/data/staging/{batch}/0.1.tmp", &[1]),
    on("write", "henan/data/staging/{batch}/0.1.tmp", &[1]),
    on("fsync", "henan/data/staging/{batch}/0.1.tmp", &[1]),
    on("write", "henan/data/staging/{batch}/3.1.tmp", &[1]),
    on("fsync", "henan/data/staging/{batch}/3.1.tmp", &[1]),
    on("fsync", "henan/data/staging/{batch}", &[1, 3]),
    on("fsync", "henan/data/staging", &[2, 5]),
    on("mkdir", "henan/data/staging/{batch}", &[1, 2]),
    on("mkdir", "henan/data/packages/{batch}", &[1, 3]),
    on("rename", "henan/data/staging/{batch}/0.1.tmp", &[1]),
    on("rename", "henan/data/staging/{batch}/1.1.tmp", &[1]),
    on("rename", "henan/data/staging/{batch}/3.1.tmp", &[1]),
    on("fsync", "henan/data/packages", &[1, 4]),
    on("fsync", "henan/data/packages/{batch}", &[1, 4]),
    on("rmdir", "henan/data/staging/{batch}", &[1]),
    anywhere("write", &[6, 14, 22, 30, 38]),
    anywhere("fsync", &[5, 12]),
    on("fsync", "henan/hsm/token-0000/objects", &[1, 2]),
];

/// What is written while clients are answered: requests, approvals, and the engine after them.
const CLIENTS: &[Series] = &[
    on("pwrite64", DATABASE, &[2, 5, 8, 11, 14, 18, 22, 27]),
    on("fsync", DATABASE, &[1, 2, 3, 5]),
    anywhere("sendto", &[1, 2, 3, 4]),
    anywhere("writev", &[1, 2, 3, 4]),
];

/// Runs `point` at the spread of a series, or at every call until one is not reached any more.
pub(crate) fn points(series: &[Series], blow: Blow, mut point: impl FnMut(&dyn Fn(&Scene, &str) -> Injection) -> bool) {
    for one in series {
        let injection = |when| {
            move |scene: &Scene, batch: &str| Injection {
                call: one.call,
                path: one.path.map(|path| scene.path(&path.replace("{batch}", batch))),
                when,
                blow,
            }
        };
        if full() {
            let reached = (1..WHEN_MAX).take_while(|when| point(&injection(*when))).count();
            assert!(reached > 0 || one.path.is_none(), "{} is never called", one.call);
        } else {
            one.spread.iter().for_each(|when| {
                point(&injection(*when));
            });
        }
    }
}

/// Is the batch released and its staging folder gone? Seen from outside, without asking the server.
pub(crate) fn settled(scene: &Scene, batch: &str) -> bool {
    let data = scene.dir.join("henan/data");
    let released = std::fs::read_dir(data.join("packages").join(batch)).map_or(0, Iterator::count);
    released == chunks() && !data.join("staging").join(batch).exists()
}

#[test]
fn killed_at_any_write_of_the_engine() {
    let mut report = Report::new("kill at the engine's writes");
    let (template, batch) = approved();
    points(ENGINE, Blow::Kill, |injection| {
        let scene = Scene::of(template, "kill-engine");
        let injection = injection(&scene, batch);
        let order = Order { batch, cards: 0..cards(), chunks_since: chunks(), objects: scene.objects("henan") };
        let mut server = scene.launch("henan", Some(&injection));
        let begin = Instant::now();
        server.wait_for(PATIENCE, || {
            settled(&scene, batch) || (begin.elapsed() > ENOUGH && injection.fired(&scene.trace("henan")))
        });
        let fired = injection.fired(&server.trace());
        server.kill();
        let outcome = restart_and_check(&scene, &order);
        scene.remove_or_keep(outcome.is_ok());
        report.add(&injection.to_string(), fired, outcome);
        fired
    });
    report.finish(if full() { 600 } else { 45 });
}

#[test]
fn killed_while_clients_are_answered() {
    let mut report = Report::new("kill while clients are answered");
    points(CLIENTS, Blow::Kill, |injection| {
        let scene = Scene::of(founded(), "kill-clients");
        let injection = injection(&scene, "none");
        let objects = scene.objects("henan");
        let mut server = scene.launch("henan", Some(&injection));
        let known = talk(&scene, &mut server);
        let fired = injection.fired(&server.trace());
        server.kill();
        let outcome = resume(&scene, &known, objects);
        scene.remove_or_keep(outcome.is_ok());
        report.add(&injection.to_string(), fired, outcome);
        fired
    });
    report.finish(if full() { 40 } else { 14 });
}
