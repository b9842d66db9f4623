//! One worker process: start, one call at a time with a deadline, kill.
//!
//! Guards: no secret is sent before the worker has said what it gave up; neither a full pipe nor a silent worker blocks the caller beyond the deadline; a worker
//! that missed one is killed and never spoken to again; no child is left unreaped.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use kms_core::ports::{FaultClass, HsmError, HsmResult};
use kms_core::secret::Pin;
use zeroize::Zeroizing;

use crate::config::Lanes;
use crate::fault::{broken, fault};
use crate::sandbox::SandboxMode;
use crate::wire::{self, Hello, Request, Response, WorkerRole};

/// Name of the worker program.
const PROGRAM: &str = "kms-hsm-worker";
/// How long a worker may take to end after its pipe was closed.
const FAREWELL: Duration = Duration::from_millis(500);
const FAREWELL_STEP: Duration = Duration::from_millis(5);

/// Everything a worker is started with, secrets apart.
pub(crate) struct Launch<'l> {
    pub(crate) program: Option<PathBuf>,
    pub(crate) environment: &'l [(String, String)],
    pub(crate) role: WorkerRole,
    pub(crate) module: &'l Path,
    /// Path and text of the vendor map.
    pub(crate) map: Option<(&'l Path, &'l str)>,
    pub(crate) label: &'l str,
    pub(crate) serial: Option<&'l str>,
    /// Sessions that one order may use at once.
    pub(crate) lanes: Lanes,
    pub(crate) sandbox: SandboxMode,
}

/// A running worker that greeted back.
pub(crate) struct Worker {
    child: Child,
    /// `None` once the pipe is closed.
    to: Option<Sender<Zeroizing<Vec<u8>>>>,
    from: Receiver<io::Result<Zeroizing<Vec<u8>>>>,
}

impl Worker {
    /// Starts a worker and waits for its greeting, which is a status or, for set-up, nothing.
    pub(crate) fn start(launch: &Launch<'_>, secrets: &[&Pin], deadline: Duration) -> HsmResult<(Self, Response)> {
        let program = match &launch.program {
            Some(program) => program.clone(),
            None => beside_this_program()?,
        };
        let child = Command::new(&program)
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| broken("start worker", "WORKER_MISSING", format!("{}: {error}", program.display())))?;
        let mut worker = Self::attach(child)?;
        let (map_path, map_text) = launch.map.unwrap_or((Path::new(""), ""));
        let hello = Hello {
            version: wire::WIRE_VERSION.to_owned(),
            role: launch.role,
            module: launch.module.display().to_string(),
            map_path: map_path.display().to_string(),
            map_text: map_text.to_owned(),
            label: launch.label.to_owned(),
            serial: launch.serial.map(str::to_owned),
            lanes: launch.lanes.count(),
            sandbox: launch.sandbox,
            secrets: u8::try_from(secrets.len()).unwrap_or(u8::MAX),
        };
        worker.send(&hello)?;
        match worker.receive(deadline)? {
            Response::Restricted(_) => {}
            Response::Fault(fault) => return Err(fault.into()),
            _ => return Err(wire::garbled("a worker that does not say what it gave up gets no secret")),
        }
        for secret in secrets {
            worker.send_bytes(Zeroizing::new(secret.expose().to_vec()))?;
        }
        match worker.receive(deadline)? {
            Response::Fault(fault) => Err(fault.into()),
            greeting => Ok((worker, greeting)),
        }
    }

    fn attach(mut child: Child) -> HsmResult<Self> {
        let (Some(mut input), Some(mut output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(broken("start worker", "WORKER_PIPE", "no pipe to the worker"));
        };
        let (to, to_write) = mpsc::channel::<Zeroizing<Vec<u8>>>();
        std::thread::spawn(move || {
            // Ends, and closes the pipe, when the sender is dropped or the worker is gone.
            while let Ok(frame) = to_write.recv() {
                if wire::write_frame(&mut input, &frame).is_err() {
                    break;
                }
            }
        });
        let (has_read, from) = mpsc::channel();
        std::thread::spawn(move || {
            loop {
                let end_or_frame = wire::read_frame(&mut output);
                let last = !matches!(end_or_frame, Ok(Some(_)));
                let sent = match end_or_frame.transpose() {
                    Some(frame) => has_read.send(frame).is_ok(),
                    None => false,
                };
                if last || !sent {
                    break;
                }
            }
        });
        Ok(Self { child, to: Some(to), from })
    }

    /// One request, one answer. After an error the worker must be dropped.
    pub(crate) fn call(
        &mut self,
        request: &Request,
        secret: Option<&Zeroizing<Vec<u8>>>,
        deadline: Duration,
    ) -> HsmResult<Response> {
        self.send(request)?;
        if let Some(secret) = secret {
            self.send_bytes(secret.clone())?;
        }
        self.receive(deadline)
    }

    /// Process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn send(&self, value: &impl serde::Serialize) -> HsmResult<()> {
        let frame = wire::encode(value).map_err(|error| wire::garbled(&error.to_string()))?;
        if frame.len() > wire::FRAME_BYTES_MAX {
            let detail = format!("{} bytes; at most {} are sent", frame.len(), wire::FRAME_BYTES_MAX);
            return Err(crate::fault::refused("worker", "REQUEST_TOO_LARGE", detail));
        }
        self.send_bytes(Zeroizing::new(frame))
    }

    fn send_bytes(&self, frame: Zeroizing<Vec<u8>>) -> HsmResult<()> {
        let sent = self.to.as_ref().is_some_and(|to| to.send(frame).is_ok());
        if sent { Ok(()) } else { Err(lost("its pipe is closed")) }
    }

    fn receive(&mut self, deadline: Duration) -> HsmResult<Response> {
        match self.from.recv_timeout(deadline) {
            Ok(Ok(frame)) => wire::decode(&frame).map_err(|error| wire::garbled(&error.to_string())),
            Ok(Err(error)) => Err(lost(&error.to_string())),
            Err(RecvTimeoutError::Disconnected) => Err(lost("it ended")),
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                let detail = format!("no answer within {} ms; the worker was killed", deadline.as_millis());
                Err(fault(FaultClass::Indeterminate, "worker", "DEADLINE", detail))
            }
        }
    }

    fn kill(&mut self) {
        self.to = None;
        // Both fail only if the child is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    /// Closing the pipe asks an idle worker to end; one that does not is killed.
    fn drop(&mut self) {
        self.to = None;
        let patience = Instant::now() + FAREWELL;
        while Instant::now() < patience {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(FAREWELL_STEP),
                _ => return,
            }
        }
        self.kill();
    }
}

fn lost(how: &str) -> HsmError {
    fault(FaultClass::Indeterminate, "worker", "WORKER_LOST", how)
}

/// The worker is installed beside the programs that use it; tests run one folder below.
fn beside_this_program() -> HsmResult<PathBuf> {
    let own = std::env::current_exe()
        .map_err(|error| broken("start worker", "WORKER_MISSING", format!("own path unknown: {error}")))?;
    let folders = own.ancestors().skip(1).take(2);
    folders
        .map(|folder| folder.join(PROGRAM))
        .find(|program| program.is_file())
        .ok_or_else(|| broken("start worker", "WORKER_MISSING", format!("no {PROGRAM} beside {}", own.display())))
}
