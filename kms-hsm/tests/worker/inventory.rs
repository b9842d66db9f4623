//! The inventory: what is there, what is not, what should not be.

use kms_core::ports::{Custody, Hsm as _};
use kms_core::secret::{Kcv, KcvMethod};
use kms_hsm::inventory::{self, Expected, Kind, State};

use crate::harness::{Site, USER_PIN, id, ready, spec};

fn expected(kind: Kind, number: u8, kcv: Option<Kcv>) -> Expected {
    Expected { kind, id: id(number), name: format!("{number:02x}"), kcv }
}

#[test]
fn every_object_is_on_the_list_or_named() {
    let site = Site::with_tokens(&["instance"]);
    let (hsm, _) = ready(&site, "instance");
    hsm.set_log_head(b"head").unwrap();
    let kcvs = hsm.generate_masters(&[spec(1, Custody::Local), spec(2, Custody::Transferable)]).unwrap();
    let mut list = vec![
        expected(Kind::Signing, 0xa1, None),
        expected(Kind::Signing, 0xa2, None),
        expected(Kind::Import, 0xa3, None),
        expected(Kind::ComponentImport, 0xa4, None),
        expected(Kind::Index, 0xa5, None),
        expected(Kind::Storage, 0xa6, None),
        expected(Kind::LocalMaster, 1, Some(kcvs[0])),
        expected(Kind::TransferableMaster, 2, Some(kcvs[1])),
    ];
    let config = site.config("instance", USER_PIN);
    let good = inventory::compare(&config, &list).unwrap();
    assert!(good.iter().all(|item| item.state == State::Present), "{good:#?}");
    assert_eq!(good.len(), 4 * 2 + 2 + 2);

    list.remove(4);
    list[5].kind = Kind::TransferableMaster;
    list[6].kcv = Some(Kcv::new(KcvMethod::Ecb3, &[0; 3]).unwrap());
    list.push(expected(Kind::LocalMaster, 9, None));
    let items = inventory::compare(&config, &list).unwrap();
    let of = |state| items.iter().filter(move |item| item.state == state).collect::<Vec<_>>();
    let (missing, unknown, wrong) = (of(State::Missing), of(State::Unknown), of(State::Wrong));
    assert_eq!((missing.len(), unknown.len(), wrong.len()), (1, 1, 2), "{items:#?}");
    assert_eq!((missing[0].name.as_str(), unknown[0].name.as_str()), ("MASTER 09", "kms index key"));
    assert!(wrong[0].detail.contains("CKA_EXTRACTABLE"), "{wrong:#?}");
}
