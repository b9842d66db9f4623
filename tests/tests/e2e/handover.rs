//! A second province, founded from nothing, whose masters are carried by hand.

use crate::harness::{Run, Scene, Server, program};

const OFFICERS: [&str; 3] = ["he-ping", "wu-di", "xu-jing"];

/// `kms` as one of the province's people.
fn at_hebei(scene: &Scene, who: &str, server: &Server, arguments: &[&str]) -> Run {
    let (key, password) = (format!("hebei/{who}.pem"), "hebei/password".to_owned());
    let mut all = arguments.to_vec();
    all.extend(["--key", &key, "--password-file", &password, "--server", &server.url]);
    scene.kms(&all)
}

fn at_nation(scene: &Scene, who: &str, server: &Server, arguments: &[&str]) -> Run {
    let config = format!("national/{who}.toml");
    let mut all = arguments.to_vec();
    all.extend(["--config", &config, "--server", &server.url]);
    scene.kms(&all)
}

/// Proposed by the first, approved by the others, run by the first; the plan id.
fn ceremony(by: &dyn Fn(&str, &[&str]) -> Run, people: [&str; 3], operation: &[&str]) -> String {
    let mut propose = vec!["ceremony", "propose"];
    propose.extend(operation);
    propose.push("--json");
    let view: serde_json::Value = serde_json::from_str(&by(people[0], &propose).good()).unwrap();
    let plan = view["plan_id"].as_str().unwrap().to_owned();
    for person in &people[1..] {
        by(person, &["ceremony", "approve", &plan, "--yes-digest", &plan]).good();
    }
    by(people[0], &["ceremony", "run", &plan]).good();
    plan
}

fn secret(scene: &Scene, file: &str, content: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = scene.dir.join(file);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Token, configuration, people, genesis: the province Hebei (130000).
fn found(scene: &Scene) -> Server {
    let module = program("libhsm_sim.so");
    std::fs::create_dir_all(scene.dir.join("hebei/hsm")).unwrap();
    secret(scene, "hebei/pin", "user-pin-8\n");
    secret(scene, "hebei/so-pin", "so-pin-88\n");
    secret(scene, "hebei/password", "a password\n");
    let token = [
        "hsm",
        "init-token",
        "--module",
        module.to_str().unwrap(),
        "--label",
        "hebei",
        "--so-pin-file",
        "hebei/so-pin",
        "--pin-file",
        "hebei/pin",
    ];
    scene.kms_at("hebei", &token).good();
    let henan = std::fs::read_to_string(scene.dir.join("henan/server.toml")).unwrap();
    let mut text: String =
        henan.lines().filter(|line| !line.starts_with("nation_url")).map(|line| format!("{line}\n")).collect();
    for (from, to) in [("410000", "130000"), ("/henan/", "/hebei/"), ("\"henan\"", "\"hebei\"")] {
        text = text.replace(from, to);
    }
    std::fs::write(scene.dir.join("hebei/server.toml"), text).unwrap();
    let server = scene.start("hebei");

    let mut draft = vec!["genesis", "draft", "--server", &server.url, "--out", "hebei/genesis.der"];
    let people: Vec<String> = OFFICERS.iter().map(|id| format!("{id}:security:{id}:hebei/{id}.pub.pem")).collect();
    for (id, person) in OFFICERS.iter().zip(&people) {
        let key = format!("hebei/{id}.pem");
        scene.kms(&["officer", "keygen", "--id", id, "--out", &key, "--password-file", "hebei/password"]).good();
        draft.extend(["--person", person.as_str()]);
    }
    scene.kms(&draft).good();
    let plan = std::fs::read(scene.dir.join("hebei/genesis.der")).unwrap();
    let digest = kms_core::digest::Digest::of(&plan).to_string();
    let approvals: Vec<String> = OFFICERS.iter().map(|id| format!("hebei/{id}.approval.der")).collect();
    for (id, approval) in OFFICERS.iter().zip(&approvals) {
        let key = format!("hebei/{id}.pem");
        let sign = [
            "genesis",
            "sign",
            "--plan",
            "hebei/genesis.der",
            "--key",
            &key,
            "--password-file",
            "hebei/password",
            "--yes-digest",
            &digest,
            "--out",
            approval,
        ];
        scene.kms(&sign).good();
    }
    let submit = |approvals: &[String]| {
        let mut all = vec![
            "genesis",
            "submit",
            "--server",
            &server.url,
            "--plan",
            "hebei/genesis.der",
            "--anchor",
            "hebei/anchor.der",
        ];
        approvals.iter().for_each(|approval| all.extend(["--approval", approval]));
        scene.kms(&all)
    };
    submit(&approvals[..2]).refused("founder-missing");
    submit(&approvals).good();
    server
}

/// Approvals are entries too: a plan that allows one more entry cannot gather two of them.
#[test]
fn a_plan_ends_with_its_log_span() {
    let scene = Scene::new("handover-span");
    let rules = scene.dir.join("policies/ceremonies.toml");
    let text = std::fs::read_to_string(&rules).unwrap();
    let (before, after) = text.split_once("[rules.pair-nation]").unwrap();
    std::fs::write(&rules, format!("{before}[rules.pair-nation]{}", after.replacen("100_000", "1", 1))).unwrap();
    let hebei = found(&scene);
    let at_hebei = |who: &str, arguments: &[&str]| at_hebei(&scene, who, &hebei, arguments);
    let propose = ["ceremony", "propose", "pair-nation", "--anchor", "national/anchor.der", "--json"];
    let view: serde_json::Value = serde_json::from_str(&at_hebei("he-ping", &propose).good()).unwrap();
    let plan = view["plan_id"].as_str().unwrap();
    at_hebei("wu-di", &["ceremony", "approve", plan, "--yes-digest", plan]).good();
    let late = at_hebei("xu-jing", &["ceremony", "approve", plan, "--yes-digest", plan]);
    assert!(late.err.contains("log-span-exceeded") || late.err.contains("ceremony-not-open"), "{late:?}");
    let shown = || at_hebei("he-ping", &["ceremony", "show", plan, "--json"]).good();
    crate::harness::wait_until("expired", || shown().contains("\"expired\""));
    at_hebei("he-ping", &["ceremony", "run", plan]);
    assert!(shown().contains("\"expired\""));
}

#[test]
fn masters_carried_by_hand_reach_the_right_province_only() {
    let scene = Scene::new("handover");
    let (nation, hebei) = (scene.start("national"), found(&scene));
    let at_nation = |who: &str, arguments: &[&str]| at_nation(&scene, who, &nation, arguments);
    let at_hebei = |who: &str, arguments: &[&str]| at_hebei(&scene, who, &hebei, arguments);
    let national = ["zhang-wei", "li-na", "wang-fang"];

    // Not paired yet: nothing to derive for.
    let early = ["ceremony", "propose", "derive-province", "--region", "130000", "--profile", "resident-health-card"];
    at_nation("zhang-wei", &early).refused("province-unknown");
    let pairing = ceremony(&at_nation, national, &["pair-province", "--anchor", "hebei/anchor.der"]);
    let module = program("libhsm_sim.so");
    let trust = [
        "ceremony",
        "trust",
        &pairing,
        "--anchor",
        "national/anchor.der",
        "--module",
        module.to_str().unwrap(),
        "--map",
        "policies/hsm/hsm-sim.toml",
        "--token",
        "national",
        "--so-pin-file",
        "national/so-pin",
        "--yes-digest",
        &pairing,
        "--config",
        "national/li-na.toml",
        "--server",
        &nation.url,
    ];
    scene.kms_at("national", &trust).good();
    at_nation("zhang-wei", &["ceremony", "run", &pairing]).good();
    ceremony(&at_hebei, OFFICERS, &["pair-nation", "--anchor", "national/anchor.der"]);

    let derive = ["derive-province", "--region", "130000", "--profile", "resident-health-card"];
    let derivation = ceremony(&at_nation, national, &derive);
    at_nation("zhang-wei", &["handover", "fetch", "--plan", &derivation, "--out", "sealed.der"]).good();
    let import = |sealed| ["import-masters", "--profile", "resident-health-card", "--transferable", "--sealed", sealed];

    // Henan's set, and a damaged one, are not Hebei's.
    let mut damaged = std::fs::read(scene.dir.join("sealed.der")).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(scene.dir.join("damaged.der"), damaged).unwrap();
    for (file, code) in [("national/sealed-410000.der", "document-mismatch"), ("damaged.der", "")] {
        let mut propose = vec!["ceremony", "propose"];
        propose.extend(import(file));
        at_hebei("he-ping", &propose).refused(code);
    }
    let imported = ceremony(&at_hebei, OFFICERS, &import("sealed.der"));
    at_hebei("he-ping", &["handover", "receipt", "--plan", &imported, "--out", "receipt.der"]).good();
    at_nation("zhang-wei", &["handover", "deliver", "--plan", &derivation, "--receipt", "receipt.der"]).good();

    // Twice is once too often.
    let mut again = vec!["ceremony", "propose"];
    again.extend(import("sealed.der"));
    at_hebei("he-ping", &again).refused("master-exists");
    for (who, by, anchor) in [
        ("he-ping", &at_hebei as &dyn Fn(&str, &[&str]) -> Run, "hebei/anchor.der"),
        ("zhao-lei", &at_nation, "national/anchor.der"),
    ] {
        let out = format!("export/by-{who}");
        by(who, &["audit", "export", "--out", &out]).good();
        scene.kms(&["audit", "verify", &out, "--anchor", anchor]).good();
    }
    // The masters are Hebei's own: nobody else's check values.
    let henan = std::fs::read(scene.dir.join("henan/import-receipt.der")).unwrap();
    let hebei_receipt = std::fs::read(scene.dir.join("receipt.der")).unwrap();
    assert_ne!(check_values(&henan), check_values(&hebei_receipt));
}

fn check_values(receipt: &[u8]) -> Vec<String> {
    let signed = kms_core::encoding::Signed::<kms_core::document::ImportReceipt>::parse(receipt).unwrap();
    signed.unverified_tbs().keys.iter().map(|key| key.kcv.to_string()).collect()
}
