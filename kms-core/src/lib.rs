//! kms-core
pub mod digest;
pub mod words;
pub mod sm2;
pub mod encoding;
pub mod secret;
pub mod log;
