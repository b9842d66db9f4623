//! Vendor map: what one make of HSM calls the SM algorithms, and in which form it gives results.
//!
//! PKCS#11 has no numbers for SM2, SM3 and SM4; every vendor chose its own and they collide. A map
//! is a reviewed file, one per make (`policies/hsm/*.toml`). It is not a capability probe: it says
//! what is believed, the known-answer tests prove it. Guards: unknown keys are refused, numbers are
//! in range, and an operation the map does not number cannot be attempted at all.

mod error;
mod file;
mod operation;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_KEY_TYPE, CK_MECHANISM_TYPE, CKA_ALLOWED_MECHANISMS, CKA_CHECK_VALUE, CKA_COPYABLE,
    CKA_DERIVE_TEMPLATE, CKA_DESTROYABLE, CKA_TRUSTED, CKA_UNWRAP_TEMPLATE, CKA_WRAP_TEMPLATE, CKA_WRAP_WITH_TRUSTED,
};
use kms_core::ports::Abilities;
use kms_core::suite::{CardAlgorithm, KeyWrap};
use serde::Deserialize;

pub use error::{MapError, MapFault};
pub use kms_core::suite::Suite;
pub use operation::Operation;

use crate::sandbox::Needs;
use file::{Entry, MapFile};

/// Longest vendor map accepted, in bytes.
pub const MAP_BYTES_MAX: usize = 64 * 1024;

/// Largest PKCS#11 number: CK_ULONG may have 64 bits, the standard's number space has 32.
const NUMBER_MAX: u64 = 0xffff_ffff;

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

    /// The name in the map file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AllowedMechanisms => "allowed-mechanisms",
            Self::CheckValue => "check-value",
            Self::Copyable => "copyable",
            Self::DeriveTemplate => "derive-template",
            Self::Destroyable => "destroyable",
            Self::Trusted => "trusted",
            Self::UnwrapTemplate => "unwrap-template",
            Self::WrapTemplate => "wrap-template",
            Self::WrapWithTrusted => "wrap-with-trusted",
        }
    }

    /// The attribute.
    #[must_use]
    pub const fn number(self) -> CK_ATTRIBUTE_TYPE {
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

/// How the signer's ID gets into an SM2 signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignerId {
    /// The KMS computes Z and e; the token signs e. The only form `sm2-sign` is used in.
    Caller,
    /// The make numbers no signature over e: its mechanisms hash with a fixed ID. `sm2-sign` must be absent.
    Fixed,
    /// No signer ID in this suite.
    None,
}

/// How good the source of a number is. For reviewers; the known-answer tests prove the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Read in the maker's own header or interface list.
    Header,
    /// Measured against the token itself.
    Measured,
    /// In the PKCS#11 standard.
    Standard,
    /// Read in the adapter of a third party, not in the maker's header.
    Wrapper,
}

/// Which CKK numbers the make uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTypes {
    /// Block cipher: SM4, AES.
    pub block: CK_KEY_TYPE,
    /// Key type of the HMAC key.
    pub hmac: CK_KEY_TYPE,
    /// Key pairs that sign: SM2, EC.
    pub pair: CK_KEY_TYPE,
}

/// One make of HSM, as its reviewed file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorMap {
    name: String,
    suite: Suite,
    key_types: KeyTypes,
    mechanisms: BTreeMap<Operation, CK_MECHANISM_TYPE>,
    signature: SignatureEncoding,
    ciphertext: CiphertextEncoding,
    point: PointEncoding,
    signer_id: SignerId,
    attributes: BTreeSet<OptionalAttribute>,
    needs: Needs,
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
        let suite = file.suite;
        let types = &file.key_types;
        let (block, pair, foreign) = match suite {
            Suite::Intl => (&types.aes, &types.ec, [("sm2", &types.sm2), ("sm4", &types.sm4)]),
            Suite::Sm => (&types.sm4, &types.sm2, [("aes", &types.aes), ("ec", &types.ec)]),
        };
        if let Some((name, Some(entry))) = foreign.into_iter().find(|(_, entry)| entry.is_some()) {
            let at = line(entry.number.span().start);
            return Err(MapError::new(path, at, MapFault::OtherSuite { name: name.to_owned() }));
        }
        let (Some(block), Some(pair)) = (block, pair) else {
            let wanted = if suite == Suite::Sm { "sm2 and sm4" } else { "aes and ec" };
            return Err(MapError::new(path, None, MapFault::KeyTypeMissing { wanted }));
        };
        let key_types = KeyTypes { block: number(block)?, hmac: number(&types.hmac)?, pair: number(pair)? };
        if key_types.pair == key_types.block {
            let at = line(block.number.span().start);
            return Err(MapError::new(path, at, MapFault::SameKeyType { number: key_types.block }));
        }
        let mut mechanisms = BTreeMap::new();
        for (name, entry) in &file.mechanisms {
            let at = line(entry.number.span().start);
            let operation = Operation::named(suite, name)
                .ok_or_else(|| MapError::new(path, at, MapFault::UnknownMechanism { name: name.clone() }))?;
            let number = number(entry)?;
            if let Some(other) = taken(&mechanisms, operation, number) {
                let (first, second) = (other.name(suite), operation.name(suite));
                return Err(MapError::new(path, at, MapFault::SameMechanism { number, first, second }));
            }
            mechanisms.insert(operation, number);
        }
        let by_caller = file.encodings.signer_id == SignerId::Caller;
        if suite == Suite::Sm && mechanisms.contains_key(&Operation::Sign) != by_caller {
            return Err(MapError::new(path, None, MapFault::SignerId));
        }
        let (at, name) = (line(file.name.span().start), file.name.into_inner());
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(MapError::new(path, at, MapFault::Name { found: name }));
        }
        Ok(Self {
            name,
            suite,
            key_types,
            mechanisms,
            signature: file.encodings.signature,
            ciphertext: file.encodings.ciphertext,
            point: file.encodings.point,
            signer_id: file.encodings.signer_id,
            attributes: file.attributes.supported.into_iter().collect(),
            needs: file.sandbox,
        })
    }

    /// Name of the map.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The map's family of algorithms.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// What a token of this make can do for the main work.
    #[must_use]
    pub fn abilities(&self) -> Abilities {
        let (cards, numbered) = match self.suite {
            Suite::Intl => (CardAlgorithm::Aes128, false),
            Suite::Sm => (CardAlgorithm::Sm4, self.mechanism(Operation::XorKeys).is_some()),
        };
        Abilities { suite: self.suite, cards, wrap: KeyWrap::Rfc3394, components: numbered, unwrapped_kcv: true }
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

    /// What the make's library needs of the system besides its token.
    #[must_use]
    pub const fn needs(&self) -> &Needs {
        &self.needs
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

    /// How the signer's ID gets into a signature.
    #[must_use]
    pub const fn signer_id(&self) -> SignerId {
        self.signer_id
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
            Operation::ALL
                .into_iter()
                .filter(|operation| operation.is_needed() && self.mechanism(*operation).is_none())
                .collect(),
        )
    }
}

/// Another operation under the same number: certainly a mistake.
fn taken(
    mechanisms: &BTreeMap<Operation, CK_MECHANISM_TYPE>,
    operation: Operation,
    number: CK_MECHANISM_TYPE,
) -> Option<Operation> {
    mechanisms.iter().find(|(other, taken)| **other != operation && **taken == number).map(|(other, _)| *other)
}
