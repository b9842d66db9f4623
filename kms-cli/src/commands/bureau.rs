//! `kms bureau init`: keys, certificates, HSM keys and the signed application of a bureau.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use der::asn1::OctetString;
use kms_core::certificate::Certificate;
use kms_core::document::BureauApplication;
use kms_core::encoding::{Document, check_text};
use kms_core::id::BureauId;
use kms_core::ports::{BureauHsm, BureauOfficerToken};
use kms_core::sm2::{KEY_FILE_BYTES_MAX, SecretKey};
use kms_hsm::{BureauClient, SoClient};
use zeroize::Zeroizing;

use crate::certificates::{self, Usage};
use crate::commands::anchor;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::files::{self, Access};
use crate::identity::{self, now_ms};
use crate::settings::ConfigOption;
use crate::token::{self, NamedToken, TokenOptions};

/// Label of the key pair that transport keys are sealed to.
pub(crate) const IMPORT_LABEL: &str = "BUREAU IMPORT";
/// Label of the key that personalization machines share.
pub(crate) const PERSONALIZATION_LABEL: &str = "PERSONALIZATION KEK";
/// Longest company name in bytes.
const NAME_BYTES_MAX: usize = 100;

/// A personalization bureau's own side
#[derive(Subcommand, Debug)]
pub(crate) enum Bureau {
    /// Make keys, certificates and the application to be registered with
    Init(Init),
}

/// Options of `kms bureau init`.
#[derive(Args, Debug)]
pub(crate) struct Init {
    /// Id you want to be registered under
    #[arg(long)]
    id: BureauId,
    /// Company name
    #[arg(long)]
    name: String,
    /// Folder for keys, certificates and application
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// File with the password of the new key files (mode 600); asked for twice when absent
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    token: TokenOptions,
    /// File with the user PIN (mode 600); asked for when absent
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// File with the SO PIN (mode 600), for the TRUSTED personalization key; asked for when absent
    #[arg(long, value_name = "FILE")]
    so_pin_file: Option<PathBuf>,
    /// Label of the HSM key pair that transport keys are sealed to
    #[arg(long, default_value = IMPORT_LABEL)]
    import_key: String,
    /// Label of the key that opened card keys are wrapped under again
    #[arg(long, default_value = PERSONALIZATION_LABEL)]
    personalization_key: String,
    /// TEST ONLY: this known private key (plain PEM) becomes HSM import key and encryption key
    #[arg(long, value_name = "FILE", requires = "anchor")]
    bureau_key: Option<PathBuf>,
    /// With --bureau-key: trust anchor of the instance, which must be a test instance
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
}

impl Bureau {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        match self {
            Self::Init(init) => init.run(),
        }
    }
}

impl Init {
    fn run(&self) -> Outcome<()> {
        check_text(&self.name, NAME_BYTES_MAX)
            .map_err(|reason| Failure::input(format!("name: {reason}"), "give the company name"))?;
        if self.dir.join("application.der").exists() {
            return Err(Failure::input(
                format!("{} holds a bureau already", self.dir.display()),
                "choose another folder",
            ));
        }
        let known = self.known_key()?;
        let password =
            identity::new_password(self.password_file.as_deref(), &format!("new password of the keys of {}", self.id))?;
        let signing = identity::generate()?;
        let encryption = match &known {
            Some(known) => copy(known)?,
            None => identity::generate()?,
        };
        let signing_certificate = certificates::issue(&self.name, signing.public(), Usage::Signing, &signing)?;
        let encryption_certificate = certificates::issue(&self.name, encryption.public(), Usage::Encryption, &signing)?;

        let settings = self.config.read()?;
        let named = self.token.named(&settings)?;
        let pin_file = self.pin_file.clone().or(settings.pin_file);
        let pin = token::pin(pin_file.as_deref(), &format!("user PIN of token {}", named.label))?;
        let hsm = BureauClient::new(named.config(pin)).map_err(|reason| token::bad_map(&reason))?;
        let status = hsm.status()?;
        token::show(&status);
        let made = match &known {
            Some(known) => hsm.install_import_key(&self.import_key, known.expose_scalar()),
            None => hsm.create_import_key(&self.import_key),
        };
        let hsm_key = made.map_err(|error| token::failed(error, || hsm.status()))?;
        let wrap = hsm.abilities().wrap;
        drop(hsm);
        let kcv = self.personalization_key(&named)?;

        let application = BureauApplication {
            label: BureauApplication::LABEL.to_owned(),
            bureau: self.id.clone(),
            name: self.name.clone(),
            signing_certificate: octets(signing_certificate.der())?,
            encryption_certificate: octets(encryption_certificate.der())?,
            hsm_key: hsm_key.clone(),
            wrap,
            hsm_serial: status.serial,
            created_ms: now_ms(),
        };
        let signed = identity::sign(application, &signing)?;
        files::make_folder(&self.dir, Access::Owner)?;
        identity::save_key(&signing, &self.dir.join("signing.pem"), &password)?;
        identity::save_key(&encryption, &self.dir.join("encryption.pem"), &password)?;
        save_certificate(&self.dir.join("signing.crt"), &signing_certificate)?;
        save_certificate(&self.dir.join("encryption.crt"), &encryption_certificate)?;
        files::write_new(&self.dir.join("application.der"), signed.bytes(), Access::Anyone)?;

        console::field("bureau", format!("{} ({})", self.id, self.name));
        console::field("signing key", signing.public().id());
        console::field("encryption key", encryption.public().id());
        console::field("HSM import key", format!("{} (label {})", hsm_key.id(), self.import_key));
        console::field("personalization key", format!("label {}, check value {kcv}", self.personalization_key));
        console::digest("application (SM3)", &signed.digest());
        console::field("written to", self.dir.display());
        console::say("Send application.der to the instance, and read its digest to an officer there by telephone.");
        Ok(())
    }

    fn known_key(&self) -> Outcome<Option<SecretKey>> {
        let (Some(path), Some(anchor)) = (&self.bureau_key, &self.anchor) else {
            return Ok(None);
        };
        anchor::read(anchor)?.require_test("--bureau-key")?;
        let pem = Zeroizing::new(files::read_text(path, KEY_FILE_BYTES_MAX)?);
        let key = SecretKey::from_pkcs8_pem(&pem).map_err(|reason| {
            Failure::input(
                format!("{}: {reason}", path.display()),
                "give a plain PEM private key, as `openssl ecparam -name SM2 -genkey` prints it",
            )
        })?;
        console::note("TEST ONLY: the bureau's HSM key and encryption key are a known private key.");
        Ok(Some(key))
    }

    fn personalization_key(&self, named: &NamedToken) -> Outcome<kms_core::secret::Kcv> {
        let pin = token::pin(self.so_pin_file.as_deref(), &format!("SO PIN of token {}", named.label))?;
        let officer = SoClient::new(named.config(pin)).map_err(|reason| token::bad_map(&reason))?;
        Ok(officer.create_personalization_key(&self.personalization_key)?)
    }
}

fn copy(key: &SecretKey) -> Outcome<SecretKey> {
    let mut scalar = *key.expose_scalar();
    SecretKey::from_scalar(kms_core::secret::Secret::take(&mut scalar)).map_err(Failure::internal)
}

fn octets(bytes: &[u8]) -> Outcome<OctetString> {
    OctetString::new(bytes).map_err(Failure::internal)
}

fn save_certificate(path: &Path, certificate: &Certificate) -> Outcome<()> {
    files::write_new(path, certificate.to_pem().as_bytes(), Access::Anyone)
}
