//! The TOML form of a vendor map.
//!
//! Guards: unknown keys are refused; every number keeps its place in the file for error messages.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::sandbox::Needs;

use super::{CiphertextEncoding, Evidence, OptionalAttribute, PointEncoding, SignatureEncoding, SignerId, Suite};

/// The file, word for word.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct MapFile {
    pub(super) name: Spanned<String>,
    #[serde(default = "sm", deserialize_with = "suite")]
    pub(super) suite: Suite,
    pub(super) key_types: KeyTypesTable,
    pub(super) mechanisms: BTreeMap<String, Entry>,
    pub(super) encodings: EncodingsTable,
    pub(super) attributes: AttributesTable,
    #[serde(default)]
    pub(super) sandbox: Needs,
}

/// What a map without the key is.
const fn sm() -> Suite {
    Suite::Sm
}

/// The domain knows no serde: its names are read here.
fn suite<'de, D: Deserializer<'de>>(from: D) -> Result<Suite, D::Error> {
    let name = String::deserialize(from)?;
    let found = Suite::ALL.into_iter().find(|suite| suite.name() == name);
    found.ok_or_else(|| serde::de::Error::unknown_variant(&name, &["sm", "intl"]))
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
