//! The whole job of an HSM on any make: instance keys, masters, sealing, import, a chunk, and the bureau's side. Every
//! result is worked out again with values that lie outside: an imported master and a transport key of known value.

use kms_core::ports::{
    BureauHsm as _, BureauOfficerToken as _, ChunkOrder, Confirmation, Custody, ExpectedKey, FaultClass, Hsm as _,
    InstanceKeyIds, KeyKind as Kind, RewrapItem, SealedMaster, SecurityOfficerToken as _, TrustedObject, TrustedRole,
};
use kms_core::secret::Kcv;

use crate::harness::{id, instance_ids, spec};
use crate::make::{Make, unwrap};

/// Value of the master that is imported.
const KNOWN: [u8; 16] = *b"a known master !";
const KEK: u8 = 0x40;
const BUREAU: u8 = 0x50;
const OUTSIDE: u8 = 0x51;
const BLOCKS: [[u8; 16]; 3] = [[1; 16], [2; 16], *b"factor and ~ it."];

/// Ids of an instance's keys on this make.
pub(crate) fn ids(make: &Make) -> InstanceKeyIds {
    let component_import = instance_ids().component_import.filter(|_| make.map().abilities().components);
    InstanceKeyIds { component_import, ..instance_ids() }
}

/// Runs all of it.
pub(crate) fn whole(make: &Make) {
    let (cipher, abilities) = (make.cipher, make.map().abilities());
    make.init("instance");
    make.init("bureau");
    let (hsm, bureau) = (make.hsm("instance"), make.bureau("bureau"));
    assert_eq!(hsm.abilities(), abilities);
    let ids = ids(make);
    let keys = hsm.create_instance_keys(&ids).unwrap();
    assert_eq!(hsm.create_instance_keys(&ids).unwrap(), keys);

    // Masters: generated, and one that arrives with a value known here.
    let generated = [spec(1, Custody::Local), spec(2, Custody::Transferable)];
    let kcvs = hsm.generate_masters(&generated).unwrap();
    assert_eq!(hsm.generate_masters(&generated).unwrap(), kcvs);
    let sealed = SealedMaster { ciphertext: make.seal(&keys.import, &KNOWN), kcv: cipher.kcv(&KNOWN) };
    let arriving = |sealed: &SealedMaster| [(spec(3, Custody::Transferable), sealed.clone())];
    let wrong = SealedMaster { kcv: cipher.kcv(&[0; 16]), ..sealed.clone() };
    assert_eq!(hsm.import_masters(ids.import, &arriving(&wrong)).unwrap_err().code, "KCV_MISMATCH");
    let found = hsm.import_masters(ids.import, &arriving(&sealed)).unwrap();
    assert_eq!(found, [cipher.kcv(&KNOWN)]);
    assert_eq!(make.hsm("instance").import_masters(ids.import, &arriving(&sealed)).unwrap(), found);

    // Trust, and the transport key sealed to a key outside, where its value shows.
    let (officer, outside) = (make.officer("instance"), make.outside());
    let kek_kcv = officer.create_transport_key(id(KEK), "kek").unwrap();
    assert_eq!(officer.create_transport_key(id(KEK), "kek").unwrap(), kek_kcv);
    let bureau_key = bureau.create_import_key("import").unwrap();
    assert_eq!(bureau.create_import_key("import").unwrap(), bureau_key);
    for (number, label, key) in [(BUREAU, "bureau", &bureau_key), (OUTSIDE, "outside", &outside.key)] {
        officer.trust_recipient(id(number), label, key).unwrap();
        officer.trust_recipient(id(number), label, key).unwrap();
        let found = hsm.trusted_object(id(number), TrustedRole::Recipient).unwrap();
        assert_eq!(found, TrustedObject::Present { public_key: Some(key.clone()), kcv: None });
    }
    let other = officer.trust_recipient(id(BUREAU), "bureau", &outside.key).unwrap_err();
    assert_eq!((other.class, other.code.as_str()), (FaultClass::Refused, "PUBLIC_KEY"));
    let shown = hsm.seal_transport_key(id(KEK), id(OUTSIDE)).unwrap();
    let kek = outside.open(&shown.ciphertext);
    assert_eq!(shown.kcv, kek_kcv);
    // Transport keys are of the suite's block cipher, never SM1.
    assert_eq!(kek_kcv, crate::make::block_cipher(cipher).kcv(&kek));

    // Children of the known master, sealed.
    let children = hsm.seal_diversified(&[id(3)], &BLOCKS[2], id(OUTSIDE)).unwrap();
    let child = cipher.encrypt(&KNOWN, &BLOCKS[2]);
    assert_eq!((outside.open(&children[0].ciphertext), children[0].kcv), (child, cipher.kcv(&child)));

    // A chunk: every key of the known master opened with the known transport key.
    let order = ChunkOrder { kek: id(KEK), masters: vec![(id(1), true), (id(3), true)], blocks: BLOCKS.to_vec() };
    let cards = hsm.issue_chunk(&order).unwrap();
    assert_eq!(cards, hsm.issue_chunk(&order).unwrap());
    for (card, block) in cards.iter().zip(&BLOCKS) {
        let expected = cipher.encrypt(&KNOWN, block);
        assert_eq!(card[1].wrapped.wrap(), abilities.wrap);
        assert_eq!(unwrap(cipher, abilities.wrap, &kek, card[1].wrapped.as_bytes()), expected);
        assert_eq!(card[1].kcv, Some(cipher.kcv(&expected)));
        // The local master's value is nowhere, but its card key is here, and the check value is its own.
        let other = unwrap(cipher, abilities.wrap, &kek, card[0].wrapped.as_bytes());
        assert_eq!(card[0].kcv, Some(cipher.kcv(&other)));
    }

    // The bureau's side.
    let delivered = hsm.seal_transport_key(id(KEK), id(BUREAU)).unwrap();
    let by = bureau.open_transport_key("import", id(KEK), &delivered).unwrap();
    let expected = if abilities.unwrapped_kcv { Confirmation::ByCheckValue } else { Confirmation::BySealOnly };
    assert_eq!(by, expected);
    assert_eq!(bureau.open_transport_key("import", id(KEK), &delivered).unwrap(), expected);
    make.officer("bureau").create_personalization_key("pers").unwrap();
    let items: Vec<RewrapItem> =
        cards.iter().flatten().map(|key| RewrapItem { wrapped: key.wrapped, kcv: key.kcv }).collect();
    let rewrapped = bureau.rewrap(id(KEK), "pers", &items).unwrap();
    assert_eq!(rewrapped.compared, if abilities.unwrapped_kcv { items.len() } else { 0 });
    assert_eq!(rewrapped, bureau.rewrap(id(KEK), "pers", &items).unwrap());
    assert!(rewrapped.keys.iter().zip(&items).all(|(new, old)| *new != old.wrapped && new.wrap() == abilities.wrap));

    duties(make);
    let key = |kind, id, made_here, kcv| ExpectedKey { kind, id, name: "key".to_owned(), made_here, kcv, public: None };
    let master = |kind, number, kcv: Kcv| key(kind, id(number), number != 3, Some(kcv));
    let plain = |kind, id| key(kind, id, kind != Kind::Recipient, None);
    let mut list = vec![
        master(Kind::LocalMaster, 1, kcvs[0]),
        master(Kind::TransferableMaster, 2, kcvs[1]),
        master(Kind::TransferableMaster, 3, found[0]),
        master(Kind::Transport, KEK, kek_kcv),
        plain(Kind::Recipient, id(BUREAU)),
        plain(Kind::Recipient, id(OUTSIDE)),
        plain(Kind::Signing, ids.log),
        plain(Kind::Signing, ids.instance),
        plain(Kind::Import, ids.import),
        plain(Kind::Index, ids.index),
        plain(Kind::Storage, ids.storage),
    ];
    list.extend(ids.component_import.map(|id| plain(Kind::ComponentImport, id)));
    let snapshot = hsm.audit(&list).unwrap();
    assert_eq!(snapshot.differing().count(), 0, "{snapshot:#?}");
}

/// What every make does: signatures, storage, card index, log head.
pub(crate) fn duties(make: &Make) {
    let (hsm, ids) = (make.hsm("instance"), ids(make));
    let keys = hsm.create_instance_keys(&ids).unwrap();
    // Often enough that P-256 gives a high s almost certainly: the worker brings each to the low one.
    for number in 0..16_u8 {
        let message = [b"checkpoint ".as_slice(), &[number]].concat();
        let signature = hsm.sign(ids.log, &keys.log.digest_for_signing(&message)).unwrap();
        keys.log.verify(&message, &signature).unwrap();
        assert!(keys.instance.verify(&message, &signature).is_err());
    }
    for plaintext in [vec![], b"card list".to_vec(), vec![7; 100_000]] {
        let protected = hsm.protect(ids.storage, &plaintext, b"batch 1").unwrap();
        assert_eq!(make.hsm("instance").unprotect(ids.storage, &protected, b"batch 1").unwrap(), plaintext);
        assert_eq!(hsm.unprotect(ids.storage, &protected, b"batch 2").unwrap_err().class, FaultClass::Refused);
        for at in [0, 11, protected.len() / 2, protected.len() - 1] {
            let mut damaged = protected.clone();
            damaged[at] ^= 1;
            assert_eq!(hsm.unprotect(ids.storage, &damaged, b"batch 1").unwrap_err().class, FaultClass::Refused);
        }
    }
    assert_ne!(hsm.protect(ids.storage, b"x", b"").unwrap(), hsm.protect(ids.storage, b"x", b"").unwrap());
    let index = hsm.card_index(ids.index, &[b"card 1".to_vec(), b"card 2".to_vec()]).unwrap();
    assert_ne!(index[0], index[1]);
    assert_eq!(make.hsm("instance").card_index(ids.index, &[b"card 1".to_vec()]).unwrap(), index[..1]);
    for head in [&b"head"[..], b"next", b"and one more"] {
        hsm.set_log_head(head).unwrap();
        assert_eq!(hsm.log_head().unwrap().as_deref(), Some(head));
        assert_eq!(make.hsm("instance").log_head().unwrap().as_deref(), Some(head));
    }
}
