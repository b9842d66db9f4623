//! One object: its attributes, where it lives, and what reading it may show.
//!
//! Objects never change: a modified object is a new value in its table, so a call that is under way keeps a consistent
//! view. Guards: secret values leave only if SENSITIVE=F and EXTRACTABLE=T.

use std::sync::{Arc, OnceLock};

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_MECHANISM_TYPE, CK_OBJECT_CLASS, CK_SESSION_HANDLE, CK_ULONG, CK_UNAVAILABLE_INFORMATION,
    CKA_CHECK_VALUE, CKA_CLASS, CKA_END_DATE, CKA_KEY_TYPE, CKA_START_DATE, CKA_SUBJECT, CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY, CKO_SECRET_KEY, CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_KEY_SIZE_RANGE,
    CKR_KEY_TYPE_INCONSISTENT, CKR_USER_NOT_LOGGED_IN,
};
use sm4::{
    Sm4,
    cipher::{BlockCipherEncrypt, KeyInit},
};

use sm3::{Digest, Sm3};
use zeroize::Zeroize;

use crate::{
    attribute::{Attrs, Flags, Value},
    profile::{KeyKind, Profile},
    rules::build::BLOCK_KEY_BYTES,
    rv::{Result, Rv, ensure},
    secret::Secret,
};

/// What makes the stand-in for SM1 neither SM1 nor SM4.
const SM1_STAND_IN_LABEL: &[u8] = b"hsm-sim: stand-in, NOT SM1";

/// Bytes of CKA_CHECK_VALUE (PKCS#11 2.40 §4.10.2: the first three bytes of the encryption of a null block).
const CHECK_VALUE_BYTES: usize = 3;

/// Identifies a token object in every process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ObjectId(pub(crate) u64);

/// Where an object lives.
#[derive(Clone, Copy)]
pub(crate) enum Home {
    /// On the token.
    Token(ObjectId),
    /// In memory, until this session ends. A private one also ends with the login of that number.
    Session { session: CK_SESSION_HANDLE, login: u64 },
}

/// A stored or session object.
pub(crate) struct Object {
    attrs: Attrs,
    home: Home,
    kind: Option<KeyKind>,
    /// Expanded key: masters and KEKs are used a million times.
    schedule: OnceLock<Sm4>,
}

/// What reading one attribute gives.
pub(crate) enum Reading<'a> {
    Flag(bool),
    Number(CK_ULONG),
    Bytes(&'a [u8]),
    Owned(Vec<u8>),
    Mechanisms(&'a [CK_MECHANISM_TYPE]),
    Template(&'a Attrs),
}

impl Object {
    pub(crate) fn new(attrs: Attrs, home: Home, profile: &Profile) -> Self {
        let kind = attrs.number(CKA_KEY_TYPE).and_then(|number| profile.key_kind(number));
        Self { attrs, home, kind, schedule: OnceLock::new() }
    }

    pub(crate) fn attrs(&self) -> &Attrs {
        &self.attrs
    }

    pub(crate) fn home(&self) -> Home {
        self.home
    }

    pub(crate) fn is(&self, flag: Flags) -> bool {
        self.attrs.is(flag)
    }

    pub(crate) fn class(&self) -> CK_OBJECT_CLASS {
        self.attrs.number(CKA_CLASS).unwrap_or(CK_UNAVAILABLE_INFORMATION)
    }

    /// `None` for data objects.
    pub(crate) fn key_kind(&self) -> Option<KeyKind> {
        self.kind
    }

    pub(crate) fn is_secret_or_private_key(&self) -> bool {
        matches!(self.class(), CKO_SECRET_KEY | CKO_PRIVATE_KEY)
    }

    /// The key bytes. A public secret object's bytes are sealed on the token until somebody logs in.
    pub(crate) fn secret(&self) -> Result<&Arc<Secret>> {
        self.attrs.value().ok_or(Rv(CKR_USER_NOT_LOGGED_IN))
    }

    /// The expanded key of an SM4 key.
    pub(crate) fn sm4(&self) -> Result<&Sm4> {
        ensure(self.kind == Some(KeyKind::Sm4), CKR_KEY_TYPE_INCONSISTENT)?;
        self.block_cipher()
    }

    /// The expanded key of a block cipher. For SM1, which is secret, another permutation stands in: SM4 under a key that
    /// is worked out from the given one.
    pub(crate) fn block_cipher(&self) -> Result<&Sm4> {
        if let Some(schedule) = self.schedule.get() {
            return Ok(schedule);
        }
        let key = match self.kind {
            Some(KeyKind::Sm4) => self.secret()?,
            Some(KeyKind::Sm1) => &Arc::new(sm1_stand_in_key(self.secret()?)),
            _ => return Err(Rv(CKR_KEY_TYPE_INCONSISTENT)),
        };
        let schedule = Sm4::new_from_slice(key.expose()).map_err(|_| Rv(CKR_KEY_SIZE_RANGE))?;
        Ok(self.schedule.get_or_init(|| schedule))
    }

    /// May the bytes of this object be read in clear (PKCS#11 2.40 §4.1.1)?
    fn is_readable(&self) -> bool {
        !self.is_secret_or_private_key() || (!self.is(Flags::SENSITIVE) && self.is(Flags::EXTRACTABLE))
    }

    /// Reads one attribute. CKA_CHECK_VALUE is shown for sensitive keys too: it is meant to be compared.
    pub(crate) fn read(&self, attribute: CK_ATTRIBUTE_TYPE, kind: crate::attribute::Kind) -> Result<Reading<'_>> {
        use crate::attribute::Kind;
        let absent = Rv(CKR_ATTRIBUTE_TYPE_INVALID);
        match kind {
            Kind::Flag(flag) => self.attrs.flag(flag).map(Reading::Flag).ok_or(absent),
            Kind::Value if self.class() == CKO_PUBLIC_KEY => Err(absent),
            Kind::Value => {
                ensure(self.is_readable(), CKR_ATTRIBUTE_SENSITIVE)?;
                // Not even a key that may be read is readable while it lies sealed on the token.
                let value = self.attrs.value().ok_or(Rv(CKR_ATTRIBUTE_SENSITIVE))?;
                Ok(Reading::Bytes(value.expose()))
            }
            _ if attribute == CKA_CHECK_VALUE => self.check_value().map(Reading::Owned).ok_or(absent),
            _ => match self.attrs.get(attribute) {
                Some(Value::Number(number)) => Ok(Reading::Number(*number)),
                Some(Value::Bytes(bytes)) => Ok(Reading::Bytes(bytes)),
                Some(Value::Mechanisms(list)) => Ok(Reading::Mechanisms(list)),
                Some(Value::Template(template)) => Ok(Reading::Template(template)),
                None if self.is_empty_by_default(attribute) => Ok(Reading::Bytes(&[])),
                None => Err(absent),
            },
        }
    }

    /// Attributes that every such object has, "default empty" (PKCS#11 2.40 §4.6 to §4.9); they are not stored.
    fn is_empty_by_default(&self, attribute: CK_ATTRIBUTE_TYPE) -> bool {
        match attribute {
            CKA_START_DATE | CKA_END_DATE => self.kind.is_some(),
            CKA_SUBJECT => matches!(self.class(), CKO_PRIVATE_KEY | CKO_PUBLIC_KEY),
            _ => false,
        }
    }

    /// First three bytes of E_K(0), for keys of block ciphers.
    pub(crate) fn check_value(&self) -> Option<Vec<u8>> {
        if let Some(stored) = self.attrs.bytes(CKA_CHECK_VALUE) {
            return Some(stored.to_vec());
        }
        let mut block = [0; 16].into();
        self.block_cipher().ok()?.encrypt_block(&mut block);
        Some(block[..CHECK_VALUE_BYTES].to_vec())
    }

    /// Does the object fit a search or wrap template? A secret value is never compared: matching would be a way to read it.
    pub(crate) fn matches(&self, template: &Attrs) -> bool {
        if template.value().is_some() && !self.is_readable() {
            return false;
        }
        let Some(wanted) = template.bytes(CKA_CHECK_VALUE) else { return self.attrs.matches(template) };
        let mut others = template.clone();
        others.remove(CKA_CHECK_VALUE);
        self.attrs.matches(&others) && self.check_value().as_deref() == Some(wanted)
    }

    /// Bytes the object takes, roughly (PKCS#11 2.40 §5.7, C_GetObjectSize: "a close approximation").
    pub(crate) fn size(&self) -> usize {
        let rest: usize = self.attrs.rest().iter().map(|(_, value)| value_bytes(value)).sum();
        size_of::<Self>() + rest + self.attrs.value().map_or(0, |value| value.len())
    }
}

/// The first half of SM3(label ‖ key).
fn sm1_stand_in_key(key: &Secret) -> Secret {
    let mut digest = Sm3::new_with_prefix(SM1_STAND_IN_LABEL).chain_update(key.expose()).finalize();
    let derived = Secret::copy_of(&digest[..BLOCK_KEY_BYTES]);
    digest.zeroize();
    derived
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Number(_) => size_of::<CK_ULONG>(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Mechanisms(list) => size_of_val::<[_]>(list),
        Value::Template(template) => {
            template.rest().iter().map(|(_, value)| value_bytes(value)).sum::<usize>() + size_of::<Attrs>()
        }
    }
}
