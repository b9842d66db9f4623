//! `kms batch pull`: a package into a folder. A broken download goes on where it ended.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use kms_api::policy_file::POLICY_FILE_BYTES_MAX;
use kms_core::digest::Digest;
use kms_core::document::{ChunkEntry, Manifest};
use kms_core::encoding::Document;
use kms_core::id::BatchId;
use kms_core::package::Chunk;
use kms_core::proof::Inclusion;

use super::package::{Folder, MANIFEST_BYTES_MAX, TRANSPORT_KEY_BYTES_MAX, parse_manifest};
use crate::client::{Client, ServerOptions};
use crate::console;
use crate::failure::{Exit, Failure, Outcome};
use crate::files::{self, Access};

/// Bytes read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Options of `kms batch pull`.
#[derive(Args, Debug)]
pub(crate) struct Pull {
    /// Batch id (32 hexadecimal digits)
    id: BatchId,
    #[command(flatten)]
    server: ServerOptions,
    /// Folder for the package; the same again to resume
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Pull {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        let client = self.server.connect()?;
        let folder = Folder(self.out.clone());
        files::make_folder(&folder.chunks(), Access::Anyone)?;
        let base = format!("/v1/batches/{}", self.id);
        let signed = client.get_bytes(&format!("{base}/manifest"), MANIFEST_BYTES_MAX)?;
        let manifest = parse_manifest(&folder.manifest(), &signed)?;
        self.require_same(&folder, &signed)?;
        files::write(&folder.manifest(), &signed, Access::Anyone)?;
        let transport_key = client.get_bytes(&format!("{base}/transport-key"), TRANSPORT_KEY_BYTES_MAX)?;
        files::write(&folder.transport_key(), &transport_key, Access::Anyone)?;
        files::write(
            &folder.proof(),
            &client.get_bytes(&format!("{base}/proof"), Inclusion::BYTES_MAX)?,
            Access::Anyone,
        )?;
        let profile = client.get_bytes(&format!("/v1/profiles/{}", manifest.profile), POLICY_FILE_BYTES_MAX)?;
        files::write(&folder.profile(), &profile, Access::Anyone)?;
        pull_chunks(&client, &base, &folder, &manifest)?;
        console::field("package", self.out.display());
        console::field(
            "cards and keys",
            format!("{} cards, {} keys in {} chunks", manifest.cards, manifest.keys, manifest.chunks.len()),
        );
        console::say("Next: kms batch verify, then kms batch open.");
        Ok(())
    }

    /// One manifest per batch, ever.
    fn require_same(&self, folder: &Folder, signed: &[u8]) -> Outcome<()> {
        let path = folder.manifest();
        if !path.exists() || files::read(&path, MANIFEST_BYTES_MAX)? == signed {
            return Ok(());
        }
        Err(Failure::not_verified(
            format!("{} holds another manifest than the server sends", self.out.display()),
            "choose another folder for another batch; if it is the same batch, keep both manifests as evidence and call the auditor",
        ))
    }
}

fn pull_chunks(client: &Client, base: &str, folder: &Folder, manifest: &Manifest) -> Outcome<()> {
    let total: u64 = manifest.chunks.iter().map(|chunk| chunk.bytes).sum();
    let bar = console::progress(total, "bytes");
    for chunk in &manifest.chunks {
        let path = folder.chunk(chunk.index);
        if chunk.bytes > Chunk::BYTES_MAX as u64 {
            return Err(Failure::not_verified(
                format!("chunk {} claims {} bytes", chunk.index, chunk.bytes),
                "tell the instance",
            ));
        }
        if is_complete(&path, chunk) {
            bar.inc(chunk.bytes);
            continue;
        }
        let before = bar.position();
        let url = format!("{base}/chunks/{}", chunk.index);
        if !fetch(client, &url, &path, chunk, &bar)? {
            // What was there before may have been damaged: once more from the beginning.
            bar.set_position(before);
            remove(&files::beside(&path, "part"))?;
            if !fetch(client, &url, &path, chunk, &bar)? {
                return Err(Failure::not_verified(
                    format!("chunk {}: its SM3 is not the manifest's", chunk.index),
                    "repeat the command; if it stays, tell the instance and keep the .part file",
                ));
            }
        }
        bar.set_position(before + chunk.bytes);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Fetches what is missing of a chunk; answers whether the whole has the manifest's digest.
fn fetch(client: &Client, url: &str, path: &Path, chunk: &ChunkEntry, bar: &ProgressBar) -> Outcome<bool> {
    let part = files::beside(path, "part");
    let failed = |error: std::io::Error| Failure::io("write", &part, &error);
    let mut have = fs::metadata(&part).map_or(0, |meta| meta.len());
    if have > chunk.bytes {
        remove(&part)?;
        have = 0;
    }
    if have < chunk.bytes {
        let mut download = client.download(url, have)?;
        if !download.partial {
            remove(&part)?;
            have = 0;
        }
        bar.inc(have);
        let mut file = OpenOptions::new().create(true).append(true).mode(0o644).open(&part).map_err(failed)?;
        let mut piece = vec![0; PIECE_BYTES];
        while have < chunk.bytes {
            let count = download.reader.read(&mut piece).map_err(|error| interrupted(chunk.index, &error))?;
            let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else {
                return Err(interrupted(chunk.index, &"the connection ended early"));
            };
            file.write_all(bytes).map_err(failed)?;
            have += count as u64;
            bar.inc(count as u64);
        }
        file.sync_all().map_err(failed)?;
    }
    let whole = files::read(&part, Chunk::BYTES_MAX)?;
    let fits = whole.len() as u64 == chunk.bytes && Digest::of(&whole) == chunk.digest;
    if fits {
        fs::rename(&part, path).map_err(failed)?;
        files::sync_folder(path)?;
    }
    Ok(fits)
}

fn is_complete(path: &Path, chunk: &ChunkEntry) -> bool {
    let there = fs::metadata(path).is_ok_and(|meta| meta.len() == chunk.bytes);
    there && files::read(path, Chunk::BYTES_MAX).is_ok_and(|bytes| Digest::of(&bytes) == chunk.digest)
}

fn remove(path: &Path) -> Outcome<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::io("remove", path, &error)),
        _ => Ok(()),
    }
}

fn interrupted(chunk: u32, reason: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Unavailable,
        format!("the download of chunk {chunk} broke off: {reason}"),
        "repeat the command: it goes on where it ended",
    )
}
