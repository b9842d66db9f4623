//! The rules of the source tree, as tests: who may use whom, how files look, what the documents promise.
//!
//! Not behaviour. Guards: the architecture's arrows and the statements of README, ARCHITECTURE and
//! `docs/` stay true.

mod crates;
mod documents;
mod sources;
mod tree;
