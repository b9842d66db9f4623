//! How often each fault has had its chance, and the record of those that fired.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use sm3::{Digest, Sm3};

const COUNTER_BYTES: u64 = size_of::<u64>() as u64;
const DIGEST_BYTES: usize = 32;

/// One counter for each rule.
pub(crate) enum Counters {
    /// They live as long as the process, over C_Finalize and C_Initialize.
    Process(Vec<AtomicU64>),
    /// They live in a file beside the script, over all processes: SM3 of the script, then 8 bytes for each rule.
    Shared(File),
}

impl Counters {
    pub(crate) fn of_process(rules: usize) -> Self {
        Self::Process((0..rules).map(|_| AtomicU64::new(0)).collect())
    }

    /// Opens `<script>.counts`. Counters of another script start again.
    pub(crate) fn shared(script: &Path, text: &str, rules: usize) -> io::Result<Self> {
        let mut name = script.as_os_str().to_owned();
        name.push(".counts");
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(name)?;
        file.lock()?;
        let (ours, mut theirs) = (Sm3::digest(text), [0; DIGEST_BYTES]);
        let kept = file.read_exact_at(&mut theirs, 0).is_ok() && theirs == ours[..];
        if !kept {
            file.set_len(0)?;
            file.write_all_at(&ours, 0)?;
        }
        file.set_len(DIGEST_BYTES as u64 + rules as u64 * COUNTER_BYTES)?;
        file.unlock()?;
        Ok(Self::Shared(file))
    }

    /// The number of this call for the rule, from 1.
    pub(crate) fn next(&self, rule: usize) -> u64 {
        match self {
            Self::Process(counters) => {
                counters.get(rule).map_or(0, |counter| counter.fetch_add(1, Ordering::Relaxed) + 1)
            }
            // A counter that cannot be kept stays at 0, where no rule fires: the floor of fired faults is not reached,
            // and the test that relies on it says so.
            Self::Shared(file) => next_in_file(file, rule).unwrap_or(0),
        }
    }
}

fn next_in_file(file: &File, rule: usize) -> io::Result<u64> {
    /// The lock is that of the open file, which all threads here have in common.
    static THREADS: parking_lot::Mutex<()> = parking_lot::Mutex::new(());
    let at = DIGEST_BYTES as u64 + rule as u64 * COUNTER_BYTES;
    let _threads = THREADS.lock();
    file.lock()?;
    let counted = (|| {
        let mut bytes = [0; COUNTER_BYTES as usize];
        file.read_exact_at(&mut bytes, at)?;
        let number = u64::from_le_bytes(bytes) + 1;
        file.write_all_at(&number.to_le_bytes(), at)?;
        Ok(number)
    })();
    file.unlock()?;
    counted
}

/// The record of fired faults.
pub(crate) struct Log(File);

impl Log {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(Self)
    }

    /// One write for one line, so that lines of several processes do not mix. A record that cannot be written is
    /// missing from the count, which is what its readers check.
    pub(crate) fn append(&self, line: &str) {
        let _ = (&self.0).write_all(line.as_bytes());
    }
}
