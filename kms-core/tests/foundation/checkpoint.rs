//! Checkpoint notes.

use kms_core::{
    digest::Digest,
    keys::Signature,
    log::checkpoint::{
        Checkpoint, CheckpointRefused, InvalidNote, NOTE_BYTES_MAX, SignedNote, checkpoint_key_id, cosignature_key_id,
        parse_and_verify,
    },
    sm2::PublicKey,
};
use serde_json::Value;

use crate::{
    sm2::secret_key,
    vectors::{bytes, number, sm2 as vectors, text},
};

struct Case {
    json: Value,
    log: PublicKey,
    witness: PublicKey,
}

impl Case {
    fn new() -> Self {
        let json = vectors()["checkpoint_note"].clone();
        let key = |side: &str| PublicKey::from_pem(text(&json[side]["spki_pem"])).unwrap();
        Self { log: key("log"), witness: key("witness"), json }
    }

    fn note(&self) -> &str {
        text(&self.json["note"])
    }

    fn origin(&self) -> &str {
        text(&self.json["log"]["name"])
    }

    fn witness_name(&self) -> &str {
        text(&self.json["witness"]["name"])
    }

    fn accepts(&self, note: &str) -> bool {
        SignedNote::parse(note).is_ok_and(|note| {
            note.verify_log(self.origin(), &self.log).is_ok()
                && note.verify_witness(self.witness_name(), &self.witness).is_ok()
        })
    }
}

#[test]
fn vector_reads_verifies_and_is_made_again() {
    let case = Case::new();
    let checkpoint = parse_and_verify(case.note(), case.origin(), &case.log).unwrap();
    assert_eq!((checkpoint.origin(), checkpoint.size()), (case.origin(), 5));
    assert_eq!(checkpoint.text(), text(&case.json["text"]));
    assert_eq!(hex::encode(checkpoint_key_id(case.origin(), &case.log)), text(&case.json["log"]["key_id"]));

    let time = number(&case.json["witness"]["time"]);
    assert_eq!(checkpoint.cosignature_text(time), text(&case.json["witness"]["signed_text"]));
    let key_id = cosignature_key_id(case.witness_name(), &case.witness);
    assert_eq!(hex::encode(key_id), text(&case.json["witness"]["key_id"]));
    let note = SignedNote::parse(case.note()).unwrap();
    assert_eq!(note.verify_witness(case.witness_name(), &case.witness), Ok(time));

    let signature = |side: &str| Signature::from_der(&bytes(&case.json[side]["signature_der"])).unwrap();
    let mut made = checkpoint.into_note(&case.log, &signature("log"));
    made.cosign(case.witness_name(), &case.witness, time, &signature("witness")).unwrap();
    assert_eq!(made.to_string(), case.note());
}

#[test]
fn a_note_signed_here_verifies() {
    let case = Case::new();
    let key = secret_key(&vectors()["signatures"][0]);
    let checkpoint = Checkpoint::new("kms.example/henan/log/1", u64::MAX, Digest::of(b"root")).unwrap();
    let signature = key.sign(checkpoint.text().as_bytes()).unwrap();
    let note = checkpoint.clone().into_note(key.public(), &signature).to_string();
    assert_eq!(parse_and_verify(&note, "kms.example/henan/log/1", key.public()), Ok(checkpoint));
    let other = parse_and_verify(&note, "kms.example/henan/log/1", &case.witness);
    assert!(matches!(other, Err(CheckpointRefused::OtherKey { .. })), "{other:?}");
    let other = parse_and_verify(&note, "kms.example/henan/log/2", key.public());
    assert!(matches!(other, Err(CheckpointRefused::OtherOrigin { .. })), "{other:?}");
}

#[test]
fn a_missing_witness_is_named() {
    let case = Case::new();
    let note = SignedNote::parse(case.note()).unwrap();
    for (name, key) in [("kms.example/hubei/witness", &case.witness), (case.witness_name(), &case.log)] {
        let refused = note.verify_witness(name, key);
        assert!(matches!(refused, Err(CheckpointRefused::MissingWitness { .. })), "{refused:?}");
    }
}

#[test]
fn every_changed_bit_and_every_cut_is_refused() {
    let case = Case::new();
    assert!(case.accepts(case.note()));
    let good = case.note().as_bytes();
    for bit in 0..good.len() * 8 {
        let mut bad = good.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(std::str::from_utf8(&bad).map_or(true, |note| !case.accepts(note)), "bit {bit}");
    }
    for position in 0..good.len() {
        let cut = std::str::from_utf8(&good[..position]).map_or(true, |note| !case.accepts(note));
        assert!(cut, "cut at {position}");
        for byte in *b"\n\r A0=+" {
            let longer = [&good[..position], &[byte], &good[position..]].concat();
            assert!(std::str::from_utf8(&longer).map_or(true, |note| !case.accepts(note)), "{byte} at {position}");
        }
    }
}

#[test]
fn notes_must_be_refused() {
    let case = Case::new();
    let note = case.note();
    let lines: Vec<_> = note.lines().collect();
    let (log_line, witness_line) = (lines[4], lines[5]);
    for (bad, reason) in [
        (note.replacen("\n5\n", "\n05\n", 1), InvalidNote::NotCanonical),
        (note.replacen("\n5\n", "\n+5\n", 1), InvalidNote::NotCanonical),
        (note.replacen("\n5\n", "\n-5\n", 1), InvalidNote::Size),
        (note.replacen("\n5\n", "\n18446744073709551616\n", 1), InvalidNote::Size),
        (note.replacen("EDs=\n", "EDs\n", 1), InvalidNote::Root),
        (note.replacen("EDs=\n", "EDt=\n", 1), InvalidNote::Root),
        (note.replacen("uxDJ", "", 1), InvalidNote::Root),
        (note.replacen("EDs=\n\n", "EDs=\nextension\n\n", 1), InvalidNote::Lines),
        (note.replace('\n', "\r\n"), InvalidNote::Lines),
        (note.trim_end().to_owned(), InvalidNote::Lines),
        (note.replacen("kms.example", "kms example", 1), InvalidNote::Name),
        (note.replacen("kms.example", "kms+example", 1), InvalidNote::Name),
        (format!("\n{}", note.split_once('\n').unwrap().1), InvalidNote::Name),
        (note.replacen('—', "-", 1), InvalidNote::SignatureLine),
        (note.replacen(log_line, witness_line, 1), InvalidNote::LogSignatureFirst),
        (format!("{note}{witness_line}\n"), InvalidNote::DuplicateCosignature),
        (format!("{note}\n"), InvalidNote::SignatureLine),
        (note.replacen(&format!("{log_line}\n"), "", 1), InvalidNote::LogSignatureFirst),
        ("x".repeat(NOTE_BYTES_MAX + 1), InvalidNote::TooLong { limit: NOTE_BYTES_MAX, found: NOTE_BYTES_MAX + 1 }),
        (String::new(), InvalidNote::Lines),
    ] {
        assert_eq!(SignedNote::parse(&bad), Err(reason), "{bad}");
    }
}
