//! The commands, one file per noun.

pub(crate) mod anchor;
pub(crate) mod audit;
pub(crate) mod batch;
pub(crate) mod bureau;
pub(crate) mod ceremony;
pub(crate) mod genesis;
pub(crate) mod handover;
pub(crate) mod hsm;
pub(crate) mod officer;
pub(crate) mod policy;
pub(crate) mod quickstart;
pub(crate) mod view;
pub(crate) mod witness;
