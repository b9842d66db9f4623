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

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_OBJECT_CLASS, CK_ULONG, CKA_ALLOWED_MECHANISMS, CKA_CLASS, CKA_COPYABLE, CKA_DECRYPT,
    CKA_DERIVE, CKA_DERIVE_TEMPLATE, CKA_DESTROYABLE, CKA_ENCRYPT, CKA_EXTRACTABLE, CKA_KEY_TYPE, CKA_MODIFIABLE,
    CKA_PRIVATE, CKA_SENSITIVE, CKA_SIGN, CKA_TOKEN, CKA_TRUSTED, CKA_UNWRAP, CKA_UNWRAP_TEMPLATE, CKA_VALUE_LEN,
    CKA_VERIFY, CKA_WRAP, CKA_WRAP_TEMPLATE, CKA_WRAP_WITH_TRUSTED, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_SECRET_KEY,
};

pub(crate) use check::check;
use zeroize::Zeroizing;

use crate::vendor::{Operation, VendorMap};

/// Bytes of an SM4 key.
pub(crate) const SM4_KEY_BYTES: CK_ULONG = 16;
/// Bytes of the HMAC-SM3 key.
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
    pub(crate) fn with(mut self, kind: CK_ATTRIBUTE_TYPE, value: Value) -> Self {
        self.0.retain(|(present, _)| *present != kind);
        self.0.push((kind, value));
        self
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

    /// Value of one attribute.
    pub(crate) fn value(&self, kind: CK_ATTRIBUTE_TYPE) -> Option<&Value> {
        self.0.iter().find(|(present, _)| *present == kind).map(|(_, value)| value)
    }
}

/// Algorithm of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Hmac,
    Sm2,
    Sm4,
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
    mechanism: Option<Operation>,
    /// Template inside: derive, unwrap or wrap.
    inside: Option<(CK_ATTRIBUTE_TYPE, &'static Role)>,
}

/// Every use of a secret key.
pub(crate) const SECRET_USES: [CK_ATTRIBUTE_TYPE; 7] =
    [CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE];
const PRIVATE_USES: &[CK_ATTRIBUTE_TYPE] = &[CKA_DECRYPT, CKA_SIGN, CKA_UNWRAP, CKA_DERIVE];
const PUBLIC_USES: &[CK_ATTRIBUTE_TYPE] = &[CKA_ENCRYPT, CKA_VERIFY, CKA_WRAP, CKA_DERIVE];

/// Lives in the token, seen after login only, never in clear, never changed, never copied.
const KEPT: &[(CK_ATTRIBUTE_TYPE, bool)] = &[
    (CKA_TOKEN, true),
    (CKA_PRIVATE, true),
    (CKA_SENSITIVE, true),
    (CKA_EXTRACTABLE, false),
    (CKA_MODIFIABLE, false),
    (CKA_COPYABLE, false),
];
/// As KEPT, but CKA_EXTRACTABLE is left to the caller; a ceremony may destroy it.
const KEPT_MASTER: &[(CK_ATTRIBUTE_TYPE, bool)] = &[
    (CKA_TOKEN, true),
    (CKA_PRIVATE, true),
    (CKA_SENSITIVE, true),
    (CKA_WRAP_WITH_TRUSTED, true),
    (CKA_MODIFIABLE, false),
    (CKA_COPYABLE, false),
    (CKA_DESTROYABLE, true),
];
/// Lives for one call and never leaves.
const PASSING: &[(CK_ATTRIBUTE_TYPE, bool)] =
    &[(CKA_TOKEN, false), (CKA_PRIVATE, true), (CKA_SENSITIVE, true), (CKA_EXTRACTABLE, false)];
/// Set by a security officer, who sees no private objects.
const TRUSTED_PUBLIC: &[(CK_ATTRIBUTE_TYPE, bool)] =
    &[(CKA_TOKEN, true), (CKA_PRIVATE, false), (CKA_TRUSTED, true), (CKA_MODIFIABLE, false), (CKA_COPYABLE, false)];

/// A card, SAM or provincial key on its way out: has no use, leaves under a TRUSTED key only.
pub(crate) const CARD: Role = Role {
    name: "CARD",
    class: CKO_SECRET_KEY,
    algorithm: Algorithm::Sm4,
    flags: &[
        (CKA_TOKEN, false),
        (CKA_PRIVATE, true),
        (CKA_SENSITIVE, true),
        (CKA_EXTRACTABLE, true),
        (CKA_WRAP_WITH_TRUSTED, true),
    ],
    uses: &[],
    mechanism: None,
    inside: None,
};

/// What a transport or personalization key may wrap: a key without uses.
const CARD_TO_WRAP: Role =
    Role { name: "CARD to wrap", flags: &[(CKA_SENSITIVE, true), (CKA_WRAP_WITH_TRUSTED, true)], ..CARD };

/// A root or group key: diversifies and nothing else.
pub(crate) const MASTER: Role = Role {
    name: "MASTER",
    class: CKO_SECRET_KEY,
    algorithm: Algorithm::Sm4,
    flags: KEPT_MASTER,
    uses: &[CKA_DERIVE],
    mechanism: Some(Operation::Diversify),
    inside: Some((CKA_DERIVE_TEMPLATE, &CARD)),
};

/// A master that comes from outside: what IMPORT KEY and the seed pin.
const ARRIVING_MASTER: Role = Role {
    name: "MASTER from outside",
    flags: &[
        (CKA_TOKEN, true),
        (CKA_PRIVATE, true),
        (CKA_SENSITIVE, true),
        (CKA_EXTRACTABLE, true),
        (CKA_WRAP_WITH_TRUSTED, true),
        (CKA_MODIFIABLE, false),
        (CKA_COPYABLE, false),
        (CKA_DESTROYABLE, true),
    ],
    ..MASTER
};

/// XOR of all root components; its children are masters.
pub(crate) const SEED: Role = Role {
    name: "SEED",
    class: CKO_SECRET_KEY,
    algorithm: Algorithm::Sm4,
    flags: PASSING,
    uses: &[CKA_DERIVE],
    mechanism: Some(Operation::Diversify),
    inside: Some((CKA_DERIVE_TEMPLATE, &ARRIVING_MASTER)),
};

/// One root component after unwrapping; its only child is the seed.
pub(crate) const COMPONENT: Role = Role {
    name: "COMPONENT",
    class: CKO_SECRET_KEY,
    algorithm: Algorithm::Sm4,
    flags: PASSING,
    uses: &[CKA_DERIVE],
    mechanism: Some(Operation::XorKeys),
    inside: Some((CKA_DERIVE_TEMPLATE, &SEED)),
};

/// LOG KEY and INSTANCE KEY: sign.
pub(crate) const SIGNING: Role = Role {
    name: "SIGNING KEY",
    class: CKO_PRIVATE_KEY,
    algorithm: Algorithm::Sm2,
    flags: KEPT,
    uses: &[CKA_SIGN],
    mechanism: Some(Operation::Sign),
    inside: None,
};

/// IMPORT KEY: opens sealed masters.
pub(crate) const IMPORT: Role = Role {
    name: "IMPORT KEY",
    class: CKO_PRIVATE_KEY,
    algorithm: Algorithm::Sm2,
    flags: KEPT,
    uses: &[CKA_UNWRAP],
    mechanism: Some(Operation::Seal),
    inside: Some((CKA_UNWRAP_TEMPLATE, &ARRIVING_MASTER)),
};

/// COMPONENT IMPORT KEY: opens root components.
pub(crate) const COMPONENT_IMPORT: Role =
    Role { name: "COMPONENT IMPORT KEY", inside: Some((CKA_UNWRAP_TEMPLATE, &COMPONENT)), ..IMPORT };

/// A bureau's import key: opens transport keys.
pub(crate) const BUREAU_IMPORT: Role =
    Role { name: "BUREAU IMPORT KEY", inside: Some((CKA_UNWRAP_TEMPLATE, &BUREAU_TRANSPORT)), ..IMPORT };

/// The transport key at the bureau: opens card keys and nothing else.
pub(crate) const BUREAU_TRANSPORT: Role = Role {
    name: "TRANSPORT KEY at the bureau",
    class: CKO_SECRET_KEY,
    algorithm: Algorithm::Sm4,
    flags: KEPT,
    uses: &[CKA_UNWRAP],
    mechanism: Some(Operation::KeyWrap),
    inside: Some((CKA_UNWRAP_TEMPLATE, &CARD)),
};

/// INDEX KEY: HMAC of card identifiers.
pub(crate) const INDEX: Role = Role {
    name: "INDEX KEY",
    class: CKO_SECRET_KEY,
    algorithm: Algorithm::Hmac,
    flags: KEPT,
    uses: &[CKA_SIGN],
    mechanism: Some(Operation::Hmac),
    inside: None,
};

/// STORAGE KEY: card lists at rest.
pub(crate) const STORAGE: Role = Role {
    name: "STORAGE KEY",
    class: CKO_SECRET_KEY,
    algorithm: Algorithm::Sm4,
    flags: KEPT,
    uses: &[CKA_ENCRYPT, CKA_DECRYPT],
    mechanism: Some(Operation::Gcm),
    inside: None,
};

/// BUREAU KEK: wraps card keys; leaves once, sealed to the bureau.
pub(crate) const TRANSPORT: Role = Role {
    name: "TRANSPORT KEY",
    class: CKO_SECRET_KEY,
    algorithm: Algorithm::Sm4,
    flags: &[
        (CKA_TOKEN, true),
        (CKA_PRIVATE, false),
        (CKA_TRUSTED, true),
        (CKA_SENSITIVE, true),
        (CKA_EXTRACTABLE, true),
        (CKA_WRAP_WITH_TRUSTED, true),
        (CKA_MODIFIABLE, false),
        (CKA_COPYABLE, false),
    ],
    uses: &[CKA_WRAP],
    mechanism: Some(Operation::KeyWrap),
    inside: Some((CKA_WRAP_TEMPLATE, &CARD_TO_WRAP)),
};

/// The bureau's key towards its personalization machine: wraps card keys, never leaves.
pub(crate) const PERSONALIZATION: Role = Role {
    name: "PERSONALIZATION KEY",
    class: CKO_SECRET_KEY,
    algorithm: Algorithm::Sm4,
    flags: &[
        (CKA_TOKEN, true),
        (CKA_PRIVATE, false),
        (CKA_TRUSTED, true),
        (CKA_SENSITIVE, true),
        (CKA_EXTRACTABLE, false),
        (CKA_MODIFIABLE, false),
        (CKA_COPYABLE, false),
    ],
    uses: &[CKA_WRAP],
    mechanism: Some(Operation::KeyWrap),
    inside: Some((CKA_WRAP_TEMPLATE, &CARD_TO_WRAP)),
};

/// Public key of a bureau, province or recovery HSM: keys may be sealed to it.
pub(crate) const RECIPIENT: Role = Role {
    name: "RECIPIENT",
    class: CKO_PUBLIC_KEY,
    algorithm: Algorithm::Sm2,
    flags: TRUSTED_PUBLIC,
    uses: &[CKA_WRAP],
    mechanism: Some(Operation::Seal),
    inside: None,
};

/// Public half of a signing key.
pub(crate) const VERIFYING: Role = Role {
    name: "PUBLIC HALF",
    class: CKO_PUBLIC_KEY,
    algorithm: Algorithm::Sm2,
    flags: &[(CKA_TOKEN, true), (CKA_PRIVATE, false), (CKA_MODIFIABLE, false), (CKA_COPYABLE, false)],
    uses: &[CKA_VERIFY],
    mechanism: None,
    inside: None,
};

/// Public half of an import key: for others to seal to, of no use on this token.
pub(crate) const INERT_PUBLIC: Role = Role { uses: &[], ..VERIFYING };

impl Role {
    /// The class of object, for searches.
    pub(crate) const fn class(&self) -> CK_OBJECT_CLASS {
        self.class
    }

    /// The attributes as this make of HSM takes them.
    pub(crate) fn template(&self, map: &VendorMap) -> Template {
        let types = map.key_types();
        let (key_type, value_bytes) = match self.algorithm {
            Algorithm::Hmac => (types.hmac, Some(HMAC_KEY_BYTES)),
            Algorithm::Sm2 => (types.pair, None),
            Algorithm::Sm4 => (types.block, Some(SM4_KEY_BYTES)),
        };
        let mut template = Template::default().number(CKA_CLASS, self.class).number(CKA_KEY_TYPE, key_type);
        if let Some(bytes) = value_bytes {
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
        if let Some(number) = self.mechanism.and_then(|operation| map.mechanism(operation))
            && map.supports(CKA_ALLOWED_MECHANISMS)
        {
            template = template.with(CKA_ALLOWED_MECHANISMS, Value::Numbers(vec![number]));
        }
        match self.inside {
            Some((kind, role)) if map.supports(kind) => template.with(kind, Value::Nested(role.template(map))),
            _ => template,
        }
    }
}
