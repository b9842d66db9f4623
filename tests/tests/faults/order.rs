//! Card lists of cards that nobody had, and what is asked of a server about them.

use crate::scene::{BUREAU, Run, Scene};

/// A card number of a region that does not exist.
pub(crate) fn card_number(card: usize) -> String {
    let digits = format!("98989820{:02}0101{:03}", card / 1000 % 100, card % 1000);
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: usize = digits.bytes().zip(weights).map(|(digit, weight)| usize::from(digit - b'0') * weight).sum();
    format!("{digits}{}", char::from(b"10X98765432"[sum % 11]))
}

/// A list as its file's text.
pub(crate) fn card_list(cards: impl Iterator<Item = usize>) -> String {
    let line = |card| format!("{},E2E0{:012X}\n", card_number(card), card + 1);
    format!("card_number,factor\n{}", cards.map(line).collect::<String>())
}

impl Scene {
    /// Hands in a list; nothing is expected of the answer.
    pub(crate) fn request(&self, url: &str, list: &str) -> Run {
        let arguments = ["batch", "request", "--profile", "resident-health-card", "--cards", list, "--json"];
        self.kms_as(BUREAU, url, &arguments)
    }

    /// An officer approves.
    pub(crate) fn approve(&self, officer: &str, url: &str, plan: &str) -> Run {
        self.kms_as(officer, url, &["ceremony", "approve", plan, "--yes-digest", plan])
    }

    /// A ceremony as JSON.
    #[track_caller]
    pub(crate) fn ceremony(&self, officer: &str, url: &str, plan: &str) -> serde_json::Value {
        self.kms_as(officer, url, &["ceremony", "show", plan, "--json"]).json()
    }

    /// All batches of the bureau.
    #[track_caller]
    pub(crate) fn batches(&self, url: &str) -> Vec<serde_json::Value> {
        self.kms_as(BUREAU, url, &["batch", "list", "--json"]).json()["batches"].as_array().unwrap().clone()
    }
}
