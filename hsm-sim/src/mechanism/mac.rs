//! C_Sign, C_Verify: HMAC, CMAC and CBC-MAC, and SM2 over a message or over e.

use std::sync::Arc;

use cbc_mac::CbcMac;
use cmac::Cmac;
use cryptoki_sys::{
    CKR_DATA_LEN_RANGE, CKR_KEY_SIZE_RANGE, CKR_MECHANISM_INVALID, CKR_SIGNATURE_INVALID, CKR_SIGNATURE_LEN_RANGE,
};
use hmac::{KeyInit, Mac, digest::InnerInit};
use sm3::{Digest, Sm3};
use sm4::Sm4;
use zeroize::Zeroizing;

use super::{BLOCK_BYTES, Mechanism, Parameter, hash::KeyedHash, sm2};
use crate::{
    object::Object,
    profile::{Mech, SignatureForm, SignerId},
    rv::{Result, Rv, ensure},
};

/// Bytes of e (GM/T 0003.2 §6.1).
const E_BYTES: usize = 32;
/// Bytes of a MAC whose length is not a parameter (PKCS#11 2.40 mechanisms §2.12.6 for AES).
const HALF_BLOCK_BYTES: usize = BLOCK_BYTES / 2;

/// A signature or MAC under way; the same for making and for checking.
#[derive(Clone)]
pub(crate) struct MacOperation {
    state: State,
    pub(crate) in_parts: bool,
}

#[derive(Clone)]
enum State {
    Hmac { mac: Box<KeyedHash>, length: usize },
    Cmac(Box<Cmac<Sm4>>),
    CbcMac { mac: Box<CbcMac<Sm4>>, kept: usize },
    Sm2Message { hash: Sm3, key: Arc<Object>, form: SignatureForm },
    Sm2Raw { e: Vec<u8>, key: Arc<Object>, form: SignatureForm },
}

impl MacOperation {
    pub(crate) fn start(mechanism: &Mechanism, key: Arc<Object>) -> Result<Self> {
        let state = match mechanism.mech {
            Mech::Hmac(kind) => {
                let mac = Box::new(KeyedHash::start(kind, key.secret()?.expose())?);
                State::Hmac { mac, length: kind.digest_bytes() }
            }
            Mech::Sm4Mac | Mech::Sm1Mac | Mech::Sm4MacGeneral | Mech::Sm1MacGeneral => {
                let kept = match mechanism.parameter {
                    Parameter::TagBytes(kept) => kept,
                    _ => HALF_BLOCK_BYTES,
                };
                State::CbcMac { mac: Box::new(CbcMac::inner_init(key.block_cipher()?.clone())), kept }
            }
            Mech::Sm4Cmac => {
                let mac = Cmac::new_from_slice(key.secret()?.expose()).map_err(|_| Rv(CKR_KEY_SIZE_RANGE))?;
                State::Cmac(Box::new(mac))
            }
            Mech::Sm2Sm3 => {
                let id = match &mechanism.parameter {
                    Parameter::SignerId(id) => id.as_slice(),
                    _ => sm2::DEFAULT_SIGNER_ID,
                };
                let hash = match mechanism.form.signer_id {
                    SignerId::Missing => Sm3::new(),
                    _ => Sm3::new_with_prefix(sm2::identity_digest(&sm2::point_of(&key)?, id)?),
                };
                State::Sm2Message { hash, key, form: mechanism.form.signature }
            }
            Mech::Sm2Raw => State::Sm2Raw { e: Vec::with_capacity(E_BYTES), key, form: mechanism.form.signature },
            _ => return Err(Rv(CKR_MECHANISM_INVALID)),
        };
        Ok(Self { state, in_parts: false })
    }

    /// Length of the signature or tag; the greatest, if signatures are DER.
    pub(crate) fn length(&self) -> usize {
        match self.state {
            State::Hmac { length, .. } => length,
            State::Cmac(_) => BLOCK_BYTES,
            State::CbcMac { kept, .. } => kept,
            State::Sm2Message { form, .. } | State::Sm2Raw { form, .. } => sm2::signature_length(form),
        }
    }

    pub(crate) fn update(&mut self, data: &[u8]) -> Result<()> {
        match &mut self.state {
            State::Hmac { mac, .. } => mac.update(data),
            State::Cmac(mac) => mac.update(data),
            State::CbcMac { mac, .. } => mac.update(data),
            State::Sm2Message { hash, .. } => Digest::update(hash, data),
            State::Sm2Raw { e, .. } => {
                ensure(e.len() + data.len() <= E_BYTES, CKR_DATA_LEN_RANGE)?;
                e.extend_from_slice(data);
            }
        }
        Ok(())
    }

    /// The tag or signature.
    pub(crate) fn sign(self) -> Result<Zeroizing<Vec<u8>>> {
        let out = match self.state {
            State::Hmac { mac, .. } => mac.finish(),
            State::Cmac(mac) => mac.finalize().into_bytes().to_vec(),
            State::CbcMac { mac, kept } => mac.finalize().into_bytes()[..kept].to_vec(),
            State::Sm2Message { hash, key, form } => sm2::sign(&key, &hash.finalize().into(), form)?,
            State::Sm2Raw { e, key, form } => sm2::sign(&key, &whole_e(&e)?, form)?,
        };
        Ok(Zeroizing::new(out))
    }

    /// Refuses a tag or signature that is not right.
    pub(crate) fn verify(self, signature: &[u8]) -> Result<()> {
        let fits = match self.state {
            State::Sm2Message { form: SignatureForm::Der, .. } | State::Sm2Raw { form: SignatureForm::Der, .. } => {
                signature.len() <= self.length()
            }
            _ => signature.len() == self.length(),
        };
        ensure(fits, CKR_SIGNATURE_LEN_RANGE)?;
        let good = match self.state {
            State::Hmac { mac, .. } => mac.agrees(signature),
            State::Cmac(mac) => mac.verify_slice(signature).is_ok(),
            State::CbcMac { mac, .. } => mac.verify_truncated_left(signature).is_ok(),
            State::Sm2Message { hash, key, form } => sm2::verify(&key, &hash.finalize().into(), signature, form)?,
            State::Sm2Raw { e, key, form } => sm2::verify(&key, &whole_e(&e)?, signature, form)?,
        };
        ensure(good, CKR_SIGNATURE_INVALID)
    }
}

fn whole_e(e: &[u8]) -> Result<[u8; E_BYTES]> {
    e.try_into().map_err(|_| Rv(CKR_DATA_LEN_RANGE))
}
