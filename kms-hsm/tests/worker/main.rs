//! The adapter from outside: real worker processes, a real PKCS#11 module (hsm-sim), stories.

mod bureau;
mod faults;
mod harness;
mod instance;
mod masters;
mod pin;
