//! The adapter from outside: real worker processes, a real PKCS#11 module (hsm-sim), stories.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, helpers included")]

mod bureau;
mod device;
mod doctor;
mod faults;
mod harness;
mod instance;
mod intl;
mod inventory;
mod job;
mod lanes;
mod make;
mod maps;
mod masters;
mod numberings;
mod pin;
mod probe;
mod sandbox;
