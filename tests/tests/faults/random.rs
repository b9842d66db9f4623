//! Killed at random, the server and its HSM workers in turn, while batches are made.

use std::time::Duration;

use crate::aftermath::{self, Order};
use crate::order::card_list;
use crate::report::{Report, full};
use crate::scene::{BUREAU, Scene, Server, kill};
use crate::template::{CHUNK_CARDS, founded};

const BATCH_CARDS: usize = 24 * CHUNK_CARDS;
/// Every so many kills one hits the server, the others a worker.
const SERVER_EVERY: u32 = 2;
const WAIT_MS_MAX: u64 = 240;

#[test]
fn killed_at_random_every_batch_is_released_once() {
    let mut report = Report::new("random kills of server and HSM worker");
    let kills = if full() { 2000 } else { 32 };
    let scene = Scene::of(founded(), "random");
    let objects = scene.objects("henan");
    let mut server = scene.start("henan");
    let (mut batches, mut made, mut wait_ms) = (Vec::<(String, std::ops::Range<usize>)>::new(), 0, 7);
    while made < kills || batches.last().is_some_and(|(batch, _)| !is_released(&scene, &mut server, batch)) {
        let url = server.url();
        if batches.last().is_none_or(|(batch, _)| is_released(&scene, &mut server, batch)) {
            let from = batches.len() * BATCH_CARDS;
            batches.push((begin(&scene, &url, from), from..from + BATCH_CARDS));
        }
        wait_ms = (wait_ms * 37 + 11) % WAIT_MS_MAX;
        std::thread::sleep(Duration::from_millis(wait_ms));
        if made >= kills {
            continue;
        }
        made += 1;
        if made % SERVER_EVERY == 0 {
            server.kill();
            server = scene.start("henan");
            report.add("server", true, Ok(()));
        } else {
            let workers = server.workers();
            workers.iter().copied().for_each(kill);
            report.add("worker", !workers.is_empty(), Ok(()));
        }
    }
    let url = server.url();
    let chunks_since = batches.len() * BATCH_CARDS / CHUNK_CARDS;
    for (batch, cards) in batches {
        let order = Order { batch: &batch, cards, chunks_since, objects };
        report.add(&format!("batch {batch}"), false, aftermath::check(&scene, &url, &order));
    }
    report.finish(if full() { 1800 } else { 28 });
}

fn is_released(scene: &Scene, server: &mut Server, batch: &str) -> bool {
    let url = server.url();
    scene.kms_as(BUREAU, &url, &["batch", "status", batch, "--json"]).json()["phase"] == "released"
}

/// Requests and approves a batch; a request that meets a worker just killed is asked again.
fn begin(scene: &Scene, url: &str, from: usize) -> String {
    let list = format!("list-{from}.csv");
    std::fs::write(scene.dir.join(&list), card_list(from..from + BATCH_CARDS)).unwrap();
    let view = scene.request(url, &list).json();
    let plan = view["plan_id"].as_str().unwrap();
    for officer in ["henan/chen-jie", "henan/liu-yang"] {
        scene.approve(officer, url, plan).good();
    }
    view["batch"].as_str().unwrap().to_owned()
}
