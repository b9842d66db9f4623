//! What each step does in the HSM, and what its OUTCOME then names.
//!
//! Every effect is a function of the plan's bytes and idempotent under the ids in it: performed again
//! after a crash it finds what it made. `None` means that a security officer's session is still to come.

use kms_api::problem::Code;
use kms_core::diversify::{Block16, ProvinceCode, master_block};
use kms_core::document::{Component, ImportReceipt, KeyCheck, SealPurpose, SealedEntry, SealedKeys, TrustAnchor};
use kms_core::encoding::{Document as _, Signed};
use kms_core::event::KeyRecord;
use kms_core::id::{ObjectId, PlanId, RegionCode};
use kms_core::keys::PublicKey;
use kms_core::plan::{
    CreateInstanceKeys, CreateMasters, ImportMasters, MasterEntry, SealMasters, SealTransportKey, Step, TrustBureau,
    TrustProvince,
};
use kms_core::ports::{Custody, InstanceKeyIds, MasterSpec, SealedComponent, SealedMaster, TrustedObject, TrustedRole};
use kms_core::profile::KeyProfile;
use kms_core::secret::Kcv;
use kms_core::state::{Ceremony, InstanceKeys, State};
use kms_core::violation::Violation;

use super::octets;
use super::signing::sign;
use crate::fault::Fault;
use crate::instance::Instance;

/// What a step brought about.
#[derive(Default)]
pub struct Effect {
    /// Keys made or named, in the order that the OUTCOME wants.
    pub keys: Vec<KeyRecord>,
    /// Signed document it produced.
    pub document: Option<Vec<u8>>,
}

/// Performs a step whose INTENT is durable.
pub fn perform(instance: &Instance, state: &State, ceremony: &Ceremony, step: &Step) -> Result<Option<Effect>, Fault> {
    match step {
        Step::FoundInstance(_) => Err(Violation::AlreadyFounded.into()),
        Step::CreateInstanceKeys(keys) => create_instance_keys(instance, state, keys).map(Some),
        Step::CreateMasters(create) => create_masters(instance, state, ceremony, create).map(Some),
        Step::TrustProvince(trust) => trust_province(instance, trust),
        Step::SealMasters(seal) => seal_masters(instance, state, ceremony.id, seal).map(Some),
        Step::TrustNation(_)
        | Step::EnrolPerson(_)
        | Step::RevokePerson(_)
        | Step::ChangePersonKey(_)
        | Step::ChangePolicy(_) => Ok(Some(Effect::default())),
        Step::ImportMasters(import) => import_masters(instance, state, ceremony, import).map(Some),
        Step::TrustBureau(trust) => trust_bureau(instance, trust),
        Step::SealTransportKey(seal) => seal_transport_key(instance, state, ceremony.id, seal).map(Some),
        // What is accepted stands in the plan; the OUTCOME puts it in force.
        Step::AcceptRisk(_) => Ok(Some(Effect::default())),
        Step::IssueBatch(_) => Err(Fault::new(Code::NothingToRun, "the batch engine makes the keys of a batch")),
    }
}

/// The block that turns a national master of this profile into a region's master.
pub fn province_block(profile: &KeyProfile, region: &RegionCode) -> Result<Block16, Fault> {
    let refused = |reason: String| Fault::new(Code::ProfileUnknown, reason);
    let province = ProvinceCode::parse(region.as_str()).map_err(|error| refused(error.to_string()))?;
    let none = || refused(format!("the keys of {} have no provincial level", profile.id()));
    profile.path().province_block(province).ok_or_else(none)
}

fn create_instance_keys(instance: &Instance, state: &State, plan: &CreateInstanceKeys) -> Result<Effect, Fault> {
    let identity = state.identity().ok_or(Violation::NotFounded)?;
    let made = instance.hsm.create_instance_keys(&InstanceKeyIds {
        log: plan.log,
        instance: plan.instance,
        import: plan.import,
        index: plan.index,
        storage: plan.storage,
        component_import: plan.component_import,
    })?;
    let anchor = TrustAnchor {
        label: TrustAnchor::LABEL.to_owned(),
        origin: identity.origin.clone(),
        environment: identity.environment,
        level: identity.level,
        region: identity.region.clone(),
        genesis: identity.genesis,
        hsm_serial: identity.hsm_serial.clone(),
        log_key: made.log,
        instance_key: made.instance,
        import_key: made.import.clone(),
        component_key: made.component_import.clone(),
    };
    let signed = sign(&instance.hsm, plan.instance, &made.instance, anchor)?;
    let mut keys = vec![
        record("LOG", plan.log, None, Some(made.log.into())),
        record("INSTANCE", plan.instance, None, Some(made.instance.into())),
        record("IMPORT", plan.import, None, Some(made.import.into())),
    ];
    let component = plan.component_import.zip(made.component_import);
    keys.extend(component.map(|(id, key)| record("COMPONENT-IMPORT", id, None, Some(key.into()))));
    keys.extend([record("INDEX", plan.index, None, None), record("STORAGE", plan.storage, None, None)]);
    Ok(Effect { keys, document: Some(signed.bytes().to_vec()) })
}

fn create_masters(
    instance: &Instance,
    state: &State,
    ceremony: &Ceremony,
    create: &CreateMasters,
) -> Result<Effect, Fault> {
    let specs = specs(&create.masters, create.custody());
    if create.custodians.is_empty() {
        let kcvs = instance.hsm.generate_masters(&specs)?;
        return Ok(Effect { keys: master_records(&create.masters, &kcvs), document: None });
    }
    let components = components(instance, ceremony, create)?;
    let seeded: Vec<_> = create
        .masters
        .iter()
        .zip(specs)
        .map(|(master, spec)| {
            let block = master_block(create.profile_id.as_str(), &master.name, master.group)
                .map_err(|error| Fault::new(Code::Internal, error.to_string()))?;
            Ok((spec, *block.as_bytes()))
        })
        .collect::<Result<_, Fault>>()?;
    let import = own_keys(state)?.ids.component_import.ok_or(Violation::ComponentsUnsupported)?;
    let (seed, kcvs) = instance.hsm.masters_from_components(import, &components, &seeded)?;
    let seed = KeyRecord { name: "SEED".to_owned(), group: 0, version: 0, id: None, kcv: Some(seed), public: None };
    let mut keys = vec![seed];
    keys.extend(master_records(&create.masters, &kcvs));
    Ok(Effect { keys, document: None })
}

/// The sealed components in the order of the plan's custodians.
fn components(instance: &Instance, ceremony: &Ceremony, create: &CreateMasters) -> Result<Vec<SealedComponent>, Fault> {
    let missing = ceremony.components_missing().len();
    let absent = || Violation::ComponentsMissing { missing };
    let component = |person| {
        let digest = ceremony.contributions.get(person).ok_or_else(absent)?;
        let signed = Signed::<Component>::parse(&super::document(instance, digest)?)?;
        let component = signed.unverified_tbs();
        Ok(SealedComponent { ciphertext: component.ciphertext.as_bytes().to_vec(), kcv: component.kcv })
    };
    create.custodians.iter().map(|custodian| component(&custodian.person)).collect()
}

fn trust_province(instance: &Instance, trust: &TrustProvince) -> Result<Option<Effect>, Fault> {
    let recipient = trusted_recipient(instance, trust.recipient)?;
    Ok(recipient.map(|recipient| Effect { keys: vec![recipient], document: None }))
}

fn trust_bureau(instance: &Instance, trust: &TrustBureau) -> Result<Option<Effect>, Fault> {
    let Some(recipient) = trusted_recipient(instance, trust.recipient)? else {
        return Ok(None);
    };
    match instance.hsm.trusted_object(trust.kek, TrustedRole::TransportKey)? {
        TrustedObject::Absent => Ok(None),
        TrustedObject::Present { kcv, .. } => {
            Ok(Some(Effect { keys: vec![recipient, record("KEK", trust.kek, kcv, None)], document: None }))
        }
    }
}

fn trusted_recipient(instance: &Instance, id: ObjectId) -> Result<Option<KeyRecord>, Fault> {
    match instance.hsm.trusted_object(id, TrustedRole::Recipient)? {
        TrustedObject::Absent => Ok(None),
        TrustedObject::Present { public_key, .. } => {
            Ok(Some(record("RECIPIENT", id, None, public_key.map(Into::into))))
        }
    }
}

fn seal_masters(instance: &Instance, state: &State, plan: PlanId, seal: &SealMasters) -> Result<Effect, Fault> {
    let unknown = || Fault::new(Code::ProfileUnknown, format!("there is no profile {}", seal.profile));
    let profile = instance.policies.profile(&seal.profile).ok_or_else(unknown)?;
    let block = province_block(profile, &seal.region)?;
    let province = state.provinces().get(&seal.region);
    let province = province.ok_or_else(|| Violation::ProvinceUnknown { region: seal.region.clone() })?;
    let ids: Vec<_> = seal.masters.iter().map(|master| master.id).collect();
    let sealed = instance.hsm.seal_diversified(&ids, block.as_bytes(), seal.recipient)?;
    require_count(sealed.len(), ids.len())?;
    let keys = seal.masters.iter().zip(sealed).map(|(master, sealed)| {
        Ok(SealedEntry {
            name: master.name.clone(),
            group: master.group,
            version: master.version,
            id: master.id,
            kcv: sealed.kcv,
            ciphertext: octets(&sealed.ciphertext)?,
        })
    });
    let keys = keys.collect::<Result<_, Fault>>()?;
    let destination = seal.region.as_str().to_owned();
    let recipient_key = province.anchor.import_key.id();
    sealed_keys(
        instance,
        state,
        SealedKeys {
            label: SealedKeys::LABEL.to_owned(),
            origin: state.identity().ok_or(Violation::NotFounded)?.origin.clone(),
            plan,
            purpose: SealPurpose::ProvincialMasters,
            destination,
            recipient_key,
            profile: Some(seal.profile),
            keys,
            sealed_ms: super::view::now_ms(instance)?,
        },
    )
}

fn seal_transport_key(
    instance: &Instance,
    state: &State,
    plan: PlanId,
    seal: &SealTransportKey,
) -> Result<Effect, Fault> {
    let bureau = state.bureau(&seal.bureau)?;
    let sealed = instance.hsm.seal_transport_key(seal.kek, seal.recipient)?;
    let entry = SealedEntry {
        name: "KEK".to_owned(),
        group: 0,
        version: 0,
        id: seal.kek,
        kcv: sealed.kcv,
        ciphertext: octets(&sealed.ciphertext)?,
    };
    sealed_keys(
        instance,
        state,
        SealedKeys {
            label: SealedKeys::LABEL.to_owned(),
            origin: state.identity().ok_or(Violation::NotFounded)?.origin.clone(),
            plan,
            purpose: SealPurpose::TransportKey,
            destination: seal.bureau.as_str().to_owned(),
            recipient_key: bureau.application.hsm_key.id(),
            profile: None,
            keys: vec![entry],
            sealed_ms: super::view::now_ms(instance)?,
        },
    )
}

fn sealed_keys(instance: &Instance, state: &State, tbs: SealedKeys) -> Result<Effect, Fault> {
    let own = own_keys(state)?;
    let signed = sign(&instance.hsm, own.ids.instance, &own.instance, tbs)?;
    Ok(Effect { keys: Vec::new(), document: Some(signed.bytes().to_vec()) })
}

fn import_masters(
    instance: &Instance,
    state: &State,
    ceremony: &Ceremony,
    import: &ImportMasters,
) -> Result<Effect, Fault> {
    let own = own_keys(state)?;
    // The fold verified the nation's signature when the plan was opened; the bytes are found by digest.
    let sealed = Signed::<SealedKeys>::parse(&super::document(instance, &import.sealed)?)?;
    let sealed = &sealed.unverified_tbs().keys;
    require_count(sealed.len(), import.masters.len())?;
    let masters: Vec<_> = specs(&import.masters, import.custody())
        .into_iter()
        .zip(sealed)
        .map(|(spec, key)| (spec, SealedMaster { ciphertext: key.ciphertext.as_bytes().to_vec(), kcv: key.kcv }))
        .collect();
    let kcvs = instance.hsm.import_masters(own.ids.import, &masters)?;
    let keys = master_records(&import.masters, &kcvs);
    let checks = import.masters.iter().zip(&kcvs).map(|(master, kcv)| KeyCheck {
        name: master.name.clone(),
        group: master.group,
        version: master.version,
        kcv: *kcv,
    });
    let receipt = ImportReceipt {
        label: ImportReceipt::LABEL.to_owned(),
        origin: state.identity().ok_or(Violation::NotFounded)?.origin.clone(),
        plan: ceremony.id,
        sealed: import.sealed,
        hsm_serial: ceremony.plan.hsm_serial.clone(),
        keys: checks.collect(),
        imported_ms: super::view::now_ms(instance)?,
    };
    let signed = sign(&instance.hsm, own.ids.instance, &own.instance, receipt)?;
    Ok(Effect { keys, document: Some(signed.bytes().to_vec()) })
}

fn own_keys(state: &State) -> Result<&InstanceKeys, Fault> {
    state.keys().ok_or_else(|| Violation::NotFounded.into())
}

fn specs(masters: &[MasterEntry], custody: Custody) -> Vec<MasterSpec> {
    masters.iter().map(|master| MasterSpec { id: master.id, label: master.title(), custody }).collect()
}

fn master_records(masters: &[MasterEntry], kcvs: &[Kcv]) -> Vec<KeyRecord> {
    let record = |(master, kcv): (&MasterEntry, &Kcv)| KeyRecord {
        name: master.name.clone(),
        group: master.group,
        version: master.version,
        id: Some(master.id),
        kcv: Some(*kcv),
        public: None,
    };
    // The fold refuses an OUTCOME with too few.
    masters.iter().zip(kcvs).map(record).collect()
}

fn record(name: &str, id: ObjectId, kcv: Option<Kcv>, public: Option<PublicKey>) -> KeyRecord {
    KeyRecord { name: name.to_owned(), group: 0, version: 0, id: Some(id), kcv, public }
}

fn require_count(found: usize, wanted: usize) -> Result<(), Fault> {
    let detail = format!("{found} keys instead of {wanted}");
    if found == wanted { Ok(()) } else { Err(Fault::new(Code::HsmRefused, detail)) }
}
