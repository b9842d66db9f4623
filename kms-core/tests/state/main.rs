//! The fold of the log, driven from outside: stories, a random model, tampering.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests stop at the first surprise")]

mod audit;
mod ceremonies;
mod model;
mod pausing;
mod roster;
mod suites;
mod tokens;
mod world;
