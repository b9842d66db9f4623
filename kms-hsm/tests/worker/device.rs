//! An HSM that fails in the middle of its work: the faulty module between worker and simulator.

use std::time::Duration;

use kms_core::ports::{ChunkOrder, Custody, FaultClass, Hsm as _, HsmError, SecurityOfficerToken as _};
use kms_hsm::HsmClient;

use crate::harness::{Site, USER_PIN, id, instance_ids, library, module, ready, spec};

const SESSION_HANDLE_INVALID: &str = "rv:b3";
const DEVICE_REMOVED: &str = "rv:32";
const GENERAL_ERROR: &str = "rv:5";

/// A client whose module goes wrong by the script: once, or every time.
fn faulty(site: &Site, script: &str, once: bool) -> HsmClient {
    let mut config = site.config("instance", USER_PIN);
    config.module = library("libfaulty_module.so");
    config.deadline = Duration::from_secs(5);
    let mut environment = vec![
        ("FAULTY_MODULE".to_owned(), module().display().to_string()),
        ("FAULTY_SCRIPT".to_owned(), script.to_owned()),
    ];
    if once {
        let marker = site.directory.path().join("once");
        std::fs::write(&marker, "").unwrap();
        environment.push(("FAULTY_ONCE".to_owned(), marker.display().to_string()));
    }
    config.environment.extend(environment);
    HsmClient::new(config).unwrap()
}

/// Did the one fault happen? A test of a fault that never came would prove nothing.
fn fired(site: &Site) -> bool {
    !site.directory.path().join("once").exists()
}

fn prepared() -> (Site, ChunkOrder) {
    let site = Site::with_tokens(&["instance"]);
    let (hsm, _) = ready(&site, "instance");
    hsm.generate_masters(&[spec(1, Custody::Local), spec(2, Custody::Local)]).unwrap();
    site.officer("instance").create_transport_key(id(0x40), "kek").unwrap();
    let order = ChunkOrder {
        kek: id(0x40),
        masters: vec![(id(1), true), (id(2), false)],
        blocks: vec![[1; 16], [2; 16], [3; 16]],
    };
    (site, order)
}

#[test]
fn a_lost_session_is_opened_again_in_the_same_worker() {
    let (site, order) = prepared();
    let expected = site.hsm("instance").issue_chunk(&order).unwrap();
    for code in [SESSION_HANDLE_INVALID, DEVICE_REMOVED, "rv:82", "rv:101", "late:b0"] {
        for function in ["C_DeriveKey 1", "C_DeriveKey 6", "C_WrapKey 3", "C_DestroyObject 2"] {
            let hsm = faulty(&site, &format!("{function} {code}"), true);
            hsm.status().unwrap();
            let before = hsm.worker_id();
            assert_eq!(hsm.issue_chunk(&order).unwrap(), expected, "{function} {code}");
            assert!(fired(&site), "{function} {code}");
            // The status worker had a PIN, so a change would mean a restart.
            assert_eq!(hsm.worker_id(), before, "{function} {code}");
        }
    }
}

#[test]
fn an_unclear_failure_is_repeated_once_in_a_new_worker() {
    let (site, order) = prepared();
    let expected = site.hsm("instance").issue_chunk(&order).unwrap();
    for action in [GENERAL_ERROR, "rv:30", "rv:6", "rv:999", "rv:80000123", "late:5", "crash"] {
        let hsm = faulty(&site, &format!("C_WrapKey 4 {action}"), true);
        hsm.status().unwrap();
        let before = hsm.worker_id();
        assert_eq!(hsm.issue_chunk(&order).unwrap(), expected, "{action}");
        assert!(fired(&site), "{action}");
        assert_ne!(hsm.worker_id(), before, "{action}");
    }
}

#[test]
fn a_lasting_failure_keeps_function_code_and_class() {
    let (site, order) = prepared();
    let fails = |script: &str| -> HsmError { faulty(&site, script, false).issue_chunk(&order).unwrap_err() };
    for (script, class, function, code) in [
        ("C_WrapKey 1 rv:5", FaultClass::Indeterminate, "C_WrapKey", "CKR_GENERAL_ERROR"),
        ("C_WrapKey 2 rv:999", FaultClass::Indeterminate, "C_WrapKey", "CKR_0x00000999"),
        ("C_WrapKey 1 rv:6a", FaultClass::Refused, "C_WrapKey", "CKR_KEY_UNEXTRACTABLE"),
        ("C_WrapKey 1 rv:60", FaultClass::Refused, "C_WrapKey", "CKR_KEY_HANDLE_INVALID"),
        ("C_WrapKey 1 short", FaultClass::Refused, "C_WrapKey", "ANSWER_LENGTH"),
        ("C_DeriveKey 1 rv:70", FaultClass::Refused, "C_DeriveKey", "CKR_MECHANISM_INVALID"),
        ("C_DeriveKey 1 rv:32", FaultClass::Retryable, "C_DeriveKey", "CKR_DEVICE_REMOVED"),
        ("C_DeriveKey 2 rv:31", FaultClass::Broken, "C_DeriveKey", "CKR_DEVICE_MEMORY"),
        ("C_Login 1 rv:a3", FaultClass::Pin, "C_Login", "CKR_PIN_EXPIRED"),
        ("C_OpenSession 1 rv:e1", FaultClass::Broken, "C_OpenSession", "CKR_TOKEN_NOT_RECOGNIZED"),
        ("C_WrapKey 2 crash", FaultClass::Indeterminate, "worker", "WORKER_LOST"),
    ] {
        let error = fails(script);
        assert_eq!((error.class, error.function.as_str(), error.code.as_str()), (class, function, code), "{script}");
    }
}

#[test]
fn a_call_that_hangs_is_cut_off_and_repeated() {
    let (site, order) = prepared();
    let expected = site.hsm("instance").issue_chunk(&order).unwrap();
    assert_eq!(faulty(&site, "C_DeriveKey 2 hang", true).issue_chunk(&order).unwrap(), expected);
    assert!(fired(&site));
}

#[test]
fn what_was_done_but_reported_as_failed_is_adopted() {
    let site = Site::with_tokens(&["instance"]);
    for (number, action) in (10..).zip(["late:5", "late:30", "crash", "late:b3"]) {
        let hsm = faulty(&site, &format!("C_GenerateKey 1 {action}"), true);
        let wanted = [spec(number, Custody::Local)];
        let kcvs = hsm.generate_masters(&wanted).unwrap();
        assert!(fired(&site), "{action}");
        // One object, not two: "exactly one" is what the second look-up checks.
        assert_eq!(site.hsm("instance").generate_masters(&wanted).unwrap(), kcvs, "{action}");
    }
    let head = b"head".to_vec();
    faulty(&site, "C_GetAttributeValue 1 rv:5", true).set_log_head(&head).unwrap();
    assert!(fired(&site));
    faulty(&site, "C_SetAttributeValue 1 late:30", true).set_log_head(b"next").unwrap();
    assert!(fired(&site));
    assert_eq!(site.hsm("instance").log_head().unwrap().as_deref(), Some(b"next".as_slice()));
}

#[test]
fn a_damaged_signature_is_never_released() {
    let site = Site::with_tokens(&["instance"]);
    let (_, keys) = ready(&site, "instance");
    let e = keys.log.digest_for_signing(b"checkpoint");
    for action in ["flip", "short"] {
        let error = faulty(&site, &format!("C_Sign 1 {action}"), false).sign(instance_ids().log, &e).unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (FaultClass::Indeterminate, "SIGNATURE_WRONG"));
        let signature = faulty(&site, &format!("C_Sign 1 {action}"), true).sign(instance_ids().log, &e).unwrap();
        keys.log.verify(b"checkpoint", &signature).unwrap();
    }
}

#[test]
fn a_library_that_prints_does_not_break_the_frames() {
    let site = Site::with_tokens(&["instance"]);
    let (_, keys) = ready(&site, "instance");
    let hsm = faulty(&site, "C_Sign 1 print", false);
    let signature = hsm.sign(instance_ids().log, &keys.log.digest_for_signing(b"x")).unwrap();
    keys.log.verify(b"x", &signature).unwrap();
}
