//! Suite intl, on SoftHSM: AES, P-256, RSA.

use kms_core::keys::PublicKey;
use kms_core::ports::{FaultClass, Hsm as _, SecurityOfficerToken as _};
use kms_core::suite::{CardAlgorithm, KeyWrap, Suite};
use kms_hsm::HsmClient;

use crate::harness::{USER_PIN, id, instance_ids, library, software_key};
use crate::job;
use crate::make::{Make, openssl};

#[test]
fn softhsm_does_the_whole_job() {
    let make = Make::softhsm();
    let abilities = make.map().abilities();
    assert_eq!(
        (abilities.suite, abilities.cards, abilities.wrap),
        (Suite::Intl, CardAlgorithm::Aes128, KeyWrap::Rfc3394)
    );
    assert!(!abilities.components && !abilities.unwrapped_kcv);
    job::whole(&make);
}

#[test]
fn openssl_verifies_what_the_instance_signs() {
    let make = Make::softhsm();
    make.init("instance");
    let hsm = make.hsm("instance");
    let keys = hsm.create_instance_keys(&job::ids(&make)).unwrap();
    let place = |name: &str| make.directory.path().join(name).display().to_string();
    std::fs::write(place("key.pem"), PublicKey::from(keys.log).to_pem()).unwrap();
    let signature = hsm.sign(instance_ids().log, &keys.log.digest_for_signing(b"checkpoint")).unwrap();
    std::fs::write(place("signature"), signature.to_der()).unwrap();
    let (key, signature) = (place("key.pem"), place("signature"));
    let said = openssl(&["dgst", "-sha256", "-verify", &key, "-signature", &signature], b"checkpoint");
    assert_eq!(said, b"Verified OK\n");
    let text = openssl(&["pkey", "-pubin", "-text", "-noout"], keys.import.to_pem().as_bytes());
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("(3072 bit)") && text.contains("65537"), "{text}");
}

#[test]
fn what_belongs_to_the_other_suite_is_refused() {
    let make = Make::softhsm();
    make.init("instance");
    let sm2 = (*software_key(0x21).public()).into();
    let error = make.officer("instance").trust_recipient(id(0x50), "bureau", &sm2).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Refused, "SUITE_DIFFERS"));
    let error = make.hsm("instance").create_instance_keys(&instance_ids()).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Refused, "OPERATION_NOT_MAPPED"));
    assert!(error.to_string().contains("components"), "{error}");
}

#[test]
fn without_gcm_the_storage_key_keeps_data_keys() {
    let make = Make::softhsm().with_map(|text| {
        let lines = text.lines().filter(|line| !line.starts_with("aes-gcm"));
        lines.map(|line| format!("{line}\n")).collect()
    });
    make.init("instance");
    job::duties(&make);
    let hsm = make.hsm("instance");
    let protected = hsm.protect(instance_ids().storage, b"card list", b"batch").unwrap();
    assert_eq!(protected.len(), 16 + 9 + 16);
    assert_eq!(hsm.unprotect(instance_ids().storage, &protected[..31], b"batch").unwrap_err().code, "TOO_SHORT");
}

/// SoftHSM never changes a data object's value: a new object takes its place, and a crash in between leaves two.
#[test]
fn a_log_head_that_is_replaced_survives_a_crash_in_between() {
    let make = Make::softhsm();
    make.init("instance");
    make.hsm("instance").set_log_head(b"head 1").unwrap();
    // In the only folder that the worker may write to.
    let marker = make.directory.path().join("tokens/once");
    std::fs::write(&marker, "").unwrap();
    let mut config = make.config("instance", USER_PIN);
    let softhsm = std::mem::replace(&mut config.module, library("libfaulty_module.so"));
    config.environment.extend([
        ("FAULTY_MODULE".to_owned(), softhsm.display().to_string()),
        ("FAULTY_SCRIPT".to_owned(), "C_DestroyObject 1 crash".to_owned()),
        ("FAULTY_ONCE".to_owned(), marker.display().to_string()),
    ]);
    // The worker died with both heads in the token; the client's second try finds the newer and goes on from there.
    HsmClient::new(config).unwrap().set_log_head(b"head 2").unwrap();
    assert!(!marker.exists(), "the crash never came");
    assert_eq!(make.hsm("instance").log_head().unwrap().as_deref(), Some(&b"head 2"[..]));
    make.hsm("instance").set_log_head(b"head 3").unwrap();
    assert_eq!(make.hsm("instance").log_head().unwrap().as_deref(), Some(&b"head 3"[..]));
}
