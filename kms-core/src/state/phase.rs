//! Where a ceremony stands, and the only ways from there (I4, I8).
//!
//! A draft is a plan that nobody has opened yet: it stands in no log. Everything after that is an entry.

/// Where a ceremony stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Written, not yet before the officers.
    Draft,
    /// Before the officers.
    Open,
    /// The quorum was reached; whether it still holds is asked again at every effect.
    Authorised,
    /// The first INTENT is written.
    Running,
    /// Stopped at a step; goes on only by a plan of its own with a fresh quorum.
    Paused,
    /// Every step has its OUTCOME.
    Done,
    /// An officer said no.
    Rejected,
    /// Stopped.
    Aborted,
    /// Ran out of time or log span.
    Expired,
}

/// What moves a ceremony.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    /// The plan is put before the officers; from now on nothing in it changes.
    Freeze,
    /// The quorum is reached.
    Authorise,
    /// An INTENT.
    Begin,
    /// The last step has its OUTCOME.
    Finish,
    /// Quorum, clock or HSM gave way.
    Pause,
    /// An officer says no.
    Reject,
    /// An officer or the requester stops it.
    Abort,
    /// Time or log span ran out.
    Expire,
    /// A child plan with a fresh quorum takes over what is left.
    Hand,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 9] = [
        Self::Draft,
        Self::Open,
        Self::Authorised,
        Self::Running,
        Self::Paused,
        Self::Done,
        Self::Rejected,
        Self::Aborted,
        Self::Expired,
    ];

    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Open => "open",
            Self::Authorised => "authorised",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Rejected => "rejected",
            Self::Aborted => "aborted",
            Self::Expired => "expired",
        }
    }

    /// Nothing happens any more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Done | Self::Rejected | Self::Aborted | Self::Expired)
    }

    /// Effects may happen, if the quorum still holds.
    #[inline]
    #[must_use]
    pub const fn may_act(self) -> bool {
        matches!(self, Self::Authorised | Self::Running)
    }

    /// Officers may still decide.
    #[inline]
    #[must_use]
    pub const fn may_decide(self) -> bool {
        matches!(self, Self::Open | Self::Authorised | Self::Running)
    }

    /// The phase after a move; `None` where the table has no such move.
    #[inline]
    #[must_use]
    pub const fn after(self, step: Move) -> Option<Self> {
        Some(match (self, step) {
            (Self::Draft, Move::Freeze) => Self::Open,
            (Self::Draft, Move::Abort) => Self::Aborted,
            (Self::Open, Move::Authorise) => Self::Authorised,
            (Self::Authorised | Self::Running, Move::Begin) => Self::Running,
            (Self::Running, Move::Finish) => Self::Done,
            (Self::Running, Move::Pause) => Self::Paused,
            (Self::Paused, Move::Hand) => Self::Aborted,
            (Self::Open | Self::Authorised | Self::Running | Self::Paused, Move::Abort) => Self::Aborted,
            (Self::Open | Self::Authorised | Self::Running | Self::Paused, Move::Expire) => Self::Expired,
            (Self::Open | Self::Authorised | Self::Running | Self::Paused, Move::Reject) => Self::Rejected,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOVES: [Move; 9] = [
        Move::Freeze,
        Move::Authorise,
        Move::Begin,
        Move::Finish,
        Move::Pause,
        Move::Reject,
        Move::Abort,
        Move::Expire,
        Move::Hand,
    ];

    /// The whole table, written a second time as a picture: one row a phase, one column a move of `MOVES`.
    #[test]
    fn only_the_moves_of_the_table_exist() {
        let table = [
            "O.....X..", // draft
            ".A...RXE.", // open
            "..U..RXE.", // authorised
            "..UDPRXE.", // running
            ".....RXEX", // paused
            ".........", // done
            ".........", // rejected
            ".........", // aborted
            ".........", // expired
        ];
        for (phase, row) in Phase::ALL.into_iter().zip(table) {
            for (step, cell) in MOVES.into_iter().zip(row.bytes()) {
                let expected = match cell {
                    b'O' => Some(Phase::Open),
                    b'A' => Some(Phase::Authorised),
                    b'U' => Some(Phase::Running),
                    b'D' => Some(Phase::Done),
                    b'P' => Some(Phase::Paused),
                    b'R' => Some(Phase::Rejected),
                    b'X' => Some(Phase::Aborted),
                    b'E' => Some(Phase::Expired),
                    _ => None,
                };
                assert_eq!(phase.after(step), expected, "{} {step:?}", phase.name());
            }
        }
        for phase in Phase::ALL.into_iter().filter(|phase| phase.is_terminal()) {
            assert!(!phase.may_act() && !phase.may_decide());
        }
    }
}
