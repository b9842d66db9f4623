//! A package in a folder, and `kms batch verify`: offline, before anything is unwrapped.
//!
//! ```text
//! manifest.der  transport-key.der  proof.der  profile.toml  chunks/00000.der …
//! ```

use std::path::{Path, PathBuf};

use clap::Args;
use kms_api::policy_file::POLICY_FILE_BYTES_MAX;
use kms_core::digest::Digest;
use kms_core::document::{Manifest, SealedKeys};
use kms_core::encoding::{Document, SIGNED_OVERHEAD_BYTES_MAX, Signed};
use kms_core::package::Chunk;
use kms_core::profile::KeyProfile;
use kms_core::proof::Inclusion;
use kms_core::render::time;
use kms_core::verify::{PackageInvalid, VerifiedChunk, VerifiedManifest};
use serde_json::json;

use crate::commands::anchor::{self, ReadAnchor};
use crate::commands::policy;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::files;

/// Longest signed manifest.
pub(crate) const MANIFEST_BYTES_MAX: usize = Manifest::BYTES_MAX + SIGNED_OVERHEAD_BYTES_MAX;
/// Longest signed transport key.
pub(crate) const TRANSPORT_KEY_BYTES_MAX: usize = SealedKeys::BYTES_MAX + SIGNED_OVERHEAD_BYTES_MAX;

/// Options of `kms batch verify`.
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// Folder that `kms batch pull` wrote
    dir: PathBuf,
    /// Your own copy of the instance's trust anchor
    #[arg(long, value_name = "FILE")]
    anchor: PathBuf,
    /// JSON for machines
    #[arg(long)]
    json: bool,
}

/// Where the parts of a package are.
#[derive(Clone, Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// The signed manifest.
    pub(crate) fn manifest(&self) -> PathBuf {
        self.0.join("manifest.der")
    }

    /// The signed sealed transport key.
    pub(crate) fn transport_key(&self) -> PathBuf {
        self.0.join("transport-key.der")
    }

    /// The proof that the release is in the key log.
    pub(crate) fn proof(&self) -> PathBuf {
        self.0.join("proof.der")
    }

    /// The profile file.
    pub(crate) fn profile(&self) -> PathBuf {
        self.0.join("profile.toml")
    }

    /// The folder of chunks.
    pub(crate) fn chunks(&self) -> PathBuf {
        self.0.join("chunks")
    }

    /// One chunk.
    pub(crate) fn chunk(&self, index: u32) -> PathBuf {
        self.chunks().join(format!("{index:05}.der"))
    }

    /// The bureau's signed receipt.
    pub(crate) fn receipt(&self) -> PathBuf {
        self.0.join("receipt.der")
    }
}

/// A package whose every part was verified once; chunks are checked again when they are read.
pub(crate) struct VerifiedPackage {
    folder: Folder,
    /// Manifest, place in the log, transport key.
    pub(crate) manifest: VerifiedManifest,
    /// The profile that the manifest names.
    pub(crate) profile: KeyProfile,
}

impl VerifiedPackage {
    /// Verifies every part against `anchor`; names the first bad one.
    pub(crate) fn verify(folder: &Folder, anchor: &ReadAnchor) -> Outcome<Self> {
        let manifest = VerifiedManifest::check(
            &anchor.anchor,
            None,
            &read_part(&folder.manifest(), MANIFEST_BYTES_MAX)?,
            &read_part(&folder.proof(), Inclusion::BYTES_MAX)?,
            &read_part(&folder.transport_key(), TRANSPORT_KEY_BYTES_MAX)?,
        )
        .map_err(|invalid| refuse(&invalid))?;
        let profile = read_part(&folder.profile(), POLICY_FILE_BYTES_MAX)?;
        let (named, found) = (manifest.manifest().profile, Digest::of(&profile));
        if found != named {
            return Err(Failure::not_verified(
                format!("THE PACKAGE DOES NOT HOLD: profile.toml: its SM3 is {found}; the manifest says {named}"),
                "use nothing of this package; pull it again",
            ));
        }
        let profile = policy::profile_of(&folder.profile(), &profile)?;
        let package = Self { folder: folder.clone(), manifest, profile };
        let count = package.manifest.manifest().chunks.len();
        let bar = console::progress(count as u64, "chunks verified");
        for entry in &package.manifest.manifest().chunks {
            package.chunk(entry.index)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(package)
    }

    /// Reads and checks one chunk: digest, binding of every card, slots of the profile.
    pub(crate) fn chunk(&self, index: u32) -> Outcome<VerifiedChunk> {
        let bytes = read_part(&self.folder.chunk(index), Chunk::BYTES_MAX)?;
        let chunk = self.manifest.check_chunk(index, &bytes).map_err(|invalid| refuse(&invalid))?;
        chunk.check_slots(&self.profile).map_err(|invalid| refuse(&invalid))?;
        Ok(chunk)
    }

    /// Prints what was verified.
    pub(crate) fn show(&self) {
        let manifest = self.manifest.manifest();
        console::field("batch", manifest.batch);
        console::field("for bureau", format!("{} number {}", manifest.bureau, manifest.counter));
        console::field("issued by", &manifest.origin);
        console::field("ceremony", manifest.plan);
        console::field(
            "cards and keys",
            format!("{} cards, {} keys in {} chunks", manifest.cards, manifest.keys, manifest.chunks.len()),
        );
        console::field("profile", format!("{} (SM3 {})", manifest.profile_id, manifest.profile));
        console::field("transport key", format!("{} with check value {}", manifest.kek, manifest.kek_kcv));
        let head = self.manifest.checkpoint();
        console::field(
            "released",
            format!(
                "{}, in the key log under a checkpoint of {} entries",
                time(self.manifest.released_ms()),
                head.size()
            ),
        );
        console::field("manifest (SM3)", self.manifest.digest());
    }
}

impl Verify {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        let trusted = anchor::read(&self.anchor)?;
        let result = VerifiedPackage::verify(&Folder(self.dir.clone()), &trusted);
        if self.json {
            let value = match &result {
                Err(failure) => json!({ "ok": false, "reason": failure.what }),
                Ok(package) => {
                    let manifest = package.manifest.manifest();
                    json!({
                        "ok": true, "batch": manifest.batch.to_string(), "cards": manifest.cards, "keys": manifest.keys,
                        "chunks": manifest.chunks.len(), "manifest": package.manifest.digest().to_string(),
                    })
                }
            };
            console::json(&value)?;
            return result.map(drop);
        }
        let package = result?;
        package.show();
        console::say("THE PACKAGE HOLDS: signature, log inclusion, transport key, every chunk, every card.");
        Ok(())
    }
}

/// A part that is not there makes the package as bad as one that was changed.
fn read_part(path: &Path, limit: usize) -> Outcome<Vec<u8>> {
    if path.exists() {
        return files::read(path, limit);
    }
    let name = path.file_name().unwrap_or_default().display();
    Err(Failure::not_verified(
        format!("THE PACKAGE DOES NOT HOLD: {name} is missing"),
        "pull the package again into the same folder",
    ))
}

fn refuse(invalid: &PackageInvalid) -> Failure {
    Failure::not_verified(
        format!("THE PACKAGE DOES NOT HOLD: {invalid}"),
        format!(
            "use nothing of this package; remove its {} and pull again, and tell the instance if it stays bad",
            invalid.part
        ),
    )
}

/// Does the file at `path` parse as a signed manifest?
pub(crate) fn parse_manifest(path: &Path, bytes: &[u8]) -> Outcome<Manifest> {
    let signed = Signed::<Manifest>::parse(bytes).map_err(|reason| {
        Failure::not_verified(format!("{}: {reason}", path.display()), "check that this is the address of a kms-server")
    })?;
    Ok(signed.unverified_tbs().clone())
}
