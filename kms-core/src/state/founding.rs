//! Genesis: the first entry of every log. Signed by every founding security officer, so that nobody
//! is enrolled without having read the roster and rules they are enrolled under.

use std::collections::{BTreeMap, BTreeSet};

use super::roster::{checked_rules, keys_of};
use super::{Ceremony, Documents, State, fetch_plain, fetch_signed, require, verified};
use crate::digest::Digest;
use crate::event::{Founded, LogEntry};
use crate::id::{Actor, Origin, PlanId, RegionCode};
use crate::plan::{Approval, Decision, Environment, FoundInstance, Level, Person, Plan, QuorumRule, Role};
use crate::policy::{APPROVALS_MIN, Operation};
use crate::suite::Suite;
use crate::violation::Violation;

/// What an instance is, from its genesis plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of its log.
    pub origin: Origin,
    /// Production or test, for ever.
    pub environment: Environment,
    /// National or provincial.
    pub level: Level,
    /// Its region.
    pub region: RegionCode,
    /// Family of algorithms of its HSM, for ever.
    pub suite: Suite,
    /// Genesis plan.
    pub genesis: PlanId,
    /// Its HSM.
    pub hsm_serial: String,
    /// Epoch of roster and rules; grows with every change of either.
    pub policy_epoch: u64,
    /// SM3 of the policy file.
    pub policy: Digest,
    /// Quorum rules by operation name.
    pub rules: BTreeMap<String, QuorumRule>,
    /// Largest batch in cards.
    pub cards_max: u32,
    /// Cards per chunk.
    pub chunk_cards: u32,
}

impl Identity {
    /// The rule of an operation.
    pub fn rule(&self, operation: Operation) -> Result<&QuorumRule, Violation> {
        let name = operation.name();
        self.rules.get(name).ok_or_else(|| Violation::RuleMissing { operation: name.to_owned() })
    }
}

impl State {
    pub(super) fn apply_founded(
        &mut self,
        entry: &LogEntry,
        event: &Founded,
        documents: &dyn Documents,
    ) -> Result<(), Violation> {
        self.require_own(entry)?;
        let plan: Plan = fetch_plain(documents, &event.plan.digest(), "genesis plan")?;
        require(plan.operation() == Ok(Operation::Genesis), Violation::UnknownShape)?;
        let found = plan.founding().ok_or(Violation::UnknownShape)?;
        require(plan.origin == event.origin, Violation::ForeignOrigin)?;
        check_roster(&found.people)?;
        let officers = found.people.iter().filter(|p| p.role == Role::Security).count();
        let rules = checked_rules(&found.rules, officers)?;
        check_genesis_frame(&plan, found, entry.time_ms)?;
        check_founders(&plan, event, found, documents)?;

        let mut ceremony = Ceremony::open(event.plan, plan.clone(), Operation::Genesis, entry);
        ceremony.found();
        for (person, approval) in found.people.iter().filter(|p| p.role == Role::Security).zip(&event.approvals) {
            ceremony.decide(person.id.clone(), Decision::Approve, *approval);
        }
        self.keys_ever = keys_of(&found.people);
        self.people = found.people.iter().map(|p| (p.id.clone(), p.clone())).collect();
        self.identity = Some(Identity {
            origin: event.origin.clone(),
            environment: plan.environment,
            level: found.level,
            region: found.region.clone(),
            suite: found.suite,
            genesis: event.plan,
            hsm_serial: plan.hsm_serial.clone(),
            policy_epoch: 0,
            policy: found.policy,
            rules,
            cards_max: found.cards_max,
            chunk_cards: found.chunk_cards,
        });
        self.ceremonies.insert(event.plan, ceremony);
        Ok(())
    }
}

fn check_genesis_frame(plan: &Plan, found: &FoundInstance, now_ms: u64) -> Result<(), Violation> {
    let limit = |field| Violation::PlanLimits { field };
    require(plan.requester == Actor::Own, limit("requester"))?;
    require(plan.policy_epoch == 0, limit("policy epoch"))?;
    require(plan.opened_size == 0 && plan.parent.is_none(), limit("opened size"))?;
    require(now_ms >= plan.not_before_ms, Violation::PlanNotYetValid { not_before: plan.not_before_ms, now: now_ms })?;
    require(now_ms < plan.expires_ms, Violation::PlanExpired { expires: plan.expires_ms, now: now_ms })?;
    let national = found.level == Level::National;
    require(national == (found.region == RegionCode::nation()), limit("region"))?;
    require(found.chunk_cards >= 1 && found.chunk_cards <= found.cards_max, limit("chunk size"))
}

fn check_roster(people: &[Person]) -> Result<(), Violation> {
    let invalid = |reason| Violation::RosterInvalid { reason };
    let sorted = people.windows(2).all(|pair| matches!(pair, [a, b] if a.id < b.id));
    require(sorted, invalid("people are not sorted by id, or one id stands twice"))?;
    let keys: BTreeSet<Digest> = people.iter().map(|p| p.key.id()).collect();
    require(keys.len() == people.len(), invalid("two people share a key"))?;
    let officers = people.iter().filter(|p| p.role == Role::Security).count();
    require(officers > usize::from(APPROVALS_MIN), invalid("fewer than three security officers"))
}

fn check_founders(
    plan: &Plan,
    event: &Founded,
    found: &FoundInstance,
    documents: &dyn Documents,
) -> Result<(), Violation> {
    let founders: Vec<&Person> = found.people.iter().filter(|p| p.role == Role::Security).collect();
    for (position, person) in founders.iter().enumerate() {
        let missing = || Violation::FounderMissing { person: person.id.clone() };
        let digest = event.approvals.get(position).ok_or_else(missing)?;
        let signed = fetch_signed::<Approval>(documents, digest, "founding approval")?;
        let approval = verified(&signed, &person.key, "founding approval")?;
        let fits = approval.origin == plan.origin
            && approval.plan == event.plan
            && approval.officer == person.id
            && approval.role == Role::Security
            && approval.decision == Decision::Approve;
        require(fits, missing())?;
    }
    require(
        event.approvals.len() == founders.len(),
        Violation::RosterInvalid { reason: "more founding approvals than founding officers" },
    )
}
