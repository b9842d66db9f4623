//! The token through its C boundary, as any application sees it.
//!
//! Each test runs in a process of its own with a token directory of its own: the library's state is per process, and
//! its configuration comes from the environment. `harness::alone` starts that process.

#![allow(unsafe_code, reason = "the tests call a C library")]

mod attacks;
mod boundary;
mod chain;
mod harness;
mod openssl;
mod pins;
mod processes;
mod roles;
mod rules;
mod speed;
mod tools;
mod vectors;
