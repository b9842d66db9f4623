//! Who may decide, and how that changes: enrolment, revocation, another key, other rules.

use der::asn1::OctetString;
use kms_core::digest::Digest;
use kms_core::document::Enrolment;
use kms_core::encoding::{self, Document, Signed};
use kms_core::event::Closing;
use kms_core::id::{Actor, PlanId};
use kms_core::plan::{
    ChangePersonKey, ChangePolicy, Decision, EnrolPerson, Person, QuorumRule, RevocationReason, RevokePerson, Role,
    Step,
};
use kms_core::sm2::SecretKey;
use kms_core::violation::Violation;

use crate::world::{World, key, origin, person};

/// What somebody signs to be enrolled.
fn enrolment(id: &str, role: Role, key: &SecretKey, spoil: impl Fn(&mut Enrolment)) -> OctetString {
    let person = Person { id: person(id), name: id.to_owned(), role, key: *key.public() };
    let mut tbs = Enrolment { label: Enrolment::LABEL.to_owned(), origin: origin(), person, created_ms: 1 };
    spoil(&mut tbs);
    let signature = key.sign(&encoding::tbs_bytes(&tbs).unwrap()).unwrap();
    OctetString::new(Signed::assemble(tbs, kms_core::keys::SignatureAlgorithm::Sm2Sm3, &signature).unwrap().bytes())
        .unwrap()
}

fn enrol(id: &str, role: Role, key: &SecretKey) -> Step {
    Step::EnrolPerson(EnrolPerson { person: person(id), enrolment: enrolment(id, role, key, |_| {}) })
}

fn revoke(id: &str) -> Step {
    Step::RevokePerson(RevokePerson { person: person(id), reason: RevocationReason::Left })
}

fn policy(world: &World, approvals: u8) -> Step {
    let rules = world.state.identity().unwrap().rules.values().map(|rule| QuorumRule { approvals, ..rule.clone() });
    let (rules, policy) = (rules.collect(), Digest::of(&[approvals]));
    Step::ChangePolicy(ChangePolicy { policy, rules, cards_max: 500, chunk_cards: 50 })
}

/// Opens a plan of one step at `requester`'s request.
fn open(world: &mut World, requester: &str, step: Step) -> Result<PlanId, Violation> {
    let plan = world.plan(Actor::Person(person(requester)), vec![step]);
    world.open(&plan)
}

/// Approved by two, INTENT, OUTCOME, closed.
fn hold(world: &mut World, requester: &str, approvers: [&str; 2], step: Step) -> PlanId {
    let plan = open(world, requester, step).unwrap();
    for officer in approvers {
        world.decide(&person(officer), plan, Decision::Approve).unwrap();
    }
    world.intent(plan).unwrap();
    world.effect_in_the_log(plan).unwrap();
    world.close(Actor::Own, plan, Closing::Done).unwrap();
    plan
}

#[test]
fn an_enrolled_officer_counts_and_a_revoked_one_no_longer() {
    let mut world = World::founded(2);
    let fresh = key(77);
    hold(&mut world, "officer-a", ["officer-b", "officer-c"], enrol("officer-e", Role::Security, &fresh));
    assert_eq!(world.state.identity().unwrap().policy_epoch, 1);
    world.add_key("officer-e", fresh);

    let plan = world.masters_plan(&person("officer-a"));
    let plan = world.open(&plan).unwrap();
    world.decide(&person("officer-b"), plan, Decision::Approve).unwrap();
    world.decide(&person("officer-e"), plan, Decision::Approve).unwrap();
    world.intent(plan).unwrap();

    hold(&mut world, "officer-a", ["officer-b", "officer-c"], revoke("officer-e"));
    assert_eq!(world.outcome(plan), Err(Violation::QuorumNotReached { wanted: 2, found: 1 }), "I5, at the OUTCOME too");
    let again = world.decide(&person("officer-e"), plan, Decision::Approve);
    assert_eq!(again, Err(Violation::PersonUnknown { person: person("officer-e") }));
    assert_eq!(world.state.former()[&person("officer-e")].reason, RevocationReason::Left);
    let back = open(&mut world, "officer-a", enrol("officer-e", Role::Security, &key(78)));
    assert_eq!(back, Err(Violation::PersonKnown { person: person("officer-e") }), "an id is used once");
}

#[test]
fn a_lost_quorum_pauses_and_the_rest_resume_with_their_own() {
    let mut world = World::founded(2);
    let plan = world.masters_plan(&person("officer-a"));
    let plan = world.open(&plan).unwrap();
    world.decide(&person("officer-b"), plan, Decision::Approve).unwrap();
    world.decide(&person("officer-d"), plan, Decision::Approve).unwrap();
    world.intent(plan).unwrap();
    hold(&mut world, "officer-a", ["officer-b", "officer-c"], revoke("officer-d"));
    world.pause(Actor::Own, plan, kms_core::event::PauseReason::Quorum).unwrap();
    let child = world.child_plan(plan, &person("officer-a"));
    let child = world.open(&child).unwrap();
    world.decide(&person("officer-b"), child, Decision::Approve).unwrap();
    world.decide(&person("officer-c"), child, Decision::Approve).unwrap();
    world.intent(child).unwrap();
    world.outcome(child).unwrap();
}

#[test]
fn a_key_is_enrolled_by_whoever_holds_it_and_was_never_anybodys() {
    let mut world = World::founded(2);
    let fresh = key(77);
    let step = |enrolment| Step::EnrolPerson(EnrolPerson { person: person("officer-e"), enrolment });
    let foreign = enrolment("officer-e", Role::Security, &fresh, |e| {
        e.origin = kms_core::id::Origin::new("kms.example/other/test/log/1").unwrap();
    });
    assert_eq!(open(&mut world, "officer-a", step(foreign)), Err(Violation::ForeignOrigin));
    let other = enrolment("officer-f", Role::Security, &fresh, |_| {});
    assert!(matches!(
        open(&mut world, "officer-a", step(other)),
        Err(Violation::DocumentMismatch { field: "person", .. })
    ));
    let stolen = enrolment("officer-e", Role::Security, &fresh, |e| e.person.key = *key(10).public());
    assert!(matches!(open(&mut world, "officer-a", step(stolen)), Err(Violation::SignatureInvalid { .. })));
    let shared = enrolment("officer-e", Role::Security, &key(10), |_| {});
    assert!(matches!(open(&mut world, "officer-a", step(shared)), Err(Violation::RosterInvalid { .. })));
}

#[test]
fn another_key_ends_the_old_one_and_what_it_approved() {
    let mut world = World::founded(2);
    let plan = world.masters_plan(&person("officer-a"));
    let plan = world.open(&plan).unwrap();
    world.decide(&person("officer-b"), plan, Decision::Approve).unwrap();
    let change = Step::ChangePersonKey(ChangePersonKey {
        person: person("officer-b"),
        reason: RevocationReason::KeyCompromised,
        enrolment: enrolment("officer-b", Role::Security, &key(77), |_| {}),
    });
    hold(&mut world, "officer-a", ["officer-c", "officer-d"], change);
    assert_eq!(world.intent(plan), Err(Violation::QuorumNotReached { wanted: 2, found: 0 }));
    let with_old = world.decide(&person("officer-b"), plan, Decision::Approve);
    assert_eq!(with_old, Err(Violation::SignatureInvalid { what: "approval" }));
    world.add_key("officer-b", key(77));
    world.decide(&person("officer-b"), plan, Decision::Approve).unwrap();
    let role = Step::ChangePersonKey(ChangePersonKey {
        person: person("officer-b"),
        reason: RevocationReason::KeyLost,
        enrolment: enrolment("officer-b", Role::Audit, &key(78), |_| {}),
    });
    assert!(open(&mut world, "officer-a", role).is_err(), "a role does not change with a key");
}

#[test]
fn a_raised_threshold_binds_at_once_and_a_lowered_one_helps_no_open_plan() {
    let mut world = World::founded(2);
    let before = world.masters_plan(&person("officer-a"));
    let before = world.open(&before).unwrap();
    world.decide(&person("officer-b"), before, Decision::Approve).unwrap();
    world.decide(&person("officer-c"), before, Decision::Approve).unwrap();
    let raise = policy(&world, 3);
    hold(&mut world, "officer-a", ["officer-b", "officer-c"], raise);
    assert_eq!(world.intent(before), Err(Violation::QuorumNotReached { wanted: 3, found: 2 }));

    let under_three = world.masters_plan(&person("officer-a"));
    let under_three = world.open(&under_three).unwrap();
    let lower = policy(&world, 2);
    let lower = open(&mut world, "officer-a", lower).unwrap();
    for officer in ["officer-b", "officer-c", "officer-d"] {
        world.decide(&person(officer), lower, Decision::Approve).unwrap();
    }
    world.intent(lower).unwrap();
    world.effect_in_the_log(lower).unwrap();
    world.decide(&person("officer-b"), under_three, Decision::Approve).unwrap();
    world.decide(&person("officer-c"), under_three, Decision::Approve).unwrap();
    assert_eq!(world.intent(under_three), Err(Violation::QuorumNotReached { wanted: 3, found: 2 }), "I6");
    world.decide(&person("officer-d"), under_three, Decision::Approve).unwrap();
    world.intent(under_three).unwrap();
}

#[test]
fn nobody_can_be_locked_out_by_rules_or_revocations() {
    let mut world = World::founded(3);
    assert!(matches!(open(&mut world, "officer-a", revoke("officer-d")), Err(Violation::RuleInvalid { .. })));
    let too_many = policy(&world, 4);
    assert!(matches!(open(&mut world, "officer-a", too_many), Err(Violation::RuleInvalid { .. })));
    for approvals in [0, 1] {
        let single = policy(&world, approvals);
        assert!(matches!(open(&mut world, "officer-a", single), Err(Violation::RuleInvalid { .. })), "R1: {approvals}");
    }
    let auditor = open(&mut world, "officer-a", revoke("x-auditor"));
    assert!(auditor.is_ok(), "an auditor is no officer");
}

#[test]
fn a_plan_of_an_older_epoch_is_not_opened() {
    let mut world = World::founded(2);
    hold(&mut world, "officer-a", ["officer-b", "officer-c"], enrol("officer-e", Role::Security, &key(77)));
    let mut stale = world.masters_plan(&person("officer-a"));
    stale.policy_epoch = 0;
    assert_eq!(world.open(&stale), Err(Violation::PolicyEpochStale { current: 1, found: 0 }));
}
