//! SM2 keys and signatures in software: verification, sealing to a public key, and the private keys
//! of people and bureaus. Curve sm2p256v1, SM3, signer id 1234567812345678 (GM/T 0003, GM/T 0009).
//!
//! Not the keys of an instance, which stay in its HSM, and not certificates
//! (see [`crate::certificate`]). Guards: a public key is a point of the curve; one DER form per value;
//! a private key has no `Debug` and no `Clone` and is wiped on drop.

mod private_key;
mod private_key_file;
mod public_key;

pub use ::sm2::elliptic_curve::rand_core;

pub use private_key::{DecryptError, GenerateError, InvalidScalar, SCALAR_BYTES, SecretKey, SigningFailed};
pub use private_key_file::{KDF_LOG_N_MAX, KDF_ROUNDS_MAX, KEY_FILE_BYTES_MAX, KeyFileError, PemLabel};
pub(crate) use public_key::SPKI_PREFIX;
pub use public_key::{EncryptError, InvalidPublicKey, PLAINTEXT_BYTES_MAX, PublicKey, SPKI_BYTES};

/// The signer id of GM/T 0009, used everywhere in this system.
pub const SIGNER_ID: &str = "1234567812345678";
