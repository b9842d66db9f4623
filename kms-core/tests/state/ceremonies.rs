//! One story per rule: who may approve what, when, and what ends a ceremony.

use kms_core::event::{Closing, EffectResult, Event, StepOutcome};
use kms_core::id::{Actor, PlanId};
use kms_core::plan::{Decision, Plan, Role};
use kms_core::violation::Violation;

use crate::world::{LOG_SPAN, VALIDITY_MS, World, person};

fn opened() -> (World, PlanId) {
    let mut world = World::founded(2);
    let plan = world.masters_plan(&person("officer-a"));
    let id = world.open(&plan).unwrap();
    (world, id)
}

fn approved() -> (World, PlanId) {
    let (mut world, plan) = opened();
    world.decide(&person("officer-b"), plan, Decision::Approve).unwrap();
    world.decide(&person("officer-c"), plan, Decision::Approve).unwrap();
    (world, plan)
}

#[test]
fn a_ceremony_runs_on_quorum_and_makes_its_masters_once() {
    let (mut world, plan) = approved();
    world.intent(plan).unwrap();
    world.outcome(plan).unwrap();
    assert_eq!(world.state.masters().values().next().unwrap().masters.len(), 2);
    assert!(matches!(world.outcome(plan), Err(Violation::StepOutOfOrder { .. })), "one OUTCOME_OK per step (I3)");
    world.close(Actor::Own, plan, Closing::Done).unwrap();
    assert!(
        matches!(world.intent(plan), Err(Violation::CeremonyNotOpen { phase: "done" })),
        "terminal states absorb (I4)"
    );
}

#[test]
fn without_quorum_nothing_happens() {
    let (mut world, plan) = opened();
    assert_eq!(world.intent(plan), Err(Violation::QuorumNotReached { wanted: 2, found: 0 }));
    world.decide(&person("officer-b"), plan, Decision::Approve).unwrap();
    assert_eq!(world.intent(plan), Err(Violation::QuorumNotReached { wanted: 2, found: 1 }));
}

#[test]
fn the_requester_cannot_approve() {
    let (mut world, plan) = opened();
    let refused = world.decide(&person("officer-a"), plan, Decision::Approve);
    assert_eq!(refused, Err(Violation::RequesterCannotApprove { person: person("officer-a") }));
}

#[test]
fn one_person_counts_once() {
    let (mut world, plan) = opened();
    world.decide(&person("officer-b"), plan, Decision::Approve).unwrap();
    world.now_ms += 1;
    let again = world.decide(&person("officer-b"), plan, Decision::Approve);
    assert_eq!(again, Err(Violation::AlreadyDecided { person: person("officer-b") }));
}

#[test]
fn an_auditor_cannot_approve() {
    let (mut world, plan) = opened();
    let refused = world.decide(&person("x-auditor"), plan, Decision::Approve);
    assert_eq!(refused, Err(Violation::NotAnOfficer { person: person("x-auditor") }));
}

#[test]
fn an_approval_does_not_transfer_to_another_plan() {
    let (mut world, first) = opened();
    let plan = world.masters_plan(&person("officer-a"));
    let second = world.open(&plan).unwrap();
    let approval = world.sign_approval(&person("officer-b"), first, Decision::Approve);
    let moved = world.decided(&person("officer-b"), second, approval, Decision::Approve);
    assert_eq!(moved, Err(Violation::ApprovalForOtherPlan { wanted: second, found: first }));
}

#[test]
fn an_approval_signed_by_somebody_else_is_refused() {
    let (mut world, plan) = opened();
    let forged = world.approval(&person("officer-b"), plan, Decision::Approve);
    let digest = world.sign_as(&person("officer-c"), forged);
    let refused = world.decided(&person("officer-b"), plan, digest, Decision::Approve);
    assert_eq!(refused, Err(Violation::SignatureInvalid { what: "approval" }));
}

#[test]
fn a_rejection_cannot_be_logged_as_an_approval_nor_an_approval_in_another_role() {
    let (mut world, plan) = opened();
    let reject = world.sign_approval(&person("officer-b"), plan, Decision::Reject);
    let turned = world.decided(&person("officer-b"), plan, reject, Decision::Approve);
    assert!(matches!(turned, Err(Violation::DocumentMismatch { field: "decision", .. })));
    let mut other_role = world.approval(&person("officer-b"), plan, Decision::Approve);
    other_role.role = Role::System;
    let digest = world.sign_as(&person("officer-b"), other_role);
    let refused = world.decided(&person("officer-b"), plan, digest, Decision::Approve);
    assert!(matches!(refused, Err(Violation::DocumentMismatch { field: "role", .. })));
}

#[test]
fn any_officer_stops_even_the_requester_and_even_after_approving() {
    let (mut world, plan) = approved();
    world.decide(&person("officer-b"), plan, Decision::Reject).unwrap();
    assert_eq!(world.intent(plan), Err(Violation::Rejected));
    world.close(Actor::Person(person("officer-b")), plan, Closing::Rejected).unwrap();
    let (mut world, plan) = approved();
    world.decide(&person("officer-a"), plan, Decision::Reject).unwrap();
    assert_eq!(world.intent(plan), Err(Violation::Rejected));
}

#[test]
fn an_expired_plan_authorises_nothing_not_even_an_outcome_already_begun() {
    let (mut world, plan) = approved();
    world.intent(plan).unwrap();
    world.now_ms += VALIDITY_MS;
    assert!(matches!(world.outcome(plan), Err(Violation::PlanExpired { .. })));
    let late = world.decide(&person("officer-d"), plan, Decision::Approve);
    assert!(matches!(late, Err(Violation::PlanExpired { .. })));
    world.close(Actor::Own, plan, Closing::Expired).unwrap();
}

#[test]
fn a_live_plan_cannot_be_closed_as_expired_or_rejected_or_done() {
    let (mut world, plan) = approved();
    assert!(world.close(Actor::Own, plan, Closing::Expired).is_err());
    assert!(world.close(Actor::Own, plan, Closing::Rejected).is_err());
    assert!(world.close(Actor::Own, plan, Closing::Done).is_err());
    assert!(world.close(Actor::Unknown, plan, Closing::Aborted).is_err());
    world.close(Actor::Person(person("officer-d")), plan, Closing::Aborted).unwrap();
}

#[test]
fn the_log_may_not_grow_past_the_plans_span() {
    let (mut world, plan) = approved();
    for _ in 0..=LOG_SPAN {
        let refusal =
            kms_core::event::Refused { operation: "test".to_owned(), code: "x".to_owned(), count: 1, subject: None };
        world.append(Actor::Unknown, Event::Refused(refusal)).unwrap();
    }
    assert!(matches!(world.intent(plan), Err(Violation::LogSpanExceeded { .. })));
}

#[test]
fn a_clock_that_steps_back_is_refused() {
    let (mut world, plan) = approved();
    world.now_ms -= 1;
    assert!(matches!(world.intent(plan), Err(Violation::ClockBackwards { .. })));
}

#[test]
fn outcomes_need_their_intent_and_exactly_the_planned_keys() {
    let (mut world, plan) = approved();
    assert_eq!(world.outcome(plan), Err(Violation::OutcomeWithoutIntent));
    world.intent(plan).unwrap();
    let good = world.outcome_of(plan);
    let spoilt: [fn(&mut StepOutcome); 6] = [
        |o| o.keys[0].id = o.keys[1].id,
        |o| o.keys.swap(0, 1),
        |o| drop(o.keys.pop()),
        |o| o.keys.push(o.keys[0].clone()),
        |o| o.keys[1].kcv = None,
        |o| o.keys[0].version = 2,
    ];
    for spoil in spoilt {
        let mut outcome = good.clone();
        spoil(&mut outcome);
        let refused = world.append(Actor::Own, Event::StepOutcome(outcome));
        assert!(matches!(refused, Err(Violation::KeyMismatch { .. })), "{refused:?}");
    }
    let failed = StepOutcome {
        result: EffectResult::Failed,
        keys: vec![],
        document: None,
        fault: Some("CKR_DEVICE_ERROR".to_owned()),
        ..good
    };
    world.append(Actor::Own, Event::StepOutcome(failed)).unwrap();
    world.intent(plan).unwrap();
    world.outcome(plan).unwrap();
}

#[test]
fn plans_outside_the_policy_are_not_shown_to_anybody() {
    type Spoil = fn(&mut Plan);
    let spoilt: [(&str, Spoil); 9] = [
        ("too-few-approvals-planned", |p| p.approvals = 1),
        ("plan-limits", |p| p.expires_ms += 1),
        ("plan-limits", |p| p.max_log_span += 1),
        ("plan-limits", |p| p.opened_size -= 1),
        ("plan-limits", |p| p.opened_root = kms_core::digest::Digest::of(b"other")),
        ("policy-epoch-stale", |p| p.policy_epoch = 1),
        ("other-hsm", |p| p.hsm_serial.push('0')),
        ("environment-mixed", |p| p.environment = kms_core::plan::Environment::Production),
        ("plan-shape-unknown", |p| p.steps.push(p.steps[0].clone())),
    ];
    for (code, spoil) in spoilt {
        let mut world = World::founded(2);
        let mut plan = world.masters_plan(&person("officer-a"));
        spoil(&mut plan);
        assert_eq!(world.open(&plan).map_err(|v| v.code()), Err(code));
    }
}

#[test]
fn genesis_needs_every_founder_and_rules_that_can_work() {
    assert_eq!(World::unfounded().found(1, |_| {}).map_err(|v| v.code()), Err("rule-invalid"));
    assert_eq!(
        World::unfounded().found(4, |_| {}).map_err(|v| v.code()),
        Err("rule-invalid"),
        "the requester would be needed"
    );
    let two_officers = |plan: &mut Plan| {
        let Some(kms_core::plan::Step::FoundInstance(found)) = plan.steps.first_mut() else { panic!("genesis") };
        found.people.retain(|p| p.role == Role::Audit || p.id < person("officer-c"));
    };
    assert_eq!(World::unfounded().found(2, two_officers).map_err(|v| v.code()), Err("roster-invalid"));
    let mut world = World::founded(2);
    assert_eq!(world.found(2, |_| {}).map_err(|v| v.code()), Err("already-founded"));
}
