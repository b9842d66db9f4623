//! What an instance asks of its HSM before it uses a key in it: is everything there as the log says,
//! and what could whoever holds the user PIN do to it.
//!
//! Guards: an answer about every expected key and every object of the token, none left out.

use crate::digest::Digest;
use crate::id::ObjectId;
use crate::secret::Kcv;

/// What kind of key is expected; decides which attributes its objects must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Private and public half of the key for root components.
    ComponentImport,
    /// Private and public half of the import key.
    Import,
    /// HMAC key of the card index.
    Index,
    /// A master that stays.
    LocalMaster,
    /// Public key of a province or bureau, trusted.
    Recipient,
    /// Private and public half of a signing key.
    Signing,
    /// Key of card lists at rest.
    Storage,
    /// A bureau's transport key, trusted.
    Transport,
    /// A master that may leave wrapped.
    TransferableMaster,
}

/// A key that the verified log says is in the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedKey {
    /// What it is.
    pub kind: KeyKind,
    /// CKA_ID.
    pub id: ObjectId,
    /// For people.
    pub name: String,
    /// Must the token say that it made the key itself (CKA_LOCAL)?
    pub made_here: bool,
    /// Check value, where one is recorded.
    pub kcv: Option<Kcv>,
    /// Key id (SM3 of the SubjectPublicKeyInfo) of the public half, where one is recorded.
    pub public: Option<Digest>,
}

/// What is to be said of one expected object, or of one that nobody expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectState {
    /// There once, with every attribute.
    Present,
    /// On the list and not in the token.
    Missing,
    /// More than one object under class and id.
    Duplicate,
    /// An attribute, the check value or the public half differs.
    Wrong,
    /// In the token and not on the list.
    Unknown,
}

impl ObjectState {
    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Missing => "missing",
            Self::Duplicate => "duplicate",
            Self::Wrong => "wrong",
            Self::Unknown => "unknown",
        }
    }
}

/// One line of an audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedObject {
    /// The verdict.
    pub state: ObjectState,
    /// What it is: the name of its template and of the key, or the label of an unknown object.
    pub name: String,
    /// Class of the object.
    pub class: String,
    /// CKA_ID; an unknown object may have any.
    pub id: Vec<u8>,
    /// What differs; never a value of key material.
    pub detail: String,
}

/// All objects of a token against the list of keys that should be in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSnapshot {
    /// Serial number of the token.
    pub serial: String,
    /// SM3 over all token objects with their attributes in canonical form (`docs/formats.md` §5), the
    /// log head apart: it changes with every checkpoint.
    pub digest: Digest,
    /// How many objects that are.
    pub objects: u32,
    /// One line for each object of each expected key, and for each unknown object.
    pub lines: Vec<AuditedObject>,
}

impl TokenSnapshot {
    /// Everything that is not as it should be.
    pub fn differing(&self) -> impl Iterator<Item = &AuditedObject> {
        self.lines.iter().filter(|line| line.state != ObjectState::Present)
    }
}

/// Name of the known-answer test with the public vector of SM1.
pub const SM1_ANSWER: &str = "SM1, known answer";

/// A known-answer test or examination that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedCheck {
    /// What was looked at.
    pub name: String,
    /// What was found.
    pub found: String,
    /// What to do.
    pub remedy: String,
}

/// What the active probe of a token came to, on throw-away keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeVerdict {
    /// Serial number of the token.
    pub serial: String,
    /// Its model.
    pub model: String,
    /// Its firmware version.
    pub firmware: String,
    /// SM3 of the vendor map it was probed with.
    pub map: Digest,
    /// Attacks that work, by number, in order.
    pub open: Vec<u8>,
    /// Attacks that could not be tried, by number, in order.
    pub untried: Vec<u8>,
    /// Known-answer tests that failed: the token must not be used.
    pub failed: Vec<FailedCheck>,
}
