//! Checkpoints: size and root of the log as a signed text note that people read, print and carry.
//! The layout is that of C2SP signed notes, with SM3 and SM2 (or P-256, for the log of an instance of suite intl) under
//! names of our own.
//!
//! Not the decision to sign (whoever signs must first show consistency with the last one). Guards: a
//! note has one form; only verified notes yield a [`Checkpoint`].

mod note;

pub use note::{COSIGNATURES_MAX, Cosignature, InvalidNote, NOTE_BYTES_MAX, SignedNote};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    digest::{DIGEST_BYTES, Digest},
    keys::{Signature, SignatureAlgorithm, SignatureInvalid, Verifier},
    sm2,
};

/// Longest name of a log or witness, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Key type of the log's own signature.
const fn checkpoint_type(algorithm: SignatureAlgorithm) -> &'static str {
    match algorithm {
        SignatureAlgorithm::Sm2Sm3 => "sm2-sm3-checkpoint/v1",
        SignatureAlgorithm::EcdsaP256Sha256 => "ecdsa-p256-sha256-checkpoint/v1",
    }
}

/// Key type and first line of what a witness, whose key is SM2 in both suites, signs.
const COSIGNATURE_TYPE: &str = "sm2-sm3-cosignature/v1";

/// The head of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: Box<str>,
    size: u64,
    root: Digest,
}

impl Checkpoint {
    /// A head to be signed. `origin` is the name of the log.
    pub fn new(origin: &str, size: u64, root: Digest) -> Result<Self, InvalidNote> {
        check_name(origin)?;
        Ok(Self { origin: origin.into(), size, root })
    }

    /// The name of the log.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Entries in the log.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Root of the tree over them.
    #[must_use]
    pub const fn root(&self) -> Digest {
        self.root
    }

    /// The three lines that the log signs: origin, size, root in base64.
    // Signed format: changing this invalidates every signature.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.as_bytes()))
    }

    /// What a witness signs: its own label, the time in seconds since 1970, the three lines.
    #[must_use]
    pub fn cosignature_text(&self, time_s: u64) -> String {
        format!("{COSIGNATURE_TYPE}\ntime {time_s}\n{}", self.text())
    }

    /// The note with the log's signature over [`Self::text`], made by the holder of `key`.
    #[must_use]
    pub fn into_note(self, key: &impl Verifier, signature: &Signature) -> SignedNote {
        let key_id = checkpoint_key_id(&self.origin, key);
        SignedNote::assemble(self, key_id, *signature)
    }

    fn parse_text(text: &str) -> Result<Self, InvalidNote> {
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root), Some(""), None) =
            (lines.next(), lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(InvalidNote::Lines);
        };
        let root = STANDARD.decode(root).ok().and_then(|root| <[u8; DIGEST_BYTES]>::try_from(root).ok());
        let size: u64 = size.parse().map_err(|_| InvalidNote::Size)?;
        let checkpoint = Self::new(origin, size, Digest::from_bytes(root.ok_or(InvalidNote::Root)?))?;
        // Leading zeros, signs and lax base64 all show here.
        if checkpoint.text() == text { Ok(checkpoint) } else { Err(InvalidNote::NotCanonical) }
    }
}

/// Reads a note and verifies the log's signature; cosignatures are only read.
pub fn parse_and_verify(note: &str, origin: &str, key: &impl Verifier) -> Result<Checkpoint, CheckpointRefused> {
    let note = SignedNote::parse(note)?;
    note.verify_log(origin, key)?;
    Ok(note.into_unverified_checkpoint())
}

/// The four bytes that name a log key in a note.
#[must_use]
pub fn checkpoint_key_id(name: &str, key: &impl Verifier) -> [u8; 4] {
    key_id(name, checkpoint_type(key.algorithm()), key)
}

/// The four bytes that name a witness key in a note.
#[must_use]
pub fn cosignature_key_id(name: &str, key: &sm2::PublicKey) -> [u8; 4] {
    key_id(name, COSIGNATURE_TYPE, key)
}

/// SM3(name ‖ 0A ‖ FF ‖ type ‖ 65-byte point), first four bytes.
fn key_id(name: &str, key_type: &str, key: &impl Verifier) -> [u8; 4] {
    let digest = Digest::of_parts(&[name.as_bytes(), b"\n", b"\xff", key_type.as_bytes(), &key.point()]);
    let [a, b, c, d, ..] = *digest.as_bytes();
    [a, b, c, d]
}

/// Printable ASCII without space and `+`, which C2SP reserves.
fn check_name(name: &str) -> Result<(), InvalidNote> {
    let clean = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+');
    if clean && (1..=NAME_BYTES_MAX).contains(&name.len()) { Ok(()) } else { Err(InvalidNote::Name) }
}

/// Why a note yields no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointRefused {
    /// No cosignature of this witness.
    #[error("the note has no cosignature of {name} with key {}", hex4(.key_id))]
    MissingWitness {
        /// The witness asked for.
        name: Box<str>,
        /// Its key.
        key_id: [u8; 4],
    },
    /// The note has no proper form.
    #[error(transparent)]
    Note(#[from] InvalidNote),
    /// Signed under another key.
    #[error("the checkpoint is signed with key {}, not {}", hex4(.found), hex4(.expected))]
    OtherKey {
        /// The key asked for.
        expected: [u8; 4],
        /// The key in the note.
        found: [u8; 4],
    },
    /// The checkpoint of another log.
    #[error("the checkpoint is of the log {found}, not {expected}")]
    OtherOrigin {
        /// The log asked for.
        expected: Box<str>,
        /// The log in the note.
        found: Box<str>,
    },
    /// A signature does not verify.
    #[error(transparent)]
    Signature(#[from] SignatureInvalid),
}

fn hex4(bytes: &[u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(*bytes))
}
