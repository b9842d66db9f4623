//! SM3 values: published digests, text, DER.

use der::{Decode as _, Encode as _, Sequence};
use kms_core::digest::{Digest, ParseDigestError};

use crate::vectors::{bytes, list, number, sm3, text};

#[test]
fn published_and_generated_digests() {
    let vectors = sm3();
    for case in list(&vectors["digest"]) {
        assert_eq!(Digest::of(&bytes(&case["message"])).to_string(), text(&case["digest"]));
    }
    for case in list(&vectors["digest_sweep"]["tests"]) {
        let message: Vec<u8> = (0..number(&case["length"])).map(|i| (i % 251) as u8).collect();
        assert_eq!(Digest::of(&message).to_string(), text(&case["digest"]));
        let (left, right) = message.split_at(message.len() / 2);
        assert_eq!(Digest::of_parts(&[left, right]), Digest::of(&message));
    }
    let million = vec![b'a'; 1_000_000];
    assert_eq!(Digest::of(&million).to_string(), text(&vectors["digest_million_a"]["digest"]));
}

#[test]
fn words_are_those_of_the_first_eight_bytes() {
    let digest = Digest::from_hex("e58294f2e9a227486e8b061b31cc528fd7fa3f19000102030405060708090a0b").unwrap();
    let words = ["topmost", "Istanbul", "Pluto", "vagabond", "treadmill", "Pacific", "brackish", "dictator"];
    assert_eq!(digest.words(), words);
}

#[test]
fn text_must_be_refused() {
    let good = "ab".repeat(32);
    assert!(Digest::from_hex(&good).is_ok());
    for (bad, reason) in [
        (good[1..].to_owned(), ParseDigestError::Length { expected: 64, found: 63 }),
        (format!("{good}0"), ParseDigestError::Length { expected: 64, found: 65 }),
        (good.to_uppercase(), ParseDigestError::Character { position: 0 }),
        (good.replacen("ba", "b ", 1), ParseDigestError::Character { position: 2 }),
        (good.replacen("abab", "é\u{e9}", 1), ParseDigestError::Character { position: 0 }),
    ] {
        assert_eq!(Digest::from_hex(&bad), Err(reason), "{bad}");
    }
}

#[derive(Debug, PartialEq, Eq, Sequence)]
struct Holder {
    one: Digest,
    #[asn1(context_specific = "0", optional = "true")]
    explicit: Option<Digest>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    implicit: Option<Digest>,
    many: Vec<Digest>,
}

#[test]
fn a_digest_is_a_der_field() {
    let digest = |text: &str| Digest::of(text.as_bytes());
    let full = Holder {
        one: digest("1"),
        explicit: Some(digest("2")),
        implicit: Some(digest("3")),
        many: vec![digest("4"), digest("5")],
    };
    let empty = Holder { one: digest("1"), explicit: None, implicit: None, many: Vec::new() };
    for holder in [full, empty] {
        assert_eq!(Holder::from_der(&holder.to_der().unwrap()).unwrap(), holder);
    }
}

#[test]
fn der_of_another_length_is_refused() {
    for length in [0usize, 31, 33] {
        let der = [vec![0x04, length as u8], vec![7; length]].concat();
        assert!(Digest::from_der(&der).is_err(), "{length}");
    }
}

#[test]
fn debug_is_short() {
    assert_eq!(format!("{:?}", Digest::of(b"abc")), "Digest(66c7f0f4…)");
}
