//! The TOML form of a vendor map.
//!
//! Guards: unknown keys are refused; every number keeps its place in the file for error messages.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::sandbox::Needs;

use super::{CiphertextEncoding, Evidence, OptionalAttribute, PointEncoding, SignatureEncoding, SignerId, Suite};

/// The file, word for word.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct MapFile {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) suite: Suite,
    pub(super) key_types: KeyTypesTable,
    pub(super) mechanisms: BTreeMap<String, Entry>,
    pub(super) encodings: EncodingsTable,
    pub(super) attributes: AttributesTable,
    #[serde(default)]
    pub(super) sandbox: Needs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyTypesTable {
    pub(super) aes: Option<Entry>,
    pub(super) ec: Option<Entry>,
    pub(super) hmac: Entry,
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AttributesTable {
    pub(super) supported: Vec<OptionalAttribute>,
}
