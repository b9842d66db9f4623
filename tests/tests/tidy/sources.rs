//! How source files look.

use crate::tree;

/// Longest file, in lines.
const LINES_MAX: usize = 400;

/// Longer files, each with its reason.
const LONG: &[(&str, &str)] = &[
    ("kms-core/src/plan.rs", "one document: its types are read side by side with docs/formats.md"),
];

/// Where `unsafe` may stand: the C boundary from both sides, and the process limits of the worker.
const UNSAFE: &[&str] = &[
    "hsm-sim/src/ffi.rs",
    "hsm-sim/src/ffi/",
    "hsm-sim/tests/",
    "kms-hsm/src/lockdown.rs",
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
    for source in tree::ending("/mod.rs") {
        panic!("{}: a module's file has the module's name", source.path);
    }
}

#[test]
fn unsafe_is_fenced_and_explained() {
    for source in tree::ending(".rs") {
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let block = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|word| code.contains(word));
            if !block || code.contains('"') {
                continue;
            }
            let here = format!("{}:{}", source.path, number + 1);
            assert!(UNSAFE.iter().any(|part| source.path.starts_with(part)), "{here}: unsafe outside the fence");
            // A type of a C function pointer promises nothing; a block, function or impl does.
            let before = &lines[number.saturating_sub(SAFETY_LINES)..=number];
            let explained = before.iter().any(|line| line.contains("SAFETY") || line.contains("# Safety"));
            assert!(explained || code.contains("unsafe extern \"C\" fn("), "{here}: unsafe without SAFETY");
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
            let bare = code.starts_with("#[allow(") || code.starts_with("#![allow(");
            assert!(!bare, "{here}: #[expect(…, reason)], never #[allow]");
            if code.starts_with("#[expect(") || code.starts_with("#![expect(") {
                let attribute = lines[number..lines.len().min(number + 6)].join(" ");
                let end = attribute.find(")]").unwrap_or(attribute.len());
                assert!(attribute[..end].contains("reason"), "{here}: #[expect] without a reason");
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
