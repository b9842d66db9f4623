//! The tables: one vendor, one numbering. Only published numbers, and only of mechanisms that the token has; the sources
//! are named in the README. Hexadecimal unless a vendor counts in decimal.

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_FLAGS, CK_KEY_TYPE, CK_ULONG, CKA_ALLOWED_MECHANISMS, CKA_DERIVE_TEMPLATE, CKA_TRUSTED,
    CKA_UNWRAP_TEMPLATE, CKA_WRAP_TEMPLATE, CKA_WRAP_WITH_TRUSTED, CKF_DECRYPT, CKF_DERIVE, CKF_DIGEST, CKF_EC_F_P,
    CKF_EC_OID, CKF_EC_UNCOMPRESS, CKF_ENCRYPT, CKF_GENERATE, CKF_GENERATE_KEY_PAIR, CKF_SIGN, CKF_UNWRAP, CKF_VERIFY,
    CKF_WRAP, CKK_GENERIC_SECRET, CKM_GENERIC_SECRET_KEY_GEN,
};

use super::{CiphertextForm, Form, KeyKind, Mech, Row, SignatureForm, SignerId};

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

/// Start of the block that vendors number freely (`CKM_VENDOR_DEFINED`, `CKK_VENDOR_DEFINED`).
const V: CK_ULONG = 0x8000_0000;
/// Start of the block of the xipki wrapper.
const X: CK_ULONG = 0xFFFF_F000;

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

const fn signs(mech: Mech, number: CK_ULONG, signature: SignatureForm, signer_id: SignerId) -> Row {
    let row = row(mech, number, (256, 256), SIGN | EC);
    Row { form: Form { signature, signer_id, ..Form::STANDARD }, ..row }
}

const fn seals(number: CK_ULONG, flags: CK_FLAGS, ciphertext: CiphertextForm) -> Row {
    let row = row(Mech::Sm2Encrypt, number, (256, 256), flags | EC);
    Row { form: Form { ciphertext, ..Form::STANDARD }, ..row }
}

const fn digest(number: CK_ULONG) -> Row {
    row(Mech::Sm3, number, (0, 0), CKF_DIGEST)
}

const fn hmac(number: CK_ULONG) -> Row {
    row(Mech::HmacSm3, number, (1, 512), SIGN)
}

const GENERIC_SECRETS: Row = row(Mech::GenericSecretKeyGen, CKM_GENERIC_SECRET_KEY_GEN, (16, 512), CKF_GENERATE);

use CiphertextForm::{C1C3C2, Der as DerCiphertext};
use SignatureForm::{Der, Pair};
use SignerId::{AnyOrDefault, Default, Missing};

/// IBM EP11's numbers, the only published set that numbers SM4 derive-by-encryption; what it lacks is in a block of our
/// own from V+0x0D530001.
const IBM_EP11: Vendor = Vendor {
    name: "ibm-ep11",
    mechanisms: &[
        key_gen(Mech::Sm4KeyGen, V + 0x50001),
        cipher(Mech::Sm4Cbc, V + 0x50002),
        cipher(Mech::Sm4CbcPad, V + 0x50003),
        cipher(Mech::Sm4Ecb, V + 0x50004),
        row(Mech::Sm4EcbEncryptData, V + 0x50009, (16, 16), CKF_DERIVE),
        pair_gen(V + 0x5000A),
        signs(Mech::Sm2Raw, V + 0x5000B, Pair, AnyOrDefault),
        signs(Mech::Sm2Sm3, V + 0x5000C, Pair, AnyOrDefault),
        seals(V + 0x5000D, CRYPT | WRAP, DerCiphertext),
        digest(V + 0x5000E),
        row(Mech::Sm4KeyWrap, V + 0x0D53_0001, (16, 16), WRAP),
        row(Mech::Sm4Gcm, V + 0x0D53_0002, (16, 16), CRYPT | WRAP),
        row(Mech::Sm4Cmac, V + 0x0D53_0003, (16, 16), SIGN),
        hmac(V + 0x0D53_0004),
        row(Mech::XorKeys, V + 0x0D53_0005, (16, 128), CKF_DERIVE),
        GENERIC_SECRETS,
    ],
    key_kinds: &[
        (KeyKind::Sm4, V + 0x50001),
        (KeyKind::Sm2, V + 0x50002),
        (KeyKind::HmacSm3, V + 0x0D53_0001),
        (KeyKind::Generic, CKK_GENERIC_SECRET),
    ],
    lacks: &[],
    curve_required: false,
};

const LUNA: Vendor = Vendor {
    name: "luna",
    mechanisms: &[
        key_gen(Mech::Sm4KeyGen, V + 0xB10),
        wrapping(Mech::Sm4Ecb, V + 0xB11),
        wrapping(Mech::Sm4Cbc, V + 0xB12),
        wrapping(Mech::Sm4CbcPad, V + 0xB13),
        pair_gen(V + 0xB20),
        signs(Mech::Sm2Raw, V + 0xB21, Pair, Default),
        signs(Mech::Sm2Sm3, V + 0xB22, Pair, Default),
        digest(V + 0xB01),
        hmac(V + 0xB02),
        GENERIC_SECRETS,
    ],
    key_kinds: &[(KeyKind::Sm4, V + 0x15), (KeyKind::Sm2, V + 0x16), (KeyKind::Generic, CKK_GENERIC_SECRET)],
    lacks: &[CKA_ALLOWED_MECHANISMS, CKA_TRUSTED, CKA_WRAP_WITH_TRUSTED, CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE],
    curve_required: true,
};

/// The default build of its header, and the IBM block that this header repeats.
const SANSEC: Vendor = Vendor {
    name: "sansec",
    mechanisms: &[
        key_gen(Mech::Sm4KeyGen, V + 0x107),
        wrapping(Mech::Sm4Ecb, V + 0x108),
        wrapping(Mech::Sm4Cbc, V + 0x109),
        wrapping(Mech::Sm4CbcPad, V + 0xA201),
        pair_gen(V + 0x8001),
        signs(Mech::Sm2Sm3, V + 0x8100, Pair, Missing),
        signs(Mech::Sm2Sm3, V + 0x8101, Der, Missing),
        signs(Mech::Sm2Sm3, V + 0x8102, Pair, Default),
        signs(Mech::Sm2Sm3, V + 0x8103, Der, Default),
        signs(Mech::Sm2Raw, V + 0x8104, Der, Default),
        signs(Mech::Sm2Raw, V + 0x8105, Pair, Default),
        seals(V + 0x8200, CRYPT | WRAP, C1C3C2),
        seals(V + 0x8201, CRYPT | WRAP, DerCiphertext),
        digest(V + 0x9001),
        key_gen(Mech::Sm4KeyGen, V + 0x50001),
        wrapping(Mech::Sm4Cbc, V + 0x50002),
        wrapping(Mech::Sm4CbcPad, V + 0x50003),
        wrapping(Mech::Sm4Ecb, V + 0x50004),
        row(Mech::Sm4EcbEncryptData, V + 0x50009, (16, 16), CKF_DERIVE),
        key_gen(Mech::Sm1KeyGen, V + 15),
        wrapping(Mech::Sm1Ecb, V + 16),
        wrapping(Mech::Sm1Cbc, V + 17),
        wrapping(Mech::Sm1CbcPad, V + 22),
    ],
    key_kinds: &[(KeyKind::Sm4, V + 0x106), (KeyKind::Sm2, V + 4), (KeyKind::Sm1, V + 3)],
    lacks: NO_PINS,
    curve_required: false,
};

const TASS: Vendor = Vendor {
    name: "tass",
    mechanisms: &[
        key_gen(Mech::Sm4KeyGen, V + 0x107),
        wrapping(Mech::Sm4Ecb, V + 0x108),
        wrapping(Mech::Sm4Cbc, V + 0x109),
        wrapping(Mech::Sm4CbcPad, V + 0x10C),
        signs(Mech::Sm2Raw, V + 0x8000, Der, Default),
        pair_gen(V + 0x8001),
        signs(Mech::Sm2Sm3, V + 0x8100, Der, Default),
        seals(V + 0x8200, CRYPT | WRAP, C1C3C2),
        digest(V + 5),
        key_gen(Mech::Sm1KeyGen, V + 0xF),
        wrapping(Mech::Sm1Ecb, V + 0x10),
        wrapping(Mech::Sm1Cbc, V + 0x11),
        wrapping(Mech::Sm1CbcPad, V + 0x22),
    ],
    key_kinds: &[(KeyKind::Sm4, V + 2), (KeyKind::Sm2, V + 4), (KeyKind::Sm1, V + 1)],
    lacks: NO_PINS,
    curve_required: false,
};

const KOAL: Vendor = Vendor {
    name: "koal",
    mechanisms: &[
        key_gen(Mech::Sm4KeyGen, V + 0x107),
        wrapping(Mech::Sm4Ecb, V + 0x108),
        wrapping(Mech::Sm4Cbc, V + 0x109),
        wrapping(Mech::Sm4CbcPad, V + 0x10C),
        cipher(Mech::Sm4Gcm, V + 0x10F),
        pair_gen(V + 0x8001),
        signs(Mech::Sm2Sm3, V + 0x8100, Pair, Default),
        signs(Mech::Sm2Sm3, V + 0x8101, Der, Default),
        signs(Mech::Sm2Raw, V + 0x8104, Pair, Default),
        seals(V + 0x8200, CRYPT | WRAP, C1C3C2),
        digest(V + 5),
        digest(V + 6),
        wrapping(Mech::Sm1Ecb, V + 0xA),
        wrapping(Mech::Sm1Cbc, V + 0xB),
        key_gen(Mech::Sm1KeyGen, V + 0xF),
        wrapping(Mech::Sm1CbcPad, V + 0x16),
    ],
    key_kinds: &[(KeyKind::Sm4, V + 2), (KeyKind::Sm2, V + 4), (KeyKind::Sm1, V + 1)],
    lacks: &[],
    curve_required: false,
};

/// Decimal. Its headers number SM2 as 1 and 2, or as 3 and 4; these are the first.
const WESTONE: Vendor = Vendor {
    name: "westone",
    mechanisms: &[
        key_gen(Mech::Sm4KeyGen, V + 40),
        wrapping(Mech::Sm4Ecb, V + 41),
        wrapping(Mech::Sm4Cbc, V + 42),
        wrapping(Mech::Sm4CbcPad, V + 43),
        pair_gen(V + 1),
        signs(Mech::Sm2Raw, V + 2, Pair, Default),
        seals(V + 2, CRYPT, C1C3C2),
        seals(V + 61, CKF_WRAP, C1C3C2),
        seals(V + 62, CKF_UNWRAP, C1C3C2),
        digest(V + 31),
        hmac(V + 32),
        GENERIC_SECRETS,
        key_gen(Mech::Sm1KeyGen, V + 20),
        wrapping(Mech::Sm1Ecb, V + 21),
        wrapping(Mech::Sm1Cbc, V + 22),
        wrapping(Mech::Sm1CbcPad, V + 23),
    ],
    key_kinds: &[
        (KeyKind::Sm4, V + 5),
        (KeyKind::Sm2, V + 1),
        (KeyKind::Generic, CKK_GENERIC_SECRET),
        (KeyKind::Sm1, V + 3),
    ],
    lacks: &[],
    curve_required: false,
};

/// No vendor: the neutral numbers of a widely used wrapper.
const XIPKI: Vendor = Vendor {
    name: "xipki",
    mechanisms: &[
        pair_gen(X + 1),
        signs(Mech::Sm2Raw, X + 2, Pair, Default),
        signs(Mech::Sm2Sm3, X + 3, Pair, Default),
        seals(X + 4, CRYPT | WRAP, C1C3C2),
        digest(X + 5),
        key_gen(Mech::Sm4KeyGen, X + 6),
        wrapping(Mech::Sm4Ecb, X + 7),
        wrapping(Mech::Sm4Cbc, X + 8),
        wrapping(Mech::Sm4CbcPad, X + 0xB),
        cipher(Mech::Sm4Gcm, X + 0xD),
    ],
    key_kinds: &[(KeyKind::Sm2, X + 1), (KeyKind::Sm4, X + 2)],
    lacks: &[],
    curve_required: false,
};

/// The first is the default.
pub(super) const VENDORS: [&Vendor; 7] = [&IBM_EP11, &LUNA, &SANSEC, &TASS, &KOAL, &WESTONE, &XIPKI];
