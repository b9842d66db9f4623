//! The worker's first steps: give up what it does not need, take its secrets, load the library, find the token.
//!
//! Guards: the order. Restrictions hold before the library's first instruction and before a secret is read.

use std::path::Path;

use kms_core::ports::{FaultClass, Hold, HsmError, HsmResult, Restriction};
use kms_core::secret::{PIN_BYTES_MAX, Pin};

use super::Frame;
use crate::config::{LANES_MAX, Lanes};
use crate::fault::{fault, refused};
use crate::lockdown::{self, Dropped};
use crate::module::Module;
use crate::sandbox::{self, SandboxMode};
use crate::session::Token;
use crate::vendor::VendorMap;
use crate::wire::{self, Hello, WorkerRole};

/// What a greeting leads to.
pub(super) enum Started {
    Setup { module: Module, so_pin: Pin, user_pin: Pin },
    Token(Box<Token>),
}

/// Gives up what this worker does not need: before any library is loaded, any other thread runs, or any
/// secret is read. A set-up worker has no map.
pub(super) fn restrict(hello: &Hello, dropped: Vec<Dropped>) -> HsmResult<(Option<VendorMap>, Vec<Restriction>)> {
    if hello.version != wire::WIRE_VERSION {
        let detail = format!("the worker is {}, the client {}", wire::WIRE_VERSION, hello.version);
        return Err(fault(FaultClass::Broken, "worker", "VERSION_DIFFERS", detail));
    }
    let map = match hello.role {
        WorkerRole::Setup => None,
        _ => Some(
            VendorMap::parse(Path::new(&hello.map_path), &hello.map_text)
                .map_err(|error| refused("vendor map", "MAP_UNUSABLE", error.to_string()))?,
        ),
    };
    let needs = map.as_ref().map(|map| map.needs().clone()).unwrap_or_default();
    let restrictions = sandbox::enter(hello.sandbox, dropped, Path::new(&hello.module), &needs);
    if hello.sandbox == SandboxMode::Strict
        && let Some(error) = sandbox::incomplete(&restrictions)
    {
        return Err(error);
    }
    for lacking in restrictions.iter().filter(|restriction| restriction.hold == Hold::Lacking) {
        eprintln!("kms-hsm-worker: could not give up {}: {}", lacking.measure, lacking.note);
    }
    Ok((map, restrictions))
}

/// Small frames may be secrets. What could not be locked is in the worker's report.
pub(super) fn lock_secret(memory: &Vec<u8>) {
    if memory.capacity() <= PIN_BYTES_MAX {
        let _ = lockdown::keep_in_memory(memory);
    }
}

pub(super) fn start(
    hello: Hello,
    map: Option<VendorMap>,
    restrictions: Vec<Restriction>,
    secrets: Vec<Frame>,
) -> HsmResult<Started> {
    let mut pins = Vec::new();
    for mut secret in secrets {
        pins.push(Pin::new(std::mem::take(&mut *secret)).map_err(|error| pin_fault(&error.to_string()))?);
    }
    let mut pins = pins.into_iter();
    let Some(map) = map else {
        let (Some(so_pin), Some(user_pin)) = (pins.next(), pins.next()) else {
            return Err(pin_fault("initialising a token takes the SO PIN and the user PIN"));
        };
        return Ok(Started::Setup { module: load(&hello, &restrictions)?, so_pin, user_pin });
    };
    let module = load(&hello, &restrictions)?;
    let lanes = Lanes::new(hello.lanes).ok_or_else(|| {
        let detail = format!("{} sessions at once; 1 to {LANES_MAX} are used", hello.lanes);
        refused("worker", "LANES", detail)
    })?;
    let name = (hello.label, hello.serial);
    Token::find(module, map, name, hello.role, pins.next(), lanes, restrictions).map(Box::new).map(Started::Token)
}

/// Loads the library; when it will not, says that the sandbox may be why.
fn load(hello: &Hello, restrictions: &[Restriction]) -> HsmResult<Module> {
    Module::load(Path::new(&hello.module)).map_err(|mut error| {
        let sandboxed = restrictions.iter().any(|r| r.measure == "files" && r.hold == Hold::InForce);
        if sandboxed && error.code != "MODULE_MISSING" {
            let detail = error.detail.take().map(|detail| format!("{detail}; ")).unwrap_or_default();
            let hint = "if the library needs files, devices or sockets, [sandbox] of the vendor map names them";
            error.detail = Some(format!("{detail}{hint}"));
        }
        error
    })
}

pub(super) fn pin_fault(detail: &str) -> HsmError {
    fault(FaultClass::Pin, "worker", "PIN_UNUSABLE", detail)
}
