//! The tracked part of the source tree: paths and texts.

use std::path::{Path, PathBuf};

/// Folders that are made, not written.
const SKIPPED: &[&str] = &["target", ".git", "demo", "__pycache__", "node_modules"];

/// A text file, by its path below the root with `/`.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// One file of the tree.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every text file, sorted by path.
pub(crate) fn all() -> Vec<Source> {
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Every text file whose name ends so.
pub(crate) fn ending(suffix: &str) -> Vec<Source> {
    all().into_iter().filter(|source| source.path.ends_with(suffix)).collect()
}

fn walk(folder: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_symlink() || SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            let below = path.strip_prefix(root()).unwrap();
            found.push(Source { path: below.to_string_lossy().replace('\\', "/"), text });
        }
    }
}
