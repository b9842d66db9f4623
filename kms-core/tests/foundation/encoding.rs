//! Strict DER and the SIGNED shape.

use der::Sequence;
use kms_core::{
    digest::Digest,
    encoding::{self, Document, EncodingError, Signed},
    sm2::PublicKey,
};
use proptest::prelude::*;

use crate::{
    sm2::secret_key,
    vectors::{bytes, list, sm2 as vectors},
};

/// The example document of the SIGNED vector.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(crate) struct Example {
    pub(crate) label: String,
    pub(crate) origin: String,
    pub(crate) version: u64,
    pub(crate) digest: Digest,
}

impl Document for Example {
    const LABEL: &'static str = "KMS-EXAMPLE/1";
    const BYTES_MAX: usize = 512;

    fn label(&self) -> &str {
        &self.label
    }
}

/// Has what documents must not have, to see rule 6 at work.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct WithDefault {
    label: String,
    #[asn1(default = "Default::default")]
    flag: bool,
}

impl Document for WithDefault {
    const LABEL: &'static str = "KMS-DEFAULT/1";
    const BYTES_MAX: usize = 64;

    fn label(&self) -> &str {
        &self.label
    }
}

pub(crate) fn example(version: u64) -> Example {
    let origin = "kms.example/national/test".to_owned();
    Example { label: Example::LABEL.to_owned(), origin, version, digest: Digest::of(&version.to_be_bytes()) }
}

#[test]
fn signed_vector_reads_verifies_and_is_made_again() {
    let vectors = vectors();
    let case = &vectors["x509_signed_pattern"];
    let key = PublicKey::from_spki_der(&bytes(&case["spki_der"])).unwrap();
    let signed = Signed::<Example>::parse(&bytes(&case["signed_der"])).unwrap();
    assert_eq!(signed.tbs_bytes(), bytes(&case["tbs_der"]));
    assert_eq!(signed.signature().to_der(), bytes(&case["signature_der"]));
    assert_eq!(signed.digest(), Digest::of(&bytes(&case["signed_der"])));
    let tbs = signed.verify(&key).unwrap().clone();
    assert_eq!(encoding::tbs_bytes(&tbs).unwrap(), signed.tbs_bytes());
    let again = Signed::assemble(tbs, signed.algorithm(), signed.signature()).unwrap();
    assert_eq!(again, signed);
    assert_eq!(again.into_verified(&key).unwrap().version, 1);
    assert_eq!(*secret_key(case).public(), key);
}

#[test]
fn signed_vectors_that_must_be_refused() {
    let vectors = vectors();
    let case = &vectors["x509_signed_pattern"];
    let key = PublicKey::from_spki_der(&bytes(&case["spki_der"])).unwrap();
    let refused = list(&case["must_be_refused"]);
    assert_eq!(refused.len(), 10);
    for case in refused {
        let signed = Signed::<Example>::parse(&bytes(&case["signed_der"]));
        // Well-formed, but not this key's: another text, and an algorithm that is not that of the key.
        let well_formed = ["tbs-changed", "ecdsa-with-sha256-oid"].iter().any(|id| case["id"] == *id);
        assert_eq!(signed.is_ok(), well_formed, "{}", case["id"]);
        assert!(signed.is_err() || signed.unwrap().verify(&key).is_err(), "{}", case["id"]);
    }
}

#[test]
fn every_changed_bit_and_every_cut_is_refused() {
    let vectors = vectors();
    let case = &vectors["x509_signed_pattern"];
    let key = PublicKey::from_spki_der(&bytes(&case["spki_der"])).unwrap();
    let good = bytes(&case["signed_der"]);
    let accepted = |bytes: &[u8]| Signed::<Example>::parse(bytes).is_ok_and(|signed| signed.verify(&key).is_ok());
    assert!(accepted(&good));
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(!accepted(&bad), "bit {bit}");
    }
    for position in 0..good.len() {
        assert!(!accepted(&good[..position]), "cut at {position}");
        let mut longer = good.clone();
        longer.insert(position, 0);
        assert!(!accepted(&longer), "byte at {position}");
    }
}

#[test]
fn labels_versions_and_limits() {
    let good = encoding::encode(&example(7)).unwrap();
    assert_eq!(encoding::decode::<Example>(&good).unwrap(), example(7));
    assert_eq!(encoding::peek_label(&good).unwrap(), "KMS-EXAMPLE/1");

    let newer = Example { label: "KMS-EXAMPLE/2".to_owned(), ..example(7) };
    let expected = EncodingError::Label { expected: "KMS-EXAMPLE/1", found: "KMS-EXAMPLE/2".into() };
    assert_eq!(encoding::encode(&newer), Err(expected.clone()));
    assert_eq!(encoding::decode::<Example>(&der::Encode::to_der(&newer).unwrap()), Err(expected));

    let long = Example { origin: "x".repeat(600), ..example(7) };
    assert!(matches!(encoding::encode(&long), Err(EncodingError::TooLong { limit: 512, .. })));
    let long = der::Encode::to_der(&long).unwrap();
    assert!(matches!(encoding::decode::<Example>(&long), Err(EncodingError::TooLong { limit: 512, .. })));

    let odd = Example { label: "签".repeat(30), ..example(7) };
    let Err(EncodingError::Label { found, .. }) = encoding::encode(&odd) else { panic!("accepted") };
    assert_eq!(found.len(), 63);
}

#[test]
fn an_encoded_default_is_refused() {
    let omitted = WithDefault { label: WithDefault::LABEL.to_owned(), flag: false };
    let bytes = encoding::encode(&omitted).unwrap();
    assert_eq!(encoding::decode::<WithDefault>(&bytes).unwrap(), omitted);
    let mut spelled_out = [&bytes[..], &[0x01, 0x01, 0x00]].concat();
    spelled_out[1] += 3;
    assert_eq!(encoding::decode::<WithDefault>(&spelled_out), Err(EncodingError::NotCanonical));
}

#[test]
fn peeking_refuses_what_has_no_label() {
    for bytes in [&[][..], &[0x30, 0x00], &[0x04, 0x02, 0x0c, 0x00], &[0x30, 0x02, 0x02, 0x00], &[0x30, 0x80, 0, 0]] {
        assert!(encoding::peek_label(bytes).is_err(), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn documents_round_trip(origin in "\\PC{0,60}", version: u64, digest: [u8; 32]) {
        let document = Example { origin, version, digest: Digest::from_bytes(digest), ..example(0) };
        let bytes = encoding::encode(&document).unwrap();
        prop_assert_eq!(encoding::decode::<Example>(&bytes).unwrap(), document);
    }

    #[test]
    fn whatever_decodes_encodes_to_the_same_bytes(
        version: u64,
        edits in prop::collection::vec((0usize..200, any::<u8>()), 1..4),
    ) {
        let mut bytes = encoding::encode(&example(version)).unwrap();
        for (position, byte) in edits {
            let position = position % bytes.len();
            bytes[position] = byte;
        }
        if let Ok(document) = encoding::decode::<Example>(&bytes) {
            prop_assert_eq!(encoding::encode(&document).unwrap(), bytes);
        }
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = encoding::decode::<Example>(&bytes);
        let _ = Signed::<Example>::parse(&bytes);
        let _ = encoding::peek_label(&bytes);
    }
}
