//! Check values: the first three bytes of `E_K(0)`, by the token.
//!
//! Most makes show them as CKA_CHECK_VALUE. SoftHSM does so for generated keys only, shows the first bytes of SHA-1
//! for derived ones and nothing for unwrapped ones. There a key with DERIVE is confirmed by the three bytes it derives
//! from the zero block, which are the same, and a card key by a second copy of it that may derive. No diversification
//! block is zero, so those three bytes are never part of a card key. Guards: the three bytes are a session object,
//! destroyed on every path; what cannot be confirmed is `None` and never taken for a match.

use cryptoki_sys::{
    CK_MECHANISM_TYPE, CK_OBJECT_HANDLE, CKA_CHECK_VALUE, CKA_CLASS, CKA_EXTRACTABLE, CKA_KEY_TYPE, CKA_PRIVATE,
    CKA_SENSITIVE, CKA_TOKEN, CKA_VALUE, CKA_VALUE_LEN, CKK_GENERIC_SECRET, CKO_SECRET_KEY,
};
use kms_core::ports::HsmResult;
use kms_core::secret::{Kcv, KcvMethod};

use crate::fault::refused;
use crate::lanes::Lane;
use crate::raw::{Encoded, Mechanism, Parameter};
use crate::session::{Passing, Token};
use crate::template::{CHECKED, Role, Template};
use crate::twice::twice;
use crate::vendor::CheckValue;
use crate::wire::KCV_BYTES;

/// Longest check value a token answers, in bytes: one block.
const CHECK_VALUE_BYTES_MAX: usize = 16;
/// What check values are made of.
const ZEROS: [u8; 16] = [0; 16];

/// Bytes of a check value.
pub(crate) type Bytes = [u8; KCV_BYTES];

/// How check values are asked for on a make; shared by the lanes of an order.
pub(crate) enum Plan {
    /// CKA_CHECK_VALUE.
    Attribute,
    /// By derivation: the number, and the template of a card key that may derive.
    Derive(CK_MECHANISM_TYPE, Template),
}

impl Plan {
    /// The way of this token's map.
    pub(crate) fn new(token: &Token) -> HsmResult<Self> {
        let map = token.map();
        match map.check_value() {
            CheckValue::Attribute if map.supports(CKA_CHECK_VALUE) => Ok(Self::Attribute),
            CheckValue::Attribute => {
                let detail = format!("vendor map {} lacks check-value: no key can be confirmed", map.name());
                Err(refused("vendor map", "OPERATION_NOT_MAPPED", detail))
            }
            CheckValue::Derive => {
                let number = token.mechanism(map.diversify(), Parameter::Nothing)?.number;
                Ok(Self::Derive(number, CHECKED.template(map)))
            }
        }
    }

    /// For one lane.
    pub(crate) fn checker(&self) -> Checker {
        match self {
            Self::Attribute => Checker::Attribute,
            Self::Derive(diversify, second) => Checker::Derive(Box::new(Deriving {
                diversify: *diversify,
                second: Encoded::of(second),
                three_bytes: Encoded::of(&three_bytes()),
            })),
        }
    }
}

/// Asks for check values, in one lane.
pub(crate) enum Checker {
    /// CKA_CHECK_VALUE.
    Attribute,
    /// By derivation.
    Derive(Box<Deriving>),
}

/// Number and templates for check values by derivation.
pub(crate) struct Deriving {
    diversify: CK_MECHANISM_TYPE,
    second: Encoded,
    three_bytes: Encoded,
}

impl Checker {
    /// Of a key that derives.
    pub(crate) fn of_base(&mut self, lane: &Lane<'_>, key: CK_OBJECT_HANDLE) -> HsmResult<Bytes> {
        match self {
            Self::Attribute => attribute(lane, key),
            Self::Derive(deriving) => deriving.of_base(lane, key),
        }
    }

    /// Of a card key just derived from `base` by `block`.
    pub(crate) fn of_child(
        &mut self,
        lane: &Lane<'_>,
        (base, block): (CK_OBJECT_HANDLE, &[u8; 16]),
        child: CK_OBJECT_HANDLE,
    ) -> HsmResult<Bytes> {
        match self {
            Self::Attribute => attribute(lane, child),
            Self::Derive(deriving) => {
                let mechanism = Mechanism { number: deriving.diversify, parameter: Parameter::Data(block) };
                let second = lane.functions.derive_key(lane.session, mechanism, base, &mut deriving.second)?;
                let second = Passing::new(lane.functions, lane.session, second);
                let value = deriving.of_base(lane, second.handle())?;
                second.destroy()?;
                Ok(value)
            }
        }
    }
}

impl Deriving {
    fn of_base(&mut self, lane: &Lane<'_>, key: CK_OBJECT_HANDLE) -> HsmResult<Bytes> {
        let mechanism = Mechanism { number: self.diversify, parameter: Parameter::Data(&ZEROS) };
        let child = lane.functions.derive_key(lane.session, mechanism, key, &mut self.three_bytes)?;
        let child = Passing::new(lane.functions, lane.session, child);
        let mut value = [0; KCV_BYTES];
        let length = lane.functions.value_into(lane.session, child.handle(), CKA_VALUE, &mut value)?;
        child.destroy()?;
        if length == KCV_BYTES { Ok(value) } else { Err(not_a_check_value(length)) }
    }
}

/// A readable key of three bytes.
fn three_bytes() -> Template {
    Template::default()
        .number(CKA_CLASS, CKO_SECRET_KEY)
        .number(CKA_KEY_TYPE, CKK_GENERIC_SECRET)
        .number(CKA_VALUE_LEN, KCV_BYTES as u64)
        .flag(CKA_TOKEN, false)
        .flag(CKA_PRIVATE, true)
        .flag(CKA_SENSITIVE, false)
        .flag(CKA_EXTRACTABLE, true)
}

/// CKA_CHECK_VALUE.
pub(crate) fn attribute(lane: &Lane<'_>, key: CK_OBJECT_HANDLE) -> HsmResult<Bytes> {
    let mut value = [0; CHECK_VALUE_BYTES_MAX];
    let length = lane.functions.value_into(lane.session, key, CKA_CHECK_VALUE, &mut value)?;
    let found = value.get(..length).and_then(|value| value.first_chunk());
    found.copied().ok_or_else(|| not_a_check_value(length))
}

fn not_a_check_value(length: usize) -> kms_core::ports::HsmError {
    refused("C_GetAttributeValue", "CHECK_VALUE", format!("a check value of {length} bytes"))
}

/// A check value in the domain's form.
pub(crate) fn kcv(bytes: &Bytes) -> HsmResult<Kcv> {
    Kcv::truncated(KcvMethod::Ecb3, bytes)
        .map_err(|error| refused("C_GetAttributeValue", "CHECK_VALUE", error.to_string()))
}

/// Of a lasting key: a master, or one that was generated.
pub(crate) fn of_key(token: &mut Token, role: &Role, key: CK_OBJECT_HANDLE) -> HsmResult<Kcv> {
    let (session, functions) = (token.session()?, token.functions());
    let (lane, plan) = (Lane { functions: &functions, session }, Plan::new(token)?);
    let mut checker = plan.checker();
    let ask = || if role.derives() { checker.of_base(&lane, key) } else { attribute(&lane, key) };
    kcv(&twice("C_GetAttributeValue", ask)?)
}

/// Of a child that was just derived.
pub(crate) fn of_child(
    token: &mut Token,
    from: (CK_OBJECT_HANDLE, &[u8; 16]),
    child: CK_OBJECT_HANDLE,
) -> HsmResult<Kcv> {
    let (session, functions) = (token.session()?, token.functions());
    let (lane, mut checker) = (Lane { functions: &functions, session }, Plan::new(token)?.checker());
    kcv(&twice("C_GetAttributeValue", || checker.of_child(&lane, from, child))?)
}

/// Of a key that was unwrapped and does not derive; `None` where this make shows none of such keys.
pub(crate) fn of_unwrapped(token: &mut Token, key: CK_OBJECT_HANDLE) -> HsmResult<Option<Kcv>> {
    let (session, functions) = (token.session()?, token.functions());
    match Plan::new(token)? {
        Plan::Attribute => {
            let lane = Lane { functions: &functions, session };
            kcv(&twice("C_GetAttributeValue", || attribute(&lane, key))?).map(Some)
        }
        Plan::Derive(..) => Ok(None),
    }
}

/// Compares a check value with the declared one; answers it.
pub(crate) fn compare(found: Kcv, declared: Kcv, function: &str, which: impl Fn() -> String) -> HsmResult<Kcv> {
    if declared.method() != KcvMethod::Ecb3 {
        let detail = format!("{}: declared by {}, the token computes ecb3", which(), declared.method());
        return Err(refused(function, "KCV_METHOD", detail));
    }
    match declared.must_equal(&found) {
        Ok(()) => Ok(found),
        Err(mismatch) => Err(refused(function, "KCV_MISMATCH", format!("{}: {mismatch}", which()))),
    }
}
