//! Chunks of a package: wrapped card keys in the open, personal data encrypted for the bureau.
//!
//! Binding does not rest on the wrap (RFC 3394 knows no context, one ECB block not even authentication): each card is one Merkle leaf over
//! batch, bureau, transport key, profile, card commitment and every slot's name, group, version and
//! blob. A bureau checks leaf and signature *before* it unwraps anything (B2). Layout: `docs/formats.md` §8.
//!
//! Stored format: changing a type here needs a new label.

pub mod records;

use der::Sequence;
use der::asn1::OctetString;

use crate::digest::Digest;
use crate::document::Manifest;
use crate::encoding::{self, Document, EncodingError};
use crate::id::{BatchId, BureauId, ObjectId};
use crate::log::merkle;
use crate::secret::Kcv;

/// Bytes of a card salt.
pub const SALT_BYTES: usize = 32;
/// Bytes of the GCM nonce of a chunk's records.
pub const RECORDS_NONCE_BYTES: usize = 12;

/// One wrapped card key in its slot.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct SlotKey {
    /// Key name of the profile.
    pub name: String,
    /// Key group (密钥组).
    pub group: u8,
    /// Version of the master it descends from.
    pub version: u16,
    /// Blob under the transport key, of the length that the manifest's wrap makes.
    pub wrapped: OctetString,
    /// Check value, where the profile puts one into the package.
    #[asn1(context_specific = "0", optional = "true")]
    pub kcv: Option<Kcv>,
}

/// All keys of one card.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct CardKeys {
    /// Salted commitment to number and factor.
    pub commitment: Digest,
    /// The slots, in profile order.
    pub slots: Vec<SlotKey>,
}

/// What a card's Merkle leaf is computed over (`KMS-CARD/1`).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct CardLeaf {
    /// Label.
    pub label: String,
    /// Batch.
    pub batch: BatchId,
    /// Bureau.
    pub bureau: BureauId,
    /// Transport key id.
    pub kek: ObjectId,
    /// Profile digest.
    pub profile: Digest,
    /// The card's keys.
    pub card: CardKeys,
}

impl Document for CardLeaf {
    const LABEL: &'static str = "KMS-CARD/1";
    const BYTES_MAX: usize = 64 * 1024;
    fn label(&self) -> &str {
        &self.label
    }
}

/// A chunk file (`KMS-CHUNK/1`).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Chunk {
    /// Label.
    pub label: String,
    /// Batch.
    pub batch: BatchId,
    /// Position, from 0.
    pub index: u32,
    /// Chunks of the batch.
    pub count: u32,
    /// The cards, in list order.
    pub cards: Vec<CardKeys>,
    /// SM4 key of `records`, sealed to the bureau's encryption certificate (GM/T 0009 SM2Cipher, DER).
    pub data_key: OctetString,
    /// GCM nonce, 12 bytes.
    pub nonce: OctetString,
    /// SM4-GCM of [`Records`] with [`RecordsContext`] as AAD: ciphertext, then the 16-byte tag.
    pub records: OctetString,
}

impl Document for Chunk {
    const LABEL: &'static str = "KMS-CHUNK/1";
    const BYTES_MAX: usize = 64 * 1024 * 1024;
    fn label(&self) -> &str {
        &self.label
    }
}

/// Associated data of a chunk's records (`KMS-RECORDS/1`): they open only in their own place.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct RecordsContext {
    /// Label.
    pub label: String,
    /// Batch.
    pub batch: BatchId,
    /// Bureau.
    pub bureau: BureauId,
    /// Position.
    pub index: u32,
    /// Chunks of the batch.
    pub count: u32,
}

impl Document for RecordsContext {
    const LABEL: &'static str = "KMS-RECORDS/1";
    const BYTES_MAX: usize = 512;
    fn label(&self) -> &str {
        &self.label
    }
}

/// Personal data of one card; exists in clear only in memory and in the bureau's hands.
#[derive(Clone, PartialEq, Eq, Sequence)]
pub struct CardRecord {
    /// 18-character card number (卡号).
    pub number: String,
    /// 8-byte card factor.
    pub factor: OctetString,
    /// 32-byte salt of the commitment.
    pub salt: OctetString,
    /// Reason, for a replacement card (补卡).
    #[asn1(context_specific = "0", optional = "true")]
    pub replacement: Option<String>,
}

/// The records of a chunk, card by card (`KMS-CARD-RECORDS/1`).
#[derive(Clone, PartialEq, Eq, Sequence)]
pub struct Records {
    /// Label.
    pub label: String,
    /// One per card, in the order of [`Chunk::cards`].
    pub cards: Vec<CardRecord>,
}

impl Document for Records {
    const LABEL: &'static str = "KMS-CARD-RECORDS/1";
    const BYTES_MAX: usize = 16 * 1024 * 1024;
    fn label(&self) -> &str {
        &self.label
    }
}

/// SM3("KMS-CARD-COMMITMENT/1" ‖ 00 ‖ salt ‖ number ‖ factor): how a card appears in log and package.
pub fn commitment(salt: &[u8; SALT_BYTES], number: &str, factor: &[u8; 8]) -> Digest {
    Digest::of_parts(&[b"KMS-CARD-COMMITMENT/1", &[0], salt, number.as_bytes(), factor])
}

/// SM3("KMS-CARD-LIST/1" ‖ 00 ‖ salt ‖ bytes): how a card list appears in request and plan.
pub fn list_commitment(salt: &[u8; SALT_BYTES], list: &[u8]) -> Digest {
    Digest::of_parts(&[b"KMS-CARD-LIST/1", &[0], salt, list])
}

/// What a card's leaf is bound to besides the card itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafContext {
    /// Batch.
    pub batch: BatchId,
    /// Bureau.
    pub bureau: BureauId,
    /// Transport key id.
    pub kek: ObjectId,
    /// Profile digest.
    pub profile: Digest,
}

impl LeafContext {
    /// The context a manifest gives its cards.
    pub fn of(manifest: &Manifest) -> Self {
        Self { batch: manifest.batch, bureau: manifest.bureau.clone(), kek: manifest.kek, profile: manifest.profile }
    }

    /// Merkle leaf hash of one card.
    pub fn leaf(&self, card: &CardKeys) -> Result<Digest, EncodingError> {
        let leaf = CardLeaf {
            label: CardLeaf::LABEL.to_owned(),
            batch: self.batch,
            bureau: self.bureau.clone(),
            kek: self.kek,
            profile: self.profile,
            card: card.clone(),
        };
        Ok(merkle::leaf_hash(&encoding::encode(&leaf)?))
    }

    /// Leaf hashes of a chunk's cards, in order.
    pub fn leaves(&self, cards: &[CardKeys]) -> Result<Vec<Digest>, EncodingError> {
        cards.iter().map(|card| self.leaf(card)).collect()
    }
}
