//! The world of the search, its moves, and the oracle.
//!
//! Officer 0 asked for the plan. Times are 0 to 3, the plan expires at [`EXPIRES`]. The plan was opened with two
//! approvals wanted. One piece of work (a chunk) is to be done exactly once.

mod rules;

use std::fmt;

use kms_core::quorum::{self, Leased};
use kms_core::state::{Move, Phase};

pub use rules::Mutant;
use rules::Rules;

/// Officers, the requester among them.
const OFFICERS: u8 = 4;
/// Who asked.
const REQUESTER: u8 = 0;
/// Approvals wanted when the plan was opened.
const PLANNED: u8 = 2;
/// The plan is not valid at or after this time.
const EXPIRES: u8 = 3;
/// Executors that may hold a lease.
const EXECUTORS: usize = 2;

/// How far the search goes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Leases in all.
    pub leases: u8,
    /// Crashes of executors.
    pub crashes: u8,
    /// Smallest threshold that a change of the rules may set.
    pub least_ruled: u8,
    /// Persons that may be revoked.
    pub revocations: u8,
    /// Approvals that may be replayed from another plan, and approvals given twice, each.
    pub replays: u8,
}

/// What the oracle found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// An effect without the approvals it needs (I1, I5, I6, I7, I9, I14).
    Quorum,
    /// An effect outside the plan's time (I11).
    Time,
    /// An effect after the end, or while paused (I4, I8).
    Phase,
    /// An entry under a stale lease (I12).
    Lease,
    /// Work concluded twice (I3).
    Twice,
}

/// Where an executor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Nothing,
    /// Leased; its INTENT comes next.
    Leased,
    /// INTENT written; the HSM works.
    Intended,
    /// Made; its OUTCOME comes next.
    Made,
}

const DOINGS: [Doing; 4] = [Doing::Nothing, Doing::Leased, Doing::Intended, Doing::Made];

/// One world. Sets of officers are bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct World {
    phase: Phase,
    /// Approvals of the plan that acts, on record.
    approved: u8,
    /// Those given more than once.
    twice: u8,
    /// Approvals of another plan by the same people.
    elsewhere: u8,
    /// Approvals of the plan that would resume this one.
    child: u8,
    child_open: bool,
    /// The plan that acts resumed another.
    resumed: bool,
    active: u8,
    ruled: u8,
    clock: u8,
    /// Latest time in the log.
    logged: u8,
    /// Newest lease.
    lease: u8,
    /// Newest INTENT of the work, 0 for none.
    intent: u8,
    concluded: u8,
    crashes: u8,
    doing: [(Doing, u8); EXECUTORS],
}

impl World {
    /// A plan that nobody has opened.
    #[must_use]
    pub const fn first() -> Self {
        Self {
            phase: Phase::Draft,
            approved: 0,
            twice: 0,
            elsewhere: 0,
            child: 0,
            child_open: false,
            resumed: false,
            active: (1 << OFFICERS) - 1,
            ruled: PLANNED,
            clock: 0,
            logged: 0,
            lease: 0,
            intent: 0,
            concluded: 0,
            crashes: 0,
            doing: [(Doing::Nothing, 0); EXECUTORS],
        }
    }

    /// The work is done.
    #[must_use]
    pub const fn is_concluded(&self) -> bool {
        self.concluded > 0
    }

    /// Everything that can happen next: a world, or a violation.
    pub fn moves(&self, bounds: &Bounds, mutant: Option<Mutant>, reach: &mut impl FnMut(Result<Self, Violation>)) {
        let rules = Rules { mutant };
        self.people(bounds, reach);
        self.clocks(reach);
        self.phases(rules, reach);
        for executor in 0..EXECUTORS {
            self.work(bounds, rules, executor, reach);
        }
    }

    fn people(&self, bounds: &Bounds, reach: &mut impl FnMut(Result<Self, Violation>)) {
        for officer in 0..OFFICERS {
            let bit = 1 << officer;
            if self.phase.may_decide() {
                if self.approved & bit == 0 {
                    // The fold refuses the requester's; here it gets on record, so that only counting keeps it out.
                    reach(Ok(self.entry(Self { approved: self.approved | bit, ..*self })));
                } else if self.twice & bit == 0 && u32::from(bounds.replays) > self.twice.count_ones() {
                    reach(Ok(self.entry(Self { twice: self.twice | bit, ..*self })));
                }
                if self.elsewhere & bit == 0 && u32::from(bounds.replays) > self.elsewhere.count_ones() {
                    reach(Ok(Self { elsewhere: self.elsewhere | bit, ..*self }));
                }
            }
            if self.child_open && self.child & bit == 0 {
                reach(Ok(self.entry(Self { child: self.child | bit, ..*self })));
            }
            let revoked = u32::from(OFFICERS) - self.active.count_ones();
            if self.active & bit != 0 && revoked < u32::from(bounds.revocations) {
                reach(Ok(self.entry(Self { active: self.active & !bit, ..*self })));
            }
        }
        for ruled in bounds.least_ruled..=3 {
            if ruled != self.ruled {
                reach(Ok(self.entry(Self { ruled, ..*self })));
            }
        }
    }

    fn clocks(&self, reach: &mut impl FnMut(Result<Self, Violation>)) {
        if self.clock < EXPIRES {
            reach(Ok(Self { clock: self.clock + 1, ..*self }));
        }
        if self.clock > 0 {
            reach(Ok(Self { clock: self.clock - 1, ..*self }));
        }
    }

    fn phases(&self, rules: Rules, reach: &mut impl FnMut(Result<Self, Violation>)) {
        let mut to = |step: Move, world: Self| {
            if let Some(phase) = self.phase.after(step) {
                reach(Ok(self.entry(Self { phase, ..world })));
            }
        };
        to(Move::Freeze, *self);
        to(Move::Abort, *self);
        to(Move::Reject, *self);
        if rules.authorised(self, self.approved) {
            to(Move::Authorise, *self);
        }
        if !rules.in_time(self) {
            to(Move::Expire, *self);
        }
        if self.is_concluded() {
            to(Move::Finish, *self);
        }
        to(Move::Pause, *self);
        if self.phase == Phase::Paused {
            // Only once: a child of a child adds worlds and no rule.
            if !self.child_open && !self.resumed {
                reach(Ok(self.entry(Self { child_open: true, ..*self })));
            }
            let behind = if rules.lacks(Mutant::InheritsApprovals) { self.child | self.approved } else { self.child };
            if self.child_open && rules.authorised(self, behind) && self.phase.after(Move::Hand).is_some() {
                let handed = Self { phase: Phase::Authorised, approved: behind, resumed: true, ..*self };
                // The oracle must know what the child itself was approved by.
                let true_approvals = self.child;
                let honest = Self { approved: true_approvals, ..handed };
                if behind.count_ones() > true_approvals.count_ones() && !honest.has_quorum() {
                    reach(Err(Violation::Quorum));
                } else {
                    reach(Ok(self.entry(Self { child: 0, child_open: false, twice: 0, ..handed })));
                }
            }
        }
    }

    fn work(&self, bounds: &Bounds, rules: Rules, executor: usize, reach: &mut impl FnMut(Result<Self, Violation>)) {
        let (doing, token) = self.doing[executor];
        let put = |world: &Self, doing: Doing, token: u8| {
            let mut after = *world;
            after.doing[executor] = (doing, token);
            after
        };
        let known = (self.intent > 0).then(|| Leased {
            token: u64::from(self.intent),
            done: self.concluded > 0 && !rules.lacks(Mutant::NoSingleUse),
        });
        let offered = if rules.lacks(Mutant::NoFence) { self.intent } else { token };
        match doing {
            // A lease may be taken while another executor believes to hold one: that is a lease stolen or run out.
            Doing::Nothing if self.lease < bounds.leases => {
                let leased = Self { lease: self.lease + 1, ..*self };
                reach(Ok(put(&leased, Doing::Leased, self.lease + 1)));
            }
            Doing::Nothing => {}
            Doing::Leased => {
                let may = quorum::may_intend(known, u64::from(token)).is_ok() && rules.may_act(self);
                if let (true, Some(phase)) = (may, rules.begun(self)) {
                    let begun = Self { phase, intent: token, ..*self };
                    reach(self.judged(token, put(&self.entry(begun), Doing::Intended, token), false));
                }
            }
            Doing::Intended => reach(Ok(put(self, Doing::Made, token))),
            Doing::Made => {
                let recheck = rules.lacks(Mutant::NoRecheck) || rules.may_act(self);
                if quorum::may_conclude(known, u64::from(offered)).is_ok() && recheck {
                    let done = Self { concluded: self.concluded + 1, ..*self };
                    reach(self.judged(token, put(&self.entry(done), Doing::Nothing, 0), true));
                }
            }
        }
        if doing != Doing::Nothing {
            if self.crashes < bounds.crashes {
                reach(Ok(put(&Self { crashes: self.crashes + 1, ..*self }, Doing::Nothing, 0)));
            }
            // Gives up of itself: what a refused entry leads to.
            reach(Ok(put(self, Doing::Nothing, 0)));
        }
    }

    /// An entry is written: the log's time is the later of clock and log.
    fn entry(&self, after: Self) -> Self {
        Self { logged: self.logged.max(self.clock), ..after }
    }

    /// The oracle, on the world in which the effect was accepted.
    fn judged(&self, token: u8, after: Self, concluding: bool) -> Result<Self, Violation> {
        if self.logged.max(self.clock) >= EXPIRES {
            return Err(Violation::Time);
        }
        if !matches!(self.phase, Phase::Authorised | Phase::Running) {
            return Err(Violation::Phase);
        }
        if !self.has_quorum() {
            return Err(Violation::Quorum);
        }
        let newest = if concluding { self.intent == token } else { token > self.intent };
        if !newest {
            return Err(Violation::Lease);
        }
        if after.concluded > 1 {
            return Err(Violation::Twice);
        }
        Ok(after)
    }

    /// Bits only.
    fn has_quorum(&self) -> bool {
        let behind = self.approved & self.active & !(1 << REQUESTER);
        behind.count_ones() >= u32::from(PLANNED.max(self.ruled))
    }

    /// The world as one number, for the set of those seen.
    #[must_use]
    pub fn pack(&self) -> u64 {
        let mut packed = 0_u64;
        let mut put = |value: u8, bits: u32| packed = packed << bits | u64::from(value);
        put(Phase::ALL.iter().position(|phase| *phase == self.phase).map_or(15, |at| at as u8), 4);
        for set in [self.approved, self.twice, self.elsewhere, self.child, self.active] {
            put(set, 4);
        }
        put(u8::from(self.child_open), 1);
        put(u8::from(self.resumed), 1);
        for small in [self.ruled, self.clock, self.logged, self.concluded] {
            put(small, 2);
        }
        for token in [self.lease, self.intent, self.crashes] {
            put(token, 3);
        }
        for (doing, token) in self.doing {
            put(DOINGS.iter().position(|known| *known == doing).map_or(0, |at| at as u8), 2);
            put(token, 3);
        }
        packed
    }

    /// The reverse of [`Self::pack`].
    #[must_use]
    pub fn unpack(mut packed: u64) -> Self {
        let mut take = |bits: u32| {
            let value = (packed & ((1 << bits) - 1)) as u8;
            packed >>= bits;
            value
        };
        let mut doing = [(Doing::Nothing, 0); EXECUTORS];
        for place in doing.iter_mut().rev() {
            let token = take(3);
            *place = (DOINGS[usize::from(take(2))], token);
        }
        let (crashes, intent, lease) = (take(3), take(3), take(3));
        let (concluded, logged, clock, ruled) = (take(2), take(2), take(2), take(2));
        let (resumed, child_open) = (take(1) == 1, take(1) == 1);
        let (active, child, elsewhere, twice, approved) = (take(4), take(4), take(4), take(4), take(4));
        let phase = Phase::ALL.get(usize::from(take(4))).copied().unwrap_or(Phase::Aborted);
        Self {
            phase,
            approved,
            twice,
            elsewhere,
            child,
            child_open,
            resumed,
            active,
            ruled,
            clock,
            logged,
            lease,
            intent,
            concluded,
            crashes,
            doing,
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
