//! The token through its C boundary, as any application sees it.
//!
//! Each test runs in a process of its own with a token directory of its own: the library's state is per process, and
//! its configuration comes from the environment. `harness::alone` starts that process.

#![allow(unsafe_code, reason = "the tests call a C library")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_imports, reason = "every test speaks in the numbers of the standard and of the harness")]

mod attacks;
mod attacks_handles;
mod attacks_variants;
mod boundary;
mod chain;
mod copies;
mod faults;
mod faults_answers;
mod faults_script;
mod fuzz;
mod harness;
mod memory;
mod openssl;
mod pins;
mod processes;
mod profiles;
mod profiles_rules;
mod profiles_tables;
mod roles;
mod rules;
mod sequences;
mod session;
mod speed;
mod standard_general;
mod standard_objects;
mod standard_operations;
mod threads;
mod tools;
mod vectors;
