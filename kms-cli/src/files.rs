//! Local files: bounded reading, atomic writing, secrets with their modes.
//!
//! Guards: nothing is read without a limit; a file is there whole or not at all; what was written is
//! on disk before anybody is told; a secret file that others may read is refused.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use kms_core::encoding::{Document, EncodingError, SIGNED_OVERHEAD_BYTES_MAX, Signed};
use kms_core::secret::Pin;
use kms_core::sm2::PublicKey;
use zeroize::Zeroizing;

use crate::failure::{Failure, Outcome};

/// Longest policy, people or key file in bytes.
pub(crate) const SMALL_FILE_BYTES_MAX: usize = 1024 * 1024;
/// Longest password or PIN file in bytes.
const SECRET_FILE_BYTES_MAX: usize = 1024;
/// Mode bits of group and others.
const MODE_OTHERS: u32 = 0o077;

/// Whom a written file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Public: mode 644 less the umask.
    Anyone,
    /// Secret or personal: mode 600.
    Owner,
}

/// Reads a file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> Outcome<Vec<u8>> {
    let file = File::open(path).map_err(|error| Failure::io("open", path, &error))?;
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(|error| Failure::io("read", path, &error))?;
    if bytes.len() > limit {
        return Err(Failure::input(format!("{} is longer than {limit} bytes", path.display()), "give the right file"));
    }
    Ok(bytes)
}

/// Reads UTF-8 text.
pub(crate) fn read_text(path: &Path, limit: usize) -> Outcome<String> {
    String::from_utf8(read(path, limit)?)
        .map_err(|_| Failure::input(format!("{} is not UTF-8 text", path.display()), "save it as UTF-8"))
}

/// Reads a signed document; nobody has verified it yet.
pub(crate) fn read_signed<D: Document>(path: &Path) -> Outcome<Signed<D>> {
    let bytes = read(path, D::BYTES_MAX + SIGNED_OVERHEAD_BYTES_MAX)?;
    Signed::parse(&bytes).map_err(|reason| malformed(path, D::LABEL, &reason))
}

/// Reads a public key in PEM.
pub(crate) fn read_public_key(path: &Path) -> Outcome<PublicKey> {
    let text = read_text(path, SMALL_FILE_BYTES_MAX)?;
    PublicKey::from_pem(&text).map_err(|reason| {
        Failure::input(
            format!("{}: {reason}", path.display()),
            "give the .pub.pem file that `kms officer keygen` wrote",
        )
    })
}

/// Reads a password or PIN; one line end at its end is not part of it.
pub(crate) fn read_secret(path: &Path) -> Outcome<Pin> {
    let meta = fs::metadata(path).map_err(|error| Failure::io("open", path, &error))?;
    let mode = meta.permissions().mode();
    if mode & MODE_OTHERS != 0 {
        return Err(Failure::input(
            format!("{} may be read by others (mode {:o})", path.display(), mode & 0o7777),
            format!("chmod 600 {}", path.display()),
        ));
    }
    let mut bytes = Zeroizing::new(read(path, SECRET_FILE_BYTES_MAX)?);
    let end = bytes.iter().rposition(|b| !matches!(b, b'\n' | b'\r')).map_or(0, |last| last + 1);
    bytes.truncate(end);
    Pin::new(std::mem::take(&mut *bytes))
        .map_err(|reason| Failure::input(format!("{}: {reason}", path.display()), "put the secret in its first line"))
}

/// Writes a new file; an old one of that name is refused.
pub(crate) fn write_new(path: &Path, bytes: &[u8], access: Access) -> Outcome<()> {
    if path.symlink_metadata().is_ok() {
        return Err(Failure::input(
            format!("{} exists already", path.display()),
            "choose another name, or move the old file away",
        ));
    }
    write(path, bytes, access)
}

/// Writes a file whole and durably: a new file beside it, fsync, rename, fsync of the folder.
pub(crate) fn write(path: &Path, bytes: &[u8], access: Access) -> Outcome<()> {
    let mode = if access == Access::Owner { 0o600 } else { 0o644 };
    let beside = beside(path, "tmp");
    let failed = |error: std::io::Error| Failure::io("write", path, &error);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    sync_folder(path)
}

/// Makes a folder and its parents; `Owner` closes it to others.
pub(crate) fn make_folder(path: &Path, access: Access) -> Outcome<()> {
    fs::create_dir_all(path).map_err(|error| Failure::io("make the folder", path, &error))?;
    if access == Access::Owner {
        let closed = fs::Permissions::from_mode(0o700);
        fs::set_permissions(path, closed).map_err(|error| Failure::io("close the folder", path, &error))?;
    }
    Ok(())
}

/// Makes the name of `path` durable in its folder.
pub(crate) fn sync_folder(path: &Path) -> Outcome<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).map_err(|error| Failure::io("save the folder of", path, &error))
}

/// `name.<suffix>` beside `path`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn malformed(path: &Path, label: &str, reason: &EncodingError) -> Failure {
    Failure::input(
        format!("{} is not a {label} document: {reason}", path.display()),
        "give the file as it was written; one changed byte makes it unusable",
    )
}
