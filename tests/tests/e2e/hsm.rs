//! An HSM that is away, and a PIN that is wrong.

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
    assert!(!said.contains("final") && !said.contains("locked"), "one attempt, never more: {said}");
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
fn another_token_is_not_taken_for_the_instances_own() {
    let scene = Scene::new("hsm-other");
    // The nation's token under Henan's label would have other keys; here the label is simply another's.
    scene.edit("henan/server.toml", "token_label = \"henan\"", "token_label = \"nobody\"");
    match scene.try_start("henan") {
        Err(log) => assert!(log.contains("cannot run"), "{log}"),
        Ok(server) => assert_eq!(http::get(&server.url, "/health").unwrap().status, 503),
    }
}
