//! Vendor numbers as data: which `CK_MECHANISM_TYPE` and `CK_KEY_TYPE` stand for which SM algorithm.
//!
//! PKCS#11 has no numbers for SM2, SM3 and SM4; every vendor chose its own and they collide. The token's code speaks
//! [`Mech`], [`Form`] and [`KeyKind`] only; `vendors` is the one place where numbers are. A further vendor is a further table.

mod vendors;

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_FLAGS, CK_KEY_TYPE, CK_MECHANISM_INFO, CK_MECHANISM_TYPE, CK_ULONG,
    CK_UNAVAILABLE_INFORMATION,
};

use self::vendors::{VENDORS, Vendor};
use crate::mechanism::hash::HashKind;

/// What a mechanism does, whatever its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mech {
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
    /// CBC-MAC over SM4, zero-padded: the first half of the last block, as the MACs of PKCS#11 2.40 have it.
    Sm4Mac,
    /// The same; parameter: `CK_MAC_GENERAL_PARAMS`, the bytes kept.
    Sm4MacGeneral,
    /// Derives a key by encrypting the parameter; parameter: `CK_KEY_DERIVATION_STRING_DATA`.
    Sm4EcbEncryptData,
    /// Generates an SM2 key pair.
    Sm2KeyPairGen,
    /// SM2 signature over a 32-byte e.
    Sm2Raw,
    /// SM2 signature over a message, e = SM3(Z ‖ M).
    Sm2Sm3,
    /// SM2 encryption. Also wraps and unwraps.
    Sm2Encrypt,
    /// A digest.
    Digest(HashKind),
    /// HMAC; the tag is a whole digest.
    Hmac(HashKind),
    /// Generates a generic secret or an HMAC-SM3 key.
    GenericSecretKeyGen,
    /// Derives a key as the XOR of component keys; parameter: array of `CK_OBJECT_HANDLE`.
    XorKeys,
    /// Generates a key of the SM1 stand-in.
    Sm1KeyGen,
    /// The stand-in for SM1-ECB.
    Sm1Ecb,
    /// The stand-in for SM1-CBC; parameter: 16-byte IV.
    Sm1Cbc,
    /// The stand-in for SM1-CBC with PKCS#7 padding; parameter: 16-byte IV.
    Sm1CbcPad,
    /// CBC-MAC over the stand-in.
    Sm1Mac,
    /// The same; parameter: `CK_MAC_GENERAL_PARAMS`.
    Sm1MacGeneral,
    /// Derives a key by encrypting the parameter with the stand-in; parameter: `CK_KEY_DERIVATION_STRING_DATA`.
    Sm1EcbEncryptData,
}

impl Mech {
    /// The keys of a block cipher mode that encrypts or wraps.
    pub(crate) fn block_cipher(self) -> Option<KeyKind> {
        match self {
            Self::Sm4Ecb | Self::Sm4Cbc | Self::Sm4CbcPad | Self::Sm4Gcm | Self::Sm4KeyWrap => Some(KeyKind::Sm4),
            Self::Sm1Ecb | Self::Sm1Cbc | Self::Sm1CbcPad => Some(KeyKind::Sm1),
            _ => None,
        }
    }

    /// The keys of a derivation by encryption.
    pub(crate) fn derivation_cipher(self) -> Option<KeyKind> {
        match self {
            Self::Sm4EcbEncryptData => Some(KeyKind::Sm4),
            Self::Sm1EcbEncryptData => Some(KeyKind::Sm1),
            _ => None,
        }
    }

    fn is_sm1(self) -> bool {
        let others = [Self::Sm1KeyGen, Self::Sm1Mac, Self::Sm1MacGeneral, Self::Sm1EcbEncryptData];
        others.contains(&self) || self.block_cipher() == Some(KeyKind::Sm1)
    }
}

/// The key types the token holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// 16-byte SM4 key.
    Sm4,
    /// Key on the curve of GM/T 0003.5.
    Sm2,
    /// Any bytes.
    Generic,
    /// Key of HMAC-SM3.
    HmacSm3,
    /// Key of the SM1 stand-in. SM1 is secret; what is done with it here is something else.
    Sm1,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignatureForm {
    /// r ‖ s, 64 bytes.
    Pair,
    /// SEQUENCE of two INTEGERs (GM/T 0009 §7.3).
    Der,
}

/// How an SM2 ciphertext is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CiphertextForm {
    /// SM2Cipher of GM/T 0009 §7.2.
    Der,
    /// 04 ‖ x ‖ y ‖ hash ‖ text.
    C1C3C2,
}

/// Where the signer ID of [`Mech::Sm2Sm3`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignerId {
    /// The parameter; without one it is the default ID.
    AnyOrDefault,
    /// Always the default ID.
    Default,
    /// There is none: e = SM3(M), without Z.
    Missing,
}

/// What vendors write differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) signature: SignatureForm,
    pub(crate) ciphertext: CiphertextForm,
    pub(crate) signer_id: SignerId,
}

impl Form {
    pub(crate) const STANDARD: Self =
        Self { signature: SignatureForm::Pair, ciphertext: CiphertextForm::Der, signer_id: SignerId::AnyOrDefault };
}

/// One row of a profile. A number may stand in two rows that differ in their flags.
struct Row {
    mech: Mech,
    number: CK_MECHANISM_TYPE,
    min: CK_ULONG,
    max: CK_ULONG,
    flags: CK_FLAGS,
    form: Form,
}

/// One vendor's numbers, as one token uses them.
pub(crate) struct Profile {
    vendor: &'static Vendor,
    sm1_stand_in: bool,
}

impl Profile {
    /// Used when `HSM_SIM_PROFILE` is not set.
    pub(crate) const STANDARD: &'static str = "hsm-sim";

    /// The profile of that name; nothing is guessed. The SM1 stand-in is there for vendors that number SM1 only.
    pub(crate) fn named(name: &str, sm1_stand_in: bool) -> Option<Self> {
        let vendor = VENDORS.iter().find(|vendor| vendor.name == name)?;
        let has_sm1 = vendor.mechanisms.iter().any(|row| row.mech.is_sm1());
        (has_sm1 || !sm1_stand_in).then_some(Self { vendor, sm1_stand_in })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        self.vendor.name
    }

    fn rows(&self) -> impl Iterator<Item = &'static Row> {
        let sm1 = self.sm1_stand_in;
        self.vendor.mechanisms.iter().filter(move |row| sm1 || !row.mech.is_sm1())
    }

    /// Number → meaning, for a purpose out of `flags`.
    pub(crate) fn mech(&self, number: CK_MECHANISM_TYPE, flags: CK_FLAGS) -> Option<(Mech, Form)> {
        let row = self.rows().find(|row| row.number == number && row.flags & flags != 0)?;
        Some((row.mech, row.form))
    }

    /// Meaning → number: the first, if the vendor has several.
    pub(crate) fn number(&self, mech: Mech) -> CK_MECHANISM_TYPE {
        self.rows().find(|row| row.mech == mech).map_or(CK_UNAVAILABLE_INFORMATION, |row| row.number)
    }

    /// Every number, once, in table order.
    pub(crate) fn numbers(&self) -> Vec<CK_MECHANISM_TYPE> {
        let mut numbers: Vec<_> = self.rows().map(|row| row.number).collect();
        numbers.dedup();
        numbers
    }

    /// `CK_MECHANISM_INFO` of a number (PKCS#11 2.40 §5.5).
    pub(crate) fn info(&self, number: CK_MECHANISM_TYPE) -> Option<CK_MECHANISM_INFO> {
        let rows = || self.rows().filter(|row| row.number == number);
        let first = rows().next()?;
        let flags = rows().fold(0, |flags, row| flags | row.flags);
        Some(CK_MECHANISM_INFO { ulMinKeySize: first.min, ulMaxKeySize: first.max, flags })
    }

    /// `CKA_KEY_TYPE` → meaning.
    pub(crate) fn key_kind(&self, number: CK_KEY_TYPE) -> Option<KeyKind> {
        let found = self.vendor.key_kinds.iter().find(|(_, known)| *known == number).map(|(kind, _)| *kind);
        found.filter(|kind| self.sm1_stand_in || *kind != KeyKind::Sm1)
    }

    /// Meaning → `CKA_KEY_TYPE`.
    pub(crate) fn key_type(&self, kind: KeyKind) -> CK_KEY_TYPE {
        let found = self.vendor.key_kinds.iter().find(|(known, _)| *known == kind);
        found.map_or(CK_UNAVAILABLE_INFORMATION, |(_, number)| *number)
    }

    /// Is this an attribute that the vendor's tokens do not know?
    pub(crate) fn lacks(&self, attribute: CK_ATTRIBUTE_TYPE) -> bool {
        self.vendor.lacks.contains(&attribute)
    }

    /// Must CKA_EC_PARAMS be stated when a key pair is made?
    pub(crate) fn curve_required(&self) -> bool {
        self.vendor.curve_required
    }
}
