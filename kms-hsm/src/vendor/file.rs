//! The TOML form of a vendor map.
//!
//! Guards: unknown keys are refused; every number keeps its place in the file for error messages.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::sandbox::Needs;

use super::{
    CheckValue, CiphertextEncoding, Evidence, KeyWrap, OptionalAttribute, PointEncoding, Recheck, SignatureEncoding,
    SignerId, Suite, TemplateDepth, UnwrappedLength,
};

/// The file, word for word.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct MapFile {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    suite: SuiteName,
    #[serde(default)]
    pub(super) recheck: Recheck,
    pub(super) cards: Option<CardsTable>,
    pub(super) key_types: KeyTypesTable,
    pub(super) mechanisms: BTreeMap<String, Entry>,
    pub(super) encodings: EncodingsTable,
    pub(super) attributes: AttributesTable,
    #[serde(default)]
    pub(super) sandbox: Needs,
}

impl MapFile {
    pub(super) const fn suite(&self) -> Suite {
        match self.suite {
            SuiteName::Intl => Suite::Intl,
            SuiteName::Sm => Suite::Sm,
        }
    }
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SuiteName {
    Intl,
    #[default]
    Sm,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CardsTable {
    pub(super) algorithm: Spanned<CardName>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum CardName {
    Sm1,
    Sm4,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyTypesTable {
    pub(super) aes: Option<Entry>,
    pub(super) ec: Option<Entry>,
    pub(super) hmac: Entry,
    pub(super) rsa: Option<Entry>,
    pub(super) sm1: Option<Entry>,
    pub(super) sm2: Option<Entry>,
    pub(super) sm4: Option<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) number: Spanned<u64>,
    /// Where the number comes from: for reviewers, read by nobody else.
    #[serde(rename = "source")]
    _source: String,
    /// How good that source is: likewise.
    #[serde(rename = "evidence")]
    _evidence: Evidence,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct EncodingsTable {
    pub(super) signature: SignatureEncoding,
    pub(super) ciphertext: CiphertextEncoding,
    pub(super) point: PointEncoding,
    pub(super) signer_id: SignerId,
    #[serde(default)]
    key_wrap: KeyWrapName,
    pub(super) check_value: Option<Spanned<CheckValue>>,
    #[serde(default)]
    pub(super) unwrapped_length: UnwrappedLength,
    #[serde(default)]
    pub(super) template_depth: TemplateDepth,
}

impl EncodingsTable {
    pub(super) const fn key_wrap(&self) -> KeyWrap {
        match self.key_wrap {
            KeyWrapName::Ecb => KeyWrap::Ecb,
            KeyWrapName::Rfc3394 => KeyWrap::Rfc3394,
        }
    }
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeyWrapName {
    Ecb,
    #[default]
    Rfc3394,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AttributesTable {
    pub(super) supported: Vec<OptionalAttribute>,
}
