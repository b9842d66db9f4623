//! The audit: what is there, what is not, what should not be; and the digest over all of it.

use kms_core::digest::Digest;
use kms_core::ports::{Custody, ExpectedKey, Hsm as _, KeyKind, ObjectState, SecurityOfficerToken as _, TokenSnapshot};
use kms_core::secret::{Kcv, KcvMethod};

use crate::harness::{Site, USER_PIN, id, ready, software_key, spec};

fn expected(kind: KeyKind, number: u8, kcv: Option<Kcv>, public: Option<Digest>) -> ExpectedKey {
    let made_here = kind != KeyKind::Recipient;
    ExpectedKey { kind, id: id(number), name: format!("{number:02x}"), made_here, kcv, public }
}

/// A token with everything an instance may have, and the list of it.
fn full(site: &Site) -> (kms_hsm::HsmClient, Vec<ExpectedKey>) {
    let (hsm, keys) = ready(site, "instance");
    hsm.set_log_head(b"head").unwrap();
    let kcvs = hsm.generate_masters(&[spec(1, Custody::Local), spec(2, Custody::Transferable)]).unwrap();
    let recipient = software_key(7);
    let officer = site.officer("instance");
    officer.trust_recipient(id(3), "bureau b", &(*recipient.public()).into()).unwrap();
    let kek = officer.create_transport_key(id(4), "bureau b").unwrap();
    let list = vec![
        expected(KeyKind::Signing, 0xa1, None, Some(keys.log.id())),
        expected(KeyKind::Signing, 0xa2, None, Some(keys.instance.id())),
        expected(KeyKind::Import, 0xa3, None, Some(keys.import.id())),
        expected(KeyKind::ComponentImport, 0xa4, None, keys.component_import.map(|key| key.id())),
        expected(KeyKind::Index, 0xa5, None, None),
        expected(KeyKind::Storage, 0xa6, None, None),
        expected(KeyKind::LocalMaster, 1, Some(kcvs[0]), None),
        expected(KeyKind::TransferableMaster, 2, Some(kcvs[1]), None),
        expected(KeyKind::Recipient, 3, None, Some(recipient.public().id())),
        expected(KeyKind::Transport, 4, Some(kek), None),
    ];
    (hsm, list)
}

fn in_state(snapshot: &TokenSnapshot, state: ObjectState) -> Vec<&str> {
    snapshot.lines.iter().filter(|line| line.state == state).map(|line| line.name.as_str()).collect()
}

#[test]
fn every_object_is_on_the_list_or_named() {
    let site = Site::with_tokens(&["instance"]);
    let (hsm, mut list) = full(&site);
    let good = hsm.audit(&list).unwrap();
    assert_eq!(good.differing().count(), 0, "{good:#?}");
    assert_eq!((good.lines.len(), good.objects), (4 * 2 + 2 + 2 + 2, 14));

    list.remove(4);
    list[5].kind = KeyKind::TransferableMaster;
    list[6].kcv = Some(Kcv::new(KcvMethod::Ecb3, &[0; 3]).unwrap());
    list[0].public = list[1].public;
    list.push(expected(KeyKind::LocalMaster, 9, None, None));
    let items = hsm.audit(&list).unwrap();
    assert_eq!(in_state(&items, ObjectState::Missing), ["MASTER 09"], "{items:#?}");
    assert_eq!(in_state(&items, ObjectState::Unknown), ["kms index key"]);
    assert_eq!(in_state(&items, ObjectState::Wrong), ["PUBLIC HALF a1", "MASTER 01", "MASTER 02"]);
    let attribute = items.lines.iter().find(|line| line.name == "MASTER 01").unwrap();
    assert!(attribute.detail.contains("CKA_EXTRACTABLE"), "{attribute:?}");
    assert_eq!(items.digest, good.digest, "the digest is over the token, not over the list");
}

#[test]
fn a_key_that_came_from_outside_is_not_called_made_here() {
    let site = Site::with_tokens(&["instance"]);
    let (hsm, mut list) = full(&site);
    // Sealed to the token's own import key and taken in under another id.
    let import = list[2].clone();
    let keys = hsm.create_instance_keys(&crate::harness::instance_ids()).unwrap();
    let value = [0x42; 16];
    let ciphertext = keys.import.as_sm2().unwrap().encrypt(&value, &mut getrandom::SysRng).unwrap();
    let kcv = crate::harness::kcv(&value);
    let sealed = kms_core::ports::SealedMaster { ciphertext, kcv };
    hsm.import_masters(import.id, &[(spec(8, Custody::Transferable), sealed)]).unwrap();
    list.push(ExpectedKey { made_here: false, ..expected(KeyKind::TransferableMaster, 8, Some(kcv), None) });
    assert_eq!(hsm.audit(&list).unwrap().differing().count(), 0);
    list.last_mut().unwrap().made_here = true;
    let snapshot = hsm.audit(&list).unwrap();
    let line = snapshot.differing().next().unwrap();
    assert!(line.detail.contains("CKA_LOCAL"), "{line:?}");
}

#[test]
fn the_digest_changes_with_every_object_and_not_with_the_log_head_or_a_probe() {
    let site = Site::with_tokens(&["instance"]);
    let (hsm, list) = full(&site);
    let before = hsm.audit(&list).unwrap();
    hsm.set_log_head(b"another head").unwrap();
    hsm.probe().unwrap();
    assert_eq!(hsm.audit(&list).unwrap(), before);
    // Seen by another process with another session: the same.
    let other = kms_hsm::HsmClient::new(site.config("instance", USER_PIN)).unwrap();
    assert_eq!(other.audit(&list).unwrap(), before);
    hsm.generate_masters(&[spec(9, Custody::Local)]).unwrap();
    let after = hsm.audit(&list).unwrap();
    assert_eq!((after.objects, after.differing().count()), (before.objects + 1, 1));
    assert_ne!(after.digest, before.digest);
}

#[test]
fn a_look_logs_in_once_and_a_wrong_pin_stops_everything() {
    let site = Site::with_tokens(&["instance"]);
    let hsm = kms_hsm::HsmClient::new(site.config("instance", "wrong-pin-1234")).unwrap();
    for _ in 0..3 {
        assert_eq!(hsm.audit(&[]).unwrap_err().class, kms_core::ports::FaultClass::Pin);
        assert_eq!(hsm.probe().unwrap_err().class, kms_core::ports::FaultClass::Pin);
        assert_eq!(hsm.random(1).unwrap_err().class, kms_core::ports::FaultClass::Pin);
    }
    let state = site.hsm("instance").status().unwrap().user_pin;
    assert_eq!(state, kms_core::ports::PinState::CountLow, "one attempt, never a second");
}
