//! Attributes as values: what a template or an object consists of.
//!
//! Boolean attributes are bits, so that comparing a 20-attribute template with an object is two machine words; the few
//! others sit in a sorted list. Guards: one attribute appears at most once, and has the type PKCS#11 gives it.

use std::sync::Arc;

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_MECHANISM_TYPE, CK_ULONG, CKA_ALLOWED_MECHANISMS, CKA_ALWAYS_AUTHENTICATE,
    CKA_ALWAYS_SENSITIVE, CKA_APPLICATION, CKA_CHECK_VALUE, CKA_CLASS, CKA_COPYABLE, CKA_DECRYPT, CKA_DERIVE,
    CKA_DERIVE_TEMPLATE, CKA_DESTROYABLE, CKA_EC_PARAMS, CKA_EC_POINT, CKA_ENCRYPT, CKA_END_DATE, CKA_EXTRACTABLE,
    CKA_ID, CKA_KEY_GEN_MECHANISM, CKA_KEY_TYPE, CKA_LABEL, CKA_LOCAL, CKA_MODIFIABLE, CKA_NEVER_EXTRACTABLE,
    CKA_OBJECT_ID, CKA_PRIVATE, CKA_SENSITIVE, CKA_SIGN, CKA_SIGN_RECOVER, CKA_START_DATE, CKA_SUBJECT, CKA_TOKEN,
    CKA_TRUSTED, CKA_UNWRAP, CKA_UNWRAP_TEMPLATE, CKA_VALUE, CKA_VALUE_LEN, CKA_VERIFY, CKA_VERIFY_RECOVER, CKA_WRAP,
    CKA_WRAP_TEMPLATE, CKA_WRAP_WITH_TRUSTED, CKR_TEMPLATE_INCONSISTENT,
};

use crate::{
    rv::{Result, Rv, ensure},
    secret::Secret,
};

/// Templates inside templates, counted from the outermost.
pub(crate) const TEMPLATE_DEPTH_MAX: usize = 6;
/// Attributes in one template.
pub(crate) const ATTRIBUTES_MAX: usize = 64;
/// Bytes of one attribute value.
pub(crate) const VALUE_BYTES_MAX: usize = 64 * 1024;
/// Entries of CKA_ALLOWED_MECHANISMS.
pub(crate) const MECHANISMS_MAX: usize = 64;

/// A set of boolean attributes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flags(u32);

/// PKCS#11 type and bit of every boolean attribute the token knows. The order is the stored bit order.
// Stored format: changing this needs a migration.
const FLAG_TYPES: [CK_ATTRIBUTE_TYPE; 22] = [
    CKA_TOKEN,
    CKA_PRIVATE,
    CKA_MODIFIABLE,
    CKA_COPYABLE,
    CKA_DESTROYABLE,
    CKA_SENSITIVE,
    CKA_EXTRACTABLE,
    CKA_ALWAYS_SENSITIVE,
    CKA_NEVER_EXTRACTABLE,
    CKA_LOCAL,
    CKA_ENCRYPT,
    CKA_DECRYPT,
    CKA_SIGN,
    CKA_SIGN_RECOVER,
    CKA_VERIFY,
    CKA_VERIFY_RECOVER,
    CKA_WRAP,
    CKA_UNWRAP,
    CKA_DERIVE,
    CKA_TRUSTED,
    CKA_WRAP_WITH_TRUSTED,
    CKA_ALWAYS_AUTHENTICATE,
];

impl Flags {
    pub(crate) const TOKEN: Self = Self(1);
    pub(crate) const PRIVATE: Self = Self(1 << 1);
    pub(crate) const MODIFIABLE: Self = Self(1 << 2);
    pub(crate) const COPYABLE: Self = Self(1 << 3);
    pub(crate) const DESTROYABLE: Self = Self(1 << 4);
    pub(crate) const SENSITIVE: Self = Self(1 << 5);
    pub(crate) const EXTRACTABLE: Self = Self(1 << 6);
    pub(crate) const ALWAYS_SENSITIVE: Self = Self(1 << 7);
    pub(crate) const NEVER_EXTRACTABLE: Self = Self(1 << 8);
    pub(crate) const LOCAL: Self = Self(1 << 9);
    pub(crate) const ENCRYPT: Self = Self(1 << 10);
    pub(crate) const DECRYPT: Self = Self(1 << 11);
    pub(crate) const SIGN: Self = Self(1 << 12);
    pub(crate) const SIGN_RECOVER: Self = Self(1 << 13);
    pub(crate) const VERIFY: Self = Self(1 << 14);
    pub(crate) const VERIFY_RECOVER: Self = Self(1 << 15);
    pub(crate) const WRAP: Self = Self(1 << 16);
    pub(crate) const UNWRAP: Self = Self(1 << 17);
    pub(crate) const DERIVE: Self = Self(1 << 18);
    pub(crate) const TRUSTED: Self = Self(1 << 19);
    pub(crate) const WRAP_WITH_TRUSTED: Self = Self(1 << 20);
    pub(crate) const ALWAYS_AUTHENTICATE: Self = Self(1 << 21);

    /// Every flag that lets a key be used for something.
    pub(crate) const USES: Self = Self(0x1ff << 10);
    /// Flags that only the token sets (PKCS#11 2.40 §4.1, footnotes 2, 4 and 6).
    pub(crate) const READ_ONLY: Self = Self(Self::ALWAYS_SENSITIVE.0 | Self::NEVER_EXTRACTABLE.0 | Self::LOCAL.0);

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn has(self, all: Self) -> bool {
        self.0 & all.0 == all.0
    }

    pub(crate) const fn touches(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    /// This set with `flag` forced to `on`.
    pub(crate) const fn put(self, flag: Self, on: bool) -> Self {
        if on { self.with(flag) } else { self.without(flag) }
    }

    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// Refuses bits that stand for nothing.
    pub(crate) const fn from_bits(bits: u32) -> Option<Self> {
        if bits >> FLAG_TYPES.len() == 0 { Some(Self(bits)) } else { None }
    }

    /// The PKCS#11 types of this set, in bit order.
    pub(crate) fn types(self) -> impl Iterator<Item = (CK_ATTRIBUTE_TYPE, Self)> {
        FLAG_TYPES
            .into_iter()
            .enumerate()
            .map(|(bit, kind)| (kind, Self(1 << bit)))
            .filter(move |(_, flag)| self.has(*flag))
    }
}

/// How the value of an attribute is encoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `CK_BBOOL`.
    Flag(Flags),
    /// `CK_ULONG`.
    Number,
    /// A byte string.
    Bytes,
    /// `CKA_VALUE`: bytes that may be a key.
    Value,
    /// An array of `CK_MECHANISM_TYPE`, a set.
    Mechanisms,
    /// An array of `CK_ATTRIBUTE`.
    Template,
}

/// The encoding of an attribute, or `None` for one this token does not know.
pub(crate) fn kind_of(attribute: CK_ATTRIBUTE_TYPE) -> Option<Kind> {
    if let Some(bit) = FLAG_TYPES.iter().position(|known| *known == attribute) {
        return Some(Kind::Flag(Flags(1 << bit)));
    }
    match attribute {
        CKA_CLASS | CKA_KEY_TYPE | CKA_VALUE_LEN | CKA_KEY_GEN_MECHANISM => Some(Kind::Number),
        CKA_LABEL | CKA_ID | CKA_SUBJECT | CKA_START_DATE | CKA_END_DATE | CKA_APPLICATION | CKA_OBJECT_ID
        | CKA_CHECK_VALUE | CKA_EC_PARAMS | CKA_EC_POINT => Some(Kind::Bytes),
        CKA_VALUE => Some(Kind::Value),
        CKA_ALLOWED_MECHANISMS => Some(Kind::Mechanisms),
        CKA_WRAP_TEMPLATE | CKA_UNWRAP_TEMPLATE | CKA_DERIVE_TEMPLATE => Some(Kind::Template),
        _ => None,
    }
}

/// A value that is neither a flag nor `CKA_VALUE`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Number(CK_ULONG),
    Bytes(Box<[u8]>),
    /// Sorted, without repetition.
    Mechanisms(Arc<[CK_MECHANISM_TYPE]>),
    Template(Arc<Attrs>),
}

/// A set of attributes: a template, or everything an object is.
#[derive(Clone, Default)]
pub(crate) struct Attrs {
    known: Flags,
    on: Flags,
    rest: Vec<(CK_ATTRIBUTE_TYPE, Value)>,
    value: Option<Arc<Secret>>,
}

impl Attrs {
    /// Which flags are stated at all.
    pub(crate) fn known(&self) -> Flags {
        self.known
    }

    /// Which flags are stated as TRUE.
    pub(crate) fn on(&self) -> Flags {
        self.on
    }

    /// TRUE, FALSE, or not stated.
    pub(crate) fn flag(&self, flag: Flags) -> Option<bool> {
        self.known.has(flag).then(|| self.on.has(flag))
    }

    pub(crate) fn is(&self, flag: Flags) -> bool {
        self.on.has(flag)
    }

    pub(crate) fn set(&mut self, flag: Flags, on: bool) {
        self.known = self.known.with(flag);
        self.on = self.on.put(flag, on);
    }

    /// Takes every flag of `mask` from `on`; used for defaults, where most are FALSE.
    pub(crate) fn set_all(&mut self, mask: Flags, on: Flags) {
        self.known = self.known.with(mask);
        self.on = self.on.without(mask).with(on.common(mask));
    }

    pub(crate) fn get(&self, attribute: CK_ATTRIBUTE_TYPE) -> Option<&Value> {
        self.rest.binary_search_by_key(&attribute, |(kind, _)| *kind).ok().map(|at| &self.rest[at].1)
    }

    pub(crate) fn number(&self, attribute: CK_ATTRIBUTE_TYPE) -> Option<CK_ULONG> {
        match self.get(attribute) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self, attribute: CK_ATTRIBUTE_TYPE) -> Option<&[u8]> {
        match self.get(attribute) {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn template(&self, attribute: CK_ATTRIBUTE_TYPE) -> Option<&Arc<Attrs>> {
        match self.get(attribute) {
            Some(Value::Template(template)) => Some(template),
            _ => None,
        }
    }

    /// `None`: every mechanism that fits the key.
    pub(crate) fn allowed_mechanisms(&self) -> Option<&[CK_MECHANISM_TYPE]> {
        match self.get(CKA_ALLOWED_MECHANISMS) {
            Some(Value::Mechanisms(list)) => Some(list),
            _ => None,
        }
    }

    /// The bytes of CKA_VALUE, where they are at hand.
    pub(crate) fn value(&self) -> Option<&Arc<Secret>> {
        self.value.as_ref()
    }

    pub(crate) fn set_value(&mut self, value: Arc<Secret>) {
        self.value = Some(value);
    }

    pub(crate) fn take_value(&mut self) -> Option<Arc<Secret>> {
        self.value.take()
    }

    pub(crate) fn rest(&self) -> &[(CK_ATTRIBUTE_TYPE, Value)] {
        &self.rest
    }

    /// Adds or replaces.
    pub(crate) fn put(&mut self, attribute: CK_ATTRIBUTE_TYPE, value: Value) {
        match self.rest.binary_search_by_key(&attribute, |(kind, _)| *kind) {
            Ok(at) => self.rest[at].1 = value,
            Err(at) => self.rest.insert(at, (attribute, value)),
        }
    }

    pub(crate) fn remove(&mut self, attribute: CK_ATTRIBUTE_TYPE) -> Option<Value> {
        let at = self.rest.binary_search_by_key(&attribute, |(kind, _)| *kind).ok()?;
        Some(self.rest.remove(at).1)
    }

    /// Adds one attribute of a caller's template; stating it twice is refused.
    pub(crate) fn state_flag(&mut self, flag: Flags, on: bool) -> Result<()> {
        ensure(!self.known.touches(flag), CKR_TEMPLATE_INCONSISTENT)?;
        self.set(flag, on);
        Ok(())
    }

    /// As [`Attrs::state_flag`].
    pub(crate) fn state(&mut self, attribute: CK_ATTRIBUTE_TYPE, value: Value) -> Result<()> {
        match self.rest.binary_search_by_key(&attribute, |(kind, _)| *kind) {
            Ok(_) => Err(Rv(CKR_TEMPLATE_INCONSISTENT)),
            Err(at) => {
                self.rest.insert(at, (attribute, value));
                Ok(())
            }
        }
    }

    /// As [`Attrs::state_flag`].
    pub(crate) fn state_value(&mut self, value: Secret) -> Result<()> {
        ensure(self.value.is_none(), CKR_TEMPLATE_INCONSISTENT)?;
        self.value = Some(Arc::new(value));
        Ok(())
    }

    /// Does `self` state everything that `template` states, with equal values?
    pub(crate) fn matches(&self, template: &Attrs) -> bool {
        self.known.has(template.known)
            && self.on.common(template.known) == template.on
            && template.rest.iter().all(|(kind, value)| self.get(*kind) == Some(value))
            && template
                .value
                .as_ref()
                .is_none_or(|wanted| self.value.as_ref().is_some_and(|mine| mine.equals(wanted.expose())))
    }

    /// Lays `pins` under `self`: absent attributes are taken over, present ones must be equal
    /// (PKCS#11 2.40 §4.1: UNWRAP_TEMPLATE; the same meaning for DERIVE_TEMPLATE).
    pub(crate) fn lay_over(&mut self, pins: &Attrs) -> Result<()> {
        let both = self.known.common(pins.known);
        ensure(self.on.common(both) == pins.on.common(both), CKR_TEMPLATE_INCONSISTENT)?;
        self.known = self.known.with(pins.known);
        self.on = self.on.with(pins.on);
        for (kind, pinned) in &pins.rest {
            match self.rest.binary_search_by_key(kind, |(stated, _)| *stated) {
                Ok(at) => ensure(self.rest[at].1 == *pinned, CKR_TEMPLATE_INCONSISTENT)?,
                Err(at) => self.rest.insert(at, (*kind, pinned.clone())),
            }
        }
        Ok(())
    }

    /// Every attribute type stated here, CKA_VALUE apart.
    pub(crate) fn types(&self) -> impl Iterator<Item = CK_ATTRIBUTE_TYPE> + '_ {
        self.known.types().map(|(kind, _)| kind).chain(self.rest.iter().map(|(kind, _)| *kind))
    }
}

/// Equality of templates, as XOR_KEYS and pinned nested templates need it. Templates never hold CKA_VALUE.
impl PartialEq for Attrs {
    fn eq(&self, other: &Self) -> bool {
        self.known == other.known
            && self.on == other.on
            && self.rest == other.rest
            && self.value.is_none()
            && other.value.is_none()
    }
}

impl Eq for Attrs {}
