//! The tables: one row for each kind of key.

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CKA_COPYABLE, CKA_DECRYPT, CKA_DERIVE, CKA_DERIVE_TEMPLATE, CKA_DESTROYABLE, CKA_ENCRYPT,
    CKA_EXTRACTABLE, CKA_MODIFIABLE, CKA_PRIVATE, CKA_SENSITIVE, CKA_SIGN, CKA_TOKEN, CKA_TRUSTED, CKA_UNWRAP,
    CKA_UNWRAP_TEMPLATE, CKA_VERIFY, CKA_WRAP, CKA_WRAP_TEMPLATE, CKA_WRAP_WITH_TRUSTED, CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY, CKO_SECRET_KEY,
};

use super::{Algorithm, Role};
use crate::vendor::{Operation, VendorMap};

/// Every use of a secret key.
pub(crate) const SECRET_USES: [CK_ATTRIBUTE_TYPE; 7] =
    [CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE];
pub(super) const PRIVATE_USES: &[CK_ATTRIBUTE_TYPE] = &[CKA_DECRYPT, CKA_SIGN, CKA_UNWRAP, CKA_DERIVE];
pub(super) const PUBLIC_USES: &[CK_ATTRIBUTE_TYPE] = &[CKA_ENCRYPT, CKA_VERIFY, CKA_WRAP, CKA_DERIVE];

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
    algorithm: Algorithm::Card,
    flags: &[
        (CKA_TOKEN, false),
        (CKA_PRIVATE, true),
        (CKA_SENSITIVE, true),
        (CKA_EXTRACTABLE, true),
        (CKA_WRAP_WITH_TRUSTED, true),
    ],
    uses: &[],
    mechanism: None,
    arrives: false,
    inside: None,
};

/// What a transport or personalization key may wrap: a key without uses.
const CARD_TO_WRAP: Role =
    Role { name: "CARD to wrap", flags: &[(CKA_SENSITIVE, true), (CKA_WRAP_WITH_TRUSTED, true)], ..CARD };

/// A card key on its way through a bureau's token: what the transport key there pins.
const ARRIVING_CARD: Role = Role { name: "CARD from the instance", arrives: true, ..CARD };

/// A card key derived a second time, to say its check value where the token shows none of card keys.
pub(crate) const CHECKED: Role =
    Role { name: "CARD to check", flags: PASSING, uses: &[CKA_DERIVE], mechanism: Some(VendorMap::diversify), ..CARD };

/// What a personalization key may wrap: the same after it was unwrapped.
const CARD_TO_REWRAP: Role = Role { name: "CARD to rewrap", arrives: true, ..CARD_TO_WRAP };

/// A root or group key: diversifies and nothing else.
pub(crate) const MASTER: Role = Role {
    name: "MASTER",
    class: CKO_SECRET_KEY,
    algorithm: Algorithm::Card,
    flags: KEPT_MASTER,
    uses: &[CKA_DERIVE],
    mechanism: Some(VendorMap::diversify),
    arrives: true,
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
    algorithm: Algorithm::Card,
    flags: PASSING,
    uses: &[CKA_DERIVE],
    mechanism: Some(VendorMap::diversify),
    arrives: false,
    inside: Some((CKA_DERIVE_TEMPLATE, &ARRIVING_MASTER)),
};

/// One root component after unwrapping; its only child is the seed.
pub(crate) const COMPONENT: Role = Role {
    name: "COMPONENT",
    class: CKO_SECRET_KEY,
    algorithm: Algorithm::Card,
    flags: PASSING,
    uses: &[CKA_DERIVE],
    mechanism: Some(|_| Operation::XorKeys),
    arrives: true,
    inside: Some((CKA_DERIVE_TEMPLATE, &SEED)),
};

/// LOG KEY and INSTANCE KEY: sign.
pub(crate) const SIGNING: Role = Role {
    name: "SIGNING KEY",
    class: CKO_PRIVATE_KEY,
    algorithm: Algorithm::Pair,
    flags: KEPT,
    uses: &[CKA_SIGN],
    mechanism: Some(|_| Operation::Sign),
    arrives: false,
    inside: None,
};

/// IMPORT KEY: opens sealed masters.
pub(crate) const IMPORT: Role = Role {
    name: "IMPORT KEY",
    class: CKO_PRIVATE_KEY,
    algorithm: Algorithm::Seal,
    flags: KEPT,
    uses: &[CKA_UNWRAP],
    mechanism: Some(|_| Operation::Open),
    arrives: false,
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
    algorithm: Algorithm::Block,
    flags: KEPT,
    uses: &[CKA_UNWRAP],
    mechanism: Some(|_| Operation::KeyWrap),
    arrives: true,
    inside: Some((CKA_UNWRAP_TEMPLATE, &ARRIVING_CARD)),
};

/// INDEX KEY: HMAC of card identifiers.
pub(crate) const INDEX: Role = Role {
    name: "INDEX KEY",
    class: CKO_SECRET_KEY,
    algorithm: Algorithm::Hmac,
    flags: KEPT,
    uses: &[CKA_SIGN],
    mechanism: Some(|_| Operation::Hmac),
    arrives: false,
    inside: None,
};

/// STORAGE KEY: card lists at rest.
pub(crate) const STORAGE: Role = Role {
    name: "STORAGE KEY",
    class: CKO_SECRET_KEY,
    algorithm: Algorithm::Block,
    flags: KEPT,
    uses: &[CKA_ENCRYPT, CKA_DECRYPT],
    mechanism: Some(VendorMap::storage),
    arrives: false,
    inside: None,
};

/// BUREAU KEK: wraps card keys; leaves once, sealed to the bureau.
pub(crate) const TRANSPORT: Role = Role {
    name: "TRANSPORT KEY",
    class: CKO_SECRET_KEY,
    algorithm: Algorithm::Block,
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
    mechanism: Some(|_| Operation::KeyWrap),
    arrives: false,
    inside: Some((CKA_WRAP_TEMPLATE, &CARD_TO_WRAP)),
};

/// The bureau's key towards its personalization machine: wraps card keys, never leaves.
pub(crate) const PERSONALIZATION: Role = Role {
    name: "PERSONALIZATION KEY",
    class: CKO_SECRET_KEY,
    algorithm: Algorithm::Block,
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
    mechanism: Some(|_| Operation::KeyWrap),
    arrives: false,
    inside: Some((CKA_WRAP_TEMPLATE, &CARD_TO_REWRAP)),
};

/// Public key of a bureau, province or recovery HSM: keys may be sealed to it.
pub(crate) const RECIPIENT: Role = Role {
    name: "RECIPIENT",
    class: CKO_PUBLIC_KEY,
    algorithm: Algorithm::Seal,
    flags: TRUSTED_PUBLIC,
    uses: &[CKA_WRAP],
    mechanism: Some(|_| Operation::Seal),
    arrives: false,
    inside: None,
};

/// Public half of a signing key.
pub(crate) const VERIFYING: Role = Role {
    name: "PUBLIC HALF",
    class: CKO_PUBLIC_KEY,
    algorithm: Algorithm::Pair,
    flags: &[(CKA_TOKEN, true), (CKA_PRIVATE, false), (CKA_MODIFIABLE, false), (CKA_COPYABLE, false)],
    uses: &[CKA_VERIFY],
    mechanism: None,
    arrives: false,
    inside: None,
};

/// Public half of an import key: for others to seal to, of no use on this token.
pub(crate) const INERT_PUBLIC: Role = Role { algorithm: Algorithm::Seal, uses: &[], ..VERIFYING };
