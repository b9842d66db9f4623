//! Makers outside China, and the neutral numbers of a wrapper.

use cryptoki_sys::{
    CK_ULONG, CKA_ALLOWED_MECHANISMS, CKA_TRUSTED, CKA_UNWRAP_TEMPLATE, CKA_WRAP_TEMPLATE, CKA_WRAP_WITH_TRUSTED,
};

use super::{
    CRYPT,
    CiphertextForm::C1C3C2,
    GENERIC, GENERIC_SECRETS, HMAC_SHA256, HashKind, KeyKind, Mech, NO_PINS,
    SignatureForm::Pair,
    SignerId::{AnyOrDefault, Default},
    V, Vendor, WRAP, cipher, derives, digest, hmac, key_gen, mac, pair_gen, seals, signs, wrapping,
};

/// Start of the block of the xipki wrapper.
const X: CK_ULONG = 0xFFFF_F000;

/// The only published set that numbers SM4 derive-by-encryption.
pub(super) const IBM_EP11: Vendor = Vendor {
    name: "ibm-ep11",
    mechanisms: &[
        key_gen(Mech::Sm4KeyGen, V + 0x50001),
        wrapping(Mech::Sm4Cbc, V + 0x50002),
        wrapping(Mech::Sm4CbcPad, V + 0x50003),
        wrapping(Mech::Sm4Ecb, V + 0x50004),
        mac(Mech::Sm4MacGeneral, V + 0x50007),
        derives(Mech::Sm4EcbEncryptData, V + 0x50009),
        pair_gen(V + 0x5000A),
        signs(Mech::Sm2Raw, V + 0x5000B, Pair, AnyOrDefault),
        signs(Mech::Sm2Sm3, V + 0x5000C, Pair, AnyOrDefault),
        seals(V + 0x5000D, CRYPT | WRAP, C1C3C2),
        digest(V + 0x5000E),
        mac(Mech::Sm4Mac, V + 0x58007),
        GENERIC_SECRETS,
        HMAC_SHA256,
    ],
    key_kinds: &[(KeyKind::Sm4, V + 0x50001), (KeyKind::Sm2, V + 0x50002), GENERIC],
    lacks: NO_PINS,
    curve_required: false,
};

pub(super) const LUNA: Vendor = Vendor {
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
        hmac(HashKind::Sm3, V + 0xB02),
        GENERIC_SECRETS,
        HMAC_SHA256,
    ],
    key_kinds: &[(KeyKind::Sm4, V + 0x15), (KeyKind::Sm2, V + 0x16), GENERIC],
    lacks: &[CKA_ALLOWED_MECHANISMS, CKA_TRUSTED, CKA_WRAP_WITH_TRUSTED, CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE],
    curve_required: true,
};

/// No vendor: the neutral numbers of a widely used wrapper.
pub(super) const XIPKI: Vendor = Vendor {
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
        mac(Mech::Sm4MacGeneral, X + 9),
        mac(Mech::Sm4Mac, X + 0xA),
        wrapping(Mech::Sm4CbcPad, X + 0xB),
        cipher(Mech::Sm4Gcm, X + 0xD),
    ],
    key_kinds: &[(KeyKind::Sm2, X + 1), (KeyKind::Sm4, X + 2)],
    lacks: &[],
    curve_required: false,
};
