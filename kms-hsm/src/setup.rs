//! Initialising a token: label, SO PIN, user PIN.
//!
//! Not a factory reset: a token that is initialised already is never touched. Guards: a label is
//! given once, and the PINs travel over the pipe only.

use std::path::PathBuf;
use std::time::Duration;

use cryptoki::session::UserType;
use cryptoki::types::{AuthPin, RawAuthPin};
use kms_core::policy::is_software_model;
use kms_core::ports::{HsmResult, TokenStatus};
use kms_core::secret::Pin;

use crate::client::process::{Launch, Worker};
use crate::config::Lanes;
use crate::fault::{from_cryptoki, refused};
use crate::module::{self, Module};
use crate::sandbox::SandboxMode;
use crate::wire::{Request, Response, WorkerRole, garbled};

/// Longest label PKCS#11 has room for, in bytes.
pub const LABEL_BYTES_MAX: usize = 32;

/// Which module initialises a token, and how its worker is started.
#[derive(Clone, Debug)]
pub struct SetupConfig {
    /// The PKCS#11 library.
    pub module: PathBuf,
    /// The worker program; beside the running program if not given.
    pub worker: Option<PathBuf>,
    /// Environment for the module besides the inherited one.
    pub environment: Vec<(String, String)>,
    /// How long initialising may take.
    pub deadline: Duration,
    /// How much the worker insists on its restrictions.
    pub sandbox: SandboxMode,
}

/// Initialises the first free slot of the module as a token of that label and sets both PINs.
/// Refuses with `LABEL_TAKEN` if a token of that label is there.
pub fn init_token(config: &SetupConfig, label: &str, so_pin: &Pin, user_pin: &Pin) -> HsmResult<TokenStatus> {
    init(config, label, so_pin, user_pin, false)
}

/// The same, but refuses with `NOT_SOFTWARE` unless the module is a software token this program knows.
pub(crate) fn init_software_token(
    config: &SetupConfig,
    label: &str,
    so_pin: &Pin,
    user_pin: &Pin,
) -> HsmResult<TokenStatus> {
    init(config, label, so_pin, user_pin, true)
}

fn init(
    config: &SetupConfig,
    label: &str,
    so_pin: &Pin,
    user_pin: &Pin,
    software_only: bool,
) -> HsmResult<TokenStatus> {
    let launch = Launch {
        program: config.worker.clone(),
        environment: &config.environment,
        role: WorkerRole::Setup,
        module: &config.module,
        map: None,
        label,
        serial: None,
        lanes: Lanes::ONE,
        sandbox: config.sandbox,
    };
    let (mut worker, _) = Worker::start(&launch, &[so_pin, user_pin], config.deadline)?;
    match worker.call(&Request::InitToken { label: label.to_owned(), software_only }, None, config.deadline)? {
        Response::Status(status) => Ok(status.into()),
        Response::Fault(fault) => Err(fault.into()),
        _ => Err(garbled("not a token's status")),
    }
}

/// The worker's side of [`init_token`].
pub(crate) fn initialise(
    module: &Module,
    label: &str,
    so_pin: &Pin,
    user_pin: &Pin,
    software_only: bool,
) -> HsmResult<TokenStatus> {
    if label.is_empty() || label.len() > LABEL_BYTES_MAX {
        let detail = format!("a label has 1 to {LABEL_BYTES_MAX} bytes, not {}", label.len());
        return Err(refused("C_InitToken", "LABEL", detail));
    }
    let context = module.context();
    let mut free = None;
    for slot in context.get_slots_with_token().map_err(from_cryptoki)? {
        let info = module.token_info(slot)?;
        if software_only && !is_software_model(info.model()) {
            let detail = format!("{} {} is not a software token", info.manufacturer_id(), info.model());
            return Err(refused("C_InitToken", "NOT_SOFTWARE", detail));
        }
        if !info.token_initialized() {
            free = free.or(Some(slot));
        } else if info.label() == label {
            return Err(refused("C_InitToken", "LABEL_TAKEN", format!("a token with label {label:?} is there")));
        }
    }
    let free = free.ok_or_else(|| refused("C_InitToken", "NO_FREE_SLOT", "every token is initialised already"))?;
    let pin = text(so_pin)?;
    context.init_token(free, &pin, label).map_err(from_cryptoki)?;
    // Some libraries number their slots anew afterwards.
    let slot = module.find_token(label, None)?;
    let session = context.open_rw_session(slot).map_err(from_cryptoki)?;
    let so_pin = RawAuthPin::new(Box::new(so_pin.expose().to_vec()));
    session.login_with_raw(UserType::So, &so_pin).map_err(from_cryptoki)?;
    session.init_pin(&text(user_pin)?).map_err(from_cryptoki)?;
    session.logout().map_err(from_cryptoki)?;
    Ok(module::status(&module.token_info(slot)?, "none", &[]))
}

/// The PIN as cryptoki takes it here: text in memory that is wiped.
fn text(pin: &Pin) -> HsmResult<AuthPin> {
    let text = std::str::from_utf8(pin.expose()).map_err(|_| refused("PIN", "PIN_UNUSABLE", "not UTF-8"))?;
    Ok(AuthPin::new(text.into()))
}
