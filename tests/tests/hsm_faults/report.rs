//! The figures: how many faults were tried, how many happened, of how many kinds, and what came of them.

use std::collections::BTreeSet;
use std::io::Write as _;

use serde_json::json;

/// What came of a point.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The right result.
    Right,
    /// A clear error of the right class, and the right result afterwards.
    Stopped,
    /// A sealed key that its recipient refuses.
    Caught,
    Trouble(Trouble, String),
}

/// What must not come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A wrong result, or an error of the wrong class.
    Wrong,
    /// A key is gone, or the request never works again.
    Lost,
    /// A key is there twice.
    Doubled,
    /// A session object stays in the token.
    Left,
    /// A PIN was tried again.
    Pins,
}

/// Figures of the campaign.
#[derive(Default)]
pub(crate) struct Report {
    points: usize,
    fired: usize,
    kinds: BTreeSet<String>,
    right: usize,
    stopped: usize,
    caught: usize,
    troubles: Vec<(Trouble, String)>,
}

impl Report {
    /// Adds a point: the lines of the simulator's record that its fault wrote, and what came of it.
    pub(crate) fn add(&mut self, point: &str, fired: &[String], outcome: Outcome) {
        self.points += 1;
        // A fault that lasts is one.
        self.fired += usize::from(!fired.is_empty());
        self.kinds.extend(fired.iter().map(|line| kind(line)));
        match outcome {
            Outcome::Right => self.right += 1,
            Outcome::Stopped => self.stopped += 1,
            Outcome::Caught => self.caught += 1,
            Outcome::Trouble(trouble, what) => self.troubles.push((trouble, format!("{point}: {what}"))),
        }
    }

    /// Prints the figures; fails under the floors, or if anything went wrong.
    pub(crate) fn finish(self, faults: usize, kinds: usize) {
        let count = |trouble| self.troubles.iter().filter(|(found, _)| *found == trouble).count();
        let figures = json!({
            "points": self.points, "fired": self.fired, "kinds": self.kinds.len(), "right": self.right,
            "stopped": self.stopped, "caught": self.caught, "wrong": count(Trouble::Wrong),
            "lost": count(Trouble::Lost), "doubled": count(Trouble::Doubled), "left": count(Trouble::Left),
            "pins": count(Trouble::Pins),
        });
        // Past the test runner's capture: these figures are the result.
        std::io::stderr().write_all(format!("{figures}\n").as_bytes()).unwrap();
        let lines: Vec<_> = self.troubles.iter().map(|(trouble, what)| format!("{trouble:?} {what}")).collect();
        assert!(lines.is_empty(), "{figures}\n{}", lines.join("\n"));
        assert!(self.fired >= faults, "{figures}: at least {faults} faults must happen");
        assert!(self.kinds.len() >= kinds, "{figures}: at least {kinds} kinds must happen");
    }
}

/// Of `return` and `said-error` the code is part of the kind, of nothing else the argument.
fn kind(line: &str) -> String {
    let fault = line.split(' ').next().unwrap_or_default();
    match fault.split_once(':') {
        Some((name, _)) if name != "return" && name != "said-error" => name.to_owned(),
        _ => fault.to_owned(),
    }
}
