//! General purpose, slots and tokens (PKCS#11 2.40 §5.4, §5.5).

use std::{env, path::PathBuf};

use cryptoki_sys::{
    CK_BBOOL, CK_C_INITIALIZE_ARGS, CK_FALSE, CK_FLAGS, CK_INFO, CK_MECHANISM_INFO, CK_MECHANISM_TYPE,
    CK_SESSION_HANDLE, CK_SLOT_ID, CK_SLOT_INFO, CK_TOKEN_INFO, CK_ULONG, CK_UTF8CHAR, CK_VOID_PTR, CKF_DONT_BLOCK,
    CKF_OS_LOCKING_OK, CKF_TOKEN_PRESENT, CKR_ARGUMENTS_BAD, CKR_CANT_LOCK, CKR_FUNCTION_NOT_SUPPORTED, CKR_NO_EVENT,
    CKR_SESSION_READ_ONLY,
};

use super::{
    entry,
    faults::plan,
    install,
    memory::{deliver_list, input, pin, read, write},
    module, session, uninstall,
};
use crate::{
    api::slots,
    module::Module,
    profile::Profile,
    rv::{Result, Rv, ensure},
    storage::meta::LABEL_BYTES,
};

entry! {
    /// C_Initialize (§5.4). Configuration comes from variables of the environment whose names begin with `HSM_SIM_`.
    C_Initialize: fn initialize(arguments: CK_VOID_PTR) {
        if !arguments.is_null() {
            check_locking(&read(arguments.cast())?)?;
        }
        install(configured)
    }
}

fn is_lost(slot: CK_SLOT_ID) -> bool {
    plan().is_some_and(|plan| plan.is_lost(slot))
}

/// The token has its own locks: an application that insists on its own and forbids those of the system is refused.
fn check_locking(arguments: &CK_C_INITIALIZE_ARGS) -> Result<()> {
    ensure(arguments.pReserved.is_null(), CKR_ARGUMENTS_BAD)?;
    let given = [
        arguments.CreateMutex.is_some(),
        arguments.DestroyMutex.is_some(),
        arguments.LockMutex.is_some(),
        arguments.UnlockMutex.is_some(),
    ];
    let all = given.iter().all(|given| *given);
    ensure(all || given.iter().all(|given| !given), CKR_ARGUMENTS_BAD)?;
    ensure(!all || arguments.flags & CKF_OS_LOCKING_OK != 0, CKR_CANT_LOCK)
}

fn configured() -> Result<Module> {
    let setting = |name| match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Rv(CKR_ARGUMENTS_BAD)),
    };
    let sm1_stand_in = match setting("HSM_SIM_SM1_STAND_IN")?.as_deref() {
        None | Some("0") => false,
        Some("1") => true,
        Some(_) => return Err(Rv(CKR_ARGUMENTS_BAD)),
    };
    let name = setting("HSM_SIM_PROFILE")?;
    let name = name.as_deref().unwrap_or(Profile::STANDARD);
    let profile = Profile::named(name, sm1_stand_in).ok_or(Rv(CKR_ARGUMENTS_BAD))?;
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share/hsm-sim"));
    let dir = env::var_os("HSM_SIM_DIR").map(PathBuf::from).or_else(home).ok_or(Rv(CKR_ARGUMENTS_BAD))?;
    Module::new(dir, Box::leak(Box::new(profile)))
}

entry! {
    /// C_Finalize (§5.4).
    C_Finalize: fn finalize(reserved: CK_VOID_PTR) {
        module()?;
        ensure(reserved.is_null(), CKR_ARGUMENTS_BAD)?;
        uninstall()
    }
}

entry! {
    /// C_GetInfo (§5.4).
    C_GetInfo: fn info(info: *mut CK_INFO) {
        module()?;
        write(info, slots::library_info())
    }
}

entry! {
    /// C_GetSlotList (§5.5).
    C_GetSlotList: fn slot_list(token_present: CK_BBOOL, list: *mut CK_SLOT_ID, count: *mut CK_ULONG) {
        // The free slot holds a token too, one that is not initialised: it is listed in either case, as a card reader
        // with a blank card would be. Only a fault script takes tokens away.
        let module = module()?;
        ensure(!count.is_null(), CKR_ARGUMENTS_BAD)?;
        let mut slots = module.slots()?;
        slots.retain(|slot| token_present == CK_FALSE || !is_lost(*slot));
        deliver_list(&slots, list, count)
    }
}

entry! {
    /// C_GetSlotInfo (§5.5).
    C_GetSlotInfo: fn slot_info(slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO) {
        let mut answer = slots::slot_info(module()?, slot)?;
        if is_lost(slot) {
            answer.flags &= !CKF_TOKEN_PRESENT;
        }
        write(info, answer)
    }
}

entry! {
    /// C_GetTokenInfo (§5.5).
    C_GetTokenInfo: fn token_info(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) {
        write(info, slots::token_info(module()?, slot)?)
    }
}

entry! {
    /// C_GetMechanismList (§5.5).
    C_GetMechanismList: fn mechanism_list(slot: CK_SLOT_ID, list: *mut CK_MECHANISM_TYPE, count: *mut CK_ULONG) {
        let module = module()?;
        module.token(slot)?;
        deliver_list(&module.profile().numbers(), list, count)
    }
}

entry! {
    /// C_GetMechanismInfo (§5.5).
    C_GetMechanismInfo: fn mechanism_info(slot: CK_SLOT_ID, number: CK_MECHANISM_TYPE, info: *mut CK_MECHANISM_INFO) {
        write(info, slots::mechanism_info(module()?, slot, number)?)
    }
}

entry! {
    /// C_InitToken (§5.5).
    C_InitToken: fn init_token(slot: CK_SLOT_ID, so_pin: *mut CK_UTF8CHAR, so_pin_length: CK_ULONG, label: *mut CK_UTF8CHAR) {
        let module = module()?;
        ensure(!label.is_null(), CKR_ARGUMENTS_BAD)?;
        let label = input(label, LABEL_BYTES as CK_ULONG)?.try_into().map_err(|_| Rv(CKR_ARGUMENTS_BAD))?;
        module.init_token(slot, pin(so_pin, so_pin_length)?, label)
    }
}

entry! {
    /// C_InitPIN (§5.5).
    C_InitPIN: fn init_pin(handle: CK_SESSION_HANDLE, new: *mut CK_UTF8CHAR, length: CK_ULONG) {
        session(handle)?.token().init_user_pin(pin(new, length)?)
    }
}

entry! {
    /// C_SetPIN (§5.5).
    C_SetPIN: fn set_pin(
        handle: CK_SESSION_HANDLE,
        old: *mut CK_UTF8CHAR,
        old_length: CK_ULONG,
        new: *mut CK_UTF8CHAR,
        new_length: CK_ULONG,
    ) {
        let session = session(handle)?;
        ensure(session.is_read_write(), CKR_SESSION_READ_ONLY)?;
        session.token().set_pin(pin(old, old_length)?, pin(new, new_length)?)
    }
}

entry! {
    /// C_WaitForSlotEvent (§5.5): slots do not come and go by themselves.
    C_WaitForSlotEvent: fn wait_for_slot_event(flags: CK_FLAGS, slot: *mut CK_SLOT_ID, reserved: CK_VOID_PTR) {
        module()?;
        ensure(!slot.is_null() && reserved.is_null(), CKR_ARGUMENTS_BAD)?;
        ensure(flags & CKF_DONT_BLOCK != 0, CKR_FUNCTION_NOT_SUPPORTED)?;
        Err(Rv(CKR_NO_EVENT))
    }
}
