//! Faults on purpose: what a script says goes wrong goes wrong, so that others can test how they live with it.
//!
//! Without a script nothing of this runs: `ffi` looks at one pointer. A [`Plan`] is a script at work. Faults that are
//! decided when a call begins see the call's number; those that spoil an answer count the answers that they could spoil.

mod names;
mod record;
mod script;

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cryptoki_sys::{
    CK_OBJECT_HANDLE, CK_RV, CK_SLOT_ID, CK_ULONG, CKR_DEVICE_MEMORY, CKR_DEVICE_REMOVED, CKR_OK, CKR_TOKEN_NOT_PRESENT,
};
use parking_lot::{Condvar, Mutex};

pub(crate) use self::names::Function;
use self::{
    record::{Counters, Log},
    script::{Fault, Line, Rule, SCRIPT_BYTES_MAX, Script},
};
use crate::module::Module;

/// What a hanging call sleeps at a time.
const HANG_STEP: Duration = Duration::from_secs(3600);

thread_local! {
    /// The call that this thread is in.
    static CURRENT: Cell<Option<Function>> = const { Cell::new(None) };
}

/// A script at work.
pub(crate) struct Plan {
    path: PathBuf,
    text: String,
    rules: Vec<Rule>,
    network: Option<Network>,
    counters: Arc<Counters>,
    log: Option<Log>,
    /// Tokens that are away, and for how many calls more.
    lost: Mutex<BTreeMap<CK_SLOT_ID, u64>>,
    /// A slow token does one thing at a time.
    slow: Mutex<()>,
    last_bytes: Mutex<HashMap<&'static str, Vec<u8>>>,
    last_object: Mutex<HashMap<&'static str, CK_OBJECT_HANDLE>>,
    last_named: Mutex<HashMap<&'static str, CK_OBJECT_HANDLE>>,
}

impl Plan {
    /// Reads the script at `path`. Its counters go on from those of `before` if it is the same script. The error is a
    /// line for the operator.
    pub(crate) fn load(path: &Path, log: Option<&Path>, before: Option<&Self>) -> Result<Self, String> {
        let refused = |reason: &dyn std::fmt::Display| format!("hsm-sim: {}: {reason}", path.display());
        let size = std::fs::metadata(path).map_err(|error| refused(&error))?.len();
        if size > SCRIPT_BYTES_MAX {
            return Err(refused(&"longer than a fault script may be"));
        }
        let text = std::fs::read_to_string(path).map_err(|error| refused(&error))?;
        let script = Script::parse(&text).map_err(|error| format!("hsm-sim: {}:{error}", path.display()))?;
        let same = before.filter(|before| before.path == path && before.text == text);
        let counters = match same {
            Some(before) => Arc::clone(&before.counters),
            None if script.shared_counters => {
                Arc::new(Counters::shared(path, &text, script.rules.len()).map_err(|error| refused(&error))?)
            }
            None => Arc::new(Counters::of_process(script.rules.len())),
        };
        let log = log.map(|log| Log::open(log).map_err(|error| format!("hsm-sim: {}: {error}", log.display())));
        Ok(Self {
            path: path.into(),
            text,
            rules: script.rules,
            network: script.network.map(Network::new),
            counters,
            log: log.transpose()?,
            lost: Mutex::default(),
            slow: Mutex::default(),
            last_bytes: Mutex::default(),
            last_object: Mutex::default(),
            last_named: Mutex::default(),
        })
    }

    /// Makes one call, or what is left of it. `first` is its first argument, a session or a slot for most functions.
    pub(crate) fn run(
        &self,
        function: Function,
        first: CK_ULONG,
        module: Option<&Module>,
        call: impl FnOnce() -> CK_RV,
    ) -> CK_RV {
        let _lane = self.network.as_ref().filter(|_| function.reaches_token()).map(Network::enter);
        self.count_absence(function);
        if function.takes_slot() && self.is_lost(first) {
            return CKR_TOKEN_NOT_PRESENT;
        }
        // All rules count the call before any of them acts: the numbers in a script are those of the calls.
        let early: Vec<_> = self.counted(function, Fault::is_early).collect();
        for (fault, number) in early {
            if let Some(rv) = self.begin(fault, number, function, first, module) {
                return rv;
            }
        }
        let outer = CURRENT.replace(Some(function));
        let rv = call();
        CURRENT.set(outer);
        if rv == CKR_OK { self.end(function) } else { rv }
    }

    /// Is there a network between caller and token?
    pub(crate) fn has_network(&self) -> bool {
        self.network.is_some()
    }

    /// Is the token of this slot away?
    pub(crate) fn is_lost(&self, slot: CK_SLOT_ID) -> bool {
        self.lost.lock().contains_key(&slot)
    }

    /// Spoils bytes that a call answers; gives how many of them count.
    pub(crate) fn answer(&self, bytes: &mut [u8]) -> usize {
        let (mut length, Some(function)) = (bytes.len(), CURRENT.get()) else { return bytes.len() };
        if self.rules_of(function).any(|(_, rule)| rule.fault == Fault::RepeatAnswer) {
            let earlier = self.last_bytes.lock().insert(function.name(), bytes.to_vec());
            if let Some(earlier) = earlier.filter(|earlier| earlier.len() == bytes.len() && earlier != bytes) {
                self.spoil(function, |fault| fault == Fault::RepeatAnswer, |_| bytes.copy_from_slice(&earlier));
            }
        }
        let spoils = |fault| matches!(fault, Fault::FlipBit(_) | Fault::Truncate(_) | Fault::LongAnswer(_));
        self.spoil(function, spoils, |fault| match fault {
            Fault::FlipBit(bit) if !bytes.is_empty() => {
                let bit = bit.unwrap_or(bytes.len() * 4) % (bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            Fault::Truncate(missing) => length = length.saturating_sub(missing),
            Fault::LongAnswer(more) => length = length.saturating_add(more),
            _ => {}
        });
        length
    }

    /// The length that the caller is told when it asks for it.
    pub(crate) fn length(&self, exact: usize) -> usize {
        let (mut told, Some(function)) = (exact, CURRENT.get()) else { return exact };
        self.spoil(
            function,
            |fault| matches!(fault, Fault::LengthPlus(_)),
            |fault| {
                if let Fault::LengthPlus(more) = fault {
                    told = told.saturating_add(more);
                }
            },
        );
        told
    }

    /// The handle of a new object, as the caller is told.
    pub(crate) fn object(&self, made: CK_OBJECT_HANDLE) -> CK_OBJECT_HANDLE {
        let Some(function) = CURRENT.get() else { return made };
        let mut told = made;
        if let Some(earlier) = self.last_object.lock().insert(function.name(), made) {
            self.spoil(function, |fault| fault == Fault::RepeatAnswer, |_| told = earlier);
        }
        told
    }

    /// The object that a call works on, in place of the one that it names.
    pub(crate) fn named(&self, object: CK_OBJECT_HANDLE) -> CK_OBJECT_HANDLE {
        let Some(function) = CURRENT.get() else { return object };
        let mut used = object;
        let earlier = self.last_named.lock().insert(function.name(), object);
        if let Some(earlier) = earlier.filter(|earlier| *earlier != object) {
            self.spoil(function, |fault| fault == Fault::OtherObject, |_| used = earlier);
        }
        used
    }

    /// Spoils a CKA_CHECK_VALUE that is read.
    pub(crate) fn check_value(&self, bytes: &mut [u8]) {
        let Some(first) = bytes.first_mut() else { return };
        self.spoil(Function::C_GetAttributeValue, |fault| fault == Fault::WrongCheckValue, |_| *first ^= 0xff);
    }

    /// Changes a list of found objects, for which the caller has `room`.
    pub(crate) fn found(&self, list: &mut Vec<CK_OBJECT_HANDLE>, room: usize) {
        let Some(first) = list.first().copied() else { return };
        let function = Function::C_FindObjects;
        if list.len() < room {
            self.spoil(function, |fault| fault == Fault::DuplicateObject, |_| list.insert(1, first));
        }
        // A caller that reads one by one takes an empty answer for the end: the object is missing.
        self.spoil(function, |fault| fault == Fault::MissingObject, |_| list.retain(|object| *object != first));
    }

    /// What happens before a call, or instead of it.
    fn begin(
        &self,
        fault: Fault,
        number: u64,
        function: Function,
        first: CK_ULONG,
        module: Option<&Module>,
    ) -> Option<CK_RV> {
        let session = || module.and_then(|module| module.session(first).ok());
        match fault {
            Fault::DropSession | Fault::DropLogin if session().is_none() => return None,
            Fault::Census => {
                if let (Some(log), Some(session)) = (&self.log, session()) {
                    let count = session.token().session_objects();
                    log.append(&format!("census:{count} {} {number} {}\n", function.name(), std::process::id()));
                }
                return None;
            }
            _ => {}
        }
        if let Fault::LoseToken { calls } = fault {
            let slot = if function.takes_slot() { Some(first) } else { session().map(|session| session.slot()) };
            let (module, slot) = (module?, slot?);
            self.record(fault, function, number);
            // A token that cannot even close its sessions is lost all the same.
            let _ = module.close_all_sessions(slot);
            self.lost.lock().insert(slot, calls);
            return Some(CKR_DEVICE_REMOVED);
        }
        self.record(fault, function, number);
        match fault {
            Fault::Return(rv) => return Some(rv),
            Fault::MemoryFull => return Some(CKR_DEVICE_MEMORY),
            Fault::Delay(time) => std::thread::sleep(time),
            Fault::Slow(time) => {
                let _alone = self.slow.lock();
                std::thread::sleep(time);
            }
            Fault::Hang => loop {
                std::thread::sleep(HANG_STEP);
            },
            Fault::Crash => std::process::abort(),
            Fault::DropSession => _ = module.map(|module| module.close_session(first)),
            Fault::DropLogin => _ = session().map(|session| session.token().log_out()),
            _ => {}
        }
        None
    }

    /// What happens after a call that went well.
    fn end(&self, function: Function) -> CK_RV {
        let mut rv = CKR_OK;
        self.spoil(
            function,
            |fault| matches!(fault, Fault::CrashAfter | Fault::SaidError(_)),
            |fault| match fault {
                Fault::CrashAfter => std::process::abort(),
                Fault::SaidError(said) => rv = said,
                _ => {}
            },
        );
        rv
    }

    /// Counts for every rule of `kind` and lets those fire whose turn it is.
    fn spoil(&self, function: Function, kind: impl Fn(Fault) -> bool, mut fire: impl FnMut(Fault)) {
        for (fault, number) in self.counted(function, kind) {
            self.record(fault, function, number);
            fire(fault);
        }
    }

    /// The rules of `kind` whose turn it is, with the number of the call; all of them count.
    fn counted(&self, function: Function, kind: impl Fn(Fault) -> bool) -> impl Iterator<Item = (Fault, u64)> {
        let rules = self.rules_of(function).filter(move |(_, rule)| kind(rule.fault));
        rules.filter_map(|(at, rule)| {
            let number = self.counters.next(at);
            rule.when.holds(number).then_some((rule.fault, number))
        })
    }

    fn rules_of(&self, function: Function) -> impl Iterator<Item = (usize, &Rule)> {
        self.rules.iter().enumerate().filter(move |(_, rule)| match rule.function {
            Some(named) => named == function,
            None => rule.fault.can_hit(function),
        })
    }

    /// A call sees a lost token as lost until the token's calls are used up.
    fn count_absence(&self, function: Function) {
        if !function.reaches_token() {
            return;
        }
        self.lost.lock().retain(|_, calls| {
            let away = *calls > 0;
            *calls = calls.saturating_sub(1);
            away
        });
    }

    fn record(&self, fault: Fault, function: Function, number: u64) {
        if let Some(log) = &self.log {
            log.append(&format!("{fault} {} {number} {}\n", function.name(), std::process::id()));
        }
    }
}

/// A network with so many lanes: a call waits for a free one and then takes the latency.
struct Network {
    line: Line,
    free: Mutex<usize>,
    freed: Condvar,
}

/// A lane in use.
struct Lane<'a>(&'a Network);

impl Network {
    fn new(line: Line) -> Self {
        Self { line, free: Mutex::new(line.lanes), freed: Condvar::new() }
    }

    fn enter(&self) -> Lane<'_> {
        let mut free = self.free.lock();
        while *free == 0 {
            self.freed.wait(&mut free);
        }
        *free -= 1;
        drop(free);
        let lane = Lane(self);
        std::thread::sleep(self.line.latency);
        lane
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}
