//! After a fault: the server starts as if nothing had happened, finishes, and everything is there once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::order::card_number;
use crate::report::Trouble;
use crate::scene::{BUREAU, PATIENCE, Scene, Server, program};
use crate::template::CHUNK_CARDS;

/// Keys of a card.
const SLOTS: usize = 57;
/// Chunks, and batches, that the quickstart made before.
const EARLIER: u64 = 1;

/// A batch and the cards that must come out of it.
pub(crate) struct Order<'a> {
    pub(crate) batch: &'a str,
    pub(crate) cards: std::ops::Range<usize>,
    /// Chunks of all batches since the quickstart.
    pub(crate) chunks_since: usize,
    /// Objects in Henan's token before the batch.
    pub(crate) objects: usize,
}

/// Starts Henan's server, lets it finish, and looks at everything it leaves.
pub(crate) fn restart_and_check(scene: &Scene, order: &Order<'_>) -> Result<(), Trouble> {
    let mut server = scene.launch("henan", None);
    let Some(url) = server.await_address() else {
        return Err(Trouble::Lost(format!("does not start again: {}", server.log())));
    };
    released(scene, &mut server, &url, order.batch)?;
    check(scene, &url, order)
}

/// Waits for the release.
pub(crate) fn released(scene: &Scene, server: &mut Server, url: &str, batch: &str) -> Result<(), Trouble> {
    let begin = Instant::now();
    loop {
        let shown = scene.kms_as(BUREAU, url, &["batch", "status", batch, "--json"]);
        if shown.ok() && shown.out.contains("\"released\"") {
            return Ok(());
        }
        if begin.elapsed() > PATIENCE || server.ended().is_some() {
            return Err(Trouble::Lost(format!("never released: {shown:?}, {}", server.log())));
        }
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Package, cards, key log, files and token.
pub(crate) fn check(scene: &Scene, url: &str, order: &Order<'_>) -> Result<(), Trouble> {
    package(scene, url, order)?;
    log(scene, url, order)?;
    leftovers(scene, order)
}

fn package(scene: &Scene, url: &str, order: &Order<'_>) -> Result<(), Trouble> {
    let lost = |what: &str, run: &crate::scene::Run| Trouble::Lost(format!("{what}: {run:?}"));
    let (package, records) = (format!("package-{}", order.batch), format!("records-{}", order.batch));
    let pulled = scene.kms_as(BUREAU, url, &["batch", "pull", order.batch, "--out", &package]);
    if !pulled.ok() {
        return Err(lost("pull", &pulled));
    }
    let verified = scene.kms(&["batch", "verify", &package, "--anchor", "henan/anchor.der"]);
    if !verified.ok() {
        return Err(lost("verify", &verified));
    }
    let module = program("libhsm_sim.so");
    let arguments = [
        "batch",
        "open",
        &package,
        "--anchor",
        "henan/anchor.der",
        "--module",
        module.to_str().unwrap(),
        "--map",
        "policies/hsm/hsm-sim.toml",
        "--token",
        "bureau",
        "--pin-file",
        "bureau/pin",
        "--enc-key",
        "bureau/keys/encryption.pem",
        "--enc-password-file",
        "bureau/password",
        "--out",
        &records,
    ];
    let opened = scene.kms_at("bureau", &arguments);
    if !opened.ok() {
        return Err(lost("open", &opened));
    }
    let text = std::fs::read_to_string(scene.dir.join(records).join("personalization.csv")).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let made: BTreeSet<&str> = rows.iter().map(|row| row[2]).collect();
    let asked: Vec<String> = order.cards.clone().map(card_number).collect();
    if made != asked.iter().map(String::as_str).collect() {
        return Err(Trouble::Lost(format!("{} cards instead of {}", made.len(), asked.len())));
    }
    let blobs: BTreeSet<&str> = rows.iter().map(|row| row[9]).collect();
    if rows.len() != asked.len() * SLOTS || blobs.len() != rows.len() {
        return Err(Trouble::Duplicate(format!("{} rows, {} different keys", rows.len(), blobs.len())));
    }
    Ok(())
}

fn log(scene: &Scene, url: &str, order: &Order<'_>) -> Result<(), Trouble> {
    let audit = audit(scene, "henan", url)?;
    let event = |name: &str| audit["events"][name].as_u64().unwrap_or(0);
    let batches = audit["batches"].as_array().unwrap();
    let mine = batches.iter().find(|one| one["batch"] == order.batch);
    let Some(mine) = mine else {
        return Err(Trouble::Lost("the log does not know the batch".to_owned()));
    };
    let cards = order.cards.len();
    if mine["phase"] != "released" || mine["authorised"] != cards || mine["produced"] != cards {
        return Err(Trouble::Lost(format!("the log says {mine}")));
    }
    if event("chunk-outcome") != order.chunks_since as u64 + EARLIER {
        return Err(Trouble::Duplicate(format!("{} chunk outcomes", event("chunk-outcome"))));
    }
    if audit["open_intents"] != 0 {
        return Err(Trouble::Lost(format!("{} open intents", audit["open_intents"])));
    }
    Ok(())
}

/// Exports and verifies a site's key log.
pub(crate) fn audit(scene: &Scene, site: &str, url: &str) -> Result<Value, Trouble> {
    let auditor = if site == "national" { "national/zhao-lei" } else { "henan/zhou-min" };
    let out = format!("export-{site}");
    let _ = std::fs::remove_dir_all(scene.dir.join(&out));
    let exported = scene.kms_as(auditor, url, &["audit", "export", "--out", &out]);
    if !exported.ok() {
        return Err(Trouble::Lost(format!("export: {exported:?}")));
    }
    let anchor = format!("{site}/anchor.der");
    let verified = scene.kms(&["audit", "verify", &out, "--anchor", &anchor, "--json"]);
    if !verified.ok() {
        return Err(Trouble::Lost(format!("audit: {verified:?}")));
    }
    Ok(serde_json::from_str(&verified.out).unwrap())
}

fn leftovers(scene: &Scene, order: &Order<'_>) -> Result<(), Trouble> {
    let data = scene.dir.join("henan/data");
    let names = |folder: &str| -> Vec<String> {
        let entries = std::fs::read_dir(data.join(folder)).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    // The last files of a batch may go a moment after its release.
    let begin = Instant::now();
    while !names("staging").is_empty() && begin.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let staged = names("staging");
    if !staged.is_empty() {
        return Err(Trouble::Duplicate(format!("staging files stay: {staged:?}")));
    }
    let chunks = names(&format!("packages/{}", order.batch));
    if chunks.len() != order.cards.len().div_ceil(CHUNK_CARDS) {
        return Err(Trouble::Duplicate(format!("chunk files {chunks:?}")));
    }
    let objects = scene.objects("henan");
    if objects != order.objects {
        return Err(Trouble::Duplicate(format!("{objects} objects in the token, {} before", order.objects)));
    }
    Ok(())
}
