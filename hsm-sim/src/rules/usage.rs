//! What a key may be used for, and which key may leave under which.

use cryptoki_sys::{
    CK_MECHANISM_TYPE, CKA_DERIVE_TEMPLATE, CKA_TRUSTED, CKA_WRAP_TEMPLATE, CKO_SECRET_KEY,
    CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_KEY_NOT_WRAPPABLE, CKR_KEY_UNEXTRACTABLE, CKR_MECHANISM_INVALID,
};

use crate::{
    attribute::Flags,
    object::Object,
    profile::{Mech, Profile},
    rv::{Result, ensure},
};

/// Refuses a use that the key's flags or CKA_ALLOWED_MECHANISMS do not grant.
pub(crate) fn ensure_use(key: &Object, usage: Flags, number: CK_MECHANISM_TYPE) -> Result<()> {
    ensure(key.is(usage), CKR_KEY_FUNCTION_NOT_PERMITTED)?;
    let allowed = key.attrs().allowed_mechanisms();
    ensure(allowed.is_none_or(|list| list.contains(&number)), CKR_MECHANISM_INVALID)
}

/// Refuses to let `target` leave under `wrapper`.
pub(crate) fn ensure_wrappable(wrapper: &Object, target: &Object, profile: &Profile) -> Result<()> {
    ensure(target.class() == CKO_SECRET_KEY, CKR_KEY_NOT_WRAPPABLE)?;
    ensure(target.is(Flags::EXTRACTABLE), CKR_KEY_UNEXTRACTABLE)?;
    // Where nobody can be trusted formally, any wrapping key takes any extractable key.
    let trusted = wrapper.is(Flags::TRUSTED) || profile.lacks(CKA_TRUSTED);
    ensure(trusted || !target.is(Flags::WRAP_WITH_TRUSTED), CKR_KEY_NOT_WRAPPABLE)?;
    // A wrapping key that somebody outside may know gives every sensitive key to them: only the SO's trust helps. That
    // holds for every public key too: its private half may be readable, or may have come from outside.
    let known_outside = !wrapper.is(Flags::LOCAL) || !wrapper.is(Flags::ALWAYS_SENSITIVE);
    ensure(trusted || !(target.is(Flags::SENSITIVE) && known_outside), CKR_KEY_NOT_WRAPPABLE)?;
    let template = wrapper.attrs().template(CKA_WRAP_TEMPLATE);
    ensure(template.is_none_or(|template| target.matches(template)), CKR_KEY_NOT_WRAPPABLE)
}

/// Refuses derivation by encryption from a base that could also decrypt its children, or that does not pin them.
pub(crate) fn ensure_encrypt_data_base(base: &Object, profile: &Profile) -> Result<()> {
    let other_uses = Flags::USES.without(Flags::DERIVE);
    ensure(!base.attrs().on().touches(other_uses), CKR_KEY_FUNCTION_NOT_PERMITTED)?;
    let guarded = base.is(Flags::SENSITIVE) || !base.is(Flags::EXTRACTABLE);
    let pinned = base.attrs().template(CKA_DERIVE_TEMPLATE).is_some() || profile.lacks(CKA_DERIVE_TEMPLATE);
    ensure(pinned || !guarded, CKR_KEY_FUNCTION_NOT_PERMITTED)
}

/// Is this a component key: usable for XOR_KEYS and nothing else, with its result pinned?
pub(crate) fn ensure_component(key: &Object, profile: &Profile) -> Result<()> {
    let only_xor = key.attrs().allowed_mechanisms() == Some(&[profile.number(Mech::XorKeys)]);
    let pinned = key.attrs().template(CKA_DERIVE_TEMPLATE).is_some();
    let other_uses = Flags::USES.without(Flags::DERIVE);
    let single = key.is(Flags::DERIVE) && !key.attrs().on().touches(other_uses);
    ensure(only_xor && pinned && single && key.class() == CKO_SECRET_KEY, CKR_KEY_FUNCTION_NOT_PERMITTED)
}
