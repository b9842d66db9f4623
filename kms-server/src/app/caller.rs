//! Who is asking: found by the key that signed the request.

use kms_api::signing::Parameters;
use kms_core::digest::Digest;
use kms_core::id::{Actor, BureauId, PersonId, RegionCode};
use kms_core::keys::VerifyingKey;
use kms_core::plan::Role;
use kms_core::state::State;

use crate::fault::Fault;
use crate::instance::Instance;
use crate::journal::Act;
use crate::store::nonces;

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A person on the roster.
    Person {
        /// Who.
        id: PersonId,
        /// In which role.
        role: Role,
    },
    /// A registered bureau.
    Bureau(BureauId),
    /// A paired province.
    Province {
        /// Its region.
        region: RegionCode,
        /// Its log.
        actor: Actor,
    },
}

impl Caller {
    /// The caller whose key has this id, and the key.
    pub fn find(state: &State, key_id: &Digest) -> Option<(Self, VerifyingKey)> {
        let person = state.people().values().find(|person| person.key.id() == *key_id);
        if let Some(person) = person {
            return Some((Self::Person { id: person.id.clone(), role: person.role }, person.key.into()));
        }
        let bureau = state.bureaus().iter().find(|(_, bureau)| bureau.signing.public_key().id() == *key_id);
        if let Some((id, bureau)) = bureau {
            return Some((Self::Bureau(id.clone()), (*bureau.signing.public_key()).into()));
        }
        let province = state.provinces().iter().find(|(_, province)| province.anchor.instance_key.id() == *key_id)?;
        let (region, province) = province;
        let actor = Actor::Instance(province.anchor.origin.clone());
        Some((Self::Province { region: region.clone(), actor }, province.anchor.instance_key))
    }

    /// The caller as the log names them.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Person { id, .. } => Actor::Person(id.clone()),
            Self::Bureau(id) => Actor::Bureau(id.clone()),
            Self::Province { actor, .. } => actor.clone(),
        }
    }

    /// The role that goes into the log.
    pub fn role(&self) -> Option<Role> {
        match self {
            Self::Person { role, .. } => Some(*role),
            Self::Bureau(_) | Self::Province { .. } => None,
        }
    }

    /// Something this caller does.
    pub fn act(&self, events: Vec<kms_core::event::Event>) -> Act {
        Act::by(self.actor(), self.role(), events)
    }
}

/// Remembers the nonce of a verified request; `false` if its key has used it before.
pub fn use_up_nonce(instance: &Instance, parameters: &Parameters) -> Result<bool, Fault> {
    let Parameters { key_id, nonce, expires_s, .. } = parameters;
    instance.store.write(|connection| nonces::remember(connection, key_id, nonce, *expires_s).map_err(Fault::from))
}
