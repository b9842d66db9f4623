//! What an audit or a probe of the token found decides which keys are used; accepted risks end.

use kms_core::event::{Closing, DifferenceKind, Event, TokenAudited, TokenProbed};
use kms_core::id::{Actor, ObjectId, PlanId};
use kms_core::plan::{Decision, Environment, Step};
use kms_core::policy::RISK_MS_MAX;
use kms_core::ports::KeyKind;
use kms_core::violation::Violation;

use crate::world::{VALIDITY_MS, World, person, probed};

const SERIAL: &str = "5ec0de";

/// Opens a plan and lets two officers approve it.
fn approved(world: &mut World, plan: &kms_core::plan::Plan) -> PlanId {
    let id = world.open(plan).unwrap();
    world.decide(&person("officer-b"), id, Decision::Approve).unwrap();
    world.decide(&person("officer-c"), id, Decision::Approve).unwrap();
    id
}

fn masters(world: &mut World) -> PlanId {
    let plan = world.masters_plan(&person("officer-a"));
    approved(world, &plan)
}

/// Runs a ceremony to its end.
fn run(world: &mut World, id: PlanId) {
    world.intent(id).unwrap();
    world.outcome(id).unwrap();
    world.close(Actor::Own, id, Closing::Done).unwrap();
}

fn accept(world: &mut World, attacks: &[u8], valid_ms: u64) {
    let plan = world.risk_plan(&person("officer-a"), attacks, valid_ms);
    let id = approved(world, &plan);
    run(world, id);
}

#[test]
fn the_list_of_keys_is_what_the_log_says() {
    let mut world = World::founded(2);
    assert_eq!(world.state.expected_keys().len(), 6);
    let id = masters(&mut world);
    assert_eq!(world.state.ids_in_the_making().len(), 2, "made before the log says so");
    run(&mut world, id);
    assert_eq!(world.state.ids_in_the_making(), [] as [ObjectId; 0]);
    let keys = world.state.expected_keys();
    let made: Vec<_> = keys.iter().filter(|key| key.kind == KeyKind::TransferableMaster).collect();
    assert!(made.len() == 2 && made.iter().all(|key| key.made_here && key.kcv.is_some()), "{made:?}");
    let log = keys.iter().find(|key| key.name == "log").unwrap();
    assert_eq!(log.public, Some(world.state.keys().unwrap().log.id()));
}

#[test]
fn a_key_found_wrong_is_not_served_until_an_audit_finds_it_right() {
    let mut world = World::founded(2);
    let id = masters(&mut world);
    run(&mut world, id);
    let keys = world.state.expected_keys();
    let (wrong, other) = (keys.last().unwrap().id, keys[5].id);
    world.audit("clean", &[]).unwrap();
    assert_eq!(world.state.alarms(), []);
    world.audit("touched", &[(wrong, DifferenceKind::Wrong)]).unwrap();
    assert_eq!(world.state.require_served(SERIAL, wrong), Err(Violation::KeyNotServed { id: wrong, found: "wrong" }));
    assert_eq!(world.state.require_served(SERIAL, other), Ok(()));
    assert_eq!(world.state.alarms().len(), 1);
    // Others go on: a ceremony that does not use the key runs.
    let id = masters(&mut world);
    run(&mut world, id);
    world.audit("clean again", &[]).unwrap();
    assert_eq!(world.state.require_served(SERIAL, wrong), Ok(()));
    assert_eq!(world.state.alarms().len(), 1, "a ceremony explains the other snapshot");
}

#[test]
fn an_unknown_object_is_an_alarm_and_stops_no_key() {
    let mut world = World::founded(2);
    let stranger = ObjectId::from_bytes([0xee; 16]);
    world.audit("more", &[(stranger, DifferenceKind::Unknown)]).unwrap();
    assert_eq!(world.state.alarms().len(), 1);
    let id = masters(&mut world);
    run(&mut world, id);
}

#[test]
fn a_change_that_no_ceremony_explains_is_an_alarm() {
    let mut world = World::founded(2);
    world.audit("one", &[]).unwrap();
    world.audit("one", &[]).unwrap();
    assert_eq!(world.state.alarms(), []);
    world.audit("two", &[]).unwrap();
    assert_eq!((world.state.alarms().len(), world.state.alarms()[0].differences), (1, 0));
    // Made, and in the token, but not yet in the log.
    let id = masters(&mut world);
    world.intent(id).unwrap();
    world.audit("three", &[]).unwrap();
    world.outcome(id).unwrap();
    world.close(Actor::Own, id, Closing::Done).unwrap();
    world.audit("four", &[]).unwrap();
    assert_eq!(world.state.alarms().len(), 1);
}

#[test]
fn with_its_own_signing_key_in_doubt_an_instance_only_writes_findings() {
    for pick in [0, 1] {
        let mut world = World::founded(2);
        let plan = masters(&mut world);
        let own = world.state.expected_keys()[pick].id;
        world.audit("touched", &[(own, DifferenceKind::Missing)]).unwrap();
        let refused = Err(Violation::KeyNotServed { id: own, found: "missing" });
        assert_eq!(world.intent(plan), refused);
        assert_eq!(world.decide(&person("officer-d"), plan, Decision::Approve), refused);
        let fresh = world.masters_plan(&person("officer-a"));
        assert_eq!(world.open(&fresh).map(|_| ()), refused);
        world.started();
        world.probe(&[]);
        let refusal =
            kms_core::event::Refused { operation: "test".to_owned(), code: "x".to_owned(), count: 1, subject: None };
        world.append(Actor::Unknown, Event::Refused(refusal)).unwrap();
        world.audit("back", &[]).unwrap();
        world.intent(plan).unwrap();
    }
}

#[test]
fn findings_that_do_not_hold_are_refused() {
    let (low, high) = (ObjectId::from_bytes([0; 16]), ObjectId::from_bytes([0xff; 16]));
    let unknown = |id| (id, DifferenceKind::Unknown);
    type Spoil = fn(&mut TokenAudited);
    let spoilt: [(&str, Spoil); 6] = [
        ("finding-invalid", |audit| audit.keys += 1),
        ("finding-invalid", |audit| audit.differences += 1),
        ("finding-invalid", |audit| audit.differing.reverse()),
        ("finding-invalid", |audit| audit.differing[1] = audit.differing[0].clone()),
        ("finding-invalid", |audit| audit.differing[1].kind = DifferenceKind::Wrong),
        ("other-hsm", |audit| audit.hsm_serial.push('0')),
    ];
    let mut world = World::founded(2);
    let good = world.audited("s", &[unknown(low), unknown(high)]);
    for (code, spoil) in spoilt {
        let mut audit = good.clone();
        spoil(&mut audit);
        let refused = world.append(Actor::Own, Event::TokenAudited(audit)).map_err(|violation| violation.code());
        assert_eq!(refused, Err(code));
    }
    let officer = Actor::Person(person("officer-a"));
    let refused = world.append(officer, Event::TokenAudited(good.clone())).map_err(|violation| violation.code());
    assert_eq!(refused, Err("actor-not-allowed"));
    world.append(Actor::Own, Event::TokenAudited(good)).unwrap();

    type SpoilProbe = fn(&mut TokenProbed);
    let spoilt: [SpoilProbe; 5] = [
        |probe| probe.open = vec![26],
        |probe| probe.open = vec![11, 10],
        |probe| probe.untried = vec![10],
        |probe| probe.model = "a\u{7}".to_owned(),
        |probe| probe.failed = vec!["x".repeat(500)],
    ];
    for spoil in spoilt {
        let mut probe = probed(&[10]);
        spoil(&mut probe);
        let refused = world.append(Actor::Own, Event::TokenProbed(probe)).map_err(|violation| violation.code());
        assert_eq!(refused, Err("finding-invalid"));
    }
}

#[test]
fn a_production_instance_uses_no_key_before_its_token_was_examined_in_this_run() {
    let mut world = World::founded_as(Environment::Production, 2);
    let id = masters(&mut world);
    let unexamined = Err(Violation::TokenUnexamined { serial: SERIAL.to_owned() });
    assert_eq!(world.intent(id), unexamined);
    world.audit("s", &[]).unwrap();
    assert_eq!(world.intent(id), unexamined, "audited and not probed");
    world.probe(&[]);
    world.started();
    assert_eq!(world.intent(id), unexamined, "in an earlier run");
    world.audit("s", &[]).unwrap();
    world.probe(&[]);
    run(&mut world, id);
}

#[test]
fn a_production_instance_uses_no_key_while_an_attack_is_open_that_nobody_accepted() {
    let mut world = World::founded_as(Environment::Production, 2);
    world.audit("s", &[]).unwrap();
    world.probe(&[10, 21]);
    let id = masters(&mut world);
    assert_eq!(world.intent(id), Err(Violation::AttackOpen { attack: 10 }));
    accept(&mut world, &[10], VALIDITY_MS / 2);
    assert_eq!(world.intent(id), Err(Violation::AttackOpen { attack: 21 }), "only what is named");
    accept(&mut world, &[21], VALIDITY_MS / 4);
    world.intent(id).unwrap();
    // Another one opens while the ceremony runs: no OUTCOME.
    world.probe(&[10, 11, 21]);
    assert_eq!(world.outcome(id), Err(Violation::AttackOpen { attack: 11 }));
    world.probe(&[10, 21]);
    world.outcome(id).unwrap();
    let next = masters(&mut world);
    world.now_ms += VALIDITY_MS / 4;
    assert_eq!(world.intent(next), Err(Violation::AttackOpen { attack: 21 }), "the acceptance ended");
    world.now_ms += VALIDITY_MS / 4;
    assert_eq!(world.intent(next), Err(Violation::AttackOpen { attack: 10 }));
}

#[test]
fn an_acceptance_holds_for_one_model_firmware_and_map() {
    type Spoil = fn(&mut TokenProbed);
    let others: [Spoil; 3] = [
        |probe| probe.model.push('X'),
        |probe| probe.firmware = "1.5".to_owned(),
        |probe| probe.map = kms_core::digest::Digest::of(b"other map"),
    ];
    for other in others {
        let mut world = World::founded_as(Environment::Production, 2);
        world.audit("s", &[]).unwrap();
        world.probe(&[10]);
        accept(&mut world, &[10], VALIDITY_MS);
        let id = masters(&mut world);
        let mut probe = probed(&[10]);
        other(&mut probe);
        world.append(Actor::Own, Event::TokenProbed(probe)).unwrap();
        assert_eq!(world.intent(id), Err(Violation::AttackOpen { attack: 10 }));
        world.probe(&[10]);
        run(&mut world, id);
    }
}

#[test]
fn a_risk_is_accepted_by_a_quorum_and_only_if_a_probe_found_it() {
    let mut world = World::founded_as(Environment::Production, 2);
    world.audit("s", &[]).unwrap();
    let early = world.risk_plan(&person("officer-a"), &[10], 1);
    assert_eq!(world.open(&early), Err(Violation::AttackNotShown { attack: 10 }), "before any probe");
    world.probe(&[10]);
    let more = world.risk_plan(&person("officer-a"), &[10, 11], 1);
    assert_eq!(world.open(&more), Err(Violation::AttackNotShown { attack: 11 }));
    type Spoil = fn(&mut kms_core::plan::AcceptRisk);
    let spoilt: [Spoil; 5] = [
        |risk| risk.attacks.clear(),
        |risk| risk.attacks = vec![10, 10],
        |risk| risk.reason = " ".to_owned(),
        |risk| risk.valid_until_ms = 0,
        |risk| risk.valid_until_ms += RISK_MS_MAX,
    ];
    for spoil in spoilt {
        let mut plan = world.risk_plan(&person("officer-a"), &[10], 1);
        let Some(Step::AcceptRisk(risk)) = plan.steps.first_mut() else { panic!("a risk plan") };
        spoil(risk);
        assert_eq!(world.open(&plan).map_err(|violation| violation.code()), Err("plan-limits"));
    }
    let plan = world.risk_plan(&person("officer-a"), &[10], VALIDITY_MS);
    let id = world.open(&plan).unwrap();
    world.decide(&person("officer-b"), id, Decision::Approve).unwrap();
    assert_eq!(world.intent(id), Err(Violation::QuorumNotReached { wanted: 2, found: 1 }));
    assert_eq!(world.state.acceptances(), []);
    world.decide(&person("officer-c"), id, Decision::Approve).unwrap();
    run(&mut world, id);
    assert_eq!(world.state.acceptances().len(), 1);
    assert_eq!(world.state.unaccepted(&probed(&[10, 11]), world.now_ms), [11]);
}

#[test]
fn a_test_instance_only_reports_open_attacks_but_no_instance_works_with_wrong_answers() {
    for environment in [Environment::Test, Environment::Production] {
        let mut world = World::founded_as(environment, 2);
        world.audit("s", &[]).unwrap();
        world.probe(&[10]);
        let id = masters(&mut world);
        let open = Err(Violation::AttackOpen { attack: 10 });
        assert_eq!(
            world.state.require_fit(SERIAL, world.now_ms),
            if environment == Environment::Test { Ok(()) } else { open }
        );
        let mut wrong = probed(&[]);
        wrong.failed = vec!["digest, known answer".to_owned()];
        world.append(Actor::Own, Event::TokenProbed(wrong)).unwrap();
        let failed = Violation::KnownAnswerFailed { check: "digest, known answer".to_owned() };
        assert_eq!(world.intent(id), Err(failed));
        world.probe(&[]);
        run(&mut world, id);
    }
}

/// SM1 is not public: a simulator's stand-in must fail its vector, and serves to try the way only.
#[test]
fn a_stand_in_for_sm1_serves_in_test_instances_only() {
    for environment in [Environment::Test, Environment::Production] {
        let mut world = World::founded_as(environment, 2);
        world.audit("s", &[]).unwrap();
        let stand_in = |others: &[&str]| {
            let mut found = probed(&[]);
            found.failed =
                others.iter().chain(&[kms_core::ports::SM1_ANSWER]).map(|check| (*check).to_owned()).collect();
            found
        };
        world.append(Actor::Own, Event::TokenProbed(stand_in(&[]))).unwrap();
        let refused = Err(Violation::KnownAnswerFailed { check: kms_core::ports::SM1_ANSWER.to_owned() });
        let expected = if environment == Environment::Test { Ok(()) } else { refused };
        assert_eq!(world.state.require_fit(SERIAL, world.now_ms), expected);
        world.append(Actor::Own, Event::TokenProbed(stand_in(&["block cipher, known answer"]))).unwrap();
        assert!(world.state.require_fit(SERIAL, world.now_ms).is_err(), "another wrong answer stops both");
    }
}

#[test]
fn officers_read_each_attack_in_words() {
    let mut world = World::founded(2);
    let plan = world.risk_plan(&person("officer-a"), &[1, 10, 25], 1000);
    let lines = kms_core::render::plan(&plan).unwrap();
    let text: Vec<String> = lines.iter().map(|line| format!("{}: {}", line.label, line.value)).collect();
    let text = text.join("\n");
    for words in [
        "10 truncated-children (derivation oracle)",
        "card keys in clear",
        "1 wrap-decrypt:",
        "25 chosen-iv:",
        "firmware 2 closes it",
        "accepted until",
        "SJJ1012",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}
