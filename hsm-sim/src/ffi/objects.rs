//! Objects (PKCS#11 2.40 §5.7).

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CK_ULONG, CKR_ARGUMENTS_BAD, CKR_OPERATION_NOT_INITIALIZED,
};

use super::{
    attributes::{read_all, search_template, template},
    entry,
    faults::{named, plan, told},
    memory::write,
    session,
};
use crate::{
    api::objects,
    rv::{Rv, ensure},
};

/// Handles of one C_FindObjects call.
const FOUND_MAX: CK_ULONG = 1 << 20;

entry! {
    /// C_CreateObject (§5.7).
    C_CreateObject: fn create_object(
        handle: CK_SESSION_HANDLE,
        list: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
        object: *mut CK_OBJECT_HANDLE,
    ) {
        let session = session(handle)?;
        ensure(!object.is_null(), CKR_ARGUMENTS_BAD)?;
        write(object, told(objects::create(&session, template(list, count)?)?))
    }
}

entry! {
    /// C_CopyObject (§5.7).
    C_CopyObject: fn copy_object(
        handle: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        list: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
        copy: *mut CK_OBJECT_HANDLE,
    ) {
        let session = session(handle)?;
        ensure(!copy.is_null(), CKR_ARGUMENTS_BAD)?;
        write(copy, told(objects::copy(&session, named(object), &template(list, count)?)?))
    }
}

entry! {
    /// C_DestroyObject (§5.7).
    C_DestroyObject: fn destroy_object(handle: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) {
        objects::destroy(&*session(handle)?, named(object))
    }
}

entry! {
    /// C_GetObjectSize (§5.7).
    C_GetObjectSize: fn object_size(handle: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, size: *mut CK_ULONG) {
        write(size, session(handle)?.token().object(object)?.size() as CK_ULONG)
    }
}

entry! {
    /// C_GetAttributeValue (§5.7).
    C_GetAttributeValue: fn attribute_value(
        handle: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        list: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
    ) {
        let object = session(handle)?.token().object(named(object))?;
        read_all(&object, list, count)
    }
}

entry! {
    /// C_SetAttributeValue (§5.7).
    C_SetAttributeValue: fn set_attribute_value(
        handle: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        list: *mut CK_ATTRIBUTE,
        count: CK_ULONG,
    ) {
        objects::set_attributes(&*session(handle)?, named(object), &template(list, count)?)
    }
}

entry! {
    /// C_FindObjectsInit (§5.7).
    C_FindObjectsInit: fn find_objects_init(handle: CK_SESSION_HANDLE, list: *mut CK_ATTRIBUTE, count: CK_ULONG) {
        let session = session(handle)?;
        objects::find(&session, search_template(list, count)?.as_ref())
    }
}

entry! {
    /// C_FindObjects (§5.7).
    C_FindObjects: fn find_objects(
        handle: CK_SESSION_HANDLE,
        found: *mut CK_OBJECT_HANDLE,
        room: CK_ULONG,
        count: *mut CK_ULONG,
    ) {
        let session = session(handle)?;
        ensure((!found.is_null() || room == 0) && !count.is_null(), CKR_ARGUMENTS_BAD)?;
        let mut work = session.work();
        let rest = work.find.as_mut().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
        let room = room.min(FOUND_MAX) as usize;
        let mut list: Vec<_> = rest.by_ref().take(room).collect();
        if let Some(plan) = plan() {
            plan.found(&mut list, room);
        }
        for (at, object) in list.iter().enumerate() {
            found.add(at).write_unaligned(*object);
        }
        write(count, list.len() as CK_ULONG)
    }
}

entry! {
    /// C_FindObjectsFinal (§5.7).
    C_FindObjectsFinal: fn find_objects_final(handle: CK_SESSION_HANDLE) {
        let ended = session(handle)?.work().find.take();
        ensure(ended.is_some(), CKR_OPERATION_NOT_INITIALIZED)
    }
}
