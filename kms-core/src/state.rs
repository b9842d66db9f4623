//! The state of an instance: the fold of its key log.
//!
//! One state machine for two readers. The server applies an entry before it commits it; the auditor
//! applies the same entries offline. [`State::apply`] first checks every rule against the state so far and only
//! then changes it, so an entry that breaks a rule leaves the state as it was. What the rules are: the
//! modules below, one per kind of thing; each broken rule is one [`Violation`].
//!
//! Not here: card numbers, factors, database rows, HSM calls, clocks. Time is the entry's own.

mod authority;
mod batch;
mod ceremony;
mod founding;
mod inventory;
mod outcome;
mod phase;
mod plan_check;
mod roster;
mod token;

use std::collections::{BTreeMap, BTreeSet};

pub use authority::QuorumProof;
pub use batch::{Batch, BatchPhase, ChunkState, package_root};
pub use ceremony::{Ceremony, Recorded, StepState, step_digest};
pub use founding::Identity;
pub use phase::{Move, Phase};
pub use plan_check::checked_anchor;
pub use roster::Former;
pub use token::{Acceptance, Alarm, Finding, Token, stops};

use crate::certificate::Certificate;
use crate::digest::Digest;
use crate::document::{BureauApplication, TrustAnchor};
use crate::encoding::{self, Document, Signed};
use crate::event::{Event, LogEntry};
use crate::id::{Actor, BatchId, BureauId, ObjectId, PersonId, PlanId, ProfileId, RegionCode};
use crate::keys::{SealingKey, Verifier, VerifyingKey};
use crate::log::merkle::{self, Frontier};
use crate::plan::{Person, Role};
use crate::secret::Kcv;
use crate::suite::CardAlgorithm;
use crate::violation::Violation;

/// Where the documents that entries name by digest are found.
pub trait Documents {
    /// The document with this SM3 digest, if there is one. The fold checks the digest itself.
    fn document(&self, digest: &Digest) -> Option<Vec<u8>>;
}

impl Documents for BTreeMap<Digest, Vec<u8>> {
    fn document(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.get(digest).cloned()
    }
}

/// A master of a profile held by this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Key name.
    pub name: String,
    /// Key group.
    pub group: u8,
    /// Version.
    pub version: u16,
    /// CKA_ID.
    pub id: ObjectId,
    /// Check value, as the HSM computed it when it was made.
    pub kcv: Kcv,
}

impl Master {
    /// `name/group/version`.
    pub fn title(&self) -> String {
        format!("{}/{}/{}", self.name, self.group, self.version)
    }
}

/// The masters of one profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterSet {
    /// Profile name.
    pub profile_id: ProfileId,
    /// Ceremony that made them.
    pub plan: PlanId,
    /// What they are.
    pub algorithm: CardAlgorithm,
    /// May they leave wrapped.
    pub transferable: bool,
    /// In profile order.
    pub masters: Vec<Master>,
}

/// A province as the nation knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Province {
    /// Its pinned identity.
    pub anchor: TrustAnchor,
    /// Its key in our HSM.
    pub recipient: ObjectId,
    /// Sealed sets made for it: profile digest → (ceremony, document, receipt).
    pub sealed: BTreeMap<Digest, SealedSet>,
}

/// A sealed set of masters on its way to a province.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSet {
    /// The ceremony that sealed it.
    pub plan: PlanId,
    /// SM3 of the signed document.
    pub document: Digest,
    /// SM3 of the province's signed receipt, once it came.
    pub receipt: Option<Digest>,
}

/// A registered bureau.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bureau {
    /// What it applied with.
    pub application: BureauApplication,
    /// Its signing certificate.
    pub signing: Certificate,
    /// Its encryption certificate.
    pub encryption: Certificate,
    /// Its HSM's public key in our HSM.
    pub recipient: ObjectId,
    /// Transport key id.
    pub kek: ObjectId,
    /// Its check value.
    pub kek_kcv: Kcv,
    /// No batch after this time.
    pub valid_until_ms: u64,
    /// SM3 of the signed sealed transport key, once it is sealed.
    pub sealed: Option<Digest>,
    /// Counter of the last authorised plan.
    pub counter: u64,
}

/// The instance's own keys, once they are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceKeys {
    /// Their CKA_IDs.
    pub ids: crate::plan::CreateInstanceKeys,
    /// Verifies checkpoints.
    pub log: VerifyingKey,
    /// Verifies manifests, sealed keys, receipts.
    pub instance: VerifyingKey,
    /// Masters are sealed to it.
    pub import: SealingKey,
    /// Components are sealed to it, where the HSM combines any.
    pub component_import: Option<SealingKey>,
    /// SM3 of the signed trust anchor.
    pub anchor: Digest,
}

/// Fold of the log.
#[derive(Clone, Default)]
pub struct State {
    frontier: Frontier,
    last_time_ms: u64,
    identity: Option<Identity>,
    keys: Option<InstanceKeys>,
    people: BTreeMap<PersonId, Person>,
    former: BTreeMap<PersonId, Former>,
    /// Ids of every key a person ever had here.
    keys_ever: BTreeSet<Digest>,
    ceremonies: BTreeMap<PlanId, Ceremony>,
    masters: BTreeMap<Digest, MasterSet>,
    provinces: BTreeMap<RegionCode, Province>,
    nation: Option<TrustAnchor>,
    bureaus: BTreeMap<BureauId, Bureau>,
    batches: BTreeMap<BatchId, Batch>,
    tokens: token::Tokens,
}

impl State {
    /// Entries folded so far.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Merkle root over them.
    pub fn root(&self) -> Digest {
        self.frontier.root()
    }

    /// Time of the last entry (ms since 1970).
    pub fn last_time_ms(&self) -> u64 {
        self.last_time_ms
    }

    /// What this instance is, once it is founded.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The instance's own keys, once they are made.
    pub fn keys(&self) -> Option<&InstanceKeys> {
        self.keys.as_ref()
    }

    /// The roster.
    pub fn people(&self) -> &BTreeMap<PersonId, Person> {
        &self.people
    }

    /// All ceremonies, closed ones too.
    pub fn ceremonies(&self) -> &BTreeMap<PlanId, Ceremony> {
        &self.ceremonies
    }

    /// Masters by profile digest.
    pub fn masters(&self) -> &BTreeMap<Digest, MasterSet> {
        &self.masters
    }

    /// Paired provinces (national instance).
    pub fn provinces(&self) -> &BTreeMap<RegionCode, Province> {
        &self.provinces
    }

    /// The paired nation (provincial instance).
    pub fn nation(&self) -> Option<&TrustAnchor> {
        self.nation.as_ref()
    }

    /// Registered bureaus.
    pub fn bureaus(&self) -> &BTreeMap<BureauId, Bureau> {
        &self.bureaus
    }

    /// All batches.
    pub fn batches(&self) -> &BTreeMap<BatchId, Batch> {
        &self.batches
    }

    /// One ceremony.
    pub fn ceremony(&self, plan: PlanId) -> Result<&Ceremony, Violation> {
        self.ceremonies.get(&plan).ok_or(Violation::PlanUnknown { plan })
    }

    /// One batch.
    pub fn batch(&self, batch: BatchId) -> Result<&Batch, Violation> {
        self.batches.get(&batch).ok_or(Violation::BatchUnknown { batch })
    }

    /// One bureau.
    pub fn bureau(&self, bureau: &BureauId) -> Result<&Bureau, Violation> {
        self.bureaus.get(bureau).ok_or_else(|| Violation::BureauUnknown { bureau: bureau.clone() })
    }

    /// Checks `entry` against every rule, then takes it in. On an error nothing has changed.
    pub fn apply(&mut self, entry: &LogEntry, documents: &dyn Documents) -> Result<(), Violation> {
        self.check_frame(entry)?;
        self.require_writable(&entry.event)?;
        match &entry.event {
            Event::Founded(event) => self.apply_founded(entry, event, documents)?,
            Event::Started(_) => {
                self.require_own(entry)?;
                self.tokens.started(entry);
            }
            Event::Opened(event) => self.apply_opened(entry, event, documents)?,
            Event::Decided(event) => self.apply_decided(entry, event, documents)?,
            Event::Authorised(event) => self.apply_authorised(entry, event)?,
            Event::Paused(event) => self.apply_paused(entry, event)?,
            Event::Contributed(event) => self.apply_contributed(entry, event, documents)?,
            Event::StepIntent(event) => self.apply_step_intent(entry, event)?,
            Event::StepOutcome(event) => self.apply_step_outcome(entry, event, documents)?,
            Event::Closed(event) => self.apply_closed(entry, event)?,
            Event::BatchRequested(event) => self.apply_batch_requested(entry, event, documents)?,
            Event::ChunkIntent(event) => self.apply_chunk_intent(entry, event)?,
            Event::ChunkOutcome(event) => self.apply_chunk_outcome(entry, event)?,
            Event::BatchReleased(event) => self.apply_batch_released(entry, event, documents)?,
            Event::BatchAcknowledged(event) => self.apply_batch_acknowledged(entry, event, documents)?,
            Event::BatchCancelled(event) => self.apply_batch_cancelled(entry, event)?,
            Event::HandOverConfirmed(event) => self.apply_hand_over(event, documents)?,
            Event::Refused(_) => {}
            Event::TokenAudited(event) => self.apply_token_audited(entry, event)?,
            Event::TokenProbed(event) => self.apply_token_probed(entry, event)?,
        }
        let bytes =
            encoding::encode(entry).map_err(|reason| Violation::DocumentMalformed { what: "log entry", reason })?;
        self.frontier.push(merkle::leaf_hash(&bytes));
        self.last_time_ms = entry.time_ms;
        Ok(())
    }

    /// What every entry must satisfy whatever its event.
    fn check_frame(&self, entry: &LogEntry) -> Result<(), Violation> {
        if entry.index != self.size() {
            return Err(Violation::Index { expected: self.size(), found: entry.index });
        }
        if entry.time_ms < self.last_time_ms {
            return Err(Violation::ClockBackwards { last: self.last_time_ms, found: entry.time_ms });
        }
        match (&self.identity, &entry.event) {
            (None, Event::Founded(event)) => {
                require(Digest::of(event.origin.as_str().as_bytes()) == entry.origin, Violation::ForeignOrigin)?;
            }
            (None, _) => return Err(Violation::NotFounded),
            (Some(_), Event::Founded(_)) => return Err(Violation::AlreadyFounded),
            (Some(identity), _) => {
                require(Digest::of(identity.origin.as_str().as_bytes()) == entry.origin, Violation::ForeignOrigin)?;
            }
        }
        self.check_role(entry)
    }

    fn check_role(&self, entry: &LogEntry) -> Result<(), Violation> {
        let mismatch = || Violation::RoleMismatch { actor: entry.actor.clone() };
        match &entry.actor {
            Actor::Person(id) if self.identity.is_some() => {
                let person = self.person(id)?;
                require(entry.role == Some(person.role), mismatch())
            }
            Actor::Person(_) => Ok(()),
            Actor::Bureau(_) | Actor::Instance(_) | Actor::Own | Actor::Unknown => {
                require(entry.role.is_none(), mismatch())
            }
        }
    }

    fn person(&self, id: &PersonId) -> Result<&Person, Violation> {
        self.people.get(id).ok_or_else(|| Violation::PersonUnknown { person: id.clone() })
    }

    /// The security officer an entry names as its actor.
    fn officer<'a>(&'a self, entry: &LogEntry) -> Result<&'a Person, Violation> {
        let Actor::Person(id) = &entry.actor else {
            return Err(actor_not_allowed(entry, "a security officer"));
        };
        let person = self.person(id)?;
        require(person.role == Role::Security, Violation::NotAnOfficer { person: id.clone() })?;
        Ok(person)
    }

    fn require_own(&self, entry: &LogEntry) -> Result<(), Violation> {
        require(entry.actor == Actor::Own, actor_not_allowed(entry, "the instance itself"))
    }

    fn founded(&self) -> Result<&Identity, Violation> {
        self.identity.as_ref().ok_or(Violation::NotFounded)
    }

    fn own_keys(&self) -> Result<&InstanceKeys, Violation> {
        self.keys.as_ref().ok_or(Violation::NotFounded)
    }
}

fn actor_not_allowed(entry: &LogEntry, wanted: &'static str) -> Violation {
    Violation::ActorNotAllowed { actor: entry.actor.clone(), wanted }
}

/// `Ok` when the rule holds, its violation when not.
fn require(holds: bool, violation: Violation) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(violation) }
}

/// Fetches a document and checks that it is the one its digest names.
fn fetch(documents: &dyn Documents, digest: &Digest) -> Result<Vec<u8>, Violation> {
    let bytes = documents.document(digest).ok_or(Violation::DocumentMissing { digest: *digest })?;
    require(Digest::of(&bytes) == *digest, Violation::DocumentMissing { digest: *digest })?;
    Ok(bytes)
}

/// Fetches an unsigned document.
fn fetch_plain<D: Document>(documents: &dyn Documents, digest: &Digest, what: &'static str) -> Result<D, Violation> {
    encoding::decode(&fetch(documents, digest)?).map_err(|reason| Violation::DocumentMalformed { what, reason })
}

/// Fetches a signed document; the caller still has to verify it.
fn fetch_signed<D: Document>(
    documents: &dyn Documents,
    digest: &Digest,
    what: &'static str,
) -> Result<Signed<D>, Violation> {
    parse_signed(&fetch(documents, digest)?, what)
}

fn parse_signed<D: Document>(bytes: &[u8], what: &'static str) -> Result<Signed<D>, Violation> {
    Signed::parse(bytes).map_err(|reason| Violation::DocumentMalformed { what, reason })
}

fn verified<'a, D: Document>(
    signed: &'a Signed<D>,
    key: &impl Verifier,
    what: &'static str,
) -> Result<&'a D, Violation> {
    signed.verify(key).map_err(|_| Violation::SignatureInvalid { what })
}
