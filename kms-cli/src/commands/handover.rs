//! `kms handover`: provincial masters from nation to province, by HTTP or as files carried by hand.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kms_api::body::{CeremonyView, Confirm, Pulled, Recorded};
use kms_api::text::Text;
use kms_core::digest::Digest;
use kms_core::document::{ImportReceipt, SealedKeys};
use kms_core::encoding::Signed;
use kms_core::render::time;

use crate::client::{Client, ServerOptions};
use crate::commands::view;
use crate::console;
use crate::evidence::DOCUMENT_BYTES_MAX;
use crate::failure::{Failure, Outcome};
use crate::files::{self, Access};

/// Hand-over of provincial masters
#[derive(Subcommand, Debug)]
pub(crate) enum Handover {
    /// At the nation: save the sealed set of a derivation ceremony, to be carried by hand
    Fetch(Take),
    /// At the province: let its server fetch the sealed sets over HTTP
    Pull(Pull),
    /// At the province: save the receipt of an import ceremony, to be carried by hand
    Receipt(Take),
    /// At the nation: hand in a receipt that was carried by hand
    Deliver(Deliver),
    /// At the province: let its server send the receipt of an import over HTTP
    Confirm(ConfirmImport),
}

/// A document to save.
#[derive(Args, Debug)]
pub(crate) struct Take {
    /// The ceremony: derivation for `fetch`, import for `receipt`
    #[arg(long, value_name = "HEX")]
    plan: Digest,
    /// Where it goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    server: ServerOptions,
}

/// Options of `kms handover pull`.
#[derive(Args, Debug)]
pub(crate) struct Pull {
    #[command(flatten)]
    server: ServerOptions,
}

/// Options of `kms handover deliver`.
#[derive(Args, Debug)]
pub(crate) struct Deliver {
    /// The derivation ceremony at the nation
    #[arg(long, value_name = "HEX")]
    plan: Digest,
    /// The province's signed receipt
    #[arg(long, value_name = "FILE")]
    receipt: PathBuf,
    #[command(flatten)]
    server: ServerOptions,
}

/// Options of `kms handover confirm`.
#[derive(Args, Debug)]
pub(crate) struct ConfirmImport {
    /// The import ceremony at the province
    #[arg(long, value_name = "HEX")]
    plan: Digest,
    #[command(flatten)]
    server: ServerOptions,
}

impl Handover {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        match self {
            Self::Fetch(take) => take.sealed_set(),
            Self::Pull(pull) => pull.run(),
            Self::Receipt(take) => take.receipt(),
            Self::Deliver(deliver) => deliver.run(),
            Self::Confirm(confirm) => confirm.run(),
        }
    }
}

impl Take {
    fn sealed_set(&self) -> Outcome<()> {
        let bytes = self.document(&self.server.connect()?, "sealed-keys")?;
        let signed = Signed::<SealedKeys>::parse(&bytes).map_err(not_expected)?;
        let set = signed.unverified_tbs();
        files::write_new(&self.out, &bytes, Access::Anyone)?;
        console::field("sealed set (SM3)", signed.digest());
        console::field("from", &set.origin);
        console::field("for", format!("{}, sealed to HSM key {}", set.destination, set.recipient_key));
        console::field("keys", set.keys.len());
        view::check_values(
            set.keys.iter().map(|key| format!("{}/{}/{} {}", key.name, key.group, key.version, key.kcv)),
        );
        console::field("written to", self.out.display());
        Ok(())
    }

    fn receipt(&self) -> Outcome<()> {
        let bytes = self.document(&self.server.connect()?, "import-receipt")?;
        let signed = Signed::<ImportReceipt>::parse(&bytes).map_err(not_expected)?;
        let receipt = signed.unverified_tbs();
        files::write_new(&self.out, &bytes, Access::Anyone)?;
        console::field("receipt (SM3)", signed.digest());
        console::field("from", format!("{}, HSM {}", receipt.origin, receipt.hsm_serial));
        console::field("for sealed set", receipt.sealed);
        console::field("imported", format!("{} keys on {}", receipt.keys.len(), time(receipt.imported_ms)));
        console::field("written to", self.out.display());
        Ok(())
    }

    fn document(&self, client: &Client, kind: &str) -> Outcome<Vec<u8>> {
        let ceremony: CeremonyView = client.get(&format!("/v1/ceremonies/{}", self.plan))?;
        let named = ceremony.documents.iter().find(|document| document.kind == kind);
        let digest = &named
            .ok_or_else(|| {
                Failure::input(
                    format!("ceremony {} has produced no {kind}", self.plan),
                    "run the ceremony first, or name another one",
                )
            })?
            .digest;
        let bytes = client.get_bytes(&format!("/v1/documents/{digest}"), DOCUMENT_BYTES_MAX)?;
        if Digest::of(&bytes) == digest.0 { Ok(bytes) } else { Err(not_expected("its SM3 differs from its name")) }
    }
}

impl Pull {
    fn run(&self) -> Outcome<()> {
        let pulled: Pulled = self.server.connect()?.post("/v1/hand-over/pull")?;
        for digest in &pulled.sealed {
            console::digest("sealed set (SM3)", &digest.0);
        }
        console::say(&format!(
            "{} sealed sets are kept at the province. Propose import-masters --pulled with one of them.",
            pulled.sealed.len()
        ));
        Ok(())
    }
}

impl Deliver {
    fn run(&self) -> Outcome<()> {
        let signed = files::read_signed::<ImportReceipt>(&self.receipt)?;
        let recorded: Recorded =
            self.server.connect()?.post_der(&format!("/v1/hand-overs/{}/receipt", self.plan), signed.bytes())?;
        console::field("recorded receipt", recorded.digest);
        Ok(())
    }
}

impl ConfirmImport {
    fn run(&self) -> Outcome<()> {
        let recorded: Recorded =
            self.server.connect()?.post_json("/v1/hand-over/confirm", &Confirm { plan: Text(self.plan) })?;
        console::field("recorded at the nation", recorded.digest);
        Ok(())
    }
}

fn not_expected(reason: impl std::fmt::Display) -> Failure {
    Failure::not_verified(format!("the server sent something else: {reason}"), "do not use it; ask the operator")
}
