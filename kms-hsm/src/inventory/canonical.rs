//! One form of writing down an object's attributes, whatever the make: what the snapshot's digest is
//! taken over.
//!
//! Stored format (`docs/formats.md` §5): two audits are compared by it, years apart. Guards: every
//! attribute of the list has its place, there or not, so nothing can appear or vanish unseen; no
//! value of key material is on the list.

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_OBJECT_HANDLE, CK_ULONG, CKA_ALLOWED_MECHANISMS, CKA_ALWAYS_AUTHENTICATE,
    CKA_ALWAYS_SENSITIVE, CKA_APPLICATION, CKA_CHECK_VALUE, CKA_CLASS, CKA_COPYABLE, CKA_DECRYPT, CKA_DERIVE,
    CKA_DERIVE_TEMPLATE, CKA_DESTROYABLE, CKA_EC_PARAMS, CKA_EC_POINT, CKA_ENCRYPT, CKA_END_DATE, CKA_EXTRACTABLE,
    CKA_ID, CKA_KEY_GEN_MECHANISM, CKA_KEY_TYPE, CKA_LABEL, CKA_LOCAL, CKA_MODIFIABLE, CKA_MODULUS,
    CKA_NEVER_EXTRACTABLE, CKA_PRIVATE, CKA_PUBLIC_EXPONENT, CKA_SENSITIVE, CKA_SIGN, CKA_SIGN_RECOVER, CKA_START_DATE,
    CKA_TOKEN, CKA_TRUSTED, CKA_UNWRAP, CKA_UNWRAP_TEMPLATE, CKA_VALUE_LEN, CKA_VERIFY, CKA_VERIFY_RECOVER, CKA_WRAP,
    CKA_WRAP_TEMPLATE, CKA_WRAP_WITH_TRUSTED,
};
use kms_core::digest::Digest;
use kms_core::ports::HsmResult;

use crate::session::Token;
use crate::template::{Template, Value};

/// What is in front of everything.
const LABEL: &[u8] = b"KMS-TOKEN-SNAPSHOT/1";
/// Templates inside templates.
const DEPTH_MAX: usize = 8;

/// How a value is written.
#[derive(Clone, Copy)]
enum Shape {
    /// As the token shows it.
    Bytes,
    /// One byte, 00 or 01.
    Flag,
    /// Another list of attributes.
    Nested,
    /// Eight bytes, big-endian.
    Number,
    /// The same, sorted.
    Numbers,
}

/// The attributes, in the order of their numbers.
const LIST: [(CK_ATTRIBUTE_TYPE, Shape); 40] = [
    (CKA_CLASS, Shape::Number),
    (CKA_TOKEN, Shape::Flag),
    (CKA_PRIVATE, Shape::Flag),
    (CKA_LABEL, Shape::Bytes),
    (CKA_APPLICATION, Shape::Bytes),
    (CKA_TRUSTED, Shape::Flag),
    (CKA_CHECK_VALUE, Shape::Bytes),
    (CKA_KEY_TYPE, Shape::Number),
    (CKA_ID, Shape::Bytes),
    (CKA_SENSITIVE, Shape::Flag),
    (CKA_ENCRYPT, Shape::Flag),
    (CKA_DECRYPT, Shape::Flag),
    (CKA_WRAP, Shape::Flag),
    (CKA_UNWRAP, Shape::Flag),
    (CKA_SIGN, Shape::Flag),
    (CKA_SIGN_RECOVER, Shape::Flag),
    (CKA_VERIFY, Shape::Flag),
    (CKA_VERIFY_RECOVER, Shape::Flag),
    (CKA_DERIVE, Shape::Flag),
    (CKA_START_DATE, Shape::Bytes),
    (CKA_END_DATE, Shape::Bytes),
    (CKA_MODULUS, Shape::Bytes),
    (CKA_PUBLIC_EXPONENT, Shape::Bytes),
    (CKA_VALUE_LEN, Shape::Number),
    (CKA_EXTRACTABLE, Shape::Flag),
    (CKA_LOCAL, Shape::Flag),
    (CKA_NEVER_EXTRACTABLE, Shape::Flag),
    (CKA_ALWAYS_SENSITIVE, Shape::Flag),
    (CKA_KEY_GEN_MECHANISM, Shape::Number),
    (CKA_MODIFIABLE, Shape::Flag),
    (CKA_COPYABLE, Shape::Flag),
    (CKA_DESTROYABLE, Shape::Flag),
    (CKA_EC_PARAMS, Shape::Bytes),
    (CKA_EC_POINT, Shape::Bytes),
    (CKA_ALWAYS_AUTHENTICATE, Shape::Flag),
    (CKA_WRAP_WITH_TRUSTED, Shape::Flag),
    (CKA_WRAP_TEMPLATE, Shape::Nested),
    (CKA_UNWRAP_TEMPLATE, Shape::Nested),
    (CKA_DERIVE_TEMPLATE, Shape::Nested),
    (CKA_ALLOWED_MECHANISMS, Shape::Numbers),
];

/// SM3 over all objects: number of objects, then their digests in ascending order.
pub(super) fn snapshot(mut objects: Vec<[u8; 32]>) -> [u8; 32] {
    objects.sort_unstable();
    let mut bytes = LABEL.to_vec();
    bytes.extend((objects.len() as u64).to_be_bytes());
    objects.iter().for_each(|digest| bytes.extend(digest));
    *Digest::of(&bytes).as_bytes()
}

/// SM3 over one object's attributes.
pub(super) fn digest(token: &mut Token, object: CK_OBJECT_HANDLE) -> HsmResult<[u8; 32]> {
    let (session, functions) = (token.session()?, token.functions());
    let mut bytes = Vec::new();
    for (kind, shape) in LIST {
        // A make that has not got an attribute may answer the question for it with anything.
        let value = match shape {
            _ if !token.map().supports(kind) => None,
            Shape::Nested => functions.nested(session, object, kind)?.map(|template| written(&template, 0)),
            _ => functions.value(session, object, kind)?.map(|value| flat(shape, value)),
        };
        put(&mut bytes, kind, value.as_deref());
    }
    Ok(*Digest::of(&bytes).as_bytes())
}

/// Number ‖ 00, or number ‖ 01 ‖ length ‖ value.
fn put(bytes: &mut Vec<u8>, kind: CK_ATTRIBUTE_TYPE, value: Option<&[u8]>) {
    bytes.extend(kind.to_be_bytes());
    bytes.push(u8::from(value.is_some()));
    if let Some(value) = value {
        bytes.extend((value.len() as u64).to_be_bytes());
        bytes.extend(value);
    }
}

/// A value in its shape; one of another length than its shape has stays as it is, and so differs.
fn flat(shape: Shape, value: Vec<u8>) -> Vec<u8> {
    let words = value.chunks_exact(size_of::<CK_ULONG>());
    let whole = !value.is_empty() && words.remainder().is_empty();
    let mut numbers: Vec<u64> = words.filter_map(|word| word.try_into().ok()).map(u64::from_ne_bytes).collect();
    match shape {
        Shape::Flag if value.len() == 1 => vec![u8::from(value != [0])],
        Shape::Number if whole && numbers.len() == 1 => numbers.iter().flat_map(|word| word.to_be_bytes()).collect(),
        Shape::Numbers if whole => {
            numbers.sort_unstable();
            numbers.iter().flat_map(|word| word.to_be_bytes()).collect()
        }
        Shape::Bytes | Shape::Flag | Shape::Nested | Shape::Number | Shape::Numbers => value,
    }
}

/// A nested template: its attributes by number, only those that are there.
fn written(template: &Template, depth: usize) -> Vec<u8> {
    let mut rows: Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)> = template
        .attributes()
        .iter()
        .map(|(kind, value)| {
            let shape = LIST.iter().find(|(listed, _)| listed == kind).map_or(Shape::Bytes, |(_, shape)| *shape);
            let value = match value {
                Value::Nested(inner) if depth < DEPTH_MAX => written(inner, depth + 1),
                Value::Nested(_) => Vec::new(),
                Value::Flag(flag) => vec![u8::from(*flag)],
                Value::Number(number) => number.to_be_bytes().to_vec(),
                Value::Bytes(bytes) => flat(shape, bytes.to_vec()),
                Value::Numbers(numbers) => {
                    flat(Shape::Numbers, numbers.iter().flat_map(|word| word.to_ne_bytes()).collect())
                }
            };
            (*kind, value)
        })
        .collect();
    rows.sort();
    let mut bytes = Vec::new();
    rows.iter().for_each(|(kind, value)| put(&mut bytes, *kind, Some(value)));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_of_its_numbers() {
        assert!(LIST.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn values_have_one_form() {
        let number = 0x1234_u64;
        assert_eq!(flat(Shape::Number, number.to_ne_bytes().to_vec()), number.to_be_bytes());
        assert_eq!(flat(Shape::Flag, vec![0xff]), [1]);
        assert_eq!(flat(Shape::Flag, vec![1, 0]), [1, 0], "another length is shown as it is");
        let pair = |a: u64, b: u64| [a.to_ne_bytes(), b.to_ne_bytes()].concat();
        assert_eq!(flat(Shape::Numbers, pair(7, 3)), flat(Shape::Numbers, pair(3, 7)));
        let order = |a, b| Template::default().flag(a, true).flag(b, false);
        let one = written(&order(CKA_SENSITIVE, CKA_WRAP), 0);
        let swapped = written(&Template::default().flag(CKA_WRAP, false).flag(CKA_SENSITIVE, true), 0);
        assert_eq!(one, swapped);
        assert_ne!(one, written(&order(CKA_WRAP, CKA_SENSITIVE), 0));
    }

    #[test]
    fn a_snapshot_is_over_the_objects_whatever_their_order() {
        assert_eq!(snapshot(vec![[1; 32], [2; 32]]), snapshot(vec![[2; 32], [1; 32]]));
        assert_ne!(snapshot(vec![[1; 32]]), snapshot(vec![[1; 32], [1; 32]]));
        let empty = [LABEL, &[0; 8]].concat();
        assert_eq!(snapshot(Vec::new()), *Digest::of(&empty).as_bytes());
    }
}
