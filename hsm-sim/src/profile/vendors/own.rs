//! The simulator's own numbering, which has everything: IBM EP11's numbers, and what they lack in a block from V+0x0D530001.

use super::{
    CRYPT, CiphertextForm::Der, GENERIC, GENERIC_SECRETS, KeyKind, Mech, SIGN, SignatureForm::Pair,
    SignerId::AnyOrDefault, V, Vendor, WRAP, cipher, derives, digest, hmac, key_gen, pair_gen, row, seals, signs,
};

/// Start of our block; nobody else is known to number there.
const OURS: u64 = V + 0x0D53_0000;

pub(super) const HSM_SIM: Vendor = Vendor {
    name: "hsm-sim",
    mechanisms: &[
        key_gen(Mech::Sm4KeyGen, V + 0x50001),
        cipher(Mech::Sm4Cbc, V + 0x50002),
        cipher(Mech::Sm4CbcPad, V + 0x50003),
        cipher(Mech::Sm4Ecb, V + 0x50004),
        derives(Mech::Sm4EcbEncryptData, V + 0x50009),
        pair_gen(V + 0x5000A),
        signs(Mech::Sm2Raw, V + 0x5000B, Pair, AnyOrDefault),
        signs(Mech::Sm2Sm3, V + 0x5000C, Pair, AnyOrDefault),
        seals(V + 0x5000D, CRYPT | WRAP, Der),
        digest(V + 0x5000E),
        row(Mech::Sm4KeyWrap, OURS + 1, (16, 16), WRAP),
        row(Mech::Sm4Gcm, OURS + 2, (16, 16), CRYPT | WRAP),
        row(Mech::Sm4Cmac, OURS + 3, (16, 16), SIGN),
        hmac(Mech::HmacSm3, OURS + 4),
        row(Mech::XorKeys, OURS + 5, (16, 128), cryptoki_sys::CKF_DERIVE),
        GENERIC_SECRETS,
        key_gen(Mech::Sm1KeyGen, OURS + 0x11),
        cipher(Mech::Sm1Ecb, OURS + 0x12),
        cipher(Mech::Sm1Cbc, OURS + 0x13),
        cipher(Mech::Sm1CbcPad, OURS + 0x14),
        derives(Mech::Sm1EcbEncryptData, OURS + 0x15),
    ],
    key_kinds: &[
        (KeyKind::Sm4, V + 0x50001),
        (KeyKind::Sm2, V + 0x50002),
        (KeyKind::HmacSm3, OURS + 1),
        (KeyKind::Sm1, OURS + 0x11),
        GENERIC,
    ],
    lacks: &[],
    curve_required: false,
};
