//! The right edge of the tree: what must be kept to append, instead of all leaves.
//!
//! Not a proof. Guards: the number of subtree roots is the number of one bits of the size.

use super::{empty_root, node_hash};
use crate::digest::{DIGEST_BYTES, Digest};

/// Longest serialisation: a size and 64 roots.
pub const FRONTIER_BYTES_MAX: usize = 8 + 64 * DIGEST_BYTES;

/// The size of a tree and the roots of its perfect subtrees, largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    roots: Vec<Digest>,
}

impl Frontier {
    /// The empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, roots: Vec::new() }
    }

    /// Appends one leaf hash.
    pub fn push(&mut self, leaf: Digest) {
        let mut hash = leaf;
        // One subtree ends for every trailing one bit of the old size.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Digest {
        let folded = self.roots.iter().copied().rev().reduce(|right, left| node_hash(&left, &right));
        folded.unwrap_or_else(empty_root)
    }

    /// Leaves of the tree.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Size as 8 bytes big-endian, then the roots, largest subtree first.
    // Stored format: changing this needs a migration.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.to_be_bytes().to_vec();
        self.roots.iter().for_each(|root| bytes.extend_from_slice(root.as_bytes()));
        bytes
    }

    /// Reads [`Self::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidFrontier> {
        let (size, roots) = bytes.split_first_chunk::<8>().ok_or(InvalidFrontier::Size { found: bytes.len() })?;
        let size = u64::from_be_bytes(*size);
        let (roots, rest) = roots.as_chunks::<DIGEST_BYTES>();
        let expected = size.count_ones() as usize;
        if roots.len() != expected || !rest.is_empty() {
            return Err(InvalidFrontier::Roots { expected, found_bytes: bytes.len() - 8 });
        }
        Ok(Self { size, roots: roots.iter().copied().map(Digest::from_bytes).collect() })
    }
}

/// Why bytes are not a frontier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFrontier {
    /// Not as many roots as the size has one bits.
    #[error("a frontier of this size has {expected} subtree roots, not {found_bytes} bytes of them")]
    Roots {
        /// Roots called for by the size.
        expected: usize,
        /// Bytes given after the size.
        found_bytes: usize,
    },
    /// Too short to hold a size.
    #[error("a frontier begins with 8 bytes of size, {found} bytes were given")]
    Size {
        /// Bytes given.
        found: usize,
    },
}
