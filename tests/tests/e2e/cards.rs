//! Card lists: bad lines, cards that had keys before, replacements, spoiled cards.

use crate::harness::{BUREAU, Scene, Server, card_factor, card_number};

fn request(scene: &Scene, server: &Server, list: &str) -> crate::harness::Run {
    std::fs::write(scene.dir.join("try.csv"), list).unwrap();
    scene.kms_as(BUREAU, server, &["batch", "request", "--profile", "resident-health-card", "--cards", "try.csv"])
}

#[test]
fn every_bad_line_is_reported_and_nothing_starts() {
    let scene = Scene::new("cards-bad");
    let server = scene.start("henan");
    let mut list = String::from("card_number,factor\n");
    let mut wrong = card_number(1);
    wrong.replace_range(17.., if wrong.ends_with('0') { "1" } else { "0" });
    for line in [
        format!("{},{}", card_number(0), card_factor(0)),
        format!("{wrong},{}", card_factor(1)),
        format!("{},{}", card_number(2), "00".repeat(8)),
        format!("{},{}", card_number(3), "3431303030303030"),
        format!("{},{}", card_number(0), card_factor(4)),
        format!("{},{}", card_number(5), card_factor(0)),
        format!("{},{},more", card_number(6), card_factor(6)),
        "nonsense".to_owned(),
    ] {
        list.push_str(&line);
        list.push('\n');
    }
    let said = request(&scene, &server, &list).refused("7 bad lines");
    for line in [3, 4, 5, 6, 7, 8, 9] {
        assert!(said.contains(&format!("line {line}: ")), "line {line}: {said}");
    }
    assert!(!said.contains(&card_number(0)), "a report names lines, not people: {said}");
    for _ in 0..200 {
        list.push_str("x\n");
    }
    let said = request(&scene, &server, &list).refused("207 bad lines");
    assert!(said.contains("… and 107 more"), "{said}");
    let batches = scene.kms_as(BUREAU, &server, &["batch", "list", "--json"]).good();
    let view: serde_json::Value = serde_json::from_str(&batches).unwrap();
    assert_eq!(view["batches"].as_array().unwrap().len(), 1, "only the scene's own: {batches}");
}

#[test]
fn a_card_gets_keys_once() {
    let scene = Scene::new("cards-double");
    let server = scene.start("henan");
    scene.card_list("mine.csv", 0, 3);
    scene.issue(&server, "mine.csv", "mine");
    let (number, factor) = (card_number(0), card_factor(0));
    // The same number with another chip, and the same chip with another number.
    for line in [format!("{number},{}", card_factor(90)), format!("{},{factor}", card_number(90))] {
        let list = format!("card_number,factor\n{},{}\n{line}\n", card_number(80), card_factor(80));
        let said = request(&scene, &server, &list).refused("card-already-issued");
        assert!(said.contains("line 3"), "the line is named: {said}");
    }
    let header = "card_number,factor,replacement,reason\n";
    // A replacement card has a reason, and a new chip.
    request(&scene, &server, &format!("{header}{number},{},replacement,\n", card_factor(91))).refused("bad lines");
    let same_chip = format!("{header}{number},{factor},replacement,lost\n");
    request(&scene, &server, &same_chip).refused("card-already-issued");
    std::fs::write(scene.dir.join("replace.csv"), format!("{header}{number},{},replacement,lost\n", card_factor(91)))
        .unwrap();
    scene.issue(&server, "replace.csv", "replacement");
    scene.verify("replacement").good();
    let arguments = ["audit", "prove", "--card", &number, "--anchor", "henan/anchor.der"];
    let proof = scene.kms_as("zhou-min", &server, &arguments).good();
    assert_eq!(proof.matches("PROVEN").count(), 2, "both cards are proven: {proof}");
}

#[test]
fn a_request_waiting_for_officers_already_holds_its_cards() {
    let scene = Scene::new("cards-waiting");
    let server = scene.start("henan");
    scene.card_list("mine.csv", 0, 3);
    scene.request(&server, "mine.csv");
    let list = std::fs::read_to_string(scene.dir.join("mine.csv")).unwrap();
    request(&scene, &server, &list).refused("card-already-issued");
}

#[test]
fn spoiled_cards_may_be_issued_again() {
    let scene = Scene::new("cards-spoiled");
    let server = scene.start("henan");
    let numbers = scene.card_list("mine.csv", 0, 4);
    let batch = scene.issue(&server, "mine.csv", "mine");
    scene.open("mine", "records").good();
    std::fs::write(scene.dir.join("spoiled.txt"), format!("{}\n{}\n", numbers[1], numbers[3])).unwrap();
    let arguments = [
        "batch",
        "acknowledge",
        "mine",
        "--anchor",
        "henan/anchor.der",
        "--spoiled",
        "spoiled.txt",
        "--records",
        "records/personalization.csv",
    ];
    scene.kms_as(BUREAU, &server, &arguments).good();
    let lines = [1, 3].map(|card| format!("{},{}\n", numbers[card], card_factor(50 + card)));
    std::fs::write(scene.dir.join("again.csv"), format!("card_number,factor\n{}", lines.concat())).unwrap();
    scene.issue(&server, "again.csv", "again");
    scene.verify("again").good();
    let used = format!("card_number,factor\n{},{}\n", numbers[0], card_factor(60));
    request(&scene, &server, &used).refused("card-already-issued");
    let audit: serde_json::Value = serde_json::from_str(&scene.audit(&server, "export/spoiled").good()).unwrap();
    let mine = audit["batches"].as_array().unwrap().iter().find(|one| one["batch"] == batch.as_str()).unwrap().clone();
    assert_eq!((mine["accepted"].as_u64(), mine["spoiled"].as_u64()), (Some(2), Some(2)));
    let proof =
        scene.kms_as("zhou-min", &server, &["audit", "prove", "--card", &numbers[1], "--anchor", "henan/anchor.der"]);
    assert!(proof.good().contains("spoiled"));
}

#[test]
fn another_profile_or_bureau_gets_nothing() {
    let scene = Scene::new("cards-profile");
    let server = scene.start("henan");
    scene.card_list("mine.csv", 0, 1);
    let unknown = ["batch", "request", "--profile", "no-such-profile", "--cards", "mine.csv"];
    let refused = scene.kms_as(BUREAU, &server, &unknown);
    assert_ne!(refused.code, 0, "{refused:?}");
    let officer = ["batch", "request", "--profile", "resident-health-card", "--cards", "mine.csv"];
    let refused = scene.kms_as("chen-jie", &server, &officer);
    assert_ne!(refused.code, 0, "an officer is no bureau: {refused:?}");
}
