//! A token on disk: one directory, one metadata file, one file per object.
//!
//! ```text
//! token-0000/token        metadata: label, serial, PIN counters, token keys sealed under the PINs   (meta)
//! token-0000/lock         flock: one writer at a time, over all processes
//! token-0000/generation   8-byte shared counter; odd while a writer is at work                      (generation)
//! token-0000/objects/<id>-<revision>   one object                                                   (object_file)
//! ```
//! Guards: a file is complete or absent (write to a temporary name, fsync, rename, fsync the directory), and a change is
//! on the disk before the call that made it returns.

pub(crate) mod codec;
pub(crate) mod generation;
pub(crate) mod meta;
pub(crate) mod object_file;
pub(crate) mod seal;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use cryptoki_sys::{CKR_ARGUMENTS_BAD, CKR_DEVICE_ERROR, CKR_DEVICE_MEMORY};

use crate::{
    object::ObjectId,
    rv::{Result, Rv, ensure},
    secret::fill_random,
    storage::{generation::Generation, meta::Meta},
};

/// Only the owner reads or writes token files.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
/// A file of the token that is longer than this is not ours.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
const TEMPORARY: &str = "tmp-";

/// One token's directory.
pub(crate) struct TokenDir {
    path: PathBuf,
    generation: Generation,
}

/// The token's lock, held over all threads and processes until dropped.
pub(crate) struct Locked<'a> {
    dir: &'a TokenDir,
    _lock: FileLock,
}

/// An flock held until dropped. Dropping unlocks, which closing alone would not do while a forked child has the file open.
pub(crate) struct FileLock(File);

impl Drop for FileLock {
    fn drop(&mut self) {
        // If this fails the close that follows is all that can be done.
        let _ = self.0.unlock();
    }
}

/// Name of an object file: who, and which state of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ObjectName {
    pub(crate) id: ObjectId,
    pub(crate) revision: u64,
}

/// Maps an I/O error to what PKCS#11 can say about it.
pub(crate) fn device_error(error: std::io::Error) -> Rv {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Rv(CKR_DEVICE_MEMORY),
        _ => Rv(CKR_DEVICE_ERROR),
    }
}

/// Creates a directory, and the missing ones above it, for the owner only.
pub(crate) fn create_private_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path).map_err(device_error)
}

/// Takes the exclusive lock of the file at `path`.
pub(crate) fn lock_file(path: &Path) -> Result<FileLock> {
    let file = open_lock(path)?;
    file.lock().map_err(device_error)?;
    Ok(FileLock(file))
}

fn open_lock(path: &Path) -> Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(FILE_MODE).open(path).map_err(device_error)
}

impl TokenDir {
    /// Opens an initialised token.
    pub(crate) fn open(path: PathBuf) -> Result<Self> {
        let generation = Generation::open(&path.join("generation"))?;
        Ok(Self { path, generation })
    }

    /// Creates the directory of a new token with its metadata; it appears under its name complete or not at all.
    pub(crate) fn create(path: PathBuf, meta: &Meta) -> Result<Self> {
        let parent = path.parent().ok_or(Rv(CKR_DEVICE_ERROR))?;
        let building = parent.join(format!(".new-{:016x}", random_number()?));
        create_private_dir(&building.join("objects"))?;
        write_new(&building.join("token"), &meta.encode())?;
        drop(Generation::open(&building.join("generation"))?);
        sync_dir(&building)?;
        fs::rename(&building, &path).map_err(device_error)?;
        sync_dir(parent)?;
        Self::open(path)
    }

    /// Waits for the token's lock. A writer that died in mid-work is noticed and its traces are cleaned.
    pub(crate) fn lock(&self) -> Result<Locked<'_>> {
        let lock = lock_file(&self.path.join("lock"))?;
        if self.generation.writer_died() {
            self.generation.end();
        }
        Ok(Locked { dir: self, _lock: lock })
    }

    /// As [`TokenDir::lock`], or `None` while another writer is at work.
    pub(crate) fn try_lock(&self) -> Result<Option<Locked<'_>>> {
        let file = open_lock(&self.path.join("lock"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(device_error(error)),
        }
        if self.generation.writer_died() {
            self.generation.end();
        }
        Ok(Some(Locked { dir: self, _lock: FileLock(file) }))
    }

    /// Changes whenever any process has changed the token.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load()
    }

    /// The metadata as it is now. The file is replaced as a whole, so no lock is needed.
    pub(crate) fn meta(&self) -> Result<Meta> {
        Meta::decode(&read_limited(&self.path.join("token"))?)
    }

    fn objects(&self) -> PathBuf {
        self.path.join("objects")
    }
}

impl Locked<'_> {
    pub(crate) fn meta(&self) -> Result<Meta> {
        self.dir.meta()
    }

    /// Replaces the metadata without telling other processes: PIN counters are read from disk at every use.
    pub(crate) fn write_meta(&self, meta: &Meta) -> Result<()> {
        replace(&self.dir.path, "token", &meta.encode())
    }

    /// The current state of every object. Files that a dead writer left behind are removed.
    pub(crate) fn list(&self) -> Result<Vec<ObjectName>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.dir.objects()).map_err(device_error)? {
            let name = entry.map_err(device_error)?.file_name();
            let name = name.to_str().ok_or(Rv(CKR_DEVICE_ERROR))?;
            if name.starts_with(TEMPORARY) {
                fs::remove_file(self.dir.objects().join(name)).map_err(device_error)?;
            } else {
                names.push(ObjectName::parse(name).ok_or(Rv(CKR_DEVICE_ERROR))?);
            }
        }
        names.sort_unstable();
        // An update writes the new state, then removes the old one: of two states the higher is the truth.
        let mut current: Vec<ObjectName> = Vec::with_capacity(names.len());
        for name in names {
            match current.last_mut() {
                Some(older) if older.id == name.id => {
                    fs::remove_file(self.dir.objects().join(older.file_name())).map_err(device_error)?;
                    *older = name;
                }
                _ => current.push(name),
            }
        }
        Ok(current)
    }

    pub(crate) fn read(&self, name: ObjectName) -> Result<Vec<u8>> {
        read_limited(&self.dir.objects().join(name.file_name()))
    }

    /// Makes the change that `work` does visible to all processes: they reload when the generation has changed.
    pub(crate) fn change<T>(&self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        self.dir.generation.begin();
        let outcome = work(self);
        self.dir.generation.end();
        outcome
    }

    /// Writes one state of one object, inside [`Locked::change`].
    pub(crate) fn write(&self, name: ObjectName, bytes: &[u8]) -> Result<()> {
        replace(&self.dir.objects(), &name.file_name(), bytes)
    }

    /// Removes one state of one object, inside [`Locked::change`].
    pub(crate) fn remove(&self, name: ObjectName) -> Result<()> {
        let objects = self.dir.objects();
        fs::remove_file(objects.join(name.file_name())).map_err(device_error)?;
        sync_dir(&objects)
    }
}

impl ObjectName {
    fn file_name(self) -> String {
        format!("{:016x}-{:016x}", self.id.0, self.revision)
    }

    fn parse(name: &str) -> Option<Self> {
        let (id, revision) = name.split_once('-')?;
        let number = |text: &str| (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
        let parsed = Self { id: ObjectId(number(id)?), revision: number(revision)? };
        (parsed.file_name() == name).then_some(parsed)
    }
}

/// A random number for names and serials.
pub(crate) fn random_number() -> Result<u64> {
    let mut bytes = [0; 8];
    fill_random(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}

/// Binds a directory of tokens to the numbering in which its keys are stored: the file `profile` names it, unless it is
/// `standard`. A directory that is bound to another one is refused: the same numbers would mean other keys.
pub(crate) fn bind_profile(dir: &Path, name: &str, standard: &str) -> Result<()> {
    let file = dir.join("profile");
    match fs::read(&file) {
        Ok(bound) => ensure(bound == name.as_bytes(), CKR_ARGUMENTS_BAD),
        Err(error) if error.kind() == ErrorKind::NotFound && name == standard => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            for entry in fs::read_dir(dir).map_err(device_error)? {
                let is_token = entry.map_err(device_error)?.file_name().as_encoded_bytes().starts_with(b"token-");
                ensure(!is_token, CKR_ARGUMENTS_BAD)?;
            }
            replace(dir, "profile", name.as_bytes())
        }
        Err(error) => Err(device_error(error)),
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = OpenOptions::new().create_new(true).write(true).mode(FILE_MODE).open(path).map_err(device_error)?;
    file.write_all(bytes).map_err(device_error)?;
    file.sync_all().map_err(device_error)
}

fn replace(directory: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let temporary = directory.join(format!("{TEMPORARY}{:016x}", random_number()?));
    let written = write_new(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, directory.join(name)).map_err(device_error))
        .and_then(|()| sync_dir(directory));
    if written.is_err() {
        // Best effort: what stays is removed by the next writer.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn sync_dir(path: &Path) -> Result<()> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(device_error)
}

fn read_limited(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(device_error)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(device_error)?;
    if bytes.len() as u64 > FILE_BYTES_MAX { Err(Rv(CKR_DEVICE_ERROR)) } else { Ok(bytes) }
}
