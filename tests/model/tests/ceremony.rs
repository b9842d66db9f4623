//! The whole small world holds, and every guard that is taken away is missed.

use kms_model::{Bounds, Mutant, World, search};

/// Fewest worlds of the clean search: a smaller one would show less than it says.
const STATES_MIN: usize = 6_000_000;

const FULL: Bounds = Bounds { leases: 3, crashes: 1, least_ruled: 1, revocations: 1, replays: 1 };
const CLEAN: Bounds = Bounds { leases: 2, crashes: 1, least_ruled: 1, revocations: 1, replays: 0 };

#[test]
fn no_world_breaks_a_rule() {
    let found = search(&CLEAN, None);
    println!("{{\"states\": {}, \"moves\": {}, \"concluded\": {}}}", found.states, found.moves, found.concluded);
    assert_eq!(found.violation, None);
    assert!(found.states >= STATES_MIN, "{} worlds, at least {STATES_MIN} are wanted", found.states);
    assert!(found.concluded > 0, "the work was never done: nothing was shown");
}

#[test]
fn every_missing_guard_is_found() {
    for mutant in Mutant::ALL {
        let found = search(&FULL, Some(mutant));
        let (violation, way) = found.violation.unwrap_or_else(|| panic!("{mutant:?} survived {} worlds", found.states));
        println!("{mutant:?}: {violation:?} after {} moves, {} worlds", way.len(), found.states);
    }
}

#[test]
fn worlds_survive_packing() {
    let mut known = vec![World::first()];
    for round in 0..6 {
        let mut next = Vec::new();
        for world in &known {
            assert_eq!(World::unpack(world.pack()), *world, "round {round}");
            world.moves(&FULL, None, &mut |reached| next.extend(reached.ok()));
        }
        next.truncate(2000);
        known = next;
    }
}
