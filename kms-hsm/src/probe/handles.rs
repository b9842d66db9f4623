//! Attacks 22 to 24, on throw-away tokens only: stale handles, the PIN, forks.
//!
//! Guard: only reached with the SO PIN, which nobody has but the maker of a throw-away token.

use cryptoki::session::UserType;
use cryptoki::types::{AuthPin, RawAuthPin};
use cryptoki_sys::{CKA_CLASS, CKA_EXTRACTABLE, CKA_ID, CKA_TOKEN};
use kms_core::ports::PinState;
use kms_core::secret::Pin;

use super::bench::{Bench, Halt, Tried, need, no_scene};
use crate::fault::from_cryptoki;
use crate::module;
use crate::raw::{Encoded, Functions, Parameter};
use crate::template::Template;
use crate::vendor::Operation;

/// Wrong PINs tried before the token counts as one that never locks.
const TRIES: usize = 20;

/// A session object of a session that was closed.
pub(super) fn closed_session(bench: &mut Bench<'_>) -> Tried {
    let functions = bench.functions();
    let other = need("a second session", bench.token.second_session())?;
    let mechanism = bench.mechanism(Operation::KeyGen, Parameter::Nothing)?;
    let template = bench.secret(&[(CKA_EXTRACTABLE, true)]);
    let key = functions.generate_key(other.handle(), mechanism, &mut Encoded::of(&template));
    let key = need("a key of that session", key)?;
    drop(other);
    functions.bare_value(bench.session, key, CKA_CLASS)?;
    Ok("a key outlived its session".to_owned())
}

/// A private object's handle of the login before.
pub(super) fn login_before(bench: &mut Bench<'_>) -> Tried {
    let template = bench.secret(&[(CKA_EXTRACTABLE, true)]);
    let key = bench.scene_key("a key", &template)?;
    need("logging out", bench.token.log_out())?;
    let without_login = bench.functions().bare_value(bench.session, key, CKA_CLASS);
    need("logging in again", bench.token.log_in_again())?;
    without_login?;
    Ok("a private key was used after logout".to_owned())
}

/// The same, after the next login.
pub(super) fn login_after(bench: &mut Bench<'_>) -> Tried {
    let template = bench.secret(&[(CKA_EXTRACTABLE, true)]);
    let key = bench.scene_key("a key", &template)?;
    need("logging out", bench.token.log_out())?;
    need("logging in again", bench.token.log_in_again())?;
    bench.functions().bare_value(bench.session, key, CKA_CLASS)?;
    Ok("a handle of the login before came back to life".to_owned())
}

/// Uses session and key of this process in a child.
pub(super) fn fork(bench: &mut Bench<'_>) -> Tried {
    let template = bench.secret(&[(CKA_EXTRACTABLE, true)]);
    let key = bench.scene_key("a key", &template)?;
    let (functions, session) = (bench.functions(), bench.session);
    let used =
        need("a child process", Functions::in_forked_child(|| functions.bare_value(session, key, CKA_CLASS).is_ok()))?;
    match used {
        Some(true) => Ok("the child used its parent's session and key".to_owned()),
        Some(false) => {
            let detail = "the child's call was refused";
            Err(Halt::Refused(crate::fault::refused("C_GetAttributeValue", "CKR_CRYPTOKI_NOT_INITIALIZED", detail)))
        }
        None => Err(Halt::NoScene("the child hung in the module".to_owned())),
    }
}

/// Tries PINs until the token locks, then has the security officer unlock it.
pub(super) fn exhaust_pin(bench: &mut Bench<'_>, so_pin: &Pin) -> Tried {
    let id = [0x23; 16];
    let template = bench.secret(&[(CKA_TOKEN, true)]).bytes(CKA_ID, &id);
    no_scene("a token key", bench.generate(&template))?;
    need("logging out", bench.token.log_out())?;
    let session = need("a session", bench.token.second_session())?;
    let mut locked_after = None;
    for tries in 1..=TRIES {
        let wrong = RawAuthPin::new(Box::new(format!("wrong-{tries}").into_bytes()));
        let answer = session.login_with_raw(UserType::User, &wrong).map_err(from_cryptoki);
        if answer.is_err_and(|error| error.code == "CKR_PIN_LOCKED") {
            locked_after = Some(tries);
            break;
        }
    }
    let info = need("token flags", bench.token.info())?;
    let shown = module::user_pin_state(&info);
    let unlock = || -> cryptoki::error::Result<()> {
        let so = RawAuthPin::new(Box::new(so_pin.expose().to_vec()));
        session.login_with_raw(UserType::So, &so)?;
        let user = bench.token.pin_text().unwrap_or_default();
        session.init_pin(&AuthPin::new(user.into()))?;
        session.logout()
    };
    let unlocked = unlock().map_err(from_cryptoki);
    drop(session);
    let Some(tries) = locked_after else {
        need("logging in again", bench.token.log_in_again())?;
        return Ok(format!("{TRIES} wrong PINs and no lock"));
    };
    if let Err(error) = unlocked {
        return Ok(format!("the security officer cannot unlock: {} {}", error.function, error.code));
    }
    need("logging in with the PIN set anew", bench.token.log_in_again())?;
    let wanted = Template::default().bytes(CKA_ID, &id);
    let found = bench.functions().find(bench.session, &mut Encoded::of(&wanted), 2)?;
    for key in &found {
        bench.keep(*key);
    }
    if found.len() != 1 {
        return Ok("unlocking lost the user's keys".to_owned());
    }
    if shown != PinState::Locked {
        return Ok(format!("locked after {tries} tries, but the token's flags do not show it"));
    }
    let detail = format!("locked after {tries} tries, unlocked by the security officer");
    Err(Halt::Refused(crate::fault::refused("C_Login", "CKR_PIN_LOCKED", detail)))
}
