//! M of N: thresholds, and who counts.
//!
//! Not approvals and not signatures (whoever calls has verified them). Guards: M is at least two; a
//! person counts once, however many keys or signatures they have; the requester never counts.

use std::collections::BTreeSet;

use crate::policy::{APPROVALS_MAX, APPROVALS_MIN};

/// `k` of `n` persons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Threshold {
    k: u8,
    n: u8,
}

impl Threshold {
    /// Parses `k` of `n`. Refuses `k < 2` (no single-person control), `k > n`, and `n > 16`.
    pub const fn new(k: u8, n: u8) -> Result<Self, InvalidThreshold> {
        if k < APPROVALS_MIN {
            return Err(InvalidThreshold::SinglePerson { k });
        }
        if k > n {
            return Err(InvalidThreshold::Unreachable { k, n });
        }
        if n > APPROVALS_MAX {
            return Err(InvalidThreshold::TooMany { n });
        }
        Ok(Self { k, n })
    }

    /// Persons needed.
    #[must_use]
    pub const fn k(self) -> u8 {
        self.k
    }

    /// Persons there are.
    #[must_use]
    pub const fn n(self) -> u8 {
        self.n
    }
}

impl std::fmt::Display for Threshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.k, self.n)
    }
}

/// Why numbers are no threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidThreshold {
    /// Fewer than two.
    #[error("{k} persons are not dual control: at least {APPROVALS_MIN} are needed")]
    SinglePerson {
        /// Persons asked for.
        k: u8,
    },
    /// More persons than a room.
    #[error("{n} persons: at most {APPROVALS_MAX} are supported")]
    TooMany {
        /// Persons there are.
        n: u8,
    },
    /// More needed than there are.
    #[error("{k} of {n} persons can never be reached")]
    Unreachable {
        /// Persons needed.
        k: u8,
        /// Persons there are.
        n: u8,
    },
}

/// Distinct persons among those who approved, without the requester.
#[must_use]
pub fn count_distinct<'a, Person: Ord + 'a>(
    approved: impl IntoIterator<Item = &'a Person>,
    requester: &Person,
) -> usize {
    approved.into_iter().filter(|person| *person != requester).collect::<BTreeSet<_>>().len()
}

/// Whether the distinct persons who approved, without the requester, are as many as needed. The
/// number needed is the larger of the rule when the plan was opened and the rule now; below two it is
/// never reached.
#[must_use]
pub fn is_reached<'a, Person: Ord + 'a>(
    approved: impl IntoIterator<Item = &'a Person>,
    requester: &Person,
    needed_at_open: u8,
    needed_now: u8,
) -> bool {
    let needed = needed_at_open.max(needed_now);
    needed >= APPROVALS_MIN && count_distinct(approved, requester) >= usize::from(needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_threshold() {
        for k in 0..=u8::MAX {
            for n in 0..=u8::MAX {
                let expected = match (k, n) {
                    (0 | 1, _) => Err(InvalidThreshold::SinglePerson { k }),
                    _ if k > n => Err(InvalidThreshold::Unreachable { k, n }),
                    (_, 17..) => Err(InvalidThreshold::TooMany { n }),
                    _ => Ok(Threshold { k, n }),
                };
                assert_eq!(Threshold::new(k, n), expected);
            }
        }
    }

    #[test]
    fn a_person_counts_once_and_the_requester_never() {
        assert_eq!(count_distinct(&["li", "wang", "li", "zhao"], &"zhao"), 2);
        assert_eq!(count_distinct(&["li", "li", "li"], &"zhao"), 1);
        assert_eq!(count_distinct(&["zhao"], &"zhao"), 0);
    }

    #[test]
    fn the_stricter_rule_holds_and_no_rule_below_two() {
        let approved = ["li", "wang"];
        assert!(is_reached(&approved, &"zhao", 2, 2));
        assert!(!is_reached(&approved, &"zhao", 3, 2));
        assert!(!is_reached(&approved, &"zhao", 2, 3));
        assert!(!is_reached(&approved, &"zhao", 0, 0));
        assert!(!is_reached(&approved, &"zhao", 1, 1));
        assert!(!is_reached(&approved, &"li", 2, 2));
    }
}
