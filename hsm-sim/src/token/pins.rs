//! Login and PINs (PKCS#11 2.40 §5.5, §5.6).
//!
//! Guards: a try is counted on the disk before the PIN is checked, so that killing the process wins no extra try; the
//! count is that of the token, not of the process.

use std::sync::{Arc, atomic::Ordering};

use cryptoki_sys::{
    CKR_PIN_INCORRECT, CKR_PIN_LEN_RANGE, CKR_PIN_LOCKED, CKR_USER_ALREADY_LOGGED_IN,
    CKR_USER_ANOTHER_ALREADY_LOGGED_IN, CKR_USER_NOT_LOGGED_IN, CKR_USER_PIN_NOT_INITIALIZED,
};

use super::{Token, view::View};
use crate::{
    attribute::Flags,
    rules::Role,
    rv::{Result, Rv, ensure},
    storage::{
        Locked,
        meta::{LABEL_BYTES, Meta, PinOwner, TokenKeys},
        random_number,
    },
};

/// Wrong PINs in a row until the PIN is locked.
pub(crate) const PIN_TRIES_MAX: u8 = 10;
pub(crate) const PIN_BYTES_MIN: usize = 4;
pub(crate) const PIN_BYTES_MAX: usize = 64;

impl Token {
    pub(crate) fn log_in(&self, owner: PinOwner, pin: &[u8]) -> Result<()> {
        let mut writer = self.writer.lock();
        match (self.role(), owner) {
            (Role::Public, _) => {}
            (Role::User, PinOwner::User) | (Role::So, PinOwner::So) => return Err(Rv(CKR_USER_ALREADY_LOGGED_IN)),
            _ => return Err(Rv(CKR_USER_ANOTHER_ALREADY_LOGGED_IN)),
        }
        let locked = self.dir.lock()?;
        let mut meta = locked.meta()?;
        self.ensure_not_gone(&meta)?;
        ensure(owner == PinOwner::So || meta.has_user_pin(), CKR_USER_PIN_NOT_INITIALIZED)?;
        let keys = check_pin(&locked, &mut meta, owner, pin)?;
        let role = match owner {
            PinOwner::So => Role::So,
            PinOwner::User => Role::User,
        };
        self.role.store(role as u8, Ordering::Release);
        self.login.fetch_add(1, Ordering::AcqRel);
        if let Err(error) = self.reload(&locked, Some(&keys), true) {
            self.become_public();
            return Err(error);
        }
        *writer = Some(Arc::new(keys));
        Ok(())
    }

    pub(crate) fn log_out(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        ensure(self.role() != Role::Public, CKR_USER_NOT_LOGGED_IN)?;
        *writer = None;
        self.become_public();
        // Public objects keep their handles: those in the hands of callers stay good (PKCS#11 2.40 §5.6, C_Logout).
        let locked = self.dir.lock()?;
        self.reload(&locked, None, true)
    }

    /// C_InitPIN: the SO gives the user a PIN, which also ends a lock.
    pub(crate) fn init_user_pin(&self, pin: &[u8]) -> Result<()> {
        ensure_pin_length(pin)?;
        let writer = self.writer.lock();
        ensure(self.role() == Role::So, CKR_USER_NOT_LOGGED_IN)?;
        let keys = writer.as_deref().ok_or(Rv(CKR_USER_NOT_LOGGED_IN))?;
        let locked = self.dir.lock()?;
        let mut meta = locked.meta()?;
        self.ensure_not_gone(&meta)?;
        meta.set_pin(PinOwner::User, pin, keys)?;
        meta.set_failures(PinOwner::User, 0);
        locked.write_meta(&meta)
    }

    /// C_SetPIN: of the SO in an SO session, else of the user.
    pub(crate) fn set_pin(&self, old: &[u8], new: &[u8]) -> Result<()> {
        let _writer = self.writer.lock();
        let owner = if self.role() == Role::So { PinOwner::So } else { PinOwner::User };
        let locked = self.dir.lock()?;
        let mut meta = locked.meta()?;
        self.ensure_not_gone(&meta)?;
        ensure(owner == PinOwner::So || meta.has_user_pin(), CKR_USER_PIN_NOT_INITIALIZED)?;
        ensure_pin_length(new)?;
        let keys = check_pin(&locked, &mut meta, owner, old)?;
        meta.set_pin(owner, new, &keys)?;
        locked.write_meta(&meta)
    }

    /// C_InitToken on a token that exists: the SO's PIN erases everything.
    pub(crate) fn initialise_again(&self, so_pin: &[u8], label: [u8; LABEL_BYTES]) -> Result<()> {
        let mut writer = self.writer.lock();
        let locked = self.dir.lock()?;
        let mut meta = locked.meta()?;
        self.ensure_not_gone(&meta)?;
        check_pin(&locked, &mut meta, PinOwner::So, so_pin)?;
        let fresh = Meta::new(random_number()?, label, so_pin, &TokenKeys::random()?)?;
        locked.change(|locked| {
            for name in locked.list()? {
                locked.remove(name)?;
            }
            locked.write_meta(&fresh)
        })?;
        self.gone.store(true, Ordering::Release);
        *writer = None;
        self.become_public();
        Ok(())
    }

    /// C_Finalize: everything that a login had opened is wiped, whatever the disk says.
    pub(crate) fn abandon(&self) {
        *self.writer.lock() = None;
        self.become_public();
        *self.view_to_write() = View::stale();
        self.retain_session_objects(|_| false);
    }

    fn become_public(&self) {
        self.role.store(Role::Public as u8, Ordering::Release);
        self.login.fetch_add(1, Ordering::AcqRel);
        self.forget_private();
        self.retain_session_objects(|object| !object.is(Flags::PRIVATE));
    }

    fn forget_private(&self) {
        let mut view = self.view_to_write();
        let gone: Vec<_> = view.private_ids();
        gone.into_iter().for_each(|id| view.remove(id));
        view.generation = View::stale().generation;
    }
}

/// Refuses PINs that may not be set.
pub(crate) fn ensure_pin_length(pin: &[u8]) -> Result<()> {
    ensure((PIN_BYTES_MIN..=PIN_BYTES_MAX).contains(&pin.len()), CKR_PIN_LEN_RANGE)
}

/// Checks a PIN and gives the token keys that it opens.
fn check_pin(locked: &Locked<'_>, meta: &mut Meta, owner: PinOwner, pin: &[u8]) -> Result<TokenKeys> {
    let failures = meta.failures(owner);
    ensure(failures < PIN_TRIES_MAX, CKR_PIN_LOCKED)?;
    meta.set_failures(owner, failures + 1);
    locked.write_meta(meta)?;
    let keys = meta.unseal(owner, pin)?.ok_or(Rv(CKR_PIN_INCORRECT))?;
    meta.set_failures(owner, 0);
    locked.write_meta(meta)?;
    Ok(keys)
}
