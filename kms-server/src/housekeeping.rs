//! Every second: confirm database and HSM if that is still to be done, look at the token when it is
//! time, sign the log's head, close
//! expired ceremonies, log counted strangers, forget old nonces.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use kms_core::event::Refused;
use kms_core::id::Actor;

use crate::app::{ceremonies, view};
use crate::checkpointer::Unconfirmed;
use crate::fault::Fault;
use crate::inspection;
use crate::instance::Instance;
use crate::store::nonces;

const TICK: Duration = Duration::from_secs(1);
/// The HSM is asked for its status every so many ticks.
const STATUS_TICKS: u32 = 5;
/// Nonces are forgotten every so many ticks.
const NONCE_TICKS: u32 = 60;

/// Starts the thread; it ends with the process.
pub(crate) fn start(instance: Arc<Instance>) -> std::io::Result<()> {
    let run = move || {
        let mut failing = false;
        for tick in 0u32.. {
            thread::sleep(TICK);
            let outcome = turn(&instance, tick);
            instance.remember(outcome.as_ref().err());
            if let Err(fault) = &outcome {
                inspection::lost(&instance, fault);
            }
            match &outcome {
                // Once, not every second.
                Err(fault) if !failing => tracing::warn!(%fault, "housekeeping"),
                Ok(()) if failing => tracing::info!("housekeeping works again"),
                _ => {}
            }
            failing = outcome.is_err();
        }
    };
    thread::Builder::new().name("housekeeping".to_owned()).spawn(run).map(|_| ())
}

fn turn(instance: &Instance, tick: u32) -> Result<(), Fault> {
    match instance.confirm() {
        Ok(()) => {}
        Err(Unconfirmed::Mismatch(mismatch)) => crate::stop(&mismatch.to_string()),
        Err(Unconfirmed::Fault(fault)) => return Err(fault),
    }
    if tick.is_multiple_of(STATUS_TICKS) {
        // An HSM that went away and came back between two uses would else be taken for the same.
        instance.hsm.status()?;
    }
    inspection::look_if_due(instance)?;
    if tick.is_multiple_of(NONCE_TICKS) {
        let now_s = view::now_ms(instance)? / 1000;
        instance.store.write(|c| nonces::forget_expired(c, now_s).map(|_| ()).map_err(Fault::from))?;
    }
    for refused in instance.strangers.take_due() {
        refuse(instance, refused);
    }
    ceremonies::settle(instance)?;
    ceremonies::expire(instance)?;
    instance.checkpointer.sign()
}

fn refuse(instance: &Instance, refused: Refused) {
    instance.journal.refuse(Actor::Unknown, None, refused);
}
