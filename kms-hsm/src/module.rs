//! One PKCS#11 library in this process: load, initialise, find the token.
//!
//! One library per process, because a library has one state per process and some never recover but
//! by unloading: the process is the unit of recovery. Guards: a token is named by label and serial
//! number, never by slot, and "two tokens fit" is an error.

use std::path::Path;
use std::sync::Arc;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::slot::{Slot, TokenInfo};
use kms_core::ports::{FaultClass, HsmError, HsmResult, LaneStatus, PinState, Restriction, TokenStatus};

use crate::fault::{about, broken, fault, from_cryptoki, refused};
use crate::raw::Functions;

/// A loaded and initialised library.
pub(crate) struct Module {
    context: Pkcs11,
    functions: Arc<Functions>,
}

impl Module {
    /// Loads and initialises the library.
    pub(crate) fn load(path: &Path) -> HsmResult<Self> {
        if !path.is_file() {
            let detail = format!("{} is not a file: give the path of the maker's PKCS#11 library", path.display());
            return Err(broken("load", "MODULE_MISSING", detail));
        }
        let unusable = |error: HsmError| {
            let why = error.detail.unwrap_or(error.code);
            let detail = format!("{}: {why}; give the maker's PKCS#11 library for this processor", path.display());
            broken("load", "MODULE_UNUSABLE", detail)
        };
        let functions = Arc::new(Functions::load(path).map_err(unusable)?);
        let context = Pkcs11::new(path).map_err(from_cryptoki).map_err(unusable)?;
        context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(|error| {
            about(from_cryptoki(error), || {
                format!("{} does not start: look at its own configuration and log", path.display())
            })
        })?;
        Ok(Self { context, functions })
    }

    pub(crate) const fn context(&self) -> &Pkcs11 {
        &self.context
    }

    pub(crate) fn functions(&self) -> Arc<Functions> {
        Arc::clone(&self.functions)
    }

    /// The one initialised token with this label and, if given, this serial number.
    pub(crate) fn find_token(&self, label: &str, serial: Option<&str>) -> HsmResult<Slot> {
        let (mut fitting, mut others, mut blank) = (Vec::new(), Vec::new(), 0_usize);
        for slot in self.context.get_slots_with_token().map_err(from_cryptoki)? {
            let info = self.context.get_token_info(slot).map_err(from_cryptoki)?;
            let fits = info.label() == label && serial.is_none_or(|serial| info.serial_number() == serial);
            match (info.token_initialized(), fits) {
                (true, true) => fitting.push((slot, info.serial_number().to_owned())),
                (true, false) => others.push(format!("{:?} (serial number {})", info.label(), info.serial_number())),
                (false, _) => blank += 1,
            }
        }
        let named =
            || format!("label {label:?}{}", serial.map(|s| format!(", serial number {s:?}")).unwrap_or_default());
        match fitting.as_slice() {
            [(slot, _)] => Ok(*slot),
            [] => Err(self.no_token(&named(), &others, blank)),
            several => {
                let serials: Vec<&str> = several.iter().map(|(_, serial)| serial.as_str()).collect();
                let detail = format!(
                    "{} tokens have {}; say which by its serial number: {}",
                    several.len(),
                    named(),
                    serials.join(" or ")
                );
                Err(refused("find token", "TOKEN_AMBIGUOUS", detail))
            }
        }
    }

    /// Broken, not refused: a token may be back in a moment, and the library is asked again.
    fn no_token(&self, wanted: &str, others: &[String], blank: usize) -> HsmError {
        let (code, detail) = match (others, blank) {
            ([], 0) => {
                let slots = self.context.get_all_slots().map_or(0, |slots| slots.len());
                let detail = format!(
                    "{wanted}: none of the library's {slots} slots holds a token; plug it in, or look at the \
                     library's own configuration (which device, which directory)"
                );
                ("SLOT_WITHOUT_TOKEN", detail)
            }
            ([], blank) => {
                let detail = format!(
                    "{wanted}: the library shows {blank} tokens, none initialised; initialise one with that label, \
                     or look at the library's own configuration (which device, which directory)"
                );
                ("TOKEN_UNINITIALISED", detail)
            }
            (others, _) => {
                ("TOKEN_MISSING", format!("{wanted}; the library shows {}; correct the label", others.join(", ")))
            }
        };
        fault(FaultClass::Broken, "find token", code, detail)
    }

    /// What the token says of itself.
    pub(crate) fn token_info(&self, slot: Slot) -> HsmResult<TokenInfo> {
        self.context.get_token_info(slot).map_err(from_cryptoki)
    }
}

/// The token's words in ours.
pub(crate) fn status(info: &TokenInfo, map: &str, restrictions: &[Restriction]) -> TokenStatus {
    TokenStatus {
        label: info.label().to_owned(),
        manufacturer: info.manufacturer_id().to_owned(),
        model: info.model().to_owned(),
        serial: info.serial_number().to_owned(),
        firmware: format!("{}.{}", info.firmware_version().major(), info.firmware_version().minor()),
        map: map.to_owned(),
        lanes: LaneStatus::ONE,
        user_pin: user_pin_state(info),
        restrictions: restrictions.to_vec(),
    }
}

/// Flags of the user's PIN.
pub(crate) fn user_pin_state(info: &TokenInfo) -> PinState {
    pin_state(info.user_pin_locked(), info.user_pin_final_try(), info.user_pin_count_low())
}

/// Flags of the security officer's PIN.
pub(crate) fn officer_pin_state(info: &TokenInfo) -> PinState {
    pin_state(info.so_pin_locked(), info.so_pin_final_try(), info.so_pin_count_low())
}

const fn pin_state(locked: bool, final_try: bool, count_low: bool) -> PinState {
    match (locked, final_try, count_low) {
        (true, _, _) => PinState::Locked,
        (_, true, _) => PinState::FinalTry,
        (_, _, true) => PinState::CountLow,
        _ => PinState::Good,
    }
}
