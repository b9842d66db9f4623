//! Looks for every eight-byte window of every secret, in the memory of processes and in files.
//!
//! Half a key survives more often than a whole one, so windows. Guard: a search that does not find the
//! canary is blind, and fails.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::secrets::{CANARY, KINDS, Known};

/// Bytes of a window.
const WINDOW: usize = 8;
/// The same for secrets of digits, of which eight stand in some file by chance.
const DIGITS: usize = 12;
/// Mappings larger than this are reserved address space, not memory in use.
const MAPPING_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How many windows of each kind were found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) counts: [usize; KINDS.len()],
    /// Bytes looked at.
    pub(super) bytes: usize,
    /// Windows in mappings that are not both locked and left out of dumps, by kind.
    pub(super) loose: [usize; KINDS.len()],
    /// Where the first few are.
    places: Vec<String>,
}

impl Found {
    /// What must not be here, in words; empty when all is well.
    pub(super) fn but(&self, allowed: &[usize]) -> Vec<String> {
        let wrong = |kind: usize| self.counts[kind] > 0 && kind != CANARY && !allowed.contains(&kind);
        let mut told: Vec<String> = (0..KINDS.len())
            .filter(|kind| wrong(*kind))
            .map(|kind| format!("{} windows of {}", self.counts[kind], KINDS[kind]))
            .collect();
        if !told.is_empty() {
            told.extend(self.places.iter().cloned());
        }
        told
    }
}

/// The search, ready for use.
pub(super) struct Search {
    windows: AhoCorasick,
    kinds: Vec<usize>,
}

impl Search {
    pub(super) fn new(known: &[Known]) -> Self {
        let mut windows = BTreeMap::new();
        for (kind, secret) in known {
            let length = if secret.iter().all(u8::is_ascii_digit) { DIGITS } else { WINDOW };
            assert!(secret.len() >= length, "{} too short to look for", KINDS[*kind]);
            for window in secret.windows(length) {
                windows.insert(window.to_vec(), *kind);
            }
        }
        let kinds = windows.values().copied().collect();
        let windows =
            AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(windows.into_keys()).unwrap();
        Self { windows, kinds }
    }

    fn look(&self, bytes: &[u8], place: &dyn Fn(usize) -> String, kept: bool, found: &mut Found) {
        found.bytes += bytes.len();
        for hit in self.windows.find_overlapping_iter(bytes) {
            let kind = self.kinds[hit.pattern().as_usize()];
            found.counts[kind] += 1;
            found.loose[kind] += usize::from(!kept);
            if kind != CANARY && found.places.len() < 12 {
                let window = hex::encode(&bytes[hit.start()..hit.end()]);
                found.places.push(format!("{} at {}: {window}", KINDS[kind], place(hit.start())));
            }
        }
    }

    /// All writable memory of a process. It must hold the canary.
    #[track_caller]
    pub(super) fn process(&self, pid: u32) -> Found {
        let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
        let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
        let mut found = Found::default();
        let mut buffer = Vec::new();
        let mut mapping: Option<(u64, u64, String)> = None;
        for line in smaps.lines() {
            if let Some((range, rest)) = line.split_once(' ')
                && let Some((from, until)) = range.split_once('-')
                && let (Ok(from), Ok(until)) = (u64::from_str_radix(from, 16), u64::from_str_radix(until, 16))
            {
                mapping = rest.starts_with("rw").then(|| (from, until, line.to_owned()));
            }
            let Some(flags) = line.strip_prefix("VmFlags:") else { continue };
            let Some((from, until, name)) = mapping.take().filter(|(from, until, _)| until - from <= MAPPING_BYTES_MAX)
            else {
                continue;
            };
            buffer.resize((until - from) as usize, 0);
            if memory.read_exact_at(&mut buffer, from).is_err() {
                continue;
            }
            let kept = flags.contains(" lo") && flags.contains(" dd");
            let place = |at: usize| format!("{:x} in {name}", from + at as u64);
            self.look(&buffer, &place, kept, &mut found);
        }
        assert!(found.counts[CANARY] > 0, "the canary was not found in {pid}: the search is blind");
        found
    }

    /// Every file below a folder, but those that a person keeps the secret in. `canary` is one that must be found.
    #[track_caller]
    pub(super) fn files(&self, folder: &Path, is_home: &dyn Fn(&Path) -> bool) -> Found {
        let mut found = Found::default();
        let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
                let path = entry.path();
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() && !is_home(&path) {
                    let bytes = std::fs::read(&path).unwrap();
                    self.look(&bytes, &|at| format!("{} in {}", at, path.display()), false, &mut found);
                }
            }
        }
        assert!(found.counts[CANARY] > 0, "the canary was not found in the files: the search is blind");
        found
    }
}
