//! The signed documents that travel between nation, province, bureau and auditor.
//!
//! Each has a label as its first field (domain separation), a named size limit, and the X.509 SIGNED
//! shape of [`Signed`](crate::encoding::Signed). Layouts: `docs/formats.md`.
//!
//! Stored format: changing a type here needs a new label.

use der::asn1::OctetString;
use der::{Enumerated, Sequence};

use crate::digest::Digest;
use crate::encoding::Document;
use crate::id::{BatchId, BureauId, ObjectId, Origin, PersonId, PlanId, ProfileId, RegionCode};
use crate::keys::{SealingKey, VerifyingKey};
use crate::plan::{Environment, Level, Person};
use crate::secret::Kcv;
use crate::suite::{KeyWrap, Suite};

macro_rules! document {
    ($name:ident, $label:literal, $max:expr) => {
        impl Document for $name {
            const LABEL: &'static str = $label;
            const BYTES_MAX: usize = $max;
            fn label(&self) -> &str {
                &self.label
            }
        }
    };
}

/// Public identity of an instance (`KMS-TRUST-ANCHOR/1`, SIGNED by its instance key): what auditors
/// start from and what nation and province compare, digest read aloud, when they pair.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct TrustAnchor {
    /// Label.
    pub label: String,
    /// Its key log.
    pub origin: Origin,
    /// Production or test.
    pub environment: Environment,
    /// National or provincial.
    pub level: Level,
    /// Its region.
    pub region: RegionCode,
    /// Its genesis plan.
    pub genesis: PlanId,
    /// Its HSM.
    pub hsm_serial: String,
    /// Verifies checkpoints.
    pub log_key: VerifyingKey,
    /// Verifies manifests, sealed keys, receipts.
    pub instance_key: VerifyingKey,
    /// Masters are sealed to this key.
    pub import_key: SealingKey,
    /// Root components are sealed to this key; absent where the make of its HSM combines none.
    #[asn1(context_specific = "0", optional = "true")]
    pub component_key: Option<SealingKey>,
}

impl TrustAnchor {
    /// The suite of all its keys; `None` when they are not of one suite.
    pub fn suite(&self) -> Option<Suite> {
        let suite = self.instance_key.suite();
        let sealing = [Some(&self.import_key), self.component_key.as_ref()];
        let one = self.log_key.suite() == suite && sealing.into_iter().flatten().all(|key| key.suite() == suite);
        one.then_some(suite)
    }
}
document!(TrustAnchor, "KMS-TRUST-ANCHOR/1", 4096);

/// A person's own application to the roster (`KMS-ENROLMENT/1`, SIGNED with the key it names: proof that they hold it).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Enrolment {
    /// Label.
    pub label: String,
    /// Log of the instance.
    pub origin: Origin,
    /// The person, with the key to be theirs.
    pub person: Person,
    /// When (ms since 1970).
    pub created_ms: u64,
}
document!(Enrolment, "KMS-ENROLMENT/1", 4096);

/// What a set of sealed keys is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[repr(u8)]
pub enum SealPurpose {
    /// National masters diversified for a province.
    ProvincialMasters = 0,
    /// A bureau's transport key (KEK).
    TransportKey = 1,
}

/// One key sealed to the recipient's HSM key.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct SealedEntry {
    /// Key name of the profile; `KEK` for a transport key.
    pub name: String,
    /// Key group; 0 for a transport key.
    pub group: u8,
    /// Version; 0 for a transport key.
    pub version: u16,
    /// CKA_ID in the sending HSM; for a transport key this is the KEK id of manifests.
    pub id: ObjectId,
    /// Check value of the key inside.
    pub kcv: Kcv,
    /// GM/T 0009 SM2Cipher (DER), or the RSA-OAEP block.
    pub ciphertext: OctetString,
}

/// Keys sealed to one recipient (`KMS-SEALED-KEYS/1`, SIGNED by the sender's instance key).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct SealedKeys {
    /// Label.
    pub label: String,
    /// Sender.
    pub origin: Origin,
    /// Under which ceremony.
    pub plan: PlanId,
    /// For what.
    pub purpose: SealPurpose,
    /// Region code or bureau id of the recipient.
    pub destination: String,
    /// Key id (SM3 of the SubjectPublicKeyInfo) of the recipient's HSM key.
    pub recipient_key: Digest,
    /// Profile digest, for masters.
    #[asn1(context_specific = "0", optional = "true")]
    pub profile: Option<Digest>,
    /// The keys.
    pub keys: Vec<SealedEntry>,
    /// When (ms since 1970).
    pub sealed_ms: u64,
}
document!(SealedKeys, "KMS-SEALED-KEYS/1", 512 * 1024);

/// A key and its check value, in receipts.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct KeyCheck {
    /// Key name.
    pub name: String,
    /// Key group.
    pub group: u8,
    /// Version.
    pub version: u16,
    /// Check value as the receiving HSM computed it.
    pub kcv: Kcv,
}

/// A province's receipt for imported masters (`KMS-IMPORT-RECEIPT/1`, SIGNED by its instance key).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct ImportReceipt {
    /// Label.
    pub label: String,
    /// The province's log.
    pub origin: Origin,
    /// The import ceremony there.
    pub plan: PlanId,
    /// SM3 of the signed sealed-key set.
    pub sealed: Digest,
    /// The HSM that holds them now.
    pub hsm_serial: String,
    /// Every key with the check value computed there.
    pub keys: Vec<KeyCheck>,
    /// When (ms since 1970).
    pub imported_ms: u64,
}
document!(ImportReceipt, "KMS-IMPORT-RECEIPT/1", 128 * 1024);

/// A bureau's application (`KMS-BUREAU-APPLICATION/1`, SIGNED with the key of its signing certificate).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct BureauApplication {
    /// Label.
    pub label: String,
    /// Id it wants.
    pub bureau: BureauId,
    /// Company name.
    pub name: String,
    /// X.509 SM2 signing certificate (DER).
    pub signing_certificate: OctetString,
    /// X.509 SM2 encryption certificate (DER): card records are encrypted for it.
    pub encryption_certificate: OctetString,
    /// Key inside its HSM: transport keys are sealed to it.
    pub hsm_key: SealingKey,
    /// How that HSM unwraps card keys.
    pub wrap: KeyWrap,
    /// Serial number of that HSM.
    pub hsm_serial: String,
    /// When (ms since 1970).
    pub created_ms: u64,
}
document!(BureauApplication, "KMS-BUREAU-APPLICATION/1", 16 * 1024);

/// A bureau's wish for card keys (`KMS-BATCH-REQUEST/1`, SIGNED by the bureau).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct BatchRequest {
    /// Label.
    pub label: String,
    /// Instance asked.
    pub origin: Origin,
    /// Who asks.
    pub bureau: BureauId,
    /// Random id of the batch; a repeat of the same request finds it.
    pub batch: BatchId,
    /// Profile name.
    pub profile_id: ProfileId,
    /// SM3 of the profile file.
    pub profile: Digest,
    /// Cards in the list.
    pub cards: u32,
    /// Replacement cards among them.
    pub replacements: u32,
    /// SM3("KMS-CARD-LIST/1" ‖ 00 ‖ salt32 ‖ list bytes); the salt travels beside the list, never in the log.
    pub list: Digest,
    /// When (ms since 1970).
    pub created_ms: u64,
}
document!(BatchRequest, "KMS-BATCH-REQUEST/1", 4096);

/// A root component sealed to the HSM by its custodian (`KMS-COMPONENT/1`, SIGNED by the custodian).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Component {
    /// Label.
    pub label: String,
    /// The ceremony it is for.
    pub plan: PlanId,
    /// The custodian.
    pub officer: PersonId,
    /// Check value, as the plan says.
    pub kcv: Kcv,
    /// GM/T 0009 SM2Cipher (DER) to COMPONENT IMPORT KEY.
    pub ciphertext: OctetString,
}
document!(Component, "KMS-COMPONENT/1", 4096);

/// One chunk in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct ChunkEntry {
    /// Position, from 0.
    pub index: u32,
    /// Cards in it.
    pub cards: u32,
    /// Bytes of the chunk file.
    pub bytes: u64,
    /// SM3 of the chunk file.
    pub digest: Digest,
    /// Merkle root over its card leaves.
    pub root: Digest,
}

/// Table of contents of a package (`KMS-BATCH/1`, SIGNED by the instance key). One per batch, ever.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Manifest {
    /// Label.
    pub label: String,
    /// Issuing instance.
    pub origin: Origin,
    /// The batch.
    pub batch: BatchId,
    /// The bureau's counter: an old package cannot pass for a new one.
    pub counter: u64,
    /// The bureau.
    pub bureau: BureauId,
    /// The ceremony that authorised it.
    pub plan: PlanId,
    /// Profile name.
    pub profile_id: ProfileId,
    /// SM3 of the profile file.
    pub profile: Digest,
    /// Transport key id.
    pub kek: ObjectId,
    /// Its check value.
    pub kek_kcv: Kcv,
    /// How it wraps card keys.
    pub wrap: KeyWrap,
    /// Key id of the encryption certificate's key: records are encrypted for it.
    pub encryption_key: Digest,
    /// Cards in all.
    pub cards: u32,
    /// Card keys in all.
    pub keys: u64,
    /// The chunks, by index.
    pub chunks: Vec<ChunkEntry>,
    /// Merkle root over the chunk roots.
    pub root: Digest,
    /// Latest checkpoint (a signed note) that covers every chunk's OUTCOME.
    pub checkpoint: String,
    /// When (ms since 1970).
    pub created_ms: u64,
}
document!(Manifest, "KMS-BATCH/1", 1024 * 1024);

/// Most spoiled cards one receipt can name.
pub const SPOILED_MAX: usize = 100_000;

/// A bureau's receipt for a package (`KMS-RECEIPT/1`, SIGNED by the bureau).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Receipt {
    /// Label.
    pub label: String,
    /// Issuing instance.
    pub origin: Origin,
    /// The batch.
    pub batch: BatchId,
    /// Its counter.
    pub counter: u64,
    /// The bureau.
    pub bureau: BureauId,
    /// SM3 of the signed manifest.
    pub manifest: Digest,
    /// Root of the manifest.
    pub root: Digest,
    /// Cards whose keys were opened and are in use.
    pub accepted: u32,
    /// Commitments of spoiled cards, sorted; these may be issued again.
    pub spoiled: Vec<Digest>,
    /// When (ms since 1970).
    pub received_ms: u64,
}
document!(Receipt, "KMS-RECEIPT/1", 4 * 1024 * 1024);
