//! kms-core
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod cards;
pub mod certificate;
pub mod digest;
pub mod diversify;
pub mod encoding;
pub mod id;
pub mod lifecycle;
pub mod log;
pub mod policy;
pub mod ports;
pub mod profile;
pub mod quorum;
pub mod secret;
pub mod sm2;
pub mod words;

pub mod document;
pub mod event;
pub mod package;
pub mod plan;
pub mod proof;
pub mod render;
pub mod state;
pub mod verify;
pub mod violation;
