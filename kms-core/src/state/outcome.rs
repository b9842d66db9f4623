//! What a step's OUTCOME must show, step by step: the keys the plan named, and nothing else (I2, I3).

use std::collections::BTreeMap;

use super::plan_check::{checked_anchor, checked_application};
use super::{
    Bureau, Documents, InstanceKeys, Master, MasterSet, Province, SealedSet, State, StepState, fetch_signed,
    parse_signed, require, verified,
};
use crate::digest::Digest;
use crate::document::{ImportReceipt, SealPurpose, SealedKeys, TrustAnchor};
use crate::event::HandOverConfirmed;
use crate::event::{EffectResult, KeyRecord, LogEntry, StepOutcome};
use crate::id::{ObjectId, PlanId};
use crate::keys::{PublicKey, SealingKey, VerifyingKey};
use crate::plan::{
    CreateInstanceKeys, CreateMasters, ImportMasters, MasterEntry, SealMasters, SealTransportKey, Step, TrustBureau,
    TrustNation, TrustProvince,
};
use crate::secret::Kcv;
use crate::violation::Violation;

impl State {
    pub(super) fn apply_step_outcome(
        &mut self,
        entry: &LogEntry,
        event: &StepOutcome,
        documents: &dyn Documents,
    ) -> Result<(), Violation> {
        self.require_own(entry)?;
        let _proof = self.authority_to_act(event.plan, entry.time_ms)?;
        let ceremony = self.ceremony(event.plan)?;
        let (number, step) = ceremony.next_step().ok_or(Violation::StepOutOfOrder { next: None, found: event.step })?;
        require(number == event.step, Violation::StepOutOfOrder { next: Some(number), found: event.step })?;
        let intended = ceremony.steps.get(number as usize) == Some(&StepState::Intent);
        require(intended, Violation::OutcomeWithoutIntent)?;
        if event.result == EffectResult::Failed {
            // The step stays open: its INTENT stands, the effect may be tried again under the same ids.
            let clean = event.keys.is_empty() && event.document.is_none() && event.fault.is_some();
            return require(clean, Violation::ParametersDiffer);
        }
        require(event.fault.is_none(), Violation::ParametersDiffer)?;
        self.require_usable(&ceremony.plan.hsm_serial, step, entry.time_ms)?;
        let step = step.clone();
        match &step {
            Step::FoundInstance(_) => return Err(Violation::AlreadyFounded),
            Step::CreateInstanceKeys(create) => self.keys_created(event, create, documents)?,
            Step::CreateMasters(create) => self.masters_created(event, create)?,
            Step::TrustProvince(trust) => self.province_trusted(event, trust)?,
            Step::SealMasters(seal) => self.masters_sealed(event, seal, documents)?,
            Step::TrustNation(trust) => self.nation_trusted(event, trust)?,
            Step::ImportMasters(import) => self.masters_imported(event, import, documents)?,
            Step::TrustBureau(trust) => self.bureau_trusted(event, trust)?,
            Step::SealTransportKey(seal) => self.transport_key_sealed(event, seal, documents)?,
            Step::EnrolPerson(_) | Step::RevokePerson(_) | Step::ChangePersonKey(_) | Step::ChangePolicy(_) => {
                // An effect in the log alone makes neither key nor document.
                require(event.keys.is_empty() && event.document.is_none(), Violation::ParametersDiffer)?;
                self.roster_changed(entry, &step)?;
            }
            Step::IssueBatch(issue) => {
                require(event.keys.is_empty(), Violation::ParametersDiffer)?;
                self.require_released(issue.batch, event.document)?;
            }
            Step::AcceptRisk(risk) => {
                require(event.keys.is_empty() && event.document.is_none(), Violation::ParametersDiffer)?;
                self.check_accept_risk(risk, entry.time_ms)?;
                self.tokens.accept(event.plan, risk);
            }
        }
        if step.makes_keys() {
            self.tokens.keys_made(entry.index);
        }
        let ceremony = self.ceremony_mut(event.plan)?;
        if let Some(state) = ceremony.steps.get_mut(number as usize) {
            *state = StepState::Done { document: event.document };
        }
        Ok(())
    }

    fn keys_created(
        &mut self,
        event: &StepOutcome,
        plan: &CreateInstanceKeys,
        documents: &dyn Documents,
    ) -> Result<(), Violation> {
        let what = "trust anchor";
        let digest = event.document.ok_or(Violation::DocumentMismatch { what, field: "presence" })?;
        let mut records = event.keys.iter();
        let log = public_record::<VerifyingKey>(&mut records, "LOG", plan.log)?;
        let instance = public_record::<VerifyingKey>(&mut records, "INSTANCE", plan.instance)?;
        let import = public_record::<SealingKey>(&mut records, "IMPORT", plan.import)?;
        let component_import = plan
            .component_import
            .map(|id| public_record::<SealingKey>(&mut records, "COMPONENT-IMPORT", id))
            .transpose()?;
        plain_record(&mut records, "INDEX", plan.index)?;
        plain_record(&mut records, "STORAGE", plan.storage)?;
        no_more(&mut records)?;

        let signed = fetch_signed::<TrustAnchor>(documents, &digest, what)?;
        let anchor = verified(&signed, &instance, what)?;
        let identity = self.founded()?;
        let mismatch = |field| Violation::DocumentMismatch { what, field };
        require(anchor.origin == identity.origin, mismatch("origin"))?;
        require(anchor.environment == identity.environment, mismatch("environment"))?;
        require(anchor.level == identity.level && anchor.region == identity.region, mismatch("level or region"))?;
        require(anchor.genesis == identity.genesis, mismatch("genesis"))?;
        require(anchor.hsm_serial == identity.hsm_serial, mismatch("HSM serial"))?;
        let keys = (&anchor.log_key, &anchor.instance_key, &anchor.import_key, &anchor.component_key);
        require(keys == (&log, &instance, &import, &component_import), mismatch("keys"))?;
        require(anchor.suite() == Some(identity.suite), mismatch("suite"))?;
        self.keys = Some(InstanceKeys { ids: *plan, log, instance, import, component_import, anchor: digest });
        Ok(())
    }

    fn masters_created(&mut self, event: &StepOutcome, plan: &CreateMasters) -> Result<(), Violation> {
        let mut records = event.keys.iter();
        if !plan.custodians.is_empty() {
            let seed = records.next().filter(|r| r.name == "SEED" && r.id.is_none() && r.kcv.is_some());
            seed.ok_or_else(|| Violation::KeyMismatch { what: "root seed".to_owned() })?;
        }
        let masters = master_records(&mut records, &plan.masters)?;
        no_more(&mut records)?;
        self.add_masters(
            event.plan,
            &plan.profile,
            MasterSet {
                profile_id: plan.profile_id.clone(),
                plan: event.plan,
                algorithm: plan.algorithm,
                transferable: plan.transferable,
                masters,
            },
        )
    }

    fn masters_imported(
        &mut self,
        event: &StepOutcome,
        plan: &ImportMasters,
        documents: &dyn Documents,
    ) -> Result<(), Violation> {
        let mut records = event.keys.iter();
        let masters = master_records(&mut records, &plan.masters)?;
        no_more(&mut records)?;
        let what = "import receipt";
        let digest = event.document.ok_or(Violation::DocumentMismatch { what, field: "presence" })?;
        let signed = fetch_signed::<ImportReceipt>(documents, &digest, what)?;
        let receipt = verified(&signed, &self.own_keys()?.instance, what)?;
        let mismatch = |field| Violation::DocumentMismatch { what, field };
        require(receipt.origin == self.founded()?.origin && receipt.plan == event.plan, mismatch("origin or plan"))?;
        require(receipt.sealed == plan.sealed, mismatch("sealed set"))?;
        let same = receipt.keys.len() == masters.len()
            && receipt.keys.iter().zip(&masters).all(|(key, master)| {
                (&key.name, key.group, key.version, &key.kcv)
                    == (&master.name, master.group, master.version, &master.kcv)
            });
        require(same, mismatch("keys"))?;
        self.add_masters(
            event.plan,
            &plan.profile,
            MasterSet {
                profile_id: plan.profile_id.clone(),
                plan: event.plan,
                algorithm: plan.algorithm,
                transferable: plan.transferable,
                masters,
            },
        )
    }

    /// Two ceremonies for one profile may be open at once; only the first one's outcome counts.
    fn add_masters(&mut self, plan: PlanId, profile: &Digest, set: MasterSet) -> Result<(), Violation> {
        if self.masters.contains_key(profile) {
            return Err(Violation::MasterExists { title: format!("of {} (ceremony {plan})", set.profile_id) });
        }
        self.masters.insert(*profile, set);
        Ok(())
    }

    fn province_trusted(&mut self, event: &StepOutcome, plan: &TrustProvince) -> Result<(), Violation> {
        let anchor = checked_anchor(plan.anchor.as_bytes(), "province's trust anchor")?;
        let mut records = event.keys.iter();
        let public = public_record::<SealingKey>(&mut records, "RECIPIENT", plan.recipient)?;
        no_more(&mut records)?;
        require(public == anchor.import_key, Violation::KeyMismatch { what: "recipient key".to_owned() })?;
        let known = self.provinces.contains_key(&plan.region);
        require(!known, Violation::ProvinceKnown { region: plan.region.clone() })?;
        let province = Province { anchor, recipient: plan.recipient, sealed: BTreeMap::new() };
        self.provinces.insert(plan.region.clone(), province);
        Ok(())
    }

    fn masters_sealed(
        &mut self,
        event: &StepOutcome,
        plan: &SealMasters,
        documents: &dyn Documents,
    ) -> Result<(), Violation> {
        require(event.keys.is_empty(), Violation::ParametersDiffer)?;
        let what = "sealed masters";
        let (digest, sealed) = self.own_sealed_keys(event, documents, what)?;
        let province = self.provinces.get(&plan.region);
        let province = province.ok_or_else(|| Violation::ProvinceUnknown { region: plan.region.clone() })?;
        let mismatch = |field| Violation::DocumentMismatch { what, field };
        require(sealed.purpose == SealPurpose::ProvincialMasters, mismatch("purpose"))?;
        require(sealed.destination == plan.region.as_str(), mismatch("destination"))?;
        require(sealed.recipient_key == province.anchor.import_key.id(), mismatch("recipient key"))?;
        require(sealed.profile == Some(plan.profile), mismatch("profile"))?;
        let same = sealed.keys.len() == plan.masters.len()
            && sealed.keys.iter().zip(&plan.masters).all(|(key, master)| {
                (&key.name, key.group, key.version, key.id) == (&master.name, master.group, master.version, master.id)
            });
        require(same, mismatch("keys"))?;
        let set = SealedSet { plan: event.plan, document: digest, receipt: None };
        if let Some(province) = self.provinces.get_mut(&plan.region) {
            province.sealed.insert(plan.profile, set);
        }
        Ok(())
    }

    fn nation_trusted(&mut self, event: &StepOutcome, plan: &TrustNation) -> Result<(), Violation> {
        require(event.keys.is_empty() && event.document.is_none(), Violation::ParametersDiffer)?;
        require(self.nation.is_none(), Violation::NationKnown)?;
        self.nation = Some(checked_anchor(plan.anchor.as_bytes(), "nation's trust anchor")?);
        Ok(())
    }

    fn bureau_trusted(&mut self, event: &StepOutcome, plan: &TrustBureau) -> Result<(), Violation> {
        let (application, signing, encryption) = checked_application(plan)?;
        let mut records = event.keys.iter();
        let public = public_record::<SealingKey>(&mut records, "RECIPIENT", plan.recipient)?;
        let kek = records.next().filter(|r| r.name == "KEK" && r.id == Some(plan.kek) && r.public.is_none());
        let kek_kcv = kek.and_then(|r| r.kcv).ok_or_else(|| Violation::KeyMismatch { what: "KEK".to_owned() })?;
        no_more(&mut records)?;
        require(public == application.hsm_key, Violation::KeyMismatch { what: "recipient key".to_owned() })?;
        let known = self.bureaus.contains_key(&plan.bureau);
        require(!known, Violation::BureauKnown { bureau: plan.bureau.clone() })?;
        let bureau = Bureau {
            application,
            signing,
            encryption,
            recipient: plan.recipient,
            kek: plan.kek,
            kek_kcv,
            valid_until_ms: plan.valid_until_ms,
            sealed: None,
            counter: 0,
        };
        self.bureaus.insert(plan.bureau.clone(), bureau);
        Ok(())
    }

    fn transport_key_sealed(
        &mut self,
        event: &StepOutcome,
        plan: &SealTransportKey,
        documents: &dyn Documents,
    ) -> Result<(), Violation> {
        require(event.keys.is_empty(), Violation::ParametersDiffer)?;
        let what = "sealed transport key";
        let (digest, sealed) = self.own_sealed_keys(event, documents, what)?;
        let bureau = self.bureau(&plan.bureau)?;
        let mismatch = |field| Violation::DocumentMismatch { what, field };
        require(sealed.purpose == SealPurpose::TransportKey && sealed.profile.is_none(), mismatch("purpose"))?;
        require(sealed.destination == plan.bureau.as_str(), mismatch("destination"))?;
        require(sealed.recipient_key == bureau.application.hsm_key.id(), mismatch("recipient key"))?;
        require(bureau.kek == plan.kek && bureau.recipient == plan.recipient, mismatch("objects"))?;
        let one = matches!(sealed.keys.as_slice(), [key] if key.name == "KEK" && key.id == plan.kek && key.kcv == bureau.kek_kcv);
        require(one, mismatch("keys"))?;
        if let Some(bureau) = self.bureaus.get_mut(&plan.bureau) {
            bureau.sealed = Some(digest);
        }
        Ok(())
    }

    fn own_sealed_keys(
        &self,
        event: &StepOutcome,
        documents: &dyn Documents,
        what: &'static str,
    ) -> Result<(Digest, SealedKeys), Violation> {
        let digest = event.document.ok_or(Violation::DocumentMismatch { what, field: "presence" })?;
        let signed = fetch_signed::<SealedKeys>(documents, &digest, what)?;
        let sealed = verified(&signed, &self.own_keys()?.instance, what)?;
        let mismatch = |field| Violation::DocumentMismatch { what, field };
        require(sealed.origin == self.founded()?.origin, mismatch("origin"))?;
        require(sealed.plan == event.plan, mismatch("plan"))?;
        Ok((digest, sealed.clone()))
    }

    pub(super) fn apply_hand_over(
        &mut self,
        event: &HandOverConfirmed,
        documents: &dyn Documents,
    ) -> Result<(), Violation> {
        let what = "import receipt";
        let bytes = super::fetch(documents, &event.receipt)?;
        let signed = parse_signed::<ImportReceipt>(&bytes, what)?;
        let found = self.provinces.iter().find_map(|(region, province)| {
            let (profile, set) = province.sealed.iter().find(|(_, set)| set.plan == event.plan)?;
            Some((region.clone(), *profile, province, set))
        });
        let (region, profile, province, set) = found.ok_or(Violation::PlanUnknown { plan: event.plan })?;
        let receipt = verified(&signed, &province.anchor.instance_key, what)?;
        let mismatch = |field| Violation::DocumentMismatch { what, field };
        require(receipt.origin == province.anchor.origin, mismatch("origin"))?;
        require(receipt.hsm_serial == province.anchor.hsm_serial, mismatch("HSM serial"))?;
        require(receipt.sealed == set.document, mismatch("sealed set"))?;
        require(set.receipt.is_none(), mismatch("presence of an earlier receipt"))?;
        let sealed = fetch_signed::<SealedKeys>(documents, &set.document, "sealed masters")?;
        let sent = &verified(&sealed, &self.own_keys()?.instance, "sealed masters")?.keys;
        let same = receipt.keys.len() == sent.len()
            && receipt.keys.iter().zip(sent).all(|(got, sent)| {
                (&got.name, got.group, got.version, &got.kcv) == (&sent.name, sent.group, sent.version, &sent.kcv)
            });
        require(same, mismatch("check values"))?;
        let set = self.provinces.get_mut(&region).and_then(|province| province.sealed.get_mut(&profile));
        if let Some(set) = set {
            set.receipt = Some(event.receipt);
        }
        Ok(())
    }
}

type Records<'a> = std::slice::Iter<'a, KeyRecord>;

/// The next record, with a public key of the kind that its purpose wants.
fn public_record<K: TryFrom<PublicKey>>(records: &mut Records<'_>, name: &str, id: ObjectId) -> Result<K, Violation> {
    let record = records.next().filter(|r| r.name == name && r.id == Some(id) && r.kcv.is_none());
    let key = record.and_then(|r| r.public.clone()).and_then(|key| K::try_from(key).ok());
    key.ok_or_else(|| Violation::KeyMismatch { what: name.to_owned() })
}

fn plain_record(records: &mut Records<'_>, name: &str, id: ObjectId) -> Result<(), Violation> {
    let record = records.next().filter(|r| r.name == name && r.id == Some(id) && r.public.is_none());
    record.map(|_| ()).ok_or_else(|| Violation::KeyMismatch { what: name.to_owned() })
}

fn no_more(records: &mut Records<'_>) -> Result<(), Violation> {
    match records.next() {
        None => Ok(()),
        Some(extra) => Err(Violation::KeyMismatch { what: extra.name.clone() }),
    }
}

/// Every planned master, in order, each with its check value (equal to the planned one if there is one).
fn master_records(records: &mut Records<'_>, planned: &[MasterEntry]) -> Result<Vec<Master>, Violation> {
    let one = |entry: &MasterEntry| {
        let mismatch = || Violation::KeyMismatch { what: entry.title() };
        let record = records.next().ok_or_else(mismatch)?;
        let named = (&record.name, record.group, record.version) == (&entry.name, entry.group, entry.version);
        require(named && record.id == Some(entry.id) && record.public.is_none(), mismatch())?;
        let kcv: Kcv = record.kcv.ok_or_else(mismatch)?;
        require(entry.kcv.as_ref().is_none_or(|planned| *planned == kcv), mismatch())?;
        Ok(Master { name: entry.name.clone(), group: entry.group, version: entry.version, id: entry.id, kcv })
    };
    planned.iter().map(one).collect()
}
