//! CK_ATTRIBUTE arrays: templates in, values out (PKCS#11 2.40 §4, §5.7).

use std::sync::Arc;

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_ATTRIBUTE_TYPE, CK_FALSE, CK_TRUE, CK_ULONG, CK_UNAVAILABLE_INFORMATION, CKA_CHECK_VALUE,
    CKR_ARGUMENTS_BAD, CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_VALUE_INVALID, CKR_BUFFER_TOO_SMALL,
    CKR_GENERAL_ERROR, CKR_TEMPLATE_INCONSISTENT,
};

use super::{
    faults::plan,
    memory::{input, read},
    module,
};
use crate::{
    attribute::{ATTRIBUTES_MAX, Attrs, Kind, MECHANISMS_MAX, TEMPLATE_DEPTH_MAX, VALUE_BYTES_MAX, Value, kind_of},
    object::{Object, Reading},
    rv::{Result, Rv, ensure},
    secret::Secret,
};

/// Reads a template. An attribute that the token does not know is refused.
pub(super) unsafe fn template(list: *const CK_ATTRIBUTE, count: CK_ULONG) -> Result<Attrs> {
    // SAFETY: passed on.
    unsafe { template_at_depth(list, count, 0) }
}

/// The encoding of an attribute, unless the token does not know it, or the vendor's tokens do not.
fn known(attribute: CK_ATTRIBUTE_TYPE) -> Result<Kind> {
    ensure(!module()?.profile().lacks(attribute), CKR_ATTRIBUTE_TYPE_INVALID)?;
    kind_of(attribute).ok_or(Rv(CKR_ATTRIBUTE_TYPE_INVALID))
}

unsafe fn template_at_depth(list: *const CK_ATTRIBUTE, count: CK_ULONG, depth: usize) -> Result<Attrs> {
    ensure(depth <= TEMPLATE_DEPTH_MAX, CKR_TEMPLATE_INCONSISTENT)?;
    ensure(count <= ATTRIBUTES_MAX as CK_ULONG, CKR_TEMPLATE_INCONSISTENT)?;
    ensure(count == 0 || !list.is_null(), CKR_ARGUMENTS_BAD)?;
    let mut attrs = Attrs::default();
    for at in 0..count as usize {
        // SAFETY: the caller vouches for `count` entries.
        unsafe {
            let attribute = read(list.add(at))?;
            state(&mut attrs, &attribute, depth)?;
        }
    }
    Ok(attrs)
}

unsafe fn state(attrs: &mut Attrs, attribute: &CK_ATTRIBUTE, depth: usize) -> Result<()> {
    let invalid = Rv(CKR_ATTRIBUTE_VALUE_INVALID);
    let kind = known(attribute.type_)?;
    ensure(attribute.ulValueLen <= VALUE_BYTES_MAX as CK_ULONG, CKR_ATTRIBUTE_VALUE_INVALID)?;
    if let Kind::Template = kind {
        let entry = size_of::<CK_ATTRIBUTE>() as CK_ULONG;
        ensure(attribute.ulValueLen.is_multiple_of(entry), CKR_ATTRIBUTE_VALUE_INVALID)?;
        let count = attribute.ulValueLen / entry;
        // SAFETY: the caller vouches for `ulValueLen` bytes of attributes.
        let nested = unsafe { template_at_depth(attribute.pValue.cast(), count, depth + 1)? };
        return attrs.state(attribute.type_, Value::Template(Arc::new(nested)));
    }
    // SAFETY: the caller vouches for `ulValueLen` bytes.
    let bytes = unsafe { input(attribute.pValue.cast(), attribute.ulValueLen) }.map_err(|_| invalid)?;
    match kind {
        Kind::Flag(flag) => match bytes {
            [CK_FALSE] => attrs.state_flag(flag, false),
            [CK_TRUE] => attrs.state_flag(flag, true),
            _ => Err(invalid),
        },
        Kind::Number => {
            let number = bytes.try_into().map(CK_ULONG::from_ne_bytes).map_err(|_| invalid)?;
            attrs.state(attribute.type_, Value::Number(number))
        }
        Kind::Bytes => attrs.state(attribute.type_, Value::Bytes(bytes.into())),
        Kind::Value => attrs.state_value(Secret::copy_of(bytes)),
        Kind::Mechanisms => {
            let (numbers, trailing) = bytes.as_chunks::<8>();
            ensure(trailing.is_empty() && numbers.len() <= MECHANISMS_MAX, CKR_ATTRIBUTE_VALUE_INVALID)?;
            let mut list: Vec<_> = numbers.iter().map(|number| CK_ULONG::from_ne_bytes(*number)).collect();
            list.sort_unstable();
            list.dedup();
            attrs.state(attribute.type_, Value::Mechanisms(list.into()))
        }
        Kind::Template => Ok(()),
    }
}

/// Reads a search template. `None`: it names an attribute that the token does not know, or one twice, so nothing fits.
pub(super) unsafe fn search_template(list: *const CK_ATTRIBUTE, count: CK_ULONG) -> Result<Option<Attrs>> {
    // SAFETY: passed on.
    match unsafe { template(list, count) } {
        Ok(attrs) => Ok(Some(attrs)),
        Err(Rv(CKR_ATTRIBUTE_TYPE_INVALID | CKR_ATTRIBUTE_VALUE_INVALID | CKR_TEMPLATE_INCONSISTENT)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// C_GetAttributeValue: every attribute is looked at, and the answer names the last trouble that was met.
pub(super) unsafe fn read_all(object: &Object, list: *mut CK_ATTRIBUTE, count: CK_ULONG) -> Result<()> {
    ensure(count == 0 || !list.is_null(), CKR_ARGUMENTS_BAD)?;
    ensure(count <= ATTRIBUTES_MAX as CK_ULONG * 4, CKR_ARGUMENTS_BAD)?;
    let mut outcome = Ok(());
    for at in 0..count as usize {
        // SAFETY: the caller vouches for `count` entries.
        unsafe {
            let entry = list.add(at);
            let mut attribute = read(entry)?;
            let reading = known(attribute.type_).and_then(|kind| object.read(attribute.type_, kind));
            let answered = reading.and_then(|reading| answer(&mut attribute, &reading));
            if let Err(trouble) = answered {
                attribute.ulValueLen = CK_UNAVAILABLE_INFORMATION;
                outcome = Err(trouble);
            }
            entry.write_unaligned(attribute);
        }
    }
    outcome
}

unsafe fn answer(attribute: &mut CK_ATTRIBUTE, reading: &Reading<'_>) -> Result<()> {
    // SAFETY: the caller vouches for `ulValueLen` bytes at `pValue`, if it is not null.
    unsafe {
        match reading {
            Reading::Flag(on) => copy_out(attribute, &[u8::from(*on)]),
            Reading::Number(number) => copy_out(attribute, &number.to_ne_bytes()),
            Reading::Bytes(bytes) => copy_out(attribute, bytes),
            Reading::Owned(bytes) => copy_out(attribute, bytes),
            Reading::Mechanisms(list) => {
                let bytes: Vec<u8> = list.iter().flat_map(|number| number.to_ne_bytes()).collect();
                copy_out(attribute, &bytes)
            }
            Reading::Template(template) => write_template(attribute, template),
        }
    }
}

unsafe fn copy_out(attribute: &mut CK_ATTRIBUTE, bytes: &[u8]) -> Result<()> {
    let length = bytes.len() as CK_ULONG;
    if !attribute.pValue.is_null() {
        ensure(attribute.ulValueLen >= length, CKR_BUFFER_TOO_SMALL)?;
        // SAFETY: room for `length` bytes was just checked against what the caller vouches for.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), attribute.pValue.cast(), bytes.len()) };
    }
    attribute.ulValueLen = length;
    if let Some(plan) = plan().filter(|_| !attribute.pValue.is_null() && !bytes.is_empty()) {
        // SAFETY: the bytes were just written.
        let written = unsafe { std::slice::from_raw_parts_mut(attribute.pValue.cast(), bytes.len()) };
        if attribute.type_ == CKA_CHECK_VALUE {
            plan.check_value(written);
        }
        attribute.ulValueLen = plan.answer(written) as CK_ULONG;
    }
    Ok(())
}

/// A template is read in three rounds: the number of entries, their types and lengths (inner pointers null), their
/// values (PKCS#11 2.40 §5.7, C_GetAttributeValue).
unsafe fn write_template(attribute: &mut CK_ATTRIBUTE, template: &Attrs) -> Result<()> {
    let types: Vec<CK_ATTRIBUTE_TYPE> = template.types().collect();
    let length = (types.len() * size_of::<CK_ATTRIBUTE>()) as CK_ULONG;
    if attribute.pValue.is_null() {
        attribute.ulValueLen = length;
        return Ok(());
    }
    ensure(attribute.ulValueLen >= length, CKR_BUFFER_TOO_SMALL)?;
    let entries: *mut CK_ATTRIBUTE = attribute.pValue.cast();
    for (at, kind) in types.into_iter().enumerate() {
        // SAFETY: room for `types.len()` entries was just checked against what the caller vouches for.
        unsafe {
            let entry = entries.add(at);
            let mut inner = read(entry)?;
            inner.type_ = kind;
            let reading = template_reading(template, kind).ok_or(Rv(CKR_GENERAL_ERROR))?;
            let answered = answer(&mut inner, &reading);
            entry.write_unaligned(inner);
            answered?;
        }
    }
    attribute.ulValueLen = length;
    Ok(())
}

fn template_reading(template: &Attrs, attribute: CK_ATTRIBUTE_TYPE) -> Option<Reading<'_>> {
    if let Kind::Flag(flag) = kind_of(attribute)? {
        return template.flag(flag).map(Reading::Flag);
    }
    Some(match template.get(attribute)? {
        Value::Number(number) => Reading::Number(*number),
        Value::Bytes(bytes) => Reading::Bytes(bytes),
        Value::Mechanisms(list) => Reading::Mechanisms(list),
        Value::Template(nested) => Reading::Template(nested),
    })
}
