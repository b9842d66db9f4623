//! The independent decoder (`tests/independent`, Python and `openssl`) against documents made here.
//!
//! Not a whole system: that is the story `independent` of the end-to-end tests. Guards: docs/formats.md,
//! which the decoder was written from, says what the code writes, for every type and alternative.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be; the lints' exception covers test functions only"
)]

mod bundle;
mod sample;

use std::path::Path;
use std::process::Command;

fn decode(arguments: &[&str]) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("independent/decode.py");
    let done = Command::new("python3").arg("-B").arg(script).args(arguments).output().expect("python3");
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    (done.status.success(), text)
}

#[test]
fn decoder_reads_every_document_and_alternative() {
    let folder = tempfile::tempdir().unwrap();
    let written = sample::write_all(folder.path());
    let (good, text) = decode(&["samples", folder.path().to_str().unwrap()]);
    assert!(good && text.contains(&format!("{written} documents")), "{text}");
}

#[test]
fn decoder_opens_a_package_and_recomputes_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let made = bundle::write(folder.path(), &bundle::Fault::None);
    let (good, text) = decode(&made.arguments(60));
    assert!(good, "{text}");
    assert!(text.contains("recomputed from the root components: 35 of 35 card keys are equal"), "{text}");
    assert!(text.contains("refused, as it must be"), "{text}");
}

#[test]
fn decoder_refuses_a_signed_lie() {
    for (fault, part) in [
        (bundle::Fault::WrongKey, "card keys"),
        (bundle::Fault::WrongCheckValue, "check value"),
        (bundle::Fault::RecordOfAnotherCard, "records"),
        (bundle::Fault::WrappedUnderAnotherKey, "card keys"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let made = bundle::write(folder.path(), &fault);
        let (good, text) = decode(&made.arguments(0));
        assert!(!good && text.contains("REFUSED") && text.contains(part), "{part}: {text}");
    }
}

/// The commands of docs/formats.md, section 12, as they stand there.
#[test]
fn commands_of_the_formats_page_work() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/formats.md");
    let page = std::fs::read_to_string(page).unwrap();
    let script = page.split("## 12 By hand").nth(1).unwrap().split("```bash\n").nth(1).unwrap();
    let script = script.split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let made = bundle::write(folder.path(), &bundle::Fault::None);
    let done = Command::new("bash")
        .args(["-eu", "-o", "pipefail", "-c", script])
        .current_dir(folder.path())
        .env("P", &made.package)
        .env("A", &made.anchor)
        .env("K", &made.bureau_key)
        .output()
        .expect("bash");
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{text}");
    assert_eq!(text.matches("Verified OK").count(), 3, "{text}");
    for line in ["chunk 0 is in the manifest", "transport key has check value", "is authentic", "example holds"] {
        assert!(text.contains(line), "{line}: {text}");
    }
}
