//! From an officer's wish to a plan: the server writes the DER, the officers read and sign it.
//!
//! Guards: every id and nonce comes from the HSM's random source; size and root of the log in the plan
//! are those of the very moment it is opened.

use kms_api::body::{CeremonyView, CustodianDraft, Proposal, SealedSource};
use kms_api::problem::Code;
use kms_core::digest::Digest;
use kms_core::document::{BureauApplication, Enrolment, SealedEntry, SealedKeys, TrustAnchor};
use kms_core::encoding::{self, Document as _, Signed};
use kms_core::event::{Event, Opened};
use kms_core::id::{Actor, Nonce, ObjectId, PersonId, PlanId, ProfileId, RegionCode};
use kms_core::plan::{
    AcceptRisk, ChangePersonKey, ChangePolicy, CreateMasters, Custodian, EnrolPerson, ImportMasters, MasterEntry, Plan,
    RevokePerson, Role, SealMasters, SealTransportKey, Step, TrustBureau, TrustNation, TrustProvince,
};
use kms_core::policy::Operation;
use kms_core::ports::Custody;
use kms_core::profile::KeyProfile;
use kms_core::suite::CardAlgorithm;
use kms_core::violation::Violation;

use super::caller::Caller;
use super::octets;
use crate::fault::Fault;
use crate::instance::Instance;
use crate::journal::Moment;

/// Bytes of an id or nonce.
const ID_BYTES: usize = 16;

/// Opens a ceremony for what an officer proposes.
pub fn propose(instance: &Instance, caller: &Caller, proposal: &Proposal) -> Result<CeremonyView, Fault> {
    if caller.role() == Some(Role::System) && !operation(proposal).is_about_people() {
        return Err(Fault::new(
            Code::RoleForbidden,
            "a system administrator may ask for changes of roster and policy only",
        ));
    }
    let (steps, document) = steps(instance, proposal)?;
    let serial = instance.token()?.serial;
    let nonce = Randoms::draw(instance, 1)?.nonce()?;
    let plan = instance.journal.commit(|moment, _| {
        let plan = frame(moment, caller.actor(), nonce, serial, steps, None)?;
        let bytes = encoding::encode(&plan)?;
        let id = PlanId::from_digest(Digest::of(&bytes));
        let act = caller.act(vec![Event::Opened(Opened { plan: id })]).with(bytes);
        let act = document.into_iter().fold(act, |act, document| act.with(document));
        Ok((act, id))
    })?;
    super::ceremonies::show(instance, plan)
}

/// Opens a plan for what is left of a paused ceremony, under a quorum of its own.
pub fn resume(instance: &Instance, caller: &Caller, parent: PlanId) -> Result<CeremonyView, Fault> {
    let serial = instance.token()?.serial;
    let nonce = Randoms::draw(instance, 1)?.nonce()?;
    let plan = instance.journal.commit(|moment, _| {
        let steps = moment.state.ceremony(parent)?.remaining_steps().to_vec();
        let plan = frame(moment, caller.actor(), nonce, serial, steps, Some(parent))?;
        let bytes = encoding::encode(&plan)?;
        let id = PlanId::from_digest(Digest::of(&bytes));
        Ok((caller.act(vec![Event::Opened(Opened { plan: id })]).with(bytes), id))
    })?;
    super::ceremonies::show(instance, plan)
}

/// A plan around its steps, opened at this moment with the longest life that the rules allow.
pub fn frame(
    moment: &Moment<'_>,
    requester: Actor,
    nonce: Nonce,
    hsm_serial: String,
    steps: Vec<Step>,
    parent: Option<PlanId>,
) -> Result<Plan, Fault> {
    let identity = moment.state.identity().ok_or(Violation::NotFounded)?;
    let mut plan = Plan {
        label: Plan::LABEL.to_owned(),
        origin: identity.origin.clone(),
        environment: identity.environment,
        nonce,
        requester,
        policy_epoch: identity.policy_epoch,
        approvals: 0,
        opened_size: moment.state.size(),
        opened_root: moment.state.root(),
        not_before_ms: moment.now_ms,
        expires_ms: moment.now_ms,
        max_log_span: 0,
        hsm_serial,
        steps,
        script: None,
        parent,
    };
    let operation = plan.operation().map_err(|_| Violation::UnknownShape)?;
    let rule = identity.rule(operation)?;
    plan.approvals = rule.approvals;
    plan.expires_ms = moment.now_ms.saturating_add(rule.validity_ms);
    plan.max_log_span = rule.max_log_span;
    Ok(plan)
}

/// The profile of this name among the server's policy files.
pub fn profile<'a>(instance: &'a Instance, id: &ProfileId) -> Result<&'a KeyProfile, Fault> {
    let unknown = || Fault::new(Code::ProfileUnknown, format!("there is no profile {id}"));
    instance.policies.profile_named(id).ok_or_else(unknown)
}

/// Random ids, drawn from the HSM at once.
pub struct Randoms {
    bytes: Vec<u8>,
}

impl Randoms {
    /// Draws enough for `count` ids.
    pub fn draw(instance: &Instance, count: usize) -> Result<Self, Fault> {
        Ok(Self { bytes: instance.hsm.random(count * ID_BYTES)? })
    }

    /// The next one, for an object to be made.
    pub fn object(&mut self) -> Result<ObjectId, Fault> {
        self.next().map(ObjectId::from_bytes)
    }

    /// The next one, for a plan.
    pub fn nonce(&mut self) -> Result<Nonce, Fault> {
        self.next().map(Nonce::from_bytes)
    }

    fn next(&mut self) -> Result<[u8; ID_BYTES], Fault> {
        let short = || Fault::new(Code::Internal, "too few random bytes");
        let start = self.bytes.len().checked_sub(ID_BYTES).ok_or_else(short)?;
        self.bytes.split_off(start).try_into().map_err(|_| short())
    }
}

/// The steps of a proposal, and a document they name that the log does not know yet.
fn steps(instance: &Instance, proposal: &Proposal) -> Result<(Vec<Step>, Option<Vec<u8>>), Fault> {
    match proposal {
        Proposal::CreateRoots { profile, custodians, transferable } => {
            let step = create_masters(instance, &profile.0, custodians, *transferable)?;
            Ok((vec![Step::CreateMasters(step)], None))
        }
        Proposal::PairProvince { anchor } => {
            let signed = Signed::<TrustAnchor>::parse(&anchor.0).map_err(super::ceremonies::malformed)?;
            let region = signed.unverified_tbs().region.clone();
            let recipient = Randoms::draw(instance, 1)?.object()?;
            Ok((vec![Step::TrustProvince(TrustProvince { region, anchor: octets(&anchor.0)?, recipient })], None))
        }
        Proposal::DeriveProvince { region, profile } => {
            Ok((vec![Step::SealMasters(seal_masters(instance, &region.0, &profile.0)?)], None))
        }
        Proposal::PairNation { anchor } => {
            Signed::<TrustAnchor>::parse(&anchor.0).map_err(super::ceremonies::malformed)?;
            Ok((vec![Step::TrustNation(TrustNation { anchor: octets(&anchor.0)? })], None))
        }
        Proposal::ImportMasters { sealed, profile, transferable } => {
            let bytes = match sealed {
                SealedSource::Bytes(bytes) => bytes.0.clone(),
                SealedSource::Digest(digest) => super::document(instance, &digest.0)?,
            };
            let step = import_masters(instance, &bytes, &profile.0, *transferable)?;
            Ok((vec![Step::ImportMasters(step)], Some(bytes)))
        }
        Proposal::AcceptRisk { attacks, reason, valid_until_ms } => {
            let step = accept_risk(instance, attacks, reason, *valid_until_ms)?;
            Ok((vec![Step::AcceptRisk(step)], None))
        }
        Proposal::RegisterBureau { application, valid_until_ms } => {
            Ok((register_bureau(instance, &application.0, *valid_until_ms)?, None))
        }
        Proposal::EnrolPerson { enrolment } => {
            let (person, enrolment) = (enrolled(&enrolment.0)?, octets(&enrolment.0)?);
            Ok((vec![Step::EnrolPerson(EnrolPerson { person, enrolment })], None))
        }
        Proposal::RevokePerson { person, reason } => {
            let step = RevokePerson { person: person.0.clone(), reason: (*reason).into() };
            Ok((vec![Step::RevokePerson(step)], None))
        }
        Proposal::ChangePersonKey { enrolment, reason } => {
            let (person, enrolment) = (enrolled(&enrolment.0)?, octets(&enrolment.0)?);
            let step = ChangePersonKey { person, reason: (*reason).into(), enrolment };
            Ok((vec![Step::ChangePersonKey(step)], None))
        }
        Proposal::ChangePolicy {} => Ok((vec![Step::ChangePolicy(change_policy(instance))], None)),
    }
}

fn create_masters(
    instance: &Instance,
    id: &ProfileId,
    custodians: &[CustodianDraft],
    transferable: bool,
) -> Result<CreateMasters, Fault> {
    let profile = profile(instance, id)?;
    let algorithm = algorithm(instance, profile)?;
    require_custody(profile.national_custody(), transferable)?;
    let slots: Vec<_> = profile.slots().collect();
    let mut randoms = Randoms::draw(instance, slots.len())?;
    let masters = slots.iter().map(|slot| {
        let name = slot.name().to_owned();
        Ok(MasterEntry { name, group: slot.group, version: slot.version, id: randoms.object()?, kcv: None })
    });
    Ok(CreateMasters {
        profile_id: id.clone(),
        profile: profile.digest(),
        algorithm,
        custodians: custodians.iter().map(|c| Custodian { person: c.person.0.clone(), kcv: c.kcv.0 }).collect(),
        transferable,
        masters: masters.collect::<Result<_, Fault>>()?,
    })
}

fn seal_masters(instance: &Instance, region: &RegionCode, id: &ProfileId) -> Result<SealMasters, Fault> {
    let profile = profile(instance, id)?;
    let state = instance.journal.state();
    let province =
        state.provinces().get(region).ok_or_else(|| Violation::ProvinceUnknown { region: region.clone() })?;
    let missing = Violation::ProfileWithoutMasters { profile: profile.digest() };
    let set = state.masters().get(&profile.digest()).ok_or(missing)?;
    // Refuses a region without a factor, and a profile whose keys have no provincial level, early.
    super::effects::province_block(profile, region)?;
    let masters = set.masters.iter().map(|master| MasterEntry {
        name: master.name.clone(),
        group: master.group,
        version: master.version,
        id: master.id,
        kcv: Some(master.kcv),
    });
    Ok(SealMasters {
        region: region.clone(),
        profile_id: id.clone(),
        profile: profile.digest(),
        recipient: province.recipient,
        masters: masters.collect(),
    })
}

fn import_masters(
    instance: &Instance,
    bytes: &[u8],
    id: &ProfileId,
    transferable: bool,
) -> Result<ImportMasters, Fault> {
    let profile = profile(instance, id)?;
    let algorithm = algorithm(instance, profile)?;
    require_custody(profile.provincial_custody(), transferable)?;
    let signed = Signed::<SealedKeys>::parse(bytes).map_err(super::ceremonies::malformed)?;
    let keys = &signed.unverified_tbs().keys;
    let mut randoms = Randoms::draw(instance, keys.len())?;
    let master = |key: &SealedEntry| {
        let (name, kcv) = (key.name.clone(), Some(key.kcv));
        Ok(MasterEntry { name, group: key.group, version: key.version, id: randoms.object()?, kcv })
    };
    Ok(ImportMasters {
        profile_id: id.clone(),
        profile: profile.digest(),
        algorithm,
        sealed: signed.digest(),
        transferable,
        masters: keys.iter().map(master).collect::<Result<_, Fault>>()?,
    })
}

fn register_bureau(instance: &Instance, application: &[u8], valid_until_ms: u64) -> Result<Vec<Step>, Fault> {
    let signed = Signed::<BureauApplication>::parse(application).map_err(super::ceremonies::malformed)?;
    let bureau = signed.unverified_tbs().bureau.clone();
    let mut randoms = Randoms::draw(instance, 2)?;
    let (recipient, kek) = (randoms.object()?, randoms.object()?);
    let application = octets(application)?;
    let wrap = instance.hsm.abilities().wrap;
    Ok(vec![
        Step::TrustBureau(TrustBureau { bureau: bureau.clone(), application, recipient, kek, wrap, valid_until_ms }),
        Step::SealTransportKey(SealTransportKey { bureau, recipient, kek }),
    ])
}

/// What the HSM's masters are, if they can serve this profile.
pub fn algorithm(instance: &Instance, profile: &KeyProfile) -> Result<CardAlgorithm, Fault> {
    let cards = instance.hsm.abilities().cards;
    if cards.serves(profile.algorithm()) {
        return Ok(cards);
    }
    let wanted = profile.algorithm().name();
    let detail =
        format!("profile {} asks for {wanted}, the masters of this HSM's vendor map are {cards}", profile.id());
    Err(Fault::new(Code::AlgorithmDiffers, detail))
}

/// Model, firmware and map are those of the last probe: what officers accept is what was found.
fn accept_risk(instance: &Instance, attacks: &[u8], reason: &str, valid_until_ms: u64) -> Result<AcceptRisk, Fault> {
    let state = instance.journal.state();
    let serial = &state.identity().ok_or(Violation::NotFounded)?.hsm_serial;
    let unexamined = || Violation::TokenUnexamined { serial: serial.clone() };
    let probe = state.token(serial).and_then(|token| token.probe.as_ref()).ok_or_else(unexamined)?;
    let mut attacks = attacks.to_vec();
    attacks.sort_unstable();
    Ok(AcceptRisk {
        model: probe.found.model.clone(),
        firmware: probe.found.firmware.clone(),
        map: probe.found.map,
        attacks,
        reason: reason.to_owned(),
        valid_until_ms,
    })
}

/// Whose enrolment it is.
fn enrolled(enrolment: &[u8]) -> Result<PersonId, Fault> {
    let signed = Signed::<Enrolment>::parse(enrolment).map_err(super::ceremonies::malformed)?;
    Ok(signed.unverified_tbs().person.id.clone())
}

/// The rules of the policy file that the server read when it started.
fn change_policy(instance: &Instance) -> ChangePolicy {
    let policy = instance.policies.ceremonies();
    let batch = policy.batch();
    ChangePolicy {
        policy: policy.digest(),
        rules: super::genesis::quorum_rules(policy),
        cards_max: batch.cards_max,
        chunk_cards: batch.chunk_cards,
    }
}

/// A profile that keeps its masters local is not overruled by a proposal.
fn require_custody(profile: Custody, transferable: bool) -> Result<(), Fault> {
    if transferable && profile == Custody::Local {
        return Err(Violation::PlanLimits { field: "transferable: the profile keeps its masters in their HSM" }.into());
    }
    Ok(())
}

/// Operation of a proposal, for records of refusals.
pub const fn operation(proposal: &Proposal) -> Operation {
    match proposal {
        Proposal::CreateRoots { .. } => Operation::CreateRoots,
        Proposal::PairProvince { .. } => Operation::PairProvince,
        Proposal::DeriveProvince { .. } => Operation::DeriveProvince,
        Proposal::PairNation { .. } => Operation::PairNation,
        Proposal::ImportMasters { .. } => Operation::ImportMasters,
        Proposal::RegisterBureau { .. } => Operation::RegisterBureau,
        Proposal::AcceptRisk { .. } => Operation::AcceptRisk,
        Proposal::EnrolPerson { .. } => Operation::EnrolPerson,
        Proposal::RevokePerson { .. } => Operation::RevokePerson,
        Proposal::ChangePersonKey { .. } => Operation::ChangePersonKey,
        Proposal::ChangePolicy {} => Operation::ChangePolicy,
    }
}
