//! Batch requests that no honest `kms` would send, and a bureau whose time is over.

use kms_core::digest::Digest;
use kms_core::document::BatchRequest;
use kms_core::encoding::{self, Document, Signed};
use kms_core::id::{BatchId, BureauId, Origin, ProfileId};
use kms_core::keys::SignatureAlgorithm;
use kms_core::package::list_commitment;
use kms_core::secret::Pin;
use kms_core::sm2::SecretKey;

use crate::harness::{BUREAU, Scene, Server, card_factor, card_number, program};
use crate::http::Answer;
use crate::requests::{key_of, signed};

const SALT: [u8; 32] = [9; 32];

fn bureau_key(scene: &Scene, folder: &str) -> SecretKey {
    let read = |name: String| std::fs::read_to_string(scene.dir.join(name)).unwrap();
    let password = Pin::new(read("bureau/password".to_owned()).trim_end().as_bytes().to_vec()).unwrap();
    SecretKey::from_pkcs8_encrypted_pem(&read(format!("{folder}/signing.pem")), &password).unwrap()
}

fn profile(scene: &Scene) -> Digest {
    Digest::of(&std::fs::read(scene.dir.join("package/profile.toml")).unwrap())
}

/// A request of the scene's bureau for one card, right in every point.
fn right(scene: &Scene, list: &str) -> BatchRequest {
    BatchRequest {
        label: BatchRequest::LABEL.to_owned(),
        origin: Origin::new("kms.example/henan/test/log/1").unwrap(),
        bureau: BureauId::new(BUREAU).unwrap(),
        batch: BatchId::from_bytes([3; 16]),
        profile_id: ProfileId::new("resident-health-card").unwrap(),
        profile: profile(scene),
        cards: 1,
        replacements: 0,
        list: list_commitment(&SALT, list.as_bytes()),
        created_ms: 1,
    }
}

fn submit(server: &Server, key: &SecretKey, request: BatchRequest, list: &str) -> Answer {
    let signature = key.sign(&encoding::encode(&request).unwrap()).unwrap();
    let request = Signed::assemble(request, SignatureAlgorithm::Sm2Sm3, &signature).unwrap();
    let body = kms_api::body::BatchSubmit {
        request: kms_api::text::Base64(request.bytes().to_vec()),
        salt: kms_api::text::Hex(SALT),
        cards: list.to_owned(),
    };
    signed(server, key, "POST", "/v1/batches", &serde_json::to_vec(&body).unwrap())
}

fn one_card() -> String {
    format!("card_number,factor\n{},{}\n", card_number(0), card_factor(0))
}

#[test]
fn a_request_must_agree_with_its_list_and_with_the_instance() {
    let scene = Scene::new("submissions-differ");
    let server = scene.start("henan");
    let key = bureau_key(&scene, "bureau/keys");
    let list = one_card();
    let change = |change: &dyn Fn(&mut BatchRequest)| {
        let mut request = right(&scene, &list);
        change(&mut request);
        submit(&server, &key, request, &list).problem()
    };
    assert_eq!(change(&|r| r.profile = Digest::of(b"no such profile")), "profile-unknown");
    assert_eq!(change(&|r| r.list = Digest::of(b"another list")), "card-list-differs");
    assert_eq!(change(&|r| r.cards = 2), "document-mismatch");
    assert_eq!(change(&|r| r.replacements = 1), "document-mismatch");
    assert_eq!(change(&|r| r.origin = Origin::new("kms.example/national/test/log/1").unwrap()), "document-mismatch");
    let other = change(&|r| r.bureau = BureauId::new("somebody-else").unwrap());
    assert!(other == "not-the-owner" || other == "document-mismatch" || other == "bureau-unknown", "{other}");
    let mut scene_batch = right(&scene, &list);
    let view: serde_json::Value =
        serde_json::from_slice(&std::fs::read(scene.dir.join("summary.json")).unwrap()).unwrap();
    scene_batch.batch = BatchId::from_hex(view["batch"].as_str().unwrap()).unwrap();
    assert_eq!(submit(&server, &key, scene_batch, &list).problem(), "batch-known");
    let answer = submit(&server, &key, right(&scene, &list), &list);
    assert_eq!(answer.status, 200, "{answer:?}");
    scene.audit(&server, "export/differ").good();
}

#[test]
fn the_server_reads_card_lists_as_strictly_as_the_command() {
    let scene = Scene::new("submissions-lines");
    let server = scene.start("henan");
    let key = bureau_key(&scene, "bureau/keys");
    let list = format!("card_number,factor\n{}", "nonsense\n".repeat(150));
    let answer = submit(&server, &key, right(&scene, &list), &list);
    assert_eq!((answer.status, answer.problem().as_str()), (422, "card-list-invalid"));
    let problem = answer.json();
    assert_eq!(problem["errors"].as_array().unwrap().len(), 100);
    assert_eq!(problem["errors_total"], 150);
    assert_eq!(problem["errors"][0]["line"], 2);
    assert_eq!(problem["errors"][99]["line"], 101);
}

#[test]
fn a_bureau_whose_registration_ended_gets_nothing() {
    let scene = Scene::new("submissions-expired");
    let server = scene.start("henan");
    let module = program("libhsm_sim.so");
    let token = ["--module", module.to_str().unwrap(), "--map", "policies/hsm/hsm-sim.toml"];
    let mut init = vec!["bureau", "init", "--id", "short-lived", "--name", "Short", "--dir", "short"];
    init.extend(["--password-file", "bureau/password", "--token", "bureau"]);
    init.extend(["--pin-file", "bureau/pin", "--so-pin-file", "bureau/so-pin"]);
    init.extend(token);
    scene.kms_at("bureau", &init).good();

    // The command counts in days; the interface in milliseconds.
    let end = std::time::SystemTime::now() + std::time::Duration::from_secs(8);
    let end_ms = end.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let application = kms_api::text::Base64(std::fs::read(scene.dir.join("short/application.der")).unwrap());
    let proposal = serde_json::json!({
        "operation": "register-bureau", "application": application, "valid_until_ms": u64::try_from(end_ms).unwrap(),
    });
    let officer = key_of(&scene, "chen-jie");
    let answer = signed(&server, &officer, "POST", "/v1/ceremonies", &serde_json::to_vec(&proposal).unwrap());
    assert_eq!(answer.status, 200, "{answer:?}");
    let plan = answer.json()["plan_id"].as_str().unwrap().to_owned();
    for officer in ["liu-yang", "sun-li"] {
        scene.kms_as(officer, &server, &["ceremony", "approve", &plan, "--yes-digest", &plan]).good();
    }
    scene.kms_as("chen-jie", &server, &["ceremony", "run", &plan]).good();
    let mut trust = vec!["ceremony", "trust", &plan, "--anchor", "henan/anchor.der", "--token", "henan"];
    trust.extend(["--so-pin-file", "henan/so-pin", "--yes-digest", &plan, "--config", "henan/liu-yang.toml"]);
    trust.extend(["--server", &server.url]);
    trust.extend(token);
    scene.kms_at("henan", &trust).good();
    scene.kms_as("chen-jie", &server, &["ceremony", "run", &plan]).good();

    std::thread::sleep(end.duration_since(std::time::SystemTime::now()).unwrap_or_default());
    let list = one_card();
    let mut request = right(&scene, &list);
    request.bureau = BureauId::new("short-lived").unwrap();
    let answer = submit(&server, &bureau_key(&scene, "short"), request, &list);
    assert_eq!((answer.status, answer.problem().as_str()), (409, "bureau-expired"), "{answer:?}");
    let log = scene.audit(&server, "export/expired").good();
    assert!(log.contains("\"refused\""), "{log}");
}
