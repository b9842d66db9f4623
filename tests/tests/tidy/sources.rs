//! How source files look.

use crate::tree;

/// Longest file, in lines.
const LINES_MAX: usize = 400;

/// Longer files, each with its reason.
const LONG: &[(&str, &str)] = &[];

/// Where `unsafe` may stand: the C boundary from both sides, and the process limits of the worker.
const UNSAFE: &[&str] = &[
    "hsm-sim/src/ffi.rs",
    "hsm-sim/src/ffi/",
    "hsm-sim/src/storage/generation.rs",
    "hsm-sim/tests/",
    "kms-hsm/benches/issue/",
    "kms-hsm/src/lockdown.rs",
    "kms-hsm/tests/faulty-module/",
    "kms-hsm/tests/hostile-module/",
    "kms-hsm/src/raw.rs",
    "kms-hsm/src/raw/",
];

/// Lines above an `unsafe` in which its SAFETY comment may begin.
const SAFETY_LINES: usize = 8;

#[test]
fn every_file_says_what_it_is() {
    for source in tree::ending(".rs") {
        assert!(source.text.starts_with("//! "), "{} does not open with //!", source.path);
    }
}

#[test]
fn no_file_is_too_long() {
    let mut long = Vec::new();
    for source in tree::ending(".rs") {
        let lines = source.text.lines().count();
        let excused = LONG.iter().any(|(path, _)| *path == source.path);
        if lines > LINES_MAX && !excused {
            long.push(format!("{} has {lines} lines", source.path));
        }
        assert!(!excused || lines > LINES_MAX, "{} needs no exception any more", source.path);
    }
    assert!(long.is_empty(), "a file that passes {LINES_MAX} lines becomes a folder of its name:\n{}", long.join("\n"));
}

#[test]
fn no_mod_rs() {
    let found: Vec<String> = tree::ending("/mod.rs").into_iter().map(|source| source.path).collect();
    assert!(found.is_empty(), "a module's file has the module's name: {found:?}");
}

#[test]
fn unsafe_is_fenced_and_explained() {
    for source in tree::ending(".rs") {
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let words = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
            if !words.iter().any(|word| code.contains(word)) || code.contains("contains(") || code.contains("words") {
                continue;
            }
            let here = format!("{}:{}", source.path, number + 1);
            assert!(UNSAFE.iter().any(|part| source.path.starts_with(part)), "{here}: unsafe outside the fence");
            // A signature promises to its callers; a block or an impl is where a promise is kept.
            if code.contains("unsafe {") || code.contains("unsafe impl") {
                let before = &lines[number.saturating_sub(SAFETY_LINES)..=number];
                assert!(before.iter().any(|line| line.contains("SAFETY")), "{here}: unsafe without SAFETY");
            }
        }
    }
}

#[test]
fn no_vague_names() {
    for source in tree::ending(".rs") {
        let stem = source.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        assert!(!["utils", "util", "misc", "common", "helpers"].contains(&stem), "{}", source.path);
    }
}

#[test]
fn lint_exceptions_have_reasons() {
    for source in tree::ending(".rs") {
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            let here = format!("{}:{}", source.path, number + 1);
            let starts = ["#[allow(", "#![allow(", "#[expect(", "#![expect("];
            if starts.iter().any(|start| code.starts_with(start)) {
                let attribute = lines[number..lines.len().min(number + 6)].join(" ");
                let end = attribute.find(")]").unwrap_or(attribute.len());
                assert!(attribute[..end].contains("reason"), "{here}: an exception to a lint without a reason");
            }
        }
    }
}

/// The project stands by itself: no machine's paths and no package host in it.
#[test]
fn no_foreign_names() {
    let hosts = [("crates", "io"), ("pypi", "org"), ("npmjs", "com"), ("debian", "org"), ("goproxy", "io")];
    let hosts: Vec<String> = hosts.iter().map(|(name, top)| format!("{name}.{top}")).collect();
    let folders: Vec<String> = ["work", "home", "root"].iter().map(|name| format!("/{name}/")).collect();
    for source in tree::all().iter().filter(|s| s.path != "Cargo.lock") {
        for (number, line) in source.text.lines().enumerate() {
            for word in hosts.iter().chain(&folders) {
                assert!(!line.contains(word.as_str()), "{}:{} names {word}", source.path, number + 1);
            }
        }
    }
}
