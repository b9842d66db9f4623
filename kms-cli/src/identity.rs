//! Whose key signs: encrypted key files of officers, auditors and bureaus.
//!
//! Guards: a private key is read only from an encrypted file (test keys apart, by another name); the
//! password comes from the terminal or a file that only its owner can read, never from arguments.

use std::path::{Path, PathBuf};

use clap::Args;
use getrandom::SysRng;
use kms_core::encoding::{Document, Signed};
use kms_core::keys::SignatureAlgorithm;
use kms_core::secret::Pin;
use kms_core::sm2::{KEY_FILE_BYTES_MAX, KeyFileError, SecretKey};
use zeroize::Zeroizing;

use crate::console;
use crate::failure::{Exit, Failure, Outcome, no_entropy};
use crate::files::{self, Access};
use crate::settings::wanted;

/// The key that signs, and where its password is.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct KeyOptions {
    /// Your private key, an encrypted PKCS#8 PEM file
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// File with its password (mode 600); asked for when absent
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

impl KeyOptions {
    /// Opens the key.
    pub(crate) fn open(&self) -> Outcome<SecretKey> {
        open_key(&wanted(self.key.clone(), None, "key")?, self.password_file.as_deref())
    }
}

/// Opens an encrypted key file.
pub(crate) fn open_key(path: &Path, password_file: Option<&Path>) -> Outcome<SecretKey> {
    let pem = Zeroizing::new(files::read_text(path, KEY_FILE_BYTES_MAX)?);
    let password = match password_file {
        Some(file) => files::read_secret(file)?,
        None => console::password(&format!("password of {}", path.display()), false)?,
    };
    SecretKey::from_pkcs8_encrypted_pem(&pem, &password).map_err(|reason| {
        let what = format!("{}: {reason}", path.display());
        match reason {
            KeyFileError::WrongPassword => {
                Failure::new(Exit::Secret, what, "check the password and repeat the command")
            }
            _ => Failure::input(what, "give the key file that `kms officer keygen` or `kms bureau init` wrote"),
        }
    })
}

/// A new password: from the file, or asked for twice.
pub(crate) fn new_password(file: Option<&Path>, what: &str) -> Outcome<Pin> {
    match file {
        Some(file) => files::read_secret(file),
        None => console::password(what, true),
    }
}

/// A fresh key.
pub(crate) fn generate() -> Outcome<SecretKey> {
    SecretKey::generate(&mut SysRng).map_err(no_entropy)
}

/// Writes `key` encrypted to `path` and its public half to `<path without .pem>.pub.pem`.
pub(crate) fn save_key(key: &SecretKey, path: &Path, password: &Pin) -> Outcome<PathBuf> {
    let public_path = path.with_extension("pub.pem");
    let pem = key.to_pkcs8_encrypted_pem(password, &mut SysRng).map_err(Failure::internal)?;
    files::write_new(path, pem.as_bytes(), Access::Owner)?;
    files::write_new(&public_path, key.public().to_pem().as_bytes(), Access::Anyone)?;
    Ok(public_path)
}

/// Signs a document.
pub(crate) fn sign<D: Document>(document: D, key: &SecretKey) -> Outcome<Signed<D>> {
    let bytes = kms_core::encoding::tbs_bytes(&document).map_err(Failure::internal)?;
    let signature = key.sign(&bytes).map_err(Failure::internal)?;
    Signed::assemble(document, SignatureAlgorithm::Sm2Sm3, &signature).map_err(Failure::internal)
}

/// `N` random bytes.
pub(crate) fn random<const N: usize>() -> Outcome<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(no_entropy)?;
    Ok(bytes)
}

/// The clock of this computer in milliseconds since 1970: evidence, not authority.
pub(crate) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|d| u64::try_from(d.as_millis()).ok()).unwrap_or(0)
}
