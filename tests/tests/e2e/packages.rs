//! A package that somebody changed: every part, every layer.

use std::path::Path;

use crate::harness::Scene;

/// Where the parts lie, and how a refusal names them.
const PARTS: &[(&str, &str)] = &[
    ("manifest.der", "manifest"),
    ("proof.der", "proof of release"),
    ("transport-key.der", "sealed transport key"),
    ("profile.toml", "profile.toml"),
    ("chunks/00000.der", "chunk 0"),
    ("chunks/00001.der", "chunk 1"),
    ("chunks/00002.der", "chunk 2"),
];

fn damage(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    let at = at % bytes.len();
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_flipped_bit_is_found_and_the_part_is_named() {
    let scene = Scene::new("packages-flipped");
    scene.verify("package").good();
    for (file, part) in PARTS {
        let path = scene.dir.join("package").join(file);
        let whole = std::fs::read(&path).unwrap();
        for at in [0, 1, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
            damage(&path, at);
            scene.verify("package").refused(part);
            std::fs::write(&path, &whole).unwrap();
        }
        std::fs::remove_file(&path).unwrap();
        let missing = scene.verify("package");
        assert_ne!(missing.code, 0, "{file} is missing: {missing:?}");
        std::fs::write(&path, &whole).unwrap();
    }
    scene.verify("package").good();
}

#[test]
fn open_refuses_before_it_unwraps() {
    let scene = Scene::new("packages-open");
    for (file, _) in PARTS {
        let path = scene.dir.join("package").join(file);
        let whole = std::fs::read(&path).unwrap();
        damage(&path, whole.len() / 2);
        let refused = scene.open("package", "refused");
        assert_ne!(refused.code, 0, "{file}: {refused:?}");
        assert!(!refused.out.contains("transport key is in the token"), "{file}: {refused:?}");
        assert!(!scene.dir.join("refused/personalization.csv").exists(), "{file}: records were written");
        std::fs::write(&path, whole).unwrap();
    }
    scene.open("package", "opened").good();
}

#[test]
fn exchanged_keys_and_chunks_are_found() {
    let scene = Scene::new("packages-exchanged");
    let chunk = scene.dir.join("package/chunks/00000.der");
    let whole = std::fs::read(&chunk).unwrap();
    // Wrapped keys are the OCTET STRINGs of 24 bytes.
    let places: Vec<usize> =
        whole.windows(2).enumerate().filter(|(_, pair)| *pair == [0x04, 24]).map(|(at, _)| at + 2).collect();
    let mut swapped = whole.clone();
    for byte in 0..24 {
        swapped.swap(places[0] + byte, places[57] + byte);
    }
    assert_ne!(swapped, whole);
    std::fs::write(&chunk, swapped).unwrap();
    scene.verify("package").refused("chunk 0");
    std::fs::write(&chunk, &whole).unwrap();
    let other = scene.dir.join("package/chunks/00001.der");
    let second = std::fs::read(&other).unwrap();
    std::fs::write(&chunk, &second).unwrap();
    std::fs::write(&other, &whole).unwrap();
    scene.verify("package").refused("chunk 0");
}

#[test]
fn parts_of_two_packages_do_not_mix() {
    let scene = Scene::new("packages-mixed");
    let server = scene.start("henan");
    scene.card_list("mine.csv", 0, 3);
    scene.issue(&server, "mine.csv", "mine");
    for file in ["manifest.der", "proof.der", "chunks/00000.der"] {
        let path = scene.dir.join("mine").join(file);
        let own = std::fs::read(&path).unwrap();
        std::fs::copy(scene.dir.join("package").join(file), &path).unwrap();
        scene.verify("mine").refused("THE PACKAGE DOES NOT HOLD");
        std::fs::write(&path, own).unwrap();
    }
    scene.verify("mine").good();
}

#[test]
fn another_instances_anchor_verifies_nothing() {
    let scene = Scene::new("packages-anchor");
    let other = scene.kms(&["batch", "verify", "package", "--anchor", "national/anchor.der"]);
    other.refused("manifest");
    let anchor = scene.dir.join("henan/anchor.der");
    damage(&anchor, 200);
    let damaged = scene.verify("package");
    assert_ne!(damaged.code, 0, "{damaged:?}");
}
