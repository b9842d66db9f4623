//! Public keys of suite intl, against OpenSSL: forms, purposes, and what a signature must look like.
#![expect(clippy::disallowed_methods, reason = "a test may start openssl and write to a temporary folder")]

use std::fs;
use std::process::Command;

use der::{Decode as _, Encode as _};
use getrandom::SysRng;
use kms_core::{
    encoding::{self, Signed},
    keys::{InvalidPublicKey, PublicKey, SealingKey, Signature, SignatureAlgorithm, SignatureInvalid, VerifyingKey},
    sm2::SecretKey,
    suite::Suite,
};

use crate::encoding::{Example, example};

/// The order of P-256 (SP 800-186).
const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    #[track_caller]
    fn openssl(&self, line: &str) -> Vec<u8> {
        let output = Command::new("openssl").current_dir(self.0.path()).args(line.split(' ')).output();
        let output = output.expect("openssl is needed for this test: apt-get install openssl");
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// SubjectPublicKeyInfo of a fresh key.
    fn key(&self, options: &str) -> Vec<u8> {
        self.openssl(&format!("genpkey {options} -out key.pem"));
        self.openssl("pkey -in key.pem -pubout -outform DER")
    }

    fn sign(&self, message: &[u8]) -> Signature {
        fs::write(self.0.path().join("message"), message).unwrap();
        Signature::from_der(&self.openssl("dgst -sha256 -sign key.pem message")).unwrap()
    }
}

const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";

/// `n - s`: the other signature that ECDSA accepts.
fn twin(signature: &Signature) -> Signature {
    let order = hex::decode(ORDER).unwrap();
    let mut raw = signature.to_raw();
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i16::from(order[at]) - i16::from(raw[32 + at]) - borrow;
        borrow = i16::from(difference < 0);
        raw[32 + at] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    Signature::from_raw(&raw).unwrap()
}

#[test]
fn of_two_ecdsa_signatures_one_counts() {
    let folder = Folder::new();
    let spki = folder.key(P256);
    let key = VerifyingKey::from_spki_der(&spki).unwrap();
    assert_eq!((key.suite(), key.algorithm()), (Suite::Intl, SignatureAlgorithm::EcdsaP256Sha256));
    assert_eq!((key.to_spki_der(), VerifyingKey::from_pem(&key.to_pem()).unwrap()), (spki, key));
    for message in [&b"one"[..], b"two", b"three", b"four"] {
        let made = folder.sign(message);
        let low = key.normalized(&made).unwrap();
        let high = twin(&low);
        assert!(made == low || made == high);
        assert_eq!(key.normalized(&high).unwrap(), low);
        assert_eq!(key.verify(message, &low), Ok(()));
        assert_eq!(key.verify(message, &high), Err(SignatureInvalid));
        assert_eq!(key.verify(b"another", &low), Err(SignatureInvalid));
        assert_eq!(Signature::from_der(&low.to_der()).unwrap(), low);
    }
    // Beyond the order: well-formed numbers of this width, but no signature.
    let order: [u8; 32] = hex::decode(ORDER).unwrap().try_into().unwrap();
    let beyond = Signature::from_raw(&[[1; 32], order].concat().try_into().unwrap()).unwrap();
    assert_eq!(key.verify(b"one", &beyond), Err(SignatureInvalid));
}

#[test]
fn a_document_names_the_algorithm_of_its_key() {
    let folder = Folder::new();
    let key = VerifyingKey::from_spki_der(&folder.key(P256)).unwrap();
    let bytes = encoding::encode(&example(1)).unwrap();
    let signature = key.normalized(&folder.sign(&bytes)).unwrap();
    let signed = Signed::assemble(example(1), key.algorithm(), &signature).unwrap();
    let read = Signed::<Example>::parse(signed.bytes()).unwrap();
    assert_eq!(read.verify(&key).unwrap(), &example(1));
    let renamed = Signed::assemble(example(1), SignatureAlgorithm::Sm2Sm3, &signature).unwrap();
    assert_eq!(renamed.verify(&key).err(), Some(SignatureInvalid));

    let person = SecretKey::generate(&mut SysRng).unwrap();
    let signature = person.sign(&bytes).unwrap();
    let signed = Signed::assemble(example(1), SignatureAlgorithm::Sm2Sm3, &signature).unwrap();
    assert!(signed.verify(person.public()).is_ok());
    assert!(signed.verify(&VerifyingKey::from(*person.public())).is_ok());
    let renamed = Signed::assemble(example(1), SignatureAlgorithm::EcdsaP256Sha256, &signature).unwrap();
    assert_eq!(renamed.verify(person.public()).err(), Some(SignatureInvalid));
}

#[test]
fn keys_have_one_form_and_one_purpose() {
    let folder = Folder::new();
    for bits in [2048, 3072] {
        let spki = folder.key(&format!("-algorithm RSA -pkeyopt rsa_keygen_bits:{bits}"));
        let key = SealingKey::from_spki_der(&spki).unwrap();
        assert_eq!((key.suite(), key.as_rsa().unwrap().modulus().len()), (Suite::Intl, bits / 8));
        assert_eq!(key.to_spki_der(), spki);
        assert_eq!(SealingKey::from_der(&key.to_der().unwrap()).unwrap(), key);
        assert_eq!(SealingKey::from_pem(&key.to_pem()).unwrap(), key);
        let purpose = Err(InvalidPublicKey::Purpose { kind: "RSA", wanted: "verifying" });
        assert_eq!(VerifyingKey::from_spki_der(&spki), purpose);
        // Every bit of what stands around the modulus, and its lowest and highest.
        let frame = (0..8 * 33).chain([8 * 33 + 7]).chain(8 * (spki.len() - 6)..8 * spki.len());
        for bit in frame {
            let mut bad = spki.clone();
            bad[bit / 8] ^= 0x80 >> (bit % 8);
            let read = PublicKey::from_spki_der(&bad);
            assert!(
                read.as_ref().map_or(true, |read| read.to_spki_der() == bad && bit / 8 >= 32),
                "bit {bit}: {read:?}"
            );
        }
    }
    let weak = folder.key("-algorithm RSA -pkeyopt rsa_keygen_bits:1024");
    assert_eq!(PublicKey::from_spki_der(&weak), Err(InvalidPublicKey::Rsa));
    let three = folder.key("-algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3");
    assert_eq!(PublicKey::from_spki_der(&three), Err(InvalidPublicKey::Rsa));
    let p256 = folder.key(P256);
    let purpose = Err(InvalidPublicKey::Purpose { kind: "P-256", wanted: "sealing" });
    assert_eq!(SealingKey::from_spki_der(&p256), purpose);
    for other in ["-algorithm EC -pkeyopt ec_paramgen_curve:P-384", "-algorithm ED25519"] {
        assert_eq!(PublicKey::from_spki_der(&folder.key(other)), Err(InvalidPublicKey::Algorithm));
    }
}
