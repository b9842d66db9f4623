//! hsm-sim: a software PKCS#11 2.40 token with the SM algorithms.
//!
//! A cdylib that is loaded by path like a vendor's module. It does what a well-made HSM does with the templates of a key
//! management system, refuses what such an HSM must refuse, and keeps its objects on disk. It is software: it protects
//! keys against its callers, not against the machine it runs on, and `sm4` is table-driven and not constant-time.
//!
//! From the outside in: `ffi` reads the caller's memory, `api` is the standard's chapters in safe Rust, `rules` decides,
//! `mechanism` computes, `module`, `session`, `token` and `storage` keep state. `fault` breaks calls on purpose.

mod api;
mod attribute;
pub mod clone;
mod fault;
mod ffi;
mod mechanism;
mod module;
mod object;
mod profile;
mod rules;
mod rv;
mod secret;
mod session;
mod storage;
mod token;

pub use ffi::C_GetFunctionList;
