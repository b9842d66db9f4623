//! Vendor map: what one make of HSM calls the SM algorithms, and in which form it gives results.
//!
//! PKCS#11 has no numbers for SM2, SM3 and SM4; every vendor chose its own and they collide. A map
//! is a reviewed file, one per make (`policies/hsm/*.toml`). It is not a capability probe: it says
//! what is believed, the known-answer tests prove it. Guards: unknown keys are refused, numbers are
//! in range, and an operation the map does not number cannot be attempted at all.

mod error;
mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_KEY_TYPE, CK_MECHANISM_TYPE, CKA_ALLOWED_MECHANISMS, CKA_CHECK_VALUE, CKA_COPYABLE,
    CKA_DERIVE_TEMPLATE, CKA_DESTROYABLE, CKA_TRUSTED, CKA_UNWRAP_TEMPLATE, CKA_WRAP_TEMPLATE, CKA_WRAP_WITH_TRUSTED,
};
use serde::Deserialize;

pub use error::{MapError, MapFault};

use file::{Entry, MapFile};

/// Longest vendor map accepted, in bytes.
pub const MAP_BYTES_MAX: usize = 64 * 1024;

/// Largest PKCS#11 number: CK_ULONG may have 64 bits, the standard's number space has 32.
const NUMBER_MAX: u64 = 0xffff_ffff;

/// What the KMS does with a mechanism. One operation, one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Child key = SM4 encryption of a 16-byte block under the base key (`*_ECB_ENCRYPT_DATA`).
    Diversify,
    /// Generation of the HMAC-SM3 key.
    HmacKeyGen,
    /// HMAC-SM3.
    HmacSm3,
    /// SM2 encryption: wraps, unwraps.
    Sm2Encrypt,
    /// SM2 key pair generation.
    Sm2KeyPairGen,
    /// SM2 signature over the ready 32-byte value `e`.
    Sm2Sign,
    /// SM4-GCM with the caller's nonce.
    Sm4Gcm,
    /// SM4 key generation.
    Sm4KeyGen,
    /// SM4 key wrap after RFC 3394.
    Sm4KeyWrap,
    /// XOR of keys with keys, inside the token.
    XorKeys,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 10] = [
        Self::Diversify,
        Self::HmacKeyGen,
        Self::HmacSm3,
        Self::Sm2Encrypt,
        Self::Sm2KeyPairGen,
        Self::Sm2Sign,
        Self::Sm4Gcm,
        Self::Sm4KeyGen,
        Self::Sm4KeyWrap,
        Self::XorKeys,
    ];

    /// The name in the map file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Diversify => "diversify",
            Self::HmacKeyGen => "hmac-key-gen",
            Self::HmacSm3 => "hmac-sm3",
            Self::Sm2Encrypt => "sm2-encrypt",
            Self::Sm2KeyPairGen => "sm2-key-pair-gen",
            Self::Sm2Sign => "sm2-sign",
            Self::Sm4Gcm => "sm4-gcm",
            Self::Sm4KeyGen => "sm4-key-gen",
            Self::Sm4KeyWrap => "sm4-key-wrap",
            Self::XorKeys => "xor-keys",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Attributes that some HSMs refuse; the KMS uses those the map lists and reports the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptionalAttribute {
    /// CKA_ALLOWED_MECHANISMS: one key, one mechanism.
    AllowedMechanisms,
    /// CKA_CHECK_VALUE: the token computes check values. Without it no key can be confirmed.
    CheckValue,
    /// CKA_COPYABLE.
    Copyable,
    /// CKA_DERIVE_TEMPLATE: without it the user PIN opens the derivation oracle.
    DeriveTemplate,
    /// CKA_DESTROYABLE.
    Destroyable,
    /// CKA_TRUSTED.
    Trusted,
    /// CKA_UNWRAP_TEMPLATE: without it an import can be repeated with a weaker template.
    UnwrapTemplate,
    /// CKA_WRAP_TEMPLATE.
    WrapTemplate,
    /// CKA_WRAP_WITH_TRUSTED: without it a card key leaves under any key.
    WrapWithTrusted,
}

impl OptionalAttribute {
    /// Every attribute of this kind.
    pub const ALL: [Self; 9] = [
        Self::AllowedMechanisms,
        Self::CheckValue,
        Self::Copyable,
        Self::DeriveTemplate,
        Self::Destroyable,
        Self::Trusted,
        Self::UnwrapTemplate,
        Self::WrapTemplate,
        Self::WrapWithTrusted,
    ];

    const fn number(self) -> CK_ATTRIBUTE_TYPE {
        match self {
            Self::AllowedMechanisms => CKA_ALLOWED_MECHANISMS,
            Self::CheckValue => CKA_CHECK_VALUE,
            Self::Copyable => CKA_COPYABLE,
            Self::DeriveTemplate => CKA_DERIVE_TEMPLATE,
            Self::Destroyable => CKA_DESTROYABLE,
            Self::Trusted => CKA_TRUSTED,
            Self::UnwrapTemplate => CKA_UNWRAP_TEMPLATE,
            Self::WrapTemplate => CKA_WRAP_TEMPLATE,
            Self::WrapWithTrusted => CKA_WRAP_WITH_TRUSTED,
        }
    }
}

/// Form of an SM2 signature as the token answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum SignatureEncoding {
    /// `r ‖ s`, 64 bytes.
    #[serde(rename = "r-s")]
    Concatenated,
    /// SEQUENCE { r, s }.
    #[serde(rename = "der")]
    Der,
}

/// Form of an SM2 ciphertext as the token makes and takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum CiphertextEncoding {
    /// `04 ‖ x ‖ y ‖ C3 ‖ C2`.
    #[serde(rename = "c1c3c2")]
    C1C3C2,
    /// SM2Cipher of GM/T 0009.
    #[serde(rename = "der")]
    Der,
}

/// Form of CKA_EC_POINT as the token takes it; both are understood when reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PointEncoding {
    /// OCTET STRING around `04 ‖ x ‖ y`, as PKCS#11 wants it.
    OctetString,
    /// `04 ‖ x ‖ y` alone.
    Raw,
}

/// Which CKK numbers the make uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTypes {
    /// Key type of the HMAC-SM3 key.
    pub hmac: CK_KEY_TYPE,
    /// SM2.
    pub sm2: CK_KEY_TYPE,
    /// SM4.
    pub sm4: CK_KEY_TYPE,
}

/// One make of HSM, as its reviewed file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorMap {
    name: String,
    key_types: KeyTypes,
    mechanisms: BTreeMap<Operation, CK_MECHANISM_TYPE>,
    signature: SignatureEncoding,
    ciphertext: CiphertextEncoding,
    point: PointEncoding,
    attributes: BTreeSet<OptionalAttribute>,
}

impl VendorMap {
    /// Reads and checks a map file.
    pub fn read(path: &Path) -> Result<Self, MapError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| MapError::new(path, None, MapFault::Unreadable(error.kind())))?;
        Self::parse(path, &text)
    }

    /// Checks the text of a map; `path` is for errors only.
    pub fn parse(path: &Path, text: &str) -> Result<Self, MapError> {
        if text.len() > MAP_BYTES_MAX {
            return Err(MapError::new(path, None, MapFault::TooLong { found: text.len(), max: MAP_BYTES_MAX }));
        }
        let line = |offset: usize| Some(1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count());
        let file: MapFile = toml::from_str(text).map_err(|error| {
            let at = error.span().and_then(|span| line(span.start));
            MapError::new(path, at, MapFault::Form(error.message().trim().to_owned()))
        })?;
        let number = |entry: &Entry| {
            let found = *entry.number.get_ref();
            match found {
                0 | NUMBER_MAX.. => {
                    Err(MapError::new(path, line(entry.number.span().start), MapFault::NumberRange { found }))
                }
                _ => Ok(found),
            }
        };
        let key_types = KeyTypes {
            hmac: number(&file.key_types.hmac)?,
            sm2: number(&file.key_types.sm2)?,
            sm4: number(&file.key_types.sm4)?,
        };
        if key_types.sm2 == key_types.sm4 {
            let at = line(file.key_types.sm4.number.span().start);
            return Err(MapError::new(path, at, MapFault::SameKeyType { number: key_types.sm4 }));
        }
        let mut mechanisms = BTreeMap::new();
        for (operation, entry) in &file.mechanisms {
            mechanisms.insert(*operation, number(entry)?);
        }
        let (at, name) = (line(file.name.span().start), file.name.into_inner());
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(MapError::new(path, at, MapFault::Name { found: name }));
        }
        Ok(Self {
            name,
            key_types,
            mechanisms,
            signature: file.encodings.signature,
            ciphertext: file.encodings.ciphertext,
            point: file.encodings.point,
            attributes: file.attributes.supported.into_iter().collect(),
        })
    }

    /// Name of the map.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Key types.
    #[must_use]
    pub const fn key_types(&self) -> KeyTypes {
        self.key_types
    }

    /// The number of an operation, if this make has one.
    #[must_use]
    pub fn mechanism(&self, operation: Operation) -> Option<CK_MECHANISM_TYPE> {
        self.mechanisms.get(&operation).copied()
    }

    /// Form of signatures.
    #[must_use]
    pub const fn signature(&self) -> SignatureEncoding {
        self.signature
    }

    /// Form of ciphertexts.
    #[must_use]
    pub const fn ciphertext(&self) -> CiphertextEncoding {
        self.ciphertext
    }

    /// Form of points.
    #[must_use]
    pub const fn point(&self) -> PointEncoding {
        self.point
    }

    /// Whether an attribute may be used: every attribute that is not [`OptionalAttribute`] may.
    #[must_use]
    pub fn supports(&self, attribute: CK_ATTRIBUTE_TYPE) -> bool {
        OptionalAttribute::ALL
            .into_iter()
            .find(|optional| optional.number() == attribute)
            .is_none_or(|optional| self.attributes.contains(&optional))
    }

    /// What this make lacks, for people: every protection not in force and every refused operation.
    #[must_use]
    pub fn lacking(&self) -> (Vec<OptionalAttribute>, Vec<Operation>) {
        (
            OptionalAttribute::ALL.into_iter().filter(|attribute| !self.attributes.contains(attribute)).collect(),
            Operation::ALL.into_iter().filter(|operation| self.mechanism(*operation).is_none()).collect(),
        )
    }
}
