//! Reading the vector files.

use serde_json::Value;

pub(crate) fn sm2() -> Value {
    parse(include_str!("../vectors/sm2.json"))
}

pub(crate) fn sm3() -> Value {
    parse(include_str!("../vectors/sm3.json"))
}

pub(crate) fn diversification() -> Value {
    parse(include_str!("../vectors/diversification.json"))
}

/// The element with this `id`.
#[track_caller]
pub(crate) fn by_id<'a>(list: &'a Value, id: &str) -> &'a Value {
    list.as_array().unwrap().iter().find(|case| case["id"] == id).unwrap()
}

#[track_caller]
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(text(value)).unwrap()
}

#[track_caller]
pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

#[track_caller]
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[track_caller]
pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[track_caller]
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn parse(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}
