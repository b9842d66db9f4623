//! Health: what works, what does not, and why. Never fails itself.

use kms_api::body::{
    AuditHealth, DatabaseHealth, DifferingObject, EngineHealth, EngineState, Health, HsmHealth, HsmState, LogHealth,
    Overall, PinStateName, ProbeHealth,
};
use kms_api::problem::Code;
use kms_api::text::Text;
use kms_core::plan::{Environment, Level};
use kms_core::ports::{FaultClass, HsmResult, PinState, TokenStatus};
use kms_core::state::State;
use kms_core::violation::Violation;

use super::view;
use crate::fault::Fault;
use crate::inspection;
use crate::instance::{BUILD, Instance};
use crate::store::backend;

/// The state of every part.
pub fn health(instance: &Instance) -> Health {
    let state = instance.journal.state();
    let hsm = hsm(instance, instance.hsm.status());
    let engine = instance.engine.health();
    let database = DatabaseHealth { ok: instance.store.is_alive(), kind: backend::KIND.to_owned() };
    let fine = database.ok && hsm.state == HsmState::Ok && instance.journal.is_open();
    let working = matches!(engine.state, EngineState::Idle | EngineState::Working);
    Health {
        status: if fine && working { Overall::Ok } else { Overall::Degraded },
        origin: Text(instance.config.origin.clone()),
        level: level_name(instance.config.level).to_owned(),
        region: Text(instance.config.region.clone()),
        environment: environment_name(instance.config.environment).to_owned(),
        founded: state.identity().is_some(),
        build: BUILD.to_owned(),
        database,
        log: LogHealth {
            size: state.size(),
            root: Text(state.root()),
            checkpoint_size: instance.checkpointer.latest().ok().flatten().map_or(0, |latest| latest.size),
        },
        hsm,
        engine: EngineHealth { state: engine.state, error: engine.error },
    }
}

/// `national` or `provincial`.
pub const fn level_name(level: Level) -> &'static str {
    match level {
        Level::National => "national",
        Level::Provincial => "provincial",
    }
}

/// `production` or `test`.
pub const fn environment_name(environment: Environment) -> &'static str {
    match environment {
        Environment::Production => "production",
        Environment::Test => "test",
    }
}

fn hsm(instance: &Instance, status: HsmResult<TokenStatus>) -> HsmHealth {
    let trouble = instance.trouble();
    let state = instance.journal.state();
    if let Err(error) = &status {
        inspection::lost(instance, &error.clone().into());
    }
    match status {
        Ok(status) => HsmHealth {
            state: match (&trouble, status.user_pin) {
                _ if !instance.accepts(&status) => HsmState::SoftwareToken,
                (_, PinState::Locked | PinState::FinalTry) => HsmState::Pin,
                (Some((state, _)), _) => *state,
                (None, _) => served(instance, &state, &status.serial),
            },
            sandbox: status.restrictions.iter().map(Into::into).collect(),
            audit: audit(instance, &state, &status.serial),
            probe: probe(&state, &status.serial),
            serial: Some(status.serial),
            label: Some(status.label),
            model: Some(status.model),
            map: Some(status.map),
            user_pin: Some(pin_name(status.user_pin)),
            lanes: Some(status.lanes.wanted),
            lanes_given: status.lanes.given,
            error: trouble.map(|(_, error)| error),
        },
        Err(error) => HsmHealth {
            state: class_state(error.class),
            serial: None,
            label: None,
            model: None,
            map: None,
            user_pin: None,
            lanes: None,
            lanes_given: None,
            sandbox: Vec::new(),
            error: Some(error.to_string()),
            audit: None,
            probe: None,
        },
    }
}

/// Are its keys in use?
fn served(instance: &Instance, state: &State, serial: &str) -> HsmState {
    if state.keys().is_none() {
        return HsmState::Ok;
    }
    let known = |id: &[u8]| state.expected_keys().iter().any(|key| key.id.as_bytes() == id);
    let audit = state.token(serial).and_then(|token| token.audit.as_ref());
    let differs = audit.is_some_and(|audit| audit.found.differing.iter().any(|object| known(object.id.as_bytes())));
    let now_ms = view::now_ms(instance).unwrap_or_else(|_| state.last_time_ms());
    match (instance.hsm.is_examined(), state.require_fit(serial, now_ms)) {
        (false, _) => HsmState::Examining,
        (true, Err(_)) => HsmState::Unfit,
        (true, Ok(())) if differs => HsmState::KeysDiffer,
        (true, Ok(())) => HsmState::Ok,
    }
}

fn audit(instance: &Instance, state: &State, serial: &str) -> Option<AuditHealth> {
    let audit = state.token(serial)?.audit.as_ref()?;
    let differing = audit.found.differing.iter().map(|object| {
        let id: String = object.id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let detail = instance.inspection.detail(&id);
        DifferingObject { id, state: object.kind.name().to_owned(), detail }
    });
    Some(AuditHealth {
        at_ms: audit.time_ms,
        snapshot: Text(audit.found.snapshot),
        objects: audit.found.objects,
        keys: audit.found.keys,
        differences: audit.found.differences,
        differing: differing.collect(),
        alarms: state.alarms().len() as u64,
    })
}

fn probe(state: &State, serial: &str) -> Option<ProbeHealth> {
    let probe = state.token(serial)?.probe.as_ref()?;
    let found = &probe.found;
    Some(ProbeHealth {
        at_ms: probe.time_ms,
        model: found.model.clone(),
        firmware: found.firmware.clone(),
        map: Text(found.map),
        open: found.open.clone(),
        unaccepted: state.unaccepted(found, state.last_time_ms()),
        untried: found.untried.clone(),
        failed: found.failed.clone(),
    })
}

/// What a fault says of the HSM, if it is about the HSM.
pub fn hsm_state(fault: &Fault) -> Option<HsmState> {
    match fault {
        Fault::Hsm(error) => Some(class_state(error.class)),
        Fault::Problem(problem) if problem.code() == Code::HsmPin.name() => Some(HsmState::Pin),
        Fault::Problem(problem) if problem.code() == Code::SoftwareToken.name() => Some(HsmState::SoftwareToken),
        Fault::Violation(Violation::OtherHsm { .. }) => Some(HsmState::Unavailable),
        Fault::Violation(Violation::KeyNotServed { .. }) => Some(HsmState::KeysDiffer),
        Fault::Violation(violation) if violation.is_about_token() => Some(HsmState::Unfit),
        Fault::Violation(_) | Fault::Problem(_) | Fault::Store(_) | Fault::File(_) | Fault::Encoding(_) => None,
    }
}

const fn class_state(class: FaultClass) -> HsmState {
    match class {
        FaultClass::Pin => HsmState::Pin,
        FaultClass::Refused | FaultClass::Retryable | FaultClass::Indeterminate | FaultClass::Broken => {
            HsmState::Unavailable
        }
    }
}

const fn pin_name(state: PinState) -> PinStateName {
    match state {
        PinState::Good => PinStateName::Good,
        PinState::CountLow => PinStateName::CountLow,
        PinState::FinalTry => PinStateName::FinalTry,
        PinState::Locked => PinStateName::Locked,
    }
}
