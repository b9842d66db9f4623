//! People come, lose their key and go; the rules change. Each time by ceremony, and it counts at once.

use crate::harness::{Scene, Server};

/// A key of `person` in `file` and the signed application with it, as they make it at home.
fn apply(scene: &Scene, person: &str, file: &str, role: &str) -> String {
    let key = format!("henan/{file}.pem");
    let out = format!("henan/{file}.enrolment");
    let password = ["--password-file", "henan/chen-jie.password"];
    scene.kms(&[&["officer", "keygen", "--id", person, "--out", &key], &password[..]].concat()).good();
    let origin = origin(scene);
    let arguments = ["officer", "enrolment", "--id", person, "--name", "Zhao Min", "--role", role, "--origin", &origin];
    scene.kms(&[&arguments[..], &["--key", &key, "--out", &out], &password[..]].concat()).good();
    out
}

/// Name of Henan's log.
fn origin(scene: &Scene) -> String {
    let text = std::fs::read_to_string(scene.path("henan/server.toml")).unwrap();
    let line = text.lines().find(|line| line.starts_with("origin")).unwrap();
    line.split('"').nth(1).unwrap().to_owned()
}

/// Settings with which `person` works, key in `file`.
fn settle(scene: &Scene, person: &str, file: &str) {
    let like = std::fs::read_to_string(scene.path("henan/chen-jie.toml")).unwrap();
    let text = like.replace("chen-jie.pem", &format!("{file}.pem"));
    assert_ne!(text, like);
    std::fs::write(scene.path(&format!("henan/{person}.toml")), text).unwrap();
}

/// chen-jie proposes; answers the plan.
fn propose(scene: &Scene, server: &Server, what: &[&str]) -> String {
    let arguments = [&["ceremony", "propose"], what, &["--json"]].concat();
    let view = scene.kms_as("chen-jie", server, &arguments).good();
    let view: serde_json::Value = serde_json::from_str(&view).unwrap();
    view["plan_id"].as_str().unwrap().to_owned()
}

fn approve(scene: &Scene, server: &Server, who: &str, plan: &str) -> crate::harness::Run {
    scene.kms_as(who, server, &["ceremony", "approve", plan, "--yes-digest", plan])
}

/// Proposed by chen-jie, approved by two, run.
fn hold(scene: &Scene, server: &Server, what: &[&str], approvers: [&str; 2]) {
    let plan = propose(scene, server, what);
    approvers.iter().for_each(|who| drop(approve(scene, server, who, &plan).good()));
    scene.kms_as("chen-jie", server, &["ceremony", "run", &plan]).good();
}

#[test]
fn people_come_change_their_key_and_go_by_ceremony() {
    let scene = Scene::new("roster");
    let server = scene.start("henan");
    let application = apply(&scene, "zhao-min", "zhao-min", "security");
    settle(&scene, "zhao-min", "zhao-min");
    let list = ["ceremony", "list"];
    assert_ne!(scene.kms_as("zhao-min", &server, &list).code, 0, "nobody knows that key yet");
    hold(&scene, &server, &["enrol-person", "--enrolment", &application], ["liu-yang", "sun-li"]);
    scene.kms_as("zhao-min", &server, &list).good();

    // A new key: the old one speaks for nobody.
    let renewed = apply(&scene, "zhao-min", "zhao-min-2", "security");
    let change = ["change-person-key", "--enrolment", &renewed, "--reason", "key-lost"];
    hold(&scene, &server, &change, ["liu-yang", "zhao-min"]);
    assert_ne!(scene.kms_as("zhao-min", &server, &list).code, 0, "the old key");
    settle(&scene, "zhao-min", "zhao-min-2");
    scene.kms_as("zhao-min", &server, &list).good();

    // What somebody approved who then goes counts no more.
    let open = propose(&scene, &server, &["change-policy"]);
    approve(&scene, &server, "zhao-min", &open).good();
    approve(&scene, &server, "liu-yang", &open).good();
    hold(&scene, &server, &["revoke-person", "--person", "zhao-min", "--reason", "left"], ["liu-yang", "sun-li"]);
    scene.kms_as("chen-jie", &server, &["ceremony", "run", &open]).refused("quorum-not-reached");
    assert_ne!(scene.kms_as("zhao-min", &server, &list).code, 0, "gone");
    let enrol = ["ceremony", "propose", "enrol-person", "--enrolment", &application];
    scene.kms_as("chen-jie", &server, &enrol).refused("person-known");
    // With three officers left and two approvals wanted, nobody else can go.
    let revoke = ["ceremony", "propose", "revoke-person", "--person", "sun-li", "--reason", "left"];
    scene.kms_as("chen-jie", &server, &revoke).refused("rule-invalid");
    scene.audit(&server, "export/roster").good();
}

#[test]
fn rules_change_under_the_rules_of_before_and_a_system_administrator_only_asks() {
    let scene = Scene::new("roster-rules");
    let policy = scene.path("policies/ceremonies.toml");
    let small = |line: &str| match line.split(' ').next() {
        Some("cards_max") => "cards_max = 5".to_owned(),
        Some("chunk_cards") => "chunk_cards = 2".to_owned(),
        _ => line.to_owned(),
    };
    let text = std::fs::read_to_string(&policy).unwrap();
    std::fs::write(&policy, text.lines().map(small).collect::<Vec<_>>().join("\n") + "\n").unwrap();
    let server = scene.start("henan");
    scene.card_list("six.csv", 0, 6);
    let request = |server: &Server| {
        let arguments = ["batch", "request", "--profile", "resident-health-card", "--cards", "six.csv"];
        scene.kms_as(crate::harness::BUREAU, server, &arguments)
    };
    hold(&scene, &server, &["change-policy"], ["liu-yang", "sun-li"]);
    request(&server).refused("batch-size");

    let application = apply(&scene, "wang-fang", "wang-fang", "system");
    settle(&scene, "wang-fang", "wang-fang");
    hold(&scene, &server, &["enrol-person", "--enrolment", &application], ["liu-yang", "sun-li"]);
    let propose = ["ceremony", "propose", "change-policy", "--json"];
    let view: serde_json::Value = serde_json::from_str(&scene.kms_as("wang-fang", &server, &propose).good()).unwrap();
    let plan = view["plan_id"].as_str().unwrap();
    assert_ne!(approve(&scene, &server, "wang-fang", plan).code, 0, "an administrator approves nothing");
    let nation = ["ceremony", "propose", "pair-nation", "--anchor", "national/anchor.der"];
    scene.kms_as("wang-fang", &server, &nation).refused("role-forbidden");
    ["chen-jie", "liu-yang"].iter().for_each(|who| drop(approve(&scene, &server, who, plan).good()));
    scene.kms_as("chen-jie", &server, &["ceremony", "run", plan]).good();
    scene.audit(&server, "export/rules").good();
}
