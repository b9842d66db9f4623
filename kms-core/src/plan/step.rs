//! The effects a plan can ask for, one type each: everything the effect needs, nothing looked up later.
//!
//! Stored format: changing a type here needs a new plan label.

use der::Sequence;
use der::asn1::OctetString;

use super::{Level, Person, QuorumRule};
use crate::digest::Digest;
use crate::id::{BatchId, BureauId, ObjectId, PersonId, ProfileId, RegionCode};
use crate::ports::Custody;
use crate::secret::Kcv;
use crate::suite::{CardAlgorithm, KeyWrap, Suite};

/// First step of a genesis plan: what this instance is and who runs it.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct FoundInstance {
    /// National or provincial.
    pub level: Level,
    /// `000000` for the nation.
    pub region: RegionCode,
    /// Family of algorithms of its HSM, for ever.
    pub suite: Suite,
    /// SM3 of the policy file the rules were read from.
    pub policy: Digest,
    /// Quorum rules, sorted by operation name.
    pub rules: Vec<QuorumRule>,
    /// Largest batch in cards.
    pub cards_max: u32,
    /// Cards per chunk.
    pub chunk_cards: u32,
    /// Founding roster, sorted by id.
    pub people: Vec<Person>,
}

/// Second step of a genesis plan: the instance's own keys, one purpose each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Sequence)]
pub struct CreateInstanceKeys {
    /// Signs checkpoints.
    pub log: ObjectId,
    /// Signs manifests, sealed keys, receipts.
    pub instance: ObjectId,
    /// Unwraps masters sealed to this HSM.
    pub import: ObjectId,
    /// HMAC key of the card index.
    pub index: ObjectId,
    /// Protects card lists at rest.
    pub storage: ObjectId,
    /// Unwraps root components; absent where the make of HSM combines none.
    #[asn1(context_specific = "0", optional = "true")]
    pub component_import: Option<ObjectId>,
}

/// One master key of a profile and the object that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct MasterEntry {
    /// Key name of the profile, such as `RK1_DF01`.
    pub name: String,
    /// Key group (密钥组), from 1.
    pub group: u8,
    /// Version of this master, from 1.
    pub version: u16,
    /// CKA_ID of the object in this instance's HSM.
    pub id: ObjectId,
    /// Check value, once it is known.
    #[asn1(context_specific = "0", optional = "true")]
    pub kcv: Option<Kcv>,
}

impl MasterEntry {
    /// `name/group/version`: label of the object, name in reports.
    pub fn title(&self) -> String {
        format!("{}/{}/{}", self.name, self.group, self.version)
    }
}

/// A custodian of a root component (领导卡 holder) and the check value of the component.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Custodian {
    /// Who holds it.
    pub person: PersonId,
    /// Check value of the component, compared inside the HSM.
    pub kcv: Kcv,
}

/// Makes the national masters of a profile.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct CreateMasters {
    /// Profile name.
    pub profile_id: ProfileId,
    /// SM3 of the profile file.
    pub profile: Digest,
    /// What the masters and the card keys under them are.
    pub algorithm: CardAlgorithm,
    /// Empty: every master is generated in the HSM. Otherwise the seed is combined from these.
    pub custodians: Vec<Custodian>,
    /// Whether the masters may leave wrapped, ever.
    pub transferable: bool,
    /// The masters, in profile order; no check values yet.
    pub masters: Vec<MasterEntry>,
}

impl CreateMasters {
    /// Custody in the port's words.
    pub fn custody(&self) -> Custody {
        custody(self.transferable)
    }
}

/// Pins a province: its instance and log keys, its HSM key TRUSTED in our HSM.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct TrustProvince {
    /// The province's code.
    pub region: RegionCode,
    /// Its signed trust anchor, whole.
    pub anchor: OctetString,
    /// CKA_ID of the recipient object to be made by the security officer.
    pub recipient: ObjectId,
}

/// Diversifies every master for a province and seals the results to its HSM.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct SealMasters {
    /// For which province.
    pub region: RegionCode,
    /// Profile name.
    pub profile_id: ProfileId,
    /// SM3 of the profile file.
    pub profile: Digest,
    /// The province's key in our HSM.
    pub recipient: ObjectId,
    /// National masters with their check values, in profile order.
    pub masters: Vec<MasterEntry>,
}

/// Pins the nation at a province.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct TrustNation {
    /// The nation's signed trust anchor, whole.
    pub anchor: OctetString,
}

/// Imports provincial masters from a sealed set.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct ImportMasters {
    /// Profile name.
    pub profile_id: ProfileId,
    /// SM3 of the profile file.
    pub profile: Digest,
    /// What the masters and the card keys under them are.
    pub algorithm: CardAlgorithm,
    /// SM3 of the signed sealed-key set.
    pub sealed: Digest,
    /// Whether the masters may leave wrapped again, ever.
    pub transferable: bool,
    /// The masters with the check values they must show.
    pub masters: Vec<MasterEntry>,
}

impl ImportMasters {
    /// Custody in the port's words.
    pub fn custody(&self) -> Custody {
        custody(self.transferable)
    }
}

/// Registers a bureau: its HSM key and a fresh transport key, both TRUSTED by the security officer.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct TrustBureau {
    /// The bureau.
    pub bureau: BureauId,
    /// Its signed application, whole: certificates and HSM key.
    pub application: OctetString,
    /// CKA_ID of its public key in our HSM.
    pub recipient: ObjectId,
    /// CKA_ID of the transport key.
    pub kek: ObjectId,
    /// How it will wrap card keys.
    pub wrap: KeyWrap,
    /// No batch is authorised after this time.
    pub valid_until_ms: u64,
}

/// Seals the bureau's transport key to the bureau's HSM key.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct SealTransportKey {
    /// The bureau.
    pub bureau: BureauId,
    /// CKA_ID of its public key in our HSM.
    pub recipient: ObjectId,
    /// CKA_ID of the transport key.
    pub kek: ObjectId,
}

/// Issues the card keys of one batch to one bureau.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct IssueBatch {
    /// The batch, as the bureau named it.
    pub batch: BatchId,
    /// Per-bureau counter, from 1, without gaps among authorised plans.
    pub counter: u64,
    /// For whom.
    pub bureau: BureauId,
    /// SM3 of the bureau's signed request.
    pub request: Digest,
    /// Profile name.
    pub profile_id: ProfileId,
    /// SM3 of the profile file.
    pub profile: Digest,
    /// Cards in the list.
    pub cards: u32,
    /// Replacement cards (补卡) among them.
    pub replacements: u32,
    /// Salted commitment to the card list.
    pub list: Digest,
    /// Cards per chunk.
    pub chunk_cards: u32,
    /// Transport key.
    pub kek: ObjectId,
    /// Its check value.
    pub kek_kcv: Kcv,
}

/// Lives with known weaknesses of a kind of token, for a time. Changes nothing in the HSM.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct AcceptRisk {
    /// Model of the token.
    pub model: String,
    /// Its firmware version.
    pub firmware: String,
    /// SM3 of the vendor map it was probed with.
    pub map: Digest,
    /// The attacks that work and are accepted, by number, in order.
    pub attacks: Vec<u8>,
    /// Why, in the officers' words.
    pub reason: String,
    /// Not accepted at or after.
    pub valid_until_ms: u64,
}

fn custody(transferable: bool) -> Custody {
    if transferable { Custody::Transferable } else { Custody::Local }
}
