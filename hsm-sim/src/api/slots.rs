//! What slots, tokens and mechanisms say of themselves (PKCS#11 2.40 §5.4, §5.5).

use cryptoki_sys::{
    CK_EFFECTIVELY_INFINITE, CK_FLAGS, CK_INFO, CK_MECHANISM_INFO, CK_MECHANISM_TYPE, CK_SLOT_ID, CK_SLOT_INFO,
    CK_TOKEN_INFO, CK_ULONG, CK_UNAVAILABLE_INFORMATION, CK_VERSION, CKF_LOGIN_REQUIRED, CKF_RNG, CKF_SO_PIN_COUNT_LOW,
    CKF_SO_PIN_FINAL_TRY, CKF_SO_PIN_LOCKED, CKF_TOKEN_INITIALIZED, CKF_TOKEN_PRESENT, CKF_USER_PIN_COUNT_LOW,
    CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_INITIALIZED, CKF_USER_PIN_LOCKED, CKR_MECHANISM_INVALID,
};

use crate::{
    module::Module,
    rv::{Result, Rv},
    storage::meta::{Meta, PinOwner},
    token::{PIN_BYTES_MAX, PIN_BYTES_MIN, PIN_TRIES_MAX},
};

const VERSION_2_40: CK_VERSION = CK_VERSION { major: 2, minor: 40 };
const OUR_VERSION: CK_VERSION = CK_VERSION { major: 0, minor: 1 };
const MANUFACTURER: &str = "KMS project";
const MODEL: &str = "hsm-sim";

/// Text in a blank-padded field.
fn blank_padded<const N: usize>(text: &[u8]) -> [u8; N] {
    let mut field = [b' '; N];
    field.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
    field
}

/// C_GetInfo.
pub(crate) fn library_info() -> CK_INFO {
    CK_INFO {
        cryptokiVersion: VERSION_2_40,
        manufacturerID: blank_padded(MANUFACTURER.as_bytes()),
        flags: 0,
        libraryDescription: blank_padded(b"SM token simulator"),
        libraryVersion: OUR_VERSION,
    }
}

/// C_GetSlotInfo.
pub(crate) fn slot_info(module: &Module, slot: CK_SLOT_ID) -> Result<CK_SLOT_INFO> {
    module.token(slot)?;
    Ok(CK_SLOT_INFO {
        slotDescription: blank_padded(format!("hsm-sim slot {slot}").as_bytes()),
        manufacturerID: blank_padded(MANUFACTURER.as_bytes()),
        flags: CKF_TOKEN_PRESENT,
        hardwareVersion: OUR_VERSION,
        firmwareVersion: OUR_VERSION,
    })
}

/// C_GetTokenInfo. PIN counters are those on the disk: another process may have used up tries.
pub(crate) fn token_info(module: &Module, slot: CK_SLOT_ID) -> Result<CK_TOKEN_INFO> {
    let mut info = CK_TOKEN_INFO {
        label: [b' '; 32],
        manufacturerID: blank_padded(MANUFACTURER.as_bytes()),
        model: blank_padded(MODEL.as_bytes()),
        serialNumber: [b' '; 16],
        flags: CKF_RNG | CKF_LOGIN_REQUIRED,
        ulMaxSessionCount: CK_EFFECTIVELY_INFINITE,
        ulSessionCount: 0,
        ulMaxRwSessionCount: CK_EFFECTIVELY_INFINITE,
        ulRwSessionCount: 0,
        ulMaxPinLen: PIN_BYTES_MAX as CK_ULONG,
        ulMinPinLen: PIN_BYTES_MIN as CK_ULONG,
        ulTotalPublicMemory: CK_UNAVAILABLE_INFORMATION,
        ulFreePublicMemory: CK_UNAVAILABLE_INFORMATION,
        ulTotalPrivateMemory: CK_UNAVAILABLE_INFORMATION,
        ulFreePrivateMemory: CK_UNAVAILABLE_INFORMATION,
        hardwareVersion: OUR_VERSION,
        firmwareVersion: OUR_VERSION,
        utcTime: [b' '; 16],
    };
    let Some(token) = module.token(slot)? else { return Ok(info) };
    let meta = token.meta()?;
    info.label = *meta.label();
    info.serialNumber = blank_padded(format!("{:016x}", meta.instance()).as_bytes());
    info.flags |= token_flags(&meta);
    let (all, read_write) = module.session_counts(&token);
    info.ulSessionCount = all as CK_ULONG;
    info.ulRwSessionCount = read_write as CK_ULONG;
    Ok(info)
}

fn token_flags(meta: &Meta) -> CK_FLAGS {
    let tries = |owner, low, last, locked| match PIN_TRIES_MAX.saturating_sub(meta.failures(owner)) {
        PIN_TRIES_MAX => 0,
        0 => low | locked,
        1 => low | last,
        _ => low,
    };
    let initialised = if meta.has_user_pin() { CKF_USER_PIN_INITIALIZED } else { 0 };
    CKF_TOKEN_INITIALIZED
        | initialised
        | tries(PinOwner::User, CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED)
        | tries(PinOwner::So, CKF_SO_PIN_COUNT_LOW, CKF_SO_PIN_FINAL_TRY, CKF_SO_PIN_LOCKED)
}

/// C_GetMechanismInfo.
pub(crate) fn mechanism_info(
    module: &Module,
    slot: CK_SLOT_ID,
    number: CK_MECHANISM_TYPE,
) -> Result<CK_MECHANISM_INFO> {
    module.token(slot)?;
    module.profile().info(number).ok_or(Rv(CKR_MECHANISM_INVALID))
}
