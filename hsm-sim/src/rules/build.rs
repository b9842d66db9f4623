//! From a caller's template to the attributes of a new object (PKCS#11 2.40 §4.1, §4.9, §4.10).
//!
//! Guards: nothing is granted to a derived or unwrapped key that the template pinned on its base does not grant, and
//! created or unwrapped keys never wrap.

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_KEY_TYPE, CK_MECHANISM_TYPE, CK_ULONG, CK_UNAVAILABLE_INFORMATION, CKA_APPLICATION,
    CKA_CLASS, CKA_DERIVE_TEMPLATE, CKA_ID, CKA_KEY_GEN_MECHANISM, CKA_KEY_TYPE, CKA_LABEL, CKA_OBJECT_ID,
    CKA_UNWRAP_TEMPLATE, CKA_VALUE_LEN, CKA_WRAP_TEMPLATE, CKA_WRAP_WITH_TRUSTED, CKO_SECRET_KEY,
    CKR_ATTRIBUTE_READ_ONLY, CKR_ATTRIBUTE_VALUE_INVALID, CKR_SESSION_READ_ONLY, CKR_TEMPLATE_INCONSISTENT,
    CKR_USER_NOT_LOGGED_IN,
};

use crate::{
    attribute::{Attrs, Flags, Value},
    object::Object,
    profile::{KeyKind, Profile},
    rules::{
        Caller, Role,
        shape::{Class, ensure_one_purpose, ensure_pins},
    },
    rv::{Result, Rv, ensure},
};

/// Bytes of an SM4 key, and of one of the SM1 stand-in.
pub(crate) const BLOCK_KEY_BYTES: usize = 16;
/// Bytes of an SM2 private key.
pub(crate) const SM2_KEY_BYTES: usize = 32;
/// Bytes of a generic secret or HMAC key that the token takes.
pub(crate) const GENERIC_BYTES_MAX: usize = 512;

/// How a new object comes to be.
pub(crate) enum Origin<'a> {
    /// C_CreateObject.
    Created,
    /// C_GenerateKey or C_GenerateKeyPair, with the number of the mechanism.
    Generated(CK_MECHANISM_TYPE),
    /// C_DeriveKey from these keys; all of them have the same DERIVE_TEMPLATE.
    Derived(&'a [&'a Object]),
    /// C_UnwrapKey.
    Unwrapped(&'a Object),
}

impl Origin<'_> {
    fn pins(&self) -> Option<&Attrs> {
        match self {
            Self::Created | Self::Generated(_) => None,
            Self::Derived(bases) => bases.first()?.attrs().template(CKA_DERIVE_TEMPLATE).map(AsRef::as_ref),
            Self::Unwrapped(by) => by.attrs().template(CKA_UNWRAP_TEMPLATE).map(AsRef::as_ref),
        }
    }

    fn any_base_sensitive(&self) -> bool {
        matches!(self, Self::Derived(bases) if bases.iter().any(|base| base.is(Flags::SENSITIVE)))
    }
}

/// Settles every attribute of a new object except CKA_VALUE of a key, which comes next.
pub(crate) fn settle(mut attrs: Attrs, origin: &Origin<'_>, caller: Caller) -> Result<Attrs> {
    ensure(!attrs.known().touches(Flags::READ_ONLY), CKR_ATTRIBUTE_READ_ONLY)?;
    ensure(attrs.get(CKA_KEY_GEN_MECHANISM).is_none(), CKR_ATTRIBUTE_READ_ONLY)?;
    let from_outside = matches!(origin, Origin::Created);
    ensure(from_outside || attrs.value().is_none(), CKR_ATTRIBUTE_READ_ONLY)?;

    let pins = origin.pins();
    if let Some(pins) = pins {
        attrs.lay_over(pins)?;
    }
    let class = Class::of(&attrs, caller.profile)?;
    class.ensure_fits(&attrs)?;
    match origin {
        Origin::Derived(_) => grant_only(&mut attrs, pins, caller.profile)?,
        Origin::Unwrapped(_) if pins.is_some() => grant_only(&mut attrs, pins, caller.profile)?,
        Origin::Unwrapped(_) => confine_unwrapped(&mut attrs, caller.profile)?,
        Origin::Created => {
            ensure(!(matches!(class, Class::Secret(_)) && attrs.is(Flags::WRAP)), CKR_TEMPLATE_INCONSISTENT)?
        }
        Origin::Generated(_) => {}
    }
    fill_defaults(&mut attrs, class, origin);

    ensure(!origin.any_base_sensitive() || attrs.is(Flags::SENSITIVE), CKR_TEMPLATE_INCONSISTENT)?;
    // No key asks for a fresh PIN here; accepting the flag would promise a check that is not made.
    ensure(!attrs.is(Flags::ALWAYS_AUTHENTICATE), CKR_TEMPLATE_INCONSISTENT)?;
    ensure_one_purpose(attrs.on())?;
    ensure_pins(&attrs, from_outside)?;
    ensure_home(&attrs, caller)?;
    Ok(attrs)
}

/// Refuses objects that this caller may not make, whatever they are.
pub(crate) fn ensure_home(attrs: &Attrs, caller: Caller) -> Result<()> {
    let private = attrs.is(Flags::PRIVATE);
    let token = attrs.is(Flags::TOKEN);
    ensure(caller.role == Role::User || !private, CKR_USER_NOT_LOGGED_IN)?;
    ensure(caller.role != Role::Public || !token, CKR_USER_NOT_LOGGED_IN)?;
    ensure(caller.read_write || !token, CKR_SESSION_READ_ONLY)?;
    // Only the SO makes a key trusted, and only where everybody can see it (PKCS#11 2.40 §4.1, footnote 10).
    ensure(!attrs.is(Flags::TRUSTED) || caller.role == Role::So, CKR_ATTRIBUTE_READ_ONLY)?;
    ensure(!(attrs.is(Flags::TRUSTED) && private), CKR_TEMPLATE_INCONSISTENT)
}

/// A derived key, or one unwrapped by a key with UNWRAP_TEMPLATE: what is not pinned has its secure value.
fn grant_only(attrs: &mut Attrs, pins: Option<&Attrs>, profile: &Profile) -> Result<()> {
    let nothing = Attrs::default();
    let pins = pins.unwrap_or(&nothing);
    // Where no template can be pinned, the caller decides whether the key may leave: nobody else could.
    let unpinnable = profile.lacks(CKA_DERIVE_TEMPLATE);
    let granting = if unpinnable { Flags::USES } else { Flags::USES.with(Flags::EXTRACTABLE) };
    ensure(pins.on().has(attrs.on().common(granting)), CKR_TEMPLATE_INCONSISTENT)?;
    let unpinned = |flag| attrs.flag(flag) == Some(false) && pins.flag(flag) != Some(false);
    ensure(!unpinned(Flags::SENSITIVE), CKR_TEMPLATE_INCONSISTENT)?;
    let trusting = !profile.lacks(CKA_WRAP_WITH_TRUSTED);
    ensure(!(unpinned(Flags::WRAP_WITH_TRUSTED) && attrs.is(Flags::EXTRACTABLE)), CKR_TEMPLATE_INCONSISTENT)?;
    // A nested template chosen by the caller would decide what the next generation may do.
    for attribute in [CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_DERIVE_TEMPLATE] {
        ensure(attrs.get(attribute).is_none() || pins.get(attribute).is_some(), CKR_TEMPLATE_INCONSISTENT)?;
    }
    if trusting && attrs.is(Flags::EXTRACTABLE) && attrs.flag(Flags::WRAP_WITH_TRUSTED).is_none() {
        attrs.set(Flags::WRAP_WITH_TRUSTED, true);
    }
    Ok(())
}

/// A key unwrapped by a key without UNWRAP_TEMPLATE: nobody vouched for what it is.
fn confine_unwrapped(attrs: &mut Attrs, profile: &Profile) -> Result<()> {
    // Where no template can be pinned, masters could not arrive otherwise.
    let unpinnable = profile.lacks(CKA_UNWRAP_TEMPLATE) && profile.lacks(CKA_DERIVE_TEMPLATE);
    let refused = if unpinnable { Flags::WRAP } else { Flags::WRAP.with(Flags::DERIVE) };
    ensure(!attrs.on().touches(refused), CKR_TEMPLATE_INCONSISTENT)?;
    ensure(attrs.flag(Flags::SENSITIVE) != Some(false), CKR_TEMPLATE_INCONSISTENT)?;
    for attribute in [CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_DERIVE_TEMPLATE] {
        ensure(attrs.get(attribute).is_none(), CKR_TEMPLATE_INCONSISTENT)?;
    }
    if attrs.is(Flags::EXTRACTABLE) && !profile.lacks(CKA_WRAP_WITH_TRUSTED) {
        ensure(attrs.flag(Flags::WRAP_WITH_TRUSTED) != Some(false), CKR_TEMPLATE_INCONSISTENT)?;
        attrs.set(Flags::WRAP_WITH_TRUSTED, true);
    }
    Ok(())
}

fn fill_defaults(attrs: &mut Attrs, class: Class, origin: &Origin<'_>) {
    let holds_secret = matches!(class, Class::Secret(_) | Class::Private(_));
    let mut on = Flags::MODIFIABLE.with(Flags::COPYABLE).with(Flags::DESTROYABLE).with(Flags::SENSITIVE);
    if holds_secret {
        on = on.with(Flags::PRIVATE);
    }
    let absent = class.flags().without(attrs.known());
    attrs.set_all(absent, on.common(absent));
    if attrs.get(CKA_LABEL).is_none() {
        attrs.put(CKA_LABEL, Value::Bytes(Box::default()));
    }
    if class == Class::Data {
        for attribute in [CKA_APPLICATION, CKA_OBJECT_ID] {
            if attrs.get(attribute).is_none() {
                attrs.put(attribute, Value::Bytes(Box::default()));
            }
        }
        return;
    }
    if attrs.get(CKA_ID).is_none() {
        attrs.put(CKA_ID, Value::Bytes(Box::default()));
    }
    let (local, mechanism) = match origin {
        Origin::Generated(mechanism) => (true, *mechanism),
        _ => (false, CK_UNAVAILABLE_INFORMATION),
    };
    attrs.set(Flags::LOCAL, local);
    attrs.put(CKA_KEY_GEN_MECHANISM, Value::Number(mechanism));
    if holds_secret {
        let (was_sensitive, was_kept) = match origin {
            Origin::Generated(_) => (true, true),
            Origin::Derived(bases) => (
                bases.iter().all(|base| base.is(Flags::ALWAYS_SENSITIVE)),
                bases.iter().all(|base| base.is(Flags::NEVER_EXTRACTABLE)),
            ),
            Origin::Created | Origin::Unwrapped(_) => (false, false),
        };
        let (sensitive, extractable) = (attrs.is(Flags::SENSITIVE), attrs.is(Flags::EXTRACTABLE));
        attrs.set(Flags::ALWAYS_SENSITIVE, was_sensitive && sensitive);
        attrs.set(Flags::NEVER_EXTRACTABLE, was_kept && !extractable);
    }
}

/// Refuses key lengths that the type does not have.
pub(crate) fn ensure_length(kind: KeyKind, bytes: usize) -> Result<()> {
    let fits = match kind {
        KeyKind::Sm4 | KeyKind::Sm1 => bytes == BLOCK_KEY_BYTES,
        KeyKind::Sm2 => bytes == SM2_KEY_BYTES,
        KeyKind::Generic | KeyKind::HmacSm3 => (1..=GENERIC_BYTES_MAX).contains(&bytes),
    };
    ensure(fits, CKR_ATTRIBUTE_VALUE_INVALID)
}

/// Length and type of a key to be derived: pinned, or exactly those of `usual`. Short children would give the key away
/// byte by byte through their check values.
pub(crate) fn derived_shape(caller_template: &mut Attrs, base: &Object, usual: (CK_KEY_TYPE, usize)) -> Result<usize> {
    let pins = base.attrs().template(CKA_DERIVE_TEMPLATE);
    let pinned = |attribute| pins.and_then(|pins| pins.number(attribute));
    let wanted = [
        (CKA_CLASS, CKO_SECRET_KEY),
        (CKA_KEY_TYPE, pinned(CKA_KEY_TYPE).unwrap_or(usual.0)),
        (CKA_VALUE_LEN, pinned(CKA_VALUE_LEN).unwrap_or(usual.1 as CK_ULONG)),
    ];
    for (attribute, number) in wanted {
        let stated = caller_template.number(attribute);
        ensure(stated.is_none_or(|stated| stated == number), CKR_TEMPLATE_INCONSISTENT)?;
        caller_template.put(attribute, Value::Number(number));
    }
    usize::try_from(wanted[2].1).map_err(|_| Rv(CKR_TEMPLATE_INCONSISTENT))
}

/// States `attribute`, or refuses a template that says otherwise.
pub(crate) fn require(attrs: &mut Attrs, attribute: CK_ATTRIBUTE_TYPE, number: CK_ULONG) -> Result<()> {
    match attrs.number(attribute) {
        Some(stated) => ensure(stated == number, CKR_TEMPLATE_INCONSISTENT),
        None => {
            attrs.put(attribute, Value::Number(number));
            Ok(())
        }
    }
}

/// States the key type `kind`, or refuses a template that states another. A vendor may have two numbers for one type.
pub(crate) fn require_kind(attrs: &mut Attrs, kind: KeyKind, profile: &Profile) -> Result<()> {
    match attrs.number(CKA_KEY_TYPE) {
        Some(stated) => ensure(profile.key_kind(stated) == Some(kind), CKR_TEMPLATE_INCONSISTENT),
        None => {
            attrs.put(CKA_KEY_TYPE, Value::Number(profile.key_type(kind)));
            Ok(())
        }
    }
}
