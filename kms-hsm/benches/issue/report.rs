//! Figures of one run: medians, ratios of rounds that took turns, goals.

use serde_json::{Value, json};

/// Everything measured so far.
#[derive(Default)]
pub(crate) struct Report {
    rates: Vec<(&'static str, Vec<f64>)>,
    ratios: Vec<Ratio>,
    notes: Vec<String>,
}

struct Ratio {
    what: &'static str,
    rounds: Vec<f64>,
    goal: f64,
}

impl Report {
    /// Keys per second, round by round.
    pub(crate) fn rate(&mut self, what: &'static str, rounds: &[f64]) {
        self.rates.push((what, rounds.to_vec()));
    }

    /// Round by round, the one divided by the other.
    pub(crate) fn ratio(&mut self, what: &'static str, of: &[f64], to: &[f64], goal: f64) {
        let rounds = of.iter().zip(to).map(|(of, to)| of / to).collect();
        self.ratios.push(Ratio { what, rounds, goal });
    }

    /// What was not measured, and why.
    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub(crate) fn print(&self, as_json: bool) {
        if as_json {
            println!("{:#}", self.json());
            return;
        }
        println!("{:<58} {:>11}   {:>11} … {:<11}", "keys per second", "median", "least", "most");
        for (what, rounds) in &self.rates {
            let (least, most) = ends(rounds);
            println!("{what:<58} {:>11.0}   {least:>11.0} … {most:<11.0}", median(rounds));
        }
        println!();
        println!(
            "{:<58} {:>11}   {:>6} … {:<6} {:>6}",
            "ratios of rounds that took turns", "median", "least", "most", "goal"
        );
        for ratio in &self.ratios {
            let ((least, most), goal) = (ends(&ratio.rounds), ratio.goal);
            let (what, found, verdict) = (ratio.what, median(&ratio.rounds), ratio.verdict());
            println!("{what:<58} {found:>11.3}   {least:>6.3} … {most:<6.3} {goal:>6.3}  {verdict}");
        }
        self.notes.iter().for_each(|note| println!("{note}"));
    }

    fn json(&self) -> Value {
        let rate = |(what, rounds): &(&str, Vec<f64>)| {
            json!({
                "what": what, "keys_per_second": median(rounds), "rounds": rounds,
            })
        };
        let ratio = |ratio: &Ratio| {
            json!({
                "what": ratio.what, "median": median(&ratio.rounds), "rounds": ratio.rounds,
                "goal": ratio.goal, "verdict": ratio.verdict(),
            })
        };
        json!({
            "rates": self.rates.iter().map(rate).collect::<Vec<_>>(),
            "ratios": self.ratios.iter().map(ratio).collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }
}

impl Ratio {
    fn verdict(&self) -> &'static str {
        if median(&self.rounds) >= self.goal { "reached" } else { "missed" }
    }
}

fn ends(rounds: &[f64]) -> (f64, f64) {
    rounds.iter().fold((f64::INFINITY, 0.0), |(least, most), round| (least.min(*round), most.max(*round)))
}

fn median(rounds: &[f64]) -> f64 {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    f64::midpoint(low, high)
}
