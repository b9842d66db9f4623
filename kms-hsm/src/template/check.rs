//! Compares what a token shows of an object with its template.
//!
//! Used before anything found in a token is adopted, and right after making it: a token may ignore
//! an attribute without saying so. Guards: every attribute of the template is present and equal,
//! nested ones included; a difference names the attribute, never a value of key material.

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CKA_DERIVE_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_WRAP_TEMPLATE,
};
use kms_core::ports::HsmResult;
use zeroize::Zeroizing;

use super::{Template, Value};
use crate::fault::{refused, standard_name};
use crate::raw::Functions;
use crate::twice::unsteady;

/// Refuses the object unless it shows every attribute of `expected`.
pub(crate) fn check(
    functions: &Functions,
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    role: &str,
    expected: &Template,
) -> HsmResult<()> {
    for (kind, value) in expected.attributes() {
        let read = || -> HsmResult<Option<Value>> {
            Ok(match value {
                Value::Nested(_) => functions.nested(session, object, *kind)?.map(Value::Nested),
                _ => functions.value(session, object, *kind)?.map(|bytes| decode(value, Zeroizing::new(bytes))),
            })
        };
        let fits = |found: &Option<Value>| found.as_ref().is_some_and(|found| matches(value, found));
        let found = read()?;
        // An object is refused for what it is, not for what one reading made of it.
        if !fits(&found) && fits(&read()?) {
            return Err(unsteady("C_GetAttributeValue"));
        }
        match found {
            Some(found) if matches(value, &found) => {}
            Some(found) => {
                let detail = format!("{role}: {} is {} instead of {}", name(*kind), shown(&found), shown(value));
                return Err(refused("template", "ATTRIBUTE_DIFFERS", detail));
            }
            None => {
                let detail = format!("{role}: the token does not show {}", name(*kind));
                return Err(refused("template", "ATTRIBUTE_MISSING", detail));
            }
        }
    }
    Ok(())
}

/// Reads bytes as the type that is expected; other lengths stay bytes and so differ.
fn decode(expected: &Value, bytes: Zeroizing<Vec<u8>>) -> Value {
    match (expected, bytes.as_slice()) {
        (Value::Flag(_), [byte]) => Value::Flag(*byte != 0),
        (Value::Number(_), raw) if raw.len() == size_of::<u64>() => {
            number(raw).map_or(Value::Bytes(bytes), Value::Number)
        }
        (Value::Numbers(_), raw) if raw.len().is_multiple_of(size_of::<u64>()) => {
            Value::Numbers(raw.chunks_exact(size_of::<u64>()).filter_map(number).collect())
        }
        _ => Value::Bytes(bytes),
    }
}

fn number(raw: &[u8]) -> Option<u64> {
    raw.try_into().ok().map(u64::from_ne_bytes)
}

/// Nested templates may pin more than we asked for, never less.
fn matches(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Nested(expected), Value::Nested(found)) => expected.attributes().iter().all(|(kind, value)| {
            let shown = found.value(*kind);
            shown.is_some_and(|shown| match (value, shown) {
                (Value::Nested(_), _) => matches(value, shown),
                (_, Value::Bytes(bytes)) => *value == decode(value, bytes.clone()),
                _ => value == shown,
            })
        }),
        (Value::Numbers(expected), Value::Numbers(found)) => {
            expected.len() == found.len() && expected.iter().all(|number| found.contains(number))
        }
        _ => expected == found,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Flag(flag) => flag.to_string(),
        Value::Number(number) => format!("{number:#x}"),
        Value::Numbers(numbers) => format!("{numbers:#x?}").split_whitespace().collect(),
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Value::Nested(_) => "another template".to_owned(),
    }
}

/// The standard's name of an attribute of the tables.
fn name(kind: CK_ATTRIBUTE_TYPE) -> String {
    match (kind, cryptoki::object::AttributeType::try_from(kind)) {
        (CKA_DERIVE_TEMPLATE, _) => "CKA_DERIVE_TEMPLATE".to_owned(),
        (CKA_UNWRAP_TEMPLATE, _) => "CKA_UNWRAP_TEMPLATE".to_owned(),
        (CKA_WRAP_TEMPLATE, _) => "CKA_WRAP_TEMPLATE".to_owned(),
        (_, Ok(known)) => standard_name("CKA", &format!("{known:?}")),
        (other, Err(_)) => format!("attribute {other:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use cryptoki_sys::{CKA_ALLOWED_MECHANISMS, CKA_SENSITIVE, CKA_WRAP_WITH_TRUSTED};

    use super::*;

    #[test]
    fn attributes_have_their_standard_names() {
        assert_eq!(name(CKA_SENSITIVE), "CKA_SENSITIVE");
        assert_eq!(name(CKA_ALLOWED_MECHANISMS), "CKA_ALLOWED_MECHANISMS");
        assert_eq!(name(CKA_WRAP_WITH_TRUSTED), "CKA_WRAP_WITH_TRUSTED");
        assert_eq!(name(CKA_UNWRAP_TEMPLATE), "CKA_UNWRAP_TEMPLATE");
    }

    #[test]
    fn nested_templates_may_pin_more_but_not_less() {
        let pinned = Template::default().flag(CKA_SENSITIVE, true);
        let more = pinned.clone().flag(CKA_WRAP_WITH_TRUSTED, true);
        let nested = |template: &Template| Value::Nested(template.clone());
        assert!(matches(&nested(&pinned), &nested(&more)));
        assert!(!matches(&nested(&more), &nested(&pinned)));
        let other = Template::default().flag(CKA_SENSITIVE, false);
        assert!(!matches(&nested(&pinned), &nested(&other)));
        let raw = Template::default().bytes(CKA_SENSITIVE, &[1]);
        assert!(matches(&nested(&pinned), &nested(&raw)));
    }
}
