//! Stories from outside: real servers, real commands, the simulator as token, as a user has them.
//!
//! One `kms quickstart` makes the scene; every story works on its own copy of it. Guards: what README,
//! ARCHITECTURE and SECURITY promise holds for the programs, not only for their parts.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be; the lints' exception covers test functions only"
)]

mod batches;
mod cards;
mod ceremonies;
mod crash;
mod database;
mod documents;
mod handover;
mod harness;
mod hsm;
mod http;
mod independent;
mod inspection;
mod memory;
mod packages;
mod production;
mod requests;
mod roster;
mod submissions;
