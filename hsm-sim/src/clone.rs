//! One token's objects into another token: what a vendor's cloning domain does, so that pools can be tried.
//!
//! **For the simulator only.** A real HSM copies keys by its maker's own means and never through files. The copy has a serial
//! number of its own and the same label, PINs and objects; done again, it brings the copy up to date and keeps its
//! serial number. Guards: nothing is copied without both PINs of the source; a token that is there is never given
//! other PINs or another label.

use std::{fmt, fs, path::Path};

use crate::{
    rv::Rv,
    storage::{
        Locked, ObjectName, TokenDir, codec, create_private_dir,
        meta::{LABEL_BYTES, Meta, PinOwner, TokenKeys},
        object_file::{self, Sight},
        random_number,
    },
};

/// Tokens looked at in one directory.
const TOKENS_MAX: usize = 10_000;

/// Why nothing was copied, or not everything.
#[derive(Debug)]
pub enum CloneError {
    /// No token, or several, with that label.
    Label {
        /// How many there are.
        found: usize,
    },
    /// The PIN does not open the token.
    Pin {
        /// `SO` or `user`.
        whose: &'static str,
    },
    /// The directory holds tokens in another vendor's numbering.
    Profile,
    /// The disk, or a token that cannot be read; the return value that PKCS#11 has for it.
    Device(u64),
}

impl fmt::Display for CloneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label { found } => write!(f, "{found} tokens have that label, one is needed"),
            Self::Pin { whose } => write!(f, "the {whose} PIN does not open the token"),
            Self::Profile => f.write_str("the target directory holds tokens in another numbering (file `profile`)"),
            Self::Device(code) => write!(f, "the token cannot be read or written (CKR {code:#x})"),
        }
    }
}

impl std::error::Error for CloneError {}

impl From<Rv> for CloneError {
    fn from(rv: Rv) -> Self {
        Self::Device(rv.0)
    }
}

/// Copies the token `label` of directory `from` into directory `to`; answers the serial number of the copy.
pub fn clone_token(from: &Path, to: &Path, label: &str, so_pin: &[u8], user_pin: &[u8]) -> Result<String, CloneError> {
    let padded = padded(label).ok_or(CloneError::Label { found: 0 })?;
    let source = single(from, &padded)?;
    let source_keys = unseal(&source.meta()?, so_pin, user_pin)?;
    create_private_dir(to)?;
    match_profile(from, to)?;
    let target = match tokens(to, &padded)?.as_slice() {
        [] => create(to, padded, so_pin, user_pin)?,
        [_] => single(to, &padded)?,
        several => return Err(CloneError::Label { found: several.len() }),
    };
    let target_keys = unseal(&target.meta()?, so_pin, user_pin)?;
    let source_instance = source.meta()?.instance();
    let (source, target) = (source.lock()?, target.lock()?);
    copy(&source, source_instance, &source_keys, &target, &target_keys)?;
    Ok(format!("{:016x}", target.meta()?.instance()))
}

fn copy(
    source: &Locked<'_>,
    source_instance: u64,
    source_keys: &TokenKeys,
    target: &Locked<'_>,
    target_keys: &TokenKeys,
) -> Result<(), CloneError> {
    let instance = target.meta()?.instance();
    let wanted = source.list()?;
    let present = target.list()?;
    target.change(|target| {
        for name in &wanted {
            let sight = Sight::User(source_keys);
            let Some(attrs) = object_file::decode(&source.read(*name)?, *name, source_instance, sight)?.attrs else {
                continue;
            };
            let old = present.iter().find(|old| old.id == name.id);
            if let Some(old) = old {
                let kept = object_file::decode(&target.read(*old)?, *old, instance, Sight::User(target_keys))?.attrs;
                if kept.is_some_and(|kept| *codec::encode(&kept, true) == *codec::encode(&attrs, true)) {
                    continue;
                }
            }
            let revision = old.map_or(name.revision, |old| old.revision.max(name.revision) + 1);
            let fresh = ObjectName { id: name.id, revision };
            target.write(fresh, &object_file::encode(fresh, instance, &attrs, target_keys)?)?;
            if let Some(old) = old {
                target.remove(*old)?;
            }
        }
        for old in present.iter().filter(|old| wanted.iter().all(|name| name.id != old.id)) {
            target.remove(*old)?;
        }
        Ok(())
    })?;
    Ok(())
}

fn create(dir: &Path, label: [u8; LABEL_BYTES], so_pin: &[u8], user_pin: &[u8]) -> Result<TokenDir, CloneError> {
    let keys = TokenKeys::random()?;
    let mut meta = Meta::new(random_number()?, label, so_pin, &keys)?;
    meta.set_pin(PinOwner::User, user_pin, &keys)?;
    let free = (0..TOKENS_MAX).map(|number| dir.join(format!("token-{number:04}"))).find(|path| !path.exists());
    Ok(TokenDir::create(free.ok_or(CloneError::Label { found: TOKENS_MAX })?, &meta)?)
}

fn unseal(meta: &Meta, so_pin: &[u8], user_pin: &[u8]) -> Result<TokenKeys, CloneError> {
    meta.unseal(PinOwner::So, so_pin)?.ok_or(CloneError::Pin { whose: "SO" })?;
    meta.unseal(PinOwner::User, user_pin)?.ok_or(CloneError::Pin { whose: "user" })
}

fn single(dir: &Path, label: &[u8; LABEL_BYTES]) -> Result<TokenDir, CloneError> {
    let mut found = tokens(dir, label)?;
    match (found.pop(), found.len()) {
        (Some(path), 0) => Ok(TokenDir::open(path)?),
        (_, more) => Err(CloneError::Label { found: more + usize::from(more > 0) }),
    }
}

/// Directories of the tokens with this label.
fn tokens(dir: &Path, label: &[u8; LABEL_BYTES]) -> Result<Vec<std::path::PathBuf>, CloneError> {
    let unreadable = |error| CloneError::from(crate::storage::device_error(error));
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)?.take(TOKENS_MAX) {
        let path = entry.map_err(unreadable)?.path();
        let ours = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"token-"));
        if ours && TokenDir::open(path.clone())?.meta()?.label() == label {
            found.push(path);
        }
    }
    Ok(found)
}

/// The copy's directory is bound to the numbering of the original.
fn match_profile(from: &Path, to: &Path) -> Result<(), CloneError> {
    let (own, other) = (fs::read(from.join("profile")).ok(), fs::read(to.join("profile")).ok());
    match (own, other) {
        (own, other) if own == other => Ok(()),
        (Some(own), None) => {
            fs::write(to.join("profile"), own).map_err(|error| crate::storage::device_error(error).into())
        }
        _ => Err(CloneError::Profile),
    }
}

fn padded(label: &str) -> Option<[u8; LABEL_BYTES]> {
    let mut padded = [b' '; LABEL_BYTES];
    padded.get_mut(..label.len())?.copy_from_slice(label.as_bytes());
    (!label.is_empty()).then_some(padded)
}
