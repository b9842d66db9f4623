//! The server is killed again and again while it makes a batch.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::harness::{BUREAU, CHUNK_CARDS, Scene, wait_until};

/// Chunks of the batch: long enough to be hit at every stage.
const CHUNKS: usize = 8;
/// Kills at least; more follow until the batch is released.
const KILLS: usize = 12;

#[test]
fn killed_at_any_moment_nothing_is_lost_and_nothing_doubled() {
    let scene = Scene::new("crash-kill");
    let cards = CHUNKS * CHUNK_CARDS - 3;
    let numbers = scene.card_list("mine.csv", 0, cards);
    let mut server = scene.start("henan");
    let (batch, plan) = scene.request(&server, "mine.csv");
    scene.approve(&server, &plan);
    let mut kills = 0;
    let mut wait_ms = 3;
    while kills < KILLS || scene.batch(&server, &batch)["phase"] != "released" {
        std::thread::sleep(Duration::from_millis(wait_ms));
        server.kill();
        kills += 1;
        wait_ms = (wait_ms * 7 + 11) % 180;
        server = scene.start("henan");
        if kills > 40 * KILLS {
            panic!("no progress in {kills} starts: {}", server.log());
        }
        if kills >= KILLS {
            wait_ms = 400;
        }
    }
    wait_until("released", || scene.batch(&server, &batch)["phase"] == "released");
    scene.kms_as(BUREAU, &server, &["batch", "pull", &batch, "--out", "mine"]).good();
    scene.verify("mine").good();
    scene.open("mine", "records").good();
    let csv = std::fs::read_to_string(scene.dir.join("records/personalization.csv")).unwrap();
    let made: Vec<&str> = csv.lines().skip(1).map(|row| row.split(',').nth(2).unwrap()).collect();
    assert_eq!(made.len(), cards * 57, "every key once");
    let distinct: BTreeSet<&str> = made.into_iter().collect();
    assert_eq!(distinct, numbers.iter().map(String::as_str).collect(), "exactly the cards of the list");

    let audit: serde_json::Value = serde_json::from_str(&scene.audit(&server, "export/crash").good()).unwrap();
    let mine = audit["batches"].as_array().unwrap().iter().find(|one| one["batch"] == batch.as_str()).unwrap().clone();
    assert_eq!((mine["authorised"].as_u64(), mine["produced"].as_u64()), (Some(cards as u64), Some(cards as u64)));
    assert_eq!(audit["open_intents"], 0);
    let (intents, outcomes) =
        (audit["events"]["chunk-intent"].as_u64().unwrap(), audit["events"]["chunk-outcome"].as_u64().unwrap());
    // Three chunks are the scene's own.
    assert_eq!(outcomes, CHUNKS as u64 + 3);
    assert!(intents >= outcomes, "{intents} intents for {outcomes} outcomes");
    assert!(audit["events"]["started"].as_u64().unwrap() > KILLS as u64, "each start is an entry");
}

#[test]
fn on_a_full_disk_work_stops_and_goes_on_afterwards() {
    let scene = Scene::new("crash-disk");
    let cards = CHUNKS * CHUNK_CARDS;
    scene.card_list("mine.csv", 0, cards);
    let server = scene.start("henan");
    let (batch, plan) = scene.request(&server, "mine.csv");
    drop(server);
    // No file may be larger than 64 KiB more than the database is now; a chunk file needs more than that, too.
    let database = std::fs::metadata(scene.dir.join("henan/data/kms.db")).unwrap().len();
    let kib = database / 1024 + 64;
    if let Ok(mut full) = scene.start_on_small_disk("henan", kib) {
        let approvals = ["chen-jie", "liu-yang"];
        for officer in approvals {
            let _ = scene.kms_as(officer, &full, &["ceremony", "approve", &plan, "--yes-digest", &plan]);
        }
        wait_until("a full disk is noticed", || {
            full.ended() || !crate::http::get(&full.url, "/health").is_ok_and(|answer| answer.status == 200)
        });
    }
    let server = scene.start("henan");
    for officer in ["chen-jie", "liu-yang"] {
        // What was recorded before is not asked for again.
        let _ = scene.kms_as(officer, &server, &["ceremony", "approve", &plan, "--yes-digest", &plan]);
    }
    wait_until("released", || scene.batch(&server, &batch)["phase"] == "released");
    scene.kms_as(BUREAU, &server, &["batch", "pull", &batch, "--out", "mine"]).good();
    scene.verify("mine").good();
    let audit: serde_json::Value = serde_json::from_str(&scene.audit(&server, "export/disk").good()).unwrap();
    assert_eq!(audit["open_intents"], 0);
}

#[test]
fn a_staged_chunk_that_was_changed_is_never_released() {
    let scene = Scene::new("crash-staged");
    let cards = 3 * CHUNKS * CHUNK_CARDS;
    scene.card_list("mine.csv", 0, cards);
    let server = scene.start("henan");
    let (batch, plan) = scene.request(&server, "mine.csv");
    scene.approve(&server, &plan);
    wait_until("some chunks are done", || scene.batch(&server, &batch)["chunks_done"].as_u64().unwrap() > 0);
    server.kill();
    let mut changed = 0;
    for folder in ["staging", "packages"] {
        let chunks = std::fs::read_dir(scene.dir.join("henan/data").join(folder).join(&batch));
        for file in chunks.into_iter().flatten().flatten() {
            let mut bytes = std::fs::read(file.path()).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(file.path(), bytes).unwrap();
            changed += 1;
        }
    }
    assert!(changed > 0, "there was a chunk to change");
    let server = scene.start("henan");
    assert_ne!(scene.batch(&server, &batch)["phase"], "released", "the batch was longer than one look");
    wait_until("the engine stops", || {
        let health = crate::http::get(&server.url, "/health").unwrap();
        assert_ne!(scene.batch(&server, &batch)["phase"], "released");
        health.status == 503 || String::from_utf8_lossy(&health.body).contains("stopped")
    });
    scene.kms_as(BUREAU, &server, &["batch", "cancel", &batch]).good();
    scene.issue(&server, "mine.csv", "again");
    scene.verify("again").good();
    scene.audit(&server, "export/staged").good();
}

#[test]
fn a_killed_request_is_there_or_is_not() {
    let scene = Scene::new("crash-request");
    scene.card_list("mine.csv", 0, 30);
    for round in 0..4 {
        let server = scene.start("henan");
        let url = server.url.clone();
        let pid = server.pid();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(40 + 60 * round));
            let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
        });
        let arguments = [
            "batch",
            "request",
            "--profile",
            "resident-health-card",
            "--cards",
            "mine.csv",
            "--config",
            "bureau/kms.toml",
            "--server",
            &url,
        ];
        let _ = scene.kms(&arguments);
        killer.join().unwrap();
        drop(server);
        let server = scene.start("henan");
        let list = scene.kms_as(BUREAU, &server, &["batch", "list", "--json"]).good();
        let view: serde_json::Value = serde_json::from_str(&list).unwrap();
        let open: Vec<_> =
            view["batches"].as_array().unwrap().iter().filter(|one| one["phase"] == "requested").collect();
        assert!(open.len() <= 1, "{list}");
        if let Some(batch) = open.first() {
            scene.kms_as(BUREAU, &server, &["batch", "cancel", batch["batch"].as_str().unwrap()]).good();
        }
        scene.audit(&server, &format!("export/request-{round}")).good();
    }
}
