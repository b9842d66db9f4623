//! The note around a checkpoint: signature lines, read strictly and written in one way.
//!
//! Not verification policy (which witnesses are enough). Guards: what was parsed is written back as
//! the same bytes.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Checkpoint, CheckpointRefused, check_name, checkpoint_key_id, cosignature_key_id};
use crate::keys::{InvalidSignature, Signature, Verifier};
use crate::sm2::PublicKey;

/// Longest note, in bytes.
pub const NOTE_BYTES_MAX: usize = 16 * 1024;

/// Most cosignatures on a note.
pub const COSIGNATURES_MAX: usize = 32;

/// Em dash and space: how every signature line begins.
const LINE_START: &str = "\u{2014} ";

/// A witness's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// Name of the witness.
    pub name: Box<str>,
    /// First bytes of the hash of name, type and key.
    pub key_id: [u8; 4],
    /// When the witness signed, seconds since 1970, by its own clock.
    pub time_s: u64,
    /// Over [`Checkpoint::cosignature_text`].
    pub signature: Signature,
}

/// A checkpoint with its signature lines, not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    checkpoint: Checkpoint,
    key_id: [u8; 4],
    signature: Signature,
    cosignatures: Vec<Cosignature>,
}

impl SignedNote {
    /// Reads a note: three lines, an empty line, the log's signature, then cosignatures.
    pub fn parse(note: &str) -> Result<Self, InvalidNote> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(InvalidNote::TooLong { limit: NOTE_BYTES_MAX, found: note.len() });
        }
        let end = note.find("\n\n").ok_or(InvalidNote::Lines)?;
        let (text, signatures) = (&note[..=end], &note[end + 2..]);
        let checkpoint = Checkpoint::parse_text(text)?;
        let mut lines = signatures.strip_suffix('\n').ok_or(InvalidNote::Lines)?.split('\n');
        let (name, key_id, signature) = parse_line(lines.next().unwrap_or_default())?;
        if name != checkpoint.origin() {
            return Err(InvalidNote::LogSignatureFirst);
        }
        let mut parsed = Self::assemble(checkpoint, key_id, Signature::from_der(&signature)?);
        for line in lines {
            parsed.push_cosignature(parse_cosignature(line)?)?;
        }
        if parsed.to_string() == note { Ok(parsed) } else { Err(InvalidNote::NotCanonical) }
    }

    /// Adds the cosignature of witness `name`, over [`Checkpoint::cosignature_text`] of `time_s`.
    pub fn cosign(
        &mut self,
        name: &str,
        key: &PublicKey,
        time_s: u64,
        signature: &Signature,
    ) -> Result<(), InvalidNote> {
        let key_id = cosignature_key_id(name, key);
        self.push_cosignature(Cosignature { name: name.into(), key_id, time_s, signature: *signature })
    }

    /// Verifies that this is the checkpoint of the log `origin`, signed by `key`.
    pub fn verify_log(&self, origin: &str, key: &impl Verifier) -> Result<&Checkpoint, CheckpointRefused> {
        let found = self.checkpoint.origin();
        if found != origin {
            return Err(CheckpointRefused::OtherOrigin { expected: origin.into(), found: found.into() });
        }
        let expected = checkpoint_key_id(origin, key);
        if self.key_id != expected {
            return Err(CheckpointRefused::OtherKey { expected, found: self.key_id });
        }
        key.verify(self.checkpoint.text().as_bytes(), &self.signature)?;
        Ok(&self.checkpoint)
    }

    /// Verifies the cosignature of witness `name`; yields its time in seconds since 1970.
    pub fn verify_witness(&self, name: &str, key: &PublicKey) -> Result<u64, CheckpointRefused> {
        let key_id = cosignature_key_id(name, key);
        let line = self.cosignatures.iter().find(|line| *line.name == *name && line.key_id == key_id);
        let line = line.ok_or_else(|| CheckpointRefused::MissingWitness { name: name.into(), key_id })?;
        key.verify(self.checkpoint.cosignature_text(line.time_s).as_bytes(), &line.signature)?;
        Ok(line.time_s)
    }

    /// The checkpoint, before any signature was looked at.
    #[must_use]
    pub const fn unverified_checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The witnesses' lines, before any was verified.
    #[must_use]
    pub fn unverified_cosignatures(&self) -> &[Cosignature] {
        &self.cosignatures
    }

    pub(super) fn into_unverified_checkpoint(self) -> Checkpoint {
        self.checkpoint
    }

    pub(super) const fn assemble(checkpoint: Checkpoint, key_id: [u8; 4], signature: Signature) -> Self {
        Self { checkpoint, key_id, signature, cosignatures: Vec::new() }
    }

    fn push_cosignature(&mut self, line: Cosignature) -> Result<(), InvalidNote> {
        check_name(&line.name)?;
        if self.cosignatures.len() == COSIGNATURES_MAX {
            return Err(InvalidNote::TooManyCosignatures { limit: COSIGNATURES_MAX });
        }
        if self.cosignatures.iter().any(|other| other.name == line.name && other.key_id == line.key_id) {
            return Err(InvalidNote::DuplicateCosignature);
        }
        self.cosignatures.push(line);
        Ok(())
    }
}

/// The note as it is stored, sent and printed.
impl std::fmt::Display for SignedNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let log = [&self.key_id[..], &self.signature.to_der()].concat();
        write!(f, "{}\n{LINE_START}{} {}\n", self.checkpoint.text(), self.checkpoint.origin(), STANDARD.encode(log))?;
        self.cosignatures.iter().try_for_each(|line| {
            let blob = [&line.key_id[..], &line.time_s.to_be_bytes(), &line.signature.to_der()].concat();
            writeln!(f, "{LINE_START}{} {}", line.name, STANDARD.encode(blob))
        })
    }
}

/// Name, key id and the rest of the blob.
fn parse_line(line: &str) -> Result<(&str, [u8; 4], Vec<u8>), InvalidNote> {
    let (name, blob) =
        line.strip_prefix(LINE_START).and_then(|line| line.split_once(' ')).ok_or(InvalidNote::SignatureLine)?;
    let blob = STANDARD.decode(blob).map_err(|_| InvalidNote::SignatureLine)?;
    let (key_id, rest) = blob.split_first_chunk::<4>().ok_or(InvalidNote::SignatureLine)?;
    Ok((name, *key_id, rest.to_vec()))
}

fn parse_cosignature(line: &str) -> Result<Cosignature, InvalidNote> {
    let (name, key_id, blob) = parse_line(line)?;
    let (time_s, signature) = blob.split_first_chunk::<8>().ok_or(InvalidNote::SignatureLine)?;
    let signature = Signature::from_der(signature)?;
    Ok(Cosignature { name: name.into(), key_id, time_s: u64::from_be_bytes(*time_s), signature })
}

/// Why text is not a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNote {
    /// One witness key twice.
    #[error("a witness key stands twice in the note")]
    DuplicateCosignature,
    /// Not three lines, an empty line, and signature lines, each ended by one LF.
    #[error("a checkpoint note has three lines, an empty line and signature lines")]
    Lines,
    /// The first signature line is not the log's.
    #[error("the first signature line is not that of the log")]
    LogSignatureFirst,
    /// Empty, too long, or not printable ASCII without space and plus.
    #[error("a name is 1 to {} printable ASCII characters without space and plus", super::NAME_BYTES_MAX)]
    Name,
    /// It parses, but would be written with other bytes.
    #[error("the bytes are not the one form of this note")]
    NotCanonical,
    /// Not base64 of 32 bytes.
    #[error("the third line is not the base64 of a root")]
    Root,
    /// No signature in a signature line.
    #[error("a signature line holds no signature: {0}")]
    Signature(#[from] InvalidSignature),
    /// Not `— name base64`.
    #[error("a signature line is not \"— name base64\"")]
    SignatureLine,
    /// Not a number of at most 64 bits.
    #[error("the second line is not a tree size")]
    Size,
    /// Longer than any note.
    #[error("the note has {found} bytes, at most {limit} are accepted")]
    TooLong {
        /// [`NOTE_BYTES_MAX`].
        limit: usize,
        /// Bytes given.
        found: usize,
    },
    /// More witnesses than are looked at.
    #[error("the note has more than {limit} cosignatures")]
    TooManyCosignatures {
        /// [`COSIGNATURES_MAX`].
        limit: usize,
    },
}
