//! The journal: all of a commit or nothing of it, and the same state after every restart.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use kms_core::digest::Digest;
use kms_core::encoding::{self, Document as _, Signed};
use kms_core::event::{Event, Founded, Refused, Started};
use kms_core::id::{Actor, Nonce, ObjectId, Origin, PersonId, PlanId, RegionCode};
use kms_core::keys::SignatureAlgorithm;
use kms_core::log::merkle;
use kms_core::plan::{
    Approval, CreateInstanceKeys, Decision, Environment, FoundInstance, Level, Person, Plan, QuorumRule, Role, Step,
};
use kms_core::policy::Operation;
use kms_core::sm2::SecretKey;
use kms_core::suite::Suite;
use kms_server::fault::Fault;
use kms_server::journal::{Act, DamagedLog, Journal};
use kms_server::store::{Store, StoreError, log};

struct Scene {
    folder: tempfile::TempDir,
    store: Arc<Store>,
    journal: Journal,
}

fn origin() -> Origin {
    Origin::new("kms.example/test/log/1").unwrap()
}

fn load(folder: &Path) -> Result<(Arc<Store>, Journal), DamagedLog> {
    let store = Arc::new(Store::open(&folder.join("kms.db"))?);
    let journal = Journal::load(store.clone(), &origin())?;
    journal.open_for_writing();
    Ok((store, journal))
}

/// A founded instance.
fn founded() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let (store, journal) = load(folder.path()).unwrap();
    let officers: Vec<_> = ["li-na", "wang-fang", "zhang-wei"]
        .map(|id| (PersonId::new(id).unwrap(), SecretKey::generate(&mut getrandom::SysRng).unwrap()))
        .into();
    let bytes = encoding::encode(&plan(&officers)).unwrap();
    let id = PlanId::from_digest(Digest::of(&bytes));
    let approvals: Vec<_> = officers.iter().map(|(person, key)| approval(id, person, key)).collect();
    let event = Founded { origin: origin(), plan: id, approvals: approvals.iter().map(|a| Digest::of(a)).collect() };
    let act = approvals.into_iter().fold(Act::own(vec![Event::Founded(event)]).with(bytes), Act::with);
    journal.commit(|_, _| Ok((act, ()))).unwrap();
    Scene { folder, store, journal }
}

fn plan(officers: &[(PersonId, SecretKey)]) -> Plan {
    let object = |number| ObjectId::from_bytes([number; 16]);
    let person = |(id, key): &(PersonId, SecretKey)| Person {
        id: id.clone(),
        name: id.to_string(),
        role: Role::Security,
        key: *key.public(),
    };
    let rule = |operation: Operation| QuorumRule {
        operation: operation.name().to_owned(),
        approvals: 2,
        validity_ms: 3_600_000,
        max_log_span: 1000,
    };
    Plan {
        label: Plan::LABEL.to_owned(),
        origin: origin(),
        environment: Environment::Test,
        nonce: Nonce::from_bytes([9; 16]),
        requester: Actor::Own,
        policy_epoch: 0,
        approvals: 2,
        opened_size: 0,
        opened_root: merkle::empty_root(),
        not_before_ms: 0,
        expires_ms: u64::from(u32::MAX) * 1000,
        max_log_span: 1000,
        hsm_serial: "0001".to_owned(),
        steps: vec![
            Step::FoundInstance(FoundInstance {
                level: Level::National,
                region: RegionCode::nation(),
                suite: Suite::Sm,
                policy: Digest::of(b"policy"),
                rules: Operation::ALL.map(rule).into(),
                cards_max: 1000,
                chunk_cards: 100,
                people: officers.iter().map(person).collect(),
            }),
            Step::CreateInstanceKeys(CreateInstanceKeys {
                log: object(1),
                instance: object(2),
                import: object(3),
                index: object(5),
                storage: object(6),
                component_import: Some(object(4)),
            }),
        ],
        script: None,
        parent: None,
    }
}

fn approval(plan: PlanId, officer: &PersonId, key: &SecretKey) -> Vec<u8> {
    let approval = Approval {
        label: Approval::LABEL.to_owned(),
        origin: origin(),
        plan,
        officer: officer.clone(),
        role: Role::Security,
        decision: Decision::Approve,
        sequence: 1,
    };
    let signature = key.sign(&encoding::encode(&approval).unwrap()).unwrap();
    Signed::assemble(approval, SignatureAlgorithm::Sm2Sm3, &signature).unwrap().bytes().to_vec()
}

fn started() -> Event {
    Event::Started(Started { build: "test".to_owned(), configuration: Digest::of(b""), anchor: None })
}

fn entries(store: &Store) -> Vec<Vec<u8>> {
    store.read(|connection| log::entries(connection, 0, 100)).unwrap()
}

#[test]
fn the_stored_log_is_the_state() {
    let scene = founded();
    scene.journal.commit(|_, _| Ok((Act::own(vec![started(), started()]), ()))).unwrap();
    let leaves: Vec<_> = entries(&scene.store).iter().map(|entry| merkle::leaf_hash(entry)).collect();
    let state = scene.journal.state();
    assert_eq!((state.size(), state.root()), (3, merkle::root(&leaves)));
    let path = scene.journal.inclusion_path(1, 3).unwrap();
    merkle::verify_inclusion(&leaves[1], 1, 3, &path, &state.root()).unwrap();
    let (_, again) = load(scene.folder.path()).unwrap();
    assert_eq!(again.state().root(), state.root());
}

#[test]
fn a_broken_rule_leaves_nothing_of_the_commit() {
    let scene = founded();
    let before = scene.journal.state();
    let nonsense = Founded { origin: origin(), plan: before.identity().unwrap().genesis, approvals: Vec::new() };
    let document = b"left behind?".to_vec();
    let outcome = scene.journal.commit(|_, _| {
        let events = vec![started(), Event::Founded(nonsense)];
        Ok((Act::own(events).with(document.clone()), ()))
    });
    assert!(matches!(outcome, Err(Fault::Violation(violation)) if violation.code() == "already-founded"));
    assert_eq!(scene.journal.state().root(), before.root());
    assert_eq!(entries(&scene.store).len(), 1);
    let found = scene.store.read(|c| log::document(c, &Digest::of(&document))).unwrap();
    assert_eq!(found, None);
}

#[test]
fn a_failed_row_leaves_no_entry() {
    let scene = founded();
    let outcome = scene.journal.commit(|_, connection| {
        log::add_document(connection, &Digest::of(b"row"), b"row")?;
        // The index is taken: the row before must go as well.
        log::append(connection, 0, b"entry")?;
        Ok((Act::own(vec![started()]), ()))
    });
    assert!(matches!(outcome, Err(Fault::Store(StoreError::Duplicate { .. }))));
    assert_eq!(scene.journal.state().size(), 1);
    assert_eq!(scene.store.read(|c| log::document(c, &Digest::of(b"row"))).unwrap(), None);
}

#[test]
fn nothing_is_written_before_database_and_hsm_were_compared() {
    let scene = founded();
    let closed = Journal::load(scene.store.clone(), &origin()).unwrap();
    let refused = Refused { operation: "test".to_owned(), code: "role-forbidden".to_owned(), count: 1, subject: None };
    closed.refuse(Actor::Unknown, None, refused);
    let outcome = closed.commit(|_, _| Ok((Act::own(vec![started()]), ())));
    assert!(matches!(outcome, Err(Fault::Problem(problem)) if problem.code() == "hsm-unavailable"));
    assert_eq!(entries(&scene.store).len(), 1);
}

#[test]
fn entries_that_nobody_wrote_are_refused_at_start() {
    let scene = founded();
    scene.journal.commit(|_, _| Ok((Act::own(vec![started()]), ()))).unwrap();
    let copy = entries(&scene.store).pop().unwrap();
    scene.store.write(|c| log::append(c, 2, &copy)).unwrap();
    assert!(matches!(load(scene.folder.path()), Err(DamagedLog::Rule { index: 2, .. })));
    scene.store.write(|c| log::append(c, 4, b"after a gap")).unwrap();
    let gap = load(scene.folder.path());
    assert!(matches!(gap, Err(DamagedLog::Rule { .. } | DamagedLog::Store(StoreError::Damaged { .. }))));
}
