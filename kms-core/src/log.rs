//! The key log: its tree and its checkpoints.
//!
//! Not the entries and not their storage. Guards: a root commits to every entry, its position and
//! the number of entries; a checkpoint commits to a root under a key.

pub mod checkpoint;
pub mod merkle;
