//! The rules of the source tree, as tests: who may use whom, how files look, what the documents promise.
//!
//! Not behaviour. Guards: the architecture's arrows and the statements of README, ARCHITECTURE and
//! `docs/` stay true.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be; the lints' exception covers test functions only"
)]

mod crates;
mod documents;
mod sources;
mod tree;
