//! A batch that is cancelled, a download that breaks, a receipt that comes twice.

use crate::harness::{BUREAU, CARDS, CHUNK_CARDS, Scene};

#[test]
fn a_cancelled_batch_leaves_its_cards_free() {
    let scene = Scene::new("batches-cancel");
    let server = scene.start("henan");
    scene.card_list("mine.csv", 0, 10);
    let (batch, plan) = scene.request(&server, "mine.csv");
    scene.kms_as(BUREAU, &server, &["batch", "cancel", &batch]).good();
    assert_eq!(scene.batch(&server, &batch)["phase"], "cancelled");
    let late = scene.kms_as("chen-jie", &server, &["ceremony", "approve", &plan, "--yes-digest", &plan]);
    assert_ne!(late.code, 0, "{late:?}");
    scene.kms_as(BUREAU, &server, &["batch", "pull", &batch, "--out", "nothing"]).refused("batch-not-released");
    scene.issue(&server, "mine.csv", "again");
    scene.verify("again").good();
    let released = scene.batch(&server, &scene.request_id("again"))["phase"].clone();
    assert_eq!(released, "released");
    let too_late = scene.kms_as("chen-jie", &server, &["batch", "cancel", &scene.request_id("again")]);
    too_late.refused("batch-phase");
    scene.audit(&server, "export/cancelled").good();
}

#[test]
fn a_broken_download_goes_on_where_it_ended() {
    let scene = Scene::new("batches-resume");
    let server = scene.start("henan");
    scene.card_list("mine.csv", 0, 2 * CHUNK_CARDS + 1);
    let batch = scene.issue(&server, "mine.csv", "mine");
    let chunk = scene.dir.join("mine/chunks/00001.der");
    let whole = std::fs::read(&chunk).unwrap();
    std::fs::remove_file(&chunk).unwrap();
    std::fs::remove_file(scene.dir.join("mine/proof.der")).unwrap();
    let half = std::fs::read_dir(scene.dir.join("mine/chunks")).unwrap().count();
    assert_eq!(half, 2);
    scene.kms_as(BUREAU, &server, &["batch", "pull", &batch, "--out", "mine"]).good();
    assert_eq!(std::fs::read(&chunk).unwrap(), whole);
    // What was damaged on the disk is not kept.
    std::fs::write(&chunk, &whole[..whole.len() / 2]).unwrap();
    scene.kms_as(BUREAU, &server, &["batch", "pull", &batch, "--out", "mine"]).good();
    assert_eq!(std::fs::read(&chunk).unwrap(), whole);
    scene.verify("mine").good();
}

#[test]
fn a_receipt_is_taken_once_and_repeated_safely() {
    let scene = Scene::new("batches-receipt");
    let server = scene.start("henan");
    scene.card_list("mine.csv", 0, 5);
    let batch = scene.issue(&server, "mine.csv", "mine");
    let acknowledge = ["batch", "acknowledge", "mine", "--anchor", "henan/anchor.der"];
    scene.kms_as(BUREAU, &server, &acknowledge).good();
    assert_eq!(scene.batch(&server, &batch)["phase"], "acknowledged");
    let first = std::fs::read(scene.dir.join("mine/receipt.der")).unwrap();
    let again = scene.kms_as(BUREAU, &server, &acknowledge);
    assert_eq!(std::fs::read(scene.dir.join("mine/receipt.der")).unwrap(), first, "{again:?}");
    let audit: serde_json::Value = serde_json::from_str(&scene.audit(&server, "export/receipt").good()).unwrap();
    let batches = audit["batches"].as_array().unwrap();
    let mine = batches.iter().find(|one| one["batch"] == batch.as_str()).unwrap();
    for count in ["authorised", "produced", "accepted"] {
        assert_eq!(mine[count], 5, "{count}");
    }
    assert_eq!(batches.iter().find(|one| one["batch"] != batch.as_str()).unwrap()["accepted"], CARDS);
}

#[test]
fn records_of_the_machine_hold_every_key_once_and_none_in_clear() {
    let scene = Scene::new("batches-records");
    let csv = std::fs::read_to_string(scene.dir.join("personalization/personalization.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), CARDS * 57);
    let blobs: std::collections::BTreeSet<&str> = rows.iter().map(|row| row[9]).collect();
    assert_eq!(blobs.len(), rows.len());
    assert!(blobs.iter().all(|blob| blob.len() == 48));
    let dgi = std::fs::read_to_string(scene.dir.join("personalization/personalization.dgi")).unwrap();
    let lines: Vec<&str> = dgi.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.len(), CARDS);
    let first: Vec<&str> = lines[0].split(';').collect();
    // 57 keys of 24 bytes: identifier 8000, length FF 0558.
    assert!(first[2].starts_with("8000FF0558") && first[2].len() == 10 + 2 * 1368, "{}", first[2]);
    assert_eq!(first[2][10..58].to_lowercase(), rows[0][9]);
}

impl Scene {
    /// The batch id of a pulled package, as the verification shows it.
    fn request_id(&self, package: &str) -> String {
        let shown = self.kms(&["batch", "verify", package, "--anchor", "henan/anchor.der", "--json"]).good();
        let view: serde_json::Value = serde_json::from_str(&shown).unwrap();
        view["batch"].as_str().unwrap().to_owned()
    }
}
