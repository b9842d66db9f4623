//! The domain of the KMS: pure, synchronous, without I/O, clock, environment or HSM.
//!
//! Read in this order:
//!
//! | module | what it holds |
//! |---|---|
//! | [`id`], [`digest`], [`words`], [`secret`] | names, SM3 values and how they are read aloud, secret boxes, check values |
//! | [`suite`], [`keys`] | families of algorithms; public keys of either, and signatures under them |
//! | [`sm2`], [`certificate`] | signatures and sealing in software; what a pinned certificate says |
//! | [`encoding`], [`document`], [`plan`], [`event`], [`package`], [`proof`] | everything that is signed, stored or sent, as strict DER |
//! | [`log`] | Merkle tree and checkpoints |
//! | [`profile`], [`diversify`], [`policy`], [`cards`] | a card product's keys, how keys descend, quorum rules, card lists |
//! | [`quorum`] | who counts, how many are wanted, until when: pure rules that the fold and the model check share |
//! | [`state`], [`violation`] | the state machine: fold of the log, and every rule that can be broken |
//! | [`render`] | a plan in words, for the officer who signs it |
//! | [`verify`] | offline audit of a log, offline check of a package |
//! | [`ports`] | what the domain asks of an HSM |
//! | [`attack`] | the attacks a token is probed with, in words |
//!
//! Words: an *instance* is one KMS (national or provincial) with one key log. A *ceremony* is a plan that officers
//! approve and the instance runs. A *step* is one effect of a plan, with an INTENT before and an OUTCOME after. A
//! *batch* is the card keys for one card list; it leaves as a *package* of *chunks*.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod attack;
pub mod cards;
pub mod certificate;
pub mod digest;
pub mod diversify;
pub mod document;
pub mod encoding;
pub mod event;
pub mod id;
pub mod keys;
pub mod log;
pub mod package;
pub mod plan;
pub mod policy;
pub mod ports;
pub mod profile;
pub mod proof;
pub mod quorum;
pub mod render;
pub mod secret;
pub mod sm2;
pub mod state;
pub mod suite;
pub mod verify;
pub mod violation;
pub mod words;
