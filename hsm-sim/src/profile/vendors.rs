//! The tables: one vendor, one numbering. Only published numbers, and only of mechanisms that the token has; the sources
//! are named in the README. Hexadecimal unless a vendor counts in decimal.

mod chinese;
mod others;
mod own;

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_FLAGS, CK_KEY_TYPE, CK_ULONG, CKA_ALLOWED_MECHANISMS, CKA_DERIVE_TEMPLATE, CKA_TRUSTED,
    CKA_UNWRAP_TEMPLATE, CKA_WRAP_TEMPLATE, CKA_WRAP_WITH_TRUSTED, CKF_DECRYPT, CKF_DERIVE, CKF_DIGEST, CKF_EC_F_P,
    CKF_EC_OID, CKF_EC_UNCOMPRESS, CKF_ENCRYPT, CKF_GENERATE, CKF_GENERATE_KEY_PAIR, CKF_SIGN, CKF_UNWRAP, CKF_VERIFY,
    CKF_WRAP, CKK_GENERIC_SECRET, CKM_GENERIC_SECRET_KEY_GEN, CKM_SHA256_HMAC,
};

use super::{CiphertextForm, Form, HashKind, KeyKind, Mech, Row, SignatureForm, SignerId};

/// One vendor's numbers and habits.
pub(super) struct Vendor {
    pub(super) name: &'static str,
    pub(super) mechanisms: &'static [Row],
    pub(super) key_kinds: &'static [(KeyKind, CK_KEY_TYPE)],
    /// Attributes that its tokens do not know.
    pub(super) lacks: &'static [CK_ATTRIBUTE_TYPE],
    /// SM2 key pairs are made only if CKA_EC_PARAMS is stated.
    pub(super) curve_required: bool,
}

/// Every numbering.
pub(super) const VENDORS: [&Vendor; 9] = [
    &own::HSM_SIM,
    &others::IBM_EP11,
    &others::LUNA,
    &chinese::SANSEC,
    &chinese::TASS,
    &chinese::KOAL,
    &chinese::WESTONE,
    &chinese::LOW_NUMBERS,
    &others::XIPKI,
];

/// Start of the block that vendors number freely (`CKM_VENDOR_DEFINED`, `CKK_VENDOR_DEFINED`).
const V: CK_ULONG = 0x8000_0000;

const CRYPT: CK_FLAGS = CKF_ENCRYPT | CKF_DECRYPT;
const SIGN: CK_FLAGS = CKF_SIGN | CKF_VERIFY;
const WRAP: CK_FLAGS = CKF_WRAP | CKF_UNWRAP;
const EC: CK_FLAGS = CKF_EC_F_P | CKF_EC_OID | CKF_EC_UNCOMPRESS;

/// The extensions of PKCS#11 2.40 that decide where keys may go; on these tokens they do not exist.
const NO_PINS: &[CK_ATTRIBUTE_TYPE] = &[
    CKA_ALLOWED_MECHANISMS,
    CKA_TRUSTED,
    CKA_WRAP_WITH_TRUSTED,
    CKA_WRAP_TEMPLATE,
    CKA_UNWRAP_TEMPLATE,
    CKA_DERIVE_TEMPLATE,
];

const fn row(mech: Mech, number: CK_ULONG, (min, max): (CK_ULONG, CK_ULONG), flags: CK_FLAGS) -> Row {
    Row { mech, number, min, max, flags, form: Form::STANDARD }
}

const fn key_gen(mech: Mech, number: CK_ULONG) -> Row {
    row(mech, number, (16, 16), CKF_GENERATE)
}

const fn pair_gen(number: CK_ULONG) -> Row {
    row(Mech::Sm2KeyPairGen, number, (256, 256), CKF_GENERATE_KEY_PAIR | EC)
}

/// A block cipher that does not wrap.
const fn cipher(mech: Mech, number: CK_ULONG) -> Row {
    row(mech, number, (16, 16), CRYPT)
}

/// A block cipher that wraps too, as PKCS#11 2.40 has it for its own: such tokens have nothing better.
const fn wrapping(mech: Mech, number: CK_ULONG) -> Row {
    row(mech, number, (16, 16), CRYPT | WRAP)
}

/// Derivation by encryption.
const fn derives(mech: Mech, number: CK_ULONG) -> Row {
    row(mech, number, (16, 16), CKF_DERIVE)
}

/// A MAC under the key of a block cipher.
const fn mac(mech: Mech, number: CK_ULONG) -> Row {
    row(mech, number, (16, 16), SIGN)
}

const fn signs(mech: Mech, number: CK_ULONG, signature: SignatureForm, signer_id: SignerId) -> Row {
    let row = row(mech, number, (256, 256), SIGN | EC);
    Row { form: Form { signature, signer_id, ..Form::STANDARD }, ..row }
}

const fn seals(number: CK_ULONG, flags: CK_FLAGS, ciphertext: CiphertextForm) -> Row {
    let row = row(Mech::Sm2Encrypt, number, (256, 256), flags | EC);
    Row { form: Form { ciphertext, ..Form::STANDARD }, ..row }
}

const fn digest(number: CK_ULONG) -> Row {
    hashes(HashKind::Sm3, number)
}

const fn hashes(kind: HashKind, number: CK_ULONG) -> Row {
    row(Mech::Digest(kind), number, (0, 0), CKF_DIGEST)
}

const fn hmac(kind: HashKind, number: CK_ULONG) -> Row {
    row(Mech::Hmac(kind), number, (1, 512), SIGN)
}

// The standard's own, which no vendor needs to number.
const GENERIC_SECRETS: Row = row(Mech::GenericSecretKeyGen, CKM_GENERIC_SECRET_KEY_GEN, (16, 512), CKF_GENERATE);
const HMAC_SHA256: Row = hmac(HashKind::Sha256, CKM_SHA256_HMAC);
const GENERIC: (KeyKind, CK_KEY_TYPE) = (KeyKind::Generic, CKK_GENERIC_SECRET);
