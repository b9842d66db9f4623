//! The Merkle tree of RFC 6962 over SM3: leaf = SM3(00 ‖ entry), node = SM3(01 ‖ left ‖ right), empty
//! tree = SM3 of nothing.
//!
//! Not a store: callers hold the leaves, or a [`Frontier`] that is enough to go on. Guards: a proof is
//! accepted only with exactly the hashes that its index and size call for.

mod frontier;

pub use frontier::{FRONTIER_BYTES_MAX, Frontier, InvalidFrontier};

use crate::digest::Digest;

/// Most hashes in a proof: one per bit of a size.
pub const PROOF_HASHES_MAX: usize = 64;

const LEAF_PREFIX: [u8; 1] = [0];
const NODE_PREFIX: [u8; 1] = [1];

/// The leaf of an entry.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Digest {
    Digest::of_parts(&[&LEAF_PREFIX, entry])
}

/// The node over two subtrees.
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::of_parts(&[&NODE_PREFIX, left.as_bytes(), right.as_bytes()])
}

/// The root of the empty tree.
#[must_use]
pub fn empty_root() -> Digest {
    Digest::of(&[])
}

/// The root over `leaves`.
#[must_use]
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// The path from leaf `index` to the root, lowest first; `None` if there is no such leaf.
#[must_use]
pub fn inclusion_path(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    if index >= leaves.len() {
        return None;
    }
    let mut path = Vec::new();
    inclusion_into(leaves, index, &mut path);
    Some(path)
}

/// The hashes that show that the tree of the first `old_size` leaves is a prefix of the whole;
/// empty for `old_size` 0 and for the whole; `None` beyond it.
#[must_use]
pub fn consistency_path(leaves: &[Digest], old_size: usize) -> Option<Vec<Digest>> {
    if old_size > leaves.len() {
        return None;
    }
    let mut path = Vec::new();
    if old_size > 0 {
        consistency_into(leaves, old_size, true, &mut path);
    }
    Some(path)
}

/// Verifies that `leaf` is number `index` of the tree of `size` leaves under `root`.
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    path: &[Digest],
    root: &Digest,
) -> Result<(), ProofInvalid> {
    if index >= size {
        return Err(ProofInvalid::NoSuchLeaf { index, size });
    }
    let shape = Shape::between(index, size - 1);
    if path.len() != shape.inner + shape.border {
        return Err(ProofInvalid::PathLength { expected: shape.inner + shape.border, found: path.len() });
    }
    let (inner, border) = path.split_at(shape.inner);
    check_root(root, chain_border(chain_inner(*leaf, inner, index), border))
}

/// Verifies that the tree under `new_root` begins with the leaves of the tree under `old_root`.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Digest,
    new_size: u64,
    new_root: &Digest,
    path: &[Digest],
) -> Result<(), ProofInvalid> {
    if old_size > new_size {
        return Err(ProofInvalid::Shrunk { old_size, new_size });
    }
    if old_size == new_size || old_size == 0 {
        if !path.is_empty() {
            return Err(ProofInvalid::PathLength { expected: 0, found: path.len() });
        }
        // Every tree begins with the empty one, whose root is known.
        let expected = if old_size == 0 { empty_root() } else { *new_root };
        return check_root(old_root, expected);
    }
    // The proof begins at the largest perfect subtree that ends where the old tree ends. It is given,
    // unless it is the whole old tree, whose root is known.
    let level = old_size.trailing_zeros();
    let given = usize::from(!old_size.is_power_of_two());
    let last = (old_size - 1) >> level;
    let shape = Shape::between(last, (new_size - 1) >> level);
    let expected = given + shape.inner + shape.border;
    if path.len() != expected {
        return Err(ProofInvalid::PathLength { expected, found: path.len() });
    }
    let (start, path) = path.split_at(given);
    let start = start.first().unwrap_or(old_root);
    let (inner, border) = path.split_at(shape.inner);
    check_root(old_root, chain_border(chain_inner_left(*start, inner, last), border))?;
    check_root(new_root, chain_border(chain_inner(*start, inner, last), border))
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofInvalid {
    /// The index is not below the size.
    #[error("there is no leaf {index} in a tree of {size}")]
    NoSuchLeaf {
        /// 0-based.
        index: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// Too few or too many hashes for index and size.
    #[error("the proof has {found} hashes instead of {expected}")]
    PathLength {
        /// Hashes that index and size call for.
        expected: usize,
        /// Hashes given.
        found: usize,
    },
    /// The path leads to another root.
    #[error("the path leads to the root {found} instead of {expected}")]
    Root {
        /// The root to be shown.
        expected: Digest,
        /// The root that the path gives.
        found: Digest,
    },
    /// The later tree is smaller.
    #[error("the tree shrank from {old_size} to {new_size} leaves")]
    Shrunk {
        /// Leaves of the earlier tree.
        old_size: u64,
        /// Leaves of the later tree.
        new_size: u64,
    },
}

/// How a path runs: `inner` levels, where siblings stand on either side, until it meets the right edge
/// of the tree; then `border` siblings, all to the left.
struct Shape {
    inner: usize,
    border: usize,
}

impl Shape {
    /// Of the path from node `index` in a level whose last node is `last`.
    const fn between(index: u64, last: u64) -> Self {
        let inner = u64::BITS - (index ^ last).leading_zeros();
        let above = match index.checked_shr(inner) {
            Some(above) => above,
            None => 0,
        };
        Self { inner: inner as usize, border: above.count_ones() as usize }
    }
}

/// Climbs the inner levels: bit n of `index` says on which side of level n the node stands.
fn chain_inner(start: Digest, siblings: &[Digest], index: u64) -> Digest {
    siblings.iter().enumerate().fold(start, |hash, (level, sibling)| {
        if index >> level & 1 == 0 { node_hash(&hash, sibling) } else { node_hash(sibling, &hash) }
    })
}

/// The same with the siblings to the left only: what was there when the tree ended here.
fn chain_inner_left(start: Digest, siblings: &[Digest], index: u64) -> Digest {
    siblings.iter().enumerate().fold(
        start,
        |hash, (level, sibling)| {
            if index >> level & 1 == 0 { hash } else { node_hash(sibling, &hash) }
        },
    )
}

fn chain_border(start: Digest, siblings: &[Digest]) -> Digest {
    siblings.iter().fold(start, |hash, sibling| node_hash(sibling, &hash))
}

fn check_root(expected: &Digest, found: Digest) -> Result<(), ProofInvalid> {
    if *expected == found { Ok(()) } else { Err(ProofInvalid::Root { expected: *expected, found }) }
}

/// The largest power of two below `size`, for `size` of at least 2.
fn split(size: usize) -> usize {
    1 << (size - 1).ilog2()
}

fn inclusion_into(leaves: &[Digest], index: usize, path: &mut Vec<Digest>) {
    if leaves.len() < 2 {
        return;
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    if index < left.len() {
        inclusion_into(left, index, path);
        path.push(root(right));
    } else {
        inclusion_into(right, index - left.len(), path);
        path.push(root(left));
    }
}

/// RFC 6962, 2.1.2: `known` while the verifier has the root of `leaves` already.
fn consistency_into(leaves: &[Digest], old_size: usize, known: bool, path: &mut Vec<Digest>) {
    if old_size == leaves.len() {
        if !known {
            path.push(root(leaves));
        }
        return;
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    if old_size <= left.len() {
        consistency_into(left, old_size, known, path);
        path.push(root(right));
    } else {
        consistency_into(right, old_size - left.len(), false, path);
        path.push(root(left));
    }
}
