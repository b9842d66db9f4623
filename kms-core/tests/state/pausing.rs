//! A running ceremony that stops, and the only way on: a plan of its own with a fresh quorum (I14).

use kms_core::event::{Closing, PauseReason};
use kms_core::id::{Actor, PlanId};
use kms_core::plan::Decision;
use kms_core::state::Phase;
use kms_core::violation::Violation;

use crate::world::{VALIDITY_MS, World, person};

fn officer(name: &str) -> Actor {
    Actor::Person(person(name))
}

/// Approved by b and c at a's request, INTENT written.
fn running() -> (World, PlanId) {
    let mut world = World::founded(2);
    let plan = world.masters_plan(&person("officer-a"));
    let id = world.open(&plan).unwrap();
    world.decide(&person("officer-b"), id, Decision::Approve).unwrap();
    world.decide(&person("officer-c"), id, Decision::Approve).unwrap();
    world.intent(id).unwrap();
    (world, id)
}

fn paused() -> (World, PlanId) {
    let (mut world, plan) = running();
    world.pause(officer("officer-d"), plan, PauseReason::Officer).unwrap();
    (world, plan)
}

fn phase(world: &World, plan: PlanId) -> Phase {
    world.state.ceremony(plan).unwrap().phase
}

#[test]
fn any_officer_pauses_and_nothing_happens_until_a_child_plan_has_its_own_quorum() {
    let (mut world, parent) = paused();
    assert_eq!(world.outcome(parent), Err(Violation::CeremonyNotOpen { phase: "paused" }));
    let again = world.decide(&person("officer-d"), parent, Decision::Approve);
    assert_eq!(again, Err(Violation::CeremonyNotOpen { phase: "paused" }), "nobody approves it back to life");

    let child = world.child_plan(parent, &person("officer-b"));
    let child = world.open(&child).unwrap();
    assert_eq!(
        world.intent(child),
        Err(Violation::QuorumNotReached { wanted: 2, found: 0 }),
        "approvals do not transfer"
    );
    world.decide(&person("officer-c"), child, Decision::Approve).unwrap();
    assert_eq!(phase(&world, parent), Phase::Paused);
    world.decide(&person("officer-d"), child, Decision::Approve).unwrap();
    assert_eq!(phase(&world, child), Phase::Authorised);
    assert_eq!(phase(&world, parent), Phase::Aborted, "the child took its place");
    assert_eq!(world.state.ceremony(parent).unwrap().resumed_by, Some(child));

    assert!(world.outcome(child).is_err(), "an INTENT of the parent is none of the child");
    world.intent(child).unwrap();
    let made = world.outcome_of(child);
    assert_eq!(made.keys, world.outcome_of(parent).keys, "the same keys under the same ids");
    world.outcome(child).unwrap();
    world.close(Actor::Own, child, Closing::Done).unwrap();
}

#[test]
fn a_child_plan_does_exactly_what_was_left() {
    let (mut world, parent) = paused();
    let other = world.masters_plan(&person("officer-b"));
    let mut child = world.child_plan(parent, &person("officer-b"));
    child.steps = other.steps;
    assert_eq!(world.open(&child), Err(Violation::ParametersDiffer));
    child.steps = Vec::new();
    assert!(world.open(&child).is_err());
}

#[test]
fn only_what_is_paused_is_resumed_and_only_once() {
    let (mut world, parent) = running();
    let child = world.child_plan(parent, &person("officer-b"));
    assert_eq!(world.open(&child), Err(Violation::CeremonyNotOpen { phase: "running" }));
    world.pause(officer("officer-d"), parent, PauseReason::Officer).unwrap();
    let children = ["officer-b", "officer-c"].map(|requester| {
        let child = world.child_plan(parent, &person(requester));
        world.open(&child).unwrap()
    });
    let [first, second] = children;
    world.decide(&person("officer-a"), first, Decision::Approve).unwrap();
    world.decide(&person("officer-d"), first, Decision::Approve).unwrap();
    world.decide(&person("officer-a"), second, Decision::Approve).unwrap();
    // The decision is taken down and leads nowhere, for the parent is gone: a server finds nothing to authorise.
    world.decide(&person("officer-d"), second, Decision::Approve).unwrap();
    let gone = Violation::CeremonyNotOpen { phase: "aborted" };
    assert_eq!(world.state.authority(second, world.now_ms).unwrap_err(), gone);
    assert_eq!(world.authorise(second, &["officer-a", "officer-d"]), Err(gone.clone()));
    assert_eq!(world.intent(second), Err(gone));
    assert_eq!(phase(&world, second), Phase::Open);
}

#[test]
fn a_paused_ceremony_ends_by_rejection_abort_or_time() {
    let (mut world, plan) = paused();
    world.close(officer("officer-d"), plan, Closing::Aborted).unwrap();
    let child = world.child_plan(plan, &person("officer-b"));
    assert_eq!(world.open(&child), Err(Violation::CeremonyNotOpen { phase: "aborted" }));

    let (mut world, plan) = paused();
    world.now_ms += VALIDITY_MS;
    world.close(Actor::Own, plan, Closing::Expired).unwrap();
    assert_eq!(phase(&world, plan), Phase::Expired);
}

#[test]
fn a_quorum_that_holds_is_not_lost_and_only_the_running_pause() {
    let (mut world, plan) = running();
    assert!(world.pause(Actor::Own, plan, PauseReason::Quorum).is_err());
    assert!(world.pause(officer("x-auditor"), plan, PauseReason::Officer).is_err());
    assert!(
        world.pause(officer("officer-d"), plan, PauseReason::Clock).is_err(),
        "the clock is the instance's to judge"
    );
    world.pause(Actor::Own, plan, PauseReason::Hsm).unwrap();
    assert_eq!(world.pause(Actor::Own, plan, PauseReason::Hsm), Err(Violation::CeremonyNotOpen { phase: "paused" }));

    let mut world = World::founded(2);
    let plan = world.masters_plan(&person("officer-a"));
    let plan = world.open(&plan).unwrap();
    assert_eq!(world.pause(Actor::Own, plan, PauseReason::Hsm), Err(Violation::CeremonyNotOpen { phase: "open" }));
}

#[test]
fn the_authorisation_names_exactly_those_who_count() {
    let mut world = World::founded(2);
    let plan = world.masters_plan(&person("officer-a"));
    let plan = world.open(&plan).unwrap();
    assert!(world.authorise(plan, &["officer-b", "officer-c"]).is_err(), "nobody approved");
    world.decide(&person("officer-b"), plan, Decision::Approve).unwrap();
    assert!(world.authorise(plan, &["officer-b", "officer-c"]).is_err());
    world.decided_without_settling(&person("officer-c"), plan).unwrap();
    assert_eq!(world.intent(plan), Err(Violation::CeremonyNotOpen { phase: "open" }));
    assert!(world.authorise(plan, &["officer-b"]).is_err());
    assert!(world.authorise(plan, &["officer-b", "officer-d"]).is_err());
    world.authorise(plan, &["officer-b", "officer-c"]).unwrap();
    world.intent(plan).unwrap();
}
