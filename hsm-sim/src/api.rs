//! What the PKCS#11 functions do, in safe Rust: one file per chapter of the standard. `ffi` translates C to this.

pub(crate) mod ciphers;
pub(crate) mod keys;
pub(crate) mod objects;
pub(crate) mod slots;
