//! The simulator's own numbering, which has everything: IBM EP11's numbers, the standard's for
//! SHA-2, and what both lack in a block from V+0x0D530001.

use cryptoki_sys::{
    CKF_DERIVE, CKM_SHA224, CKM_SHA224_HMAC, CKM_SHA256, CKM_SHA384, CKM_SHA384_HMAC, CKM_SHA512, CKM_SHA512_HMAC,
};

use super::{
    CRYPT, CiphertextForm::Der, GENERIC, GENERIC_SECRETS, HMAC_SHA256, HashKind, KeyKind, Mech, SIGN,
    SignatureForm::Pair, SignerId::AnyOrDefault, V, Vendor, WRAP, cipher, derives, digest, hashes, hmac, key_gen,
    pair_gen, row, seals, signs,
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
        hmac(HashKind::Sm3, OURS + 4),
        row(Mech::XorKeys, OURS + 5, (16, 128), CKF_DERIVE),
        GENERIC_SECRETS,
        hashes(HashKind::Sha224, CKM_SHA224),
        hmac(HashKind::Sha224, CKM_SHA224_HMAC),
        hashes(HashKind::Sha256, CKM_SHA256),
        HMAC_SHA256,
        hashes(HashKind::Sha384, CKM_SHA384),
        hmac(HashKind::Sha384, CKM_SHA384_HMAC),
        hashes(HashKind::Sha512, CKM_SHA512),
        hmac(HashKind::Sha512, CKM_SHA512_HMAC),
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
