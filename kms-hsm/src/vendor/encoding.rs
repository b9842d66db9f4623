//! Forms in which makes take and give values: what a map's `[encodings]` and `[attributes]` can say.

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CKA_ALLOWED_MECHANISMS, CKA_CHECK_VALUE, CKA_COPYABLE, CKA_DERIVE_TEMPLATE, CKA_DESTROYABLE,
    CKA_TRUSTED, CKA_UNWRAP_TEMPLATE, CKA_WRAP_TEMPLATE, CKA_WRAP_WITH_TRUSTED,
};
use serde::Deserialize;

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

/// Form of a signature as the token answers it.
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

/// How many wrapped keys are made twice and compared before they are released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recheck {
    /// Every one.
    #[default]
    EveryKey,
    /// Those of one card of a chunk: for an HSM that cannot make twice as many.
    OneCard,
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

/// Where check values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckValue {
    /// CKA_CHECK_VALUE of every secret key is the first three bytes of `E_K(0)`.
    #[default]
    Attribute,
    /// CKA_CHECK_VALUE is right for generated keys only. Keys with DERIVE are confirmed by what they make of the
    /// zero block; unwrapped keys without it are not confirmed.
    Derive,
}

/// What CKA_VALUE_LEN of an unwrapped key shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnwrappedLength {
    /// Nothing of use: it can neither be pinned nor compared.
    Hidden,
    /// The key's length.
    #[default]
    Shown,
}

/// How deep templates inside templates go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TemplateDepth {
    /// As deep as a key pins what its children pin.
    #[default]
    Any,
    /// A template holds no template: what is unwrapped or derived pins nothing that its maker did not state.
    One,
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
