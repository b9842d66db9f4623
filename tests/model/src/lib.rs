//! Exhaustive search of the ceremony rules.
//!
//! A world small enough to be searched whole: four officers with the requester among them, a threshold that moves, a
//! clock that moves both ways, two executors with leases, crashes, a pause and a plan that resumes. Every decision in
//! it is made by the real functions of `kms_core::quorum` and `kms_core::state::Phase`. After every effect an
//! oracle, which is arithmetic on bits and calls none of them, must agree that it was allowed.
//!
//! A [`Mutant`] feeds the real functions facts as if one guard were absent; the search must then find a violation. Not
//! here: signatures, encodings, HSM and files, which have tests of their own.

mod search;
mod world;

pub use search::{Found, search};
pub use world::{Bounds, Mutant, Violation, World};
