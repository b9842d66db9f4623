//! Effects in the log alone, and people with other keys.

use kms_core::event::{EffectResult, Event, StepOutcome};
use kms_core::id::{Actor, PlanId};
use kms_core::sm2::SecretKey;
use kms_core::violation::Violation;

use super::{World, person};

impl World {
    /// The outcome of a step that takes place in the log alone.
    pub(crate) fn effect_in_the_log(&mut self, plan: PlanId) -> Result<(), Violation> {
        let (keys, document, fault) = (Vec::new(), None, None);
        let outcome = StepOutcome { plan, step: 0, result: EffectResult::Ok, keys, document, fault };
        self.append(Actor::Own, Event::StepOutcome(outcome))
    }

    /// The key with which a person signs from now on.
    pub(crate) fn add_key(&mut self, name: &str, key: SecretKey) {
        self.officers.insert(person(name), key);
    }
}
