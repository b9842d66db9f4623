//! A whole instance in software: officers with real SM2 keys, a log that is folded as it grows.
//! The HSM is absent; its outcomes are made up from the plan, as the fold expects them.

mod tokens;

mod export;
mod roster;

use std::collections::BTreeMap;

use kms_core::digest::Digest;
use kms_core::document::TrustAnchor;
use kms_core::encoding::{self, Document, Signed};
use kms_core::event::{
    Authorised, Closed, Closing, Decided, EffectResult, Event, Founded, KeyRecord, LogEntry, Opened, PauseReason,
    Paused, StepIntent, StepOutcome,
};
use kms_core::id::{Actor, Nonce, ObjectId, Origin, PersonId, PlanId, ProfileId, RegionCode};
use kms_core::keys::SignatureAlgorithm;
use kms_core::plan::{
    Approval, CreateInstanceKeys, CreateMasters, Decision, Environment, FoundInstance, Level, MasterEntry, Person,
    Plan, QuorumRule, Role, Step,
};
use kms_core::policy::Operation;
use kms_core::secret::{Kcv, KcvMethod, Secret};
use kms_core::sm2::SecretKey;
use kms_core::state::{Phase, State, step_digest};
use kms_core::suite::{CardAlgorithm, Suite};
use kms_core::violation::Violation;

pub(crate) use tokens::probed;

/// Life of every plan in these tests.
pub(crate) const VALIDITY_MS: u64 = 100_000;
/// Log span of every plan in these tests.
pub(crate) const LOG_SPAN: u64 = 60;
const START_MS: u64 = 1_800_000_000_000;

pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) documents: BTreeMap<Digest, Vec<u8>>,
    pub(crate) entries: Vec<LogEntry>,
    pub(crate) now_ms: u64,
    environment: Environment,
    officers: BTreeMap<PersonId, SecretKey>,
    instance: SecretKey,
    counter: u8,
}

pub(crate) fn person(name: &str) -> PersonId {
    PersonId::new(name).unwrap()
}

pub(crate) fn origin() -> Origin {
    Origin::new("kms.example/national/test/log/1").unwrap()
}

pub(crate) fn key(number: u8) -> SecretKey {
    let mut scalar = [number; 32];
    scalar[0] = 1;
    SecretKey::from_scalar(Secret::take(&mut scalar)).unwrap()
}

fn kcv(number: u8) -> Kcv {
    Kcv::new(KcvMethod::Ecb3, &[number, 2, 3]).unwrap()
}

impl World {
    /// A founded national instance: officers a, b, c, d, auditor x; every rule wants `approvals`.
    pub(crate) fn founded(approvals: u8) -> Self {
        Self::founded_as(Environment::Test, approvals)
    }

    /// The same, founded as test or production.
    pub(crate) fn founded_as(environment: Environment, approvals: u8) -> Self {
        let mut world = Self { environment, ..Self::unfounded() };
        world.found(approvals, |_| {}).unwrap();
        world.make_keys();
        world
    }

    /// The same on an HSM that combines no components.
    pub(crate) fn without_components() -> Self {
        let mut world = Self::unfounded();
        let none = |plan: &mut Plan| match plan.steps.get_mut(1) {
            Some(Step::CreateInstanceKeys(create)) => create.component_import = None,
            _ => panic!("genesis has two steps"),
        };
        world.found(2, none).unwrap();
        world.make_keys();
        world
    }

    pub(crate) fn unfounded() -> Self {
        let names = ["officer-a", "officer-b", "officer-c", "officer-d", "x-auditor"];
        let officers = names.iter().zip(10u8..).map(|(name, n)| (person(name), key(n))).collect();
        Self {
            state: State::default(),
            documents: BTreeMap::new(),
            entries: Vec::new(),
            now_ms: START_MS,
            environment: Environment::Test,
            officers,
            instance: key(50),
            counter: 0,
        }
    }

    /// Writes the genesis entry; `spoil` may damage the plan before it is signed.
    pub(crate) fn found(&mut self, approvals: u8, spoil: impl Fn(&mut Plan)) -> Result<(), Violation> {
        let plan = self.genesis_plan(approvals, spoil);
        let id = plan.id().unwrap();
        let security: Vec<PersonId> =
            plan.founding().unwrap().people.iter().filter(|p| p.role == Role::Security).map(|p| p.id.clone()).collect();
        let approvals: Vec<Digest> = security.iter().map(|p| self.sign_approval(p, id, Decision::Approve)).collect();
        self.store(encoding::encode(&plan).unwrap());
        self.append(Actor::Own, Event::Founded(Founded { origin: origin(), plan: id, approvals }))
    }

    pub(crate) fn genesis_plan(&mut self, approvals: u8, spoil: impl Fn(&mut Plan)) -> Plan {
        let people = self.officers.iter().map(|(id, key)| Person {
            id: id.clone(),
            name: id.to_string(),
            role: if id.as_str() == "x-auditor" { Role::Audit } else { Role::Security },
            key: *key.public(),
        });
        let rules = Operation::ALL.iter().map(|operation| QuorumRule {
            operation: operation.name().to_owned(),
            approvals,
            validity_ms: VALIDITY_MS,
            max_log_span: LOG_SPAN,
        });
        let found = FoundInstance {
            level: Level::National,
            region: RegionCode::nation(),
            suite: Suite::Sm,
            policy: Digest::of(b"policy"),
            rules: rules.collect(),
            cards_max: 1000,
            chunk_cards: 100,
            people: people.collect(),
        };
        let create = CreateInstanceKeys {
            log: self.object(),
            instance: self.object(),
            import: self.object(),
            index: self.object(),
            storage: self.object(),
            component_import: Some(self.object()),
        };
        let mut plan = self.plan(Actor::Own, vec![Step::FoundInstance(found), Step::CreateInstanceKeys(create)]);
        plan.opened_root = Digest::of(b"");
        spoil(&mut plan);
        plan
    }

    fn make_keys(&mut self) {
        let identity = self.state.identity().unwrap().clone();
        let plan = self.state.ceremony(identity.genesis).unwrap().plan.clone();
        let Some(Step::CreateInstanceKeys(create)) = plan.steps.get(1).cloned() else {
            panic!("genesis has two steps")
        };
        self.intent(identity.genesis).unwrap();
        let publics = [("LOG", create.log, 51), ("INSTANCE", create.instance, 50), ("IMPORT", create.import, 52)];
        let component = create.component_import.map(|id| ("COMPONENT-IMPORT", id, 53));
        let mut keys: Vec<KeyRecord> = publics
            .iter()
            .chain(&component)
            .map(|(name, id, number)| KeyRecord { public: Some((*key(*number).public()).into()), ..record(name, *id) })
            .collect();
        keys.push(record("INDEX", create.index));
        keys.push(record("STORAGE", create.storage));
        let anchor = TrustAnchor {
            label: TrustAnchor::LABEL.to_owned(),
            origin: identity.origin.clone(),
            environment: identity.environment,
            level: identity.level,
            region: identity.region.clone(),
            genesis: identity.genesis,
            hsm_serial: identity.hsm_serial.clone(),
            log_key: (*key(51).public()).into(),
            instance_key: (*key(50).public()).into(),
            import_key: (*key(52).public()).into(),
            component_key: component.map(|_| (*key(53).public()).into()),
        };
        let signature = self.instance.sign(&encoding::tbs_bytes(&anchor).unwrap()).unwrap();
        let document =
            self.store(Signed::assemble(anchor, SignatureAlgorithm::Sm2Sm3, &signature).unwrap().bytes().to_vec());
        let outcome = StepOutcome {
            plan: identity.genesis,
            step: 1,
            result: EffectResult::Ok,
            keys,
            document: Some(document),
            fault: None,
        };
        self.append(Actor::Own, Event::StepOutcome(outcome)).unwrap();
        self.close(Actor::Own, identity.genesis, Closing::Done).unwrap();
    }

    /// A plan as the server would write it now.
    pub(crate) fn plan(&mut self, requester: Actor, steps: Vec<Step>) -> Plan {
        self.counter += 1;
        Plan {
            label: Plan::LABEL.to_owned(),
            origin: origin(),
            environment: self.environment,
            nonce: Nonce::from_bytes([self.counter; 16]),
            requester,
            policy_epoch: self.state.identity().map_or(0, |i| i.policy_epoch),
            approvals: self.state.identity().map_or(2, |i| i.rules.values().next().unwrap().approvals),
            opened_size: self.state.size(),
            opened_root: self.state.root(),
            not_before_ms: self.now_ms,
            expires_ms: self.now_ms + VALIDITY_MS,
            max_log_span: LOG_SPAN,
            hsm_serial: "5ec0de".to_owned(),
            steps,
            script: None,
            parent: None,
        }
    }

    /// A plan that makes two masters of a fresh profile.
    pub(crate) fn masters_plan(&mut self, requester: &PersonId) -> Plan {
        let profile = Digest::of(&[self.counter, 99]);
        let masters = [1, 2].map(|group| MasterEntry {
            name: "RK1_DF01".to_owned(),
            group,
            version: 1,
            id: self.object(),
            kcv: None,
        });
        let create = CreateMasters {
            profile_id: ProfileId::new("resident-health-card").unwrap(),
            profile,
            algorithm: CardAlgorithm::Sm4,
            custodians: Vec::new(),
            transferable: true,
            masters: masters.to_vec(),
        };
        self.plan(Actor::Person(requester.clone()), vec![Step::CreateMasters(create)])
    }

    pub(crate) fn open(&mut self, plan: &Plan) -> Result<PlanId, Violation> {
        let id = plan.id().unwrap();
        self.store(encoding::encode(plan).unwrap());
        self.append(plan.requester.clone(), Event::Opened(Opened { plan: id })).map(|()| id)
    }

    /// Signs and stores an approval; answers its digest.
    pub(crate) fn sign_approval(&mut self, officer: &PersonId, plan: PlanId, decision: Decision) -> Digest {
        let approval = self.approval(officer, plan, decision);
        self.sign_as(officer, approval)
    }

    pub(crate) fn approval(&self, officer: &PersonId, plan: PlanId, decision: Decision) -> Approval {
        Approval {
            label: Approval::LABEL.to_owned(),
            origin: origin(),
            plan,
            officer: officer.clone(),
            role: Role::Security,
            decision,
            sequence: self.now_ms,
        }
    }

    pub(crate) fn sign_as(&mut self, signer: &PersonId, approval: Approval) -> Digest {
        let signature = self.officers[signer].sign(&encoding::tbs_bytes(&approval).unwrap()).unwrap();
        self.store(Signed::assemble(approval, SignatureAlgorithm::Sm2Sm3, &signature).unwrap().bytes().to_vec())
    }

    pub(crate) fn decide(&mut self, officer: &PersonId, plan: PlanId, decision: Decision) -> Result<(), Violation> {
        let approval = self.sign_approval(officer, plan, decision);
        self.decided(officer, plan, approval, decision)
    }

    pub(crate) fn decided(
        &mut self,
        officer: &PersonId,
        plan: PlanId,
        approval: Digest,
        decision: Decision,
    ) -> Result<(), Violation> {
        self.append(Actor::Person(officer.clone()), Event::Decided(Decided { plan, approval, decision }))?;
        // As a server does it: with the decision that makes the quorum.
        let reached = self.state.ceremony(plan)?.phase == Phase::Open;
        if let (true, Ok(proof)) = (reached, self.state.authority(plan, self.now_ms)) {
            let persons: Vec<PersonId> = proof.persons().iter().cloned().collect();
            self.append(Actor::Own, Event::Authorised(Authorised { plan, persons }))?;
        }
        Ok(())
    }

    /// An approval alone, without what follows from it.
    pub(crate) fn decided_without_settling(&mut self, officer: &PersonId, plan: PlanId) -> Result<(), Violation> {
        let decision = Decision::Approve;
        let approval = self.sign_approval(officer, plan, decision);
        self.append(Actor::Person(officer.clone()), Event::Decided(Decided { plan, approval, decision }))
    }

    pub(crate) fn authorise(&mut self, plan: PlanId, persons: &[&str]) -> Result<(), Violation> {
        let persons = persons.iter().map(|name| person(name)).collect();
        self.append(Actor::Own, Event::Authorised(Authorised { plan, persons }))
    }

    pub(crate) fn pause(&mut self, actor: Actor, plan: PlanId, reason: PauseReason) -> Result<(), Violation> {
        self.append(actor, Event::Paused(Paused { plan, reason }))
    }

    /// The plan that would resume `parent`.
    pub(crate) fn child_plan(&mut self, parent: PlanId, requester: &PersonId) -> Plan {
        let steps = self.state.ceremony(parent).unwrap().remaining_steps().to_vec();
        Plan { parent: Some(parent), ..self.plan(Actor::Person(requester.clone()), steps) }
    }

    pub(crate) fn intent(&mut self, plan: PlanId) -> Result<(), Violation> {
        let ceremony = self.state.ceremony(plan)?;
        let (step, parameters) = match ceremony.next_step() {
            Some((number, step)) => (number, step_digest(step)?),
            None => (0, Digest::of(b"")),
        };
        self.append(
            Actor::Own,
            Event::StepIntent(StepIntent { plan, step, parameters, hsm_serial: "5ec0de".to_owned() }),
        )
    }

    /// The outcome a faithful HSM would give for a masters plan; a risk plan has an empty one.
    pub(crate) fn outcome_of(&self, plan: PlanId) -> StepOutcome {
        let masters = match self.state.ceremony(plan).unwrap().plan.steps.first() {
            Some(Step::CreateMasters(create)) => create.masters.as_slice(),
            Some(Step::AcceptRisk(_)) => &[],
            other => panic!("a masters or risk plan, not {other:?}"),
        };
        let keys = masters.iter().map(|m| KeyRecord {
            name: m.name.clone(),
            group: m.group,
            version: m.version,
            id: Some(m.id),
            kcv: Some(kcv(m.group)),
            public: None,
        });
        StepOutcome { plan, step: 0, result: EffectResult::Ok, keys: keys.collect(), document: None, fault: None }
    }

    pub(crate) fn outcome(&mut self, plan: PlanId) -> Result<(), Violation> {
        let outcome = self.outcome_of(plan);
        self.append(Actor::Own, Event::StepOutcome(outcome))
    }

    pub(crate) fn close(&mut self, actor: Actor, plan: PlanId, closing: Closing) -> Result<(), Violation> {
        self.append(actor, Event::Closed(Closed { plan, closing }))
    }

    pub(crate) fn store(&mut self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.documents.insert(digest, bytes);
        digest
    }

    /// Builds the entry, folds it, keeps it when it fits.
    pub(crate) fn append(&mut self, actor: Actor, event: Event) -> Result<(), Violation> {
        let role = match &actor {
            Actor::Person(id) => self.state.people().get(id).map(|p| p.role),
            _ => None,
        };
        let entry = LogEntry {
            label: LogEntry::LABEL.to_owned(),
            index: self.state.size(),
            origin: Digest::of(origin().as_str().as_bytes()),
            sequence: 0,
            time_ms: self.now_ms,
            actor,
            role,
            event,
        };
        self.state.apply(&entry, &self.documents)?;
        self.entries.push(entry);
        Ok(())
    }

    fn object(&mut self) -> ObjectId {
        self.counter += 1;
        ObjectId::from_bytes([self.counter; 16])
    }
}

fn record(name: &str, id: ObjectId) -> KeyRecord {
    KeyRecord { name: name.to_owned(), group: 0, version: 0, id: Some(id), kcv: None, public: None }
}
