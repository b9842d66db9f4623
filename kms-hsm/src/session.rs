//! A token with its session: login, find by CKA_ID, mechanisms by operation.
//!
//! Guards: one login attempt per process with a PIN, none when the token's flags warn; an object is
//! found by id or label and class, exactly one; handles are forgotten with the session they came
//! from; an operation the vendor map does not number is refused before any call.

mod look_up;
mod passing;

use std::collections::HashMap;
use std::sync::Arc;

use cryptoki::context::Pkcs11;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::RawAuthPin;
use cryptoki_sys::{CK_MECHANISM_TYPE, CK_OBJECT_HANDLE, CK_SESSION_HANDLE};
use kms_core::id::ObjectId;
use kms_core::keys::VerifyingKey;
use kms_core::ports::{FaultClass, HsmError, HsmResult, LaneStatus, PinState, Restriction, TokenStatus};
use kms_core::secret::Pin;

use crate::config::Lanes;
use crate::fault::{fault, from_cryptoki, refused};
use crate::lockdown;
use crate::module::{self, Module};
use crate::raw::{Functions, Mechanism, Parameter};
use crate::vendor::{Operation, VendorMap};
use crate::wire::WorkerRole;

pub(crate) use look_up::missing;
pub(crate) use passing::Passing;

/// Random bytes from which on a repetition is a fault and not chance.
const RANDOM_BYTES_JUDGED: usize = 12;

/// The worker's token.
pub(crate) struct Token {
    module: Module,
    map: VendorMap,
    name: (String, Option<String>),
    role: WorkerRole,
    pin: Option<Pin>,
    /// What this process has given up.
    restrictions: Vec<Restriction>,
    /// A login that failed is not tried again in this process.
    failed_login: Option<HsmError>,
    slot: Slot,
    session: Option<Session>,
    /// Sessions that one order may use at once.
    lanes: Lanes,
    /// How many of them the token gave when it was last asked; `None` before.
    lanes_given: Option<u16>,
    /// That there were too few was said once: it may be so at every order.
    said_lanes: bool,
    /// Objects found and checked in this session, by role.
    handles: HashMap<(&'static str, ObjectId), CK_OBJECT_HANDLE>,
    public_keys: HashMap<ObjectId, VerifyingKey>,
    /// Of the random bytes drawn last, which may be a key by now, only a hash.
    last_random: Option<u64>,
    hasher: std::hash::RandomState,
}

impl Token {
    /// Finds the token; does not log in.
    pub(crate) fn find(
        module: Module,
        map: VendorMap,
        name: (String, Option<String>),
        role: WorkerRole,
        pin: Option<Pin>,
        lanes: Lanes,
        restrictions: Vec<Restriction>,
    ) -> HsmResult<Self> {
        let slot = module.find_token(&name.0, name.1.as_deref())?;
        Ok(Self {
            module,
            map,
            name,
            role,
            pin,
            restrictions,
            failed_login: None,
            slot,
            session: None,
            lanes,
            lanes_given: None,
            said_lanes: false,
            handles: HashMap::new(),
            public_keys: HashMap::new(),
            last_random: None,
            hasher: std::hash::RandomState::new(),
        })
    }

    /// Runs `body`; after a lost session, once more in a new one.
    pub(crate) fn attempt<T>(&mut self, mut body: impl FnMut(&mut Self) -> HsmResult<T>) -> HsmResult<T> {
        let mut body = |token: &mut Self| {
            let result = body(token);
            let from_token = matches!(&result, Err(error) if error.code.starts_with("CKR_"));
            if token.functions().took_left_behind() || from_token {
                // What could not be destroyed, or was made by a call that said it failed, ends with its session.
                token.close();
            }
            result
        };
        match body(self) {
            Err(error) if error.class == FaultClass::Retryable => {
                self.forget()?;
                body(self).map_err(|mut error| {
                    if crate::fault::is_handle_fault(&error) {
                        error.class = FaultClass::Refused;
                    }
                    error
                })
            }
            done => done,
        }
    }

    /// Identity and PIN state, without login.
    pub(crate) fn status(&self) -> HsmResult<TokenStatus> {
        let lanes = LaneStatus { wanted: self.lanes.count(), given: self.lanes_given };
        let info = self.module.token_info(self.slot)?;
        Ok(TokenStatus { lanes, ..module::status(&info, self.map.name(), &self.restrictions) })
    }

    /// Sessions that one order may use at once.
    pub(crate) const fn lanes(&self) -> Lanes {
        self.lanes
    }

    /// Notes how many sessions the token gave for an order; the first time that there are too few it is said.
    pub(crate) fn note_lanes(&mut self, given: u16) {
        let wanted = self.lanes.count();
        if given < wanted && !std::mem::replace(&mut self.said_lanes, true) {
            eprintln!(
                "kms-hsm-worker: the token gives {given} of the {wanted} sessions that `lanes` asks for; work goes on \
                 with these: set lanes = {given}, or free sessions that other programs hold on the token"
            );
        }
        self.lanes_given = Some(given);
    }

    /// Opens sessions beside the worker's own, from any thread.
    pub(crate) fn opener(&self) -> Opener {
        Opener { context: self.module.context().clone(), slot: self.slot }
    }

    pub(crate) const fn map(&self) -> &VendorMap {
        &self.map
    }

    /// The function table; counted, so that it can be held across calls that change the token.
    pub(crate) fn functions(&self) -> Arc<Functions> {
        self.module.functions()
    }

    /// Number of an operation with its parameter.
    pub(crate) fn mechanism<'p>(&self, operation: Operation, parameter: Parameter<'p>) -> HsmResult<Mechanism<'p>> {
        Ok(Mechanism { number: self.number(operation)?, parameter })
    }

    fn number(&self, operation: Operation) -> HsmResult<CK_MECHANISM_TYPE> {
        self.map.mechanism(operation).ok_or_else(|| {
            let detail = format!(
                "vendor map {} has no number for {}; this make does not offer the operation",
                self.map.name(),
                self.map.operation_name(operation)
            );
            refused("vendor map", "OPERATION_NOT_MAPPED", detail)
        })
    }

    /// Handle of the logged-in session; opens it and logs in where needed.
    pub(crate) fn session(&mut self) -> HsmResult<CK_SESSION_HANDLE> {
        Ok(self.open()?.handle())
    }

    /// The logged-in session.
    pub(crate) fn open(&mut self) -> HsmResult<&Session> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.log_in()?,
        };
        Ok(self.session.insert(session))
    }

    fn log_in(&mut self) -> HsmResult<Session> {
        if let Some(error) = &self.failed_login {
            return Err(error.clone());
        }
        let session = self.try_log_in();
        if let Err(error) = &session
            && error.class == FaultClass::Pin
        {
            self.failed_login = Some(error.clone());
            self.pin = None;
        }
        session
    }

    fn try_log_in(&self) -> HsmResult<Session> {
        let pin_fault = |code: &str, detail: &str| fault(FaultClass::Pin, "C_Login", code, detail);
        let Some(pin) = &self.pin else {
            return Err(pin_fault("NO_PIN", "this worker was started without a PIN"));
        };
        let info = self.module.token_info(self.slot)?;
        let officer = self.role == WorkerRole::SecurityOfficer;
        let state = if officer { module::officer_pin_state(&info) } else { module::user_pin_state(&info) };
        match state {
            PinState::Locked => return Err(pin_fault("CKR_PIN_LOCKED", locked(officer))),
            // A person stands behind an SO login; a service must not burn the last attempt.
            PinState::FinalTry if !officer => {
                return Err(pin_fault(
                    "PIN_FINAL_TRY",
                    "one attempt is left; no attempt was made; enter the PIN by hand",
                ));
            }
            PinState::Good | PinState::CountLow | PinState::FinalTry => {}
        }
        let session = self.module.context().open_rw_session(self.slot).map_err(from_cryptoki)?;
        let user = if officer { UserType::So } else { UserType::User };
        let pin = locked_copy(pin);
        match session.login_with_raw(user, &pin).map_err(from_cryptoki) {
            Err(error) if error.code != "CKR_USER_ALREADY_LOGGED_IN" => Err(error),
            _ => Ok(session),
        }
    }

    /// One more session beside the worker's own; it shares the login.
    pub(crate) fn second_session(&self) -> HsmResult<Session> {
        self.opener().open()
    }

    /// For the battery: ends the login and keeps the session.
    pub(crate) fn log_out(&mut self) -> HsmResult<()> {
        self.handles.clear();
        self.public_keys.clear();
        self.open()?.logout().map_err(from_cryptoki)
    }

    /// For the battery: the user's login in the session that is open.
    pub(crate) fn log_in_again(&mut self) -> HsmResult<()> {
        let Some(pin) = &self.pin else {
            return Err(fault(FaultClass::Pin, "C_Login", "NO_PIN", "this worker was started without a PIN"));
        };
        let pin = locked_copy(pin);
        match &self.session {
            Some(session) => session.login_with_raw(UserType::User, &pin).map_err(from_cryptoki),
            None => self.session().map(|_| ()),
        }
    }

    /// For the battery, on a throw-away token: the user PIN to be set anew.
    pub(crate) fn pin_text(&self) -> Option<String> {
        self.pin.as_ref().and_then(|pin| String::from_utf8(pin.expose().to_vec()).ok())
    }

    /// What the token says of itself.
    pub(crate) fn info(&self) -> HsmResult<cryptoki::slot::TokenInfo> {
        self.module.token_info(self.slot)
    }

    /// Number of the slot, for calls by number.
    pub(crate) fn slot_id(&self) -> u64 {
        self.slot.id()
    }

    /// Random bytes from the token; refuses those of the time before, and a buffer that was not filled.
    pub(crate) fn random(&mut self, out: &mut [u8]) -> HsmResult<()> {
        self.open()?.generate_random_slice(out).map_err(from_cryptoki)?;
        // Of fewer bytes a repetition proves nothing.
        if out.len() < RANDOM_BYTES_JUDGED {
            return Ok(());
        }
        let hash = std::hash::BuildHasher::hash_one(&self.hasher, &*out);
        let same = self.last_random.replace(hash) == Some(hash) || out.iter().all(|byte| Some(byte) == out.first());
        if same {
            let detail = "the token's random bytes repeat; they were not used";
            return Err(fault(FaultClass::Indeterminate, "C_GenerateRandom", "RANDOM_REPEATED", detail));
        }
        Ok(())
    }

    /// Drops session, handles and slot: the token is looked for again.
    fn forget(&mut self) -> HsmResult<()> {
        self.close();
        self.slot = self.module.find_token(&self.name.0, self.name.1.as_deref())?;
        Ok(())
    }

    /// Ends the session and forgets what was found in it.
    fn close(&mut self) {
        self.session = None;
        self.handles.clear();
        self.public_keys.clear();
    }

    /// Remembers the public half of a key of this session.
    pub(crate) fn remember(&mut self, id: ObjectId, key: VerifyingKey) {
        self.public_keys.insert(id, key);
    }

    /// A remembered public half.
    pub(crate) fn remembered(&self, id: ObjectId) -> Option<VerifyingKey> {
        self.public_keys.get(&id).copied()
    }
}

/// A way to one more session of the login.
pub(crate) struct Opener {
    context: Pkcs11,
    slot: Slot,
}

impl Opener {
    /// One more session; it shares the login and closes on drop.
    pub(crate) fn open(&self) -> HsmResult<Session> {
        self.context.open_rw_session(self.slot).map_err(from_cryptoki)
    }
}

/// What the flag means, and what to do.
const fn locked(officer: bool) -> &'static str {
    if officer {
        "the token's flags say so; no attempt was made; nobody can set a security officer's PIN anew: ask the maker, or \
         initialise the token and restore its keys"
    } else {
        "the token's flags say so; no attempt was made; the security officer sets a new user PIN (C_InitPIN)"
    }
}

/// The PIN as cryptoki takes it, in memory that is neither swapped nor dumped where the system lets us;
/// the worker's report says whether it does.
fn locked_copy(pin: &Pin) -> RawAuthPin {
    let mut copy = Vec::with_capacity(pin.expose().len());
    let _ = lockdown::keep_in_memory(&copy);
    copy.extend_from_slice(pin.expose());
    RawAuthPin::new(Box::new(copy))
}
