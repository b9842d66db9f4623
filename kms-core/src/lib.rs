//! kms-core
pub mod digest;
pub mod words;
pub mod sm2;
pub mod encoding;
pub mod secret;
pub mod log;
pub mod diversify;
pub mod policy;
pub mod quorum;
pub mod lifecycle;
pub mod profile;
pub mod id;
pub mod ports;
pub mod cards;
pub mod certificate;

pub mod document;
pub mod event;
pub mod package;
pub mod plan;
pub mod proof;
pub mod render;
pub mod state;
pub mod violation;
pub mod verify;
