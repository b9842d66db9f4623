//! A fresh token of the simulator with masters and a transport key, and ways to it.

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
}

impl Site {
    /// Initialises the token and makes its keys.
    pub(crate) fn new() -> Self {
        let worker = PathBuf::from(env!("CARGO_BIN_EXE_kms-hsm-worker"));
        let programs = worker.parent().expect("the worker is in a folder");
        let module = [programs.join("deps/libhsm_sim.so"), programs.join("libhsm_sim.so")]
            .into_iter()
            .find(|place| place.is_file())
            .expect("cargo builds libhsm_sim.so with the bench");
        let site = Self { directory: tempfile::tempdir().unwrap(), worker, module };
        let set_up = SetupConfig {
            module: site.module.clone(),
            worker: Some(site.worker.clone()),
            environment: site.environment(),
            deadline: Duration::from_secs(30),
            sandbox: SandboxMode::default(),
        };
        setup::init_token(&set_up, "bench", &pin(SO_PIN), &pin(PIN)).unwrap();
        let spec = |n: u8| MasterSpec { id: id(n), label: format!("bench/{n}"), custody: Custody::Local };
        site.port(1).hsm.generate_masters(&(0..MASTERS).map(spec).collect::<Vec<_>>()).unwrap();
        let officer = SoClient::new(site.config(SO_PIN, 1)).unwrap();
        officer.create_transport_key(id(KEK), "kek").unwrap();
        site
    }

    /// Environment of the module.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        vec![("HSM_SIM_DIR".to_owned(), self.directory.path().display().to_string())]
    }

    /// The same behind a network with that latency and that many lanes.
    pub(crate) fn network(&self, latency: &str, lanes: u16) -> Vec<(String, String)> {
        let script = self.directory.path().join("network");
        std::fs::write(&script, format!("network {latency} lanes {lanes}\n")).unwrap();
        let mut environment = self.environment();
        environment.push(("HSM_SIM_FAULTS".to_owned(), script.display().to_string()));
        environment
    }

    fn config(&self, pin_text: &str, lanes: u16) -> HsmConfig {
        let map = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/hsm/hsm-sim.toml");
        HsmConfig {
            worker: Some(self.worker.clone()),
            environment: self.environment(),
            lanes: Lanes::new(lanes).unwrap(),
            ..HsmConfig::new(self.module.clone(), map, "bench", PinSource::given(pin(pin_text)))
        }
    }

    /// The way of the server: client, pipe, worker, module.
    pub(crate) fn port(&self, lanes: u16) -> Port {
        self.port_with(lanes, self.environment())
    }

    /// With another environment of the module.
    pub(crate) fn port_with(&self, lanes: u16, environment: Vec<(String, String)>) -> Port {
        let config = HsmConfig { environment, ..self.config(PIN, lanes) };
        Port { hsm: HsmClient::new(config).unwrap() }
    }
}

/// A client at work.
pub(crate) struct Port {
    hsm: HsmClient,
}

impl Port {
    /// One chunk.
    pub(crate) fn round(&self, cards: usize) -> Round {
        let order = ChunkOrder {
            kek: id(KEK),
            masters: (0..MASTERS).map(|n| (id(n), true)).collect(),
            blocks: (0..cards).map(block).collect(),
        };
        let used = || processor_seconds(0) + self.hsm.worker_id().map_or(0.0, processor_seconds);
        let (before, started) = (used(), Instant::now());
        assert_eq!(self.hsm.issue_chunk(&order).unwrap().len(), cards);
        let keys = (cards * usize::from(MASTERS)) as f64;
        Round { rate: keys / started.elapsed().as_secs_f64(), cost: (used() - before) / keys }
    }
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
