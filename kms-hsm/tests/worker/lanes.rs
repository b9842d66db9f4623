//! Several sessions at work on one order: the same bytes, nothing left behind, fewer sessions than wished.

use std::fs;
use std::path::{Path, PathBuf};

use kms_core::ports::{
    BureauHsm as _, BureauOfficerToken as _, ChunkOrder, Custody, FaultClass, Hsm as _, RewrapItem,
    SecurityOfficerToken as _, WrappedKey,
};
use kms_hsm::{BureauClient, HsmClient, HsmConfig, Lanes};

use crate::harness::{Site, USER_PIN, id, library, module, ready, spec};

const KEK: u8 = 0x40;
const CARDS: u8 = 40;
const MASTERS: u8 = 5;

/// An instance ready to issue, and an order of 200 keys.
fn prepared() -> (Site, ChunkOrder) {
    let site = Site::with_tokens(&["instance"]);
    let masters: Vec<_> = (1..=MASTERS).map(|n| spec(n, Custody::Local)).collect();
    site.hsm("instance").generate_masters(&masters).unwrap();
    site.officer("instance").create_transport_key(id(KEK), "kek").unwrap();
    let order = ChunkOrder {
        kek: id(KEK),
        masters: (1..=MASTERS).map(|n| (id(n), n % 2 == 0)).collect(),
        blocks: (0..CARDS).map(|n| [n; 16]).collect(),
    };
    (site, order)
}

fn with_lanes(mut config: HsmConfig, lanes: u16) -> HsmConfig {
    config.lanes = Lanes::new(lanes).unwrap();
    config
}

/// A client with that many lanes on a token that fails by the simulator's script; and the script's record.
fn scripted(site: &Site, lanes: u16, script: &str) -> (HsmClient, PathBuf) {
    let (config, log) = configured(site, lanes, script);
    (HsmClient::new(config).unwrap(), log)
}

fn configured(site: &Site, lanes: u16, script: &str) -> (HsmConfig, PathBuf) {
    let (faults, log) = (site.directory.path().join("faults"), site.directory.path().join("fired"));
    fs::write(&faults, script).unwrap();
    let _ = fs::remove_file(&log);
    let mut config = with_lanes(site.config("instance", USER_PIN), lanes);
    let variable = |name: &str, path: &PathBuf| (name.to_owned(), path.display().to_string());
    config.environment.extend([variable("HSM_SIM_FAULTS", &faults), variable("HSM_SIM_FAULTS_LOG", &log)]);
    (config, log)
}

fn fired(log: &Path) -> usize {
    fs::read_to_string(log).unwrap_or_default().lines().count()
}

#[test]
fn any_number_of_lanes_makes_the_same_bytes() {
    let (site, order) = prepared();
    let expected = site.hsm("instance").issue_chunk(&order).unwrap();
    for lanes in [2, 8, 64] {
        let hsm = HsmClient::new(with_lanes(site.config("instance", USER_PIN), lanes)).unwrap();
        assert_eq!(hsm.status().unwrap().lanes.given, None);
        assert_eq!(hsm.issue_chunk(&order).unwrap(), expected, "{lanes} lanes");
        // Fewer keys than lanes, and none at all.
        let few = ChunkOrder { blocks: order.blocks[..1].to_vec(), ..order.clone() };
        assert_eq!(hsm.issue_chunk(&few).unwrap(), expected[..1], "{lanes} lanes");
        let none = ChunkOrder { blocks: Vec::new(), ..order.clone() };
        assert_eq!(hsm.issue_chunk(&none).unwrap(), Vec::<Vec<WrappedKey>>::new());
        let nothing_of_each = ChunkOrder { masters: Vec::new(), ..order.clone() };
        assert!(hsm.issue_chunk(&nothing_of_each).unwrap().iter().all(Vec::is_empty));
    }
}

#[test]
fn a_bureau_rewraps_on_lanes_as_on_one() {
    let site = Site::with_tokens(&["instance", "bureau"]);
    let (hsm, _) = ready(&site, "instance");
    let one = site.bureau("bureau");
    let key = one.create_import_key("import").unwrap();
    let officer = site.officer("instance");
    officer.create_transport_key(id(KEK), "kek").unwrap();
    officer.trust_recipient(id(0x50), "bureau", &key).unwrap();
    one.open_transport_key("import", id(KEK), &hsm.seal_transport_key(id(KEK), id(0x50)).unwrap()).unwrap();
    site.officer("bureau").create_personalization_key("pers").unwrap();
    hsm.generate_masters(&[spec(1, Custody::Local)]).unwrap();
    let order = ChunkOrder { kek: id(KEK), masters: vec![(id(1), true)], blocks: (0..100).map(|n| [n; 16]).collect() };
    let cards = hsm.issue_chunk(&order).unwrap();
    let mut items: Vec<RewrapItem> =
        cards.into_iter().flatten().map(|key| RewrapItem { wrapped: key.wrapped, kcv: key.kcv }).collect();
    let expected = one.rewrap(id(KEK), "pers", &items).unwrap();
    let several = BureauClient::new(with_lanes(site.config("bureau", USER_PIN), 8)).unwrap();
    assert_eq!(several.rewrap(id(KEK), "pers", &items).unwrap(), expected);
    items[77].kcv = items[78].kcv;
    let error = several.rewrap(id(KEK), "pers", &items).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Refused, "KCV_MISMATCH"));
    assert!(error.detail.as_ref().unwrap().contains("item 77"), "{error}");
}

#[test]
fn a_session_lost_in_one_lane_costs_its_span_and_nothing_else() {
    let (site, order) = prepared();
    let expected = site.hsm("instance").issue_chunk(&order).unwrap();
    for fault in ["drop-session", "drop-login", "return CKR_DEVICE_REMOVED"] {
        for function in ["C_DeriveKey", "C_WrapKey", "C_DestroyObject"] {
            let (hsm, log) = scripted(&site, 8, &format!("{function} 101 {fault}\n"));
            hsm.status().unwrap();
            let before = hsm.worker_id();
            assert_eq!(hsm.issue_chunk(&order).unwrap(), expected, "{function} {fault}");
            assert_eq!(fired(&log), 1, "{function} {fault}");
            assert_eq!(hsm.worker_id(), before, "the same worker went on: {function} {fault}");
        }
    }
    // What was finished is not made again: the 200 keys, made twice and compared, take 400 derivations and at most two more for
    // each lane, in which a span of one key was cut off. A repeat of the order would pass the 500th.
    let (hsm, log) = scripted(&site, 8, "C_WrapKey 101 drop-session\nC_DeriveKey 417+ return CKR_KEY_UNEXTRACTABLE\n");
    assert_eq!(hsm.issue_chunk(&order).unwrap(), expected);
    assert_eq!(fired(&log), 1);
}

#[test]
fn the_first_error_of_a_lane_stops_the_order() {
    let (site, order) = prepared();
    let long = ChunkOrder {
        blocks: (0..4000_u32).map(|n| [n.to_be_bytes(); 4].concat().try_into().unwrap()).collect(),
        ..order
    };
    let script = "C_WrapKey 50 return CKR_KEY_UNEXTRACTABLE\nC_WrapKey 10000+ return CKR_MECHANISM_INVALID\n";
    let (hsm, log) = scripted(&site, 8, script);
    let error = hsm.issue_chunk(&long).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Refused, "CKR_KEY_UNEXTRACTABLE"));
    assert!(error.detail.as_ref().unwrap().contains("master"), "{error}");
    assert_eq!(fired(&log), 1, "the other lanes went on with 20,000 keys");
}

#[test]
fn a_token_with_few_sessions_gives_what_it_has() {
    let (site, order) = prepared();
    let expected = site.hsm("instance").issue_chunk(&order).unwrap();
    // The worker's own session and four more; the sixth and later ones are refused.
    let script = "C_OpenSession 6+ return CKR_SESSION_COUNT\nC_DeriveKey every delay 5ms\n";
    let (hsm, _) = scripted(&site, 64, script);
    assert_eq!(hsm.issue_chunk(&order).unwrap(), expected);
    let lanes = hsm.status().unwrap().lanes;
    assert_eq!((lanes.wanted, lanes.given), (64, Some(5)));
    // And from then on none but its own.
    assert_eq!(hsm.issue_chunk(&order).unwrap(), expected);
    assert_eq!(hsm.status().unwrap().lanes.given, Some(1));
}

#[test]
fn no_key_stays_in_the_token_whatever_a_lane_meets() {
    let (site, order) = prepared();
    for (class, lost, script) in [
        (None, 0, ""),
        // The key in a session that is gone went with it.
        (None, 1, "C_WrapKey 60 drop-session\n"),
        (None, 0, "C_GetAttributeValue 160 return CKR_DEVICE_REMOVED\n"),
        (Some(FaultClass::Refused), 0, "C_WrapKey 60 return CKR_KEY_UNEXTRACTABLE\n"),
        (Some(FaultClass::Refused), 0, "C_WrapKey 60 truncate 1\n"),
        (Some(FaultClass::Refused), 0, "C_WrapKey 60 said-error CKR_KEY_UNEXTRACTABLE\n"),
    ] {
        let count = site.directory.path().join("count");
        let (config, log) = configured(&site, 8, script);
        let hsm = HsmClient::new(counting(config, &count)).unwrap();
        let found = hsm.issue_chunk(&order);
        assert_eq!(found.as_ref().err().map(|error| error.class), class, "{script}: {found:?}");
        assert_eq!(fired(&log), usize::from(!script.is_empty()), "{script}");
        let text = fs::read_to_string(&count).unwrap();
        let (made, destroyed) = text.split_once(' ').unwrap();
        let (made, destroyed): (u64, u64) = (made.parse().unwrap(), destroyed.parse().unwrap());
        assert!(made >= 50, "{script}: {text}");
        assert_eq!(made - destroyed, lost, "{script}: {text}");
    }
}

/// The same, with every key that comes and goes counted in a file.
fn counting(mut config: HsmConfig, count: &Path) -> HsmConfig {
    config.module = library("libfaulty_module.so");
    config.environment.extend([
        ("FAULTY_MODULE".to_owned(), module().display().to_string()),
        ("FAULTY_SCRIPT".to_owned(), "C_Sign 1 pass".to_owned()),
        ("FAULTY_COUNT".to_owned(), count.display().to_string()),
    ]);
    config
}
