//! The algorithms behind the mechanisms. No rules here: `rules` has decided that the key may be used this way.

pub(crate) mod cipher;
pub(crate) mod hash;
pub(crate) mod mac;
pub(crate) mod sm2;
pub(crate) mod wrap;

use cryptoki_sys::{CK_MECHANISM_TYPE, CK_OBJECT_HANDLE, CKR_MECHANISM_PARAM_INVALID};

use crate::{
    profile::{Form, Mech},
    rv::{Result, Rv},
};

/// SM4 block, and IV of its CBC mode.
pub(crate) const BLOCK_BYTES: usize = 16;

/// A mechanism with its parameter, checked for shape and copied out of the caller's memory.
pub(crate) struct Mechanism {
    pub(crate) mech: Mech,
    /// As the caller numbered it; CKA_ALLOWED_MECHANISMS speaks of this.
    pub(crate) number: CK_MECHANISM_TYPE,
    pub(crate) form: Form,
    pub(crate) parameter: Parameter,
}

/// A mechanism parameter.
pub(crate) enum Parameter {
    None,
    /// Initialisation vector of CBC.
    Iv([u8; BLOCK_BYTES]),
    /// `CK_GCM_PARAMS`; no IV means that the token makes or finds it.
    Gcm {
        iv: Option<[u8; 12]>,
        aad: Vec<u8>,
    },
    /// `CK_KEY_DERIVATION_STRING_DATA`.
    StringData(Vec<u8>),
    /// `CK_MAC_GENERAL_PARAMS`: bytes of the tag, within a block.
    TagBytes(usize),
    /// Further component keys of XOR_KEYS.
    Handles(Vec<CK_OBJECT_HANDLE>),
    /// Signer ID of SM2 with SM3.
    SignerId(Vec<u8>),
}

impl Mechanism {
    pub(crate) fn iv(&self) -> Result<&[u8; BLOCK_BYTES]> {
        match &self.parameter {
            Parameter::Iv(iv) => Ok(iv),
            _ => Err(Rv(CKR_MECHANISM_PARAM_INVALID)),
        }
    }
}
