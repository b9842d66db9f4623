//! Reading attributes by number, nested templates included.
//!
//! One attribute per call: an attribute the token does not know must not spoil the others. Nested
//! templates are read level by level as PKCS#11 wants it: lengths first, then memory for them.
//! Guards: sizes are limited before memory is given, and depth is limited.

use cryptoki::context::Function;
use cryptoki_sys::{
    CK_ATTRIBUTE, CK_ATTRIBUTE_TYPE, CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CK_ULONG, CK_UNAVAILABLE_INFORMATION,
    CKA_DERIVE_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_WRAP_TEMPLATE, CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID,
};
use kms_core::ports::HsmResult;

use super::{Functions, attribute_value};
use crate::fault::{self, refused};
use crate::template::{Template, Value};

/// Largest attribute read, in bytes.
const VALUE_BYTES_MAX: usize = 64 * 1024;
/// Attributes in one template.
const ATTRIBUTES_MAX: usize = 64;
/// Templates inside templates.
const DEPTH_MAX: usize = 6;

impl Functions {
    /// Value of an attribute; `None` where the object does not have it or the token will not say.
    pub(crate) fn value(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        kind: CK_ATTRIBUTE_TYPE,
    ) -> HsmResult<Option<Vec<u8>>> {
        let mut level = Level::asking(&[kind]);
        if !level.fill(self, session, object)? {
            return Ok(None);
        }
        level.grow(0)?;
        if !level.fill(self, session, object)? {
            return Ok(None);
        }
        Ok(Some(level.bytes(0)))
    }

    /// Value of an attribute into a buffer, in one call; answers the bytes written, 0 where there is none.
    pub(crate) fn value_into(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        kind: CK_ATTRIBUTE_TYPE,
        out: &mut [u8],
    ) -> HsmResult<usize> {
        let length = out.len() as CK_ULONG;
        let mut attribute = [CK_ATTRIBUTE { type_: kind, pValue: out.as_mut_ptr().cast(), ulValueLen: length }];
        fault::check(attribute_value(self, session, object, &mut attribute)?, Function::GetAttributeValue)?;
        let [attribute] = attribute;
        match usize::try_from(attribute.ulValueLen) {
            Ok(written) if written <= out.len() => Ok(written),
            _ => Ok(0),
        }
    }

    /// A nested template; `None` where the object does not have it.
    pub(crate) fn nested(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        kind: CK_ATTRIBUTE_TYPE,
    ) -> HsmResult<Option<Template>> {
        let mut level = Level::asking(&[kind]);
        for _ in 0..2 + DEPTH_MAX {
            if !level.fill(self, session, object)? {
                return Ok(None);
            }
            if !level.grow(0)? {
                return Ok(match level.into_template().value(kind) {
                    Some(Value::Nested(template)) => Some(template.clone()),
                    _ => None,
                });
            }
        }
        Err(refused("C_GetAttributeValue", "TEMPLATE_DEPTH", format!("more than {DEPTH_MAX} templates in each other")))
    }
}

/// One array of attributes and the memory its pointers lead to.
struct Level {
    attributes: Vec<CK_ATTRIBUTE>,
    memory: Vec<Memory>,
}

enum Memory {
    /// The length is not known yet.
    None,
    /// Aligned as CK_ULONG.
    Flat(Vec<CK_ULONG>),
    Nested(Level),
}

impl Level {
    fn asking(kinds: &[CK_ATTRIBUTE_TYPE]) -> Self {
        let ask = |kind: &CK_ATTRIBUTE_TYPE| CK_ATTRIBUTE { type_: *kind, ..CK_ATTRIBUTE::default() };
        Self { attributes: kinds.iter().map(ask).collect(), memory: kinds.iter().map(|_| Memory::None).collect() }
    }

    /// One call. False: not available.
    fn fill(&mut self, functions: &Functions, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> HsmResult<bool> {
        match attribute_value(functions, session, object, &mut self.attributes)? {
            CKR_ATTRIBUTE_TYPE_INVALID | CKR_ATTRIBUTE_SENSITIVE => return Ok(false),
            rv => fault::check(rv, Function::GetAttributeValue)?,
        }
        Ok(self.attributes.iter().all(|attribute| attribute.ulValueLen != CK_UNAVAILABLE_INFORMATION))
    }

    /// Gives memory to every attribute whose length is now known. True: the call must be repeated.
    fn grow(&mut self, depth: usize) -> HsmResult<bool> {
        if depth > DEPTH_MAX {
            return Err(refused("C_GetAttributeValue", "TEMPLATE_DEPTH", format!("more than {DEPTH_MAX} levels")));
        }
        let mut grown = false;
        for (attribute, memory) in self.attributes.iter_mut().zip(&mut self.memory) {
            match memory {
                Memory::None if attribute.ulValueLen > 0 => {
                    let bytes = usize::try_from(attribute.ulValueLen).unwrap_or(usize::MAX);
                    *memory = allocate(attribute, bytes)?;
                    grown = true;
                }
                Memory::Nested(level) => grown |= level.grow(depth + 1)?,
                Memory::None | Memory::Flat(_) => {}
            }
        }
        Ok(grown)
    }

    fn bytes(&self, index: usize) -> Vec<u8> {
        let (Some(attribute), Some(Memory::Flat(words))) = (self.attributes.get(index), self.memory.get(index)) else {
            return Vec::new();
        };
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.truncate(usize::try_from(attribute.ulValueLen).unwrap_or(0));
        bytes
    }

    fn into_template(self) -> Template {
        let values: Vec<Vec<u8>> = (0..self.attributes.len()).map(|index| self.bytes(index)).collect();
        let rows = self.attributes.iter().zip(self.memory).zip(values);
        rows.fold(Template::default(), |template, ((attribute, memory), bytes)| match memory {
            Memory::Nested(level) => template.with(attribute.type_, Value::Nested(level.into_template())),
            Memory::None if is_template(attribute.type_) => {
                template.with(attribute.type_, Value::Nested(Template::default()))
            }
            Memory::None | Memory::Flat(_) => template.bytes(attribute.type_, &bytes),
        })
    }
}

/// Points the attribute to fresh memory of `bytes` bytes.
fn allocate(attribute: &mut CK_ATTRIBUTE, bytes: usize) -> HsmResult<Memory> {
    if bytes > VALUE_BYTES_MAX {
        let detail = format!("{bytes} bytes for attribute {:#x}", attribute.type_);
        return Err(refused("C_GetAttributeValue", "ANSWER_LENGTH", detail));
    }
    if is_template(attribute.type_) {
        let count = bytes / size_of::<CK_ATTRIBUTE>();
        if count > ATTRIBUTES_MAX || !bytes.is_multiple_of(size_of::<CK_ATTRIBUTE>()) {
            let detail = format!("{bytes} bytes for template {:#x}", attribute.type_);
            return Err(refused("C_GetAttributeValue", "ANSWER_LENGTH", detail));
        }
        let mut level = Level::asking(&vec![0; count]);
        attribute.pValue = level.attributes.as_mut_ptr().cast();
        return Ok(Memory::Nested(level));
    }
    let mut words: Vec<CK_ULONG> = vec![0; bytes.div_ceil(size_of::<CK_ULONG>())];
    attribute.pValue = words.as_mut_ptr().cast();
    Ok(Memory::Flat(words))
}

const fn is_template(kind: CK_ATTRIBUTE_TYPE) -> bool {
    matches!(kind, CKA_DERIVE_TEMPLATE | CKA_UNWRAP_TEMPLATE | CKA_WRAP_TEMPLATE)
}
