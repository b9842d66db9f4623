//! Random ceremonies against a naive oracle.
//!
//! Four officers, four plans, pauses and resumptions, replayed approvals, rejections, clocks both ways, effects at any moment.
//! After every accepted effect the oracle, which knows nothing of the code under test, must agree that it
//! was authorised (I1, I3, I4, I7, I9, I11); at the end the log is folded anew and audited (I10).

use std::collections::{BTreeMap, BTreeSet};

use kms_core::event::{Closing, PauseReason};
use kms_core::id::{Actor, PlanId};
use kms_core::plan::Decision;
use kms_core::state::State;
use kms_core::verify::{Evidence, audit};
use proptest::prelude::*;

use crate::world::{VALIDITY_MS, World, person};

/// Plans of one history, resumptions included.
const PLANS_MAX: usize = 4;
const OFFICERS: [&str; 4] = ["officer-a", "officer-b", "officer-c", "officer-d"];

#[derive(Clone, Debug)]
enum Action {
    Open { requester: usize, risk: bool },
    Decide { officer: usize, plan: usize, approve: bool },
    Replay { officer: usize, from: usize, to: usize },
    Intent { plan: usize },
    Outcome { plan: usize },
    Close { plan: usize, officer: usize, closing: u8 },
    Pause { plan: usize, reason: u8 },
    Resume { plan: usize, requester: usize },
    Clock { ms: i64 },
}

fn action() -> impl Strategy<Value = Action> {
    let (officer, plan) = (0..4usize, 0..PLANS_MAX);
    prop_oneof![
        1 => (officer.clone(), any::<bool>()).prop_map(|(requester, risk)| Action::Open { requester, risk }),
        6 => (officer.clone(), plan.clone(), prop::bool::weighted(0.93)).prop_map(|(officer, plan, approve)| Action::Decide { officer, plan, approve }),
        1 => (officer.clone(), plan.clone(), plan.clone()).prop_map(|(officer, from, to)| Action::Replay { officer, from, to }),
        4 => plan.clone().prop_map(|plan| Action::Intent { plan }),
        4 => plan.clone().prop_map(|plan| Action::Outcome { plan }),
        1 => (plan.clone(), 0..2u8).prop_map(|(plan, reason)| Action::Pause { plan, reason }),
        1 => (plan.clone(), officer.clone()).prop_map(|(plan, requester)| Action::Resume { plan, requester }),
        1 => (plan, officer, 0..4u8).prop_map(|(plan, officer, closing)| Action::Close { plan, officer, closing }),
        1 => prop_oneof![3 => 1..1000i64, 1 => Just(i64::try_from(VALIDITY_MS).unwrap() / 2), 1 => -50..0i64].prop_map(|ms| Action::Clock { ms }),
    ]
}

#[derive(Default)]
struct Oracle {
    requester: BTreeMap<PlanId, usize>,
    opened_ms: BTreeMap<PlanId, u64>,
    approvers: BTreeMap<PlanId, BTreeSet<usize>>,
    rejected: BTreeSet<PlanId>,
    closed: BTreeSet<PlanId>,
    /// By the plan that did it; a plan that resumes another stands for the same step.
    outcomes: BTreeMap<PlanId, u32>,
    paused: BTreeSet<PlanId>,
    /// A plan, and the one it resumes.
    parents: BTreeMap<PlanId, PlanId>,
}

impl Oracle {
    fn authorised(&self, plan: PlanId, now_ms: u64) -> bool {
        let mut persons = self.approvers.get(&plan).cloned().unwrap_or_default();
        persons.remove(&self.requester[&plan]);
        let in_time = now_ms < self.opened_ms[&plan] + VALIDITY_MS;
        let stopped = |set: &BTreeSet<PlanId>| set.contains(&plan);
        persons.len() >= 2 && in_time && ![&self.rejected, &self.closed, &self.paused].into_iter().any(stopped)
    }

    /// The first plan of a chain of resumptions.
    fn origin(&self, plan: PlanId) -> PlanId {
        self.parents.get(&plan).map_or(plan, |parent| self.origin(*parent))
    }
}

fn run(actions: &[Action]) -> Result<(), TestCaseError> {
    let mut world = World::founded(2);
    world.probe(&[10, 11]);
    let mut oracle = Oracle::default();
    let mut plans: Vec<PlanId> = Vec::new();
    for action in actions {
        let plan_of = |index: usize| plans.get(index).copied();
        match *action {
            Action::Open { requester, risk } => {
                if plans.len() < PLANS_MAX {
                    let officer = person(OFFICERS[requester]);
                    let plan = if risk { world.risk_plan(&officer, &[10], 1) } else { world.masters_plan(&officer) };
                    if let Ok(id) = world.open(&plan) {
                        oracle.requester.insert(id, requester);
                        oracle.opened_ms.insert(id, world.now_ms);
                        plans.push(id);
                    }
                }
            }
            Action::Decide { officer, plan, approve } => {
                let Some(id) = plan_of(plan) else { continue };
                let decision = if approve { Decision::Approve } else { Decision::Reject };
                if world.decide(&person(OFFICERS[officer]), id, decision).is_ok() {
                    prop_assert!(!oracle.closed.contains(&id), "decision on a closed ceremony");
                    if approve {
                        prop_assert_ne!(officer, oracle.requester[&id], "requester counted");
                        let fresh = oracle.approvers.entry(id).or_default().insert(officer);
                        prop_assert!(fresh, "the same person twice");
                    } else {
                        oracle.rejected.insert(id);
                    }
                }
            }
            Action::Replay { officer, from, to } => {
                let (Some(from), Some(to)) = (plan_of(from), plan_of(to)) else { continue };
                let approval = world.sign_approval(&person(OFFICERS[officer]), from, Decision::Approve);
                let taken = world.decided(&person(OFFICERS[officer]), to, approval, Decision::Approve).is_ok();
                prop_assert!(!taken || from == to, "an approval moved to another plan");
                if taken {
                    oracle.approvers.entry(to).or_default().insert(officer);
                }
            }
            Action::Intent { plan } => {
                let Some(id) = plan_of(plan) else { continue };
                if world.intent(id).is_ok() {
                    prop_assert!(oracle.authorised(id, world.now_ms), "INTENT without authority");
                }
            }
            Action::Outcome { plan } => {
                let Some(id) = plan_of(plan) else { continue };
                let accepted = world.state.acceptances().len();
                if world.outcome(id).is_ok() {
                    prop_assert!(oracle.authorised(id, world.now_ms), "OUTCOME without authority");
                    let step = oracle.origin(id);
                    *oracle.outcomes.entry(step).or_default() += 1;
                    prop_assert_eq!(oracle.outcomes[&step], 1, "two OUTCOMEs for one step");
                } else {
                    prop_assert_eq!(world.state.acceptances().len(), accepted, "a risk accepted by nobody");
                }
            }
            Action::Close { plan, officer, closing } => {
                let Some(id) = plan_of(plan) else { continue };
                let closing =
                    [Closing::Done, Closing::Rejected, Closing::Aborted, Closing::Expired][usize::from(closing)];
                if world.close(Actor::Person(person(OFFICERS[officer])), id, closing).is_ok() {
                    prop_assert!(oracle.closed.insert(id), "closed twice");
                    prop_assert!(
                        closing != Closing::Done || oracle.outcomes.contains_key(&oracle.origin(id)),
                        "done without effect"
                    );
                    prop_assert!(closing != Closing::Rejected || oracle.rejected.contains(&id), "rejected by nobody");
                }
            }
            Action::Pause { plan, reason } => {
                let Some(id) = plan_of(plan) else { continue };
                let reason = [PauseReason::Officer, PauseReason::Quorum][usize::from(reason)];
                let actor =
                    if reason == PauseReason::Officer { Actor::Person(person(OFFICERS[0])) } else { Actor::Own };
                if world.pause(actor, id, reason).is_ok() {
                    prop_assert!(!oracle.closed.contains(&id), "a closed ceremony was paused");
                    prop_assert_eq!(reason, PauseReason::Officer, "a quorum that holds was called lost");
                    oracle.paused.insert(id);
                }
            }
            Action::Resume { plan, requester } => {
                let Some(parent) = plan_of(plan).filter(|_| plans.len() < PLANS_MAX) else { continue };
                let child = world.child_plan(parent, &person(OFFICERS[requester]));
                if let Ok(id) = world.open(&child) {
                    prop_assert!(
                        oracle.paused.contains(&parent) && !oracle.closed.contains(&parent),
                        "resumed what did not wait"
                    );
                    oracle.requester.insert(id, requester);
                    oracle.opened_ms.insert(id, world.now_ms);
                    oracle.parents.insert(id, parent);
                    plans.push(id);
                }
            }
            Action::Clock { ms } => world.now_ms = world.now_ms.saturating_add_signed(ms),
        }
    }
    fold_again(&world)
}

fn fold_again(world: &World) -> Result<(), TestCaseError> {
    let mut again = State::default();
    for entry in &world.entries {
        prop_assert_eq!(again.apply(entry, &world.documents), Ok(()));
    }
    prop_assert_eq!(again.root(), world.state.root());
    prop_assert_eq!(again.ceremonies(), world.state.ceremonies());
    prop_assert_eq!(again.masters(), world.state.masters());
    prop_assert_eq!(again.acceptances(), world.state.acceptances());
    let (anchor, entries, checkpoint) = (world.anchor(), world.entry_bytes(), world.checkpoint());
    let evidence = Evidence {
        anchor: &anchor,
        entries: &entries,
        documents: &world.documents,
        checkpoint: &checkpoint,
        previous: None,
    };
    let report = audit(&evidence).map_err(|failure| TestCaseError::fail(failure.to_string()))?;
    prop_assert_eq!(report.size, world.state.size());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_actions_makes_an_effect_without_authority(actions in prop::collection::vec(action(), 5..60)) {
        run(&actions)?;
    }
}

/// The generator must reach the interesting states, or the property above shows nothing.
#[test]
fn the_model_reaches_effects_and_refusals() {
    use Action::{Decide, Intent, Open, Outcome};
    let script = [
        Open { requester: 0, risk: false },
        Intent { plan: 0 },
        Decide { officer: 1, plan: 0, approve: true },
        Decide { officer: 2, plan: 0, approve: true },
        Intent { plan: 0 },
        Outcome { plan: 0 },
    ];
    run(&script).unwrap();
    let mut risky = script.clone();
    risky[0] = Open { requester: 0, risk: true };
    run(&risky).unwrap();
    let mut world = World::founded(2);
    let plan = world.masters_plan(&person("officer-a"));
    let id = world.open(&plan).unwrap();
    assert!(world.intent(id).is_err());
}
