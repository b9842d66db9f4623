//! Bodies around batches, and the proof of one card for an auditor.

use kms_core::digest::Digest;
use kms_core::id::{BatchId, BureauId, ProfileId};
use serde::{Deserialize, Serialize};

use crate::text::{Base64, Hex, Text};

/// Body of `POST /v1/batches`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchSubmit {
    /// The bureau's signed request, DER.
    pub request: Base64,
    /// Salt of the list's commitment.
    pub salt: Hex<32>,
    /// The card list, CSV, exactly the bytes committed to.
    pub cards: String,
}

/// Personal data: not printed.
impl std::fmt::Debug for BatchSubmit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchSubmit").finish_non_exhaustive()
    }
}

/// Where a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchPhase {
    /// The bureau signed for the package.
    Acknowledged,
    /// Quorum reached; chunks are next.
    Authorised,
    /// Stopped before release.
    Cancelled,
    /// Chunks are being made.
    Producing,
    /// The package may be pulled.
    Released,
    /// Waiting for the officers.
    Requested,
}

/// A batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchView {
    /// Batch.
    pub batch: Text<BatchId>,
    /// Bureau.
    pub bureau: Text<BureauId>,
    /// The bureau's counter.
    pub counter: u64,
    /// Where it stands.
    pub phase: BatchPhase,
    /// The ceremony that authorises it.
    pub plan_id: Text<Digest>,
    /// Profile name.
    pub profile_id: Text<ProfileId>,
    /// Profile digest.
    pub profile: Text<Digest>,
    /// Cards.
    pub cards: u32,
    /// Replacement cards among them.
    pub replacements: u32,
    /// Chunks with an OUTCOME.
    pub chunks_done: u32,
    /// Chunks in all.
    pub chunks_total: u32,
    /// SM3 of the signed manifest, once released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Text<Digest>>,
    /// SM3 of the bureau's signed receipt, once acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Text<Digest>>,
}

/// Answer of `GET /v1/batches`, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchList {
    /// The batches.
    pub batches: Vec<BatchView>,
}

/// Body of `POST /v1/audit/prove`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProveCard {
    /// 18-character card number.
    pub card_number: String,
}

/// Personal data: not printed.
impl std::fmt::Debug for ProveCard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProveCard").finish_non_exhaustive()
    }
}

/// What became of a card's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CardStatus {
    /// Issued, or about to be.
    Active,
    /// The batch was cancelled before release.
    Cancelled,
    /// The bureau reported the card spoiled.
    Spoiled,
}

/// Where the keys of one card went. Personal data: for the auditor who asked about this card.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardProof {
    /// Batch.
    pub batch: Text<BatchId>,
    /// Bureau.
    pub bureau: Text<BureauId>,
    /// Chunk.
    pub chunk: u32,
    /// Position within the chunk, from 0.
    pub position: u32,
    /// What became of it.
    pub status: CardStatus,
    /// Opening of the commitment: salt.
    pub salt: Hex<32>,
    /// Opening of the commitment: card factor.
    pub factor: Hex<8>,
    /// Salted commitment to number and factor.
    pub commitment: Text<Digest>,
    /// The card's leaf (`KMS-CARD/1`, DER), once released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf: Option<Base64>,
    /// Path from the leaf to the chunk's root, lowest first.
    #[serde(default)]
    pub chunk_path: Vec<Text<Digest>>,
    /// The signed manifest, DER, once released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Base64>,
    /// `KMS-INCLUSION/1`: the log's entry that released the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inclusion: Option<Base64>,
}

/// Personal data: not printed.
impl std::fmt::Debug for CardProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CardProof").field("batch", &self.batch).field("chunk", &self.chunk).finish_non_exhaustive()
    }
}

/// Answer of `POST /v1/audit/prove`: every time keys were made for this card, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardProofs {
    /// The proofs; empty when no keys were made for this number.
    pub proofs: Vec<CardProof>,
}
