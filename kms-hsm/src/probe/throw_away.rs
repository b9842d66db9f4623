//! A token of its own in a temporary folder, for the whole battery.
//!
//! Guards: only for modules that say they are software this program knows, so no slot of a device is
//! ever initialised; folder and token are gone with the value.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kms_core::ports::HsmResult;
use kms_core::secret::Pin;

use super::Report;
use crate::config::{HsmConfig, PinSource};
use crate::fault::{broken, refused};
use crate::sandbox::SandboxMode;
use crate::setup::{self, SetupConfig};

/// Label of the token.
const LABEL: &str = "kms throw-away";
/// PINs of a token that lives for seconds in a folder of its owner.
const SO_PIN: &[u8] = b"throw-away-so-pin";
const USER_PIN: &[u8] = b"throw-away-pin";

/// The maps of the software tokens, as delivered.
const HSM_SIM_MAP: &str = include_str!("../../../policies/hsm/hsm-sim.toml");
const SOFTHSM2_MAP: &str = include_str!("../../../policies/hsm/softhsm2.toml");

/// A throw-away token; its folder is removed on drop.
pub struct ThrowAway {
    config: HsmConfig,
    so_pin: Pin,
    _folder: tempfile::TempDir,
}

impl ThrowAway {
    /// Makes a folder and a token in it. Without a map the module's own delivered one is taken.
    pub fn make(module: PathBuf, map: Option<PathBuf>, worker: Option<PathBuf>, deadline: Duration) -> HsmResult<Self> {
        let unusable = |error: std::io::Error| broken("temporary folder", "FOLDER", error.to_string());
        let folder = tempfile::Builder::new().prefix("kms-throw-away-").tempdir().map_err(unusable)?;
        let environment = environment(folder.path()).map_err(unusable)?;
        let pin =
            |text: &[u8]| Pin::new(text.to_vec()).map_err(|error| refused("PIN", "PIN_UNUSABLE", error.to_string()));
        let (so_pin, user_pin) = (pin(SO_PIN)?, pin(USER_PIN)?);
        let sandbox = SandboxMode::default();
        let setup = SetupConfig { module: module.clone(), worker: worker.clone(), environment, deadline, sandbox };
        let status = setup::init_software_token(&setup, LABEL, &so_pin, &user_pin)?;
        let map = match map {
            Some(map) => map,
            None => {
                let text = if status.model.starts_with("SoftHSM") { SOFTHSM2_MAP } else { HSM_SIM_MAP };
                let place = folder.path().join("map.toml");
                std::fs::write(&place, text).map_err(unusable)?;
                place
            }
        };
        let config = HsmConfig {
            worker,
            environment: setup.environment,
            deadline,
            ..HsmConfig::new(module, map, LABEL, PinSource::given(user_pin))
        };
        Ok(Self { config, so_pin, _folder: folder })
    }

    /// How to reach the token.
    #[must_use]
    pub const fn config(&self) -> &HsmConfig {
        &self.config
    }

    /// Runs all 25 attacks.
    pub fn probe(&self) -> HsmResult<Report> {
        super::probe(&self.config, Some(&self.so_pin))
    }
}

impl fmt::Debug for ThrowAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThrowAway").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Makes a throw-away token and runs all 25 attacks on it.
pub fn throw_away(
    module: PathBuf,
    map: Option<PathBuf>,
    worker: Option<PathBuf>,
    deadline: Duration,
) -> HsmResult<Report> {
    ThrowAway::make(module, map, worker, deadline)?.probe()
}

/// What points either software token to the folder.
fn environment(folder: &Path) -> std::io::Result<Vec<(String, String)>> {
    let tokens = folder.join("tokens");
    std::fs::create_dir(&tokens)?;
    let configuration = folder.join("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
        tokens.display()
    );
    std::fs::write(&configuration, text)?;
    Ok(vec![
        ("HSM_SIM_DIR".to_owned(), tokens.display().to_string()),
        ("SOFTHSM2_CONF".to_owned(), configuration.display().to_string()),
    ])
}
