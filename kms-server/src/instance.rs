//! One running instance: its parts, and how they are brought up.
//!
//! Guards: the database and the configuration speak of the same instance; database and HSM belong
//! together ([`crate::checkpointer`]); a production instance does not work on a software token; two
//! processes never share a data folder.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use kms_api::body::HsmState;
use kms_api::problem::Code;
use kms_core::event::{Event, Started};
use kms_core::plan::Environment;
use kms_core::ports::{Abilities, Hold, Hsm, PinState, Restriction, TokenStatus};
use kms_core::violation::Violation;
use kms_hsm::SANDBOX_INCOMPLETE;
use thiserror::Error;

use crate::app::health;
use crate::checkpointer::{Checkpointer, HeadMismatch, Unconfirmed};
use crate::config::Config;
use crate::engine::EngineStatus;
use crate::fault::Fault;
use crate::guarded::GuardedHsm;
use crate::inspection::{self, Inspection};
use crate::journal::{Act, DamagedLog, Journal};
use crate::packages::Packages;
use crate::policies::{Policies, PolicyError};
use crate::store::{Store, StoreError};
use crate::strangers::Strangers;

/// Version of this program, as log and `/health` name it.
pub const BUILD: &str = concat!("kms-server ", env!("CARGO_PKG_VERSION"));

/// The parts of a running instance.
pub struct Instance {
    /// What the operator configured.
    pub config: Config,
    /// Rules and profiles.
    pub policies: Policies,
    /// Database.
    pub store: Arc<Store>,
    /// Key log and state.
    pub journal: Arc<Journal>,
    /// Signs the log's head.
    pub checkpointer: Checkpointer,
    /// The HSM; every use of a key asks what the last look at the token found.
    pub hsm: Arc<GuardedHsm>,
    /// When the token is looked at.
    pub inspection: Inspection,
    /// Package files.
    pub packages: Packages,
    /// What the batch engine is doing.
    pub engine: EngineStatus,
    /// Counts requests of unknown callers.
    pub strangers: Strangers,
    /// One ceremony step at a time.
    pub runner: Mutex<()>,
    trouble: Mutex<Option<(HsmState, String)>>,
    _lock: File,
}

/// Why an instance cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Another process uses the data folder.
    #[error("{} is in use by another kms-server", .0.display())]
    InUse(std::path::PathBuf),
    /// A folder or file.
    #[error("data folder: {0}")]
    Io(#[from] std::io::Error),
    /// The stored key log cannot be used.
    #[error(transparent)]
    Log(#[from] DamagedLog),
    /// Database and HSM do not belong together.
    #[error("refusing to start: {0}")]
    Head(#[from] HeadMismatch),
    /// A policy file.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The configuration speaks of another instance than the key log.
    #[error("the configuration's {field} differs from what the instance was founded with")]
    OtherInstance {
        /// What differs.
        field: &'static str,
    },
    /// The HSM's worker could not give up what the configuration insists on.
    #[error("refusing to start: {0}")]
    Sandbox(String),
    /// Production on a software token.
    #[error("the token model {model:?} is not accepted for production; accepted are those in ceremonies.toml")]
    SoftwareToken {
        /// Its model.
        model: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Instance {
    /// Opens everything; the HSM may be away, then [`Self::confirm`] has to succeed later.
    pub fn open(config: Config, hsm: Arc<dyn Hsm>) -> Result<Self, StartError> {
        let policies = Policies::read(&config.policies_dir)?;
        // Card lines and keyed hashes lie in here: for the service alone.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir)?;
        let lock = take_lock(&config)?;
        let packages = Packages::open(&config.data_dir)?;
        let store = Arc::new(Store::open(&config.data_dir.join("kms.db"))?);
        let journal = Arc::new(Journal::load(store.clone(), &config.origin)?);
        check_identity(&config, &journal, hsm.abilities())?;
        let hsm = Arc::new(GuardedHsm::new(hsm, journal.clone(), store.clone()));
        let checkpointer = Checkpointer::new(store.clone(), journal.clone(), hsm.clone());
        let instance = Self {
            config,
            policies,
            store,
            journal,
            checkpointer,
            hsm,
            inspection: Inspection::default(),
            packages,
            engine: EngineStatus::default(),
            strangers: Strangers::default(),
            runner: Mutex::new(()),
            trouble: Mutex::new(None),
            _lock: lock,
        };
        match instance.confirm() {
            Ok(()) => {}
            Err(Unconfirmed::Mismatch(mismatch)) => return Err(mismatch.into()),
            Err(Unconfirmed::Fault(fault)) => {
                tracing::warn!(%fault, "started without the HSM; waiting for it");
                instance.remember(Some(&fault));
            }
        }
        match instance.hsm.status() {
            Ok(status) if !instance.accepts(&status) => {
                return Err(StartError::SoftwareToken { model: status.model });
            }
            Ok(status) => log_restrictions(&status.restrictions),
            // An HSM that is away comes back; a kernel without the restrictions does not change.
            Err(error) if error.code == SANDBOX_INCOMPLETE => {
                return Err(StartError::Sandbox(error.detail.unwrap_or_default()));
            }
            Err(_) => {}
        }
        if let Err(fault) = inspection::look_if_due(&instance) {
            tracing::warn!(%fault, "the token could not be examined; no key is used until it is");
            instance.remember(Some(&fault));
        }
        Ok(instance)
    }

    /// Compares database and HSM once; after that, entries may be written, the first being `Started`.
    pub fn confirm(&self) -> Result<(), Unconfirmed> {
        if self.journal.is_open() {
            return Ok(());
        }
        // Not with a PIN that one more failure locks: that is for people.
        self.token()?;
        self.checkpointer.confirm()?;
        let state = self.journal.state();
        if state.identity().is_some() {
            let started = self.started(state.keys().map(|keys| keys.anchor));
            self.journal.commit(|_, _| Ok((Act::own(vec![started]), ())))?;
        }
        Ok(())
    }

    /// The first entry of each run.
    pub fn started(&self, anchor: Option<kms_core::digest::Digest>) -> Event {
        Event::Started(Started { build: BUILD.to_owned(), configuration: self.config.digest, anchor })
    }

    /// The token's status, if keys may be used on it now.
    pub fn token(&self) -> Result<TokenStatus, Fault> {
        let status = self.hsm.status()?;
        if !self.accepts(&status) {
            let detail = format!("the token model is {:?}", status.model);
            return Err(Fault::new(Code::SoftwareToken, detail));
        }
        if matches!(status.user_pin, PinState::Locked | PinState::FinalTry) {
            return Err(Fault::new(Code::HsmPin, "the token's user PIN is locked or one failure away from it"));
        }
        if let Some(identity) = self.journal.state().identity()
            && identity.hsm_serial != status.serial
        {
            let other = Violation::OtherHsm { wanted: identity.hsm_serial.clone(), found: status.serial };
            return Err(other.into());
        }
        Ok(status)
    }

    /// Why the HSM is of no use at the moment, while that lasts: a token can answer and yet refuse its
    /// PIN, or be another one.
    pub fn trouble(&self) -> Option<(HsmState, String)> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps a failure of the HSM for `/health`; `None` once things work again.
    pub fn remember(&self, fault: Option<&Fault>) {
        let trouble = fault.and_then(|fault| Some((health::hsm_state(fault)?, fault.to_string())));
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// May this token hold the keys of this instance?
    pub fn accepts(&self, status: &TokenStatus) -> bool {
        let production = self.policies.ceremonies().production();
        self.config.environment == Environment::Test || production.accepts(&status.model)
    }
}

fn log_restrictions(restrictions: &[Restriction]) {
    for Restriction { measure, hold, note } in restrictions {
        match hold {
            Hold::InForce => tracing::info!(measure, note, "given up by the HSM's worker"),
            Hold::Waived => tracing::warn!(measure, note, "not given up by the HSM's worker, as configured"),
            Hold::Lacking => tracing::warn!(measure, note, "NOT GIVEN UP by the HSM's worker: this system cannot"),
        }
    }
}

fn take_lock(config: &Config) -> Result<File, StartError> {
    let lock = File::options().create(true).truncate(false).write(true).open(config.data_dir.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse(config.data_dir.clone())),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn check_identity(config: &Config, journal: &Journal, hsm: Abilities) -> Result<(), StartError> {
    let state = journal.state();
    let Some(identity) = state.identity() else {
        return Ok(());
    };
    let fields = [
        ("origin", identity.origin == config.origin),
        ("mode", identity.level == config.level),
        ("region", identity.region == config.region),
        ("environment", identity.environment == config.environment),
        ("vendor map (its suite)", identity.suite == hsm.suite),
    ];
    match fields.iter().find(|(_, same)| !same) {
        Some((field, _)) => Err(StartError::OtherInstance { field }),
        None => Ok(()),
    }
}
