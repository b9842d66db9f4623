//! What one make's library needs of the system besides the token's own: `[sandbox]` of a vendor map.
//!
//! Guards: paths are absolute, so that nobody's working folder decides what is opened; unknown keys
//! are refused.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

/// Which sockets the library may open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sockets {
    /// None: the token is in this process or behind a device file.
    #[default]
    None,
    /// To processes of this host, by path: a daemon of the maker's, a card service.
    Unix,
    /// To the network as well: an HSM behind a cable.
    Network,
}

impl Sockets {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::None => "no sockets",
            Self::Unix => "sockets within this host only",
            Self::Network => "open",
        }
    }
}

/// The table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    /// Files and folders the library reads: its configuration, its certificates.
    #[serde(default, deserialize_with = "absolute")]
    pub read: Vec<PathBuf>,
    /// Files and folders it writes too: device files, a folder for its logs.
    #[serde(default, deserialize_with = "absolute")]
    pub write: Vec<PathBuf>,
    /// Which sockets it opens.
    #[serde(default)]
    pub sockets: Sockets,
}

fn absolute<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
    let paths = Vec::<PathBuf>::deserialize(from)?;
    match paths.iter().find(|path| !path.is_absolute()) {
        Some(path) => Err(serde::de::Error::custom(format!("{} is not an absolute path", path.display()))),
        None => Ok(paths),
    }
}
