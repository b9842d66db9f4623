//! Breadth first over every reachable world, so that a counterexample is a shortest one.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::world::{Bounds, Mutant, Violation, World};

/// What a search came to.
#[derive(Debug)]
pub struct Found {
    /// Distinct worlds.
    pub states: usize,
    /// Moves tried that led somewhere.
    pub moves: u64,
    /// The first violation, and the moves that lead to it.
    pub violation: Option<(Violation, Vec<String>)>,
    /// Worlds in which the work was concluded: a search that never gets there shows nothing.
    pub concluded: usize,
}

/// Multiplication by a large odd number: worlds are packed into one well-mixed word.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

type Seen = HashMap<u64, u32, BuildHasherDefault<Mix>>;

/// Searches until everything is seen or a violation is found.
#[must_use]
pub fn search(bounds: &Bounds, mutant: Option<Mutant>) -> Found {
    let first = World::first();
    // Index of the world each one was reached from.
    let mut seen = Seen::default();
    let mut order = vec![(first.pack(), 0_u32)];
    seen.insert(first.pack(), 0);
    let (mut moves, mut concluded, mut next) = (0, usize::from(first.is_concluded()), 0);
    while let Some((packed, _)) = order.get(next).copied() {
        let world = World::unpack(packed);
        let mut violation = None;
        world.moves(bounds, mutant, &mut |reached| {
            moves += 1;
            match reached {
                Ok(after) => {
                    let key = after.pack();
                    let number = u32::try_from(order.len()).unwrap_or(u32::MAX);
                    if let std::collections::hash_map::Entry::Vacant(place) = seen.entry(key) {
                        place.insert(number);
                        order.push((key, u32::try_from(next).unwrap_or(u32::MAX)));
                        concluded += usize::from(after.is_concluded());
                    }
                }
                Err(found) => violation = Some(found),
            }
        });
        if let Some(found) = violation {
            let way = way_to(&order, next);
            return Found { states: order.len(), moves, violation: Some((found, way)), concluded };
        }
        next += 1;
    }
    Found { states: order.len(), moves, violation: None, concluded }
}

fn way_to(order: &[(u64, u32)], mut at: usize) -> Vec<String> {
    let mut way = Vec::new();
    while let Some((packed, from)) = order.get(at) {
        way.push(World::unpack(*packed).to_string());
        if at == 0 {
            break;
        }
        at = *from as usize;
    }
    way.reverse();
    way
}
