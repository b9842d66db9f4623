//! Who is on the roster and which rules are in force, and how ceremonies change that.
//!
//! Guards: every change is a ceremony under the rules and with the people of before; a person joins only with a key
//! they proved to hold; one id, one key, one person, ever; there are always more officers than any rule wants
//! approvals, or nobody could put anything right again.

use std::collections::{BTreeMap, BTreeSet};

use super::{State, parse_signed, require, verified};
use crate::digest::Digest;
use crate::document::Enrolment;
use crate::event::LogEntry;
use crate::id::PersonId;
use crate::plan::{
    ChangePersonKey, ChangePolicy, Decision, EnrolPerson, Person, QuorumRule, RevocationReason, RevokePerson, Role,
    Step,
};
use crate::policy::{APPROVALS_MIN, BATCH_CARDS_MAX, CHUNK_CARDS_MAX};
use crate::violation::Violation;

/// A person who was on the roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// As they were last.
    pub person: Person,
    /// Why they went.
    pub reason: RevocationReason,
    /// Index of the entry from which on they count no more.
    pub index: u64,
    /// Time of that entry (ms since 1970).
    pub time_ms: u64,
}

impl State {
    pub(super) fn check_enrol(&self, enrol: &EnrolPerson) -> Result<Person, Violation> {
        let known = self.people.contains_key(&enrol.person) || self.former.contains_key(&enrol.person);
        require(!known, Violation::PersonKnown { person: enrol.person.clone() })?;
        self.enrolled(&enrol.person, enrol.enrolment.as_bytes())
    }

    pub(super) fn check_revoke(&self, revoke: &RevokePerson) -> Result<(), Violation> {
        let person = self.person(&revoke.person)?;
        require_officers(&self.founded()?.rules, self.officers() - usize::from(person.role == Role::Security))
    }

    pub(super) fn check_change_key(&self, change: &ChangePersonKey) -> Result<Person, Violation> {
        let known = self.person(&change.person)?;
        let person = self.enrolled(&change.person, change.enrolment.as_bytes())?;
        let mismatch = |field| Violation::DocumentMismatch { what: "enrolment", field };
        require(person.role == known.role, mismatch("role: a change of role is a revocation and an enrolment"))?;
        require(person.name == known.name, mismatch("name"))?;
        Ok(person)
    }

    pub(super) fn check_change_policy(&self, change: &ChangePolicy) -> Result<(), Violation> {
        checked_rules(&change.rules, self.officers())?;
        let chunk = (1..=CHUNK_CARDS_MAX).contains(&change.chunk_cards) && change.chunk_cards <= change.cards_max;
        require(chunk, Violation::PlanLimits { field: "chunk size" })?;
        require(change.cards_max <= BATCH_CARDS_MAX, Violation::PlanLimits { field: "largest batch" })
    }

    pub(super) fn roster_changed(&mut self, entry: &LogEntry, step: &Step) -> Result<(), Violation> {
        match step {
            Step::EnrolPerson(enrol) => self.person_enrolled(enrol),
            Step::RevokePerson(revoke) => self.person_revoked(entry, revoke),
            Step::ChangePersonKey(change) => self.key_changed(change),
            Step::ChangePolicy(change) => self.policy_changed(change),
            _ => Err(Violation::UnknownShape),
        }
    }

    fn person_enrolled(&mut self, enrol: &EnrolPerson) -> Result<(), Violation> {
        let person = self.check_enrol(enrol)?;
        self.keys_ever.insert(person.key.id());
        self.people.insert(person.id.clone(), person);
        self.next_epoch()
    }

    fn person_revoked(&mut self, entry: &LogEntry, revoke: &RevokePerson) -> Result<(), Violation> {
        self.check_revoke(revoke)?;
        let gone = self.people.remove(&revoke.person);
        let person = gone.ok_or_else(|| Violation::PersonUnknown { person: revoke.person.clone() })?;
        let former = Former { person, reason: revoke.reason, index: entry.index, time_ms: entry.time_ms };
        self.former.insert(revoke.person.clone(), former);
        self.next_epoch()
    }

    fn key_changed(&mut self, change: &ChangePersonKey) -> Result<(), Violation> {
        let person = self.check_change_key(change)?;
        self.keys_ever.insert(person.key.id());
        self.people.insert(person.id.clone(), person);
        // Approvals given with the old key are nobody's now; a rejection stays one.
        for ceremony in self.ceremonies.values_mut().filter(|ceremony| !ceremony.phase.is_terminal()) {
            ceremony.withdraw_approval(&change.person);
        }
        self.next_epoch()
    }

    fn policy_changed(&mut self, change: &ChangePolicy) -> Result<(), Violation> {
        self.check_change_policy(change)?;
        let rules = checked_rules(&change.rules, self.officers())?;
        let identity = self.identity.as_mut().ok_or(Violation::NotFounded)?;
        identity.policy = change.policy;
        identity.rules = rules;
        identity.cards_max = change.cards_max;
        identity.chunk_cards = change.chunk_cards;
        self.next_epoch()
    }

    /// People who were on the roster once.
    pub fn former(&self) -> &BTreeMap<PersonId, Former> {
        &self.former
    }

    /// Security officers on the roster.
    fn officers(&self) -> usize {
        self.people.values().filter(|person| person.role == Role::Security).count()
    }

    fn next_epoch(&mut self) -> Result<(), Violation> {
        let identity = self.identity.as_mut().ok_or(Violation::NotFounded)?;
        identity.policy_epoch += 1;
        Ok(())
    }

    /// The person of an enrolment that its own key signed for this log, with a key that nobody ever had.
    fn enrolled(&self, id: &PersonId, bytes: &[u8]) -> Result<Person, Violation> {
        let what = "enrolment";
        let signed = parse_signed::<Enrolment>(bytes, what)?;
        let key = signed.unverified_tbs().person.key;
        let enrolment = verified(&signed, &key, what)?;
        require(enrolment.origin == self.founded()?.origin, Violation::ForeignOrigin)?;
        require(enrolment.person.id == *id, Violation::DocumentMismatch { what, field: "person" })?;
        let fresh = !self.keys_ever.contains(&key.id());
        require(fresh, Violation::RosterInvalid { reason: "this key is or was another's, or is not new" })?;
        Ok(enrolment.person.clone())
    }
}

/// Keys of a founding roster.
pub(super) fn keys_of(people: &[Person]) -> BTreeSet<Digest> {
    people.iter().map(|person| person.key.id()).collect()
}

/// Sorted, one per operation, none that wants fewer than two approvals or more than there can be.
pub(super) fn checked_rules(rules: &[QuorumRule], officers: usize) -> Result<BTreeMap<String, QuorumRule>, Violation> {
    let sorted = rules.windows(2).all(|pair| matches!(pair, [a, b] if a.operation < b.operation));
    require(sorted, Violation::RosterInvalid { reason: "rules are not sorted, or one stands twice" })?;
    for rule in rules {
        let invalid = |reason| Violation::RuleInvalid { operation: rule.operation.clone(), reason };
        require(rule.approvals >= APPROVALS_MIN, invalid("fewer than two approvals"))?;
        require(rule.validity_ms > 0 && rule.max_log_span > 0, invalid("a limit is zero"))?;
    }
    let rules: BTreeMap<_, _> = rules.iter().map(|rule| (rule.operation.clone(), rule.clone())).collect();
    require_officers(&rules, officers)?;
    Ok(rules)
}

/// More officers than any rule wants approvals: the requester's never counts.
fn require_officers(rules: &BTreeMap<String, QuorumRule>, officers: usize) -> Result<(), Violation> {
    for rule in rules.values() {
        let reason = "more approvals than officers other than the requester";
        let invalid = Violation::RuleInvalid { operation: rule.operation.clone(), reason };
        require(usize::from(rule.approvals) < officers, invalid)?;
    }
    Ok(())
}

impl super::Ceremony {
    fn withdraw_approval(&mut self, person: &PersonId) {
        if self.decisions.get(person).is_some_and(|recorded| recorded.decision == Decision::Approve) {
            self.decisions.remove(person);
        }
    }
}
