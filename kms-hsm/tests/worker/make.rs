//! One make of HSM: a module, its map, fresh tokens; and the references that results are compared with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};
use aes_kw::{AesKw, InnerInit as _};
use getrandom::SysRng;
use kms_core::keys::{PublicKey, SealingKey};
use kms_core::secret::{Kcv, KcvMethod};
use kms_core::suite::KeyWrap;
use kms_hsm::setup::{self, SetupConfig};
use kms_hsm::{BureauClient, HsmClient, HsmConfig, PinSource, SandboxMode, SoClient, VendorMap};
use sm4::Sm4;

use crate::harness::{SO_PIN, USER_PIN, module, pin, software_key, worker};
use crate::probe::softhsm;

/// A make with a folder of tokens.
pub(crate) struct Make {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) cipher: Cipher,
    module: PathBuf,
    map: PathBuf,
    environment: Vec<(String, String)>,
}

/// The block cipher of cards, worked out outside of any HSM.
#[derive(Clone, Copy)]
pub(crate) enum Cipher {
    Aes,
    Sm4,
    /// hsm-sim's stand-in, as its README defines it.
    StandIn,
}

impl Cipher {
    pub(crate) fn encrypt(self, key: &[u8; 16], block: &[u8; 16]) -> [u8; 16] {
        let mut out = (*block).into();
        match self {
            Self::Aes => Aes128::new(key.into()).encrypt_block(&mut out),
            Self::Sm4 => Sm4::new(key.into()).encrypt_block(&mut out),
            Self::StandIn => {
                use sm3::Digest as _;
                let hash = sm3::Sm3::new_with_prefix(b"hsm-sim: stand-in, NOT SM1").chain_update(key).finalize();
                let inner: [u8; 16] = hash[..16].try_into().unwrap();
                Sm4::new(&inner.into()).encrypt_block(&mut out);
            }
        }
        out.into()
    }

    pub(crate) fn kcv(self, key: &[u8; 16]) -> Kcv {
        Kcv::truncated(KcvMethod::Ecb3, &self.encrypt(key, &[0; 16])).unwrap()
    }
}

impl Make {
    /// hsm-sim in a numbering.
    pub(crate) fn simulated(profile: &str, map: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut environment = vec![
            ("HSM_SIM_DIR".to_owned(), directory.path().display().to_string()),
            ("HSM_SIM_PROFILE".to_owned(), profile.to_owned()),
        ];
        let mut cipher = Cipher::Sm4;
        if map.ends_with("-sm1") {
            environment.push(("HSM_SIM_SM1_STAND_IN".to_owned(), "1".to_owned()));
            cipher = Cipher::StandIn;
        }
        Self { directory, cipher, module: module(), map: delivered(map), environment }
    }

    /// SoftHSM with its delivered map.
    pub(crate) fn softhsm() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tokens = directory.path().join("tokens");
        std::fs::create_dir(&tokens).unwrap();
        let configuration = directory.path().join("softhsm2.conf");
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
            tokens.display()
        );
        std::fs::write(&configuration, text).unwrap();
        let environment = vec![("SOFTHSM2_CONF".to_owned(), configuration.display().to_string())];
        let map = delivered("softhsm2");
        Self { directory, cipher: Cipher::Aes, module: softhsm(), map, environment }
    }

    /// The same with its map changed.
    pub(crate) fn with_map(mut self, change: impl Fn(&str) -> String) -> Self {
        let text = change(&std::fs::read_to_string(&self.map).unwrap());
        self.map = self.directory.path().join("map.toml");
        std::fs::write(&self.map, text).unwrap();
        self
    }

    pub(crate) fn init(&self, label: &str) {
        let setup = SetupConfig {
            module: self.module.clone(),
            worker: Some(worker()),
            environment: self.environment.clone(),
            deadline: Duration::from_secs(20),
            sandbox: SandboxMode::default(),
        };
        setup::init_token(&setup, label, &pin(SO_PIN), &pin(USER_PIN)).unwrap();
    }

    pub(crate) fn map(&self) -> VendorMap {
        VendorMap::read(&self.map).unwrap()
    }

    pub(crate) fn config(&self, label: &str, pin: &str) -> HsmConfig {
        HsmConfig {
            worker: Some(worker()),
            environment: self.environment.clone(),
            deadline: Duration::from_secs(30),
            ..HsmConfig::new(self.module.clone(), self.map.clone(), label, PinSource::given(self::pin(pin)))
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

    /// Seals bytes to a key of the token, outside of any HSM.
    pub(crate) fn seal(&self, to: &SealingKey, bytes: &[u8; 16]) -> Vec<u8> {
        match to.as_sm2() {
            Some(key) => key.encrypt(bytes, &mut SysRng).unwrap(),
            None => {
                let place = self.directory.path().join("recipient.pem");
                std::fs::write(&place, PublicKey::from(to.clone()).to_pem()).unwrap();
                let arguments = ["-encrypt", "-pubin", "-inkey", place.to_str().unwrap()];
                openssl(&[&["pkeyutl"], &arguments[..], &OAEP].concat(), bytes)
            }
        }
    }

    /// A recipient whose private half lies outside of any HSM.
    pub(crate) fn outside(&self) -> Outside {
        match self.cipher {
            Cipher::Sm4 | Cipher::StandIn => Outside { key: (*software_key(0x31).public()).into(), place: None },
            Cipher::Aes => {
                let place = self.directory.path().join("outside.pem");
                let path = place.to_str().unwrap();
                openssl(&["genrsa", "-out", path, "2048"], &[]);
                let pem = String::from_utf8(openssl(&["pkey", "-in", path, "-pubout"], &[])).unwrap();
                Outside { key: SealingKey::from_pem(&pem).unwrap(), place: Some(place) }
            }
        }
    }
}

/// SHA-1, as SoftHSM has it.
const OAEP: [&str; 4] = ["-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha1"];

/// A key pair outside of any HSM.
pub(crate) struct Outside {
    pub(crate) key: SealingKey,
    place: Option<PathBuf>,
}

impl Outside {
    pub(crate) fn open(&self, sealed: &[u8]) -> [u8; 16] {
        let opened = match &self.place {
            None => software_key(0x31).decrypt(sealed).unwrap().to_vec(),
            Some(place) => {
                let arguments = ["-decrypt", "-inkey", place.to_str().unwrap()];
                openssl(&[&["pkeyutl"], &arguments[..], &OAEP].concat(), sealed)
            }
        };
        opened.try_into().unwrap()
    }
}

/// Opens a wrapped card key with the transport key's value. The cipher of transport keys is never SM1.
pub(crate) fn unwrap(cipher: Cipher, wrap: KeyWrap, kek: &[u8; 16], blob: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    match (wrap, cipher) {
        (KeyWrap::Rfc3394, Cipher::Aes) => {
            AesKw::inner_init(Aes128::new(kek.into())).unwrap_key(blob, &mut out).unwrap();
        }
        (KeyWrap::Rfc3394, _) => {
            AesKw::inner_init(Sm4::new(kek.into())).unwrap_key(blob, &mut out).unwrap();
        }
        (KeyWrap::Ecb, cipher) => {
            let mut block = <[u8; 16]>::try_from(blob).unwrap().into();
            match cipher {
                Cipher::Aes => Aes128::new(kek.into()).decrypt_block(&mut block),
                Cipher::Sm4 | Cipher::StandIn => Sm4::new(kek.into()).decrypt_block(&mut block),
            }
            out = block.into();
        }
    }
    out
}

pub(crate) fn delivered(map: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../policies/hsm/{map}.toml"))
}

/// Runs the openssl program; answers its standard output.
pub(crate) fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the openssl program");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The cipher of keys that wrap and store.
pub(crate) const fn block_cipher(cards: Cipher) -> Cipher {
    match cards {
        Cipher::StandIn => Cipher::Sm4,
        other => other,
    }
}
