//! The figures of a test: how many faults were tried, how many happened, what came of them.

use std::io::Write as _;

use serde_json::json;

/// What a point may have done wrong.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Something acknowledged is gone, or work never ends.
    Lost(String),
    /// Something is there twice, or left over.
    Duplicate(String),
    /// A failed write that nothing and nobody mentions.
    Silent(String),
}

/// Figures of one test.
pub(crate) struct Report {
    test: &'static str,
    points: usize,
    fired: usize,
    survived: usize,
    lost: Vec<String>,
    duplicate: Vec<String>,
    silent: Vec<String>,
}

/// Every point instead of a spread?
pub(crate) fn full() -> bool {
    std::env::var("KMS_FAULTS").is_ok_and(|value| value == "full")
}

impl Report {
    pub(crate) fn new(test: &'static str) -> Self {
        let none = Vec::new;
        Self { test, points: 0, fired: 0, survived: 0, lost: none(), duplicate: none(), silent: none() }
    }

    /// Adds a point: did its fault happen, and is everything as it must be afterwards?
    pub(crate) fn add(&mut self, point: &str, fired: bool, outcome: Result<(), Trouble>) {
        self.points += 1;
        self.fired += usize::from(fired);
        match outcome {
            Ok(()) => self.survived += 1,
            Err(Trouble::Lost(what)) => self.lost.push(format!("{point}: {what}")),
            Err(Trouble::Duplicate(what)) => self.duplicate.push(format!("{point}: {what}")),
            Err(Trouble::Silent(what)) => self.silent.push(format!("{point}: {what}")),
        }
    }

    /// Prints the figures; fails if fewer faults than `floor` fired, or if anything went wrong.
    pub(crate) fn finish(self, floor: usize) {
        let figures = json!({
            "test": self.test, "points": self.points, "fired": self.fired, "survived": self.survived,
            "lost": self.lost.len(), "duplicate": self.duplicate.len(), "silent": self.silent.len(),
        });
        // Past the test runner's capture: these figures are the result.
        std::io::stderr().write_all(format!("{figures}\n").as_bytes()).unwrap();
        let troubles: Vec<String> = [("LOST", self.lost), ("DUPLICATE", self.duplicate), ("SILENT", self.silent)]
            .into_iter()
            .flat_map(|(kind, list)| list.into_iter().map(move |what| format!("{kind} {what}")))
            .collect();
        assert!(troubles.is_empty(), "{figures}\n{}", troubles.join("\n"));
        assert!(self.fired >= floor, "{figures}: at least {floor} faults must happen");
    }
}
