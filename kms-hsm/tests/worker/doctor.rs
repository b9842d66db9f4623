//! The doctor on a good token, on one with a wrong map, and on SoftHSM.

use kms_hsm::config::DEADLINE;
use kms_hsm::doctor::{self, Report, State};
use kms_hsm::probe::ThrowAway;

use crate::harness::{Site, USER_PIN, map, worker};
use crate::probe::softhsm;

fn in_state(report: &Report, state: State) -> Vec<&str> {
    report.checks.iter().filter(|check| check.state == state).map(|check| check.name.as_str()).collect()
}

#[test]
fn the_simulator_is_fit() {
    let site = Site::with_tokens(&["instance"]);
    let report = doctor::examine(&site.config("instance", USER_PIN)).unwrap();
    let others: Vec<_> = report.checks.iter().filter(|check| check.state != State::Good).collect();
    assert!(report.fit && others.is_empty(), "{others:#?}");
    assert_eq!(report.checks.iter().filter(|check| check.micros.is_some()).count(), 6, "{:#?}", report.checks);
    assert!(report.checks.iter().all(|check| check.remedy.is_empty()));
}

#[test]
fn a_wrong_number_is_found_and_has_a_remedy() {
    let site = Site::with_tokens(&["instance"]);
    // Two modes exchanged: both numbers exist, only the known answer tells.
    let text = std::fs::read_to_string(map()).unwrap();
    let text = text.replace("0x8005_0004", "0x8005_00FF").replace("0x8005_000E", "0x8005_0077");
    let place = site.directory.path().join("map.toml");
    std::fs::write(&place, text).unwrap();
    let mut config = site.config("instance", USER_PIN);
    config.map = place;
    let report = doctor::examine(&config).unwrap();
    assert!(!report.fit);
    let failed = in_state(&report, State::Failed);
    assert!(failed.contains(&"digest, known answer") && failed.contains(&"block cipher, known answer"), "{failed:?}");
    let unremedied = report.checks.iter().filter(|check| check.state != State::Good && check.remedy.is_empty());
    assert_eq!(unremedied.count(), 0);
}

#[test]
fn softhsm_is_fit_for_suite_intl_and_pins_no_child() {
    let token = ThrowAway::make(softhsm(), None, Some(worker()), DEADLINE).unwrap();
    let report = doctor::examine(token.config()).unwrap();
    let missing = ["attribute derive-template", "xor-keys", "check values of unwrapped keys"];
    assert_eq!(in_state(&report, State::Missing), missing);
    assert!(report.fit, "{:#?}", report.checks);
    assert!(report.checks.iter().any(|check| check.name == "mechanism rsa-oaep (0x9)"), "{:#?}", report.checks);
    // With CKA_CHECK_VALUE taken at its word: the first bytes of SHA-1 for derived keys, none for unwrapped ones.
    let text = std::fs::read_to_string(&token.config().map).unwrap();
    std::fs::write(&token.config().map, text.replace("check-value = \"derive\"", "check-value = \"attribute\""))
        .unwrap();
    let report = doctor::examine(token.config()).unwrap();
    let failed = in_state(&report, State::Failed);
    let expected = ["sealing, opened again", "derivation, known answer", "key wrap, known answer opened"];
    assert_eq!(failed, expected, "{:#?}", report.checks);
}
