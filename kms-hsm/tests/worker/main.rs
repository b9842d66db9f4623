//! The adapter from outside: real worker processes, a real PKCS#11 module (hsm-sim), stories.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, helpers included")]

mod bureau;
mod device;
mod doctor;
mod faults;
mod harness;
mod instance;
mod inventory;
mod lanes;
mod maps;
mod masters;
mod pin;
mod probe;
mod sandbox;
