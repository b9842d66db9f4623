//! Transport key, chunk, and the bureau's own token.

use std::collections::HashSet;

use kms_core::ports::{
    BureauHsm as _, BureauOfficerToken as _, ChunkOrder, Confirmation, Custody, FaultClass, Hsm as _, RewrapItem,
    SecurityOfficerToken as _, TrustedObject, TrustedRole, Wrapped,
};
use kms_core::suite::KeyWrap;

use crate::harness::{Site, id, kcv, ready, software_key, spec};

const KEK: u8 = 0x40;
const BUREAU: u8 = 0x50;

#[test]
fn a_chunk_goes_from_master_to_personalization_key() {
    let site = Site::with_tokens(&["instance", "bureau"]);
    let (hsm, _) = ready(&site, "instance");
    let bureau = site.bureau("bureau");
    let bureau_key = bureau.create_import_key("import").unwrap();
    assert_eq!(bureau.create_import_key("import").unwrap(), bureau_key);

    let officer = site.officer("instance");
    let kek_kcv = officer.create_transport_key(id(KEK), "kek bureau").unwrap();
    assert_eq!(officer.create_transport_key(id(KEK), "kek bureau").unwrap(), kek_kcv);
    officer.trust_recipient(id(BUREAU), "bureau", &bureau_key).unwrap();
    let found = hsm.trusted_object(id(KEK), TrustedRole::TransportKey).unwrap();
    assert_eq!(found, TrustedObject::Present { public_key: None, kcv: Some(kek_kcv) });

    let sealed = hsm.seal_transport_key(id(KEK), id(BUREAU)).unwrap();
    assert_eq!(sealed.kcv, kek_kcv);
    let mut wrong = sealed.clone();
    wrong.kcv = kcv(&[0; 16]);
    assert_eq!(bureau.open_transport_key("import", id(KEK), &wrong).unwrap_err().code, "KCV_MISMATCH");
    let confirmation = bureau.open_transport_key("import", id(KEK), &sealed).unwrap();
    assert_eq!(confirmation, Confirmation::ByCheckValue);
    bureau.open_transport_key("import", id(KEK), &sealed).unwrap();
    let person = site.officer("bureau").create_personalization_key("pers").unwrap();
    assert_eq!(site.officer("bureau").create_personalization_key("pers").unwrap(), person);

    let masters: Vec<_> = (1..=4).map(|n| spec(n, Custody::Local)).collect();
    hsm.generate_masters(&masters).unwrap();
    let order = ChunkOrder {
        kek: id(KEK),
        masters: (1..=4).map(|n| (id(n), n % 2 == 0)).collect(),
        blocks: (0..10).map(|n| [n; 16]).collect(),
    };
    let cards = hsm.issue_chunk(&order).unwrap();
    assert_eq!(cards, hsm.issue_chunk(&order).unwrap());
    let seen: HashSet<_> = cards.iter().flatten().map(|key| key.wrapped).collect();
    assert_eq!(seen.len(), 40);
    assert!(cards.iter().all(|card| card.iter().map(|key| key.kcv.is_some()).eq([false, true, false, true])));

    let items: Vec<RewrapItem> =
        cards.iter().flatten().map(|key| RewrapItem { wrapped: key.wrapped, kcv: key.kcv }).collect();
    let rewrapped = bureau.rewrap(id(KEK), "pers", &items).unwrap();
    assert_eq!((rewrapped.keys.len(), rewrapped.compared), (40, 20));
    assert!(rewrapped.keys.iter().zip(&items).all(|(new, old)| *new != old.wrapped));

    let mut damaged = items.clone();
    let mut blob = damaged[7].wrapped.as_bytes().to_vec();
    blob[3] ^= 1;
    damaged[7].wrapped = Wrapped::new(KeyWrap::Rfc3394, &blob).unwrap();
    let error = bureau.rewrap(id(KEK), "pers", &damaged).unwrap_err();
    assert!(error.detail.as_ref().unwrap().contains("item 7"), "{error}");
    let mut swapped = items;
    swapped[5].kcv = Some(kcv(&[0; 16]));
    let error = bureau.rewrap(id(KEK), "pers", &swapped).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Refused, "KCV_MISMATCH"));
    assert!(error.detail.as_ref().unwrap().contains("item 5"), "{error}");
}

#[test]
fn a_full_chunk_is_one_call() {
    let site = Site::with_tokens(&["instance"]);
    let hsm = site.hsm("instance");
    site.officer("instance").create_transport_key(id(KEK), "kek").unwrap();
    let masters: Vec<_> = (1..=57).map(|n| spec(n, Custody::Local)).collect();
    hsm.generate_masters(&masters).unwrap();
    let block = |n: u16| {
        let mut block = [0; 16];
        block[..2].copy_from_slice(&n.to_be_bytes());
        block
    };
    let order = ChunkOrder {
        kek: id(KEK),
        masters: masters.iter().map(|spec| (spec.id, true)).collect(),
        blocks: (0..1000).map(block).collect(),
    };
    let cards = hsm.issue_chunk(&order).unwrap();
    assert_eq!((cards.len(), cards[999].len()), (1000, 57));
    let mut too_large = order;
    too_large.blocks = vec![[0; 16]; 5000];
    assert_eq!(hsm.issue_chunk(&too_large).unwrap_err().code, "CHUNK_TOO_LARGE");
}

#[test]
fn only_a_transport_key_wraps_and_only_card_keys_leave_under_it() {
    let site = Site::with_tokens(&["instance"]);
    let (hsm, _) = ready(&site, "instance");
    hsm.generate_masters(&[spec(1, Custody::Transferable), spec(2, Custody::Local)]).unwrap();
    // A master in place of the transport key: not adopted as one.
    let order = ChunkOrder { kek: id(1), masters: vec![(id(2), false)], blocks: vec![[0; 16]] };
    let error = hsm.issue_chunk(&order).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Refused, "ATTRIBUTE_DIFFERS"));
    let order = ChunkOrder { kek: id(9), masters: vec![(id(2), false)], blocks: vec![[0; 16]] };
    assert_eq!(hsm.issue_chunk(&order).unwrap_err().code, "OBJECT_MISSING");
    let error = hsm.trusted_object(id(1), TrustedRole::TransportKey).unwrap_err();
    assert_eq!(error.code, "ATTRIBUTE_DIFFERS");
}

#[test]
fn a_known_import_key_can_be_installed_in_tests() {
    let site = Site::with_tokens(&["bureau"]);
    let bureau = site.bureau("bureau");
    let known = software_key(0x21);
    assert_eq!(bureau.install_import_key("known", &[0x21; 32]).unwrap(), (*known.public()).into());
    assert_eq!(bureau.install_import_key("known", &[0x21; 32]).unwrap(), (*known.public()).into());
    assert_eq!(bureau.install_import_key("known", &[0x22; 32]).unwrap_err().code, "LABEL_TAKEN");
    assert_eq!(bureau.create_import_key("known").unwrap(), (*known.public()).into());
    assert_eq!(bureau.install_import_key("zero", &[0; 32]).unwrap_err().code, "SCALAR");
}
