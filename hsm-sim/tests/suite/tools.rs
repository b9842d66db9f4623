//! The token in the hands of other people's programs.

use crate::harness::*;

#[test]
fn pkcs11_tool_sees_slots_mechanisms_and_objects() {
    if !alone("tools::pkcs11_tool_sees_slots_mechanisms_and_objects") {
        return;
    }
    let s = user_token();
    let (public, private) = crate::roles::signing_pair("log");
    s.pair(&public, &private).unwrap();
    s.generate(&crate::roles::master("master", true)).unwrap();
    let module = library();
    let module = module.to_str().unwrap();
    let run = |args: &[&str]| {
        let (status, text) = tool("pkcs11-tool", "opensc", &[&["--module", module], args].concat());
        assert!(status.success(), "pkcs11-tool {args:?}: {text}");
        text
    };
    let listed = run(&["-L", "-M", "-O", "--login", "--pin", USER_PIN]);
    for expected in [
        "token model        : hsm-sim",
        "token manufacturer : KMS project",
        "mechtype-0x80050009",
        "mechtype-0x8D530001",
        "wrap, unwrap",
        "Private Key Object",
        "Public Key Object",
        "Secret Key Object",
        "6d6173746572",
    ] {
        assert!(listed.contains(expected), "no {expected:?} in:\n{listed}");
    }
    assert!(!run(&["-O"]).contains("Secret Key Object"), "private objects without a login");
    for own_tests in [&["--test", "--login", "--pin", USER_PIN][..], &["--test-fork"], &["--test-threads", "ILT"]] {
        let text = run(own_tests);
        assert!(!text.contains("ERR"), "{own_tests:?}: {text}");
    }
    assert!(run(&["--test"]).contains("No errors"));
    let random = run(&["--generate-random", "16", "--output-file", "/dev/null"]);
    assert!(!random.contains("error"), "{random}");
    // Digests, of the standard's number and of a vendor's, against known answers.
    let dir = tempfile::tempdir().unwrap();
    let (text, out) = (dir.path().join("text"), dir.path().join("digest"));
    std::fs::write(&text, b"abc").unwrap();
    for (number, expected) in [
        ("SHA256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "SHA512",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        ("0x8005000E", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"),
    ] {
        let files = ["--input-file", text.to_str().unwrap(), "--output-file", out.to_str().unwrap()];
        run(&[&["--hash", "-m", number], &files[..]].concat());
        assert_eq!(hex::encode(std::fs::read(&out).unwrap()), expected, "{number}");
    }
    let initialised = run(&["--init-token", "--slot", "1", "--label", "second", "--so-pin", SO_PIN]);
    assert!(initialised.contains("successfully initialized"), "{initialised}");
    run(&["--slot", "1", "--login", "--login-type", "so", "--so-pin", SO_PIN, "--init-pin", "--pin", USER_PIN]);
}

#[test]
fn p11tool_lists_mechanisms() {
    if !alone("tools::p11tool_lists_mechanisms") {
        return;
    }
    user_token();
    let module = library();
    let provider = ["--provider", module.to_str().unwrap()];
    let (status, text) =
        tool("p11tool", "gnutls-bin", &[&provider[..], &["--list-mechanisms", "pkcs11:token=test"]].concat());
    assert!(status.success() && text.contains("[0x80050009]") && text.contains("derive"), "{text}");
    let (status, text) = tool("p11tool", "gnutls-bin", &[&provider[..], &["--list-tokens"]].concat());
    assert!(status.success() && text.contains("model=hsm-sim"), "{text}");
    let (status, text) =
        tool("p11tool", "gnutls-bin", &[&provider[..], &["--generate-random", "16", "pkcs11:token=test"]].concat());
    assert!(status.success(), "{text}");
    // Public objects, written and removed by another program.
    let login = ["--batch", "--login", "--set-pin", USER_PIN];
    let run = |args: &[&str]| tool("p11tool", "gnutls-bin", &[&provider[..], &login, args].concat());
    let secret = "--secret-key=00112233445566778899aabbccddeeff";
    let (status, text) = run(&["--write", secret, "--label", "stored", "pkcs11:token=test"]);
    assert!(status.success(), "{text}");
    let (status, text) = run(&["--list-all", "pkcs11:token=test"]);
    assert!(status.success() && text.contains("stored"), "{text}");
    let (status, text) = run(&["--delete", "pkcs11:token=test;object=stored"]);
    assert!(status.success(), "{text}");
}
