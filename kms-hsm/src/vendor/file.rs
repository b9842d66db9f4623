//! The TOML form of a vendor map.
//!
//! Guards: unknown keys are refused; every number keeps its place in the file for error messages.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{CiphertextEncoding, Operation, OptionalAttribute, PointEncoding, SignatureEncoding};

/// The file, word for word.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct MapFile {
    pub(super) name: Spanned<String>,
    pub(super) key_types: KeyTypesTable,
    pub(super) mechanisms: BTreeMap<Operation, Entry>,
    pub(super) encodings: EncodingsTable,
    pub(super) attributes: AttributesTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyTypesTable {
    pub(super) hmac: Entry,
    pub(super) sm2: Entry,
    pub(super) sm4: Entry,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) number: Spanned<u64>,
    /// Where the number comes from: for reviewers, read by nobody else.
    #[serde(default, rename = "source")]
    _source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EncodingsTable {
    pub(super) signature: SignatureEncoding,
    pub(super) ciphertext: CiphertextEncoding,
    pub(super) point: PointEncoding,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AttributesTable {
    pub(super) supported: Vec<OptionalAttribute>,
}
