//! Inclusion of one log entry under a checkpoint, as a file (`KMS-INCLUSION/1`).
//!
//! Travels with every package, so that a bureau can see offline that the release is in the key log.

use der::Sequence;
use der::asn1::OctetString;
use thiserror::Error;

use crate::digest::Digest;
use crate::encoding::{self, Document, EncodingError};
use crate::event::LogEntry;
use crate::id::Origin;
use crate::keys::Verifier;
use crate::log::checkpoint::{self, Checkpoint, CheckpointRefused};
use crate::log::merkle::{self, ProofInvalid};

/// A log entry, its path to the root, and the checkpoint note that signs the root.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Inclusion {
    /// Label.
    pub label: String,
    /// DER bytes of the entry.
    pub entry: OctetString,
    /// Its index.
    pub index: u64,
    /// Tree size of the checkpoint.
    pub size: u64,
    /// Sibling hashes, leaf to root.
    pub path: Vec<Digest>,
    /// Signed note.
    pub checkpoint: String,
}

impl Document for Inclusion {
    const LABEL: &'static str = "KMS-INCLUSION/1";
    const BYTES_MAX: usize = 128 * 1024;
    fn label(&self) -> &str {
        &self.label
    }
}

/// Why an inclusion proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InclusionInvalid {
    /// The checkpoint note is not this log's, or its signature is wrong.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] CheckpointRefused),
    /// Proof and checkpoint speak of different tree sizes.
    #[error("the proof is for {found} entries, the checkpoint for {expected}")]
    Size {
        /// In the checkpoint.
        expected: u64,
        /// In the proof.
        found: u64,
    },
    /// The path does not lead to the root.
    #[error("inclusion: {0}")]
    Path(#[from] ProofInvalid),
    /// The entry is not canonical.
    #[error("log entry: {0}")]
    Entry(#[from] EncodingError),
    /// The entry says another index than the proof.
    #[error("the entry is number {found}, the proof is for {expected}")]
    Index {
        /// In the proof.
        expected: u64,
        /// In the entry.
        found: u64,
    },
}

impl Inclusion {
    /// Checks the proof against the log key; answers the entry it proves and the checkpoint.
    pub fn verify(&self, origin: &Origin, log_key: &impl Verifier) -> Result<(LogEntry, Checkpoint), InclusionInvalid> {
        let head = checkpoint::parse_and_verify(&self.checkpoint, origin.as_str(), log_key)?;
        if head.size() != self.size {
            return Err(InclusionInvalid::Size { expected: head.size(), found: self.size });
        }
        let leaf = merkle::leaf_hash(self.entry.as_bytes());
        merkle::verify_inclusion(&leaf, self.index, self.size, &self.path, &head.root())?;
        let entry: LogEntry = encoding::decode(self.entry.as_bytes())?;
        if entry.index != self.index {
            return Err(InclusionInvalid::Index { expected: self.index, found: entry.index });
        }
        Ok((entry, head))
    }
}
