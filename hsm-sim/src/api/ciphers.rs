//! Encryption, decryption, digests, signatures (PKCS#11 2.40 §5.8 to §5.12): which key a started operation may use.

use std::sync::Arc;

use cryptoki_sys::{
    CK_OBJECT_HANDLE, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_SECRET_KEY, CKR_KEY_HANDLE_INVALID, CKR_KEY_INDIGESTIBLE,
    CKR_KEY_TYPE_INCONSISTENT, CKR_MECHANISM_INVALID,
};

use super::objects::kind_of_key;
use crate::{
    attribute::Flags,
    mechanism::{
        Mechanism,
        cipher::{CipherOperation, Direction},
        hash::HashKind,
        mac::MacOperation,
    },
    object::Object,
    profile::{KeyKind, Mech},
    rv::{Result, Rv, ensure},
    session::{DigestOperation, Session},
};

/// C_EncryptInit, C_DecryptInit.
pub(crate) fn start_cipher(
    session: &Session,
    direction: Direction,
    mechanism: &Mechanism,
    key: CK_OBJECT_HANDLE,
) -> Result<CipherOperation> {
    let (usage, half) = match direction {
        Direction::Encrypt => (Flags::ENCRYPT, CKO_PUBLIC_KEY),
        Direction::Decrypt => (Flags::DECRYPT, CKO_PRIVATE_KEY),
    };
    let fits = |key: &Object, kind| match mechanism.mech {
        Mech::Sm2Encrypt => Ok(key.class() == half),
        mech => Ok(kind == mech.block_cipher().ok_or(Rv(CKR_MECHANISM_INVALID))?),
    };
    let key = usable(session, key, usage, mechanism, fits)?;
    CipherOperation::start(direction, mechanism, key)
}

/// C_SignInit (`usage` SIGN), C_VerifyInit (`usage` VERIFY).
pub(crate) fn start_mac(
    session: &Session,
    usage: Flags,
    mechanism: &Mechanism,
    key: CK_OBJECT_HANDLE,
) -> Result<MacOperation> {
    let half = if usage == Flags::SIGN { CKO_PRIVATE_KEY } else { CKO_PUBLIC_KEY };
    let fits = |key: &Object, kind| match mechanism.mech {
        Mech::Hmac(HashKind::Sm3) => Ok(matches!(kind, KeyKind::Generic | KeyKind::HmacSm3)),
        Mech::Hmac(_) => Ok(kind == KeyKind::Generic),
        Mech::Sm4Cmac | Mech::Sm4Mac | Mech::Sm4MacGeneral => Ok(kind == KeyKind::Sm4),
        Mech::Sm1Mac | Mech::Sm1MacGeneral => Ok(kind == KeyKind::Sm1),
        Mech::Sm2Raw | Mech::Sm2Sm3 => Ok(key.class() == half),
        _ => Err(Rv(CKR_MECHANISM_INVALID)),
    };
    let key = usable(session, key, usage, mechanism, fits)?;
    MacOperation::start(mechanism, key)
}

/// C_DigestInit.
pub(crate) fn start_digest(mechanism: &Mechanism) -> Result<DigestOperation> {
    match mechanism.mech {
        Mech::Digest(kind) => Ok(DigestOperation::start(kind)),
        _ => Err(Rv(CKR_MECHANISM_INVALID)),
    }
}

/// C_DigestKey. The digest of a key that may not be read would let its holder test guesses, and short keys be found.
pub(crate) fn digest_key(session: &Session, operation: &mut DigestOperation, key: CK_OBJECT_HANDLE) -> Result<()> {
    let key = session.token().key(key, CKR_KEY_HANDLE_INVALID)?;
    let readable = key.class() == CKO_SECRET_KEY && !key.is(Flags::SENSITIVE) && key.is(Flags::EXTRACTABLE);
    ensure(readable, CKR_KEY_INDIGESTIBLE)?;
    operation.update(key.secret()?.expose());
    Ok(())
}

fn usable(
    session: &Session,
    key: CK_OBJECT_HANDLE,
    usage: Flags,
    mechanism: &Mechanism,
    fits: impl Fn(&Object, KeyKind) -> Result<bool>,
) -> Result<Arc<Object>> {
    let key = session.token().key(key, CKR_KEY_HANDLE_INVALID)?;
    ensure(fits(&key, kind_of_key(&key)?)?, CKR_KEY_TYPE_INCONSISTENT)?;
    crate::rules::usage::ensure_use(&key, usage, mechanism.number)?;
    Ok(key)
}
