//! Suite sm in the numberings of vendors, on hsm-sim, which speaks each of them.

use kms_core::ports::{ChunkOrder, Custody, FaultClass, Hsm as _, HsmResult, SecurityOfficerToken as _, TrustedRole};
use kms_core::suite::{CardAlgorithm, KeyWrap};
use kms_hsm::doctor::{self, State};
use kms_hsm::probe::{self, Verdict};

use crate::harness::{USER_PIN, id, spec};
use crate::job;
use crate::make::Make;

fn failed(make: &Make) -> Vec<(String, String)> {
    let report = doctor::examine(&make.config("instance", USER_PIN)).unwrap();
    let failed = report.checks.into_iter().filter(|check| check.state == State::Failed);
    failed.map(|check| (check.name, check.found)).collect()
}

fn refused_for<T: std::fmt::Debug>(result: HsmResult<T>, operation: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Refused, "OPERATION_NOT_MAPPED"), "{error}");
    assert!(error.to_string().contains(operation), "{error}");
}

#[test]
fn ibm_ep11_does_the_whole_job_with_ecb_and_envelopes() {
    let make = Make::simulated("ibm-ep11", "ibm-ep11");
    assert_eq!(make.map().abilities().wrap, KeyWrap::Ecb);
    job::whole(&make);
    assert_eq!(failed(&make), []);
    // One ECB block authenticates nothing, and this numbering pins nothing: the battery says so.
    let report = probe::live(&make.config("instance", USER_PIN)).unwrap();
    let open: Vec<u8> =
        report.attacks.iter().filter(|found| found.verdict == Verdict::Open).map(|found| found.attack.id).collect();
    assert_eq!(open, [2, 9, 11, 17, 19, 20], "{:#?}", report.attacks);
}

#[test]
fn sansec_does_the_whole_job_with_ecb_and_envelopes() {
    let make = Make::simulated("sansec", "sansec");
    job::whole(&make);
    assert_eq!(failed(&make), []);
}

/// A make without diversification: an instance's own duties, transport keys; no cards.
fn without_cards(make: Make) -> Make {
    make.init("instance");
    job::duties(&make);
    let hsm = make.hsm("instance");
    hsm.generate_masters(&[spec(1, Custody::Local)]).unwrap();
    let kek = make.officer("instance").create_transport_key(id(0x40), "kek").unwrap();
    let found = hsm.trusted_object(id(0x40), TrustedRole::TransportKey).unwrap();
    assert_eq!(found, kms_core::ports::TrustedObject::Present { public_key: None, kcv: Some(kek) });
    let order = ChunkOrder { kek: id(0x40), masters: vec![(id(1), true)], blocks: vec![[1; 16]] };
    refused_for(hsm.issue_chunk(&order), "diversify");
    assert_eq!(failed(&make), []);
    make
}

/// Where sealing is numbered: the transport key's value, seen outside, has the check value that was told.
fn seals(make: &Make) {
    let outside = make.outside();
    make.officer("instance").trust_recipient(id(0x51), "outside", &outside.key).unwrap();
    let sealed = make.hsm("instance").seal_transport_key(id(0x40), id(0x51)).unwrap();
    assert_eq!(sealed.kcv, make.cipher.kcv(&outside.open(&sealed.ciphertext)));
}

#[test]
fn luna_signs_and_stores_but_does_not_seal() {
    let make = without_cards(Make::simulated("luna", "luna"));
    make.officer("instance").trust_recipient(id(0x51), "outside", &make.outside().key).unwrap();
    refused_for(make.hsm("instance").seal_transport_key(id(0x40), id(0x51)), "sm2-encrypt");
}

#[test]
fn tass_signs_stores_and_seals() {
    seals(&without_cards(Make::simulated("tass", "tass")));
}

/// The simulation guards in these numberings what the maps, for want of anything published, do not rely on: such a
/// token seals under TRUSTED keys only, and says so until its map names the attributes.
fn seals_once_the_map_trusts(name: &str) {
    let make = without_cards(Make::simulated(name, name));
    make.officer("instance").trust_recipient(id(0x51), "outside", &make.outside().key).unwrap();
    let error = make.hsm("instance").seal_transport_key(id(0x40), id(0x51)).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Refused, "CKR_KEY_NOT_WRAPPABLE"));
    let trusting =
        |text: &str| text.replace("\"destroyable\",", "\"destroyable\", \"trusted\", \"wrap-with-trusted\",");
    seals(&without_cards(Make::simulated(name, name).with_map(trusting)));
}

#[test]
fn koal_signs_stores_and_seals() {
    seals_once_the_map_trusts("koal");
}

#[test]
fn westone_signs_stores_and_seals_with_two_numbers() {
    seals_once_the_map_trusts("westone");
}

#[test]
fn sm1_cards_go_all_the_way_and_the_doctor_says_what_is_no_sm1() {
    let make = Make::simulated("hsm-sim", "hsm-sim-sm1");
    assert_eq!(make.map().abilities().cards, CardAlgorithm::Sm1);
    job::whole(&make);
    let failed = failed(&make);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].0, "SM1, known answer");
    assert!(failed[0].1.contains("this is not SM1"), "{failed:?}");
    // SM1 masters are guarded like SM4's.
    let report = probe::live(&make.config("instance", USER_PIN)).unwrap();
    assert_eq!((report.blocked, report.open), (22, 0), "{:#?}", report.attacks);
}
