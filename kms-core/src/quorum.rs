//! The rules of authority as pure functions: who counts, how many are wanted, until when.
//!
//! The fold ([`crate::state`]) calls them on the log's facts; the exhaustive model check calls the same
//! functions on small numbers. Persons are any type that compares, so that both can. Not here: signatures,
//! plans, entries. Guards: a person counts once, the requester and whoever is not an active security
//! officer never; a lowered threshold helps no open plan; time is the later of log and clock.

use std::ops::Deref;

/// Distinct persons whose approval counts.
///
/// `approvers` may name a person several times; `counts` says who is an active security officer now.
pub fn counted<P: PartialEq>(
    approvers: impl IntoIterator<Item = P>,
    requester: Option<&P>,
    counts: impl Fn(&P) -> bool,
) -> Counted<P> {
    let mut persons: Vec<P> = Vec::new();
    for person in approvers {
        if requester != Some(&person) && counts(&person) && !persons.contains(&person) {
            persons.push(person);
        }
    }
    Counted(persons)
}

/// Persons that stand behind a plan; only [`counted`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted<P>(Vec<P>);

impl<P> Deref for Counted<P> {
    type Target = [P];

    fn deref(&self) -> &[P] {
        &self.0
    }
}

impl<P> Counted<P> {
    /// Refuses fewer than `wanted` persons.
    pub fn require(self, wanted: u8) -> Result<Self, TooFew> {
        let found = u8::try_from(self.0.len()).unwrap_or(u8::MAX);
        if found >= wanted { Ok(self) } else { Err(TooFew { wanted, found }) }
    }
}

/// Not enough persons stand behind the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFew {
    /// Approvals wanted.
    pub wanted: u8,
    /// Persons that count.
    pub found: u8,
}

/// Approvals a plan needs: its own number when it was opened, or the rule's of now, whichever is larger (I6).
#[inline]
#[must_use]
pub const fn wanted(planned: u8, ruled: u8) -> u8 {
    if planned > ruled { planned } else { ruled }
}

/// Within what a plan lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Not valid before (ms since 1970).
    pub not_before_ms: u64,
    /// Not valid at or after.
    pub expires_ms: u64,
    /// Log size when it was opened.
    pub opened_size: u64,
    /// Most log entries from then on.
    pub max_log_span: u64,
}

/// Why a moment lies outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfBounds {
    /// Too early.
    NotYet {
        /// The moment asked about (ms since 1970).
        now_ms: u64,
    },
    /// Too late.
    Expired {
        /// The moment asked about (ms since 1970).
        now_ms: u64,
    },
    /// The log has grown too far.
    Span {
        /// Entries since the plan was opened.
        span: u64,
    },
}

impl Bounds {
    /// Refuses a moment outside: the later of the log's last time and the clock counts, so that no clock that is set
    /// back extends authority (I11).
    #[inline]
    pub const fn require(&self, logged_ms: u64, clock_ms: u64, size: u64) -> Result<(), OutOfBounds> {
        let now_ms = if logged_ms > clock_ms { logged_ms } else { clock_ms };
        if now_ms < self.not_before_ms {
            return Err(OutOfBounds::NotYet { now_ms });
        }
        if now_ms >= self.expires_ms {
            return Err(OutOfBounds::Expired { now_ms });
        }
        let span = size.saturating_sub(self.opened_size);
        if span > self.max_log_span { Err(OutOfBounds::Span { span }) } else { Ok(()) }
    }
}

/// What is known of one exactly-once piece of work (a chunk, a step): its newest lease and whether it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leased {
    /// Token of the newest INTENT.
    pub token: u64,
    /// Has its OUTCOME.
    pub done: bool,
}

/// Why an INTENT or OUTCOME of leased work is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseRefused {
    /// It has its OUTCOME already (I3).
    Done,
    /// No INTENT came before.
    NoIntent,
    /// The token is not, or no longer, the newest (I12).
    Stale {
        /// The newest.
        current: u64,
    },
}

/// May an INTENT with `token` follow? Tokens grow with every lease.
#[inline]
pub const fn may_intend(known: Option<Leased>, token: u64) -> Result<(), LeaseRefused> {
    match known {
        Some(Leased { done: true, .. }) => Err(LeaseRefused::Done),
        Some(Leased { token: current, .. }) if token <= current => Err(LeaseRefused::Stale { current }),
        _ => Ok(()),
    }
}

/// May an OUTCOME with `token` follow? Only the newest INTENT's, once.
#[inline]
pub const fn may_conclude(known: Option<Leased>, token: u64) -> Result<(), LeaseRefused> {
    match known {
        None => Err(LeaseRefused::NoIntent),
        Some(Leased { done: true, .. }) => Err(LeaseRefused::Done),
        Some(Leased { token: current, .. }) if token != current => Err(LeaseRefused::Stale { current }),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_counts_once_and_the_requester_never() {
        let active = |person: &u8| *person != 9;
        assert_eq!(&*counted([1, 2, 2, 1, 9, 3], Some(&3), active), [1, 2]);
        assert_eq!(counted([1, 1, 1], None, active).require(2), Err(TooFew { wanted: 2, found: 1 }));
    }

    #[test]
    fn the_larger_threshold_binds() {
        assert_eq!((wanted(3, 2), wanted(2, 3)), (3, 3));
    }

    #[test]
    fn the_later_clock_counts_and_the_end_is_strict() {
        let bounds = Bounds { not_before_ms: 10, expires_ms: 20, opened_size: 5, max_log_span: 3 };
        assert_eq!(bounds.require(10, 19, 8), Ok(()));
        assert_eq!(bounds.require(20, 11, 5), Err(OutOfBounds::Expired { now_ms: 20 }));
        assert_eq!(bounds.require(0, 9, 5), Err(OutOfBounds::NotYet { now_ms: 9 }));
        assert_eq!(bounds.require(10, 10, 9), Err(OutOfBounds::Span { span: 4 }));
    }

    #[test]
    fn leases_only_grow_and_conclude_once() {
        let live = Some(Leased { token: 2, done: false });
        assert_eq!(may_intend(live, 2), Err(LeaseRefused::Stale { current: 2 }));
        assert_eq!(may_intend(live, 3), Ok(()));
        assert_eq!(may_conclude(live, 1), Err(LeaseRefused::Stale { current: 2 }));
        assert_eq!(may_conclude(live, 2), Ok(()));
        let done = Some(Leased { token: 2, done: true });
        assert_eq!((may_intend(done, 3), may_conclude(done, 2)), (Err(LeaseRefused::Done), Err(LeaseRefused::Done)));
        assert_eq!(may_conclude(None, 1), Err(LeaseRefused::NoIntent));
    }
}
