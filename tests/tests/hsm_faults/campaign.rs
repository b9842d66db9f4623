//! Which calls there are, which points follow from them, and the run over all of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::blow::BLOWS;
use crate::judge::Point;
use crate::operation::{Clients, Operation};
use crate::report::Report;
use crate::stage::{Known, Stage};

/// Points of a run that is not full.
const POINTS: usize = 1500;
/// At least so many faults must happen, of so many kinds.
const FAULTS_FLOOR: usize = 1000;
const KINDS_FLOOR: usize = 40;
/// Lanes: workers spend half their time in the kernel and in waiting.
const LANES: usize = 3;

#[test]
fn every_fault_ends_in_the_right_result_or_in_a_clear_stop() {
    let folder = tempfile::tempdir_in(fast_folder()).unwrap();
    let first = Stage::new(&folder.path().join("first"));
    let known = first.furnish();
    let points = spread(points(&first, &known));
    let (next, report) = (AtomicUsize::new(0), Mutex::new(Report::default()));
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let (next, report, points, first, known) = (&next, &report, &points, &first, &known);
            let stage = Stage::new(&folder.path().join(format!("lane-{lane}")));
            scope.spawn(move || {
                let mut clean = false;
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if !clean {
                        stage.restore(first);
                    }
                    let (fired, outcome) = point.run(&stage, known);
                    clean = !point.operation.changes();
                    report.lock().unwrap().add(&point.to_string(), &fired, outcome);
                }
            });
        }
    });
    // Whoever asks for some of the points knows that they are few.
    let (faults, kinds) = if only().is_some() { (1, 1) } else { (FAULTS_FLOOR, KINDS_FLOOR) };
    report.into_inner().unwrap().finish(faults, kinds);
}

/// Tokens are synced to the disk at every change: here that is not what is tested.
fn fast_folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// Every fault that can hit a call of an operation.
fn points(first: &Stage, known: &Known) -> Vec<Point> {
    let trial = Stage::new(&first.dir.with_file_name("trial"));
    let mut points = Vec::new();
    for operation in Operation::ALL {
        trial.restore(first);
        trial.script("* every delay 1us\n");
        operation.run(&Clients::of(&trial), known).unwrap();
        let mut calls: BTreeMap<String, usize> = BTreeMap::new();
        for line in trial.fired() {
            let function = line.split(' ').nth(1).unwrap().to_owned();
            *calls.entry(function).or_default() += 1;
        }
        for (function, count) in calls {
            let mut places = vec![1, count.div_ceil(2), count];
            places.dedup();
            for call in places {
                for blow in BLOWS.iter().filter(|blow| blow.can_hit(&function)) {
                    for lasts in [false, true].into_iter().filter(|lasts| !lasts || blow.lasts) {
                        points.push(Point { operation, function: function.clone(), call, blow, lasts });
                    }
                }
            }
        }
    }
    points
}

fn only() -> Option<String> {
    std::env::var("KMS_FAULTS_ONLY").ok()
}

/// All of them where everything is wanted, else so many, evenly over the list.
fn spread(points: Vec<Point>) -> Vec<Point> {
    let full = std::env::var("KMS_FAULTS").is_ok_and(|value| value == "full");
    let only = only();
    let count = points.len();
    let chosen = move |(index, point): &(usize, Point)| match &only {
        Some(text) => point.to_string().contains(text.as_str()),
        // A step that is no whole number meets every fault of the table in turn.
        None => full || index * POINTS / count != (index + 1) * POINTS / count,
    };
    points.into_iter().enumerate().filter(chosen).map(|(_, point)| point).collect()
}
