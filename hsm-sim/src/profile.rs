//! Vendor numbers as data: which `CK_MECHANISM_TYPE` and `CK_KEY_TYPE` stand for which SM algorithm.
//!
//! PKCS#11 has no numbers for SM2, SM3 and SM4; every vendor chose its own and they collide. The token's code speaks
//! [`Mech`] and [`KeyKind`] only, and this table is the one place where numbers are. A further vendor is a further table.

use cryptoki_sys::{
    CK_FLAGS, CK_KEY_TYPE, CK_MECHANISM_INFO, CK_MECHANISM_TYPE, CK_ULONG, CK_UNAVAILABLE_INFORMATION, CKF_DECRYPT,
    CKF_DERIVE, CKF_DIGEST, CKF_EC_F_P, CKF_EC_OID, CKF_EC_UNCOMPRESS, CKF_ENCRYPT, CKF_GENERATE,
    CKF_GENERATE_KEY_PAIR, CKF_SIGN, CKF_UNWRAP, CKF_VERIFY, CKF_WRAP, CKK_GENERIC_SECRET, CKM_GENERIC_SECRET_KEY_GEN,
};

/// Start of the block that vendors number freely (`CKM_VENDOR_DEFINED`, `CKK_VENDOR_DEFINED`).
const V: CK_ULONG = 0x8000_0000;

/// What a mechanism does, whatever its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mech {
    /// Generates an SM4 key.
    Sm4KeyGen,
    /// SM4-ECB without padding.
    Sm4Ecb,
    /// SM4-CBC without padding; parameter: 16-byte IV.
    Sm4Cbc,
    /// SM4-CBC with PKCS#7 padding; parameter: 16-byte IV.
    Sm4CbcPad,
    /// SM4-GCM; parameter: `CK_GCM_PARAMS`. Wraps with an IV that the token makes.
    Sm4Gcm,
    /// RFC 3394 key wrap with SM4 as the block cipher.
    Sm4KeyWrap,
    /// SM4-CMAC (NIST SP 800-38B), 16-byte tag.
    Sm4Cmac,
    /// Derives a key by encrypting the parameter; parameter: `CK_KEY_DERIVATION_STRING_DATA`.
    Sm4EcbEncryptData,
    /// Generates an SM2 key pair.
    Sm2KeyPairGen,
    /// SM2 signature over a 32-byte e; r ‖ s.
    Sm2Raw,
    /// SM2 signature over a message, e = SM3(Z ‖ M); r ‖ s. Parameter: the signer ID, or nothing for the default ID.
    Sm2Sm3,
    /// SM2 encryption; DER of GM/T 0009 §7.2. Also wraps and unwraps.
    Sm2Encrypt,
    /// SM3 digest.
    Sm3,
    /// HMAC with SM3, 32-byte tag.
    HmacSm3,
    /// Generates a generic secret or an HMAC-SM3 key.
    GenericSecretKeyGen,
    /// Derives a key as the XOR of component keys; parameter: array of `CK_OBJECT_HANDLE`.
    XorKeys,
}

/// The key types the token holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// 16-byte SM4 key.
    Sm4,
    /// Key on the curve of GM/T 0003.5.
    Sm2,
    /// Any bytes.
    Generic,
    /// Key of HMAC-SM3.
    HmacSm3,
}

/// One row of a profile.
struct Row {
    mech: Mech,
    number: CK_MECHANISM_TYPE,
    min: CK_ULONG,
    max: CK_ULONG,
    flags: CK_FLAGS,
}

/// One vendor's numbers.
pub struct Profile {
    name: &'static str,
    mechanisms: &'static [Row],
    key_kinds: &'static [(KeyKind, CK_KEY_TYPE)],
}

const CRYPT: CK_FLAGS = CKF_ENCRYPT | CKF_DECRYPT;
const SIGN: CK_FLAGS = CKF_SIGN | CKF_VERIFY;
const WRAP: CK_FLAGS = CKF_WRAP | CKF_UNWRAP;
const EC: CK_FLAGS = CKF_EC_F_P | CKF_EC_OID | CKF_EC_UNCOMPRESS;

const fn row(mech: Mech, number: CK_ULONG, sizes: (CK_ULONG, CK_ULONG), flags: CK_FLAGS) -> Row {
    Row { mech, number, min: sizes.0, max: sizes.1, flags }
}

/// IBM EP11's numbers (ep11.h), the only published set that numbers SM4 derive-by-encryption; what it lacks is in a
/// block of our own from V+0x0D530001.
const IBM_EP11: Profile = Profile {
    name: "ibm-ep11",
    mechanisms: &[
        row(Mech::Sm4KeyGen, V + 0x50001, (16, 16), CKF_GENERATE),
        row(Mech::Sm4Cbc, V + 0x50002, (16, 16), CRYPT),
        row(Mech::Sm4CbcPad, V + 0x50003, (16, 16), CRYPT),
        row(Mech::Sm4Ecb, V + 0x50004, (16, 16), CRYPT),
        row(Mech::Sm4EcbEncryptData, V + 0x50009, (16, 16), CKF_DERIVE),
        row(Mech::Sm2KeyPairGen, V + 0x5000A, (256, 256), CKF_GENERATE_KEY_PAIR | EC),
        row(Mech::Sm2Raw, V + 0x5000B, (256, 256), SIGN | EC),
        row(Mech::Sm2Sm3, V + 0x5000C, (256, 256), SIGN | EC),
        row(Mech::Sm2Encrypt, V + 0x5000D, (256, 256), CRYPT | WRAP | EC),
        row(Mech::Sm3, V + 0x5000E, (0, 0), CKF_DIGEST),
        row(Mech::Sm4KeyWrap, V + 0x0D53_0001, (16, 16), WRAP),
        row(Mech::Sm4Gcm, V + 0x0D53_0002, (16, 16), CRYPT | WRAP),
        row(Mech::Sm4Cmac, V + 0x0D53_0003, (16, 16), SIGN),
        row(Mech::HmacSm3, V + 0x0D53_0004, (1, 512), SIGN),
        row(Mech::XorKeys, V + 0x0D53_0005, (16, 128), CKF_DERIVE),
        row(Mech::GenericSecretKeyGen, CKM_GENERIC_SECRET_KEY_GEN, (16, 128), CKF_GENERATE),
    ],
    key_kinds: &[
        (KeyKind::Sm4, V + 0x50001),
        (KeyKind::Sm2, V + 0x50002),
        (KeyKind::HmacSm3, V + 0x0D53_0001),
        (KeyKind::Generic, CKK_GENERIC_SECRET),
    ],
};

const PROFILES: &[Profile] = &[IBM_EP11];

impl Profile {
    /// The profile of that name; nothing is guessed.
    pub fn named(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// Used when `HSM_SIM_PROFILE` is not set.
    pub fn standard() -> &'static Self {
        &PROFILES[0]
    }

    /// Number → meaning.
    pub fn mech(&self, number: CK_MECHANISM_TYPE) -> Option<Mech> {
        self.mechanisms.iter().find(|row| row.number == number).map(|row| row.mech)
    }

    /// Meaning → number.
    pub fn number(&self, mech: Mech) -> CK_MECHANISM_TYPE {
        self.mechanisms.iter().find(|row| row.mech == mech).map_or(CK_UNAVAILABLE_INFORMATION, |row| row.number)
    }

    /// Every number, in table order.
    pub fn numbers(&self) -> impl ExactSizeIterator<Item = CK_MECHANISM_TYPE> {
        self.mechanisms.iter().map(|row| row.number)
    }

    /// `CK_MECHANISM_INFO` of a number (PKCS#11 2.40 §5.5).
    pub fn info(&self, number: CK_MECHANISM_TYPE) -> Option<CK_MECHANISM_INFO> {
        let row = self.mechanisms.iter().find(|row| row.number == number)?;
        Some(CK_MECHANISM_INFO { ulMinKeySize: row.min, ulMaxKeySize: row.max, flags: row.flags })
    }

    /// `CKA_KEY_TYPE` → meaning.
    pub fn key_kind(&self, number: CK_KEY_TYPE) -> Option<KeyKind> {
        self.key_kinds.iter().find(|(_, known)| *known == number).map(|(kind, _)| *kind)
    }

    /// Meaning → `CKA_KEY_TYPE`.
    pub fn key_type(&self, kind: KeyKind) -> CK_KEY_TYPE {
        self.key_kinds
            .iter()
            .find(|(known, _)| *known == kind)
            .map_or(CK_UNAVAILABLE_INFORMATION, |(_, number)| *number)
    }
}
