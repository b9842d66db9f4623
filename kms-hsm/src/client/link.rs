//! The way from a caller to an answer: start, call, repeat once, give up.
//!
//! Ladder: session retry (in the worker) → new worker → error for the caller. Every request is
//! idempotent under its ids, so a lost or silent worker is replaced and asked once more. Guards: a
//! PIN error is final until a person gives a new PIN; a worker that cannot start is tried at most
//! once a second, and calls in between fail at once.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kms_core::digest::Digest;
use kms_core::ports::{FaultClass, HsmError, HsmResult};
use zeroize::Zeroizing;

use super::inspector::Inspector;
use super::process::{Launch, Worker};
use crate::config::{HsmConfig, PinSource};
use crate::vendor::{MapError, MapFault, VendorMap};
use crate::wire::{Request, Response, WorkerRole};

/// Pause between two attempts to start a worker that would not start.
pub(crate) const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Attempts at one request.
const ATTEMPTS_MAX: usize = 2;

/// What several links to one token share: configuration, map, and the fate of the PIN.
pub(crate) struct Shared {
    config: HsmConfig,
    map: VendorMap,
    map_text: String,
    pin: Mutex<PinGate>,
    /// One look at the token at a time: a probe makes objects that an audit would find.
    looking: Mutex<()>,
}

struct PinGate {
    source: PinSource,
    fault: Option<HsmError>,
}

impl Shared {
    pub(crate) fn new(config: HsmConfig) -> Result<Self, MapError> {
        let map_text = std::fs::read_to_string(&config.map).map_err(|error| MapError {
            path: config.map.clone(),
            line: None,
            reason: MapFault::Unreadable(error.kind()),
        })?;
        let map = VendorMap::parse(&config.map, &map_text)?;
        let pin = Mutex::new(PinGate { source: config.pin.clone(), fault: None });
        Ok(Self { config, map, map_text, pin, looking: Mutex::new(()) })
    }

    pub(crate) const fn map(&self) -> &VendorMap {
        &self.map
    }

    pub(crate) const fn deadline(&self) -> Duration {
        self.config.deadline
    }

    /// A person gives a new PIN, or says that the old one is right again.
    pub(crate) fn reset_pin(&self, source: PinSource) {
        *lock(&self.pin) = PinGate { source, fault: None };
    }

    /// SM3 of the vendor map's bytes.
    pub(crate) fn map_digest(&self) -> Digest {
        Digest::of(self.map_text.as_bytes())
    }

    /// Looks at the token through a worker of its own. Not repeated, whatever fails.
    pub(crate) fn look<T>(&self, work: impl FnOnce(&mut Inspector) -> HsmResult<T>) -> HsmResult<T> {
        let _alone = lock(&self.looking);
        if let Some(fault) = self.pin_fault() {
            return Err(fault);
        }
        let pin = lock(&self.pin).source.clone();
        let seen = pin
            .pin()
            .and_then(|pin| Inspector::start(&self.config, &self.map_text, &pin))
            .and_then(|mut inspector| work(&mut inspector));
        if let Err(error) = &seen
            && error.class == FaultClass::Pin
        {
            self.condemn_pin(error);
        }
        seen
    }

    fn pin_fault(&self) -> Option<HsmError> {
        lock(&self.pin).fault.clone()
    }

    fn condemn_pin(&self, error: &HsmError) {
        lock(&self.pin).fault = Some(error.clone());
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

/// One role's worker and what is known of its health.
pub(crate) struct Link {
    shared: Arc<Shared>,
    role: WorkerRole,
    /// The worker ends after each call.
    one_shot: bool,
    /// Process id of the worker, 0 while none runs; readable during a call.
    process: AtomicU32,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    worker: Option<Running>,
    /// Start failed then, with this.
    down: Option<(Instant, HsmError)>,
}

struct Running {
    worker: Worker,
    /// Was it given a PIN.
    can_log_in: bool,
}

impl Link {
    pub(crate) fn new(shared: &Arc<Shared>, role: WorkerRole, one_shot: bool) -> Self {
        Self {
            shared: Arc::clone(shared),
            role,
            one_shot,
            process: AtomicU32::new(0),
            line: Mutex::new(Line::default()),
        }
    }

    /// A request within the configured deadline.
    pub(crate) fn call(&self, request: &Request) -> HsmResult<Response> {
        self.call_within(request, None, self.shared.deadline())
    }

    /// A request with its own deadline and, for one request, a secret.
    pub(crate) fn call_within(
        &self,
        request: &Request,
        secret: Option<&Zeroizing<Vec<u8>>>,
        deadline: Duration,
    ) -> HsmResult<Response> {
        let needs_login = !matches!(request, Request::Status);
        let mut line = lock(&self.line);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let fault = match self.shared.pin_fault() {
                Some(fault) if needs_login => return Err(fault),
                fault => fault,
            };
            if line.worker.as_ref().is_some_and(|running| needs_login && !running.can_log_in) {
                line.worker = None;
            }
            let mut running = match line.worker.take() {
                Some(running) => running,
                None => self.start(&mut line, fault.is_none())?,
            };
            let error = match running.worker.call(request, secret, deadline) {
                Ok(Response::Fault(fault)) => HsmError::from(fault),
                Ok(response) => {
                    if !self.one_shot {
                        line.worker = Some(running);
                    }
                    return Ok(response);
                }
                Err(error) => error,
            };
            match error.class {
                FaultClass::Refused => {
                    if !self.one_shot {
                        line.worker = Some(running);
                    }
                    return Err(error);
                }
                FaultClass::Pin => {
                    self.shared.condemn_pin(&error);
                    return Err(error);
                }
                FaultClass::Broken => {
                    line.down = Some((Instant::now(), error.clone()));
                    return Err(error);
                }
                FaultClass::Indeterminate | FaultClass::Retryable if attempt < ATTEMPTS_MAX => {}
                FaultClass::Indeterminate | FaultClass::Retryable => return Err(error),
            }
        }
    }

    /// Process id of the worker started last, for operators and tests.
    pub(crate) fn worker_id(&self) -> Option<u32> {
        Some(self.process.load(Ordering::Relaxed)).filter(|id| *id != 0)
    }

    fn start(&self, line: &mut Line, with_pin: bool) -> HsmResult<Running> {
        if let Some((since, error)) = &line.down
            && since.elapsed() < RESTART_PAUSE
        {
            return Err(error.clone());
        }
        let started = self.launch(with_pin);
        match &started {
            Err(error) if error.class == FaultClass::Pin => self.shared.condemn_pin(error),
            Err(error) => line.down = Some((Instant::now(), error.clone())),
            Ok(_) => line.down = None,
        }
        started
    }

    fn launch(&self, with_pin: bool) -> HsmResult<Running> {
        let config = &self.shared.config;
        let pin = if with_pin { Some(lock(&self.shared.pin).source.clone().pin()?) } else { None };
        let map: (&Path, &str) = (&config.map, &self.shared.map_text);
        let launch = Launch {
            program: config.worker.clone(),
            environment: &config.environment,
            role: self.role,
            module: &config.module,
            map: Some(map),
            label: &config.token_label,
            serial: config.token_serial.as_deref(),
            lanes: config.lanes,
            sandbox: config.sandbox,
        };
        let secrets: Vec<_> = pin.iter().map(AsRef::as_ref).collect();
        let (worker, _) = Worker::start(&launch, &secrets, config.deadline)?;
        self.process.store(worker.id(), Ordering::Relaxed);
        Ok(Running { worker, can_log_in: with_pin })
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("role", &self.role).finish_non_exhaustive()
    }
}

/// A poisoned lock guards state that is replaced as a whole: safe to go on with.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
