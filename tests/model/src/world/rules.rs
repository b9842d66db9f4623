//! The real rules on the facts of a world, and the guards that a mutant leaves out.

use kms_core::quorum;
use kms_core::state::{Move, Phase};

use super::{EXPIRES, OFFICERS, PLANNED, REQUESTER, World};

/// One guard that is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The requester's approval counts.
    CountsRequester,
    /// A revoked person counts.
    CountsRevoked,
    /// Approvals of another plan count.
    CountsReplayed,
    /// A person who approved twice counts twice.
    CountsTwice,
    /// The rule of now is used alone, even when it is lower than the plan's number.
    LoweredThreshold,
    /// Time does not end a plan.
    NoExpiry,
    /// A clock that is set back is believed.
    ClockBack,
    /// Effects happen in any phase.
    NoPhase,
    /// A token that is not the newest is accepted.
    NoFence,
    /// Work that has its OUTCOME may be concluded again.
    NoSingleUse,
    /// The quorum is not computed again at the OUTCOME.
    NoRecheck,
    /// What resumes a paused plan inherits its approvals.
    InheritsApprovals,
}

impl Mutant {
    /// Every mutant.
    pub const ALL: [Self; 12] = [
        Self::CountsRequester,
        Self::CountsRevoked,
        Self::CountsReplayed,
        Self::CountsTwice,
        Self::LoweredThreshold,
        Self::NoExpiry,
        Self::ClockBack,
        Self::NoPhase,
        Self::NoFence,
        Self::NoSingleUse,
        Self::NoRecheck,
        Self::InheritsApprovals,
    ];
}

/// The real rules, on the facts of a world; a mutant changes one fact.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    pub(super) mutant: Option<Mutant>,
}

impl Rules {
    pub(super) fn lacks(self, guard: Mutant) -> bool {
        self.mutant == Some(guard)
    }

    pub(super) fn in_time(self, world: &World) -> bool {
        let expires = if self.lacks(Mutant::NoExpiry) { u8::MAX } else { EXPIRES };
        let logged = if self.lacks(Mutant::ClockBack) { 0 } else { world.logged };
        let bounds =
            quorum::Bounds { not_before_ms: 0, expires_ms: u64::from(expires), opened_size: 0, max_log_span: u64::MAX };
        bounds.require(u64::from(logged), u64::from(world.clock), 0).is_ok()
    }

    pub(super) fn authorised(self, world: &World, approved: u8) -> bool {
        let bits = |set: u8| (0..OFFICERS).filter(move |officer| set & (1 << officer) != 0);
        let replayed = if self.lacks(Mutant::CountsReplayed) { world.elsewhere } else { 0 };
        // A second approval of the same person; told apart only where the guard is absent.
        let second = |officer: u8| if self.lacks(Mutant::CountsTwice) { officer + OFFICERS } else { officer };
        let on_record = bits(approved | replayed).chain(bits(world.twice & approved).map(second));
        let requester = (!self.lacks(Mutant::CountsRequester)).then_some(REQUESTER);
        let active =
            |officer: &u8| self.lacks(Mutant::CountsRevoked) || world.active & (1 << (officer % OFFICERS)) != 0;
        let planned = if self.lacks(Mutant::LoweredThreshold) { 0 } else { PLANNED };
        let wanted = quorum::wanted(planned, world.ruled);
        self.in_time(world) && quorum::counted(on_record, requester.as_ref(), active).require(wanted).is_ok()
    }

    pub(super) fn may_act(self, world: &World) -> bool {
        let phase = self.lacks(Mutant::NoPhase) || world.phase.may_act();
        phase && self.authorised(world, world.approved)
    }

    pub(super) fn begun(self, world: &World) -> Option<Phase> {
        if self.lacks(Mutant::NoPhase) { Some(world.phase) } else { world.phase.after(Move::Begin) }
    }
}
