//! Offline audit: every kind of tampering is found, and the first bad entry is named.

use der::Encode;
use kms_core::event::{Closing, LogEntry};
use kms_core::id::Actor;
use kms_core::plan::Decision;
use kms_core::verify::{AuditReason, Evidence, audit};

use crate::world::{World, person};

fn busy_world() -> World {
    let mut world = World::founded(2);
    let plan = world.masters_plan(&person("officer-a"));
    let id = world.open(&plan).unwrap();
    world.decide(&person("officer-b"), id, Decision::Approve).unwrap();
    world.decide(&person("officer-c"), id, Decision::Approve).unwrap();
    world.intent(id).unwrap();
    world.outcome(id).unwrap();
    world.close(Actor::Own, id, Closing::Done).unwrap();
    world
}

fn bytes(entries: &[LogEntry]) -> Vec<u8> {
    entries.iter().flat_map(|e| e.to_der().unwrap()).collect()
}

#[test]
fn an_honest_log_passes_and_is_counted() {
    let world = busy_world();
    let (anchor, checkpoint) = (world.anchor(), world.checkpoint());
    let evidence = Evidence {
        anchor: &anchor,
        entries: &world.entry_bytes(),
        documents: &world.documents,
        checkpoint: &checkpoint,
        previous: Some(&checkpoint),
    };
    let report = audit(&evidence).unwrap();
    assert_eq!(report.size, world.entries.len() as u64);
    assert_eq!(report.events["decided"], 2);
    assert_eq!(report.open_intents, 0);
}

#[test]
fn every_flipped_byte_of_the_entries_is_found() {
    let world = busy_world();
    let (anchor, checkpoint, honest) = (world.anchor(), world.checkpoint(), world.entry_bytes());
    for position in 0..honest.len() {
        let mut entries = honest.clone();
        entries[position] ^= 1 << (position % 8);
        let evidence = Evidence {
            anchor: &anchor,
            entries: &entries,
            documents: &world.documents,
            checkpoint: &checkpoint,
            previous: None,
        };
        assert!(audit(&evidence).is_err(), "flip at byte {position} of {}", honest.len());
    }
}

#[test]
fn every_dropped_doubled_or_swapped_entry_is_found() {
    let world = busy_world();
    let (anchor, checkpoint) = (world.anchor(), world.checkpoint());
    let refuse = |entries: Vec<LogEntry>, what: &str| {
        let entries = bytes(&entries);
        let evidence = Evidence {
            anchor: &anchor,
            entries: &entries,
            documents: &world.documents,
            checkpoint: &checkpoint,
            previous: None,
        };
        assert!(audit(&evidence).is_err(), "{what}");
    };
    for position in 0..world.entries.len() {
        let mut dropped = world.entries.clone();
        dropped.remove(position);
        refuse(dropped, "dropped");
        let mut doubled = world.entries.clone();
        doubled.insert(position, world.entries[position].clone());
        refuse(doubled, "doubled");
        if position + 1 < world.entries.len() {
            let mut swapped = world.entries.clone();
            swapped.swap(position, position + 1);
            refuse(swapped, "swapped");
        }
    }
}

#[test]
fn every_missing_or_damaged_document_is_found_at_its_entry() {
    let world = busy_world();
    let (anchor, checkpoint, entries) = (world.anchor(), world.checkpoint(), world.entry_bytes());
    let named: Vec<_> = world.documents.keys().copied().collect();
    for digest in named {
        let mut documents = world.documents.clone();
        documents.remove(&digest);
        let evidence = Evidence {
            anchor: &anchor,
            entries: &entries,
            documents: &documents,
            checkpoint: &checkpoint,
            previous: None,
        };
        let failure = audit(&evidence).err().expect("a document is missing");
        assert!(failure.index.is_some(), "{failure}");
        let mut documents = world.documents.clone();
        if let Some(last) = documents.get_mut(&digest).and_then(|d| d.last_mut()) {
            *last ^= 1;
        }
        let evidence = Evidence {
            anchor: &anchor,
            entries: &entries,
            documents: &documents,
            checkpoint: &checkpoint,
            previous: None,
        };
        assert!(audit(&evidence).is_err());
    }
}

#[test]
fn a_rewritten_entry_is_named() {
    let world = busy_world();
    let (anchor, checkpoint) = (world.anchor(), world.checkpoint());
    let mut entries = world.entries.clone();
    let victim = entries.iter().position(|e| e.event.name() == "decided").unwrap();
    entries[victim].time_ms += 1;
    let evidence = Evidence {
        anchor: &anchor,
        entries: &bytes(&entries),
        documents: &world.documents,
        checkpoint: &checkpoint,
        previous: None,
    };
    let failure = audit(&evidence).err().unwrap();
    assert!(
        failure.index == Some(victim as u64 + 1) || matches!(failure.reason, AuditReason::Root { .. }),
        "{failure}"
    );
}

#[test]
fn a_rolled_back_log_does_not_pass_the_auditors_own_checkpoint() {
    let mut world = busy_world();
    let (anchor, old_entries, old_checkpoint) = (world.anchor(), world.entry_bytes(), world.checkpoint());
    let plan = world.masters_plan(&person("officer-d"));
    world.open(&plan).unwrap();
    let kept = world.checkpoint();
    let evidence = Evidence {
        anchor: &anchor,
        entries: &old_entries,
        documents: &world.documents,
        checkpoint: &old_checkpoint,
        previous: Some(&kept),
    };
    let failure = audit(&evidence).err().unwrap();
    assert!(matches!(failure.reason, AuditReason::RolledBack { .. }), "{failure}");
}
