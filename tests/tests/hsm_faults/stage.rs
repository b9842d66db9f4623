//! Tokens with known keys, made once and copied for every lane; clients whose module goes wrong by the script.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use getrandom::SysRng;
use kms_core::id::ObjectId;
use kms_core::keys::SealingKey;
use kms_core::ports::{
    BureauHsm as _, BureauOfficerToken as _, Custody, Hsm as _, InstanceKeyIds, InstancePublicKeys, MasterSpec,
    SealedComponent, SealedMaster, SecurityOfficerToken as _, Wrapped,
};
use kms_core::secret::{Kcv, KcvMethod, Pin, Secret};
use kms_core::sm2::SecretKey;
use kms_hsm::setup::{self, SetupConfig};
use kms_hsm::{BureauClient, HsmClient, HsmConfig, PinSource, SandboxMode, SoClient};

use crate::truth;

const SO_PIN: &str = "so-pin-87654321";
const USER_PIN: &str = "user-pin-123456";
/// The instance's and the bureau's token have folders of their own.
const SITES: [&str; 2] = ["instance", "bureau"];
/// How long a hanging call is waited for.
const DEADLINE: Duration = Duration::from_millis(2500);

pub(crate) const KEK: ObjectId = id(0x40);
pub(crate) const SOFTWARE: ObjectId = id(0x51);
pub(crate) const BUREAU: ObjectId = id(0x52);
/// A transport key that the bureau has not opened yet.
pub(crate) const SECOND_KEK: [u8; 16] = [0x77; 16];
pub(crate) const HEAD: &[u8] = b"a log head of some length";

pub(crate) const fn id(number: u8) -> ObjectId {
    ObjectId::from_bytes([number; 16])
}

pub(crate) fn ids() -> InstanceKeyIds {
    InstanceKeyIds {
        log: id(0xa1),
        instance: id(0xa2),
        import: id(0xa3),
        component_import: Some(id(0xa4)),
        index: id(0xa5),
        storage: id(0xa6),
    }
}

pub(crate) fn spec(number: u8) -> MasterSpec {
    MasterSpec { id: id(number), label: format!("RK1/1/{number}"), custody: Custody::Transferable }
}

pub(crate) fn kcv(key: &[u8; 16]) -> Kcv {
    Kcv::new(KcvMethod::Ecb3, &truth::kcv(key)).unwrap()
}

/// The private key behind [`SOFTWARE`].
pub(crate) fn software() -> SecretKey {
    SecretKey::from_scalar(Secret::take(&mut [0x31; 32])).unwrap()
}

/// What is known of the tokens on every stage.
pub(crate) struct Known {
    pub(crate) keys: InstancePublicKeys,
    /// The transport key in clear: it was sealed to a key in software once.
    pub(crate) kek: [u8; 16],
    pub(crate) kek_kcv: Kcv,
    pub(crate) bureau_key: SealingKey,
    pub(crate) sealed_second_kek: SealedMaster,
    pub(crate) components: Vec<SealedComponent>,
    pub(crate) sealed_masters: Vec<SealedMaster>,
    pub(crate) index: Vec<[u8; 32]>,
    pub(crate) protected: Vec<u8>,
    pub(crate) rewrapped: Vec<Wrapped>,
}

/// One lane's tokens.
pub(crate) struct Stage {
    pub(crate) dir: PathBuf,
}

impl Stage {
    /// An empty one.
    pub(crate) fn new(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let stage = Self { dir: dir.to_owned() };
        stage.script("");
        stage
    }

    /// Makes the tokens and everything in them.
    pub(crate) fn furnish(&self) -> Known {
        for site in SITES {
            let setup = SetupConfig {
                module: program("libhsm_sim.so"),
                worker: Some(program("kms-hsm-worker")),
                environment: self.environment(site),
                deadline: Duration::from_secs(30),
                sandbox: SandboxMode::default(),
            };
            setup::init_token(&setup, site, &pin(SO_PIN), &pin(USER_PIN)).unwrap();
        }
        let (hsm, officer, bureau) = (self.hsm(), self.officer("instance"), self.bureau());
        let keys = hsm.create_instance_keys(&ids()).unwrap();
        let seal = |key: &[u8; 16], to: &SealingKey| to.as_sm2().unwrap().encrypt(key, &mut SysRng).unwrap();
        let components: Vec<_> = truth::COMPONENTS
            .iter()
            .map(|part| SealedComponent {
                ciphertext: seal(part, keys.component_import.as_ref().unwrap()),
                kcv: kcv(part),
            })
            .collect();
        let masters: Vec<_> = (1..=3).map(|number| (spec(number), [number; 16])).collect();
        hsm.masters_from_components(ids().component_import.unwrap(), &components, &masters).unwrap();
        let kek_kcv = officer.create_transport_key(KEK, "kek").unwrap();
        let bureau_key = bureau.create_import_key("import").unwrap();
        officer.trust_recipient(SOFTWARE, "software", &(*software().public()).into()).unwrap();
        officer.trust_recipient(BUREAU, "bureau", &bureau_key).unwrap();
        let opened = software().decrypt(&hsm.seal_transport_key(KEK, SOFTWARE).unwrap().ciphertext).unwrap();
        let kek: [u8; 16] = opened.as_slice().try_into().unwrap();
        assert_eq!(kcv(&kek), kek_kcv);
        let sealed_kek = hsm.seal_transport_key(KEK, BUREAU).unwrap();
        bureau.open_transport_key("import", KEK, &sealed_kek).unwrap();
        self.officer("bureau").create_personalization_key("personalization").unwrap();
        hsm.set_log_head(HEAD).unwrap();
        let sealed = |key: &[u8; 16]| SealedMaster { ciphertext: seal(key, &keys.import), kcv: kcv(key) };
        let mut known = Known {
            kek,
            kek_kcv,
            sealed_second_kek: SealedMaster { ciphertext: seal(&SECOND_KEK, &bureau_key), kcv: kcv(&SECOND_KEK) },
            bureau_key,
            components,
            sealed_masters: [[0x61; 16], [0x62; 16]].iter().map(sealed).collect(),
            index: hsm.card_index(ids().index, &crate::operation::values()).unwrap(),
            protected: hsm.protect(ids().storage, crate::operation::PLAINTEXT, b"context").unwrap(),
            rewrapped: Vec::new(),
            keys,
        };
        known.rewrapped = bureau.rewrap(KEK, "personalization", &crate::operation::items(&known)).unwrap().keys;
        known
    }

    /// Puts the tokens of `from` in place of its own.
    pub(crate) fn restore(&self, from: &Self) {
        for site in SITES {
            let (from, to) = (from.dir.join(site), self.dir.join(site));
            if to.exists() {
                std::fs::remove_dir_all(&to).unwrap();
            }
            copy(&from, &to);
        }
    }

    /// The script of the next workers; what they record and count begins anew.
    pub(crate) fn script(&self, text: &str) {
        std::fs::write(self.dir.join("script"), text).unwrap();
        let _ = std::fs::remove_file(self.dir.join("script.counts"));
        let _ = std::fs::remove_file(self.dir.join("fired"));
    }

    /// Lines of the record.
    pub(crate) fn fired(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir.join("fired")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Objects in both tokens.
    pub(crate) fn objects(&self) -> usize {
        SITES.iter().map(|site| self.objects_of(site)).sum()
    }

    fn objects_of(&self, site: &str) -> usize {
        let names = std::fs::read_dir(self.dir.join(site).join("token-0000/objects")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        // An object that is being replaced has two files for a moment; a crash may leave one that is none.
        let ids = names.filter(|name| !name.starts_with("tmp-")).map(|name| name.split('-').next().unwrap().to_owned());
        ids.collect::<BTreeSet<_>>().len()
    }

    pub(crate) fn hsm(&self) -> HsmClient {
        HsmClient::new(self.config("instance", USER_PIN)).unwrap()
    }

    pub(crate) fn officer(&self, site: &str) -> SoClient {
        SoClient::new(self.config(site, SO_PIN)).unwrap()
    }

    pub(crate) fn bureau(&self) -> BureauClient {
        BureauClient::new(self.config("bureau", USER_PIN)).unwrap()
    }

    fn config(&self, site: &str, text: &str) -> HsmConfig {
        let map = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/hsm/hsm-sim.toml");
        HsmConfig {
            worker: Some(program("kms-hsm-worker")),
            environment: self.environment(site),
            deadline: DEADLINE,
            ..HsmConfig::new(program("libhsm_sim.so"), map, site, PinSource::given(pin(text)))
        }
    }

    fn environment(&self, site: &str) -> Vec<(String, String)> {
        let path = |name: &str| self.dir.join(name).display().to_string();
        vec![
            ("HSM_SIM_DIR".to_owned(), path(site)),
            ("HSM_SIM_FAULTS".to_owned(), path("script")),
            ("HSM_SIM_FAULTS_LOG".to_owned(), path("fired")),
        ]
    }
}

fn pin(text: &str) -> Pin {
    Pin::new(text.as_bytes().to_vec()).unwrap()
}

/// A program of ours, built beside the tests.
fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let found = tests.parent().and_then(Path::parent).unwrap().join(name);
    assert!(found.exists(), "{} is missing: run `make build` first", found.display());
    found
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(to, private).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}
