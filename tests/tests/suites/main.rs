//! The whole story in every suite and wrap, by `kms quickstart`: SoftHSM in suite intl, hsm-sim in the numberings of makes
//! that have no key wrap, and with SM1 keys. What comes out is read by the decoder in `tests/independent`.
//!
//! Few cards: what is tested is the kind of keys, not their number.
#![expect(clippy::unwrap_used, reason = "a story stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CARDS: usize = 3;
const SLOTS: usize = 57;

/// One quickstart in a folder of its own.
struct Story {
    folder: tempfile::TempDir,
    told: String,
}

/// A program of ours, built beside the tests.
fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let found = tests.parent().and_then(Path::parent).unwrap().join(name);
    assert!(found.exists(), "{} is missing: run `make build` first", found.display());
    found
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies").canonicalize().unwrap()
}

/// `kms quickstart` with these options, in `folder/story`.
fn quickstart(folder: &Path, options: &[&str]) -> Output {
    let softhsm = folder.join("softhsm2.conf");
    std::fs::create_dir_all(folder.join("tokens-of-the-user")).unwrap();
    let own = format!("directories.tokendir = {}\n", folder.join("tokens-of-the-user").display());
    std::fs::write(&softhsm, own).unwrap();
    // Where `kms quickstart` looks for the shipped ones.
    std::os::unix::fs::symlink(policies(), folder.join("policies")).unwrap();
    Command::new(program("kms"))
        .args(["quickstart", "--dir", "story", "--count", &CARDS.to_string()])
        .args(options)
        .current_dir(folder)
        .env("SOFTHSM2_CONF", softhsm)
        .output()
        .unwrap()
}

impl Story {
    fn tell(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-out", "bureau.pem"];
        assert!(Command::new("openssl").args(key).current_dir(&folder).status().unwrap().success());
        let output = quickstart(folder.path(), options);
        let told = said(&output);
        assert!(output.status.success(), "{options:?}: {told}");
        let stray = std::fs::read_dir(folder.path().join("tokens-of-the-user")).unwrap().count();
        assert_eq!(stray, 0, "the user's own tokens were touched");
        Self { folder, told }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("story").join(name)
    }

    fn summary(&self, name: &str) -> serde_json::Value {
        let bytes = std::fs::read(self.path("summary.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()[name].clone()
    }

    /// What the decoder says of the package and of both logs; it must find everything in order.
    fn decoded(&self, more: &[&str]) -> String {
        let (good, text) = self.decode(
            &[
                &["package", "package", "--anchor", "henan/anchor.der", "--receipt", "package/receipt.der"],
                &["--signing-key", "bureau/keys/signing.pub.pem", "--flip", "20"][..],
                more,
            ]
            .concat(),
        );
        assert!(good, "{text}");
        for place in ["national", "henan"] {
            let (good, text) =
                self.decode(&["log", &format!("export/{place}"), "--anchor", &format!("{place}/anchor.der")]);
            assert!(good && text.contains("under the signed root"), "{place}: {text}");
        }
        text
    }

    fn decode(&self, arguments: &[&str]) -> (bool, String) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("independent/decode.py");
        let output =
            Command::new("python3").arg("-B").arg(script).args(arguments).current_dir(self.path("")).output().unwrap();
        (output.status.success(), said(&output))
    }

    /// Digits of the wrapped keys in the records for the personalization machine.
    fn wrapped_digits(&self) -> Vec<usize> {
        let csv = std::fs::read_to_string(self.path("personalization/personalization.csv")).unwrap();
        csv.lines().skip(1).map(|row| row.split(',').nth(9).unwrap().len()).collect()
    }

    /// Everything that was shown, with what the screen left out.
    fn transcript(&self) -> String {
        std::fs::read_to_string(self.path("transcript.txt")).unwrap()
    }
}

/// The records are sealed to a software key in every suite.
const RECORDS: [&str; 4] = ["--encryption-key", "bureau/keys/encryption.pem", "--password-file", "bureau/password"];

#[test]
fn softhsm_tells_the_whole_story_in_suite_intl() {
    let story = Story::tell(&["--suite", "intl"]);
    assert_eq!((story.summary("suite"), story.summary("wrap")), ("intl".into(), "rfc3394".into()));
    assert_eq!(story.summary("keys"), CARDS * SLOTS);
    assert_eq!(story.summary("root_components"), serde_json::Value::Null);
    assert_eq!(story.wrapped_digits(), vec![48; CARDS * SLOTS]);
    let transcript = story.transcript();
    for words in [
        "suite of its HSM       intl: signatures ECDSA P-256, sealing RSA-OAEP, card keys AES-128",
        "algorithm of the keys  AES-128, where the profile says SM4",
        "none: this make of HSM combines no components",
        "NOT compared with its check value (this make shows none of an unwrapped key)",
        "the others NOT: this make shows no check value of an unwrapped key",
    ] {
        assert!(transcript.contains(words), "{words}: {transcript}");
    }
    assert!(!story.told.contains("ustodians bring"), "there are no custodians: {}", story.told);
    let text = story.decoded(&RECORDS);
    assert!(text.contains(&format!("records decrypted, commitments open: {CARDS}")), "{text}");
}

#[test]
fn makes_without_a_key_wrap_tell_the_whole_story() {
    for map in ["ibm-ep11", "sansec"] {
        let story = Story::tell(&["--map", map, "--bureau-key", "bureau.pem"]);
        assert_eq!((story.summary("suite"), story.summary("wrap")), ("sm".into(), "ecb".into()), "{map}");
        assert_eq!(story.wrapped_digits(), vec![32; CARDS * SLOTS], "{map}");
        assert!(story.transcript().contains("the signed Merkle leaf alone binds each key"), "{map}");
        let known = "bureau/known-key.pem";
        let text = story.decoded(&["--encryption-key", known, "--bureau-key", known]);
        let opened = format!("transport key opened, {} card keys unwrapped", CARDS * SLOTS);
        assert!(text.contains(&opened) && text.contains("check values agree"), "{map}: {text}");

        // The same package in a bureau whose HSM unwraps otherwise.
        let other = policies().join("hsm/hsm-sim.toml");
        let open = ["batch", "open", "package", "--anchor", "henan/anchor.der", "--out", "again"];
        let output = Command::new(program("kms"))
            .args(open)
            .args(["--config", "bureau/kms.toml", "--map"])
            .arg(other)
            .current_dir(story.path(""))
            .output()
            .unwrap();
        let said = said(&output);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("the wrap of the package is ecb, your HSM's vendor map says rfc3394"), "{said}");
    }
}

#[test]
fn keys_of_sm1_tell_the_whole_story() {
    let story = Story::tell(&["--map", "hsm-sim-sm1"]);
    let transcript = story.transcript();
    assert!(transcript.contains("algorithm of the keys  SM1"), "{transcript}");
    let text = story.decoded(&RECORDS);
    assert!(text.contains("signatures, digests, roots and log inclusion hold"), "{text}");
}

#[test]
fn a_make_that_lacks_something_is_refused_before_anything_starts() {
    for (map, words) in [
        ("luna", "the vendor map luna has no number for"),
        ("tass", "the vendor map tass has no number for"),
        ("koal", "the vendor map koal has no number for"),
        ("westone", "the vendor map westone has no number for"),
        ("nobody", "there is no vendor map nobody"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = quickstart(folder.path(), &["--map", map]);
        let said = said(&output);
        assert!(!output.status.success() && said.contains(words) && said.contains("what to do"), "{said}");
        assert!(!folder.path().join("story").exists(), "{map}: something was made");
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("components"), "00112233445566778899aabbccddeeff\n".repeat(2)).unwrap();
    let output = quickstart(folder.path(), &["--map", "sansec", "--root-components", "components"]);
    assert!(said(&output).contains("combine no root components"), "{}", said(&output));
}
