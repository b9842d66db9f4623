//! What a server finds in its HSM before it serves: somebody else was at the token.
//!
//! The somebody is `pkcs11-tool` with the service's own PIN, or a fault of the module.

use std::process::Command;

use crate::harness::{BUREAU, Scene, program, wait_until};
use crate::http;

/// `pkcs11-tool` at Henan's token.
fn tool(scene: &Scene, arguments: &[&str]) {
    let pin = std::fs::read_to_string(scene.dir.join("henan/pin")).unwrap();
    let done = Command::new("pkcs11-tool")
        .arg("--module")
        .arg(program("libhsm_sim.so"))
        .args(["--token-label", "henan", "--login", "--pin", pin.trim()])
        .args(arguments)
        .current_dir(&scene.dir)
        .env("HSM_SIM_DIR", scene.dir.join("henan/hsm"))
        .output()
        .expect("the Debian package opensc");
    assert!(done.status.success(), "{arguments:?}: {done:?}");
}

/// The token's objects by the list of the log, as `kms hsm inventory` compares them.
fn inventory(scene: &Scene) -> Vec<serde_json::Value> {
    let module = program("libhsm_sim.so");
    let arguments = [
        "hsm",
        "inventory",
        "--module",
        module.to_str().unwrap(),
        "--map",
        "policies/hsm/hsm-sim.toml",
        "--token",
        "henan",
        "--pin-file",
        "henan/pin",
        "--anchor",
        "henan/anchor.der",
        "--log-export",
        "export/henan",
        "--json",
    ];
    let run = scene.kms_at("henan", &arguments);
    serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

fn id_of(scene: &Scene, name: impl Fn(&str) -> bool) -> String {
    let objects = inventory(scene);
    let object = objects.iter().find(|object| name(object["name"].as_str().unwrap())).unwrap();
    object["id"].as_str().unwrap().to_owned()
}

fn hsm(url: &str) -> (u16, serde_json::Value) {
    let health = http::get(url, "/health").unwrap();
    (health.status, health.json()["hsm"].clone())
}

fn status(scene: &Scene, url: &str) -> crate::harness::Run {
    scene.kms(&["hsm", "status", "--server", url])
}

fn alarms(audit: &str) -> usize {
    let report: serde_json::Value = serde_json::from_str(audit).unwrap();
    report["token_alarms"].as_array().unwrap().len()
}

#[test]
fn a_look_is_an_entry_of_every_run_and_a_clean_token_is_no_alarm() {
    let scene = Scene::new("look-clean");
    let server = scene.start("henan");
    let (code, found) = hsm(&server.url);
    assert_eq!((code, &found["state"]), (200, &"ok".into()), "{found}");
    assert_eq!((&found["audit"]["differences"], &found["audit"]["alarms"]), (&0.into(), &0.into()), "{found}");
    assert_eq!(found["probe"]["open"], serde_json::json!([]));
    status(&scene, &server.url).good();
    let report: serde_json::Value = serde_json::from_str(&scene.audit(&server, "export/one").good()).unwrap();
    let looks = report["events"]["token-audited"].as_u64().unwrap();
    server.kill();
    let server = scene.start("henan");
    let report: serde_json::Value = serde_json::from_str(&scene.audit(&server, "export/two").good()).unwrap();
    assert_eq!(report["events"]["token-audited"], looks + 1, "once per run, unchanged");
    assert_eq!((report["events"]["token-probed"].as_u64() >= Some(2), alarms(&report.to_string())), (true, 0));
}

#[test]
fn a_master_that_is_gone_is_named_and_not_used_and_everything_else_goes_on() {
    let scene = Scene::new("look-missing");
    let id = id_of(&scene, |name| name.starts_with("MASTER "));
    tool(&scene, &["--delete-object", "--type", "secrkey", "--id", &id]);
    let server = scene.start("henan");
    let (code, found) = hsm(&server.url);
    assert_eq!((code, &found["state"]), (503, &"keys-differ".into()), "{found}");
    assert_eq!(
        (&found["audit"]["differing"][0]["id"], &found["audit"]["differing"][0]["state"]),
        (&id.clone().into(), &"missing".into())
    );
    let said = status(&scene, &server.url).refused("NOT SERVED");
    assert!(said.contains(&id), "{said}");
    // A batch needs the master: requested and approved, but never made.
    scene.card_list("mine.csv", 0, 3);
    let (batch, plan) = scene.request(&server, "mine.csv");
    scene.approve(&server, &plan);
    wait_until("the engine says why", || {
        let health = http::get(&server.url, "/health").unwrap();
        health.json()["engine"]["error"].as_str().is_some_and(|error| error.contains("key-not-served"))
    });
    assert_ne!(scene.batch(&server, &batch)["phase"], "released");
    assert_eq!(alarms(&scene.audit(&server, "export/missing").good()), 1);
    let said = scene.kms(&["audit", "verify", "export/missing", "--anchor", "henan/anchor.der"]).good();
    assert!(said.contains("ALARM") && said.contains("1 objects not as the log says"), "{said}");
}

#[test]
fn an_object_that_nobody_knows_is_an_alarm_and_stops_nothing() {
    let scene = Scene::new("look-orphan");
    std::fs::write(scene.dir.join("note"), "left here").unwrap();
    tool(&scene, &["--write-object", "note", "--type", "data", "--label", "stranger", "--private"]);
    let server = scene.start("henan");
    let (code, found) = hsm(&server.url);
    assert_eq!((code, &found["audit"]["differing"][0]["state"]), (200, &"unknown".into()), "{found}");
    scene.card_list("mine.csv", 0, 3);
    scene.issue(&server, "mine.csv", "mine");
    scene.verify("mine").good();
    assert_eq!(alarms(&scene.audit(&server, "export/orphan").good()), 1);
}

#[test]
fn with_its_log_key_gone_a_server_only_reads_and_says_so() {
    let scene = Scene::new("look-log-key");
    let id = id_of(&scene, |name| name == "SIGNING KEY log");
    tool(&scene, &["--delete-object", "--type", "privkey", "--id", &id]);
    let server = scene.start("henan");
    let (code, found) = hsm(&server.url);
    assert_eq!((code, &found["state"]), (503, &"keys-differ".into()), "{found}");
    scene.card_list("mine.csv", 0, 3);
    let request = ["batch", "request", "--profile", "resident-health-card", "--cards", "mine.csv"];
    let said = scene.kms_as(BUREAU, &server, &request).refused("key-not-served");
    assert!(said.contains(&id), "{said}");
    scene.kms_as("chen-jie", &server, &["ceremony", "list"]).good();
}

#[test]
fn a_key_with_another_check_value_is_wrong_and_a_wrong_known_answer_stops_all() {
    let scene = Scene::new("look-faults");
    let script = scene.dir.join("faults");
    // A value that differs is read again before a key is refused: these are wrong for as long as anybody asks.
    std::fs::write(&script, "C_GetAttributeValue 100-107 wrong-check-value\n").unwrap();
    let server = scene.start_with_environment("henan", &[("HSM_SIM_FAULTS", script.to_str().unwrap())]);
    let (code, found) = hsm(&server.url);
    assert_eq!((code, &found["state"]), (503, &"keys-differ".into()), "{found}");
    let differences = found["audit"]["differences"].as_u64().unwrap();
    assert!((1..=8).contains(&differences), "{found}");
    assert_eq!(found["audit"]["differing"][0]["state"], "wrong");
    assert!(found["audit"]["differing"][0]["detail"].as_str().unwrap().contains("check value"), "{found}");
    drop(server);
    std::fs::write(&script, "C_GetAttributeValue every wrong-check-value\n").unwrap();
    let server = scene.start_with_environment("henan", &[("HSM_SIM_FAULTS", script.to_str().unwrap())]);
    let (code, found) = hsm(&server.url);
    assert_eq!((code, &found["state"]), (503, &"unfit".into()), "{found}");
    scene.card_list("mine.csv", 0, 3);
    let request = ["batch", "request", "--profile", "resident-health-card", "--cards", "mine.csv"];
    scene.kms_as(BUREAU, &server, &request).refused("known-answer-failed");
    drop(server);
    // In order again: the look of the next start says so.
    let server = scene.start("henan");
    assert_eq!(hsm(&server.url).0, 200);
    scene.issue(&server, "mine.csv", "mine");
    // One each for the wrong key, for a token that shows other check values, and for its way back.
    assert_eq!(alarms(&scene.audit(&server, "export/faults").good()), 3);
}

#[test]
fn a_risk_that_no_probe_found_is_not_accepted() {
    let scene = Scene::new("look-risk");
    let server = scene.start("henan");
    let propose = ["ceremony", "propose", "accept-risk", "--attack", "10,11", "--reason", "none", "--valid-days", "30"];
    scene.kms_as("chen-jie", &server, &propose).refused("attack-not-shown");
}
