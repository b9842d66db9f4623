//! Requests of callers who could not be authenticated: counted per source, code and minute. The first
//! of a kind is logged at once, the others of that minute as one entry with their number, so that
//! nobody can flood the key log or run out a plan's log span.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kms_core::event::Refused;

/// How long counts are gathered before they are logged.
const WINDOW: Duration = Duration::from_secs(60);
/// Most sources told apart in one window; all others count as one.
const SOURCES_MAX: usize = 32;

type Counts = BTreeMap<(Option<IpAddr>, String), u32>;

/// The counts of the present minute.
pub struct Strangers {
    window: Mutex<(Instant, Counts)>,
}

impl Default for Strangers {
    fn default() -> Self {
        Self { window: Mutex::new((Instant::now(), Counts::new())) }
    }
}

impl Strangers {
    /// Counts one refused request; `true` if it is the first of its kind and to be logged now.
    pub fn count(&self, source: Option<IpAddr>, code: &str) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = &mut window.1;
        let key = (source, code.to_owned());
        let key = if counts.len() < SOURCES_MAX || counts.contains_key(&key) { key } else { (None, code.to_owned()) };
        let count = counts.entry(key).or_insert(0);
        *count = count.saturating_add(1);
        *count == 1
    }

    /// What is to be logged, once the window is over. The source itself stays out of the key log.
    pub fn take_due(&self) -> Vec<Refused> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.0.elapsed() < WINDOW {
            return Vec::new();
        }
        let counts = std::mem::take(&mut window.1);
        window.0 = Instant::now();
        counts
            .into_iter()
            .filter(|(_, count)| *count > 1)
            .map(|((_, code), count)| Refused { operation: "http".to_owned(), code, count: count - 1, subject: None })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_beyond_the_limit_count_as_one() {
        let strangers = Strangers::default();
        for host in 0..=255u8 {
            strangers.count(Some(IpAddr::from([10, 0, 0, host])), "unsigned-request");
        }
        let mut window = strangers.window.lock().unwrap();
        assert_eq!(window.1.len(), SOURCES_MAX + 1);
        assert_eq!(window.1.values().sum::<u32>(), 256);
        window.0 = Instant::now().checked_sub(WINDOW).unwrap();
        drop(window);
        // Only the source that stands for all the others was seen more than once.
        assert_eq!(strangers.take_due().iter().map(|refused| refused.count).collect::<Vec<_>>(), [223]);
        assert!(strangers.take_due().is_empty());
    }
}
