//! Fresh tokens in a temporary directory, and clients of every role for them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kms_core::id::ObjectId;
use kms_core::ports::{Custody, Hsm as _, InstanceKeyIds, InstancePublicKeys, MasterSpec};
use kms_core::secret::{Kcv, KcvMethod, Pin, Secret};
use kms_core::sm2::SecretKey;
use kms_hsm::config::DEADLINE;
use kms_hsm::setup::{self, SetupConfig};
use kms_hsm::{BureauClient, HsmClient, HsmConfig, PinSource, SandboxMode, SoClient};
use sm4::Sm4;
use sm4::cipher::{BlockCipherEncrypt as _, KeyInit as _};

pub(crate) const SO_PIN: &str = "so-pin-87654321";
pub(crate) const USER_PIN: &str = "user-pin-123456";

/// One directory of the simulator with its tokens.
pub(crate) struct Site {
    pub(crate) directory: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// With initialised tokens of these labels.
    pub(crate) fn with_tokens(labels: &[&str]) -> Self {
        let site = Self::new();
        labels.iter().for_each(|label| site.init(label));
        site
    }

    pub(crate) fn init(&self, label: &str) {
        let status = setup::init_token(&self.setup(), label, &pin(SO_PIN), &pin(USER_PIN)).unwrap();
        assert_eq!(status.label, label);
    }

    pub(crate) fn setup(&self) -> SetupConfig {
        SetupConfig {
            module: module(),
            worker: Some(worker()),
            environment: self.environment(),
            deadline: DEADLINE,
            sandbox: SandboxMode::default(),
        }
    }

    pub(crate) fn config(&self, label: &str, pin: &str) -> HsmConfig {
        HsmConfig {
            worker: Some(worker()),
            environment: self.environment(),
            deadline: Duration::from_secs(20),
            ..HsmConfig::new(module(), map(), label, PinSource::given(self::pin(pin)))
        }
    }

    pub(crate) fn hsm(&self, label: &str) -> HsmClient {
        HsmClient::new(self.config(label, USER_PIN)).unwrap()
    }

    pub(crate) fn officer(&self, label: &str) -> SoClient {
        SoClient::new(self.config(label, SO_PIN)).unwrap()
    }

    pub(crate) fn bureau(&self, label: &str) -> BureauClient {
        BureauClient::new(self.config(label, USER_PIN)).unwrap()
    }

    fn environment(&self) -> Vec<(String, String)> {
        vec![("HSM_SIM_DIR".to_owned(), self.directory.path().display().to_string())]
    }
}

pub(crate) fn pin(text: &str) -> Pin {
    Pin::new(text.as_bytes().to_vec()).unwrap()
}

pub(crate) fn worker() -> PathBuf {
    env!("CARGO_BIN_EXE_kms-hsm-worker").into()
}

/// The simulator.
pub(crate) fn module() -> PathBuf {
    library("libhsm_sim.so")
}

/// A library that cargo builds as a dev-dependency of this package.
pub(crate) fn library(name: &str) -> PathBuf {
    let programs = worker().parent().unwrap().to_owned();
    let places = [programs.join("deps").join(name), programs.join(name)];
    places.into_iter().find(|place| place.is_file()).expect("cargo builds the library with the tests")
}

pub(crate) fn map() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/hsm/hsm-sim.toml")
}

pub(crate) fn id(number: u8) -> ObjectId {
    ObjectId::from_bytes([number; 16])
}

pub(crate) fn instance_ids() -> InstanceKeyIds {
    InstanceKeyIds {
        log: id(0xa1),
        instance: id(0xa2),
        import: id(0xa3),
        index: id(0xa5),
        storage: id(0xa6),
        component_import: Some(id(0xa4)),
    }
}

/// A client whose token has its instance keys.
pub(crate) fn ready(site: &Site, label: &str) -> (HsmClient, InstancePublicKeys) {
    let hsm = site.hsm(label);
    let keys = hsm.create_instance_keys(&instance_ids()).unwrap();
    (hsm, keys)
}

pub(crate) fn spec(number: u8, custody: Custody) -> MasterSpec {
    MasterSpec { id: id(number), label: format!("RK1/1/{number}"), custody }
}

/// SM4 in software: the reference.
pub(crate) fn sm4(key: &[u8; 16], block: &[u8; 16]) -> [u8; 16] {
    let mut out = (*block).into();
    Sm4::new(key.into()).encrypt_block(&mut out);
    out.into()
}

pub(crate) fn kcv(key: &[u8; 16]) -> Kcv {
    Kcv::truncated(KcvMethod::Ecb3, &sm4(key, &[0; 16])).unwrap()
}

/// A software key pair.
pub(crate) fn software_key(seed: u8) -> SecretKey {
    SecretKey::from_scalar(Secret::take(&mut [seed; 32])).unwrap()
}
