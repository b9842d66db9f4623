//! Vendor map: what one make of HSM calls its algorithms, and in which form it gives results.
//!
//! PKCS#11 has no numbers for SM2, SM3 and SM4; every vendor chose its own and they collide. A map
//! is a reviewed file, one per make (`policies/hsm/*.toml`); it also says which suite the make works
//! in. It is not a capability probe: it says what is believed, the known-answer tests prove it.
//! Guards: unknown keys are refused, numbers are in range, and an operation the map does not number
//! cannot be attempted at all.

mod encoding;
mod error;
mod file;
mod operation;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cryptoki_sys::{CK_ATTRIBUTE_TYPE, CK_KEY_TYPE, CK_MECHANISM_TYPE};
use kms_core::ports::Abilities;
pub use kms_core::suite::{CardAlgorithm, KeyWrap, Suite};

pub use encoding::{
    CheckValue, CiphertextEncoding, Evidence, OptionalAttribute, PointEncoding, Recheck, SignatureEncoding, SignerId,
    TemplateDepth, UnwrappedLength,
};
pub use error::{MapError, MapFault};
pub use operation::Operation;

use crate::sandbox::Needs;

/// Longest vendor map accepted, in bytes.
pub const MAP_BYTES_MAX: usize = 64 * 1024;

/// Which CKK numbers the make uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTypes {
    /// Block cipher: SM4, AES.
    pub block: CK_KEY_TYPE,
    /// Masters and card keys: the block cipher's, or SM1.
    pub card: CK_KEY_TYPE,
    /// Key type of the HMAC key.
    pub hmac: CK_KEY_TYPE,
    /// Key pairs that sign: SM2, EC.
    pub pair: CK_KEY_TYPE,
    /// Key pairs that keys are sealed to: SM2, RSA.
    pub seal: CK_KEY_TYPE,
}

/// One make of HSM, as its reviewed file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorMap {
    name: String,
    suite: Suite,
    cards: CardAlgorithm,
    key_types: KeyTypes,
    mechanisms: BTreeMap<Operation, CK_MECHANISM_TYPE>,
    hmac_name: &'static str,
    key_wrap: KeyWrap,
    check_value: CheckValue,
    unwrapped_length: UnwrappedLength,
    template_depth: TemplateDepth,
    signature: SignatureEncoding,
    ciphertext: CiphertextEncoding,
    point: PointEncoding,
    signer_id: SignerId,
    attributes: BTreeSet<OptionalAttribute>,
    needs: Needs,
    recheck: Recheck,
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
        read::parse(path, text)
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

    /// What masters and card keys are.
    #[must_use]
    pub const fn cards(&self) -> CardAlgorithm {
        self.cards
    }

    /// What a token of this make can do for the main work.
    #[must_use]
    pub fn abilities(&self) -> Abilities {
        Abilities {
            suite: self.suite,
            cards: self.cards,
            wrap: self.key_wrap,
            components: self.combines(),
            unwrapped_kcv: self.confirms_unwrapped(),
        }
    }

    /// How a transport key wraps a card key.
    #[must_use]
    pub const fn key_wrap(&self) -> KeyWrap {
        self.key_wrap
    }

    /// How many wrapped keys are made twice.
    #[must_use]
    pub const fn recheck(&self) -> Recheck {
        self.recheck
    }

    /// Where check values come from.
    #[must_use]
    pub const fn check_value(&self) -> CheckValue {
        self.check_value
    }

    /// What CKA_VALUE_LEN of an unwrapped key shows.
    #[must_use]
    pub const fn unwrapped_length(&self) -> UnwrappedLength {
        self.unwrapped_length
    }

    /// How deep templates inside templates go.
    #[must_use]
    pub const fn template_depth(&self) -> TemplateDepth {
        self.template_depth
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

    /// The name of an operation in this map, for reports.
    #[must_use]
    pub fn operation_name(&self, operation: Operation) -> &'static str {
        match operation {
            Operation::Hmac => self.hmac_name,
            Operation::KeyWrap if self.key_wrap == KeyWrap::Ecb => Operation::Ecb.name(self.suite),
            Operation::Open if self.mechanism(operation) == self.mechanism(Operation::Seal) => {
                Operation::Seal.name(self.suite)
            }
            other => other.name(self.suite),
        }
    }

    /// Generation of masters.
    #[must_use]
    pub const fn master_key_gen(&self) -> Operation {
        match self.cards {
            CardAlgorithm::Sm1 => Operation::Sm1KeyGen,
            CardAlgorithm::Sm4 | CardAlgorithm::Aes128 => Operation::KeyGen,
        }
    }

    /// Diversification of masters.
    #[must_use]
    pub const fn diversify(&self) -> Operation {
        match self.cards {
            CardAlgorithm::Sm1 => Operation::Sm1Diversify,
            CardAlgorithm::Sm4 | CardAlgorithm::Aes128 => Operation::Diversify,
        }
    }

    /// What the storage key does: GCM in the token or, for makes without it, one block for each data key.
    #[must_use]
    pub fn storage(&self) -> Operation {
        let has = |operation| self.mechanisms.contains_key(&operation);
        if has(Operation::Ecb) && !has(Operation::Gcm) { Operation::Ecb } else { Operation::Gcm }
    }

    /// Whether masters can be made from components.
    #[must_use]
    pub fn combines(&self) -> bool {
        self.mechanisms.contains_key(&Operation::XorKeys)
    }

    /// Whether unwrapped keys without DERIVE can be confirmed.
    #[must_use]
    pub fn confirms_unwrapped(&self) -> bool {
        self.check_value == CheckValue::Attribute && self.attributes.contains(&OptionalAttribute::CheckValue)
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

    /// Form of SM2 ciphertexts.
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

    /// Whether the main work needs an operation with this map; the others serve probe and doctor.
    #[must_use]
    pub fn needs_operation(&self, operation: Operation) -> bool {
        use Operation as Op;
        match operation {
            Op::Cbc | Op::CbcPad | Op::Ctr | Op::Digest | Op::Mac | Op::Sm1Ecb => false,
            Op::Ecb | Op::Gcm => self.storage() == operation || (operation == Op::Ecb && self.key_wrap == KeyWrap::Ecb),
            Op::Diversify | Op::Sm1Diversify => self.diversify() == operation,
            Op::Sm1KeyGen => self.master_key_gen() == operation,
            // Goes with sealing, which is asked for.
            Op::Open => self.mechanisms.contains_key(&Op::Seal),
            Op::SealPairGen => self.suite == Suite::Intl,
            Op::Hmac | Op::HmacKeyGen | Op::KeyGen | Op::KeyWrap | Op::PairGen | Op::Seal | Op::Sign | Op::XorKeys => {
                true
            }
        }
    }

    /// What this make lacks, for people: every protection not in force and every refused operation.
    #[must_use]
    pub fn lacking(&self) -> (Vec<OptionalAttribute>, Vec<Operation>) {
        (
            OptionalAttribute::ALL.into_iter().filter(|attribute| !self.attributes.contains(attribute)).collect(),
            Operation::ALL
                .into_iter()
                .filter(|operation| self.needs_operation(*operation) && self.mechanism(*operation).is_none())
                .collect(),
        )
    }
}
