//! How a client finds its HSM: module, vendor map, token, PIN.
//!
//! Guards: a PIN file that others may read is refused, and a PIN is shown by no `Debug`.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kms_core::ports::{FaultClass, HsmError, HsmResult};
use kms_core::secret::{PIN_BYTES_MAX, Pin};

use crate::fault::fault;
use crate::sandbox::SandboxMode;

/// How long a call to the worker may take, where nothing else is configured.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Most sessions that one order uses at once.
pub const LANES_MAX: u16 = 256;

/// How many PKCS#11 sessions of the one login a worker uses at once for a chunk: 1 to [`LANES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes(u16);

impl Lanes {
    /// One call after the other.
    pub const ONE: Self = Self(1);

    /// `None` for 0 and for more than [`LANES_MAX`].
    #[must_use]
    pub const fn new(count: u16) -> Option<Self> {
        match count {
            1..=LANES_MAX => Some(Self(count)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn count(self) -> u16 {
        self.0
    }
}

/// One token of one module.
#[derive(Clone, Debug)]
pub struct HsmConfig {
    /// The PKCS#11 library.
    pub module: PathBuf,
    /// The vendor map, as in `policies/hsm/`.
    pub map: PathBuf,
    /// Label of the token.
    pub token_label: String,
    /// Serial number of the token; wanted where several tokens have the label.
    pub token_serial: Option<String>,
    /// The PIN of the login this client uses: user PIN, or SO PIN for a security officer's client.
    pub pin: PinSource,
    /// The worker program `kms-hsm-worker`; beside the running program if not given.
    pub worker: Option<PathBuf>,
    /// Environment for the module besides the inherited one; never a place for a PIN.
    pub environment: Vec<(String, String)>,
    /// Deadline of one call; chunks get more by their size.
    pub deadline: Duration,
    /// Sessions used at once for a chunk.
    pub lanes: Lanes,
    /// How much the worker insists on its restrictions.
    pub sandbox: SandboxMode,
}

impl HsmConfig {
    /// A configuration with the default worker and deadline, and one lane.
    #[must_use]
    pub fn new(module: PathBuf, map: PathBuf, token_label: &str, pin: PinSource) -> Self {
        Self {
            module,
            map,
            token_label: token_label.to_owned(),
            token_serial: None,
            pin,
            worker: None,
            environment: Vec::new(),
            deadline: DEADLINE,
            lanes: Lanes::ONE,
            sandbox: SandboxMode::default(),
        }
    }
}

/// Where the PIN comes from.
#[derive(Clone)]
pub enum PinSource {
    /// A file with the PIN in its first line, readable by its owner only. Read at each worker start.
    File(PathBuf),
    /// A PIN somebody entered.
    Given(Arc<Pin>),
}

impl PinSource {
    /// A PIN somebody entered.
    #[must_use]
    pub fn given(pin: Pin) -> Self {
        Self::Given(Arc::new(pin))
    }

    /// The PIN itself.
    pub(crate) fn pin(&self) -> HsmResult<Arc<Pin>> {
        match self {
            Self::Given(pin) => Ok(Arc::clone(pin)),
            Self::File(path) => read(path).map(Arc::new),
        }
    }
}

impl fmt::Debug for PinSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Given(_) => f.write_str("Given"),
        }
    }
}

fn read(path: &Path) -> HsmResult<Pin> {
    use std::io::Read as _;
    let wrong = |code: &str, detail: String| file_fault(path, code, &detail);
    let unreadable = |error: std::io::Error| wrong("PIN_FILE", error.to_string());
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        let detail = format!("mode {:04o} lets others in; make it 0400 or 0600", mode & 0o7777);
        return Err(wrong("PIN_FILE_MODE", detail));
    }
    // One buffer of the largest size: a growing one would leave copies behind.
    let mut bytes = zeroize::Zeroizing::new(vec![0; PIN_BYTES_MAX + 2]);
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest).map_err(unreadable)? {
            0 => break,
            count => filled += count,
        }
    }
    let line = bytes.iter().take(filled).position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(filled);
    bytes.truncate(line);
    Pin::new(std::mem::take(&mut *bytes)).map_err(|error| wrong("PIN_FILE", error.to_string()))
}

fn file_fault(path: &Path, code: &str, detail: &str) -> HsmError {
    fault(FaultClass::Pin, "PIN file", code, format!("{}: {detail}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(mode: u32, content: &str) -> HsmResult<Pin> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pin");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        read(&path)
    }

    #[test]
    fn pin_is_the_first_line() {
        assert_eq!(with_file(0o600, "123456\n# note").unwrap().expose(), b"123456");
        assert_eq!(with_file(0o400, "123456").unwrap().expose(), b"123456");
    }

    #[test]
    fn files_others_can_read_are_refused() {
        for mode in [0o640, 0o604, 0o660, 0o644] {
            let error = with_file(mode, "123456").err().unwrap();
            assert_eq!(error.code, "PIN_FILE_MODE");
            assert!(!format!("{error:?}").contains("123456"));
        }
        assert!(with_file(0o600, "\n").is_err());
        assert!(with_file(0o600, &"1".repeat(300)).is_err());
    }

    #[test]
    fn debug_shows_no_pin() {
        let source = PinSource::given(Pin::new(b"123456".to_vec()).unwrap());
        assert_eq!(format!("{source:?}"), "Given");
    }
}
