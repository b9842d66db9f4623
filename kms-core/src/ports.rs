//! What the domain asks of the outside: the HSM, in the domain's words.
//!
//! No slots, handles, CK_RV, sessions or PINs appear here; an adapter is already bound to one token
//! (or to a pool of tokens that hold the same masters). Every method that makes something lasting
//! takes the [`ObjectId`]s beforehand and is idempotent under them: an object that already exists
//! under its id with the right attributes is adopted, a wrong one is an error, never overwritten.
//! That is what lets a caller record the intent first and repeat after a crash.

mod abilities;
mod inspection;

use thiserror::Error;

pub use abilities::{Abilities, Wrapped};

use crate::id::ObjectId;
use crate::keys::{SealingKey, Signature, VerifyingKey};
use crate::secret::Kcv;

pub use inspection::{
    AuditedObject, ExpectedKey, FailedCheck, KeyKind, ObjectState, ProbeVerdict, SM1_ANSWER, TokenSnapshot,
};

/// What the caller may do about a failed HSM call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultClass {
    /// The token said no (attributes, mechanism, template): a configuration fault. Stop.
    Refused,
    /// Session or device lost: a repeat of the same request may succeed.
    Retryable,
    /// Unknown whether it happened: look up by id before anything else.
    Indeterminate,
    /// The token, module or worker is gone; later calls fail too until somebody repairs it.
    Broken,
    /// The PIN was wrong or is locked. Never retried.
    Pin,
}

/// A failed HSM call: which call, what it returned, what that means.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("HSM: {function} failed with {code}{}", detail.as_ref().map(|d| format!(" ({d})")).unwrap_or_default())]
pub struct HsmError {
    /// What the caller may do.
    pub class: FaultClass,
    /// The PKCS#11 function, or the worker's own step, that failed.
    pub function: String,
    /// The return value by name, such as `CKR_KEY_UNEXTRACTABLE`, or the worker's own code.
    pub code: String,
    /// Which object or attribute, and what to do next; never a secret.
    pub detail: Option<String>,
}

/// Result of an HSM call.
pub type HsmResult<T> = Result<T, HsmError>;

/// State of a PIN as the token's flags tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinState {
    /// No failed attempt is outstanding.
    Good,
    /// At least one failed attempt since the last good one.
    CountLow,
    /// One more failure locks the PIN.
    FinalTry,
    /// Locked: only the security officer can reset it.
    Locked,
}

/// What a token says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenStatus {
    /// Token label.
    pub label: String,
    /// Manufacturer's name.
    pub manufacturer: String,
    /// Token model.
    pub model: String,
    /// Serial number: how the KMS names the HSM.
    pub serial: String,
    /// Firmware version, as `major.minor`.
    pub firmware: String,
    /// Name of the vendor map in use.
    pub map: String,
    /// State of the user PIN.
    pub user_pin: PinState,
    /// Sessions at work on one chunk.
    pub lanes: LaneStatus,
    /// What the process that drives the token has given up, and what it could not.
    pub restrictions: Vec<Restriction>,
}

/// How many calls at a time an adapter makes for one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneStatus {
    /// As configured.
    pub wanted: u16,
    /// As the token allowed at the last chunk; `None` before the first.
    pub given: Option<u16>,
}

impl LaneStatus {
    /// One call after the other.
    pub const ONE: Self = Self { wanted: 1, given: None };
}

/// One thing that the process driving the HSM gives up before it is given a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restriction {
    /// What is given up: `files`, `network`, `system-calls`, …
    pub measure: String,
    /// Whether it is.
    pub hold: Hold,
    /// How, or why not; may be empty.
    pub note: String,
}

/// Whether a restriction holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Yes, until the process ends.
    InForce,
    /// No: the configuration wants it so.
    Waived,
    /// No: this system could not.
    Lacking,
}

impl Hold {
    /// The word for it in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InForce => "in-force",
            Self::Waived => "waived",
            Self::Lacking => "lacking",
        }
    }
}

/// CKA_IDs of the keys every instance owns (one purpose each), chosen before they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceKeyIds {
    /// LOG KEY: signs checkpoints only.
    pub log: ObjectId,
    /// INSTANCE KEY: signs manifests, sealed keys, receipts.
    pub instance: ObjectId,
    /// IMPORT KEY: pair whose private half unwraps masters sealed to this HSM.
    pub import: ObjectId,
    /// COMPONENT IMPORT KEY: pair whose private half unwraps root components; none without [`Abilities::components`].
    pub component_import: Option<ObjectId>,
    /// INDEX KEY: HMAC, makes the keyed card index.
    pub index: ObjectId,
    /// STORAGE KEY: protects card lists at rest.
    pub storage: ObjectId,
}

/// Public halves of the instance's key pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstancePublicKeys {
    /// Public half of LOG KEY.
    pub log: VerifyingKey,
    /// Public half of INSTANCE KEY.
    pub instance: VerifyingKey,
    /// Public half of IMPORT KEY.
    pub import: SealingKey,
    /// Public half of COMPONENT IMPORT KEY.
    pub component_import: Option<SealingKey>,
}

/// Whether a master may ever leave its HSM wrapped (decided at generation, irreversible).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Custody {
    /// CKA_EXTRACTABLE = false: dies with its HSM.
    Local,
    /// Wrappable, but only under a TRUSTED key: backup, SAM loading, hand-over.
    Transferable,
}

/// One master to be made: its CKA_ID and label (`RK1_DF01/2/1` = name/group/version).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterSpec {
    /// CKA_ID of the new object.
    pub id: ObjectId,
    /// CKA_LABEL, for people reading the token.
    pub label: String,
    /// May it leave wrapped.
    pub custody: Custody,
}

/// A root component sealed to COMPONENT IMPORT KEY by its custodian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedComponent {
    /// GM/T 0009 SM2Cipher of the 16 bytes.
    pub ciphertext: Vec<u8>,
    /// Check value the custodian declared; compared inside the HSM before use.
    pub kcv: Kcv,
}

/// A key sealed to a recipient's HSM key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedMaster {
    /// GM/T 0009 SM2Cipher (DER), or the RSA-OAEP block.
    pub ciphertext: Vec<u8>,
    /// Check value of the key inside.
    pub kcv: Kcv,
}

/// Order for one chunk: every card factor diversifies every master, wrapped under one KEK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkOrder {
    /// The bureau's transport key.
    pub kek: ObjectId,
    /// Masters in slot order, with whether the package carries a check value for that slot.
    pub masters: Vec<(ObjectId, bool)>,
    /// One diversification block per card (`F ‖ ~F` or a raw block).
    pub blocks: Vec<[u8; 16]>,
}

/// One wrapped card key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// Under the transport key.
    pub wrapped: Wrapped,
    /// Check value where the profile puts one into the package.
    pub kcv: Option<Kcv>,
}

/// A trusted key as found in the token after a security officer's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustedObject {
    /// Nothing under this id.
    Absent,
    /// Exactly one object with the attributes of its template.
    Present {
        /// Public value, for a RECIPIENT.
        public_key: Option<SealingKey>,
        /// Check value, for a transport key.
        kcv: Option<Kcv>,
    },
}

/// Which template a trusted object must match (hsm templates RECIPIENT and BUREAU KEK).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedRole {
    /// Public key of a bureau or province: WRAP only, TRUSTED.
    Recipient,
    /// Symmetric transport key (KEK): WRAP only, TRUSTED.
    TransportKey,
}

/// Largest log head record kept in the token, in bytes.
pub const LOG_HEAD_BYTES_MAX: usize = 1024;

/// The HSM of an instance, runtime and ceremony duties (user login). Implementations are thread-safe.
pub trait Hsm: Send + Sync {
    /// What this HSM can do, from its map; asks no token.
    fn abilities(&self) -> Abilities;
    /// Token identity and PIN state; also the health check. Does not log in when the PIN is not good.
    fn status(&self) -> HsmResult<TokenStatus>;
    /// Random bytes from the token; at most 64 KiB a call.
    fn random(&self, count: usize) -> HsmResult<Vec<u8>>;
    /// Makes (or adopts) the instance's own keys.
    fn create_instance_keys(&self, ids: &InstanceKeyIds) -> HsmResult<InstancePublicKeys>;
    /// Signature over the 32-byte value of [`VerifyingKey::digest_for_signing`], in its one accepted form.
    fn sign(&self, key: ObjectId, e: &[u8; 32]) -> HsmResult<Signature>;
    /// Generates (or adopts) masters; answers their check values in order.
    fn generate_masters(&self, masters: &[MasterSpec]) -> HsmResult<Vec<Kcv>>;
    /// Combines components to a seed inside the HSM, diversifies every master from it with its
    /// 16-byte block, destroys seed and components. Answers (seed check value, master check values).
    /// `KCV_MISMATCH` (class Refused) names the first component whose check value differs.
    fn masters_from_components(
        &self,
        component_import: ObjectId,
        components: &[SealedComponent],
        masters: &[(MasterSpec, [u8; 16])],
    ) -> HsmResult<(Kcv, Vec<Kcv>)>;
    /// Diversifies each master by `block` and seals the child to the trusted recipient key.
    fn seal_diversified(
        &self,
        masters: &[ObjectId],
        block: &[u8; 16],
        recipient: ObjectId,
    ) -> HsmResult<Vec<SealedMaster>>;
    /// Unwraps masters sealed to IMPORT KEY (or adopts them); a check value that differs aborts all.
    fn import_masters(&self, import: ObjectId, masters: &[(MasterSpec, SealedMaster)]) -> HsmResult<Vec<Kcv>>;
    /// Looks up what a security officer's session made, and compares every attribute with the template.
    fn trusted_object(&self, id: ObjectId, role: TrustedRole) -> HsmResult<TrustedObject>;
    /// Seals a transport key to a trusted recipient key.
    fn seal_transport_key(&self, kek: ObjectId, recipient: ObjectId) -> HsmResult<SealedMaster>;
    /// Diversifies and wraps a chunk: for each block, one key per master, in order. Nothing lasting is made.
    fn issue_chunk(&self, order: &ChunkOrder) -> HsmResult<Vec<Vec<WrappedKey>>>;
    /// HMAC (SM3 or SHA-256) of each value under INDEX KEY.
    fn card_index(&self, index: ObjectId, values: &[Vec<u8>]) -> HsmResult<Vec<[u8; 32]>>;
    /// Encrypts for storage, authenticated together with `context`, under STORAGE KEY.
    fn protect(&self, storage: ObjectId, plaintext: &[u8], context: &[u8]) -> HsmResult<Vec<u8>>;
    /// Opens what [`Hsm::protect`] made under the same context; damage is `Refused`.
    fn unprotect(&self, storage: ObjectId, protected: &[u8], context: &[u8]) -> HsmResult<Vec<u8>>;
    /// Reads the log head kept in the token (a data object), if any.
    fn log_head(&self) -> HsmResult<Option<Vec<u8>>>;
    /// Replaces the log head kept in the token; durable when it returns.
    fn set_log_head(&self, head: &[u8]) -> HsmResult<()>;
    /// Compares every object of the token with the keys that the log knows. Changes nothing. Logs in
    /// anew, once: never repeated by itself.
    fn audit(&self, expected: &[ExpectedKey]) -> HsmResult<TokenSnapshot>;
    /// Attacks and examines the token on throw-away keys of its own. Logs in anew, once.
    fn probe(&self) -> HsmResult<ProbeVerdict>;
}

/// A security officer's (SO) session on an instance's token, opened for one ceremony by a person
/// who enters the SO PIN: it sets trust and nothing else. Never part of the server.
pub trait SecurityOfficerToken {
    /// Stores (or adopts) a recipient's public key, TRUSTED, WRAP only.
    fn trust_recipient(&self, id: ObjectId, label: &str, key: &SealingKey) -> HsmResult<()>;
    /// Generates (or adopts) a transport key, TRUSTED, WRAP only; answers its check value.
    fn create_transport_key(&self, id: ObjectId, label: &str) -> HsmResult<Kcv>;
}

/// One key of a chunk on its way from the transport key to the personalization key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewrapItem {
    /// Under the transport key.
    pub wrapped: Wrapped,
    /// Check value from the package; compared inside when present.
    pub kcv: Option<Kcv>,
}

/// What vouches for a transport key that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// The token computed its check value, and it is the one of the sealed set.
    ByCheckValue,
    /// The make shows no check value of unwrapped keys: only seal and signature of the sealed set vouch for it.
    BySealOnly,
}

/// Card keys wrapped under the personalization key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrapped {
    /// Blobs in the order of the items.
    pub keys: Vec<Wrapped>,
    /// For how many the token compared the package's check value.
    pub compared: usize,
}

/// The bureau's own HSM.
pub trait BureauHsm {
    /// What this HSM can do, from its map; asks no token.
    fn abilities(&self) -> Abilities;
    /// Token identity and PIN state.
    fn status(&self) -> HsmResult<TokenStatus>;
    /// Makes (or adopts, by label) the bureau's pair that transport keys are sealed to.
    fn create_import_key(&self, label: &str) -> HsmResult<SealingKey>;
    /// Test instances of suite sm only: installs a known private scalar instead of a generated one.
    fn install_import_key(&self, label: &str, scalar: &[u8; 32]) -> HsmResult<SealingKey>;
    /// Opens a sealed transport key into the token as an UNWRAP-only key under `id` (or adopts it); checks the KCV
    /// where the make shows one.
    fn open_transport_key(&self, import_label: &str, id: ObjectId, sealed: &SealedMaster) -> HsmResult<Confirmation>;
    /// Unwraps each key as a session object, compares the check value where there is one and the make shows it, wraps
    /// it again under the personalization key of that label, destroys it. Answers blobs in order.
    /// An error's `detail` names the index of the first bad item.
    fn rewrap(&self, transport: ObjectId, personalization_label: &str, items: &[RewrapItem]) -> HsmResult<Rewrapped>;
}

/// A bureau's security officer session: makes the TRUSTED personalization key.
pub trait BureauOfficerToken {
    /// Generates (or adopts, by label) the personalization KEK; answers its check value.
    fn create_personalization_key(&self, label: &str) -> HsmResult<Kcv>;
}
