//! May this plan be put before officers at all? Checked when it is opened, against the state then.
//!
//! Effects are checked again, byte for byte, when they happen; this only keeps plans that could never
//! run, or that would surprise an officer, from being shown to anybody.

use super::{Documents, MasterSet, Phase, State, fetch_signed, parse_signed, require, verified};
use crate::certificate::Certificate;
use crate::digest::Digest;
use crate::document::{BatchRequest, BureauApplication, SealPurpose, SealedKeys, TrustAnchor};
use crate::event::LogEntry;
use crate::id::{Actor, BureauId, PlanId, ProfileId};
use crate::plan::{
    CreateMasters, ImportMasters, IssueBatch, Level, MasterEntry, Plan, Role, SealMasters, Step, TrustBureau,
    TrustNation, TrustProvince,
};
use crate::policy::Operation;
use crate::suite::Suite;
use crate::violation::Violation;

impl State {
    /// Answers what the plan does.
    pub(super) fn check_plan(
        &self,
        entry: &LogEntry,
        plan: &Plan,
        documents: &dyn Documents,
    ) -> Result<Operation, Violation> {
        let identity = self.founded()?;
        let operation = plan.operation().map_err(|_| Violation::UnknownShape)?;
        if let Some(parent) = plan.parent {
            self.check_resumption(parent, plan)?;
        }
        require(operation != Operation::Genesis, Violation::AlreadyFounded)?;
        require(plan.origin == identity.origin, Violation::ForeignOrigin)?;
        require(plan.environment == identity.environment, Violation::EnvironmentMixed)?;
        self.check_requester(entry, plan, operation)?;
        let stale = Violation::PolicyEpochStale { current: identity.policy_epoch, found: plan.policy_epoch };
        require(plan.policy_epoch == identity.policy_epoch, stale)?;
        let rule = identity.rule(operation)?;
        let too_few = Violation::TooFewApprovalsPlanned { wanted: rule.approvals, found: plan.approvals };
        require(plan.approvals >= rule.approvals, too_few)?;
        let limit = |field| Violation::PlanLimits { field };
        require(plan.opened_size == entry.index, limit("opened size"))?;
        require(plan.opened_root == self.root(), limit("opened root"))?;
        require(plan.not_before_ms < plan.expires_ms, limit("validity"))?;
        let life_ms = plan.expires_ms.saturating_sub(entry.time_ms.min(plan.not_before_ms));
        require(life_ms <= rule.validity_ms, limit("validity"))?;
        require(plan.max_log_span <= rule.max_log_span, limit("log span"))?;
        let other = Violation::OtherHsm { wanted: identity.hsm_serial.clone(), found: plan.hsm_serial.clone() };
        require(plan.hsm_serial == identity.hsm_serial, other)?;
        if plan.parent.is_none() {
            plan.steps.iter().try_for_each(|step| self.check_step(entry, step, documents))?;
        }
        Ok(operation)
    }

    /// A plan that resumes another does exactly what that one had left (I2, I14): its steps were checked then.
    fn check_resumption(&self, parent: PlanId, plan: &Plan) -> Result<(), Violation> {
        let parent = self.ceremony(parent)?;
        let not_paused = Violation::CeremonyNotOpen { phase: parent.phase.name() };
        require(parent.phase == Phase::Paused, not_paused)?;
        require(plan.steps == parent.remaining_steps(), Violation::ParametersDiffer)
    }

    fn check_requester(&self, entry: &LogEntry, plan: &Plan, operation: Operation) -> Result<(), Violation> {
        require(plan.requester == entry.actor, super::actor_not_allowed(entry, "the requester named in the plan"))?;
        match (&entry.actor, operation) {
            (Actor::Bureau(_), Operation::AuthoriseBatch) => Ok(()),
            (_, Operation::AuthoriseBatch) if plan.parent.is_none() => {
                Err(super::actor_not_allowed(entry, "the bureau of the batch"))
            }
            (Actor::Person(id), operation) if operation.is_about_people() && self.person(id)?.role == Role::System => {
                Ok(())
            }
            _ => self.officer(entry).map(|_| ()),
        }
    }

    fn check_step(&self, entry: &LogEntry, step: &Step, documents: &dyn Documents) -> Result<(), Violation> {
        match step {
            Step::FoundInstance(_) | Step::CreateInstanceKeys(_) => Err(Violation::AlreadyFounded),
            Step::CreateMasters(create) => self.check_create_masters(create),
            Step::TrustProvince(trust) => self.check_trust_province(trust),
            Step::SealMasters(seal) => self.check_seal_masters(seal),
            Step::TrustNation(trust) => self.check_trust_nation(trust),
            Step::ImportMasters(import) => self.check_import_masters(import, documents),
            Step::TrustBureau(trust) => self.check_trust_bureau(trust, entry.time_ms),
            // Comes with TrustBureau in one plan; its objects are checked when it happens.
            Step::SealTransportKey(_) => Ok(()),
            Step::IssueBatch(issue) => self.check_issue_batch(issue, entry.time_ms, documents),
            Step::AcceptRisk(risk) => self.check_accept_risk(risk, entry.time_ms),
            Step::EnrolPerson(enrol) => self.check_enrol(enrol).map(drop),
            Step::RevokePerson(revoke) => self.check_revoke(revoke),
            Step::ChangePersonKey(change) => self.check_change_key(change).map(drop),
            Step::ChangePolicy(change) => self.check_change_policy(change),
        }
    }

    fn require_level(&self, level: Level) -> Result<(), Violation> {
        let found = self.founded()?.level;
        let name = match found {
            Level::National => "national",
            Level::Provincial => "provincial",
        };
        require(found == level, Violation::WrongLevel { level: name })
    }

    /// What comes from outside, or what the HSM makes, is of this instance's suite.
    fn require_suite(&self, what: &'static str, found: Option<Suite>) -> Result<(), Violation> {
        let own = self.founded()?.suite;
        let found = found.ok_or(Violation::DocumentMismatch { what, field: "suite: its keys are not of one" })?;
        require(found == own, Violation::SuiteDiffers { what, own, found })
    }

    fn check_create_masters(&self, create: &CreateMasters) -> Result<(), Violation> {
        self.require_level(Level::National)?;
        self.require_suite("the algorithm of the masters", Some(create.algorithm.suite()))?;
        let combines = self.own_keys()?.component_import.is_some();
        require(combines || create.custodians.is_empty(), Violation::ComponentsUnsupported)?;
        self.check_fresh_masters(&create.profile, &create.masters)?;
        require(create.masters.iter().all(|m| m.kcv.is_none()), Violation::PlanLimits { field: "check values" })?;
        require(create.custodians.len() != 1, Violation::PlanLimits { field: "custodians" })?;
        for (position, custodian) in create.custodians.iter().enumerate() {
            let person = self.person(&custodian.person)?;
            require(person.role == crate::plan::Role::Security, Violation::NotAnOfficer { person: person.id.clone() })?;
            let twice = create.custodians.iter().take(position).any(|c| c.person == custodian.person);
            require(!twice, Violation::AlreadyContributed { person: custodian.person.clone() })?;
        }
        Ok(())
    }

    /// No master of this profile exists yet, no name and no CKA_ID stands twice.
    fn check_fresh_masters(&self, profile: &Digest, masters: &[MasterEntry]) -> Result<(), Violation> {
        require(!masters.is_empty(), Violation::PlanLimits { field: "masters" })?;
        if let (Some(_), Some(first)) = (self.masters().get(profile), masters.first()) {
            return Err(Violation::MasterExists { title: first.title() });
        }
        for (position, master) in masters.iter().enumerate() {
            let earlier = masters.iter().take(position);
            let twice = earlier.into_iter().any(|m| m.id == master.id || m.title() == master.title());
            require(!twice, Violation::MasterExists { title: master.title() })?;
        }
        Ok(())
    }

    fn check_trust_province(&self, trust: &TrustProvince) -> Result<(), Violation> {
        self.require_level(Level::National)?;
        let anchor = checked_anchor(trust.anchor.as_bytes(), "province's trust anchor")?;
        let mismatch = |field| Violation::DocumentMismatch { what: "province's trust anchor", field };
        require(anchor.level == Level::Provincial, mismatch("level"))?;
        require(anchor.region == trust.region, mismatch("region"))?;
        self.require_suite("province's trust anchor", anchor.suite())?;
        require(anchor.environment == self.founded()?.environment, Violation::EnvironmentMixed)?;
        let known = self.provinces().contains_key(&trust.region);
        require(!known, Violation::ProvinceKnown { region: trust.region.clone() })
    }

    fn check_seal_masters(&self, seal: &SealMasters) -> Result<(), Violation> {
        self.require_level(Level::National)?;
        let province = self.provinces().get(&seal.region);
        let province = province.ok_or_else(|| Violation::ProvinceUnknown { region: seal.region.clone() })?;
        let differs = Violation::KeyMismatch { what: "recipient".to_owned() };
        require(province.recipient == seal.recipient, differs)?;
        let set = self.master_set(&seal.profile, &seal.profile_id)?;
        require(
            set.masters.len() == seal.masters.len(),
            Violation::KeyMismatch { what: "list of masters".to_owned() },
        )?;
        for (own, planned) in set.masters.iter().zip(&seal.masters) {
            let same = own.title() == planned.title() && own.id == planned.id && planned.kcv.as_ref() == Some(&own.kcv);
            require(same, Violation::KeyMismatch { what: planned.title() })?;
        }
        Ok(())
    }

    fn check_trust_nation(&self, trust: &TrustNation) -> Result<(), Violation> {
        self.require_level(Level::Provincial)?;
        require(self.nation().is_none(), Violation::NationKnown)?;
        let anchor = checked_anchor(trust.anchor.as_bytes(), "nation's trust anchor")?;
        let mismatch = |field| Violation::DocumentMismatch { what: "nation's trust anchor", field };
        require(anchor.level == Level::National, mismatch("level"))?;
        self.require_suite("nation's trust anchor", anchor.suite())?;
        require(anchor.environment == self.founded()?.environment, Violation::EnvironmentMixed)
    }

    fn check_import_masters(&self, import: &ImportMasters, documents: &dyn Documents) -> Result<(), Violation> {
        self.require_level(Level::Provincial)?;
        self.require_suite("the algorithm of the masters", Some(import.algorithm.suite()))?;
        self.check_fresh_masters(&import.profile, &import.masters)?;
        let nation = self.nation().ok_or(Violation::NationUnknown)?;
        let what = "sealed masters";
        let signed = fetch_signed::<SealedKeys>(documents, &import.sealed, what)?;
        let sealed = verified(&signed, &nation.instance_key, what)?;
        let mismatch = |field| Violation::DocumentMismatch { what, field };
        require(sealed.origin == nation.origin, mismatch("origin"))?;
        require(sealed.purpose == SealPurpose::ProvincialMasters, mismatch("purpose"))?;
        require(sealed.destination == self.founded()?.region.as_str(), mismatch("destination"))?;
        require(sealed.recipient_key == self.own_keys()?.import.id(), mismatch("recipient key"))?;
        require(sealed.profile == Some(import.profile), mismatch("profile"))?;
        require(sealed.keys.len() == import.masters.len(), mismatch("number of keys"))?;
        for (key, master) in sealed.keys.iter().zip(&import.masters) {
            let same = (&key.name, key.group, key.version) == (&master.name, master.group, master.version)
                && master.kcv.as_ref() == Some(&key.kcv);
            require(same, Violation::KeyMismatch { what: master.title() })?;
        }
        Ok(())
    }

    fn check_trust_bureau(&self, trust: &TrustBureau, now_ms: u64) -> Result<(), Violation> {
        let known = self.bureaus().contains_key(&trust.bureau);
        require(!known, Violation::BureauKnown { bureau: trust.bureau.clone() })?;
        let (application, signing, encryption) = checked_application(trust)?;
        self.require_suite("bureau application", Some(application.hsm_key.suite()))?;
        require(
            trust.valid_until_ms > now_ms,
            Violation::BureauExpired { bureau: trust.bureau.clone(), what: "registration", end: trust.valid_until_ms },
        )?;
        require_certificate_in_time(&application.bureau, &signing, "signing certificate", now_ms)?;
        require_certificate_in_time(&application.bureau, &encryption, "encryption certificate", now_ms)
    }

    fn check_issue_batch(&self, issue: &IssueBatch, now_ms: u64, documents: &dyn Documents) -> Result<(), Violation> {
        let identity = self.founded()?;
        let bureau = self.require_bureau_valid(&issue.bureau, now_ms)?;
        require(!self.batches().contains_key(&issue.batch), Violation::BatchKnown { batch: issue.batch })?;
        let counter = Violation::CounterWrong { wanted: bureau.counter + 1, found: issue.counter };
        require(issue.counter == bureau.counter + 1, counter)?;
        let size = Violation::BatchSize { max: identity.cards_max, found: issue.cards };
        require((1..=identity.cards_max).contains(&issue.cards) && issue.replacements <= issue.cards, size)?;
        require(issue.chunk_cards == identity.chunk_cards, Violation::PlanLimits { field: "cards per chunk" })?;
        let kek = issue.kek == bureau.kek && issue.kek_kcv == bureau.kek_kcv && bureau.sealed.is_some();
        require(kek, Violation::KeyMismatch { what: "transport key".to_owned() })?;
        self.master_set(&issue.profile, &issue.profile_id)?;

        let what = "batch request";
        let signed = fetch_signed::<BatchRequest>(documents, &issue.request, what)?;
        let request = verified(&signed, bureau.signing.public_key(), what)?;
        let mismatch = |field| Violation::DocumentMismatch { what, field };
        require(request.origin == identity.origin, mismatch("origin"))?;
        require(request.bureau == issue.bureau, mismatch("bureau"))?;
        require(request.batch == issue.batch, mismatch("batch"))?;
        require(request.profile == issue.profile && request.profile_id == issue.profile_id, mismatch("profile"))?;
        require(
            request.cards == issue.cards && request.replacements == issue.replacements,
            mismatch("number of cards"),
        )?;
        require(request.list == issue.list, mismatch("card list"))
    }

    /// The bureau, if its registration and both certificates are in time.
    pub fn require_bureau_valid(&self, id: &BureauId, now_ms: u64) -> Result<&super::Bureau, Violation> {
        let bureau = self.bureau(id)?;
        let ended = |what, end| Violation::BureauExpired { bureau: id.clone(), what, end };
        require(now_ms < bureau.valid_until_ms, ended("registration", bureau.valid_until_ms))?;
        require_certificate_in_time(id, &bureau.signing, "signing certificate", now_ms)?;
        require_certificate_in_time(id, &bureau.encryption, "encryption certificate", now_ms)?;
        Ok(bureau)
    }

    pub(super) fn master_set(&self, profile: &Digest, id: &ProfileId) -> Result<&MasterSet, Violation> {
        let set = self.masters().get(profile).filter(|set| set.profile_id == *id);
        set.ok_or(Violation::ProfileWithoutMasters { profile: *profile })
    }
}

fn require_certificate_in_time(
    bureau: &BureauId,
    certificate: &Certificate,
    what: &'static str,
    now_ms: u64,
) -> Result<(), Violation> {
    let end = certificate.not_after_ms();
    let in_time = certificate.not_before_ms() <= now_ms && now_ms <= end;
    require(in_time, Violation::BureauExpired { bureau: bureau.clone(), what, end })
}

/// Parses a signed trust anchor and checks its self-signature.
pub fn checked_anchor(bytes: &[u8], what: &'static str) -> Result<TrustAnchor, Violation> {
    let signed = parse_signed::<TrustAnchor>(bytes, what)?;
    let key = signed.unverified_tbs().instance_key;
    Ok(verified(&signed, &key, what)?.clone())
}

/// Parses a bureau's application, its certificates and its self-signature.
pub(super) fn checked_application(
    trust: &TrustBureau,
) -> Result<(BureauApplication, Certificate, Certificate), Violation> {
    let what = "bureau application";
    let signed = parse_signed::<BureauApplication>(trust.application.as_bytes(), what)?;
    let application = signed.unverified_tbs().clone();
    let parse = |der: &[u8]| {
        Certificate::from_der(der)
            .map_err(|reason| Violation::CertificateInvalid { bureau: application.bureau.clone(), reason })
    };
    let signing = parse(application.signing_certificate.as_bytes())?;
    let encryption = parse(application.encryption_certificate.as_bytes())?;
    verified(&signed, signing.public_key(), what)?;
    let mismatch = |field| Violation::DocumentMismatch { what, field };
    require(application.bureau == trust.bureau, mismatch("bureau"))?;
    let (planned, found) = (trust.wrap, application.wrap);
    let differs = Violation::WrapDiffers { bureau: trust.bureau.clone(), planned, found };
    require(planned == found, differs)?;
    require(signing.may_sign(), mismatch("key usage of the signing certificate"))?;
    require(encryption.may_encrypt(), mismatch("key usage of the encryption certificate"))?;
    require(signing.public_key() != encryption.public_key(), mismatch("keys: signing and encryption are the same"))?;
    Ok((application, signing, encryption))
}
