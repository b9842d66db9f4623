//! A worker for one look at a token: audit, probe or examination; it ends with this value.
//!
//! Guards: one login per look and never a second by itself, whatever fails: a look is repeated by
//! whoever asked for it.

use std::time::Duration;

use kms_core::ports::{HsmResult, TokenStatus};
use kms_core::secret::Pin;
use zeroize::Zeroizing;

use super::process::{Launch, Worker};
use crate::config::{HsmConfig, Lanes};
use crate::fault::refused;
use crate::vendor::VendorMap;
use crate::wire::{Request, Response, WorkerRole, garbled};

/// A running inspector.
pub(crate) struct Inspector {
    worker: Worker,
    /// What the token said of itself when the worker came up.
    pub(crate) status: TokenStatus,
    deadline: Duration,
}

impl Inspector {
    /// Starts a worker with the user PIN; it logs in when it first needs to.
    pub(crate) fn start(config: &HsmConfig, map_text: &str, pin: &Pin) -> HsmResult<Self> {
        let launch = Launch {
            program: config.worker.clone(),
            environment: &config.environment,
            role: WorkerRole::Inspector,
            module: &config.module,
            map: Some((&config.map, map_text)),
            label: &config.token_label,
            serial: config.token_serial.as_deref(),
            lanes: Lanes::ONE,
            sandbox: config.sandbox,
        };
        let (worker, greeting) = Worker::start(&launch, &[pin], config.deadline)?;
        let Response::Status(status) = greeting else { return Err(garbled("not a status")) };
        Ok(Self { worker, status: status.into(), deadline: config.deadline })
    }

    /// For a look outside of a server: reads map and PIN itself.
    pub(crate) fn alone(config: &HsmConfig) -> HsmResult<(Self, VendorMap)> {
        let unusable = |error: String| refused("vendor map", "MAP_UNUSABLE", error);
        let map_text = std::fs::read_to_string(&config.map).map_err(|error| unusable(error.to_string()))?;
        let map = VendorMap::parse(&config.map, &map_text).map_err(|error| unusable(error.to_string()))?;
        let pin = config.pin.pin()?;
        Ok((Self::start(config, &map_text, &pin)?, map))
    }

    /// One request, with so many times the deadline of a call.
    pub(crate) fn ask(
        &mut self,
        request: &Request,
        secret: Option<&Zeroizing<Vec<u8>>>,
        deadlines: u32,
    ) -> HsmResult<Response> {
        match self.worker.call(request, secret, self.deadline.saturating_mul(deadlines))? {
            Response::Fault(fault) => Err(fault.into()),
            response => Ok(response),
        }
    }
}
