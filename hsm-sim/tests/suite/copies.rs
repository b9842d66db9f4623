//! Copies of a token: the same keys under another serial number, brought up to date without losing it.

use std::{path::Path, process::Command};

use crate::harness::*;

/// `pkcs11-tool` on a directory of tokens.
fn listed(dir: &Path) -> String {
    let module = library();
    let arguments = ["--module", module.to_str().unwrap(), "-L", "-O", "--login", "--pin", USER_PIN];
    let output = Command::new("pkcs11-tool").args(arguments).env("HSM_SIM_DIR", dir).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn clone_to(to: &Path, so_pin: &Path, pin: &Path) -> (bool, String) {
    let from = std::env::var_os("HSM_SIM_DIR").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_hsm-sim-clone"))
        .arg(from)
        .arg(to)
        .args(["--label", "test", "--so-pin-file"])
        .arg(so_pin)
        .arg("--pin-file")
        .arg(pin)
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[test]
fn a_copy_has_the_keys_a_serial_of_its_own_and_follows() {
    if !alone("copies::a_copy_has_the_keys_a_serial_of_its_own_and_follows") {
        return;
    }
    let s = user_token();
    s.generate(&crate::roles::master("first", true)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (so_pin, pin, copy) = (folder.path().join("so"), folder.path().join("pin"), folder.path().join("copy"));
    std::fs::write(&so_pin, SO_PIN).unwrap();
    std::fs::write(&pin, format!("{USER_PIN}\n")).unwrap();
    assert!(!clone_to(&copy, &pin, &pin).0, "a wrong SO PIN copies nothing");
    let (good, serial) = clone_to(&copy, &so_pin, &pin);
    assert!(good && serial.len() == 16, "{serial}");
    let own = listed(Path::new(&std::env::var_os("HSM_SIM_DIR").unwrap()));
    let copied = listed(&copy);
    assert!(copied.contains(&serial) && !own.contains(&serial), "{copied}");
    // "first" and "second" as CKA_ID.
    assert!(copied.contains("6669727374") && !copied.contains("7365636f6e64"), "{copied}");
    s.generate(&crate::roles::master("second", true)).unwrap();
    assert_eq!(clone_to(&copy, &so_pin, &pin), (true, serial.clone()), "the copy stays who it is");
    let copied = listed(&copy);
    assert!(copied.contains(&serial) && copied.contains("7365636f6e64"), "{copied}");
}
