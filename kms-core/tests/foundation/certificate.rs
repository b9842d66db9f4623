//! Certificates made with OpenSSL.

use kms_core::certificate::{CERTIFICATE_BYTES_MAX, Certificate, CertificateError};

const CA: &[u8] = include_bytes!("../vectors/certificates/ca.pem");
const SIGN: &[u8] = include_bytes!("../vectors/certificates/sign.pem");
const ENCRYPT: &[u8] = include_bytes!("../vectors/certificates/encrypt.pem");

fn read(pem: &[u8]) -> Certificate {
    Certificate::parse(pem).unwrap()
}

#[test]
fn signing_and_encryption_certificates() {
    let (ca, sign, encrypt) = (read(CA), read(SIGN), read(ENCRYPT));
    assert_eq!(sign.subject(), "yellow-river-cards signing");
    assert_eq!((sign.may_sign(), sign.may_encrypt(), sign.may_issue()), (true, false, false));
    assert_eq!((encrypt.may_sign(), encrypt.may_encrypt(), encrypt.may_issue()), (false, true, false));
    assert_eq!((ca.may_sign(), ca.may_encrypt(), ca.may_issue()), (false, false, true));
    assert_eq!(sign.serial().len(), 20);
    assert_ne!(sign.public_key(), encrypt.public_key());
    for issued in [&ca, &sign, &encrypt] {
        assert_eq!(issued.verify_issued_by(ca.public_key()), Ok(()));
        assert!(matches!(issued.verify_issued_by(sign.public_key()), Err(CertificateError::NotIssuedBy(_))));
    }
    assert_eq!(Certificate::from_der(sign.der()).unwrap(), sign);
    assert_eq!(sign.to_pem().as_bytes(), SIGN);
}

#[test]
fn validity_has_two_ends() {
    let certificate = read(SIGN);
    let (from, to) = (certificate.not_before_ms(), certificate.not_after_ms());
    assert_eq!(to - from, 3650 * 24 * 60 * 60 * 1000);
    for good in [from, from + 1, to, to + 999] {
        assert_eq!(certificate.check_valid_at(good), Ok(()));
    }
    let early = CertificateError::NotYetValid { not_before_ms: from, now_ms: from - 1 };
    assert_eq!(certificate.check_valid_at(from - 1), Err(early));
    let late = CertificateError::Expired { not_after_ms: to, now_ms: to + 1000 };
    assert_eq!(certificate.check_valid_at(to + 1000), Err(late));
}

#[test]
fn certificates_must_be_refused() {
    for (pem, reason) in [
        (&include_bytes!("../vectors/certificates/p256.pem")[..], CertificateError::Algorithm),
        (include_bytes!("../vectors/certificates/rsa.pem"), CertificateError::Algorithm),
        (include_bytes!("../vectors/certificates/ecdsa-signed.pem"), CertificateError::Algorithm),
        (include_bytes!("../vectors/certificates/nousage.pem"), CertificateError::KeyUsageMissing),
        (include_bytes!("../vectors/certificates/critical.pem"), CertificateError::CriticalExtension),
        (include_bytes!("../vectors/certificates/twonames.pem"), CertificateError::CommonName),
        (include_bytes!("../vectors/certificates/noname.pem"), CertificateError::CommonName),
        (b"", CertificateError::NotCertificate),
        (b"-----BEGIN CERTIFICATE-----\n", CertificateError::NotPem),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", CertificateError::NotPem),
    ] {
        assert_eq!(Certificate::parse(pem).err(), Some(reason));
    }
    let long = vec![0x30; CERTIFICATE_BYTES_MAX + 1];
    assert!(matches!(Certificate::from_der(&long), Err(CertificateError::TooLong { .. })));
    assert!(matches!(Certificate::parse(&[long.clone(), long].concat()), Err(CertificateError::TooLong { .. })));
}

#[test]
fn every_changed_bit_and_every_cut_is_refused() {
    let ca = read(CA);
    let good = read(SIGN).der().to_vec();
    let accepted =
        |der: &[u8]| Certificate::from_der(der).is_ok_and(|read| read.verify_issued_by(ca.public_key()).is_ok());
    assert!(accepted(&good));
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(!accepted(&bad), "bit {bit}");
    }
    for end in 0..good.len() {
        assert!(!accepted(&good[..end]), "{end}");
    }
    assert!(!accepted(&[&good[..], &[0]].concat()));
}
