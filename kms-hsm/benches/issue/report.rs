//! Figures of one run: medians, ratios of rounds that took turns, goals.

use serde_json::{Value, json};

use crate::clock::Round;

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
    /// The same by processor time: what it would be on processors that nobody else uses.
    by_processor: Option<f64>,
    goal: f64,
}

impl Report {
    /// Keys per second, round by round.
    pub(crate) fn rate(&mut self, what: &'static str, rounds: &[Round]) {
        self.rates.push((what, rounds.iter().map(|round| round.rate).collect()));
    }

    /// Round by round, the one divided by the other. `processors`: of how many times as many the first makes use; `None`
    /// where waiting and not computing is compared.
    pub(crate) fn ratio(
        &mut self,
        what: &'static str,
        (of, to): (&[Round], &[Round]),
        goal: f64,
        processors: Option<f64>,
    ) {
        let rounds = of.iter().zip(to).map(|(of, to)| of.rate / to.rate).collect();
        let costs: Vec<f64> = of.iter().zip(to).map(|(of, to)| to.cost / of.cost).collect();
        let by_processor = processors.map(|times| times * median(&costs));
        self.ratios.push(Ratio { what, rounds, by_processor, goal });
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
            "{:<46} {:>7}   {:>6} … {:<6} {:>6}  {:<8} {:>12}",
            "ratios of rounds that took turns", "median", "least", "most", "goal", "", "by processor"
        );
        for ratio in &self.ratios {
            let ((least, most), goal) = (ends(&ratio.rounds), ratio.goal);
            let (what, found, verdict) = (ratio.what, median(&ratio.rounds), ratio.verdict());
            let processor = ratio.by_processor.map_or_else(|| "–".to_owned(), |found| format!("{found:.3}"));
            println!("{what:<46} {found:>7.3}   {least:>6.3} … {most:<6.3} {goal:>6.3}  {verdict:<8} {processor:>12}");
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
                "by_processor_time": ratio.by_processor, "goal": ratio.goal, "verdict": ratio.verdict(),
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
