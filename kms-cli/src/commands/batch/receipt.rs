//! `kms batch acknowledge`: the bureau signs for a package and names spoiled cards.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;
use kms_api::body::BatchView;
use kms_core::digest::Digest;
use kms_core::document::{Receipt, SPOILED_MAX};
use kms_core::encoding::{Document, Signed};

use super::package::{Folder, VerifiedPackage};
use super::records::CSV_HEADER;
use crate::client::ServerOptions;
use crate::commands::{anchor, view};
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::files::{self, Access};
use crate::identity::{self, now_ms};

/// Longest list of spoiled cards in bytes.
const SPOILED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Columns of the personalization CSV.
const NUMBER_COLUMN: usize = 2;
const COMMITMENT_COLUMN: usize = 4;

/// Options of `kms batch acknowledge`.
#[derive(Args, Debug)]
pub(crate) struct Acknowledge {
    /// Folder that `kms batch pull` wrote
    dir: PathBuf,
    #[command(flatten)]
    server: ServerOptions,
    /// Your own copy of the instance's trust anchor
    #[arg(long, value_name = "FILE")]
    anchor: PathBuf,
    /// Card numbers of spoiled cards, one a line; they may then be issued again
    #[arg(long, value_name = "FILE", requires = "records")]
    spoiled: Option<PathBuf>,
    /// personalization.csv of `kms batch open`, to find the spoiled cards in
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
}

impl Acknowledge {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        let folder = Folder(self.dir.clone());
        let signed = if folder.receipt().exists() {
            // One receipt per package: a lost answer is repeated with the same bytes.
            console::note("A receipt was signed before; it is sent again.");
            files::read_signed::<Receipt>(&folder.receipt())?
        } else {
            self.sign(&folder)?
        };
        let receipt = signed.unverified_tbs();
        let batch: BatchView =
            self.server.connect()?.post_der(&format!("/v1/batches/{}/receipt", receipt.batch), signed.bytes())?;
        console::field("receipt (SM3)", signed.digest());
        console::field("accepted", receipt.accepted);
        console::field("spoiled", receipt.spoiled.len());
        console::field("written to", folder.receipt().display());
        view::batch(&batch);
        Ok(())
    }

    fn sign(&self, folder: &Folder) -> Outcome<Signed<Receipt>> {
        let trusted = anchor::read(&self.anchor)?;
        let package = VerifiedPackage::verify(folder, &trusted)?;
        let manifest = package.manifest.manifest();
        let spoiled = match (&self.spoiled, &self.records) {
            (Some(spoiled), Some(records)) => spoiled_cards(spoiled, records)?,
            _ => BTreeSet::new(),
        };
        let count =
            u32::try_from(spoiled.len()).ok().filter(|count| *count <= manifest.cards && spoiled.len() <= SPOILED_MAX);
        let count = count.ok_or_else(|| {
            Failure::input(format!("{} spoiled cards of {}", spoiled.len(), manifest.cards), "check the list")
        })?;
        let receipt = Receipt {
            label: Receipt::LABEL.to_owned(),
            origin: manifest.origin.clone(),
            batch: manifest.batch,
            counter: manifest.counter,
            bureau: manifest.bureau.clone(),
            manifest: package.manifest.digest(),
            root: manifest.root,
            accepted: manifest.cards - count,
            spoiled: spoiled.into_iter().collect(),
            received_ms: now_ms(),
        };
        let client = self.server.connect()?;
        let signed = identity::sign(receipt, client.key()?)?;
        files::write_new(&folder.receipt(), signed.bytes(), Access::Anyone)?;
        Ok(signed)
    }
}

/// Commitments of the cards in the list; every number must be in the records.
fn spoiled_cards(list: &Path, records: &Path) -> Outcome<BTreeSet<Digest>> {
    let text = files::read_text(list, SPOILED_BYTES_MAX)?;
    let mut wanted: BTreeMap<String, usize> = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        if !line.trim().is_empty() && wanted.insert(line.trim().to_owned(), number + 1).is_some() {
            return Err(Failure::input(
                format!("{}: line {} repeats a card", list.display(), number + 1),
                "name each spoiled card once",
            ));
        }
    }
    let unreadable = |error: std::io::Error| Failure::io("read", records, &error);
    let wrong = || {
        Failure::input(
            format!("{} is not a personalization.csv", records.display()),
            "give the file that `kms batch open` wrote",
        )
    };
    let mut rows = BufReader::new(std::fs::File::open(records).map_err(unreadable)?).lines();
    if rows.next().transpose().map_err(unreadable)?.as_deref() != Some(CSV_HEADER) {
        return Err(wrong());
    }
    let mut found = BTreeSet::new();
    for row in rows {
        let row = row.map_err(unreadable)?;
        let cells: Vec<&str> = row.split(',').collect();
        let number = *cells.get(NUMBER_COLUMN).ok_or_else(wrong)?;
        if wanted.remove(number).is_some() {
            found.insert(cells.get(COMMITMENT_COLUMN).and_then(|text| text.parse().ok()).ok_or_else(wrong)?);
        }
    }
    if wanted.is_empty() {
        return Ok(found);
    }
    let lines = wanted.values().map(|line| format!("line {line}: not a card of this package"));
    Err(Failure::input(
        format!("{}: not in the package: {} cards", list.display(), wanted.len()),
        "name only cards of this package",
    )
    .with_lines(lines))
}
