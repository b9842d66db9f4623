//! A fresh token with masters and a transport key, and ways to it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kms_core::id::ObjectId;
use kms_core::ports::{ChunkOrder, Custody, Hsm as _, MasterSpec, SecurityOfficerToken as _};
use kms_core::secret::Pin;
use kms_hsm::setup::{self, SetupConfig};
use kms_hsm::{HsmClient, HsmConfig, Lanes, PinSource, SandboxMode, SoClient};

use crate::clock::{Round, processor_seconds};

pub(crate) const PIN: &str = "bench-pin-1";
pub(crate) const SO_PIN: &str = "bench-so-pin";
/// As many as a resident health card has slots.
pub(crate) const MASTERS: u8 = 57;
pub(crate) const KEK: u8 = 200;

pub(crate) struct Site {
    directory: tempfile::TempDir,
    worker: PathBuf,
    pub(crate) module: PathBuf,
    environment: Vec<(String, String)>,
    /// Vendor map: its text without `recheck`.
    map: String,
}

/// How many keys the worker makes twice to compare them (`recheck` of a vendor map).
#[derive(Clone, Copy)]
pub(crate) enum Recheck {
    /// All, as delivered.
    EveryKey,
    /// Those of one card: worker and bare loop then do the same work.
    OneCard,
}

impl Site {
    /// A token of the simulator.
    pub(crate) fn simulator() -> Self {
        let worker = Path::new(env!("CARGO_BIN_EXE_kms-hsm-worker"));
        let programs = worker.parent().expect("the worker is in a folder");
        let module = [programs.join("deps/libhsm_sim.so"), programs.join("libhsm_sim.so")]
            .into_iter()
            .find(|place| place.is_file())
            .expect("cargo builds libhsm_sim.so with the bench");
        let directory = tempfile::tempdir().unwrap();
        let environment = vec![("HSM_SIM_DIR".to_owned(), directory.path().display().to_string())];
        Self::make(directory, module, environment, "hsm-sim")
    }

    /// A token of SoftHSM.
    pub(crate) fn softhsm(module: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let environment = vec![softhsm_settings(directory.path())];
        Self::make(directory, module.to_owned(), environment, "softhsm2")
    }

    /// Initialises the token and makes its keys.
    fn make(directory: tempfile::TempDir, module: PathBuf, environment: Vec<(String, String)>, map: &str) -> Self {
        let worker = PathBuf::from(env!("CARGO_BIN_EXE_kms-hsm-worker"));
        let map = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../policies/hsm/{map}.toml"));
        let map = std::fs::read_to_string(map).unwrap();
        let site = Self { directory, worker, module, environment, map };
        let set_up = SetupConfig {
            module: site.module.clone(),
            worker: Some(site.worker.clone()),
            environment: site.environment(),
            deadline: Duration::from_secs(30),
            sandbox: SandboxMode::default(),
        };
        setup::init_token(&set_up, "bench", &pin(SO_PIN), &pin(PIN)).unwrap();
        let spec = |n: u8| MasterSpec { id: id(n), label: format!("bench/{n}"), custody: Custody::Local };
        site.port(1, Recheck::OneCard).hsm.generate_masters(&(0..MASTERS).map(spec).collect::<Vec<_>>()).unwrap();
        let officer = SoClient::new(site.config(SO_PIN, 1, Recheck::OneCard)).unwrap();
        officer.create_transport_key(id(KEK), "kek").unwrap();
        site
    }

    /// Environment of the module.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        self.environment.clone()
    }

    /// The same behind a network with that latency and that many lanes.
    pub(crate) fn network(&self, latency: &str, lanes: u16) -> Vec<(String, String)> {
        let script = self.directory.path().join("network");
        std::fs::write(&script, format!("network {latency} lanes {lanes}\n")).unwrap();
        let mut environment = self.environment();
        environment.push(("HSM_SIM_FAULTS".to_owned(), script.display().to_string()));
        environment
    }

    fn config(&self, pin_text: &str, lanes: u16, recheck: Recheck) -> HsmConfig {
        let recheck = if matches!(recheck, Recheck::EveryKey) { "every-key" } else { "one-card" };
        let map = self.directory.path().join(format!("{recheck}.toml"));
        std::fs::write(&map, format!("recheck = \"{recheck}\"\n{}", self.map)).unwrap();
        HsmConfig {
            worker: Some(self.worker.clone()),
            environment: self.environment(),
            lanes: Lanes::new(lanes).unwrap(),
            ..HsmConfig::new(self.module.clone(), map, "bench", PinSource::given(pin(pin_text)))
        }
    }

    /// The way of the server: client, pipe, worker, module.
    pub(crate) fn port(&self, lanes: u16, recheck: Recheck) -> Port {
        Port { hsm: HsmClient::new(self.config(PIN, lanes, recheck)).unwrap() }
    }

    /// With another environment of the module.
    pub(crate) fn port_with(&self, lanes: u16, environment: Vec<(String, String)>) -> Port {
        let config = HsmConfig { environment, ..self.config(PIN, lanes, Recheck::OneCard) };
        Port { hsm: HsmClient::new(config).unwrap() }
    }
}

/// A client at work.
pub(crate) struct Port {
    hsm: HsmClient,
}

impl Port {
    /// One chunk with check values.
    pub(crate) fn round(&self, cards: usize) -> Round {
        self.chunk(cards, true)
    }

    /// One chunk without.
    pub(crate) fn plain_round(&self, cards: usize) -> Round {
        self.chunk(cards, false)
    }

    fn chunk(&self, cards: usize, check_values: bool) -> Round {
        let order = ChunkOrder {
            kek: id(KEK),
            masters: (0..MASTERS).map(|n| (id(n), check_values)).collect(),
            blocks: (0..cards).map(block).collect(),
        };
        let used = || processor_seconds(0) + self.hsm.worker_id().map_or(0.0, processor_seconds);
        let (before, started) = (used(), Instant::now());
        assert_eq!(self.hsm.issue_chunk(&order).unwrap().len(), cards);
        let keys = (cards * usize::from(MASTERS)) as f64;
        Round { rate: keys / started.elapsed().as_secs_f64(), cost: (used() - before) / keys }
    }
}

/// A token directory of SoftHSM below `folder`, and the variable that names its settings.
pub(crate) fn softhsm_settings(folder: &Path) -> (String, String) {
    let (tokens, settings) = (folder.join("tokens"), folder.join("softhsm2.conf"));
    std::fs::create_dir(&tokens).unwrap();
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    std::fs::write(&settings, text).unwrap();
    ("SOFTHSM2_CONF".to_owned(), settings.display().to_string())
}

/// A card's diversification block.
pub(crate) fn block(card: usize) -> [u8; 16] {
    let mut block = [0x5a; 16];
    block[..8].copy_from_slice(&card.to_be_bytes());
    block
}

fn id(number: u8) -> ObjectId {
    ObjectId::from_bytes([number; 16])
}

fn pin(text: &str) -> Pin {
    Pin::new(text.as_bytes().to_vec()).unwrap()
}
