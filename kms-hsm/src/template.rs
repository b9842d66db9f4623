//! Which attributes each kind of key has, as tables, and the way from there to PKCS#11.
//!
//! The only place that decides what a key may do. Not a probe: what a token really enforces is
//! proved elsewhere. Guards: a key has one use and, where the make allows it, one mechanism; what a
//! key produces is pinned in the key itself (derive, unwrap and wrap templates), so that a second
//! call with other wishes is refused by the token and not only by us.
//!
//! Three decisions that the tables carry:
//! * Every master has CKA_WRAP_WITH_TRUSTED, local ones as well: the bit is sticky and harmless.
//! * IMPORT KEY and the seed pin CKA_EXTRACTABLE=true along with everything else, so a master that is
//!   imported or made from components is always transferable, and leaves under a TRUSTED key only.
//!   `Local` means "dies with its HSM", which cannot be said of a key that arrived from outside: such
//!   an order is refused (`CUSTODY`). Only generated masters are local. The alternative, leaving the
//!   attribute to the caller, would let the holder of the user PIN choose, and gain nothing.
//! * What a transport or personalization key wraps must have no use at all (CARD), so that even a
//!   transferable master cannot leave under a bureau's key.

mod check;
mod roles;

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_OBJECT_CLASS, CK_ULONG, CKA_ALLOWED_MECHANISMS, CKA_CLASS, CKA_DERIVE, CKA_KEY_TYPE,
    CKA_VALUE_LEN, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY,
};
use zeroize::Zeroizing;

pub(crate) use check::check;
pub(crate) use roles::{
    BUREAU_IMPORT, BUREAU_TRANSPORT, CARD, CHECKED, COMPONENT, COMPONENT_IMPORT, IMPORT, INDEX, INERT_PUBLIC, MASTER,
    PERSONALIZATION, RECIPIENT, SECRET_USES, SEED, SIGNING, STORAGE, TRANSPORT, VERIFYING,
};
use roles::{PRIVATE_USES, PUBLIC_USES};

use crate::vendor::{Operation, TemplateDepth, UnwrappedLength, VendorMap};

/// Bytes of an SM4, SM1 or AES-128 key.
pub(crate) const BLOCK_KEY_BYTES: CK_ULONG = 16;
/// Bytes of the HMAC key.
pub(crate) const HMAC_KEY_BYTES: CK_ULONG = 32;

/// Value of one attribute. No `Debug`: a private scalar to be installed is one, too.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// CK_BBOOL.
    Flag(bool),
    /// CK_ULONG.
    Number(CK_ULONG),
    /// Byte string, wiped on drop.
    Bytes(Zeroizing<Vec<u8>>),
    /// Array of CK_ULONG: CKA_ALLOWED_MECHANISMS.
    Numbers(Vec<CK_ULONG>),
    /// Array of attributes: derive, wrap and unwrap templates.
    Nested(Template),
}

/// A list of attributes.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Template(Vec<(CK_ATTRIBUTE_TYPE, Value)>);

impl Template {
    /// Adds an attribute, replacing one of the same type.
    pub(crate) fn with(self, kind: CK_ATTRIBUTE_TYPE, value: Value) -> Self {
        let mut new = self.without(kind);
        new.0.push((kind, value));
        new
    }

    pub(crate) fn flag(self, kind: CK_ATTRIBUTE_TYPE, value: bool) -> Self {
        self.with(kind, Value::Flag(value))
    }

    pub(crate) fn number(self, kind: CK_ATTRIBUTE_TYPE, value: CK_ULONG) -> Self {
        self.with(kind, Value::Number(value))
    }

    pub(crate) fn bytes(self, kind: CK_ATTRIBUTE_TYPE, value: &[u8]) -> Self {
        self.with(kind, Value::Bytes(Zeroizing::new(value.to_vec())))
    }

    /// The attributes in order.
    pub(crate) fn attributes(&self) -> &[(CK_ATTRIBUTE_TYPE, Value)] {
        &self.0
    }

    /// Leaves an attribute out.
    fn without(mut self, kind: CK_ATTRIBUTE_TYPE) -> Self {
        self.0.retain(|(present, _)| *present != kind);
        self
    }

    /// Value of one attribute.
    pub(crate) fn value(&self, kind: CK_ATTRIBUTE_TYPE) -> Option<&Value> {
        self.0.iter().find(|(present, _)| *present == kind).map(|(_, value)| value)
    }
}

/// Algorithm of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    /// The block cipher of keys that wrap and store: SM4, AES.
    Block,
    /// Masters and what they derive: the block cipher, or SM1.
    Card,
    Hmac,
    /// Signs: SM2, P-256.
    Pair,
    /// Is sealed to: SM2, RSA.
    Seal,
}

/// One row of the table: everything about a kind of key that does not vary between two of them.
pub(crate) struct Role {
    /// Name for errors.
    pub(crate) name: &'static str,
    class: CK_OBJECT_CLASS,
    algorithm: Algorithm,
    /// Attributes other than uses.
    flags: &'static [(CK_ATTRIBUTE_TYPE, bool)],
    /// Use flags that are true; all others of the class are false.
    uses: &'static [CK_ATTRIBUTE_TYPE],
    /// The only mechanism.
    mechanism: Option<fn(&VendorMap) -> Operation>,
    /// May have been unwrapped: some makes show no length of such a key.
    arrives: bool,
    /// Template inside: derive, unwrap or wrap.
    inside: Option<(CK_ATTRIBUTE_TYPE, &'static Role)>,
}

impl Role {
    /// The class of object, for searches.
    pub(crate) const fn class(&self) -> CK_OBJECT_CLASS {
        self.class
    }

    /// Whether keys of this kind are confirmed by what they derive.
    pub(crate) fn derives(&self) -> bool {
        self.uses.contains(&CKA_DERIVE)
    }

    /// The attributes for generation and derivation.
    pub(crate) fn template(&self, map: &VendorMap) -> Template {
        self.lay_out(map, true)
    }

    /// The attributes that an object of this kind shows.
    pub(crate) fn shown(&self, map: &VendorMap) -> Template {
        self.lay_out(map, !self.arrives || map.unwrapped_length() == UnwrappedLength::Shown)
    }

    /// What a key pins of those it makes.
    fn pinned(&self, map: &VendorMap) -> Template {
        match (map.template_depth(), self.inside) {
            (TemplateDepth::One, Some((kind, _))) => self.shown(map).without(kind),
            _ => self.shown(map),
        }
    }

    /// The attributes for C_UnwrapKey: PKCS#11 has the length follow from the blob.
    pub(crate) fn unwrapped(&self, map: &VendorMap) -> Template {
        self.lay_out(map, false)
    }

    fn lay_out(&self, map: &VendorMap, with_length: bool) -> Template {
        let types = map.key_types();
        let (key_type, value_bytes) = match self.algorithm {
            Algorithm::Block => (types.block, Some(BLOCK_KEY_BYTES)),
            Algorithm::Card => (types.card, Some(BLOCK_KEY_BYTES)),
            Algorithm::Hmac => (types.hmac, Some(HMAC_KEY_BYTES)),
            Algorithm::Pair => (types.pair, None),
            Algorithm::Seal => (types.seal, None),
        };
        let mut template = Template::default().number(CKA_CLASS, self.class).number(CKA_KEY_TYPE, key_type);
        if let Some(bytes) = value_bytes.filter(|_| with_length) {
            template = template.number(CKA_VALUE_LEN, bytes);
        }
        for (kind, value) in self.flags.iter().filter(|(kind, _)| map.supports(*kind)) {
            template = template.flag(*kind, *value);
        }
        let uses = match self.class {
            CKO_PRIVATE_KEY => PRIVATE_USES,
            CKO_PUBLIC_KEY => PUBLIC_USES,
            _ => &SECRET_USES,
        };
        for kind in uses {
            template = template.flag(*kind, self.uses.contains(kind));
        }
        if let Some(number) = self.mechanism.and_then(|operation| map.mechanism(operation(map)))
            && map.supports(CKA_ALLOWED_MECHANISMS)
        {
            template = template.with(CKA_ALLOWED_MECHANISMS, Value::Numbers(vec![number]));
        }
        match self.inside {
            Some((kind, role)) if map.supports(kind) => template.with(kind, Value::Nested(role.pinned(map))),
            _ => template,
        }
    }
}
