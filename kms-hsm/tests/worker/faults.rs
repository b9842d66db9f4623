//! Workers that die or hang, modules that are missing, maps that are wrong.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kms_core::ports::{ChunkOrder, Custody, FaultClass, Hsm as _, SecurityOfficerToken as _};
use kms_hsm::{HsmClient, MapError, VendorMap};

use crate::harness::{Site, USER_PIN, id, map, module, spec};

fn signal(process: u32, name: &str) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

/// 57,000 keys: long enough to be interrupted.
fn long_order(site: &Site, hsm: &HsmClient) -> ChunkOrder {
    site.officer("instance").create_transport_key(id(0x40), "kek").unwrap();
    hsm.generate_masters(&[spec(1, Custody::Local)]).unwrap();
    ChunkOrder { kek: id(0x40), masters: vec![(id(1), true); 57], blocks: vec![[1; 16]; 1000] }
}

#[test]
fn a_worker_killed_in_mid_call_is_replaced() {
    let site = Site::with_tokens(&["instance"]);
    let hsm = site.hsm("instance");
    let order = long_order(&site, &hsm);
    hsm.random(1).unwrap();
    let first = hsm.worker_id().unwrap();
    let cards = std::thread::scope(|scope| {
        let call = scope.spawn(|| hsm.issue_chunk(&order));
        std::thread::sleep(Duration::from_millis(50));
        signal(first, "-KILL");
        call.join().unwrap()
    });
    // The chunk is idempotent, so the client repeated it by itself.
    assert_eq!(cards.unwrap().len(), 1000);
    assert_ne!(hsm.worker_id().unwrap(), first);
    hsm.random(1).unwrap();

    // And between two calls.
    signal(hsm.worker_id().unwrap(), "-KILL");
    hsm.random(1).unwrap();
}

#[test]
fn a_worker_that_hangs_meets_its_deadline() {
    let site = Site::with_tokens(&["instance"]);
    let mut config = site.config("instance", USER_PIN);
    config.deadline = Duration::from_secs(2);
    let hsm = HsmClient::new(config).unwrap();
    hsm.random(1).unwrap();
    let first = hsm.worker_id().unwrap();
    signal(first, "-STOP");
    let started = Instant::now();
    hsm.random(1).unwrap();
    let took = started.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(10)).contains(&took), "{took:?}");
    assert_ne!(hsm.worker_id().unwrap(), first);
    assert!(!Path::new(&format!("/proc/{first}")).exists(), "the hanging worker was killed and reaped");
}

#[test]
fn a_missing_module_is_broken_quickly_and_recovers_by_itself() {
    let site = Site::with_tokens(&["instance"]);
    let place = site.directory.path().join("module.so");
    let mut config = site.config("instance", USER_PIN);
    config.module = place.clone();
    let hsm = HsmClient::new(config).unwrap();
    let error = hsm.status().unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Broken, "MODULE_MISSING"));
    let started = Instant::now();
    for _ in 0..50 {
        assert_eq!(hsm.random(1).unwrap_err().class, FaultClass::Broken);
    }
    assert!(started.elapsed() < Duration::from_secs(1), "calls in between fail at once");

    std::fs::write(&place, b"not a library").unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(hsm.random(1).unwrap_err().code, "MODULE_UNUSABLE");

    std::fs::copy(module(), &place).unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    hsm.random(1).unwrap();
}

#[test]
fn a_library_that_is_no_pkcs11_module_is_named() {
    let site = Site::with_tokens(&["instance"]);
    let mapped = std::fs::read_to_string("/proc/self/maps").unwrap();
    let libc = mapped.split_whitespace().find(|word| word.contains("/libc.so") || word.contains("/libc-")).unwrap();
    let mut config = site.config("instance", USER_PIN);
    config.module = libc.into();
    let error = HsmClient::new(config).unwrap().status().unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Broken, "MODULE_UNUSABLE"));
    let told = error.to_string();
    assert!(told.contains(libc) && told.contains("C_GetFunctionList") && told.contains("give the maker's"), "{told}");
}

#[test]
fn a_token_that_cannot_be_told_says_why() {
    let blank = Site::new().hsm("instance").status().unwrap_err();
    assert_eq!((blank.class, blank.code.as_str()), (FaultClass::Broken, "TOKEN_UNINITIALISED"));
    assert!(blank.to_string().contains("initialise one"), "{blank}");

    let (site, other) = (Site::with_tokens(&["twin"]), Site::with_tokens(&["twin"]));
    let error = site.hsm("instance").status().unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Broken, "TOKEN_MISSING"));
    let serials = [&site, &other].map(|site| site.hsm("twin").status().unwrap().serial);
    assert!(error.to_string().contains(&serials[0]), "{error}");
    let (from, to) = (other.directory.path().join("token-0000"), site.directory.path().join("token-0001"));
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    let error = site.hsm("twin").status().unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Refused, "TOKEN_AMBIGUOUS"));
    assert!(serials.iter().all(|serial| error.to_string().contains(serial)), "{error}");
    let mut config = site.config("twin", USER_PIN);
    config.token_serial = Some(serials[1].clone());
    assert_eq!(HsmClient::new(config).unwrap().status().unwrap().serial, serials[1]);
}

#[test]
fn a_missing_worker_is_broken() {
    let site = Site::with_tokens(&["instance"]);
    let mut config = site.config("instance", USER_PIN);
    config.worker = Some(site.directory.path().join("nothing"));
    let error = HsmClient::new(config).unwrap().status().unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Broken, "WORKER_MISSING"));
}

#[test]
fn a_worker_ends_with_its_client() {
    let site = Site::with_tokens(&["instance"]);
    let hsm = site.hsm("instance");
    hsm.random(1).unwrap();
    let worker = hsm.worker_id().unwrap();
    drop(hsm);
    assert!(!Path::new(&format!("/proc/{worker}")).exists());
}

#[test]
fn an_operation_without_a_number_is_refused() {
    let site = Site::with_tokens(&["instance"]);
    let without: String = std::fs::read_to_string(map())
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with("hmac-sm3"))
        .map(|line| format!("{line}\n"))
        .collect();
    let place = site.directory.path().join("map.toml");
    std::fs::write(&place, without).unwrap();
    let mut config = site.config("instance", USER_PIN);
    config.map = place;
    let hsm = HsmClient::new(config).unwrap();
    hsm.create_instance_keys(&crate::harness::instance_ids()).unwrap();
    let error = hsm.card_index(crate::harness::instance_ids().index, &[vec![1]]).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Refused, "OPERATION_NOT_MAPPED"));
    assert!(error.to_string().contains("hmac-sm3"), "{error}");
}

fn map_error(change: impl Fn(&str) -> String) -> MapError {
    let text = change(&std::fs::read_to_string(map()).unwrap());
    VendorMap::parse(Path::new("vendor.toml"), &text).unwrap_err()
}

#[test]
fn a_wrong_map_is_refused_with_file_line_and_reason() {
    let line_of = |needle: &str| {
        let text = std::fs::read_to_string(map()).unwrap();
        1 + text.lines().position(|line| line.starts_with(needle)).unwrap()
    };
    for (from, to, needle, reason) in [
        ("sm4-key-gen = ", "sm4-keygen = ", "sm4-key-gen", "unknown mechanism"),
        ("0x8D53_0004", "0x1_0000_0000", "hmac-sm3", "0x100000000"),
        ("0x8D53_0004", "0", "hmac-sm3", "not between"),
        ("0x8D53_0004", "-1", "hmac-sm3", "invalid"),
        ("0x8D53_0004", "\"x\"", "hmac-sm3", "invalid type"),
        ("point = \"octet-string\"", "point = \"hex\"", "point", "unknown variant"),
        ("signature = \"r-s\"", "signature = \"r-s\"\nz = 1", "ciphertext", "unknown field"),
        ("sm4 = { number = 0x8005_0001", "sm4 = { number = 0x8005_0002", "sm4 = ", "same key type"),
        ("sm4 = { number", "aes = { number", "sm4 = ", "other suite"),
        ("sm4-gcm = { number = 0x8D53_0002", "sm4-gcm = { number = 0x8D53_0001", "sm4-key-wrap", "same number"),
        ("evidence = \"header\"", "evidence = \"rumour\"", "sm2 = ", "unknown variant"),
        ("name = \"hsm-sim\"", "name = \"HSM sim\"", "name", "lower-case"),
        ("point =", "check-value = \"derive\"\npoint =", "point", "derive-template"),
        (
            "xor-keys =",
            "hmac-sha256 = { number = 0x251, source = \"\", evidence = \"standard\" }\nxor-keys =",
            "hmac-sm3",
            "not both",
        ),
        (
            "sm2 = { number",
            "sm1 = { number = 0x8000_0009, source = \"\", evidence = \"header\" }\nsm2 = { number",
            "sm2 = ",
            "sm1",
        ),
    ] {
        let error = map_error(|text| text.replacen(from, to, 1));
        assert_eq!(error.line, Some(line_of(needle)), "{error}");
        let shown = error.to_string();
        assert!(shown.starts_with(&format!("vendor.toml:{}: ", line_of(needle))), "{shown}");
        assert!(shown.contains(reason), "{shown}");
    }
    assert!(map_error(|text| text.replace("ciphertext = \"der\"\n", "")).to_string().contains("missing field"));
    let twice = map_error(|text| text.replace("point =", "key-wrap = \"ecb\"\npoint ="));
    assert!(twice.to_string().contains("leave sm4-key-wrap out"), "{twice}");
    let sm1 = map_error(|text| text.replace("[key-types]", "[cards]\nalgorithm = \"sm1\"\n[key-types]"));
    assert!(sm1.to_string().contains("needs sm1"), "{sm1}");
    let unreadable = VendorMap::read(Path::new("/nonexistent/map.toml")).unwrap_err();
    assert!(unreadable.to_string().starts_with("/nonexistent/map.toml: cannot be read"), "{unreadable}");
}
