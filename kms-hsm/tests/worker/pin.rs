//! PINs: one attempt, no repetition, nothing shown.

use kms_core::ports::{FaultClass, Hsm as _, PinState};
use kms_hsm::{HsmClient, PinSource, SoClient};

use crate::harness::{Site, USER_PIN, id, pin};

const WRONG: &str = "wrong-pin-000000";

#[test]
fn a_wrong_pin_is_tried_once_and_then_waits_for_a_person() {
    let site = Site::with_tokens(&["instance"]);
    let hsm = HsmClient::new(site.config("instance", WRONG)).unwrap();
    // Far more calls than the token forgives attempts.
    for _ in 0..25 {
        let error = hsm.random(1).unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (FaultClass::Pin, "CKR_PIN_INCORRECT"));
        assert_eq!(error.function, "C_Login");
        assert!(!format!("{error:?}{error}{hsm:?}").contains(WRONG));
    }
    assert_eq!(hsm.generate_masters(&[]).unwrap_err().class, FaultClass::Pin);
    assert_eq!(hsm.status().unwrap().user_pin, PinState::CountLow);
    hsm.reset_pin(PinSource::given(pin(USER_PIN)));
    assert_eq!(hsm.random(1).unwrap().len(), 1);
    assert_eq!(hsm.status().unwrap().user_pin, PinState::Good);
}

#[test]
fn the_last_attempt_is_left_to_a_person() {
    let site = Site::with_tokens(&["instance"]);
    let watcher = site.hsm("instance");
    let mut attempts = 0;
    while watcher.status().unwrap().user_pin != PinState::FinalTry {
        let hsm = HsmClient::new(site.config("instance", WRONG)).unwrap();
        assert_eq!(hsm.random(1).unwrap_err().code, "CKR_PIN_INCORRECT");
        attempts += 1;
        assert!(attempts < 20, "the token never warned");
    }
    let hsm = site.hsm("instance");
    let error = hsm.random(1).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Pin, "PIN_FINAL_TRY"));
    assert_eq!(hsm.status().unwrap().user_pin, PinState::FinalTry);
}

#[test]
fn a_locked_officers_pin_says_what_is_left() {
    use kms_core::ports::SecurityOfficerToken as _;
    let site = Site::with_tokens(&["instance"]);
    let trust =
        || SoClient::new(site.config("instance", WRONG)).unwrap().create_transport_key(id(1), "kek").unwrap_err();
    // A person stands behind an officer's login, so the last attempt is not spared.
    let locked = (0..20).map(|_| trust()).find(|error| error.detail.is_some()).unwrap();
    assert_eq!((locked.class, locked.code.as_str()), (FaultClass::Pin, "CKR_PIN_LOCKED"));
    assert!(locked.to_string().contains("initialise the token"), "{locked}");
}

#[test]
fn a_pin_is_neither_in_the_workers_arguments_nor_in_its_environment() {
    let site = Site::with_tokens(&["instance"]);
    let hsm = site.hsm("instance");
    hsm.random(1).unwrap();
    let worker = hsm.worker_id().unwrap();
    for file in ["cmdline", "environ"] {
        // An undumpable process shows these to root only.
        if let Ok(content) = std::fs::read(format!("/proc/{worker}/{file}")) {
            assert!(!content.windows(USER_PIN.len()).any(|window| window == USER_PIN.as_bytes()), "{file}");
        }
    }
    let status = std::fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
    let core = status.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}

#[test]
fn a_pin_file_is_read_and_one_that_others_can_read_is_not() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::with_tokens(&["instance"]);
    let file = site.directory.path().join("pin");
    std::fs::write(&file, format!("{USER_PIN}\n")).unwrap();
    for (mode, works) in [(0o600, true), (0o644, false)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut config = site.config("instance", WRONG);
        config.pin = PinSource::File(file.clone());
        let result = HsmClient::new(config).unwrap().random(1);
        match result {
            Ok(_) => assert!(works),
            Err(error) => {
                assert_eq!((works, error.class, error.code.as_str()), (false, FaultClass::Pin, "PIN_FILE_MODE"));
            }
        }
    }
}
