//! The batch engine: one thread that makes the chunks of authorised batches, in write-ahead order.
//!
//! ```text
//! T1  lease and INTENT (token, cards), durable
//! H   HSM: diversify and wrap; nothing lasting, no database lock held
//! F   staging file named by the token; file and folder synced
//! T2  fence (token still newest), OUTCOME with the file's SM3, durable
//! C   signed checkpoint covers every OUTCOME
//! R   files checked against their OUTCOMEs and renamed; manifest signed; RELEASED, durable
//! ```
//!
//! A crash at any point leaves what the next start needs: an INTENT without OUTCOME is made again under
//! a new token; a staging file that no OUTCOME names is removed; a file that differs from its OUTCOME
//! stops the engine, because somebody changed it. A failing HSM or full disk makes the engine wait.

mod chunk;
mod release;

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use kms_api::body::{EngineHealth, EngineState};
use kms_core::id::BatchId;
use kms_core::state::{BatchPhase, State};

use crate::app::view;
use crate::fault::Fault;
use crate::inspection;
use crate::instance::Instance;

/// How often the engine looks for work nobody told it of.
const IDLE: Duration = Duration::from_secs(1);
/// Pause after a fault that may pass.
const PAUSE: Duration = Duration::from_secs(2);
/// Pause after a fault that needs people.
const LONG_PAUSE: Duration = Duration::from_secs(30);

/// What the engine does, and the bell that wakes it.
pub struct EngineStatus {
    health: Mutex<EngineHealth>,
    work: Mutex<bool>,
    bell: Condvar,
}

impl Default for EngineStatus {
    fn default() -> Self {
        let health = Mutex::new(EngineHealth { state: EngineState::Idle, error: None });
        Self { health, work: Mutex::new(false), bell: Condvar::new() }
    }
}

impl EngineStatus {
    /// There may be work.
    pub fn wake(&self) {
        *self.work.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_all();
    }

    /// For `/health`.
    pub fn health(&self) -> EngineHealth {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: EngineState, error: Option<String>) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = EngineHealth { state, error };
    }

    fn wait(&self, at_most: Duration) {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.bell.wait_timeout_while(work, at_most, |work| !*work);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// Starts the engine's thread; it ends with the process.
pub fn start(instance: Arc<Instance>) -> std::io::Result<()> {
    thread::Builder::new().name("batch-engine".to_owned()).spawn(move || run(&instance)).map(|_| ())
}

fn run(instance: &Instance) {
    loop {
        let outcome = if instance.journal.is_open() { turn(instance) } else { Ok(()) };
        match outcome {
            Ok(()) => {
                instance.engine.set(EngineState::Idle, None);
                instance.engine.wait(IDLE);
            }
            Err(fault) if fault.is_passing() => {
                tracing::warn!(%fault, "batch engine waits");
                inspection::lost(instance, &fault);
                instance.engine.set(EngineState::Waiting, Some(fault.to_string()));
                thread::sleep(PAUSE);
            }
            Err(fault) => {
                tracing::error!(%fault, "batch engine stopped; it tries again from time to time");
                instance.engine.set(EngineState::Stopped, Some(fault.to_string()));
                instance.engine.wait(LONG_PAUSE);
            }
        }
    }
}

/// Works on every batch that is authorised now. A fault of one batch does not keep the others waiting.
fn turn(instance: &Instance) -> Result<(), Fault> {
    sweep(instance)?;
    let mut first_fault = None;
    for batch in authorised(&instance.journal.state(), view::now_ms(instance)?) {
        instance.engine.set(EngineState::Working, None);
        match produce(instance, batch) {
            Ok(()) => {}
            // The token is not as it should be: people have to look, and are told.
            Err(Fault::Violation(violation)) if violation.is_about_token() => {
                first_fault.get_or_insert(violation.into());
            }
            Err(Fault::Violation(violation)) => {
                // Quorum, time or phase changed under our hands: the log says so, the batch stops here.
                tracing::warn!(%batch, %violation, "batch not continued");
            }
            Err(fault) if fault.is_passing() => return Err(fault),
            Err(fault) => {
                first_fault.get_or_insert(fault);
            }
        }
    }
    first_fault.map_or(Ok(()), Err)
}

fn produce(instance: &Instance, batch: BatchId) -> Result<(), Fault> {
    chunk::begin(instance, batch)?;
    loop {
        let state = instance.journal.state();
        let current = state.batch(batch)?;
        let done = |index: &u32| current.chunks.get(index).is_some_and(|chunk| chunk.outcome.is_some());
        match (0..current.chunk_count()).find(|index| !done(index)) {
            Some(index) => chunk::make(instance, batch, index)?,
            None => return release::release(instance, batch),
        }
    }
}

fn authorised(state: &State, now_ms: u64) -> Vec<BatchId> {
    let open = state
        .batches()
        .iter()
        .filter(|(_, batch)| matches!(batch.phase, BatchPhase::Requested | BatchPhase::Producing))
        .filter(|(_, batch)| state.authority_to_act(batch.plan, now_ms).is_ok());
    open.map(|(id, _)| *id).collect()
}

/// Removes staging files of dead tokens and of batches that are over. Only this thread writes such files,
/// so none of them is being written now.
fn sweep(instance: &Instance) -> Result<(), Fault> {
    let state = instance.journal.state();
    for batch in instance.packages.staged_batches()? {
        instance.packages.sweep(batch, |chunk, token| chunk::is_named(&state, batch, chunk, token))?;
    }
    Ok(())
}
