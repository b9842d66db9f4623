//! The tree: vectors, and every proof of every tree up to 256 leaves with what must be refused.

use std::collections::HashMap;

use kms_core::{
    digest::Digest,
    log::merkle::{
        Frontier, ProofInvalid, consistency_path, empty_root, inclusion_path, leaf_hash, node_hash, root,
        verify_consistency, verify_inclusion,
    },
};
use serde_json::Value;

use crate::vectors::{bytes, list, number, sm3, text};

const LEAVES_MAX: usize = 256;

fn digests(value: &Value) -> Vec<Digest> {
    list(value).iter().map(|digest| Digest::from_hex(text(digest)).unwrap()).collect()
}

#[test]
fn vector_roots_and_proofs() {
    let vectors = sm3();
    let tree = &vectors["merkle_tree"];
    let leaves: Vec<_> = list(&tree["entries"]).iter().map(|entry| leaf_hash(&bytes(entry))).collect();
    assert_eq!(leaves, digests(&tree["leaf_hashes"]));
    let roots: HashMap<_, _> =
        list(&tree["roots"]).iter().map(|case| (number(&case["size"]), text(&case["root"]))).collect();
    assert_eq!(roots.len(), 9);
    for (size, expected) in &roots {
        assert_eq!(root(&leaves[..*size as usize]).to_string(), *expected);
    }
    let root_of = |size: u64| Digest::from_hex(roots[&size]).unwrap();
    for case in list(&tree["inclusion"]) {
        let (index, size, path) = (number(&case["index"]), number(&case["size"]), digests(&case["path"]));
        assert_eq!(inclusion_path(&leaves[..size as usize], index as usize).unwrap(), path);
        assert_eq!(verify_inclusion(&leaves[index as usize], index, size, &path, &root_of(size)), Ok(()));
    }
    for case in list(&tree["consistency"]) {
        let (first, second, proof) = (number(&case["first"]), number(&case["second"]), digests(&case["proof"]));
        assert_eq!(consistency_path(&leaves[..second as usize], first as usize).unwrap(), proof);
        assert_eq!(verify_consistency(first, &root_of(first), second, &root_of(second), &proof), Ok(()));
    }
}

/// Subtree roots by (start, size), so that 65,792 proofs cost as many hashes as there are subtrees.
struct Reference {
    leaves: Vec<Digest>,
    roots: HashMap<(usize, usize), Digest>,
}

impl Reference {
    fn new() -> Self {
        let leaves = (0..LEAVES_MAX).map(|index| leaf_hash(&(index as u64).to_be_bytes())).collect();
        Self { leaves, roots: HashMap::new() }
    }

    fn root(&mut self, start: usize, size: usize) -> Digest {
        match size {
            0 => return empty_root(),
            1 => return self.leaves[start],
            _ => {}
        }
        if let Some(root) = self.roots.get(&(start, size)) {
            return *root;
        }
        let left = size.next_power_of_two() / 2;
        let root = node_hash(&self.root(start, left), &self.root(start + left, size - left));
        self.roots.insert((start, size), root);
        root
    }

    fn inclusion(&mut self, start: usize, size: usize, index: usize) -> Vec<Digest> {
        if size < 2 {
            return Vec::new();
        }
        let left = size.next_power_of_two() / 2;
        let (mut path, sibling) = if index < left {
            (self.inclusion(start, left, index), self.root(start + left, size - left))
        } else {
            (self.inclusion(start + left, size - left, index - left), self.root(start, left))
        };
        path.push(sibling);
        path
    }

    fn consistency(&mut self, start: usize, size: usize, old: usize, known: bool) -> Vec<Digest> {
        if old == size {
            return if known { Vec::new() } else { vec![self.root(start, size)] };
        }
        let left = size.next_power_of_two() / 2;
        let (mut path, sibling) = if old <= left {
            (self.consistency(start, left, old, known), self.root(start + left, size - left))
        } else {
            (self.consistency(start + left, size - left, old - left, false), self.root(start, left))
        };
        path.push(sibling);
        path
    }
}

/// Every way to spoil a list of hashes by one: flip a bit, drop, append; in small trees also exchange
/// neighbours.
fn spoiled(path: &[Digest], size: usize) -> Vec<Vec<Digest>> {
    let mut all = Vec::new();
    for position in 0..path.len() {
        let mut flipped = path.to_vec();
        let mut digest = *flipped[position].as_bytes();
        digest[position % 32] ^= 1;
        flipped[position] = Digest::from_bytes(digest);
        all.push(flipped);
        let mut dropped = path.to_vec();
        dropped.remove(position);
        all.push(dropped);
        if position + 1 < path.len() && size <= 64 {
            let mut exchanged = path.to_vec();
            exchanged.swap(position, position + 1);
            all.push(exchanged);
        }
    }
    all.push([path, &[Digest::of(b"one too many")]].concat());
    all
}

#[test]
fn every_inclusion_proof_up_to_256_and_its_mutations() {
    let mut reference = Reference::new();
    let (mut proofs, mut refused) = (0, 0);
    for size in 1..=LEAVES_MAX {
        let tree_root = reference.root(0, size);
        for index in 0..size {
            let path = reference.inclusion(0, size, index);
            if size <= 48 {
                assert_eq!(inclusion_path(&reference.leaves[..size], index).unwrap(), path);
            }
            let leaf = reference.leaves[index];
            let verify = |leaf: &Digest, index: usize, path: &[Digest], root: &Digest| {
                verify_inclusion(leaf, index as u64, size as u64, path, root)
            };
            assert_eq!(verify(&leaf, index, &path, &tree_root), Ok(()));
            proofs += 1;
            let other = Digest::of(b"other");
            assert!(verify(&other, index, &path, &tree_root).is_err());
            assert!(verify(&leaf, index, &path, &other).is_err());
            assert!(verify(&leaf, size, &path, &tree_root).is_err());
            refused += 3;
            for wrong in [index + 1, index.wrapping_sub(1), size - 1 - index] {
                if wrong < size && wrong != index {
                    assert!(verify(&leaf, wrong, &path, &tree_root).is_err(), "{size} {index} {wrong}");
                    refused += 1;
                }
            }
            for bad in spoiled(&path, size) {
                assert!(verify(&leaf, index, &bad, &tree_root).is_err(), "{size} {index}");
                refused += 1;
            }
        }
    }
    assert_eq!(proofs, 32_896);
    assert!(refused >= 600_000, "{refused}");
}

#[test]
fn every_consistency_proof_up_to_256_and_its_mutations() {
    let mut reference = Reference::new();
    let (mut proofs, mut refused) = (0, 0);
    for new in 1..=LEAVES_MAX {
        let new_root = reference.root(0, new);
        for old in 1..=new {
            let path = reference.consistency(0, new, old, true);
            if new <= 48 {
                assert_eq!(consistency_path(&reference.leaves[..new], old).unwrap(), path);
            }
            let old_root = reference.root(0, old);
            let verify = |old: usize, old_root: &Digest, new_root: &Digest, path: &[Digest]| {
                verify_consistency(old as u64, old_root, new as u64, new_root, path)
            };
            assert_eq!(verify(old, &old_root, &new_root, &path), Ok(()));
            proofs += 1;
            let other = Digest::of(b"other");
            assert!(verify(old, &other, &new_root, &path).is_err());
            assert!(verify(old, &old_root, &other, &path).is_err());
            assert!(verify(new + 1, &old_root, &new_root, &path).is_err());
            refused += 3;
            for bad in spoiled(&path, new) {
                assert!(verify(old, &old_root, &new_root, &bad).is_err(), "{old} {new}");
                refused += 1;
            }
        }
    }
    assert_eq!(proofs, 32_896);
    assert!(refused >= 500_000, "{refused}");
}

#[test]
fn every_tree_begins_with_the_empty_one() {
    let root = Digest::of(b"any");
    assert_eq!(verify_consistency(0, &empty_root(), 9, &root, &[]), Ok(()));
    assert_eq!(verify_consistency(0, &empty_root(), 0, &empty_root(), &[]), Ok(()));
    assert!(verify_consistency(0, &root, 9, &root, &[]).is_err());
    assert!(verify_consistency(0, &empty_root(), 9, &root, &[root]).is_err());
    assert_eq!(consistency_path(&[root], 0), Some(Vec::new()));
}

#[test]
fn there_is_no_proof_beyond_the_tree() {
    let leaves = [Digest::of(b"a"), Digest::of(b"b")];
    assert_eq!(inclusion_path(&leaves, 2), None);
    assert_eq!(inclusion_path(&[], 0), None);
    assert_eq!(consistency_path(&leaves, 3), None);
    let no_leaf = ProofInvalid::NoSuchLeaf { index: 0, size: 0 };
    assert_eq!(verify_inclusion(&leaves[0], 0, 0, &[], &leaves[0]), Err(no_leaf));
    let long = vec![leaves[0]; 80];
    assert!(verify_inclusion(&leaves[0], u64::MAX - 1, u64::MAX, &long, &leaves[0]).is_err());
    assert!(verify_consistency(u64::MAX - 1, &leaves[0], u64::MAX, &leaves[0], &long).is_err());
}

#[test]
fn frontier_agrees_with_the_tree_and_round_trips() {
    let mut reference = Reference::new();
    let mut frontier = Frontier::new();
    for size in 0..=LEAVES_MAX {
        assert_eq!(frontier.size(), size as u64);
        assert_eq!(frontier.root(), reference.root(0, size));
        assert_eq!(Frontier::from_bytes(&frontier.to_bytes()).unwrap(), frontier);
        if size < LEAVES_MAX {
            frontier.push(reference.leaves[size]);
        }
    }
}

#[test]
fn frontier_bytes_must_be_refused() {
    let mut frontier = Frontier::new();
    (0..7u8).for_each(|entry| frontier.push(leaf_hash(&[entry])));
    let good = frontier.to_bytes();
    for end in 0..good.len() {
        assert!(Frontier::from_bytes(&good[..end]).is_err(), "{end}");
    }
    assert!(Frontier::from_bytes(&[&good[..], &[0]].concat()).is_err());
    assert!(Frontier::from_bytes(&[&good[..], &[0; 32]].concat()).is_err());
    for size in [3u8, 6, 8, 15] {
        let mut bad = good.clone();
        bad[7] = size;
        assert!(Frontier::from_bytes(&bad).is_err(), "{size}");
    }
}
