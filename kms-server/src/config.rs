//! The configuration file: one struct per concern, unknown keys refused.
//!
//! Guards: what was read is checked and complete; paths in it are relative to the file's folder. What
//! the instance *is* (level, region, environment, rules) is fixed by its genesis plan; the file only
//! says what it is expected to be, and the server refuses to start when the two differ.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use kms_core::digest::Digest;
use kms_core::id::{Origin, RegionCode};
use kms_core::plan::{Environment, Level};
use kms_hsm::config::LANES_MAX;
use kms_hsm::{Lanes, SandboxMode};
use serde::Deserialize;
use thiserror::Error;

/// Longest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the key log and so of the instance.
    pub origin: Origin,
    /// National or provincial.
    pub level: Level,
    /// `000000` for the nation.
    pub region: RegionCode,
    /// Production or test.
    pub environment: Environment,
    /// Where to listen.
    pub listen: Listen,
    /// Database, packages, staging.
    pub data_dir: PathBuf,
    /// Folder with `ceremonies.toml`, `profiles/`, `hsm/`.
    pub policies_dir: PathBuf,
    /// Which token to use.
    pub hsm: HsmConfig,
    /// Base URL of the nation's server, for a province that is to pull over HTTP.
    pub nation_url: Option<String>,
    /// SM3 of the file.
    pub digest: Digest,
}

/// Where to listen.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Address.
    pub address: IpAddr,
    /// Port; 0 takes a free one, which is then written to `<data_dir>/address`.
    pub port: u16,
}

/// Which token to use, and through which module.
#[derive(Clone, Debug)]
pub struct HsmConfig {
    /// PKCS#11 module, loaded by the worker process only.
    pub module: PathBuf,
    /// Vendor map: a file, or the name of one in `<policies_dir>/hsm`.
    pub map: PathBuf,
    /// Label of the token.
    pub token_label: String,
    /// File that holds the user PIN, readable by the service only.
    pub pin_file: PathBuf,
    /// The worker program; beside `kms-server` if left out.
    pub worker: Option<PathBuf>,
    /// Sessions of the one login that work on a chunk at once.
    pub lanes: Lanes,
    /// How much the worker insists on its restrictions.
    pub sandbox: SandboxMode,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HsmSection {
    module: PathBuf,
    map: PathBuf,
    token_label: String,
    pin_file: PathBuf,
    worker: Option<PathBuf>,
    lanes: Option<u16>,
    sandbox: Option<SandboxMode>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    National,
    Provincial,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum EnvironmentName {
    Production,
    Test,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    mode: Mode,
    region: Option<String>,
    origin: String,
    environment: EnvironmentName,
    data_dir: PathBuf,
    policies_dir: PathBuf,
    nation_url: Option<String>,
    listen: Listen,
    hsm: HsmSection,
}

impl Config {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        let bytes = fs::metadata(path).map_err(unreadable)?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(ConfigError::TooLong { found: bytes });
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text, path.parent().unwrap_or(Path::new(".")))
    }

    /// Checks the text of a file; relative paths are taken from `folder`.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, ConfigError> {
        let file: File = toml::from_str(text).map_err(|error| ConfigError::Syntax(Box::new(error)))?;
        let origin = Origin::new(&file.origin).map_err(|error| ConfigError::value("origin", error))?;
        let (level, region) = match (file.mode, file.region.as_deref()) {
            (Mode::National, None) => (Level::National, RegionCode::nation()),
            (Mode::National, Some(_)) => return Err(ConfigError::value("region", "a national instance has none")),
            (Mode::Provincial, None) => return Err(ConfigError::value("region", "a provincial instance needs one")),
            (Mode::Provincial, Some(code)) => (Level::Provincial, parse_region(code)?),
        };
        if level == Level::National && file.nation_url.is_some() {
            return Err(ConfigError::value("nation_url", "a national instance has none"));
        }
        let nation_url = file.nation_url.map(|url| url.trim_end_matches('/').to_owned());
        if nation_url.as_deref().is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
            return Err(ConfigError::value("nation_url", "must begin with http:// or https://"));
        }
        let policies_dir = folder.join(file.policies_dir);
        let hsm = HsmConfig {
            module: folder.join(file.hsm.module),
            map: map_file(&file.hsm.map, folder, &policies_dir),
            pin_file: folder.join(file.hsm.pin_file),
            worker: file.hsm.worker.map(|worker| folder.join(worker)),
            token_label: file.hsm.token_label,
            lanes: file.hsm.lanes.map_or(Ok(Lanes::ONE), parse_lanes)?,
            sandbox: file.hsm.sandbox.unwrap_or(match file.environment {
                EnvironmentName::Production => SandboxMode::Strict,
                EnvironmentName::Test => SandboxMode::BestEffort,
            }),
        };
        Ok(Self {
            origin,
            level,
            region,
            environment: match file.environment {
                EnvironmentName::Production => Environment::Production,
                EnvironmentName::Test => Environment::Test,
            },
            listen: file.listen,
            data_dir: folder.join(file.data_dir),
            policies_dir,
            hsm,
            nation_url,
            digest: Digest::of(text.as_bytes()),
        })
    }

    /// Where the bound address is written.
    pub fn address_file(&self) -> PathBuf {
        self.data_dir.join("address")
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// Not TOML, or a key that is unknown or missing.
    #[error("the configuration file is wrong: {0}")]
    Syntax(Box<toml::de::Error>),
    /// Longer than any configuration.
    #[error("the configuration file has {found} bytes, at most {FILE_BYTES_MAX} are accepted")]
    TooLong {
        /// Bytes found.
        found: u64,
    },
    /// Cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A value that cannot be used.
    #[error("{key}: {reason}")]
    Value {
        /// Which key.
        key: &'static str,
        /// Why.
        reason: String,
    },
}

impl ConfigError {
    fn value(key: &'static str, reason: impl ToString) -> Self {
        Self::Value { key, reason: reason.to_string() }
    }
}

fn parse_region(code: &str) -> Result<RegionCode, ConfigError> {
    let digits = code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()) && code != "000000";
    if !digits {
        return Err(ConfigError::value("region", "six digits after GB/T 2260, not 000000"));
    }
    RegionCode::new(code).map_err(|error| ConfigError::value("region", error))
}

fn parse_lanes(count: u16) -> Result<Lanes, ConfigError> {
    let reason = || format!("{count} sessions at once; 1 to {LANES_MAX} are used");
    Lanes::new(count).ok_or_else(|| ConfigError::value("hsm.lanes", reason()))
}

/// A bare name means `<policies_dir>/hsm/<name>.toml`.
fn map_file(map: &Path, folder: &Path, policies_dir: &Path) -> PathBuf {
    let bare = map.components().count() == 1 && map.extension().is_none();
    if bare { policies_dir.join("hsm").join(map).with_extension("toml") } else { folder.join(map) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROVINCE: &str = r#"
        mode = "provincial"
        region = "410000"
        origin = "kms.example/henan/test/log/1"
        environment = "test"
        data_dir = "data"
        policies_dir = "/usr/share/kms/policies"
        nation_url = "http://127.0.0.1:9000/"
        [listen]
        address = "127.0.0.1"
        port = 0
        [hsm]
        module = "libhsm_sim.so"
        map = "hsm-sim"
        token_label = "henan"
        pin_file = "pin"
    "#;

    #[test]
    fn a_province() {
        let config = Config::parse(PROVINCE, Path::new("/etc/kms")).unwrap();
        assert_eq!(config.level, Level::Provincial);
        assert_eq!(config.data_dir, Path::new("/etc/kms/data"));
        assert_eq!(config.hsm.map, Path::new("/usr/share/kms/policies/hsm/hsm-sim.toml"));
        assert_eq!(config.nation_url.as_deref(), Some("http://127.0.0.1:9000"));
    }

    #[test]
    fn the_example_is_right() {
        let config = Config::parse(include_str!("../example.toml"), Path::new("/etc/kms")).unwrap();
        assert_eq!(config.environment, Environment::Production);
        assert_eq!(config.hsm.sandbox, SandboxMode::Strict);
    }

    #[test]
    fn the_sandbox_is_as_strict_as_said() {
        let sandbox = |text: &str| Config::parse(text, Path::new("/")).map(|config| config.hsm.sandbox);
        assert_eq!(sandbox(PROVINCE).unwrap(), SandboxMode::BestEffort);
        for mode in SandboxMode::ALL {
            assert_eq!(sandbox(&format!("{PROVINCE}\nsandbox = \"{}\"", mode.name())).unwrap(), mode);
        }
        assert!(sandbox(&format!("{PROVINCE}\nsandbox = \"strictly\"")).is_err());
    }

    #[test]
    fn unknown_keys_are_refused() {
        let text = PROVINCE.replace("[listen]", "spare = 1\n[listen]");
        assert!(matches!(Config::parse(&text, Path::new("/")), Err(ConfigError::Syntax(_))));
    }

    #[test]
    fn lanes_are_one_or_what_is_stated_within_the_limit() {
        let with = |lanes: &str| Config::parse(&format!("{PROVINCE}\nlanes = {lanes}"), Path::new("/"));
        assert_eq!(Config::parse(PROVINCE, Path::new("/")).unwrap().hsm.lanes, Lanes::ONE);
        assert_eq!(with("64").unwrap().hsm.lanes.count(), 64);
        for wrong in ["0", "257"] {
            assert!(matches!(with(wrong), Err(ConfigError::Value { key: "hsm.lanes", .. })), "{wrong}");
        }
        for wrong in ["-1", "1.5", "\"8\"", "70000"] {
            assert!(matches!(with(wrong), Err(ConfigError::Syntax(_))), "{wrong}");
        }
    }

    #[test]
    fn level_and_region_must_fit() {
        let national = PROVINCE.replace("\"provincial\"", "\"national\"");
        assert!(matches!(Config::parse(&national, Path::new("/")), Err(ConfigError::Value { key: "region", .. })));
        let nowhere = PROVINCE.replace("410000", "000000");
        assert!(matches!(Config::parse(&nowhere, Path::new("/")), Err(ConfigError::Value { key: "region", .. })));
    }
}
