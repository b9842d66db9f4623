//! Somebody gets at the files of the server.

use crate::harness::{BUREAU, Scene, wait_until};

/// Hexadecimal of an entry with one bit changed in the middle.
fn damaged_entry(scene: &Scene, index: u64) -> String {
    let hex = scene.sql("henan", &format!("SELECT hex(der) FROM log_entries WHERE idx = {index}"));
    let mut bytes = hex::decode(hex.trim()).unwrap();
    let middle = bytes.len() - 3;
    bytes[middle] ^= 1;
    hex::encode(bytes)
}

#[test]
fn an_edited_entry_keeps_the_server_down_and_the_audit_names_it() {
    let scene = Scene::new("database-edited");
    let index = 12;
    let damaged = damaged_entry(&scene, index);
    scene.sql("henan", &format!("UPDATE log_entries SET der = x'{damaged}' WHERE idx = {index}"));
    let log = scene.try_start("henan").err().expect("a server with a damaged log does not start");
    assert!(log.contains(&format!("{index}")), "{log}");

    // The same in an export: entry 12 is named.
    let entries = scene.dir.join("export/henan/entries.der");
    let whole = std::fs::read(&entries).unwrap();
    let original = scene.sql("henan", &format!("SELECT hex(der) FROM log_entries WHERE idx = {}", index - 1));
    let before = hex::decode(original.trim()).unwrap();
    let at = whole.windows(before.len()).position(|window| window == before).unwrap() + before.len();
    let mut changed = whole.clone();
    let length = hex::decode(&damaged).unwrap().len();
    changed[at..at + length].copy_from_slice(&hex::decode(&damaged).unwrap());
    std::fs::write(&entries, changed).unwrap();
    let run = scene.kms(&["audit", "verify", "export/henan", "--anchor", "henan/anchor.der"]);
    run.refused(&format!("First bad entry: {index}"));
}

#[test]
fn a_deleted_or_cut_log_keeps_the_server_down() {
    for (story, statement) in [
        ("database-deleted", "DELETE FROM log_entries WHERE idx = 10"),
        ("database-cut", "DELETE FROM log_entries WHERE idx > 30"),
        (
            "database-swapped",
            "UPDATE log_entries SET der = (SELECT der FROM log_entries WHERE idx = 20) WHERE idx = 21",
        ),
    ] {
        let scene = Scene::new(story);
        scene.sql("henan", statement);
        let log = scene.try_start("henan").err().unwrap_or_else(|| panic!("{story}: the server started"));
        assert!(log.contains("cannot run"), "{story}: {log}");
    }
}

#[test]
fn an_old_backup_is_noticed() {
    let scene = Scene::new("database-rollback");
    let backup = scene.dir.join("backup");
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        assert!(std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    };
    copy(&scene.dir.join("henan/data"), &backup);
    let server = scene.start("henan");
    scene.card_list("mine.csv", 0, 3);
    scene.issue(&server, "mine.csv", "mine");
    scene.audit(&server, "export/later").good();
    drop(server);
    std::fs::remove_dir_all(scene.dir.join("henan/data")).unwrap();
    copy(&backup, &scene.dir.join("henan/data"));
    let log = scene.try_start("henan").err().expect("a rolled-back database is noticed before anything is signed");
    assert!(log.contains("refusing to start"), "{log}");
    // The auditor's own earlier checkpoint shows it as well.
    let arguments = [
        "audit",
        "verify",
        "export/henan",
        "--anchor",
        "henan/anchor.der",
        "--previous",
        "export/later/checkpoint.txt",
    ];
    scene.kms(&arguments).refused("rolled back");
}

#[test]
fn a_changed_chunk_is_not_served() {
    let scene = Scene::new("database-chunk");
    let server = scene.start("henan");
    scene.card_list("mine.csv", 0, 3);
    let batch = scene.issue(&server, "mine.csv", "mine");
    let find = std::process::Command::new("find")
        .arg(scene.dir.join("henan/data"))
        .args(["-type", "f", "-size", "+4k"])
        .output()
        .unwrap();
    let length = std::fs::metadata(scene.dir.join("mine/chunks/00000.der")).unwrap().len();
    let files = String::from_utf8(find.stdout).unwrap();
    let stored = files.lines().find(|path| std::fs::metadata(path).is_ok_and(|meta| meta.len() == length));
    let stored = stored.unwrap_or_else(|| panic!("the chunk is among {files}"));
    let mut bytes = std::fs::read(stored).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(stored, bytes).unwrap();
    let pulled = scene.kms_as(BUREAU, &server, &["batch", "pull", &batch, "--out", "fresh"]);
    let verified = scene.verify("fresh");
    assert!(pulled.code != 0 || verified.code != 0, "{pulled:?} {verified:?}");
}

#[test]
fn edited_rows_change_nothing_that_the_log_says() {
    let scene = Scene::new("database-rows");
    scene.card_list("mine.csv", 0, 2);
    let server = scene.start("henan");
    let (batch, _) = scene.request(&server, "mine.csv");
    server.kill();
    // Somebody frees the cards of the scene's batch in the index: the log still counts every card.
    scene.sql("henan", "UPDATE chunks SET token = token + 100");
    let server = scene.start("henan");
    assert_eq!(scene.batch(&server, &batch)["phase"], "requested");
    scene.audit(&server, "export/rows").good();
}

#[test]
fn two_servers_do_not_share_a_folder() {
    let scene = Scene::new("database-shared");
    let server = scene.start("henan");
    let log = std::process::Command::new(crate::harness::program("kms-server"))
        .args(["--config", &scene.path("henan/server.toml")])
        .env("HSM_SIM_DIR", scene.path("henan/hsm"))
        .output()
        .unwrap();
    assert!(!log.status.success());
    assert!(String::from_utf8_lossy(&log.stderr).contains("in use"), "{log:?}");
    wait_until("the first goes on", || {
        crate::http::get(&server.url, "/health").is_ok_and(|answer| answer.status == 200)
    });
}
