//! Object classes: which attributes each has, and when a set of attributes contradicts itself.
//!
//! Guards: one key, one purpose; a template pinned on a key cannot open what the key itself closes.

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CKA_ALLOWED_MECHANISMS, CKA_APPLICATION, CKA_CHECK_VALUE, CKA_CLASS, CKA_DERIVE_TEMPLATE,
    CKA_EC_PARAMS, CKA_EC_POINT, CKA_END_DATE, CKA_ID, CKA_KEY_GEN_MECHANISM, CKA_KEY_TYPE, CKA_LABEL, CKA_OBJECT_ID,
    CKA_START_DATE, CKA_SUBJECT, CKA_UNWRAP_TEMPLATE, CKA_VALUE, CKA_VALUE_LEN, CKA_WRAP_TEMPLATE, CKO_DATA,
    CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_SECRET_KEY, CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_TEMPLATE_INCOMPLETE, CKR_TEMPLATE_INCONSISTENT,
};

use crate::{
    attribute::{Attrs, Flags, TEMPLATE_DEPTH_MAX},
    profile::{KeyKind, Profile},
    rv::{Result, Rv, ensure},
};

/// The classes the token holds (PKCS#11 2.40 §4.4 to §4.10).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    Data,
    Public(KeyKind),
    Private(KeyKind),
    Secret(KeyKind),
}

/// Groups of uses that may stand together. A key with uses of two groups turns one operation into the inverse of
/// another: wrap and decrypt reads keys, derive and encrypt computes the derived key outside.
const PURPOSES: [Flags; 5] = [
    Flags::ENCRYPT.with(Flags::DECRYPT),
    Flags::SIGN.with(Flags::VERIFY).with(Flags::SIGN_RECOVER).with(Flags::VERIFY_RECOVER),
    Flags::WRAP,
    Flags::UNWRAP,
    Flags::DERIVE,
];

const STORAGE: Flags =
    Flags::TOKEN.with(Flags::PRIVATE).with(Flags::MODIFIABLE).with(Flags::COPYABLE).with(Flags::DESTROYABLE);
const SECRECY: Flags = Flags::SENSITIVE
    .with(Flags::EXTRACTABLE)
    .with(Flags::ALWAYS_SENSITIVE)
    .with(Flags::NEVER_EXTRACTABLE)
    .with(Flags::WRAP_WITH_TRUSTED);
const KEY: Flags = STORAGE.with(Flags::DERIVE).with(Flags::LOCAL);

impl Class {
    /// The class that `attrs` describe.
    pub(crate) fn of(attrs: &Attrs, profile: &Profile) -> Result<Self> {
        let class = attrs.number(CKA_CLASS).ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
        if class == CKO_DATA {
            return Ok(Self::Data);
        }
        let make = match class {
            CKO_PUBLIC_KEY => Self::Public,
            CKO_PRIVATE_KEY => Self::Private,
            CKO_SECRET_KEY => Self::Secret,
            _ => return Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID)),
        };
        let number = attrs.number(CKA_KEY_TYPE).ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
        let kind = profile.key_kind(number).ok_or(Rv(CKR_ATTRIBUTE_VALUE_INVALID))?;
        let asymmetric = class != CKO_SECRET_KEY;
        ensure((kind == KeyKind::Sm2) == asymmetric, CKR_TEMPLATE_INCONSISTENT)?;
        Ok(make(kind))
    }

    /// The flags an object of this class has.
    pub(crate) fn flags(self) -> Flags {
        match self {
            Self::Data => STORAGE,
            Self::Public(_) => KEY
                .with(Flags::ENCRYPT)
                .with(Flags::VERIFY)
                .with(Flags::VERIFY_RECOVER)
                .with(Flags::WRAP)
                .with(Flags::TRUSTED),
            Self::Private(_) => KEY
                .with(SECRECY)
                .with(Flags::DECRYPT)
                .with(Flags::SIGN)
                .with(Flags::SIGN_RECOVER)
                .with(Flags::UNWRAP)
                .with(Flags::ALWAYS_AUTHENTICATE),
            Self::Secret(_) => KEY
                .with(SECRECY)
                .with(Flags::ENCRYPT)
                .with(Flags::DECRYPT)
                .with(Flags::SIGN)
                .with(Flags::VERIFY)
                .with(Flags::WRAP)
                .with(Flags::UNWRAP)
                .with(Flags::TRUSTED),
        }
    }

    /// Does an object of this class have this attribute, flags apart?
    pub(crate) fn has(self, attribute: CK_ATTRIBUTE_TYPE) -> bool {
        let key = self != Self::Data;
        match attribute {
            CKA_CLASS | CKA_LABEL => true,
            CKA_APPLICATION | CKA_OBJECT_ID => !key,
            CKA_VALUE => !matches!(self, Self::Public(_)),
            CKA_KEY_TYPE | CKA_ID | CKA_START_DATE | CKA_END_DATE | CKA_KEY_GEN_MECHANISM | CKA_ALLOWED_MECHANISMS => {
                key
            }
            CKA_SUBJECT | CKA_EC_PARAMS | CKA_EC_POINT => matches!(self, Self::Public(_) | Self::Private(_)),
            CKA_VALUE_LEN => matches!(self, Self::Secret(_)),
            CKA_CHECK_VALUE => matches!(self, Self::Secret(KeyKind::Sm4 | KeyKind::Sm1)),
            CKA_WRAP_TEMPLATE => matches!(self, Self::Public(_) | Self::Secret(_)),
            CKA_UNWRAP_TEMPLATE => matches!(self, Self::Private(_) | Self::Secret(_)),
            CKA_DERIVE_TEMPLATE => matches!(self, Self::Secret(_)),
            _ => false,
        }
    }

    /// Refuses attributes that the class does not have.
    pub(crate) fn ensure_fits(self, attrs: &Attrs) -> Result<()> {
        ensure(self.flags().has(attrs.known()), CKR_ATTRIBUTE_TYPE_INVALID)?;
        ensure(attrs.rest().iter().all(|(kind, _)| self.has(*kind)), CKR_ATTRIBUTE_TYPE_INVALID)?;
        ensure(attrs.value().is_none() || self.has(CKA_VALUE), CKR_ATTRIBUTE_TYPE_INVALID)
    }
}

/// Refuses a key with more than one purpose.
pub(crate) fn ensure_one_purpose(uses: Flags) -> Result<()> {
    ensure(PURPOSES.iter().filter(|purpose| uses.touches(**purpose)).count() <= 1, CKR_TEMPLATE_INCONSISTENT)
}

/// Refuses a key pair whose halves undo each other: what the public half wraps, the private half must not open inside
/// the same token.
pub(crate) fn ensure_pair(public: &Attrs, private: &Attrs) -> Result<()> {
    let opens = private.on().touches(Flags::DECRYPT.with(Flags::UNWRAP));
    ensure(!(public.is(Flags::WRAP) && opens), CKR_TEMPLATE_INCONSISTENT)
}

/// Refuses nested templates that open what their holder closes. `readable_keys_allowed` is for unwrapping keys whose
/// value the caller knew anyway.
pub(crate) fn ensure_pins(holder: &Attrs, readable_keys_allowed: bool) -> Result<()> {
    for (attribute, is_grant) in [(CKA_DERIVE_TEMPLATE, true), (CKA_UNWRAP_TEMPLATE, true), (CKA_WRAP_TEMPLATE, false)]
    {
        let Some(pins) = holder.template(attribute) else { continue };
        let opens = pins.flag(Flags::SENSITIVE) == Some(false);
        if attribute == CKA_DERIVE_TEMPLATE {
            ensure(!(opens && holder.is(Flags::SENSITIVE)), CKR_TEMPLATE_INCONSISTENT)?;
        }
        if attribute == CKA_UNWRAP_TEMPLATE {
            ensure(!opens || readable_keys_allowed, CKR_TEMPLATE_INCONSISTENT)?;
        }
        ensure_template(pins, is_grant, 1)?;
    }
    Ok(())
}

fn ensure_template(template: &Attrs, is_grant: bool, depth: usize) -> Result<()> {
    ensure(depth <= TEMPLATE_DEPTH_MAX, CKR_TEMPLATE_INCONSISTENT)?;
    ensure(template.value().is_none() && template.get(CKA_CHECK_VALUE).is_none(), CKR_TEMPLATE_INCONSISTENT)?;
    if is_grant {
        ensure(!template.known().touches(Flags::READ_ONLY), CKR_TEMPLATE_INCONSISTENT)?;
        ensure(!template.is(Flags::TRUSTED), CKR_TEMPLATE_INCONSISTENT)?;
        ensure_one_purpose(template.on())?;
        // A key that arrives with DERIVE but without pins for its children would be a decryption oracle for whoever
        // unwraps or derives it a second time.
        let derives = template.is(Flags::DERIVE);
        ensure(!derives || template.template(CKA_DERIVE_TEMPLATE).is_some(), CKR_TEMPLATE_INCONSISTENT)?;
    }
    for attribute in [CKA_DERIVE_TEMPLATE, CKA_UNWRAP_TEMPLATE] {
        let Some(nested) = template.template(attribute) else { continue };
        let opens = nested.flag(Flags::SENSITIVE) == Some(false);
        ensure(!(opens && template.flag(Flags::SENSITIVE) != Some(false)), CKR_TEMPLATE_INCONSISTENT)?;
        ensure_template(nested, is_grant, depth + 1)?;
    }
    match template.template(CKA_WRAP_TEMPLATE) {
        Some(nested) => ensure_template(nested, false, depth + 1),
        None => Ok(()),
    }
}
