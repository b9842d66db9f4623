//! SM2 private keys in PEM files: encrypted PKCS#8 for people, plain PKCS#8 and SEC1 for test keys.
//!
//! Not file access: the caller reads and writes. Guards: sizes and key derivation costs of a foreign
//! file are bounded before any work is done; every intermediate form is wiped.

use der::{SecretDocument, pem::LineEnding};
use pkcs8::{
    DecodePrivateKey as _, EncodePrivateKey as _, EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef,
    pkcs5::{
        EncryptionScheme,
        pbes2::{Kdf, Parameters},
    },
};
use zeroize::Zeroizing;

use super::{SecretKey, rand_core::TryCryptoRng};
use crate::secret::{Pin, scrub_stack};

/// Longest key file accepted, in bytes.
pub const KEY_FILE_BYTES_MAX: usize = 16 * 1024;

/// Highest scrypt cost accepted, as a power of two: 128 MiB at `r` = 8.
pub const KDF_LOG_N_MAX: u32 = 17;

/// Most PBKDF2 rounds accepted.
pub const KDF_ROUNDS_MAX: u32 = 10_000_000;

const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";
const PLAIN_LABEL: &str = "PRIVATE KEY";
/// SEC1, by its usual name and as OpenSSL 3 names it for this curve.
const SEC1_LABELS: [&str; 2] = ["EC PRIVATE KEY", "SM2 PRIVATE KEY"];

impl SecretKey {
    /// From one `ENCRYPTED PRIVATE KEY` block (PKCS#8, PBES2 with scrypt or PBKDF2, AES).
    pub fn from_pkcs8_encrypted_pem(pem: &str, password: &Pin) -> Result<Self, KeyFileError> {
        let document = read_pem(pem, ENCRYPTED_LABEL)?;
        let info =
            EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| KeyFileError::NotEncryptedPkcs8)?;
        check_cost(&info.encryption_algorithm)?;
        let opened = info.decrypt(password.expose()).map_err(|_| KeyFileError::WrongPassword)?;
        from_pkcs8_der(opened.as_bytes())
    }

    /// One `ENCRYPTED PRIVATE KEY` block: scrypt (N = 2^15, r = 8, p = 1) and AES-256-CBC, the
    /// strongest form that OpenSSL 3 reads without options. Blocks for about a tenth of a second.
    pub fn to_pkcs8_encrypted_pem<R: TryCryptoRng>(&self, password: &Pin, rng: &mut R) -> Result<String, KeyFileError> {
        let plain = self.to_pkcs8_der()?;
        let info = PrivateKeyInfoRef::try_from(plain.as_bytes()).map_err(|_| KeyFileError::NotSm2)?;
        let sealed = info.encrypt_with_rng(rng, password.expose()).map_err(|_| KeyFileError::Entropy)?;
        // Encrypted: may be an ordinary string.
        der::pem::encode_string(ENCRYPTED_LABEL, LineEnding::LF, sealed.as_bytes()).map_err(|_| KeyFileError::NotPem)
    }

    /// From a plain `PRIVATE KEY` (PKCS#8), `EC PRIVATE KEY` or `SM2 PRIVATE KEY` (SEC1) block, with or
    /// without a parameters block before it, as `openssl ecparam -name SM2 -genkey` prints them.
    /// For test keys: people keep theirs encrypted.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyFileError> {
        if pem.len() > KEY_FILE_BYTES_MAX {
            return Err(KeyFileError::TooLong { limit: KEY_FILE_BYTES_MAX, found: pem.len() });
        }
        for label in SEC1_LABELS {
            if let Some(start) = find_block(pem, label) {
                return from_sec1_der(read_pem(&pem[start..], label)?.as_bytes());
            }
        }
        let start = find_block(pem, PLAIN_LABEL).unwrap_or(0);
        from_pkcs8_der(read_pem(&pem[start..], PLAIN_LABEL)?.as_bytes())
    }

    /// One plain `PRIVATE KEY` block, for test keys and for tools that cannot read encrypted ones.
    pub fn dangerous_to_plain_pkcs8_pem(&self) -> Result<Zeroizing<String>, KeyFileError> {
        self.to_pkcs8_der()?.to_pem(PLAIN_LABEL, LineEnding::LF).map_err(|_| KeyFileError::NotPem)
    }

    fn to_pkcs8_der(&self) -> Result<SecretDocument, KeyFileError> {
        let key = ::sm2::SecretKey::from_slice(self.expose_scalar()).map_err(|_| KeyFileError::NotSm2)?;
        let document = key.to_pkcs8_der().map_err(|_| KeyFileError::NotSm2);
        drop(key);
        scrub_stack();
        document
    }
}

fn find_block(pem: &str, label: &str) -> Option<usize> {
    pem.find(&format!("-----BEGIN {label}-----"))
}

fn read_pem(pem: &str, expected: &'static str) -> Result<SecretDocument, KeyFileError> {
    if pem.len() > KEY_FILE_BYTES_MAX {
        return Err(KeyFileError::TooLong { limit: KEY_FILE_BYTES_MAX, found: pem.len() });
    }
    let (label, document) = SecretDocument::from_pem(pem).map_err(|_| KeyFileError::NotPem)?;
    if label == expected { Ok(document) } else { Err(KeyFileError::Label { expected, found: PemLabel::of(label) }) }
}

fn from_pkcs8_der(bytes: &[u8]) -> Result<SecretKey, KeyFileError> {
    let key = ::sm2::SecretKey::from_pkcs8_der(bytes).map_err(|_| KeyFileError::NotSm2)?;
    SecretKey::from_inner(key).map_err(|_| KeyFileError::NotSm2)
}

fn from_sec1_der(bytes: &[u8]) -> Result<SecretKey, KeyFileError> {
    let key = ::sm2::SecretKey::from_sec1_der(bytes).map_err(|_| KeyFileError::NotSm2)?;
    SecretKey::from_inner(key).map_err(|_| KeyFileError::NotSm2)
}

/// A file may ask for any amount of memory and time: bound both before obeying.
fn check_cost(scheme: &EncryptionScheme) -> Result<(), KeyFileError> {
    let EncryptionScheme::Pbes2(Parameters { kdf, .. }) = scheme else {
        return Err(KeyFileError::NotEncryptedPkcs8);
    };
    let affordable = match kdf {
        Kdf::Pbkdf2(pbkdf2) => pbkdf2.iteration_count <= KDF_ROUNDS_MAX,
        Kdf::Scrypt(scrypt) => {
            let cost = scrypt.cost_parameter;
            cost.is_power_of_two()
                && (2..=1 << KDF_LOG_N_MAX).contains(&cost)
                && (1..=8).contains(&scrypt.block_size)
                && (1..=4).contains(&scrypt.parallelization)
        }
        _ => return Err(KeyFileError::NotEncryptedPkcs8),
    };
    if affordable { Ok(()) } else { Err(KeyFileError::TooCostly) }
}

/// The labels a key file may carry by mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PemLabel {
    /// A certificate.
    Certificate,
    /// An encrypted PKCS#8 key.
    EncryptedPrivateKey,
    /// Anything else.
    Other,
    /// A plain PKCS#8 key.
    PrivateKey,
    /// A public key.
    PublicKey,
}

impl PemLabel {
    fn of(label: &str) -> Self {
        match label {
            "CERTIFICATE" => Self::Certificate,
            ENCRYPTED_LABEL => Self::EncryptedPrivateKey,
            _ if label == PLAIN_LABEL || SEC1_LABELS.contains(&label) => Self::PrivateKey,
            "PUBLIC KEY" => Self::PublicKey,
            _ => Self::Other,
        }
    }
}

/// Why a key file was not read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// The random source failed.
    #[error("the random source failed")]
    Entropy,
    /// A PEM block of another kind.
    #[error("expected a PEM block with the label {expected}, found another ({found:?})")]
    Label {
        /// The label wanted.
        expected: &'static str,
        /// The kind of block given.
        found: PemLabel,
    },
    /// Not PBES2 with scrypt or PBKDF2 and AES.
    #[error("not an encrypted PKCS#8 key with PBES2, scrypt or PBKDF2, and AES")]
    NotEncryptedPkcs8,
    /// No PEM block, or a damaged one.
    #[error("not a PEM file")]
    NotPem,
    /// Another curve or algorithm, or a scalar out of range.
    #[error("not an SM2 private key")]
    NotSm2,
    /// Key derivation would take too much memory or time.
    #[error("the file asks for more work than scrypt N = 2^{KDF_LOG_N_MAX} or {KDF_ROUNDS_MAX} PBKDF2 rounds")]
    TooCostly,
    /// Longer than any key file.
    #[error("the key file has {found} bytes, at most {limit} are accepted")]
    TooLong {
        /// [`KEY_FILE_BYTES_MAX`].
        limit: usize,
        /// Bytes given.
        found: usize,
    },
    /// The password is wrong, or the file is damaged: AES-CBC cannot tell.
    #[error("wrong password, or a damaged key file")]
    WrongPassword,
}
