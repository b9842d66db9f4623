//! Later changes and copies: an object only ever loses rights (PKCS#11 2.40 §4.1, §5.7).

use cryptoki_sys::{
    CK_OBJECT_CLASS, CKA_APPLICATION, CKA_CHECK_VALUE, CKA_CLASS, CKA_END_DATE, CKA_ID, CKA_LABEL, CKA_OBJECT_ID,
    CKA_START_DATE, CKA_SUBJECT, CKR_ACTION_PROHIBITED, CKR_ATTRIBUTE_READ_ONLY,
};

use crate::{
    attribute::{Attrs, Flags, Value},
    object::Object,
    rules::{Caller, Role, shape::Class},
    rv::{Result, ensure},
};

/// Flags that may become TRUE, never FALSE again.
const STICKY_ON: Flags = Flags::SENSITIVE.with(Flags::WRAP_WITH_TRUSTED);
/// Flags that may become FALSE, never TRUE again.
const STICKY_OFF: Flags = Flags::EXTRACTABLE.with(Flags::COPYABLE).with(Flags::DESTROYABLE).with(Flags::USES);

/// C_SetAttributeValue: the attributes after the change.
pub(crate) fn modified(object: &Object, changes: &Attrs, caller: Caller) -> Result<Attrs> {
    let class = Class::of(object.attrs(), caller.profile)?;
    class.ensure_fits(changes)?;
    let only_trust = changes.known() == Flags::TRUSTED && changes.rest().is_empty() && changes.value().is_none();
    if only_trust {
        return trusted(object, changes, caller);
    }
    ensure(object.is(Flags::MODIFIABLE), CKR_ACTION_PROHIBITED)?;
    // The SO vouched for the object as it was; a user who relabels it would lend that trust to something else.
    ensure(caller.role == Role::So || !object.is(Flags::TRUSTED), CKR_ACTION_PROHIBITED)?;

    let mut after = object.attrs().clone();
    apply_flags(&mut after, changes, STICKY_ON, STICKY_OFF)?;
    for (attribute, value) in changes.rest() {
        let free = matches!(
            *attribute,
            CKA_LABEL | CKA_ID | CKA_SUBJECT | CKA_START_DATE | CKA_END_DATE | CKA_APPLICATION | CKA_OBJECT_ID
        );
        ensure(free || object.attrs().get(*attribute) == Some(value), CKR_ATTRIBUTE_READ_ONLY)?;
        after.put(*attribute, value.clone());
    }
    if let Some(value) = changes.value() {
        ensure(class == Class::Data, CKR_ATTRIBUTE_READ_ONLY)?;
        after.set_value(value.clone());
    }
    Ok(after)
}

/// CKA_TRUSTED is the SO's, also on objects that are not MODIFIABLE: trust is a statement about the object.
fn trusted(object: &Object, changes: &Attrs, caller: Caller) -> Result<Attrs> {
    let unchanged = object.is(Flags::TRUSTED) == changes.is(Flags::TRUSTED);
    ensure(unchanged || caller.role == Role::So, CKR_ATTRIBUTE_READ_ONLY)?;
    ensure(!object.is(Flags::PRIVATE), CKR_ATTRIBUTE_READ_ONLY)?;
    let mut after = object.attrs().clone();
    after.set(Flags::TRUSTED, changes.is(Flags::TRUSTED));
    Ok(after)
}

/// C_CopyObject: the attributes of the copy. A user's copy of a trusted key is not trusted.
pub(crate) fn copied(object: &Object, changes: &Attrs, caller: Caller) -> Result<Attrs> {
    ensure(object.is(Flags::COPYABLE), CKR_ACTION_PROHIBITED)?;
    let class = Class::of(object.attrs(), caller.profile)?;
    class.ensure_fits(changes)?;

    let mut copy = object.attrs().clone();
    copy.remove(CKA_CHECK_VALUE);
    if object.is(Flags::TRUSTED) && caller.role != Role::So {
        copy.set(Flags::TRUSTED, false);
    }
    let on = STICKY_ON.with(Flags::PRIVATE);
    apply_flags(&mut copy, changes, on.with(Flags::TOKEN), STICKY_OFF.with(Flags::MODIFIABLE).with(Flags::TOKEN))?;
    for (attribute, value) in changes.rest() {
        let free = matches!(*attribute, CKA_LABEL | CKA_ID | CKA_SUBJECT | CKA_START_DATE | CKA_END_DATE);
        ensure(free || object.attrs().get(*attribute) == Some(value), CKR_ATTRIBUTE_READ_ONLY)?;
        copy.put(*attribute, value.clone());
    }
    if let Some(value) = changes.value() {
        ensure(class == Class::Data, CKR_ATTRIBUTE_READ_ONLY)?;
        copy.set_value(value.clone());
    }
    super::build::ensure_home(&copy, caller)?;
    Ok(copy)
}

/// Takes over the flags of `changes`: those of `may_set` may become TRUE, those of `may_clear` FALSE, others stay.
fn apply_flags(after: &mut Attrs, changes: &Attrs, may_set: Flags, may_clear: Flags) -> Result<()> {
    let turned_on = changes.on().without(after.on());
    let turned_off = after.on().common(changes.known()).without(changes.on());
    ensure(may_set.has(turned_on) && may_clear.has(turned_off), CKR_ATTRIBUTE_READ_ONLY)?;
    after.set_all(changes.known(), changes.on());
    Ok(())
}

/// The (class, ID) under which the KMS finds an object, if it has one.
pub(crate) fn identity(attrs: &Attrs) -> Option<(CK_OBJECT_CLASS, &[u8])> {
    let id = attrs.bytes(CKA_ID).filter(|id| !id.is_empty())?;
    match attrs.get(CKA_CLASS) {
        Some(Value::Number(class)) => Some((*class, id)),
        _ => None,
    }
}
