//! The battery: hsm-sim blocks all of it, and SoftHSM's verdict is pinned in both directions.

use std::path::{Path, PathBuf};

use kms_hsm::config::DEADLINE;
use kms_hsm::probe::{self, ATTACKS, Report, Verdict};

use crate::harness::{Site, USER_PIN, module, worker};

fn verdicts(report: &Report, verdict: Verdict) -> Vec<u8> {
    let fitting = report.attacks.iter().filter(|record| record.verdict == verdict);
    fitting.map(|record| record.attack.id).collect()
}

fn told(report: &Report) -> String {
    let line = |record: &probe::Record| {
        let refusals: Vec<_> = record.refusals.iter().map(|r| format!("{} {}", r.function, r.code)).collect();
        format!(
            "{:2} {:20} {:?} {} | {}",
            record.attack.id,
            record.attack.name,
            record.verdict,
            refusals.join(", "),
            record.notes.join("; ")
        )
    };
    report.attacks.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn attacks_are_numbered_1_to_25() {
    assert!(ATTACKS.iter().map(|attack| attack.id).eq(1..=25));
}

#[test]
fn the_simulator_blocks_every_attack() {
    let report = probe::throw_away(module(), None, Some(worker()), DEADLINE).unwrap();
    assert_eq!(
        (report.blocked, report.open, report.not_applicable, report.total),
        (25, 0, 0, 25),
        "\n{}",
        told(&report)
    );
    assert!(report.attacks.iter().all(|record| !record.refusals.is_empty()), "\n{}", told(&report));
    assert!(
        !report.attacks.iter().any(|r| r.refusals.iter().any(|r| r.code == "NOTHING_GAINED")),
        "\n{}",
        told(&report)
    );
}

#[test]
fn a_token_in_use_is_spared_three_attacks_and_left_as_it_was() {
    let site = Site::with_tokens(&["instance"]);
    let (hsm, _) = crate::harness::ready(&site, "instance");
    let report = probe::live(&site.config("instance", USER_PIN)).unwrap();
    assert_eq!((report.blocked, report.open), (22, 0), "\n{}", told(&report));
    assert_eq!(verdicts(&report, Verdict::NotApplicable), [22, 23, 24]);
    let objects = std::fs::read_dir(site.directory.path().join("token-0000/objects")).unwrap().count();
    let again = probe::live(&site.config("instance", USER_PIN)).unwrap();
    assert_eq!(again.blocked, 22);
    assert_eq!(std::fs::read_dir(site.directory.path().join("token-0000/objects")).unwrap().count(), objects);
    kms_core::ports::Hsm::random(&hsm, 1).unwrap();
}

#[test]
fn a_servers_verdict_has_the_open_attacks_by_number() {
    use kms_core::ports::Hsm as _;
    let site = Site::with_tokens(&["instance"]);
    let (hsm, _) = crate::harness::ready(&site, "instance");
    let verdict = hsm.probe().unwrap();
    assert_eq!((verdict.open.as_slice(), verdict.untried.as_slice()), ([].as_slice(), [22, 23, 24].as_slice()));
    assert_eq!(verdict.failed, []);
    let status = hsm.status().unwrap();
    assert_eq!((&verdict.serial, &verdict.model, &verdict.firmware), (&status.serial, &status.model, &status.firmware));
    assert_eq!(verdict.map, kms_core::digest::Digest::of(&std::fs::read(crate::harness::map()).unwrap()));
    let token = probe::ThrowAway::make(softhsm(), None, Some(worker()), DEADLINE).unwrap();
    let verdict = kms_hsm::HsmClient::new(token.config().clone()).unwrap().probe().unwrap();
    assert_eq!(verdict.open, [1, 2, 6, 7, 8, 10, 11, 12, 14, 16, 17, 21]);
    assert!(verdict.firmware.starts_with("2.") && verdict.model.starts_with("SoftHSM"), "{verdict:?}");
    assert_eq!(verdict.failed, []);
}

/// Where Debian puts SoftHSM.
pub(crate) fn softhsm() -> PathBuf {
    let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
    places.iter().map(Path::new).find(|place| place.is_file()).expect("the Debian package libsofthsm2").to_owned()
}

#[test]
fn softhsm_blocks_what_it_is_known_to_block_and_no_more() {
    let report = probe::throw_away(softhsm(), None, Some(worker()), DEADLINE).unwrap();
    let open = [1, 2, 6, 7, 8, 10, 11, 12, 14, 16, 17, 21, 23, 24];
    assert_eq!(verdicts(&report, Verdict::Open), open, "\n{}", told(&report));
    assert_eq!(verdicts(&report, Verdict::NotApplicable), [0; 0], "\n{}", told(&report));
    assert_eq!(report.total, 25);
}
