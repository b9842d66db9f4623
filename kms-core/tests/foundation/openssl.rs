//! Side by side with the `openssl` command, which auditors use. It must be installed.
#![expect(clippy::disallowed_methods, reason = "a test may start openssl and write to a temporary folder")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use getrandom::SysRng;
use kms_core::{
    digest::Digest,
    encoding::{self, Signed},
    keys::{Signature, SignatureAlgorithm},
    sm2::SecretKey,
};

use crate::{encoding::example, key_file::pin};

const ID: &str = "distid:1234567812345678";

/// Runs openssl in `folder`; its answer, if it succeeded.
fn openssl(folder: &Path, line: &str) -> Option<Vec<u8>> {
    let output = Command::new("openssl").current_dir(folder).args(line.split(' ')).output();
    let output = output.expect("openssl is needed for this test: apt-get install openssl");
    output.status.success().then_some(output.stdout)
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    #[track_caller]
    fn run(&self, line: &str) -> Vec<u8> {
        openssl(self.0.path(), line).unwrap_or_else(|| panic!("openssl {line}"))
    }

    fn fails(&self, line: &str) -> bool {
        openssl(self.0.path(), line).is_none()
    }
}

/// The recipe of the documentation: take a SIGNED document apart with asn1parse, verify with dgst.
#[test]
fn a_signed_document_is_checked_with_openssl_alone() {
    let folder = Folder::new();
    let key = SecretKey::generate(&mut SysRng).unwrap();
    folder.write("pub.pem", key.public().to_pem());
    for version in [0, 1, u64::MAX] {
        let tbs = example(version);
        let signature = key.sign(&encoding::tbs_bytes(&tbs).unwrap()).unwrap();
        let signed = Signed::assemble(tbs, SignatureAlgorithm::Sm2Sm3, &signature).unwrap();
        folder.write("doc.der", signed.bytes());
        let listing = String::from_utf8(folder.run("asn1parse -inform DER -in doc.der")).unwrap();
        let first_level: Vec<_> = listing.lines().filter(|line| line.contains("d=1 ")).collect();
        let offset = |line: &str| line.trim().split(':').next().unwrap().to_owned();
        let (tbs_at, signature_at) = (offset(first_level[0]), offset(first_level[2]));
        folder.run(&format!("asn1parse -inform DER -in doc.der -strparse {tbs_at} -noout -out tbs.der"));
        folder.run(&format!("asn1parse -inform DER -in doc.der -strparse {signature_at} -noout -out sig.der"));
        assert_eq!(folder.read("tbs.der"), signed.tbs_bytes());
        folder.run(&format!("dgst -sm3 -verify pub.pem -sigopt {ID} -signature sig.der tbs.der"));
        folder.write("tbs.der", b"something else");
        assert!(folder.fails(&format!("dgst -sm3 -verify pub.pem -sigopt {ID} -signature sig.der tbs.der")));
    }
}

#[test]
fn signatures_of_openssl_verify_here() {
    let folder = Folder::new();
    folder.run("ecparam -name SM2 -genkey -out key.pem");
    let key = SecretKey::from_pkcs8_pem(&String::from_utf8(folder.read("key.pem")).unwrap()).unwrap();
    for length in [0usize, 1, 55, 56, 64, 1000] {
        let message = vec![0x3c; length];
        folder.write("message", &message);
        folder.run(&format!("dgst -sm3 -sign key.pem -sigopt {ID} -out sig.der message"));
        let signature = Signature::from_der(&folder.read("sig.der")).unwrap();
        assert_eq!(key.public().verify(&message, &signature), Ok(()));
        let digest = String::from_utf8(folder.run("dgst -sm3 -r message")).unwrap();
        assert_eq!(digest.split(' ').next().unwrap(), Digest::of(&message).to_string());
    }
}

#[test]
fn key_files_pass_both_ways() {
    let folder = Folder::new();
    let key = SecretKey::generate(&mut SysRng).unwrap();
    let text = |name: &str| String::from_utf8(folder.read(name)).unwrap();

    // Ours, read by openssl: encrypted and plain.
    folder.write("ours.pem", key.to_pkcs8_encrypted_pem(&pin("four words or more"), &mut SysRng).unwrap());
    folder.write("pin", "four words or more\n");
    folder.run("pkey -in ours.pem -passin file:pin -pubout -out pub.pem");
    assert_eq!(text("pub.pem"), key.public().to_pem());
    folder.write("plain.pem", key.dangerous_to_plain_pkcs8_pem().unwrap());
    assert_eq!(String::from_utf8(folder.run("pkey -in plain.pem -pubout")).unwrap(), key.public().to_pem());

    // Theirs, read here: PBKDF2 and scrypt, plain PKCS#8, SEC1 with and without parameters block.
    for options in ["-v2 aes-256-cbc", "-scrypt", "-v2 aes-128-cbc -v2prf hmacWithSHA256 -iter 100000"] {
        folder.run(&format!("pkcs8 -topk8 -in plain.pem {options} -passout file:pin -out theirs.pem"));
        let read = SecretKey::from_pkcs8_encrypted_pem(&text("theirs.pem"), &pin("four words or more")).unwrap();
        assert_eq!(read.expose_scalar(), key.expose_scalar(), "{options}");
    }
    for command in ["ecparam -name SM2 -genkey", "ecparam -name SM2 -genkey -noout", "genpkey -algorithm SM2"] {
        folder.run(&format!("{command} -out key.pem"));
        let read = SecretKey::from_pkcs8_pem(&text("key.pem")).unwrap();
        let public = String::from_utf8(folder.run("pkey -in key.pem -pubout")).unwrap();
        assert_eq!(read.public().to_pem(), public, "{command}");
    }
    for command in ["ec -in plain.pem", "ec -in plain.pem -no_public"] {
        folder.run(&format!("{command} -out key.pem"));
        let read = SecretKey::from_pkcs8_pem(&text("key.pem")).unwrap();
        assert_eq!(read.expose_scalar(), key.expose_scalar(), "{command}");
    }
    folder.run("ecparam -name prime256v1 -genkey -out key.pem");
    assert!(SecretKey::from_pkcs8_pem(&text("key.pem")).is_err());
}

#[test]
fn sealed_keys_pass_both_ways() {
    let folder = Folder::new();
    let key = SecretKey::generate(&mut SysRng).unwrap();
    folder.write("key.pem", key.dangerous_to_plain_pkcs8_pem().unwrap());
    folder.write("pub.pem", key.public().to_pem());
    for length in [1usize, 16, 33, 200] {
        let plaintext: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
        folder.write("sealed", key.public().encrypt(&plaintext, &mut SysRng).unwrap());
        folder.run("pkeyutl -decrypt -inkey key.pem -in sealed -out opened -pkeyopt digest:sm3");
        assert_eq!(folder.read("opened"), plaintext);
        folder.write("plain", &plaintext);
        folder.run("pkeyutl -encrypt -pubin -inkey pub.pem -in plain -out sealed -pkeyopt digest:sm3");
        assert_eq!(key.decrypt(&folder.read("sealed")).unwrap().as_slice(), plaintext);
    }
}
