//! The scene's package and logs, read by the decoder in `tests/independent`: Python and `openssl`,
//! which share no code with us.

use std::path::Path;
use std::process::Command;

use crate::harness::{CARDS, Scene};

fn decode(scene: &Scene, arguments: &[&str]) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("independent/decode.py");
    let done = Command::new("python3")
        .arg("-B")
        .arg(script)
        .args(arguments)
        .current_dir(&scene.dir)
        .output()
        .expect("python3");
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    (done.status.success(), text)
}

#[test]
fn every_card_key_is_recomputed_from_the_root_components() {
    let scene = Scene::new("independent-package");
    let summary: serde_json::Value =
        serde_json::from_slice(&std::fs::read(scene.dir.join("summary.json")).unwrap()).unwrap();
    let place = |name: &str| summary[name].as_str().unwrap_or_else(|| panic!("{name} in summary.json")).to_owned();
    assert_eq!(summary["cards"], CARDS);
    assert_eq!(summary["keys"], CARDS * 57);
    let (package, anchor, receipt) = (place("package"), place("trust_anchor"), place("receipt"));
    let components = "custodians/root-components.txt";
    let arguments = [
        "package",
        &package,
        "--anchor",
        &anchor,
        "--receipt",
        &receipt,
        "--signing-key",
        "bureau/keys/signing.pub.pem",
        "--bureau-key",
        "bureau/known-key.pem",
        "--encryption-key",
        "bureau/known-key.pem",
        "--root-components",
        components,
        "--flip",
        "120",
    ];
    let (good, text) = decode(&scene, &arguments);
    assert!(good, "{text}");
    let all = CARDS * 57;
    assert!(
        text.contains(&format!("recomputed from the root components: {all} of {all} card keys are equal")),
        "{text}"
    );
    assert!(text.contains("refused, as it must be"), "{text}");
}

#[test]
fn both_logs_hold_for_the_decoder_too() {
    let scene = Scene::new("independent-logs");
    for (export, anchor) in [("export/national", "national/anchor.der"), ("export/henan", "henan/anchor.der")] {
        let (good, text) = decode(&scene, &["log", export, "--anchor", anchor]);
        assert!(good && text.contains("under the signed root"), "{export}: {text}");
    }
    let (good, text) = decode(&scene, &["log", "export/henan", "--anchor", "national/anchor.der"]);
    assert!(!good, "{text}");
}

/// A client that somebody wrote from docs/formats.md, section 13.
#[test]
fn a_request_signed_with_openssl_is_understood() {
    let scene = Scene::new("independent-request");
    let server = scene.start("henan");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("independent/request.py");
    for (target, words) in [("/v1/status", "person:zhou-min"), ("/v1/log/proof?index=3", "KMS-INCLUSION/1")] {
        let done = Command::new("python3")
            .arg("-B")
            .arg(&script)
            .args([&server.url, target, "henan/zhou-min.pem", "henan/zhou-min.password"])
            .current_dir(&scene.dir)
            .output()
            .expect("python3");
        let text = String::from_utf8_lossy(&done.stdout);
        assert!(text.starts_with("200") && text.contains(words), "{target}: {done:?}");
    }
}

#[test]
fn summary_names_files_that_exist() {
    let scene = Scene::new("independent-summary");
    let summary: serde_json::Value =
        serde_json::from_slice(&std::fs::read(scene.dir.join("summary.json")).unwrap()).unwrap();
    for name in ["package", "receipt", "trust_anchor", "log_export"] {
        let path = summary[name].as_str().unwrap();
        assert!(!path.starts_with('/') && scene.dir.join(path).exists(), "{name}: {path}");
    }
    for name in ["profile_digest", "bureau_key_id"] {
        assert_eq!(summary[name].as_str().unwrap().len(), 64, "{name}");
    }
    let listed = std::fs::read_to_string(scene.dir.join("cards.csv")).unwrap();
    assert!(listed.lines().skip(1).all(|line| line.starts_with("999999")), "synthetic cards are of no region");
}
