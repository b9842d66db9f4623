//! One order, several sessions of one login.
//!
//! A network HSM spends most of a call on the wire and serves many at a time; a local one has several engines. So an
//! order's items are cut into spans, and each lane — a thread with a session of its own — takes the next span until none
//! is left. Handles found in one session hold in all of the application (PKCS#11 2.40 §4, CK_OBJECT_HANDLE).
//!
//! Guards: answers come in the order of the items, however many lanes; the first error is the one reported, and every
//! other lane stops before its next item; finished spans outlive a lost session and are not made again; a lane's session
//! is opened for one order and closed with it, so that nothing stays in it and other programs get their turn.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use cryptoki_sys::CK_SESSION_HANDLE;
use kms_core::ports::{HsmError, HsmResult};

use crate::config::Lanes;
use crate::raw::Functions;
use crate::session::Token;

/// Spans for each lane: the last ones end soon after each other, whatever the lanes' speeds.
const SPANS_PER_LANE: usize = 64;
/// Most items of a span: what a lost session costs again in its lane.
const SPAN_ITEMS_MAX: usize = 512;
/// What a token answers that has no session left.
const NO_SESSION_LEFT: &str = "CKR_SESSION_COUNT";

/// Where an item is worked on.
pub(crate) struct Lane<'f> {
    pub(crate) functions: &'f Functions,
    pub(crate) session: CK_SESSION_HANDLE,
}

/// The spans of one order, with the answers of those that are finished.
pub(crate) struct Spans<P> {
    items: usize,
    size: usize,
    done: BTreeMap<usize, P>,
}

impl<P: Default + Send> Spans<P> {
    /// For that many items.
    pub(crate) fn over(items: usize, lanes: Lanes) -> Self {
        let size = (items / (usize::from(lanes.count()) * SPANS_PER_LANE)).clamp(1, SPAN_ITEMS_MAX);
        Self { items, size, done: BTreeMap::new() }
    }

    /// Works on every span that is not finished. `prepare` makes what a lane reuses from item to item; `work` does one
    /// item and adds its answer to that of the span.
    pub(crate) fn run<S>(
        &mut self,
        token: &mut Token,
        prepare: impl Fn() -> S + Sync,
        work: impl Fn(&Lane<'_>, &mut S, usize, &mut P) -> HsmResult<()> + Sync,
    ) -> HsmResult<()> {
        let (session, functions) = (token.session()?, token.functions());
        let firsts = (0..self.items).step_by(self.size);
        let todo: Vec<usize> = firsts.filter(|first| !self.done.contains_key(first)).collect();
        let (wanted, opener) = (token.lanes().count(), token.opener());
        let others = u16::try_from(todo.len().saturating_sub(1)).unwrap_or(u16::MAX).min(wanted - 1);
        let order = Order { todo, items: self.items, size: self.size, ..Order::new(&mut self.done) };
        let run = |session| order.serve(&Lane { functions: &functions, session }, &prepare, &work);
        let (opened, refused) = (AtomicU16::new(0), AtomicU16::new(0));
        thread::scope(|scope| {
            for _ in 0..others {
                let lane = || {
                    if order.is_over() {
                        return;
                    }
                    match opener.open() {
                        Ok(session) => {
                            opened.fetch_add(1, Ordering::Relaxed);
                            run(session.handle());
                        }
                        Err(error) if error.code == NO_SESSION_LEFT => _ = refused.fetch_add(1, Ordering::Relaxed),
                        Err(error) => order.fail(error),
                    }
                };
                // A process that gets no more threads is in the place of a token that gives no more sessions.
                if thread::Builder::new().spawn_scoped(scope, lane).is_err() {
                    refused.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
            run(session);
        });
        let given = 1 + opened.into_inner();
        if given == wanted || refused.into_inner() > 0 {
            token.note_lanes(given);
        }
        order.outcome()
    }

    /// The answers, in order; all spans are finished.
    pub(crate) fn into_answers(self) -> impl Iterator<Item = P> {
        self.done.into_values()
    }
}

/// What the lanes of one run share.
struct Order<'d, P> {
    /// First items of the spans to do.
    todo: Vec<usize>,
    items: usize,
    size: usize,
    /// Place in `todo`.
    next: AtomicUsize,
    stopped: AtomicBool,
    first_error: Mutex<Option<HsmError>>,
    done: Mutex<&'d mut BTreeMap<usize, P>>,
}

impl<'d, P: Default> Order<'d, P> {
    fn new(done: &'d mut BTreeMap<usize, P>) -> Self {
        Self {
            todo: Vec::new(),
            items: 0,
            size: 1,
            next: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            first_error: Mutex::new(None),
            done: Mutex::new(done),
        }
    }

    fn is_over(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.next.load(Ordering::Relaxed) >= self.todo.len()
    }

    /// One lane's share.
    fn serve<S>(
        &self,
        lane: &Lane<'_>,
        prepare: impl Fn() -> S,
        work: impl Fn(&Lane<'_>, &mut S, usize, &mut P) -> HsmResult<()>,
    ) {
        let mut kept = prepare();
        while let Some(span) = self.take() {
            let (first, mut answer) = (span.start, P::default());
            for item in span {
                if self.stopped.load(Ordering::Relaxed) {
                    return;
                }
                if let Err(error) = work(lane, &mut kept, item, &mut answer) {
                    return self.fail(error);
                }
            }
            lock(&self.done).insert(first, answer);
        }
    }

    fn take(&self) -> Option<Range<usize>> {
        let first = *self.todo.get(self.next.fetch_add(1, Ordering::Relaxed))?;
        Some(first..self.items.min(first + self.size))
    }

    fn fail(&self, error: HsmError) {
        self.stopped.store(true, Ordering::Relaxed);
        lock(&self.first_error).get_or_insert(error);
    }

    fn outcome(self) -> HsmResult<()> {
        match self.first_error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// A poisoned lock means that a lane panicked, and then the scope panics too: nobody is left to be misled.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
