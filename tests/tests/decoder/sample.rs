//! One document of every type, with every alternative of steps and events, optional fields there and not.

mod roster;
mod token;

use std::path::Path;

use der::asn1::OctetString;
use getrandom::SysRng;
use kms_core::digest::Digest;
use kms_core::document::{
    BatchRequest, BureauApplication, Component, ImportReceipt, KeyCheck, Receipt, SealPurpose, SealedEntry, SealedKeys,
    TrustAnchor,
};
use kms_core::encoding::{self, Document, Signed};
use kms_core::event::{
    Authorised, BatchAcknowledged, BatchCancelled, BatchReleased, BatchRequested, ChunkIntent, ChunkOutcome, Closed,
    Closing, Contributed, Decided, EffectResult, Event, Founded, HandOverConfirmed, KeyRecord, LogEntry, Opened,
    PauseReason, Paused, Refused, Started, StepIntent, StepOutcome,
};
use kms_core::id::{Actor, BatchId, BureauId, Nonce, ObjectId, Origin, PersonId, PlanId, ProfileId, RegionCode};
use kms_core::keys::SignatureAlgorithm;
use kms_core::log::checkpoint::Checkpoint;
use kms_core::plan::{
    Approval, CreateInstanceKeys, CreateMasters, Custodian, Decision, Environment, FoundInstance, ImportMasters,
    IssueBatch, Level, MasterEntry, Person, Plan, QuorumRule, Role, SealMasters, SealTransportKey, Step, TrustBureau,
    TrustNation, TrustProvince,
};
use kms_core::secret::{Kcv, KcvMethod};
use kms_core::sm2::SecretKey;
use kms_core::suite::{CardAlgorithm, KeyWrap, Suite};

pub(crate) fn digest(number: u8) -> Digest {
    Digest::of(&[number])
}

pub(crate) fn object(number: u8) -> ObjectId {
    ObjectId::from_bytes([number; 16])
}

pub(crate) fn octets(bytes: &[u8]) -> OctetString {
    OctetString::new(bytes).unwrap()
}

pub(crate) fn origin() -> Origin {
    Origin::new("kms.example/henan/test/log/1").unwrap()
}

pub(crate) fn bureau() -> BureauId {
    BureauId::new("yellow-river-cards").unwrap()
}

pub(crate) fn profile() -> ProfileId {
    ProfileId::new("resident-health-card").unwrap()
}

pub(crate) fn signed<T: Document>(tbs: T, key: &SecretKey) -> Vec<u8> {
    let signature = key.sign(&encoding::encode(&tbs).unwrap()).unwrap();
    Signed::assemble(tbs, SignatureAlgorithm::Sm2Sm3, &signature).unwrap().bytes().to_vec()
}

fn kcv() -> Kcv {
    Kcv::new(KcvMethod::Cmac5, &[1, 2, 3, 4, 5]).unwrap()
}

fn plan_id() -> PlanId {
    PlanId::from_digest(digest(1))
}

fn batch() -> BatchId {
    BatchId::from_bytes([7; 16])
}

/// Writes everything as `KIND.NAME.der`; answers how many files.
pub(crate) fn write_all(folder: &Path) -> usize {
    let key = SecretKey::generate(&mut SysRng).unwrap();
    let mut files = Vec::new();
    for (number, step) in steps(&key).into_iter().chain(roster::steps()).enumerate() {
        files.push((format!("plan.{number}"), encoding::encode(&plan(step, number.is_multiple_of(2))).unwrap()));
    }
    for (number, event) in events(&key).into_iter().enumerate() {
        files.push((format!("log_entry.{number}"), encoding::encode(&entry(event, number)).unwrap()));
    }
    files.extend(signed_documents(&key).into_iter().map(|(kind, bytes)| (kind.to_owned(), bytes)));
    let checkpoint = Checkpoint::new(origin().as_str(), 1_000_000, digest(9)).unwrap();
    let signature = key.sign(checkpoint.text().as_bytes()).unwrap();
    let mut note = checkpoint.clone().into_note(key.public(), &signature);
    let cosignature = key.sign(checkpoint.cosignature_text(1_800_000_000).as_bytes()).unwrap();
    note.cosign("witness.example", key.public(), 1_800_000_000, &cosignature).unwrap();
    files.push(("note".to_owned(), note.to_string().into_bytes()));
    for (name, bytes) in &files {
        std::fs::write(folder.join(format!("{name}.der")), bytes).unwrap();
    }
    files.len()
}

fn plan(step: Step, options: bool) -> Plan {
    Plan {
        label: Plan::LABEL.to_owned(),
        origin: origin(),
        environment: Environment::Test,
        nonce: Nonce::from_bytes([3; 16]),
        requester: Actor::Person(PersonId::new("zhang-wei").unwrap()),
        policy_epoch: 0,
        approvals: 2,
        opened_size: 128,
        opened_root: digest(2),
        not_before_ms: 1_700_000_000_000,
        expires_ms: u64::MAX,
        max_log_span: 255,
        hsm_serial: "0123456789abcdef".to_owned(),
        steps: vec![step],
        script: options.then(|| digest(3)),
        parent: options.then(plan_id),
    }
}

fn steps(key: &SecretKey) -> Vec<Step> {
    let person = Person {
        id: PersonId::new("zhang-wei").unwrap(),
        name: "张伟".to_owned(),
        role: Role::Audit,
        key: *key.public(),
    };
    let rule =
        QuorumRule { operation: "genesis".to_owned(), approvals: 2, validity_ms: 86_400_000, max_log_span: 1000 };
    let masters = |kcv| vec![MasterEntry { name: "RK1_DF01".to_owned(), group: 4, version: 300, id: object(1), kcv }];
    vec![
        Step::FoundInstance(FoundInstance {
            level: Level::Provincial,
            region: RegionCode::new("410000").unwrap(),
            suite: Suite::Sm,
            policy: digest(4),
            rules: vec![rule],
            cards_max: 1_000_000,
            chunk_cards: 128,
            people: vec![person],
        }),
        Step::CreateInstanceKeys(CreateInstanceKeys {
            log: object(1),
            instance: object(2),
            import: object(3),
            index: object(5),
            storage: object(6),
            component_import: Some(object(4)),
        }),
        Step::CreateMasters(CreateMasters {
            profile_id: profile(),
            profile: digest(5),
            algorithm: CardAlgorithm::Sm4,
            custodians: vec![Custodian { person: PersonId::new("li-na").unwrap(), kcv: kcv() }],
            transferable: true,
            masters: masters(None),
        }),
        Step::TrustProvince(TrustProvince {
            region: RegionCode::new("410000").unwrap(),
            anchor: octets(&[1; 300]),
            recipient: object(7),
        }),
        Step::SealMasters(SealMasters {
            region: RegionCode::new("410000").unwrap(),
            profile_id: profile(),
            profile: digest(5),
            recipient: object(7),
            masters: masters(Some(kcv())),
        }),
        Step::TrustNation(TrustNation { anchor: octets(&[2; 200]) }),
        Step::ImportMasters(ImportMasters {
            profile_id: profile(),
            profile: digest(5),
            algorithm: CardAlgorithm::Sm1,
            sealed: digest(6),
            transferable: false,
            masters: masters(Some(kcv())),
        }),
        Step::TrustBureau(TrustBureau {
            bureau: bureau(),
            application: octets(&[3; 70_000]),
            recipient: object(8),
            kek: object(9),
            wrap: KeyWrap::Ecb,
            valid_until_ms: 1,
        }),
        Step::SealTransportKey(SealTransportKey { bureau: bureau(), recipient: object(8), kek: object(9) }),
        Step::IssueBatch(IssueBatch {
            batch: batch(),
            counter: 128,
            bureau: bureau(),
            request: digest(7),
            profile_id: profile(),
            profile: digest(5),
            cards: 65_536,
            replacements: 0,
            list: digest(8),
            chunk_cards: 1000,
            kek: object(9),
            kek_kcv: kcv(),
        }),
        token::step(),
    ]
}

fn entry(event: Event, number: usize) -> LogEntry {
    let person = number.is_multiple_of(2);
    LogEntry {
        label: LogEntry::LABEL.to_owned(),
        index: number as u64 * 100,
        origin: Digest::of(origin().as_str().as_bytes()),
        sequence: 0,
        time_ms: 1_700_000_000_000,
        actor: if person { Actor::Person(PersonId::new("zhang-wei").unwrap()) } else { Actor::Own },
        role: person.then_some(Role::Security),
        event,
    }
}

fn events(key: &SecretKey) -> Vec<Event> {
    let record = |full: bool| KeyRecord {
        name: "KEK".to_owned(),
        group: 0,
        version: 0,
        id: full.then(|| object(9)),
        kcv: full.then(kcv),
        public: full.then(|| (*key.public()).into()),
    };
    let outcome = |good: bool| StepOutcome {
        plan: plan_id(),
        step: 0,
        result: if good { EffectResult::Ok } else { EffectResult::Failed },
        keys: if good { vec![record(true), record(false)] } else { Vec::new() },
        document: good.then(|| digest(2)),
        fault: (!good).then(|| "CKR_DEVICE_ERROR".to_owned()),
    };
    let plan = plan_id();
    let hsm_serial = "0123456789abcdef".to_owned();
    let mut events = vec![
        Event::Founded(Founded { origin: origin(), plan, approvals: vec![digest(1), digest(2)] }),
        Event::Started(Started { build: "0.1.0".to_owned(), configuration: digest(1), anchor: None }),
        Event::Started(Started { build: "0.1.0".to_owned(), configuration: digest(1), anchor: Some(digest(2)) }),
        Event::Opened(Opened { plan }),
        Event::Decided(Decided { plan, approval: digest(3), decision: Decision::Reject }),
        Event::Contributed(Contributed { plan, component: digest(4) }),
        Event::StepIntent(StepIntent { plan, step: 1, parameters: digest(5), hsm_serial: hsm_serial.clone() }),
        Event::StepOutcome(outcome(true)),
        Event::StepOutcome(outcome(false)),
        Event::BatchRequested(BatchRequested { batch: batch(), bureau: bureau(), request: digest(6), plan }),
        Event::ChunkIntent(ChunkIntent { batch: batch(), chunk: 0, token: 1 << 40, cards: 1000, hsm_serial }),
        Event::ChunkOutcome(ChunkOutcome {
            batch: batch(),
            chunk: 0,
            token: 1 << 40,
            cards: 1000,
            keys: 57_000,
            bytes: 4_000_000,
            digest: digest(1),
            root: digest(2),
        }),
        Event::BatchReleased(BatchReleased {
            batch: batch(),
            manifest: digest(1),
            root: digest(2),
            cards: 1000,
            keys: 57_000,
        }),
        Event::BatchAcknowledged(BatchAcknowledged { batch: batch(), receipt: digest(1), accepted: 998, spoiled: 2 }),
        Event::BatchCancelled(BatchCancelled { batch: batch() }),
        Event::HandOverConfirmed(HandOverConfirmed { plan, receipt: digest(1) }),
    ];
    events.extend(
        [Closing::Done, Closing::Rejected, Closing::Aborted, Closing::Expired]
            .map(|closing| Event::Closed(Closed { plan, closing })),
    );
    events.extend(
        [PauseReason::Quorum, PauseReason::Clock, PauseReason::Hsm, PauseReason::Officer]
            .map(|reason| Event::Paused(Paused { plan, reason })),
    );
    let persons = ["li-na", "zhang-wei"].map(|id| PersonId::new(id).unwrap());
    events.extend(token::events());
    events.push(Event::Authorised(Authorised { plan, persons: persons.to_vec() }));
    events.extend([None, Some(octets(&[1; 32]))].map(|subject| {
        let (operation, code) = ("POST /v1/batches".to_owned(), "batch-known".to_owned());
        Event::Refused(Refused { operation, code, count: 1, subject })
    }));
    events
}

pub(crate) fn anchor(instance: &SecretKey, log: &SecretKey) -> TrustAnchor {
    TrustAnchor {
        label: TrustAnchor::LABEL.to_owned(),
        origin: origin(),
        environment: Environment::Test,
        level: Level::Provincial,
        region: RegionCode::new("410000").unwrap(),
        genesis: plan_id(),
        hsm_serial: "0123456789abcdef".to_owned(),
        log_key: (*log.public()).into(),
        instance_key: (*instance.public()).into(),
        import_key: (*instance.public()).into(),
        component_key: Some((*instance.public()).into()),
    }
}

fn signed_documents(key: &SecretKey) -> Vec<(&'static str, Vec<u8>)> {
    let ciphertext = || octets(&key.public().encrypt(&[5; 16], &mut SysRng).unwrap());
    let sealed = |purpose, profile| SealedKeys {
        label: SealedKeys::LABEL.to_owned(),
        origin: origin(),
        plan: plan_id(),
        purpose,
        destination: "410000".to_owned(),
        recipient_key: digest(1),
        profile,
        keys: vec![SealedEntry {
            name: "RK1_DF01".to_owned(),
            group: 1,
            version: 1,
            id: object(1),
            kcv: kcv(),
            ciphertext: ciphertext(),
        }],
        sealed_ms: 1,
    };
    let approval = Approval {
        label: Approval::LABEL.to_owned(),
        origin: origin(),
        plan: plan_id(),
        officer: PersonId::new("zhang-wei").unwrap(),
        role: Role::Security,
        decision: Decision::Approve,
        sequence: 1_700_000_000_000,
    };
    let import = ImportReceipt {
        label: ImportReceipt::LABEL.to_owned(),
        origin: origin(),
        plan: plan_id(),
        sealed: digest(1),
        hsm_serial: "1".to_owned(),
        keys: vec![KeyCheck { name: "RK1_DF01".to_owned(), group: 1, version: 1, kcv: kcv() }],
        imported_ms: 1,
    };
    let application = BureauApplication {
        label: BureauApplication::LABEL.to_owned(),
        bureau: bureau(),
        name: "黄河卡厂".to_owned(),
        signing_certificate: octets(&[1; 400]),
        encryption_certificate: octets(&[2; 400]),
        hsm_key: (*key.public()).into(),
        wrap: KeyWrap::Rfc3394,
        hsm_serial: "1".to_owned(),
        created_ms: 1,
    };
    let component = Component {
        label: Component::LABEL.to_owned(),
        plan: plan_id(),
        officer: PersonId::new("li-na").unwrap(),
        kcv: kcv(),
        ciphertext: ciphertext(),
    };
    let request = BatchRequest {
        label: BatchRequest::LABEL.to_owned(),
        origin: origin(),
        bureau: bureau(),
        batch: batch(),
        profile_id: profile(),
        profile: digest(5),
        cards: 1000,
        replacements: 1,
        list: digest(8),
        created_ms: 1,
    };
    let receipt = |spoiled| Receipt {
        label: Receipt::LABEL.to_owned(),
        origin: origin(),
        batch: batch(),
        counter: 1,
        bureau: bureau(),
        manifest: digest(1),
        root: digest(2),
        accepted: 998,
        spoiled,
        received_ms: 1,
    };
    vec![
        ("trust_anchor", signed(anchor(key, key), key)),
        ("enrolment", signed(roster::enrolment(key), key)),
        ("sealed_keys.masters", signed(sealed(SealPurpose::ProvincialMasters, Some(digest(5))), key)),
        ("sealed_keys.transport", signed(sealed(SealPurpose::TransportKey, None), key)),
        ("approval", signed(approval, key)),
        ("import_receipt", signed(import, key)),
        ("bureau_application", signed(application, key)),
        ("component", signed(component, key)),
        ("batch_request", signed(request, key)),
        ("receipt.clean", signed(receipt(Vec::new()), key)),
        ("receipt.spoiled", signed(receipt(vec![digest(1), digest(2)]), key)),
    ]
}
