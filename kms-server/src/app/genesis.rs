//! Founding: draft a genesis plan from this server's own configuration, and take it in when every
//! founding officer has signed it.
//!
//! Guards: the plan's founding step says what the configuration says; only the roster comes from
//! outside. Until an instance is founded nobody can be authenticated, so these two use cases are open
//! to whoever reaches the server: found it before it is reachable by others.

use std::collections::BTreeMap;

use kms_api::body::{CeremonyView, GenesisDraft, GenesisSubmit};
use kms_api::problem::Code;
use kms_core::digest::Digest;
use kms_core::encoding::{self, Document as _, Signed, check_text};
use kms_core::event::{Event, Founded};
use kms_core::id::{Actor, PersonId, PlanId};
use kms_core::log::merkle;
use kms_core::plan::{Approval, CreateInstanceKeys, FoundInstance, Person, Plan, QuorumRule, Role, Step};
use kms_core::policy::{CeremonyPolicy, Operation, Rule};
use kms_core::sm2::PublicKey;
use kms_core::violation::Violation;

use super::{proposals::Randoms, steps, view};
use crate::fault::Fault;
use crate::inspection;
use crate::instance::Instance;
use crate::journal::Act;

/// Most people on a founding roster.
const PEOPLE_MAX: usize = 100;
/// Longest name of a person, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// CKA_IDs of the instance's own keys.
const KEY_IDS: usize = 6;

/// Writes the genesis plan for these people; answers its DER.
pub fn draft(instance: &Instance, draft: &GenesisDraft) -> Result<Vec<u8>, Fault> {
    require_unfounded(instance)?;
    let serial = instance.token()?.serial;
    inspection::require_right_answers(instance)?;
    let mut randoms = Randoms::draw(instance, 1 + KEY_IDS)?;
    let people = people(draft)?;
    let now_ms = view::now_ms(instance)?;
    let rule = instance.policies.ceremonies().rule(Operation::Genesis);
    let keys = CreateInstanceKeys {
        log: randoms.object()?,
        instance: randoms.object()?,
        import: randoms.object()?,
        index: randoms.object()?,
        storage: randoms.object()?,
        component_import: instance
            .hsm
            .abilities()
            .holds_component_ceremonies()
            .then(|| randoms.object())
            .transpose()?,
    };
    let plan = Plan {
        label: Plan::LABEL.to_owned(),
        origin: instance.config.origin.clone(),
        environment: instance.config.environment,
        nonce: randoms.nonce()?,
        requester: Actor::Own,
        policy_epoch: 0,
        approvals: rule.approvals,
        opened_size: 0,
        opened_root: merkle::empty_root(),
        not_before_ms: now_ms,
        expires_ms: now_ms.saturating_add(rule.validity_ms),
        max_log_span: rule.max_log_span,
        hsm_serial: serial,
        steps: vec![Step::FoundInstance(founding(instance, people)), Step::CreateInstanceKeys(keys)],
        script: None,
        parent: None,
    };
    Ok(encoding::encode(&plan)?)
}

/// Founds the instance and makes its keys. Repeated after a crash or an HSM fault, it goes on.
pub fn submit(instance: &Instance, submit: &GenesisSubmit) -> Result<CeremonyView, Fault> {
    let bytes = &submit.plan.0;
    let plan: Plan = encoding::decode(bytes).map_err(super::ceremonies::malformed)?;
    let id = PlanId::from_digest(Digest::of(bytes));
    let state = instance.journal.state();
    // The same plan again: somebody repeats what was cut short.
    if state.identity().is_none_or(|identity| identity.genesis != id) || state.keys().is_some() {
        require_unfounded(instance)?;
        check_own(instance, &plan)?;
        let approvals = sorted_approvals(&plan, submit)?;
        let founded = Founded {
            origin: plan.origin.clone(),
            plan: id,
            approvals: approvals.iter().map(|approval| Digest::of(approval)).collect(),
        };
        let events = vec![Event::Founded(founded), instance.started(None)];
        let act = approvals.into_iter().fold(Act::own(events).with(bytes.clone()), Act::with);
        instance.journal.commit(|_, _| Ok((act, ())))?;
        tracing::info!(plan = %id, "instance founded");
    }
    // First binding: what the token is and what is in it, before a key is made there.
    inspection::look_if_due(instance)?;
    steps::advance(instance, id, &Actor::Own, None)
}

fn require_unfounded(instance: &Instance) -> Result<(), Fault> {
    match instance.journal.state().identity() {
        None => Ok(()),
        Some(_) => Err(Violation::AlreadyFounded.into()),
    }
}

/// The rules of a policy file as a plan carries them, sorted by name.
pub fn quorum_rules(policy: &CeremonyPolicy) -> Vec<QuorumRule> {
    let rule = |(operation, rule): (Operation, Rule)| QuorumRule {
        operation: operation.name().to_owned(),
        approvals: rule.approvals,
        validity_ms: rule.validity_ms,
        max_log_span: rule.max_log_span,
    };
    policy.rules().map(rule).collect()
}

fn founding(instance: &Instance, people: Vec<Person>) -> FoundInstance {
    let policy = instance.policies.ceremonies();
    FoundInstance {
        level: instance.config.level,
        region: instance.config.region.clone(),
        suite: instance.hsm.abilities().suite,
        policy: policy.digest(),
        rules: quorum_rules(policy),
        cards_max: policy.batch().cards_max,
        chunk_cards: policy.batch().chunk_cards,
        people,
    }
}

fn check_own(instance: &Instance, plan: &Plan) -> Result<(), Fault> {
    let differs = |field: &str| Fault::new(Code::GenesisDiffers, format!("the plan's {field} is not this server's"));
    let found = plan.founding().ok_or(Violation::UnknownShape)?;
    let rule = instance.policies.ceremonies().rule(Operation::Genesis);
    let life_ms = plan.expires_ms.saturating_sub(plan.not_before_ms);
    let fields = [
        ("origin", plan.origin == instance.config.origin),
        ("environment", plan.environment == instance.config.environment),
        ("founding step", *found == founding(instance, found.people.clone())),
        ("component key", plan.makes_component_key() == instance.hsm.abilities().holds_component_ceremonies()),
        ("HSM serial number", plan.hsm_serial == instance.token()?.serial),
        ("number of approvals", plan.approvals == rule.approvals),
        ("validity", life_ms <= rule.validity_ms && plan.max_log_span <= rule.max_log_span),
    ];
    match fields.iter().find(|(_, same)| !same) {
        Some((field, _)) => Err(differs(field)),
        None => Ok(()),
    }
}

/// One approval per founding officer, in the order of the roster.
fn sorted_approvals(plan: &Plan, submit: &GenesisSubmit) -> Result<Vec<Vec<u8>>, Fault> {
    let people = plan.founding().map(|found| found.people.as_slice()).unwrap_or_default();
    if submit.approvals.len() > people.len() {
        return Err(Violation::RosterInvalid { reason: "more founding approvals than founding officers" }.into());
    }
    let mut by_person: BTreeMap<PersonId, Vec<u8>> = BTreeMap::new();
    for approval in &submit.approvals {
        let signed = Signed::<Approval>::parse(&approval.0).map_err(super::ceremonies::malformed)?;
        by_person.insert(signed.unverified_tbs().officer.clone(), approval.0.clone());
    }
    let officers = people.iter().filter(|person| person.role == Role::Security);
    officers
        .map(|person| {
            by_person.remove(&person.id).ok_or_else(|| Violation::FounderMissing { person: person.id.clone() }.into())
        })
        .collect()
}

fn people(draft: &GenesisDraft) -> Result<Vec<Person>, Fault> {
    if draft.people.len() > PEOPLE_MAX {
        return Err(Violation::RosterInvalid { reason: "too many people" }.into());
    }
    let mut people = Vec::with_capacity(draft.people.len());
    for person in &draft.people {
        let wrong = |reason: String| Fault::new(Code::MalformedBody, format!("{}: {reason}", person.id));
        let name = check_text(&person.name, NAME_BYTES_MAX);
        name.map_err(|error| wrong(error.to_string()))?;
        let key = PublicKey::from_pem(&person.public_key_pem).map_err(|error| wrong(error.to_string()))?;
        people.push(Person { id: person.id.0.clone(), name: person.name.clone(), role: person.role.into(), key });
    }
    people.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(people)
}
