//! The KMS's way to an HSM: `kms_core::ports` over PKCS#11, in worker processes.
//!
//! [`HsmClient`], [`SoClient`] and [`BureauClient`] are all that server and CLI see. Each talks to
//! `kms-hsm-worker` processes, one per token and role; only a worker loads a vendor's library, and
//! only a worker holds a PIN in use. This crate is the only one that names cryptoki.
//!
//! | Module | What |
//! |---|---|
//! | `client`, [`config`], [`setup`] | this side of the pipe: deadlines, restarts, the ladder of retries |
//! | `wire` | what the two sides say |
//! | [`worker`], `lockdown`, [`sandbox`] | that side: one library, one role, one pipe; what it gives up first |
//! | `module`, `session` | one library, one token, its session; find by CKA_ID |
//! | `lanes` | several sessions of the login at work on one order |
//! | `template`, [`vendor`] | what each key may do; what each make calls it |
//! | `instance`, `pair`, `masters`, `seal`, `issue`, `storage`, `bureau`, `officer` | the duties |
//! | `inventory` | a token's objects against the list of keys that should be in it |
//! | [`probe`] | what a token's user could do to it: the battery of attacks |
//! | [`doctor`] | what works on a token, what does not, and what to do about it |
//! | `check_value` | how a key is confirmed on a make |
//! | `raw`, `fault` | calls into the library; what their failures mean |
//!
//! Invariants: a worker never serves two roles; a failed login is never repeated; a key found in a
//! token is used or adopted only with the attributes of its template; a card key never lasts longer
//! than the call that wraps it.

mod bureau;
mod check_value;
mod ciphertext;
mod client;
pub mod config;
pub mod doctor;
mod fault;
mod instance;
mod inventory;
mod issue;
mod lanes;
mod lockdown;
mod masters;
mod module;
mod officer;
mod pair;
pub mod probe;
mod raw;
pub mod sandbox;
mod seal;
mod session;
pub mod setup;
mod storage;
mod template;
mod twice;
pub mod vendor;
mod wire;
pub mod worker;

pub use client::{BureauClient, HsmClient, SoClient};
pub use config::{HsmConfig, Lanes, PinSource};
pub use lockdown::{Dropped, drop_privileges};
pub use sandbox::{SANDBOX_INCOMPLETE, SandboxMode};
pub use vendor::{MapError, VendorMap};
pub use wire::{CHUNK_KEYS_MAX, FRAME_BYTES_MAX};
