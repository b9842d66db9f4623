//! Private key files.

use der::{Encode as _, asn1::OctetStringRef};
use getrandom::SysRng;
use kms_core::{
    secret::Pin,
    sm2::{KEY_FILE_BYTES_MAX, KeyFileError, PemLabel, SecretKey},
};
use pkcs8::{EncryptedPrivateKeyInfoRef, pkcs5::pbes2::Parameters};

/// `openssl ecparam -name SM2 -genkey`, OpenSSL 3.0, as printed.
const OPENSSL_ECPARAM: &str = "-----BEGIN SM2 PARAMETERS-----\nBggqgRzPVQGCLQ==\n-----END SM2 PARAMETERS-----\n";

pub(crate) fn pin(text: &str) -> Pin {
    Pin::try_from(text.to_owned()).unwrap()
}

#[test]
fn encrypted_files_round_trip() {
    let key = SecretKey::generate(&mut SysRng).unwrap();
    let pem = key.to_pkcs8_encrypted_pem(&pin("correct horse"), &mut SysRng).unwrap();
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
    let read = SecretKey::from_pkcs8_encrypted_pem(&pem, &pin("correct horse")).unwrap();
    assert_eq!(read.expose_scalar(), key.expose_scalar());
    let wrong = SecretKey::from_pkcs8_encrypted_pem(&pem, &pin("Correct horse")).err();
    assert!(matches!(wrong, Some(KeyFileError::WrongPassword | KeyFileError::NotSm2)), "{wrong:?}");
}

#[test]
fn plain_files_round_trip() {
    let key = SecretKey::generate(&mut SysRng).unwrap();
    let pem = key.dangerous_to_plain_pkcs8_pem().unwrap();
    assert_eq!(SecretKey::from_pkcs8_pem(&pem).unwrap().expose_scalar(), key.expose_scalar());
}

#[test]
fn other_pem_blocks_are_named() {
    let key = SecretKey::generate(&mut SysRng).unwrap();
    let public = key.public().to_pem();
    let expected = "ENCRYPTED PRIVATE KEY";
    let error = SecretKey::from_pkcs8_encrypted_pem(&public, &pin("x")).err();
    assert_eq!(error, Some(KeyFileError::Label { expected, found: PemLabel::PublicKey }));
    let plain = key.dangerous_to_plain_pkcs8_pem().unwrap();
    let error = SecretKey::from_pkcs8_encrypted_pem(&plain, &pin("x")).err();
    assert_eq!(error, Some(KeyFileError::Label { expected, found: PemLabel::PrivateKey }));
    assert_eq!(SecretKey::from_pkcs8_pem("").err(), Some(KeyFileError::NotPem));
    assert_eq!(SecretKey::from_pkcs8_pem(OPENSSL_ECPARAM).err().map(|_| ()), Some(()));
    let long = "x".repeat(KEY_FILE_BYTES_MAX + 1);
    assert!(matches!(SecretKey::from_pkcs8_pem(&long), Err(KeyFileError::TooLong { .. })));
}

#[test]
fn files_that_ask_for_too_much_work_are_refused_before_the_work() {
    let costly = Parameters::generate_pbkdf2_sha256_aes256cbc(10_000_001, &[0; 16], [0; 16]).unwrap();
    let info = EncryptedPrivateKeyInfoRef {
        encryption_algorithm: costly.into(),
        encrypted_data: OctetStringRef::new(&[0; 160]).unwrap(),
    };
    let label = "ENCRYPTED PRIVATE KEY";
    let pem = der::pem::encode_string(label, der::pem::LineEnding::LF, &info.to_der().unwrap()).unwrap();
    assert_eq!(SecretKey::from_pkcs8_encrypted_pem(&pem, &pin("x")).err(), Some(KeyFileError::TooCostly));
}
