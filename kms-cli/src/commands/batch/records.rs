//! What the personalization machine reads: one CSV row per key, one DGI line per card.
//!
//! Never a clear key: every key is a blob under the personalization key of the bureau's own HSM, wrapped as the
//! manifest says. The files hold card numbers, so only their owner may read them. Layouts: `kms-cli/README.md`.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use kms_core::document::Manifest;
use kms_core::package::{CardKeys, CardRecord};
use kms_core::ports::Wrapped;
use kms_core::profile::KeyProfile;

use crate::failure::{Failure, Outcome};
use crate::files;

/// Rows of keys.
pub(crate) const CSV_FILE: &str = "personalization.csv";
/// Lines of cards.
pub(crate) const DGI_FILE: &str = "personalization.dgi";
/// First line of the CSV.
pub(crate) const CSV_HEADER: &str =
    "batch,card,card_number,card_factor,commitment,key,group,version,personalization_key,wrapped_key,kcv";
/// EMV CPS: keys.
const DGI_KEYS: u16 = 0x8000;
/// EMV CPS: check values of keys.
const DGI_CHECK_VALUES: u16 = 0x9000;
/// Longest DGI value with a one-byte length.
const DGI_SHORT_MAX: usize = 0xFE;

/// The two files while they are written; they get their names in [`Writer::finish`].
pub(crate) struct Writer {
    csv: Pending,
    dgi: Pending,
    batch: String,
    personalization_key: String,
    cards: u32,
}

struct Pending {
    path: PathBuf,
    part: PathBuf,
    out: BufWriter<File>,
}

impl Writer {
    /// Begins both files in `folder`.
    pub(crate) fn create(
        folder: &Path,
        manifest: &Manifest,
        profile: &KeyProfile,
        personalization_key: &str,
    ) -> Outcome<Self> {
        let mut csv = Pending::create(folder.join(CSV_FILE))?;
        let mut dgi = Pending::create(folder.join(DGI_FILE))?;
        csv.line(CSV_HEADER)?;
        let keys: Vec<String> = profile.slots().map(|slot| slot.to_string()).collect();
        let checked: Vec<String> =
            profile.slots().filter(|slot| slot.key.package_kcv().is_some()).map(|slot| slot.to_string()).collect();
        dgi.line("# card_number;card_factor;DGI 8000;DGI 9000")?;
        dgi.line(&format!(
            "# batch {}, keys wrapped ({}, {} bytes each) under {personalization_key}",
            manifest.batch,
            manifest.wrap,
            manifest.wrap.wrapped_bytes()
        ))?;
        dgi.line(&format!("# 8000: {}", keys.join(" ")))?;
        dgi.line(&format!("# 9000: {}", checked.join(" ")))?;
        Ok(Self {
            csv,
            dgi,
            batch: manifest.batch.to_string(),
            personalization_key: personalization_key.to_owned(),
            cards: 0,
        })
    }

    /// Adds one card. `wrapped` are its keys under the personalization key, in slot order.
    pub(crate) fn card(&mut self, card: &CardKeys, record: &CardRecord, wrapped: &[Wrapped]) -> Outcome<()> {
        let (number, factor) = (&record.number, hex::encode(record.factor.as_bytes()));
        let mut keys = Vec::new();
        let mut check_values = Vec::new();
        for (slot, blob) in card.slots.iter().zip(wrapped) {
            let kcv = slot.kcv.map(|kcv| hex::encode(kcv.value())).unwrap_or_default();
            self.csv.line(&format!(
                "{},{},{number},{factor},{},{},{},{},{},{},{kcv}",
                self.batch,
                self.cards,
                card.commitment,
                slot.name,
                slot.group,
                slot.version,
                self.personalization_key,
                hex::encode(blob.as_bytes())
            ))?;
            keys.extend_from_slice(blob.as_bytes());
            check_values.extend(slot.kcv.iter().flat_map(|kcv| kcv.value().to_vec()));
        }
        self.cards += 1;
        let (keys, check_values) = (dgi(DGI_KEYS, &keys)?, dgi(DGI_CHECK_VALUES, &check_values)?);
        self.dgi.line(&format!("{number};{factor};{keys};{check_values}"))
    }

    /// Makes both files durable under their names.
    pub(crate) fn finish(self) -> Outcome<(PathBuf, PathBuf)> {
        Ok((self.csv.finish()?, self.dgi.finish()?))
    }
}

impl Pending {
    fn create(path: PathBuf) -> Outcome<Self> {
        if path.exists() {
            return Err(Failure::input(format!("{} exists already", path.display()), "choose another folder"));
        }
        let part = files::beside(&path, "part");
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part);
        let file = file.map_err(|error| Failure::io("write", &part, &error))?;
        Ok(Self { path, part, out: BufWriter::new(file) })
    }

    fn line(&mut self, text: &str) -> Outcome<()> {
        writeln!(self.out, "{text}").map_err(|error| Failure::io("write", &self.part, &error))
    }

    fn finish(self) -> Outcome<PathBuf> {
        let failed = |error: std::io::Error| Failure::io("write", &self.path, &error);
        let file = self.out.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().and_then(|()| fs::rename(&self.part, &self.path)).map_err(failed)?;
        files::sync_folder(&self.path)?;
        Ok(self.path)
    }
}

/// EMV CPS data grouping: identifier, length (one byte, or FF and two), value; in hexadecimal.
fn dgi(identifier: u16, value: &[u8]) -> Outcome<String> {
    let length = u16::try_from(value.len()).map_err(|_| Failure::internal("a DGI of more than 65,535 bytes"))?;
    let length = if value.len() <= DGI_SHORT_MAX { format!("{length:02X}") } else { format!("FF{length:04X}") };
    Ok(format!("{identifier:04X}{length}{}", hex::encode_upper(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_data_groupings() {
        assert_eq!(dgi(0x9000, &[1, 2, 3]).unwrap(), "900003010203");
        assert!(dgi(0x8000, &[0; 254]).unwrap().starts_with("8000FE00"));
        assert!(dgi(0x8000, &[0; 255]).unwrap().starts_with("8000FF00FF00"));
        assert!(dgi(0x8000, &[0; 1368]).unwrap().starts_with("8000FF0558"));
    }
}
