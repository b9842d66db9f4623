//! Package files: staging, promotion, reading.
//!
//! A chunk is first a staging file with its fencing token in the name (`<batch>/<chunk>.<token>.tmp`),
//! synced to disk together with its folder, and gets its final name only when the log names its digest.
//! Guards: two writers never share a file; a file that no OUTCOME names is never used; a file whose
//! SM3 differs from its OUTCOME is never served and never silently made again.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use kms_core::digest::Digest;
use kms_core::id::BatchId;
use thiserror::Error;

/// Folder of package files.
pub struct Packages {
    staging: PathBuf,
    released: PathBuf,
}

/// Why a chunk's file is of no use.
#[derive(Debug, Error)]
pub enum PackageError {
    /// Neither staged nor promoted.
    #[error("the file of chunk {chunk} is gone")]
    Missing {
        /// Which chunk.
        chunk: u32,
    },
    /// Not the bytes that the log names.
    #[error("the file of chunk {chunk} has the digest {found}, the key log says {expected}")]
    Changed {
        /// Which chunk.
        chunk: u32,
        /// In the log.
        expected: Digest,
        /// Of the file.
        found: Digest,
    },
    /// The disk.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Packages {
    /// Opens (or creates) the folders under `data_dir`.
    pub fn open(data_dir: &Path) -> std::io::Result<Self> {
        let packages = Self { staging: data_dir.join("staging"), released: data_dir.join("packages") };
        fs::create_dir_all(&packages.staging)?;
        fs::create_dir_all(&packages.released)?;
        sync_folder(data_dir)?;
        Ok(packages)
    }

    /// Writes a staging file; durable when it returns.
    pub fn stage(&self, batch: BatchId, chunk: u32, token: u64, bytes: &[u8]) -> std::io::Result<()> {
        let folder = self.staging.join(batch.to_string());
        fs::create_dir_all(&folder)?;
        sync_folder(&self.staging)?;
        let path = self.staged(batch, chunk, token);
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        if let Err(error) = written {
            // Half a file helps nobody, least of all a full disk; a file left behind is swept at start.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        sync_folder(&folder)
    }

    /// Gives a staged chunk its final name, once its bytes are those of its OUTCOME. Done before: checks
    /// the file again, and makes sure that the name lasts, in case the process died before it did.
    pub fn promote(&self, batch: BatchId, chunk: u32, token: u64, expected: &Digest) -> Result<(), PackageError> {
        let target = self.released_file(batch, chunk);
        let folder = self.released.join(batch.to_string());
        if let Some(found) = digest_of(&target)? {
            check(chunk, expected, found)?;
            return Ok(sync_folder(&folder)?);
        }
        let staged = self.staged(batch, chunk, token);
        let found = digest_of(&staged)?.ok_or(PackageError::Missing { chunk })?;
        check(chunk, expected, found)?;
        fs::create_dir_all(&folder)?;
        sync_folder(&self.released)?;
        fs::rename(&staged, &target)?;
        sync_folder(&folder)?;
        Ok(())
    }

    /// Removes staging files of the batch that `keep` does not want, given chunk and token.
    pub fn sweep(&self, batch: BatchId, keep: impl Fn(u32, u64) -> bool) -> std::io::Result<()> {
        let folder = self.staging.join(batch.to_string());
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        let mut kept = false;
        for entry in entries {
            let entry = entry?;
            match parse_staged(&entry.file_name().to_string_lossy()) {
                Some((chunk, token)) if keep(chunk, token) => kept = true,
                _ => fs::remove_file(entry.path())?,
            }
        }
        if !kept {
            fs::remove_dir(&folder)?;
            return sync_folder(&self.staging);
        }
        sync_folder(&folder)
    }

    /// Batches that have staging files.
    pub fn staged_batches(&self) -> std::io::Result<Vec<BatchId>> {
        let names = fs::read_dir(&self.staging)?.collect::<Result<Vec<_>, _>>()?;
        Ok(names.iter().filter_map(|entry| BatchId::from_hex(&entry.file_name().to_string_lossy()).ok()).collect())
    }

    /// The bytes of a promoted chunk, if they are still those of its OUTCOME.
    pub fn read(&self, batch: BatchId, chunk: u32, expected: &Digest) -> Result<Vec<u8>, PackageError> {
        match fs::read(self.released_file(batch, chunk)) {
            Ok(bytes) => check(chunk, expected, Digest::of(&bytes)).map(|()| bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(PackageError::Missing { chunk }),
            Err(error) => Err(error.into()),
        }
    }

    fn staged(&self, batch: BatchId, chunk: u32, token: u64) -> PathBuf {
        self.staging.join(batch.to_string()).join(format!("{chunk}.{token}.tmp"))
    }

    fn released_file(&self, batch: BatchId, chunk: u32) -> PathBuf {
        self.released.join(batch.to_string()).join(format!("{chunk}.chunk"))
    }
}

fn check(chunk: u32, expected: &Digest, found: Digest) -> Result<(), PackageError> {
    if found == *expected { Ok(()) } else { Err(PackageError::Changed { chunk, expected: *expected, found }) }
}

fn digest_of(path: &Path) -> std::io::Result<Option<Digest>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(Digest::of(&bytes))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse_staged(name: &str) -> Option<(u32, u64)> {
    let (chunk, token) = name.strip_suffix(".tmp")?.split_once('.')?;
    Some((chunk.parse().ok()?, token.parse().ok()?))
}

/// Without this a crash may forget the name of a file whose bytes are safe.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: BatchId = BatchId::from_bytes([1; 16]);

    #[test]
    fn promotion_checks_the_bytes_and_can_be_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let packages = Packages::open(folder.path()).unwrap();
        packages.stage(BATCH, 0, 3, b"chunk").unwrap();
        let wrong = packages.promote(BATCH, 0, 3, &Digest::of(b"other"));
        assert!(matches!(wrong, Err(PackageError::Changed { chunk: 0, .. })));
        let right = Digest::of(b"chunk");
        packages.promote(BATCH, 0, 3, &right).unwrap();
        packages.promote(BATCH, 0, 3, &right).unwrap();
        assert_eq!(packages.read(BATCH, 0, &right).unwrap(), b"chunk");
        let other = packages.read(BATCH, 0, &Digest::of(b"other"));
        assert!(matches!(other, Err(PackageError::Changed { chunk: 0, .. })));
        assert!(matches!(packages.promote(BATCH, 1, 1, &right), Err(PackageError::Missing { chunk: 1 })));
    }

    #[test]
    fn sweeping_leaves_only_what_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let packages = Packages::open(folder.path()).unwrap();
        packages.stage(BATCH, 0, 1, b"dead").unwrap();
        packages.stage(BATCH, 0, 2, b"alive").unwrap();
        packages.sweep(BATCH, |chunk, token| (chunk, token) == (0, 2)).unwrap();
        packages.promote(BATCH, 0, 2, &Digest::of(b"alive")).unwrap();
        packages.sweep(BATCH, |_, _| true).unwrap();
        assert_eq!(packages.staged_batches().unwrap(), []);
    }
}
