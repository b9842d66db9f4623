//! An HSM that is away, and a PIN that is wrong.

use std::os::unix::fs::PermissionsExt as _;

use crate::harness::{Scene, program, wait_until};
use crate::http;

fn status(scene: &Scene, site: &str) -> String {
    let module = program("libhsm_sim.so");
    let arguments =
        ["hsm", "status", "--module", module.to_str().unwrap(), "--map", "policies/hsm/hsm-sim.toml", "--token", site];
    scene.kms_at(site, &arguments).good()
}

#[test]
fn a_wrong_pin_is_tried_once() {
    let scene = Scene::new("hsm-pin");
    let pin = scene.dir.join("henan/pin");
    let right = std::fs::read(&pin).unwrap();
    std::fs::write(&pin, "00000000\n").unwrap();
    let server = scene.start("henan");
    let health = http::get(&server.url, "/health").unwrap();
    assert_eq!(health.status, 503, "{health:?}");
    // Time for a program that would try again.
    std::thread::sleep(std::time::Duration::from_secs(8));
    for _ in 0..5 {
        let _ = http::get(&server.url, "/health");
    }
    let said = status(&scene, "henan");
    assert!(said.contains("one") || said.contains("failed attempt"), "the PIN's state is shown: {said}");
    assert!(!said.contains("FINAL TRY") && !said.contains("LOCKED"), "one attempt, never more: {said}");
    drop(server);
    std::fs::write(&pin, right).unwrap();
    let server = scene.start("henan");
    wait_until("healthy with the right PIN", || http::get(&server.url, "/health").is_ok_and(|a| a.status == 200));
}

#[test]
fn without_its_hsm_the_server_says_so_and_goes_on_when_it_is_back() {
    let scene = Scene::new("hsm-away");
    let module = program("libhsm_sim.so");
    let link = scene.dir.join("henan/module.so");
    std::os::unix::fs::symlink(&module, &link).unwrap();
    scene.edit("henan/server.toml", module.to_str().unwrap(), "module.so");
    std::fs::remove_file(&link).unwrap();
    let server = scene.start("henan");
    let health = http::get(&server.url, "/health").unwrap();
    assert_eq!(health.status, 503, "{health:?}");
    scene.card_list("mine.csv", 0, 3);
    let arguments = ["batch", "request", "--profile", "resident-health-card", "--cards", "mine.csv"];
    scene.kms_as(crate::harness::BUREAU, &server, &arguments).refused("hsm-unavailable");
    // Reading needs no HSM.
    scene.kms_as("chen-jie", &server, &["ceremony", "list"]).good();
    std::os::unix::fs::symlink(&module, &link).unwrap();
    wait_until("healthy again", || http::get(&server.url, "/health").is_ok_and(|answer| answer.status == 200));
    scene.issue(&server, "mine.csv", "mine");
    scene.verify("mine").good();
}

#[test]
fn a_batch_waits_for_its_hsm() {
    let scene = Scene::new("hsm-batch");
    let module = program("libhsm_sim.so");
    let link = scene.dir.join("henan/module.so");
    std::os::unix::fs::symlink(&module, &link).unwrap();
    scene.edit("henan/server.toml", module.to_str().unwrap(), "module.so");
    let server = scene.start("henan");
    scene.card_list("mine.csv", 0, 3);
    let (batch, plan) = scene.request(&server, "mine.csv");
    std::fs::remove_file(&link).unwrap();
    server.kill_workers();
    scene.approve(&server, &plan);
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_ne!(scene.batch(&server, &batch)["phase"], "released");
    std::os::unix::fs::symlink(&module, &link).unwrap();
    wait_until("released", || scene.batch(&server, &batch)["phase"] == "released");
    scene.audit(&server, "export/waited").good();
}

#[test]
fn what_the_worker_gives_up_is_told_and_strict_insists() {
    let scene = Scene::new("hsm-sandbox");
    let server = scene.start("henan");
    let health = http::get(&server.url, "/health").unwrap();
    let health = health.json();
    let told = health["hsm"]["sandbox"].as_array().unwrap();
    assert!(told.iter().any(|row| row["measure"] == "files"), "{health}");
    let module = program("libhsm_sim.so");
    let token = ["--module", module.to_str().unwrap(), "--map", "policies/hsm/hsm-sim.toml", "--token", "henan"];
    let shown = scene.kms_at("henan", &[&["hsm", "status", "--json"], &token[..]].concat()).good();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let holds = |rows: &serde_json::Value| -> Vec<String> {
        rows.as_array().unwrap().iter().map(|row| format!("{} {}", row["measure"], row["hold"])).collect()
    };
    assert_eq!(holds(&shown["sandbox"]), holds(&health["hsm"]["sandbox"]));
    let examined = scene.kms_at("henan", &[&["hsm", "doctor", "--pin-file", "henan/pin"], &token[..]].concat()).good();
    assert!(examined.contains("worker gives up files"), "{examined}");
    drop(server);

    // A kernel without Landlock, which strace plays.
    let script = scene.dir.join("henan/worker");
    let inject = "-f -o /dev/null -e trace=landlock_create_ruleset -e inject=landlock_create_ruleset:error=ENOSYS";
    std::fs::write(&script, format!("#!/bin/sh\nexec strace {inject} {}\n", program("kms-hsm-worker").display()))
        .unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    scene.edit("henan/server.toml", "[hsm]", "[hsm]\nworker = \"worker\"");
    let server = scene.start("henan");
    let health = http::get(&server.url, "/health").unwrap();
    assert_eq!(health.status, 200, "best effort works, and says so: {health:?}");
    assert!(health.json().to_string().contains("no Landlock"), "{health:?}");
    assert!(server.log().contains("NOT GIVEN UP"), "{}", server.log());
    drop(server);
    scene.edit("henan/server.toml", "[hsm]", "[hsm]\nsandbox = \"strict\"");
    let log = scene.try_start("henan").err().expect("strict refuses to start");
    assert!(log.contains("refusing to start") && log.contains("no Landlock"), "{log}");
}

#[test]
fn another_token_is_not_taken_for_the_instances_own() {
    let scene = Scene::new("hsm-other");
    // The nation's token under Henan's label would have other keys; here the label is simply another's.
    scene.edit("henan/server.toml", "token_label = \"henan\"", "token_label = \"nobody\"");
    match scene.try_start("henan") {
        Err(log) => assert!(log.contains("cannot run"), "{log}"),
        Ok(server) => assert_eq!(http::get(&server.url, "/health").unwrap().status, 503),
    }
}
