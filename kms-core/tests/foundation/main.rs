//! The foundation modules against published vectors, against OpenSSL, and against what must be refused.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod cards;
mod certificate;
mod checkpoint;
mod digest;
mod diversify;
mod encoding;
mod key_file;
mod keys;
mod merkle;
mod openssl;
mod sm2;
mod vectors;
