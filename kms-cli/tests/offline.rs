//! What `kms` does without a server or an HSM: keys, policy files, plans, refusals and exit codes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use kms_core::digest::Digest;
use kms_core::encoding::{self, Document, Signed};
use kms_core::id::{Actor, Nonce, ObjectId, Origin, PersonId, RegionCode};
use kms_core::plan::{Approval, CreateInstanceKeys, Environment, FoundInstance, Level, Person, Plan, Role, Step};
use kms_core::sm2::PublicKey;
use kms_core::suite::Suite;

const PASSWORD: &str = "correct horse battery staple";

/// A folder, and `kms` run in it.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        desk.secret("password", PASSWORD);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn secret(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn kms(&self, line: &str) -> Output {
        self.kms_told(line, "")
    }

    /// Runs `kms` with `input` on its standard input.
    fn kms_told(&self, line: &str, input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kms"))
            .args(line.split(' '))
            .current_dir(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that asks nothing may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn keygen(&self, id: &str) -> PublicKey {
        let made = self.kms(&format!("officer keygen --id {id} --out {id}.pem --password-file password"));
        assert!(made.status.success(), "{}", stderr(&made));
        PublicKey::from_pem(&fs::read_to_string(self.path(&format!("{id}.pub.pem"))).unwrap()).unwrap()
    }

    /// A genesis plan with these people as officers, written to `plan.der`.
    fn genesis_plan(&self, officers: &[(&str, PublicKey)]) -> Digest {
        let people = officers.iter().map(|(id, key)| Person {
            id: PersonId::new(id).unwrap(),
            name: (*id).to_owned(),
            role: Role::Security,
            key: *key,
        });
        let found = FoundInstance {
            level: Level::National,
            region: RegionCode::nation(),
            suite: Suite::Sm,
            policy: Digest::of(b"policy"),
            rules: Vec::new(),
            cards_max: 1000,
            chunk_cards: 100,
            people: people.collect(),
        };
        let id = |n| ObjectId::from_bytes([n; 16]);
        let keys = CreateInstanceKeys {
            log: id(1),
            instance: id(2),
            import: id(3),
            index: id(5),
            storage: id(6),
            component_import: Some(id(4)),
        };
        let plan = Plan {
            label: Plan::LABEL.to_owned(),
            origin: Origin::new("kms.example/test/log/1").unwrap(),
            environment: Environment::Test,
            nonce: Nonce::from_bytes([7; 16]),
            requester: Actor::Own,
            policy_epoch: 0,
            approvals: 2,
            opened_size: 0,
            opened_root: Digest::of(b""),
            not_before_ms: 1,
            expires_ms: 2,
            max_log_span: 10,
            hsm_serial: "0001".to_owned(),
            steps: vec![Step::FoundInstance(found), Step::CreateInstanceKeys(keys)],
            script: None,
            parent: None,
        };
        let bytes = encoding::encode(&plan).unwrap();
        fs::write(self.path("plan.der"), &bytes).unwrap();
        Digest::of(&bytes)
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// It ends with this code, and says what to do.
fn assert_refused(output: &Output, code: i32, words: &str) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(words), "{words:?} not in {text}");
    assert!(text.contains("what to do: "), "{text}");
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn openssl_reads_the_key_files() {
    let desk = Desk::new();
    desk.keygen("li-wei");
    let private = Command::new("openssl")
        .args(["pkey", "-in", "li-wei.pem", "-passin", "file:password", "-pubout"])
        .current_dir(desk.0.path())
        .output()
        .unwrap();
    assert_eq!(stdout(&private), fs::read_to_string(desk.path("li-wei.pub.pem")).unwrap());
    let mode = fs::metadata(desk.path("li-wei.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_key_is_never_overwritten() {
    let desk = Desk::new();
    desk.keygen("li-wei");
    let before = fs::read(desk.path("li-wei.pem")).unwrap();
    let again = desk.kms("officer keygen --id li-wei --out li-wei.pem --password-file password");
    assert_refused(&again, 3, "exists already");
    assert_eq!(fs::read(desk.path("li-wei.pem")).unwrap(), before);
}

#[test]
fn a_password_file_that_others_read_is_refused() {
    let desk = Desk::new();
    fs::set_permissions(desk.path("password"), fs::Permissions::from_mode(0o640)).unwrap();
    let made = desk.kms("officer keygen --id li-wei --out li-wei.pem --password-file password");
    assert_refused(&made, 3, "may be read by others");
    assert!(!desk.path("li-wei.pem").exists());
}

#[test]
fn the_shipped_policy_files_are_good() {
    let desk = Desk::new();
    let policies = repository().join("policies");
    let profile = desk.kms(&format!("policy check {}/profiles/resident-health-card.toml --json", policies.display()));
    let profile: serde_json::Value = serde_json::from_slice(&profile.stdout).unwrap();
    assert_eq!(profile["keys"], 21);
    assert_eq!(profile["slots"].as_array().unwrap().len(), 57);
    assert!(desk.kms(&format!("policy check {}/ceremonies.toml", policies.display())).status.success());
}

#[test]
fn every_violation_of_a_profile_has_its_line() {
    let desk = Desk::new();
    let good = fs::read_to_string(repository().join("policies/profiles/resident-health-card.toml")).unwrap();
    let bad = good.replace("name = \"BK_MF\"", "name = \"bk mf\"").replace("name = \"STM_MF\"", "name = \"IRK_DDF1\"");
    assert_ne!(good, bad);
    fs::write(desk.path("bad.toml"), &bad).unwrap();
    let checked = desk.kms("policy check bad.toml");
    assert_refused(&checked, 3, "bad.toml:");
    let line = |needle: &str| bad.lines().position(|line| line.contains(needle)).unwrap() + 1;
    let text = stderr(&checked);
    assert!(text.contains(&format!("bad.toml:{}:", line("bk mf"))), "{text}");
    let second = line("card_ref = 0x02, groups = 1, sam_use = 0x28, sam_id = 0x16");
    assert!(text.contains(&format!("bad.toml:{second}:")), "{text}");
}

#[test]
fn an_officer_signs_exactly_what_was_shown() {
    let desk = Desk::new();
    let key = desk.keygen("li-wei");
    let digest = desk.genesis_plan(&[("li-wei", key)]);
    let sign = "genesis sign --plan plan.der --key li-wei.pem --password-file password --out approval.der";

    let other = Digest::of(b"another plan");
    assert_refused(&desk.kms(&format!("{sign} --yes-digest {other}")), 4, "nothing was signed");
    assert_refused(&desk.kms_told(sign, "yes\n"), 4, "the answer was not `Yes`");
    assert_refused(&desk.kms_told(sign, "Yes please\n"), 4, "the answer was not `Yes`");
    assert!(!desk.path("approval.der").exists());

    let signed = desk.kms_told(sign, "Yes\n");
    assert!(signed.status.success(), "{}", stderr(&signed));
    let shown = stdout(&signed);
    assert!(shown.contains(&digest.to_string()) && shown.contains(&digest.words().join(" ")), "{shown}");
    let approval = Signed::<Approval>::parse(&fs::read(desk.path("approval.der")).unwrap()).unwrap();
    assert_eq!(approval.verify(&key).unwrap().plan.digest(), digest);
}

#[test]
fn approving_offline_names_the_plan_and_the_officer() {
    let desk = Desk::new();
    let key = desk.keygen("li-wei");
    let digest = desk.genesis_plan(&[("li-wei", key)]);
    let rest = "--plan plan.der --officer li-wei --out decision.der --key li-wei.pem --password-file password";
    let other = Digest::of(b"another plan");
    let wrong = desk.kms(&format!("ceremony approve {other} {rest} --yes-digest {other}"));
    assert_refused(&wrong, 5, "asked for plan");
    let rejected = desk.kms(&format!("ceremony reject {digest} {rest} --yes-digest {digest}"));
    assert!(rejected.status.success(), "{}", stderr(&rejected));
    let decision = Signed::<Approval>::parse(&fs::read(desk.path("decision.der")).unwrap()).unwrap();
    let decision = decision.verify(&key).unwrap();
    assert_eq!((decision.officer.as_str(), decision.decision), ("li-wei", kms_core::plan::Decision::Reject));
}

#[test]
fn a_key_outside_the_roster_signs_no_genesis() {
    let desk = Desk::new();
    let (key, _) = (desk.keygen("li-wei"), desk.keygen("mallory"));
    let digest = desk.genesis_plan(&[("li-wei", key)]);
    let sign = "genesis sign --plan plan.der --key mallory.pem --password-file password --out approval.der";
    assert_refused(&desk.kms(&format!("{sign} --yes-digest {digest}")), 3, "not on the roster");
}

#[test]
fn a_wrong_password_is_its_own_exit_code() {
    let desk = Desk::new();
    let key = desk.keygen("li-wei");
    let digest = desk.genesis_plan(&[("li-wei", key)]);
    desk.secret("wrong", "something else");
    let sign = "genesis sign --plan plan.der --key li-wei.pem --password-file wrong --out approval.der";
    assert_refused(&desk.kms(&format!("{sign} --yes-digest {digest}")), 9, "wrong password");
}

#[test]
fn a_changed_plan_is_another_plan_or_none() {
    let desk = Desk::new();
    let digest = desk.genesis_plan(&[("li-wei", desk.keygen("li-wei"))]);
    let good = fs::read(desk.path("plan.der")).unwrap();
    for position in (0..good.len()).step_by(23) {
        let mut changed = good.clone();
        changed[position] ^= 1;
        fs::write(desk.path("changed.der"), &changed).unwrap();
        let shown = desk.kms("ceremony show --file changed.der");
        assert!(!stdout(&shown).contains(&digest.to_string()), "bit 0 of byte {position}");
    }
    let mut longer = good;
    longer.push(0);
    fs::write(desk.path("changed.der"), &longer).unwrap();
    assert_refused(&desk.kms("ceremony show --file changed.der"), 5, "not a ceremony plan");
}

#[test]
fn the_check_value_of_a_known_component() {
    let desk = Desk::new();
    desk.secret("component", "0123 4567 89AB CDEF FEDC BA98 7654 3210\n");
    let shown = desk.kms("ceremony component new --value-file component");
    assert!(stdout(&shown).contains("ecb3:2677f4"), "{}", stdout(&shown));
    let (first, second) = (desk.kms("ceremony component new"), desk.kms("ceremony component new"));
    assert!(stdout(&first).contains("KCV") && stdout(&first) != stdout(&second));
}

#[test]
fn bad_card_lines_are_all_listed_before_anything_is_sent() {
    let desk = Desk::new();
    desk.keygen("bureau");
    let mut list = "card_number,factor\n".to_owned();
    list += &"x\n".repeat(130);
    fs::write(desk.path("cards.csv"), list).unwrap();
    // Nobody listens on port 1: whoever sends gets exit code 7.
    let asked = desk.kms(
        "batch request --server http://127.0.0.1:1 --key bureau.pem --password-file password --profile p --cards cards.csv",
    );
    assert_refused(&asked, 3, "130 bad lines; nothing was sent");
    let text = stderr(&asked);
    assert!(text.contains("line 2: ") && text.contains("line 101: ") && text.contains("… and 30 more"), "{text}");
    assert!(!text.contains("line 102: "), "{text}");
}

#[test]
fn exit_codes_of_the_table() {
    let desk = Desk::new();
    desk.keygen("li-wei");
    assert_eq!(desk.kms("ceremony").status.code(), Some(2));
    assert_refused(&desk.kms("ceremony list"), 2, "no key was given");
    let list = "ceremony list --key li-wei.pem --password-file password";
    assert_refused(&desk.kms(&format!("{list} --server http://127.0.0.1:1")), 7, "does not answer");
    assert_refused(&desk.kms(&format!("{list} --server ftp://example")), 2, "not the URL of a server");
    assert_refused(&desk.kms("genesis show nowhere.der"), 10, "cannot open");
}

#[test]
fn quickstart_leaves_a_used_folder_alone() {
    let desk = Desk::new();
    let before = fs::read_dir(desk.0.path()).unwrap().count();
    let policies = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies");
    assert_refused(&desk.kms(&format!("quickstart --dir . --policies {policies}")), 3, "is not empty");
    assert_eq!(fs::read_dir(desk.0.path()).unwrap().count(), before);
}
