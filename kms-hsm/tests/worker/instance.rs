//! An instance's own keys and what they do.

use std::collections::BTreeSet;

use kms_core::id::ObjectId;
use kms_core::ports::{FaultClass, Hsm as _, LOG_HEAD_BYTES_MAX, PinState};
use kms_hsm::setup;

use crate::harness::{SO_PIN, Site, USER_PIN, id, instance_ids, pin, ready};

#[test]
fn keys_are_made_once_and_adopted_afterwards() {
    let site = Site::with_tokens(&["instance"]);
    let (hsm, keys) = ready(&site, "instance");
    assert_eq!(hsm.create_instance_keys(&instance_ids()).unwrap(), keys);
    assert_eq!(site.hsm("instance").create_instance_keys(&instance_ids()).unwrap(), keys);
    let component = keys.component_import.unwrap();
    let ids = BTreeSet::from([keys.log.id(), keys.instance.id(), keys.import.id(), component.id()]);
    assert_eq!(ids.len(), 4);
    let status = hsm.status().unwrap();
    assert_eq!((status.label.as_str(), status.map.as_str(), status.user_pin), ("instance", "hsm-sim", PinState::Good));
    assert_eq!(hsm.map().lacking(), (vec![], vec![]));
}

#[test]
fn an_id_of_another_kind_of_key_is_not_adopted() {
    let site = Site::with_tokens(&["instance"]);
    let (hsm, _) = ready(&site, "instance");
    let mut ids = instance_ids();
    std::mem::swap(&mut ids.log, &mut ids.import);
    let error = hsm.create_instance_keys(&ids).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Refused, "ATTRIBUTE_DIFFERS"));
}

#[test]
fn signatures_verify_and_only_signing_keys_sign() {
    let site = Site::with_tokens(&["instance"]);
    let (hsm, keys) = ready(&site, "instance");
    for (key, public) in [(instance_ids().log, keys.log), (instance_ids().instance, keys.instance)] {
        let signature = hsm.sign(key, &public.digest_for_signing(b"checkpoint")).unwrap();
        public.verify(b"checkpoint", &signature).unwrap();
        assert!(public.verify(b"other", &signature).is_err());
    }
    let error = hsm.sign(instance_ids().import, &[1; 32]).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Refused, "ATTRIBUTE_DIFFERS"));
    assert!(error.to_string().contains("CKA_SIGN is false instead of true"), "{error}");
    let error = hsm.sign(id(0x77), &[1; 32]).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Refused, "OBJECT_MISSING"));
}

#[test]
fn protected_data_opens_under_its_context_only() {
    let site = Site::with_tokens(&["instance"]);
    let (hsm, _) = ready(&site, "instance");
    let storage = instance_ids().storage;
    for plaintext in [vec![], b"card list".to_vec(), vec![7; 1_000_000]] {
        let protected = hsm.protect(storage, &plaintext, b"batch 1").unwrap();
        assert_eq!(protected.len(), 12 + plaintext.len() + 16);
        assert_eq!(hsm.unprotect(storage, &protected, b"batch 1").unwrap(), plaintext);
        assert_eq!(hsm.unprotect(storage, &protected, b"batch 2").unwrap_err().class, FaultClass::Refused);
        for at in [0, 11, protected.len() / 2, protected.len() - 1] {
            let mut damaged = protected.clone();
            damaged[at] ^= 1;
            assert_eq!(hsm.unprotect(storage, &damaged, b"batch 1").unwrap_err().class, FaultClass::Refused);
        }
    }
    assert_ne!(hsm.protect(storage, b"x", b"").unwrap(), hsm.protect(storage, b"x", b"").unwrap());
    assert_eq!(hsm.unprotect(storage, &[0; 27], b"").unwrap_err().code, "TOO_SHORT");
}

#[test]
fn card_index_is_keyed_and_stable() {
    let site = Site::with_tokens(&["one", "two"]);
    let (one, two) = (ready(&site, "one").0, ready(&site, "two").0);
    let values = vec![b"card 1".to_vec(), b"card 2".to_vec(), b"card 1".to_vec()];
    let index = one.card_index(instance_ids().index, &values).unwrap();
    assert_eq!(index[0], index[2]);
    assert_ne!(index[0], index[1]);
    assert_eq!(site.hsm("one").card_index(instance_ids().index, &values).unwrap(), index);
    assert_ne!(two.card_index(instance_ids().index, &values).unwrap(), index);
}

#[test]
fn random_bytes_have_the_length_asked_for() {
    let site = Site::with_tokens(&["instance"]);
    let hsm = site.hsm("instance");
    assert_eq!(hsm.random(65536).unwrap().len(), 65536);
    assert_ne!(hsm.random(16).unwrap(), hsm.random(16).unwrap());
    assert_eq!(hsm.random(65537).unwrap_err().code, "TOO_MANY_BYTES");
}

#[test]
fn log_head_is_replaced_and_survives() {
    let site = Site::with_tokens(&["instance"]);
    let hsm = site.hsm("instance");
    assert_eq!(hsm.log_head().unwrap(), None);
    for head in [b"head 1".to_vec(), b"a longer head 2".to_vec(), vec![3; LOG_HEAD_BYTES_MAX]] {
        hsm.set_log_head(&head).unwrap();
        assert_eq!(hsm.log_head().unwrap(), Some(head.clone()));
        assert_eq!(site.hsm("instance").log_head().unwrap(), Some(head));
    }
    assert_eq!(hsm.set_log_head(&[0; LOG_HEAD_BYTES_MAX + 1]).unwrap_err().class, FaultClass::Refused);
}

#[test]
fn a_label_is_given_once_and_a_token_found_by_label_and_serial() {
    let site = Site::with_tokens(&["one", "two"]);
    let again = setup::init_token(&site.setup(), "one", &pin(SO_PIN), &pin(USER_PIN)).unwrap_err();
    assert_eq!((again.class, again.code.as_str()), (FaultClass::Refused, "LABEL_TAKEN"));
    let serial = site.hsm("one").status().unwrap().serial;
    let mut config = site.config("one", USER_PIN);
    config.token_serial = Some(serial.clone());
    assert_eq!(kms_hsm::HsmClient::new(config).unwrap().status().unwrap().serial, serial);
    let mut config = site.config("two", USER_PIN);
    config.token_serial = Some(serial);
    let error = kms_hsm::HsmClient::new(config).unwrap().status().unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Broken, "TOKEN_MISSING"));
}

#[test]
fn an_officers_login_and_a_users_do_not_do_each_others_work() {
    let site = Site::with_tokens(&["instance"]);
    // The SO PIN as user PIN and the reverse: refused by the token, one attempt each.
    let wrong = kms_hsm::HsmClient::new(site.config("instance", SO_PIN)).unwrap();
    assert_eq!(wrong.random(1).unwrap_err().class, FaultClass::Pin);
    let wrong = kms_hsm::SoClient::new(site.config("instance", USER_PIN)).unwrap();
    use kms_core::ports::SecurityOfficerToken as _;
    assert_eq!(wrong.create_transport_key(ObjectId::from_bytes([1; 16]), "x").unwrap_err().class, FaultClass::Pin);
}
