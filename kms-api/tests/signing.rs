//! Request signatures: what is signed verifies, and nothing else does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kms_api::signing::{
    CLOCK_SKEW_S_MAX, LIFETIME_S_MAX, SignatureHeaders, SigningError, Unverified, sign_request, verify_request,
};
use kms_core::id::Nonce;
use kms_core::sm2::SecretKey;

const NOW_S: u64 = 1_780_000_000;
const TARGET: &str = "/v1/log/entries?from=0&count=10";
const BODY: &[u8] = br#"{"operation":"pair-nation"}"#;

fn key() -> SecretKey {
    SecretKey::generate(&mut getrandom::SysRng).unwrap()
}

fn signed(key: &SecretKey) -> SignatureHeaders {
    let nonce = Nonce::from_bytes([7; 16]);
    sign_request("POST", TARGET, BODY, NOW_S, nonce, key.public(), |message| key.sign(message)).unwrap()
}

#[test]
fn round_trip() {
    let key = key();
    let parameters = verify_request("POST", TARGET, BODY, &signed(&key), key.public(), NOW_S + 1).unwrap();
    assert_eq!(parameters.nonce, Nonce::from_bytes([7; 16]));
    assert_eq!(parameters.key_id, key.public().id());
    assert_eq!(parameters.expires_s, NOW_S + LIFETIME_S_MAX);
}

#[test]
fn another_method_target_body_or_key_is_refused() {
    let key = key();
    let headers = signed(&key);
    let public = key.public();
    let verify = |method, target, body| verify_request(method, target, body, &headers, public, NOW_S);
    assert_eq!(verify("GET", TARGET, BODY), Err(SigningError::Signature));
    assert_eq!(verify("POST", "/v1/log/entries?from=1&count=10", BODY), Err(SigningError::Signature));
    assert_eq!(verify("POST", "/v1/log/entries", BODY), Err(SigningError::Signature));
    assert!(matches!(verify("POST", TARGET, b"{}"), Err(SigningError::Body { .. })));
    let other = self::key();
    let swapped = verify_request("POST", TARGET, BODY, &headers, other.public(), NOW_S);
    assert_eq!(swapped, Err(SigningError::Signature));
}

#[test]
fn the_window_is_kept() {
    let key = key();
    let headers = signed(&key);
    let at = |now_s| verify_request("POST", TARGET, BODY, &headers, key.public(), now_s);
    assert!(at(NOW_S - CLOCK_SKEW_S_MAX).is_ok());
    assert!(matches!(at(NOW_S - CLOCK_SKEW_S_MAX - 1), Err(SigningError::Expired { .. })));
    assert!(at(NOW_S + LIFETIME_S_MAX - 1).is_ok());
    assert!(matches!(at(NOW_S + LIFETIME_S_MAX), Err(SigningError::Expired { .. })));
}

#[test]
fn every_changed_character_of_a_header_is_refused() {
    let key = key();
    let headers = signed(&key);
    let good = [&headers.content_digest, &headers.signature_input, &headers.signature];
    for (number, value) in good.iter().enumerate() {
        for position in 0..value.len() {
            let mut bytes = value.as_bytes().to_vec();
            bytes[position] = if bytes[position] == b'B' { b'C' } else { b'B' };
            let changed = String::from_utf8(bytes).unwrap();
            let mut parts = good.map(String::as_str);
            parts[number] = &changed;
            let [digest, input, signature] = parts;
            let outcome = Unverified::parse("POST", TARGET, Some(digest), Some(input), Some(signature))
                .and_then(|request| request.verify(key.public(), NOW_S))
                .and_then(|verified| verified.check_body(BODY));
            assert!(outcome.is_err(), "header {number}, character {position}");
        }
    }
}

#[test]
fn only_one_form_is_read() {
    let key = key();
    let headers = signed(&key);
    let with = |input: &str| {
        Unverified::parse("POST", TARGET, Some(&headers.content_digest), Some(input), Some(&headers.signature)).err()
    };
    let malformed = Some(SigningError::Malformed { header: "Signature-Input" });
    assert_eq!(with(&headers.signature_input.replace(";expires", "; expires")), malformed);
    assert_eq!(with(&headers.signature_input.replace("kms=", "sig1=")), malformed);
    assert_eq!(with(&format!("{}, other=1", headers.signature_input)), malformed);
    assert_eq!(with(&headers.signature_input.replace("sm2-sm3", "rsa-pss-sha512")), malformed);
    assert_eq!(with(&headers.signature_input.replace(r#" "@query""#, "")), malformed);
    let missing = Unverified::parse("POST", TARGET, None, Some(&headers.signature_input), None).err();
    assert_eq!(missing, Some(SigningError::Missing { header: "Content-Digest" }));
}

#[test]
fn an_empty_body_is_signed_too() {
    let key = key();
    let nonce = Nonce::from_bytes([1; 16]);
    let headers = sign_request("GET", "/v1/status", b"", NOW_S, nonce, key.public(), |m| key.sign(m)).unwrap();
    assert!(headers.content_digest.starts_with("sm3=:"));
    assert!(verify_request("GET", "/v1/status", b"", &headers, key.public(), NOW_S).is_ok());
    assert!(verify_request("GET", "/v1/status", b"x", &headers, key.public(), NOW_S).is_err());
}
