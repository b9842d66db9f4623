//! Officers who do what they must not, and one who stops everything.

use kms_core::digest::Digest;
use kms_core::encoding::{self, Document, Signed};
use kms_core::id::{Origin, PersonId, PlanId};
use kms_core::keys::SignatureAlgorithm;
use kms_core::plan::{Approval, Decision, Role};

use crate::harness::{Scene, Server, program};
use crate::requests::{key_of, signed};

/// A second bureau's application in `NAME/application.der`.
fn application(scene: &Scene, name: &str) -> String {
    let module = program("libhsm_sim.so");
    let arguments = [
        "bureau",
        "init",
        "--id",
        name,
        "--name",
        "Another Bureau",
        "--dir",
        name,
        "--password-file",
        "bureau/password",
        "--module",
        module.to_str().unwrap(),
        "--map",
        "policies/hsm/hsm-sim.toml",
        "--token",
        "bureau",
        "--pin-file",
        "bureau/pin",
        "--so-pin-file",
        "bureau/so-pin",
    ];
    scene.kms_at("bureau", &arguments).good();
    format!("{name}/application.der")
}

/// A plan that chen-jie proposed: register that bureau.
fn proposal(scene: &Scene, server: &Server, bureau: &str) -> String {
    let application = application(scene, bureau);
    let arguments =
        ["ceremony", "propose", "register-bureau", "--application", &application, "--valid-days", "30", "--json"];
    let out = scene.kms_as("chen-jie", server, &arguments).good();
    let view: serde_json::Value = serde_json::from_str(&out).unwrap();
    view["plan_id"].as_str().unwrap().to_owned()
}

fn approve(scene: &Scene, server: &Server, who: &str, plan: &str) -> crate::harness::Run {
    scene.kms_as(who, server, &["ceremony", "approve", plan, "--yes-digest", plan])
}

#[test]
fn the_requester_the_same_person_twice_and_an_auditor_do_not_count() {
    let scene = Scene::new("ceremonies-persons");
    let server = scene.start("henan");
    let plan = proposal(&scene, &server, "second-bureau");
    approve(&scene, &server, "chen-jie", &plan).refused("requester-cannot-approve");
    approve(&scene, &server, "liu-yang", &plan).good();
    approve(&scene, &server, "liu-yang", &plan).refused("already-decided");
    let auditor = approve(&scene, &server, "zhou-min", &plan);
    assert_ne!(auditor.code, 0, "{auditor:?}");
    // One approval of two: nothing runs.
    scene.kms_as("chen-jie", &server, &["ceremony", "run", &plan]).refused("quorum-not-reached");
    approve(&scene, &server, "sun-li", &plan).good();
    let audit = scene.audit(&server, "export/persons").good();
    assert!(audit.contains("\"refused\""), "refusals are entries: {audit}");
}

#[test]
fn an_approval_of_another_plan_or_instance_or_signer_is_refused() {
    let scene = Scene::new("ceremonies-transfer");
    let server = scene.start("henan");
    let first = proposal(&scene, &server, "second-bureau");
    let second = proposal(&scene, &server, "third-bureau");
    let henan = Origin::new("kms.example/henan/test/log/1").unwrap();
    let nation = Origin::new("kms.example/national/test/log/1").unwrap();
    let decide = |signer: &str, officer: &str, plan: &str, origin: &Origin| {
        let approval = Approval {
            label: Approval::LABEL.to_owned(),
            origin: origin.clone(),
            plan: PlanId::from_digest(Digest::from_hex(plan).unwrap()),
            officer: PersonId::new(officer).unwrap(),
            role: Role::Security,
            decision: Decision::Approve,
            sequence: 1,
        };
        let signature = key_of(&scene, signer).sign(&encoding::encode(&approval).unwrap()).unwrap();
        Signed::assemble(approval, SignatureAlgorithm::Sm2Sm3, &signature).unwrap().bytes().to_vec()
    };
    let key = key_of(&scene, "liu-yang");
    let path = format!("/v1/ceremonies/{first}/decisions");
    for (body, code) in [
        (decide("liu-yang", "liu-yang", &second, &henan), "approval-for-other-plan"),
        (decide("liu-yang", "liu-yang", &first, &nation), "foreign-origin"),
        (decide("sun-li", "liu-yang", &first, &henan), "signature-invalid"),
        (decide("liu-yang", "sun-li", &first, &henan), "signature-invalid"),
    ] {
        let answer = signed(&server, &key, "POST", &path, &body);
        assert_eq!(answer.problem(), code);
    }
    let mut damaged = decide("liu-yang", "liu-yang", &first, &henan);
    damaged.push(0);
    let answer = signed(&server, &key, "POST", &path, &damaged);
    assert!(answer.status == 400 || answer.status == 422, "{answer:?}");
    let good = decide("liu-yang", "liu-yang", &first, &henan);
    assert_eq!(signed(&server, &key, "POST", &path, &good).status, 200);
    // A decision signed without a network is its signer's, whoever carries it in.
    let carried = decide("sun-li", "sun-li", &first, &henan);
    assert_eq!(signed(&server, &key, "POST", &path, &carried).status, 200);
    let shown = scene.kms_as("chen-jie", &server, &["ceremony", "show", &first, "--json"]).good();
    assert!(shown.contains("\"sun-li\""), "{shown}");
}

#[test]
fn one_officer_stops_what_others_approved() {
    let scene = Scene::new("ceremonies-stop");
    let server = scene.start("henan");
    let plan = proposal(&scene, &server, "second-bureau");
    approve(&scene, &server, "liu-yang", &plan).good();
    approve(&scene, &server, "sun-li", &plan).good();
    scene.kms_as("sun-li", &server, &["ceremony", "reject", &plan, "--yes-digest", &plan]).good();
    let _ = scene.kms_as("chen-jie", &server, &["ceremony", "run", &plan]);
    let shown = scene.kms_as("chen-jie", &server, &["ceremony", "show", &plan, "--json"]).good();
    let view: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(view["phase"], "rejected", "{shown}");
    assert!(view["steps"].as_array().unwrap().iter().all(|step| step["state"] == "ready"), "nothing began: {shown}");
    scene.audit(&server, "export/stopped").good();
}

#[test]
fn a_wrong_yes_signs_nothing() {
    let scene = Scene::new("ceremonies-yes");
    let server = scene.start("henan");
    let plan = proposal(&scene, &server, "second-bureau");
    let other = "0".repeat(64);
    let refused = scene.kms_as("liu-yang", &server, &["ceremony", "approve", &plan, "--yes-digest", &other]);
    assert_ne!(refused.code, 0, "{refused:?}");
    // Nobody at the keyboard says nothing, which is not Yes.
    let silent = scene.kms_as("liu-yang", &server, &["ceremony", "approve", &plan]);
    assert_ne!(silent.code, 0, "{silent:?}");
    let shown = scene.kms_as("chen-jie", &server, &["ceremony", "show", &plan, "--json"]).good();
    let view: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(view["decisions"].as_array().unwrap().len(), 0, "{shown}");
}

#[test]
fn a_plan_outlives_neither_its_log_span_nor_its_ceremony() {
    let scene = Scene::new("ceremonies-over");
    let server = scene.start("henan");
    let plan = proposal(&scene, &server, "second-bureau");
    scene.kms_as("chen-jie", &server, &["ceremony", "abort", &plan]).good();
    approve(&scene, &server, "liu-yang", &plan).refused("ceremony-not-open");
    let unknown = "1".repeat(64);
    let run = scene.kms_as("chen-jie", &server, &["ceremony", "run", &unknown]);
    run.refused("plan-unknown");
}
