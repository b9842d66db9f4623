//! Object management (PKCS#11 2.40 §5.7).

use std::sync::Arc;

use cryptoki_sys::{
    CK_OBJECT_HANDLE, CK_ULONG, CKA_CHECK_VALUE, CKA_EC_PARAMS, CKA_EC_POINT, CKA_VALUE_LEN, CKR_ACTION_PROHIBITED,
    CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_VALUE_INVALID, CKR_CURVE_NOT_SUPPORTED, CKR_KEY_HANDLE_INVALID,
    CKR_OPERATION_ACTIVE, CKR_SESSION_READ_ONLY, CKR_TEMPLATE_INCOMPLETE, CKR_TEMPLATE_INCONSISTENT,
    CKR_USER_NOT_LOGGED_IN,
};

use crate::{
    attribute::{Attrs, Flags, Value},
    mechanism::sm2,
    object::Object,
    profile::KeyKind,
    rules::{
        Role,
        build::{Origin, ensure_length, settle},
        change,
        shape::Class,
    },
    rv::{Result, Rv, ensure},
    secret::Secret,
    session::Session,
};

/// C_CreateObject.
pub(crate) fn create(session: &Session, template: Attrs) -> Result<CK_OBJECT_HANDLE> {
    let caller = session.caller();
    let mut attrs = template;
    let value = attrs.take_value();
    let stated_length = attrs.remove(CKA_VALUE_LEN);
    let stated_check = attrs.remove(CKA_CHECK_VALUE);
    let class = Class::of(&attrs, caller.profile)?;
    match (class, &value) {
        (Class::Data, _) | (Class::Public(_), None) => {}
        (Class::Public(_), Some(_)) => return Err(Rv(CKR_ATTRIBUTE_TYPE_INVALID)),
        (Class::Private(kind) | Class::Secret(kind), Some(value)) => ensure_length(kind, value.len())?,
        (Class::Private(_) | Class::Secret(_), None) => return Err(Rv(CKR_TEMPLATE_INCOMPLETE)),
    }
    let mut attrs = settle(attrs, &Origin::Created, caller)?;
    match class {
        Class::Data => attrs.set_value(value.unwrap_or_else(|| Arc::new(Secret::copy_of(&[])))),
        Class::Public(_) => {
            let given = attrs.bytes(CKA_EC_POINT).ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
            let point = sm2::parse_point(given)?;
            put_curve(&mut attrs, &point)?;
        }
        Class::Private(_) => {
            let value = value.ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
            let point = sm2::point_of_private(&value)?;
            let given = attrs.bytes(CKA_EC_POINT).map(sm2::parse_point).transpose()?;
            ensure(given.is_none_or(|given| given == point), CKR_TEMPLATE_INCONSISTENT)?;
            put_curve(&mut attrs, &point)?;
            attrs.set_value(value);
        }
        Class::Secret(_) => {
            let value = value.ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
            let length = value.len() as CK_ULONG;
            ensure(stated_length.is_none_or(|stated| stated == Value::Number(length)), CKR_TEMPLATE_INCONSISTENT)?;
            attrs.put(CKA_VALUE_LEN, Value::Number(length));
            attrs.set_value(value);
        }
    }
    add(session, attrs, stated_check)
}

/// Adds an object whose caller may have stated the check value that its key must have.
pub(crate) fn add(session: &Session, attrs: Attrs, stated_check: Option<Value>) -> Result<CK_OBJECT_HANDLE> {
    if let Some(Value::Bytes(stated)) = stated_check
        && !stated.is_empty()
    {
        let home = crate::object::Home::Session { session: 0, login: 0 };
        let made = Object::new(attrs.clone(), home, session.caller().profile).check_value();
        ensure(made.ok_or(Rv(CKR_ATTRIBUTE_TYPE_INVALID))? == *stated, CKR_ATTRIBUTE_VALUE_INVALID)?;
    }
    session.token().add(attrs, session.handle())
}

/// States the curve and the point of an SM2 key.
pub(crate) fn put_curve(attrs: &mut Attrs, point: &[u8; sm2::POINT_BYTES]) -> Result<()> {
    ensure_curve(attrs)?;
    attrs.put(CKA_EC_PARAMS, Value::Bytes(sm2::EC_PARAMS.into()));
    attrs.put(CKA_EC_POINT, Value::Bytes(sm2::der_point(point)));
    Ok(())
}

/// Refuses every curve but the one of GM/T 0003.5.
pub(crate) fn ensure_curve(attrs: &Attrs) -> Result<()> {
    let stated = attrs.bytes(CKA_EC_PARAMS);
    ensure(stated.is_none_or(|stated| stated == sm2::EC_PARAMS), CKR_CURVE_NOT_SUPPORTED)
}

/// C_CopyObject.
pub(crate) fn copy(session: &Session, handle: CK_OBJECT_HANDLE, changes: &Attrs) -> Result<CK_OBJECT_HANDLE> {
    let object = session.token().object(handle)?;
    let attrs = change::copied(&object, changes, session.caller())?;
    if object.is_secret_or_private_key() {
        object.secret()?;
    }
    session.token().add(attrs, session.handle())
}

/// C_DestroyObject. Who may not see an object cannot destroy it; a read-only session destroys session objects only.
pub(crate) fn destroy(session: &Session, handle: CK_OBJECT_HANDLE) -> Result<()> {
    let caller = session.caller();
    session.token().destroy(handle, |object| {
        ensure(caller.read_write || !object.is(Flags::TOKEN), CKR_SESSION_READ_ONLY)?;
        ensure(caller.role != Role::Public || !object.is(Flags::TOKEN), CKR_USER_NOT_LOGGED_IN)?;
        ensure(object.is(Flags::DESTROYABLE), CKR_ACTION_PROHIBITED)
    })
}

/// C_SetAttributeValue.
pub(crate) fn set_attributes(session: &Session, handle: CK_OBJECT_HANDLE, changes: &Attrs) -> Result<()> {
    let caller = session.caller();
    session.token().modify(handle, |object| {
        ensure(caller.read_write || !object.is(Flags::TOKEN), CKR_SESSION_READ_ONLY)?;
        change::modified(object, changes, caller)
    })
}

/// C_FindObjectsInit. Without a template that any object could fit, nothing is found.
pub(crate) fn find(session: &Session, template: Option<&Attrs>) -> Result<()> {
    let mut work = session.work();
    ensure(work.find.is_none(), CKR_OPERATION_ACTIVE)?;
    let found = template.map(|template| session.token().find(template)).transpose()?;
    work.find = Some(found.unwrap_or_default().into_iter());
    Ok(())
}

/// The kind of a key object, or the error for "this is not a key".
pub(crate) fn kind_of_key(object: &Object) -> Result<KeyKind> {
    object.key_kind().ok_or(Rv(CKR_KEY_HANDLE_INVALID))
}
