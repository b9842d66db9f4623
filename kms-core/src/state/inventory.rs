//! The keys that the log says are in the HSM, and which of them a step uses.

use super::{MasterSet, State};
use crate::id::ObjectId;
use crate::plan::Step;
use crate::ports::{ExpectedKey, KeyKind};

impl State {
    /// Every key of this instance, for an audit of its token.
    #[must_use]
    pub fn expected_keys(&self) -> Vec<ExpectedKey> {
        let mut list = Vec::new();
        if let Some(keys) = self.keys() {
            let ids = &keys.ids;
            let own = [
                (KeyKind::Signing, Some(ids.log), "log", Some(keys.log.id())),
                (KeyKind::Signing, Some(ids.instance), "instance", Some(keys.instance.id())),
                (KeyKind::Import, Some(ids.import), "masters", Some(keys.import.id())),
                // Not every make combines components.
                (
                    KeyKind::ComponentImport,
                    ids.component_import,
                    "components",
                    keys.component_import.as_ref().map(|key| key.id()),
                ),
                (KeyKind::Index, Some(ids.index), "cards", None),
                (KeyKind::Storage, Some(ids.storage), "lists", None),
            ];
            let own = own.into_iter().filter_map(|(kind, id, name, public)| Some((kind, id?, name, public)));
            list.extend(own.map(|(kind, id, name, public)| ExpectedKey {
                kind,
                id,
                name: name.to_owned(),
                made_here: true,
                kcv: None,
                public,
            }));
        }
        for set in self.masters().values() {
            let kind = if set.transferable { KeyKind::TransferableMaster } else { KeyKind::LocalMaster };
            let made_here = self.was_generated(set);
            list.extend(set.masters.iter().map(|master| ExpectedKey {
                kind,
                id: master.id,
                name: master.title(),
                made_here,
                kcv: Some(master.kcv),
                public: None,
            }));
        }
        let recipient = |id, name: String, public| ExpectedKey {
            kind: KeyKind::Recipient,
            id,
            name,
            made_here: false,
            kcv: None,
            public: Some(public),
        };
        for (region, province) in self.provinces() {
            list.push(recipient(province.recipient, format!("province {region}"), province.anchor.import_key.id()));
        }
        for (name, bureau) in self.bureaus() {
            let title = format!("bureau {name}");
            list.push(recipient(bureau.recipient, title.clone(), bureau.application.hsm_key.id()));
            list.push(ExpectedKey {
                kind: KeyKind::Transport,
                id: bureau.kek,
                name: title,
                made_here: true,
                kcv: Some(bureau.kek_kcv),
                public: None,
            });
        }
        list
    }

    /// Ids that an open ceremony may have given to objects already: they are in the token before the
    /// log says so.
    #[must_use]
    pub fn ids_in_the_making(&self) -> Vec<ObjectId> {
        let running = self.ceremonies().values().filter(|ceremony| !ceremony.phase.is_terminal());
        running.flat_map(|ceremony| &ceremony.plan.steps).flat_map(made_by).collect()
    }

    /// Did the HSM make these masters itself, so that it must call them local?
    fn was_generated(&self, set: &MasterSet) -> bool {
        let plan = self.ceremonies().get(&set.plan).map(|ceremony| ceremony.plan.steps.as_slice());
        matches!(plan, Some([Step::CreateMasters(create)]) if create.custodians.is_empty())
    }

    /// Keys that a step uses in the HSM.
    pub(super) fn used_by(&self, step: &Step) -> Vec<ObjectId> {
        let own = |pick: fn(&crate::plan::CreateInstanceKeys) -> ObjectId| self.keys().map(|keys| pick(&keys.ids));
        let mut used = Vec::new();
        match step {
            Step::FoundInstance(_)
            | Step::CreateInstanceKeys(_)
            | Step::TrustProvince(_)
            | Step::TrustNation(_)
            | Step::TrustBureau(_)
            | Step::AcceptRisk(_)
            | Step::EnrolPerson(_)
            | Step::RevokePerson(_)
            | Step::ChangePersonKey(_)
            | Step::ChangePolicy(_) => {}
            Step::CreateMasters(create) => {
                if !create.custodians.is_empty() {
                    used.extend(self.keys().and_then(|keys| keys.ids.component_import));
                }
            }
            Step::SealMasters(seal) => {
                used.extend(seal.masters.iter().map(|master| master.id));
                used.push(seal.recipient);
                used.extend(own(|ids| ids.instance));
            }
            Step::ImportMasters(_) => {
                used.extend(own(|ids| ids.import));
                used.extend(own(|ids| ids.instance));
            }
            Step::SealTransportKey(seal) => {
                used.extend([seal.kek, seal.recipient]);
                used.extend(own(|ids| ids.instance));
            }
            Step::IssueBatch(issue) => {
                used.push(issue.kek);
                let masters = self.masters().get(&issue.profile).into_iter().flat_map(|set| &set.masters);
                used.extend(masters.map(|master| master.id));
                used.extend(own(|ids| ids.storage));
                used.extend(own(|ids| ids.instance));
            }
        }
        used
    }
}

/// Ids of the objects that a step makes.
fn made_by(step: &Step) -> Vec<ObjectId> {
    match step {
        Step::CreateInstanceKeys(ids) => {
            let own = [ids.log, ids.instance, ids.import, ids.index, ids.storage];
            own.into_iter().chain(ids.component_import).collect()
        }
        Step::CreateMasters(create) => create.masters.iter().map(|master| master.id).collect(),
        Step::ImportMasters(import) => import.masters.iter().map(|master| master.id).collect(),
        Step::TrustProvince(trust) => vec![trust.recipient],
        Step::TrustBureau(trust) => vec![trust.recipient, trust.kek],
        Step::FoundInstance(_)
        | Step::SealMasters(_)
        | Step::TrustNation(_)
        | Step::SealTransportKey(_)
        | Step::IssueBatch(_)
        | Step::AcceptRisk(_)
        | Step::EnrolPerson(_)
        | Step::RevokePerson(_)
        | Step::ChangePersonKey(_)
        | Step::ChangePolicy(_) => Vec::new(),
    }
}
