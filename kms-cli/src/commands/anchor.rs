//! `kms anchor`: the public identity of an instance, and the digest that people compare.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use kms_core::document::TrustAnchor;
use kms_core::encoding::{Document, SIGNED_OVERHEAD_BYTES_MAX, Signed};
use kms_core::plan::{Environment, Level};
use kms_core::state::checked_anchor;

use crate::client::{Client, ServerOptions};
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::files::{self, Access};

/// Longest signed anchor in bytes.
pub(crate) const ANCHOR_BYTES_MAX: usize = TrustAnchor::BYTES_MAX + SIGNED_OVERHEAD_BYTES_MAX;

/// Trust anchors: the public identity of an instance
#[derive(Subcommand, Debug)]
pub(crate) enum Anchor {
    /// Fetch the anchor of an instance and show its digest
    Fetch(Fetch),
    /// Show an anchor file, its digest in hex and as words to compare by telephone (offline)
    Show {
        /// The anchor
        file: PathBuf,
    },
}

/// Options of `kms anchor fetch`.
#[derive(Args, Debug)]
pub(crate) struct Fetch {
    #[command(flatten)]
    server: ServerOptions,
    /// Where it goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Anchor {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        match self {
            Self::Fetch(options) => fetch(&options.server.connect_unsigned()?, &options.out),
            Self::Show { file } => show(&read(file)?),
        }
    }
}

/// An anchor whose own signature holds. Whether it is the right one, people find out by comparing.
pub(crate) struct ReadAnchor {
    /// The signed bytes.
    pub(crate) bytes: Vec<u8>,
    /// The content.
    pub(crate) anchor: TrustAnchor,
}

impl ReadAnchor {
    /// Checks form and self-signature.
    pub(crate) fn parse(bytes: Vec<u8>) -> Outcome<Self> {
        let anchor = checked_anchor(&bytes, "trust anchor").map_err(|reason| {
            Failure::not_verified(reason.to_string(), "get the trust anchor again, from people you trust")
        })?;
        Ok(Self { bytes, anchor })
    }

    /// Refuses test conveniences for a production instance.
    pub(crate) fn require_test(&self, convenience: &str) -> Outcome<()> {
        match self.anchor.environment {
            Environment::Test => Ok(()),
            Environment::Production => Err(Failure::input(
                format!("{convenience} is for test instances; {} is PRODUCTION", self.anchor.origin),
                "let the HSM or the custodian make the secret",
            )),
        }
    }
}

/// Reads an anchor file.
pub(crate) fn read(path: &Path) -> Outcome<ReadAnchor> {
    ReadAnchor::parse(files::read(path, ANCHOR_BYTES_MAX)?)
}

/// Fetches, saves and shows an anchor.
pub(crate) fn fetch(client: &Client, path: &Path) -> Outcome<()> {
    let read = ReadAnchor::parse(client.get_bytes("/v1/anchor", ANCHOR_BYTES_MAX)?)?;
    files::write_new(path, &read.bytes, Access::Anyone)?;
    show(&read)?;
    console::field("written to", path.display());
    console::say("Compare the digest with somebody at the instance before you rely on it.");
    Ok(())
}

fn show(read: &ReadAnchor) -> Outcome<()> {
    let anchor = &read.anchor;
    let signed = Signed::<TrustAnchor>::parse(&read.bytes).map_err(Failure::internal)?;
    let level = if anchor.level == Level::National { "national" } else { "provincial" };
    let environment = if anchor.environment == Environment::Test { "test" } else { "PRODUCTION" };
    console::field("instance", &anchor.origin);
    console::field("level and region", format!("{level} {}", anchor.region));
    console::field("environment", environment);
    console::field("HSM serial", &anchor.hsm_serial);
    console::field("suite", anchor.suite().map_or("MIXED: do not use", kms_core::suite::Suite::in_words));
    console::field("genesis plan", anchor.genesis);
    console::field("checkpoint key", anchor.log_key.id());
    console::field("signing key", anchor.instance_key.id());
    console::field("HSM import key", anchor.import_key.id());
    let component = anchor
        .component_key
        .as_ref()
        .map_or("none: this make of HSM combines no components".to_owned(), |key| key.id().to_string());
    console::field("component import key", component);
    console::digest("trust anchor (SM3)", &signed.digest());
    Ok(())
}
