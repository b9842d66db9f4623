//! What exists for tests is refused where it is serious.

use getrandom::SysRng;
use kms_core::digest::Digest;
use kms_core::document::TrustAnchor;
use kms_core::encoding::{self, Document, Signed};
use kms_core::id::{Origin, PlanId, RegionCode};
use kms_core::keys::SignatureAlgorithm;
use kms_core::plan::{Environment, Level};
use kms_core::sm2::SecretKey;

use crate::harness::{Scene, program};

/// A production anchor that nobody has, but that is well-formed and signed by its own key.
fn production_anchor(scene: &Scene) {
    let key = SecretKey::generate(&mut SysRng).unwrap();
    let anchor = TrustAnchor {
        label: TrustAnchor::LABEL.to_owned(),
        origin: Origin::new("kms.example/henan/log/1").unwrap(),
        environment: Environment::Production,
        level: Level::Provincial,
        region: RegionCode::new("410000").unwrap(),
        genesis: PlanId::from_digest(Digest::of(b"genesis")),
        hsm_serial: "1".to_owned(),
        log_key: (*key.public()).into(),
        instance_key: (*key.public()).into(),
        import_key: (*key.public()).into(),
        component_key: Some((*key.public()).into()),
    };
    let signature = key.sign(&encoding::encode(&anchor).unwrap()).unwrap();
    let signed = Signed::assemble(anchor, SignatureAlgorithm::Sm2Sm3, &signature).unwrap();
    std::fs::write(scene.dir.join("production.der"), signed.bytes()).unwrap();
}

#[test]
fn a_known_bureau_key_is_for_test_instances() {
    let scene = Scene::new("production-bureau");
    production_anchor(&scene);
    let module = program("libhsm_sim.so");
    let arguments = [
        "bureau",
        "init",
        "--id",
        "b",
        "--name",
        "B",
        "--dir",
        "b",
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
        "--bureau-key",
        "bureau/known-key.pem",
        "--anchor",
        "production.der",
    ];
    scene.kms_at("bureau", &arguments).refused("PRODUCTION");
}

#[test]
fn a_root_component_from_a_file_is_for_test_instances() {
    let scene = Scene::new("production-component");
    production_anchor(&scene);
    let server = scene.start("national");
    let plan = "0".repeat(64);
    let arguments = [
        "ceremony",
        "component",
        "hand-in",
        &plan,
        "--anchor",
        "production.der",
        "--value-file",
        "custodians/zhang-wei.component",
        "--yes-digest",
        &plan,
        "--config",
        "national/zhang-wei.toml",
        "--server",
        &server.url,
    ];
    scene.kms(&arguments).refused("PRODUCTION");
}

#[test]
fn a_production_instance_refuses_the_simulator() {
    let scene = Scene::new("production-token");
    scene.edit("henan/server.toml", "environment = \"test\"", "environment = \"production\"");
    // Founded as test, configured as production: never.
    let log = scene.try_start("henan").err().expect("another environment than it was founded with");
    assert!(log.contains("environment"), "{log}");
    // Never founded: the token alone decides.
    std::fs::remove_dir_all(scene.dir.join("henan/data")).unwrap();
    match scene.try_start("henan") {
        Err(log) => assert!(log.contains("not accepted for production"), "{log}"),
        Ok(server) => {
            let draft =
                ["genesis", "draft", "--people", "henan/people.toml", "--out", "p.der", "--server", &server.url];
            scene.kms(&draft).refused("software-token");
        }
    }
}
