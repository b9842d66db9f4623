//! What comes of an HSM that fails: the real client and worker over `hsm-sim`, whose fault script says which call goes
//! wrong, when, and how.
//!
//! Every operation is run once without faults to learn which calls it makes. Then every fault that can hit one of them is a
//! point: at the first, the middle and the last of these calls, once or from then on. Each point ends in the right result,
//! compared byte for byte with what the cipher crates compute, or in an error of the class that the fault belongs to; and
//! afterwards the same request gives the right result, with every key there once. One line of JSON goes to standard error:
//! `{points, fired, kinds, right, stopped, caught, wrong, lost, doubled, left, pins}`. `KMS_FAULTS=full` runs every point
//! instead of a spread.
//!
//! Guards: no wrong blob is released, no key lost or doubled, no session object left, no PIN tried again; and fewer faults
//! or kinds of them than the floor fail the run.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be; the lints' exception covers test functions only"
)]

mod blow;
mod campaign;
mod judge;
mod operation;
mod report;
mod stage;
mod truth;
