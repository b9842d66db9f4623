//! A template in C form.
//!
//! Guards: every pointer inside leads to memory owned by the same value, so the whole is valid for
//! as long as it is borrowed; numbers are aligned as CK_ULONG.

use std::ffi::c_void;

use cryptoki_sys::{CK_ATTRIBUTE, CK_BBOOL, CK_ULONG, CKA_MODIFIABLE};
use zeroize::Zeroizing;

use crate::template::{Template, Value};

/// CK_ATTRIBUTE array together with everything it points to.
pub(crate) struct Encoded {
    attributes: Vec<CK_ATTRIBUTE>,
    /// Owners of the memory behind the pointers; heap buffers, so moving an owner moves no byte.
    _kept: Vec<Kept>,
}

/// One value in memory; read by the module only.
#[expect(dead_code, reason = "kept alive for the pointers into it")]
enum Kept {
    Bytes(Zeroizing<Vec<u8>>),
    Nested(Encoded),
    Numbers(Vec<CK_ULONG>),
}

impl Encoded {
    /// Lays the template out. CKA_MODIFIABLE comes last: SoftHSM applies one attribute after the other and, in
    /// C_UnwrapKey, refuses what follows CKA_MODIFIABLE = false.
    pub(crate) fn of(template: &Template) -> Self {
        let (mut attributes, mut kept) = (Vec::new(), Vec::new());
        let (last, first): (Vec<_>, Vec<_>) =
            template.attributes().iter().partition(|(kind, _)| *kind == CKA_MODIFIABLE);
        for (kind, value) in first.into_iter().chain(last) {
            let (pointer, bytes, owner) = lay_out(value);
            attributes.push(CK_ATTRIBUTE { type_: *kind, pValue: pointer, ulValueLen: bytes as CK_ULONG });
            kept.push(owner);
        }
        Self { attributes, _kept: kept }
    }

    /// Pointer and count for a call.
    pub(crate) fn parts(&mut self) -> (*mut CK_ATTRIBUTE, CK_ULONG) {
        (self.attributes.as_mut_ptr(), self.attributes.len() as CK_ULONG)
    }
}

fn lay_out(value: &Value) -> (*mut c_void, usize, Kept) {
    match value {
        Value::Flag(flag) => bytes(Zeroizing::new(vec![CK_BBOOL::from(*flag)])),
        Value::Bytes(raw) => bytes(raw.clone()),
        Value::Number(number) => numbers(vec![*number]),
        Value::Numbers(several) => numbers(several.clone()),
        Value::Nested(template) => {
            let mut inner = Encoded::of(template);
            let length = size_of_val(inner.attributes.as_slice());
            (inner.attributes.as_mut_ptr().cast(), length, Kept::Nested(inner))
        }
    }
}

fn bytes(mut raw: Zeroizing<Vec<u8>>) -> (*mut c_void, usize, Kept) {
    (raw.as_mut_ptr().cast(), raw.len(), Kept::Bytes(raw))
}

fn numbers(mut several: Vec<CK_ULONG>) -> (*mut c_void, usize, Kept) {
    (several.as_mut_ptr().cast(), size_of_val(several.as_slice()), Kept::Numbers(several))
}
