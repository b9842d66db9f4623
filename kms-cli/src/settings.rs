//! The settings file `kms.toml`: what a person would otherwise repeat on every command line.
//!
//! Never a secret: passwords and PINs are named by file. Guards: unknown keys are refused; paths are
//! relative to the file; an option on the command line always wins.

use std::path::{Path, PathBuf};

use clap::Args;
use kms_hsm::SandboxMode;
use serde::Deserialize;

use crate::failure::{Exit, Failure, Outcome};
use crate::files;

/// Read by default when it exists.
const DEFAULT_FILE: &str = "kms.toml";

/// Where the settings are.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ConfigOption {
    /// Settings file, see kms-cli/README.md; ./kms.toml when it exists
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// What the file may say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The instance's server.
    pub(crate) server: Option<String>,
    /// The caller's private key.
    pub(crate) key: Option<PathBuf>,
    /// File with its password.
    pub(crate) password_file: Option<PathBuf>,
    /// PKCS#11 library of the own HSM.
    pub(crate) module: Option<PathBuf>,
    /// Its vendor map.
    pub(crate) map: Option<PathBuf>,
    /// Label of the token.
    pub(crate) token: Option<String>,
    /// Serial number of the token, where several have the label.
    pub(crate) serial: Option<String>,
    /// Sessions that rewrap a chunk at once.
    pub(crate) lanes: Option<u16>,
    /// How much the worker insists on its restrictions.
    pub(crate) sandbox: Option<SandboxMode>,
    /// File with the user PIN.
    pub(crate) pin_file: Option<PathBuf>,
    /// Private key of a bureau's encryption certificate.
    pub(crate) enc_key: Option<PathBuf>,
    /// File with its password.
    pub(crate) enc_password_file: Option<PathBuf>,
}

impl ConfigOption {
    /// Reads the settings; none when there is no file.
    pub(crate) fn read(&self) -> Outcome<Settings> {
        let default = Path::new(DEFAULT_FILE);
        let path = match &self.config {
            Some(path) => path,
            None if default.is_file() => default,
            None => return Ok(Settings::default()),
        };
        let text = files::read_text(path, files::SMALL_FILE_BYTES_MAX)?;
        let mut settings: Settings = toml::from_str(&text).map_err(|reason| {
            Failure::input(
                format!("{}: {reason}", path.display()),
                "kms-cli/README.md lists what a settings file may say",
            )
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let Settings { key, password_file, module, map, pin_file, enc_key, enc_password_file, .. } = &mut settings;
        for path in [key, password_file, module, map, pin_file, enc_key, enc_password_file].into_iter().flatten() {
            *path = folder.join(&*path);
        }
        Ok(settings)
    }
}

/// The option, else the setting, else advice.
pub(crate) fn wanted<T>(option: Option<T>, setting: Option<T>, name: &str) -> Outcome<T> {
    option.or(setting).ok_or_else(|| {
        let setting = name.replace('-', "_");
        Failure::new(
            Exit::Usage,
            format!("no {name} was given"),
            format!("add --{name}, or `{setting} = …` to kms.toml"),
        )
    })
}
