//! What this instance is and holds: people, profiles, masters, partners.

use kms_api::body::{
    BureauView, KeyView, MasterSetView, NationView, PersonView, ProfileView, ProvinceView, StatusView,
};
use kms_api::text::Text;
use kms_core::state::State;

use super::caller::Caller;
use super::health::{environment_name, level_name};
use super::key_log;
use crate::fault::Fault;
use crate::instance::Instance;

/// The status as this caller may see it: a bureau sees no other bureau.
pub fn status(instance: &Instance, caller: &Caller) -> Result<StatusView, Fault> {
    let state = instance.journal.state();
    let profiles = instance.policies.profiles().map(|profile| ProfileView {
        id: Text(profile.id().clone()),
        digest: Text(profile.digest()),
        slots: u32::try_from(profile.slots().count()).unwrap_or(u32::MAX),
    });
    Ok(StatusView {
        origin: Text(instance.config.origin.clone()),
        level: level_name(instance.config.level).to_owned(),
        region: Text(instance.config.region.clone()),
        environment: environment_name(instance.config.environment).to_owned(),
        you: caller.actor().to_text(),
        people: people(&state),
        profiles: profiles.collect(),
        masters: masters(&state),
        provinces: provinces(&state),
        nation: state.nation().map(|anchor| NationView { origin: Text(anchor.origin.clone()) }),
        bureaus: bureaus(&state, caller),
        log: key_log::info(instance)?,
    })
}

fn people(state: &State) -> Vec<PersonView> {
    let view = |person: &kms_core::plan::Person| PersonView {
        id: Text(person.id.clone()),
        name: person.name.clone(),
        role: person.role.into(),
        key_id: Text(person.key.id()),
    };
    state.people().values().map(view).collect()
}

fn masters(state: &State) -> Vec<MasterSetView> {
    let key = |master: &kms_core::state::Master| KeyView {
        name: master.name.clone(),
        group: master.group,
        version: master.version,
        kcv: Some(Text(master.kcv)),
    };
    let sets = state.masters().iter();
    sets.map(|(profile, set)| MasterSetView { profile: Text(*profile), keys: set.masters.iter().map(key).collect() })
        .collect()
}

fn provinces(state: &State) -> Vec<ProvinceView> {
    let provinces = state.provinces().iter();
    provinces
        .map(|(region, province)| ProvinceView {
            region: Text(region.clone()),
            origin: Text(province.anchor.origin.clone()),
        })
        .collect()
}

fn bureaus(state: &State, caller: &Caller) -> Vec<BureauView> {
    let visible = |id: &kms_core::id::BureauId| match caller {
        Caller::Bureau(own) => own == id,
        Caller::Person { .. } => true,
        Caller::Province { .. } => false,
    };
    let bureaus = state.bureaus().iter().filter(|(id, _)| visible(id));
    bureaus
        .map(|(id, bureau)| BureauView {
            id: Text(id.clone()),
            name: bureau.application.name.clone(),
            valid_until_ms: bureau.valid_until_ms,
        })
        .collect()
}
