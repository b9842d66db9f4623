//! C_Encrypt and C_Decrypt: ECB, CBC, CBC with padding, GCM over SM4 (the first three over the SM1 stand-in too), and SM2.
//!
//! GCM and SM2 give nothing before the end: plaintext that is not authenticated is not handed out.

use std::sync::Arc;

use aes_gcm::aead::AeadInOut;
use cbc::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, IvState};
use cryptoki_sys::{
    CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_MECHANISM_INVALID,
    CKR_MECHANISM_PARAM_INVALID,
};
use zeroize::Zeroizing;

use super::{BLOCK_BYTES, Mechanism, Parameter, sm2};
use crate::{
    object::Object,
    profile::{CiphertextForm, Mech},
    rv::{Result, Rv, ensure},
    storage::seal::{Sm4Gcm, TAG_BYTES},
};

/// What GCM and SM2 collect before the end.
const COLLECTED_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Encrypt,
    Decrypt,
}

/// An encryption or decryption under way.
#[derive(Clone)]
pub(crate) struct CipherOperation {
    direction: Direction,
    mode: Mode,
    /// Input that has not been processed yet.
    pending: Zeroizing<Vec<u8>>,
    /// C_EncryptUpdate has been called: the single-part call is over.
    pub(crate) in_parts: bool,
}

#[derive(Clone)]
enum Mode {
    Blocks { chain: Chain, padded: bool },
    Gcm { key: Arc<Object>, iv: [u8; 12], aad: Vec<u8> },
    Sm2 { key: Arc<Object>, form: CiphertextForm },
}

#[derive(Clone)]
struct Chain {
    key: Arc<Object>,
    /// The chaining value of CBC; none in ECB.
    iv: Option<[u8; BLOCK_BYTES]>,
}

impl CipherOperation {
    pub(crate) fn start(direction: Direction, mechanism: &Mechanism, key: Arc<Object>) -> Result<Self> {
        let mode = match (mechanism.mech, &mechanism.parameter) {
            (Mech::Sm4Ecb | Mech::Sm1Ecb, _) => Mode::Blocks { chain: Chain::start(key, None)?, padded: false },
            (Mech::Sm4Cbc | Mech::Sm4CbcPad | Mech::Sm1Cbc | Mech::Sm1CbcPad, _) => {
                let padded = matches!(mechanism.mech, Mech::Sm4CbcPad | Mech::Sm1CbcPad);
                Mode::Blocks { chain: Chain::start(key, Some(*mechanism.iv()?))?, padded }
            }
            (Mech::Sm4Gcm, Parameter::Gcm { iv: Some(iv), aad }) => {
                key.sm4()?;
                Mode::Gcm { key, iv: *iv, aad: aad.clone() }
            }
            (Mech::Sm4Gcm, _) => return Err(Rv(CKR_MECHANISM_PARAM_INVALID)),
            (Mech::Sm2Encrypt, _) => Mode::Sm2 { key, form: mechanism.form.ciphertext },
            _ => return Err(Rv(CKR_MECHANISM_INVALID)),
        };
        Ok(Self { direction, mode, pending: Zeroizing::default(), in_parts: false })
    }

    /// The whole operation over `input`; the state stays, so that a caller with a short buffer can come again.
    pub(crate) fn whole(&self, input: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let mut fresh = self.clone();
        let mut output = fresh.update(input)?;
        output.extend_from_slice(&fresh.last()?);
        Ok(output)
    }

    /// Length of [`CipherOperation::whole`] where it follows from the input's length.
    pub(crate) fn whole_length(&self, input: usize) -> Option<usize> {
        match (&self.mode, self.direction) {
            (Mode::Blocks { padded: false, .. }, _) => input.is_multiple_of(BLOCK_BYTES).then_some(input),
            (Mode::Blocks { padded: true, .. }, Direction::Encrypt) => Some(padded_length(input)),
            (Mode::Gcm { .. }, Direction::Encrypt) => Some(input + TAG_BYTES),
            (Mode::Sm2 { form, .. }, Direction::Encrypt) => sm2::ciphertext_length(input, *form),
            _ => None,
        }
    }

    /// Length of what [`CipherOperation::update`] will give.
    pub(crate) fn update_length(&self, input: usize) -> usize {
        match self.mode {
            Mode::Blocks { padded, .. } => self.ready(self.pending.len() + input, padded),
            Mode::Gcm { .. } | Mode::Sm2 { .. } => 0,
        }
    }

    /// Takes more input and gives what is ready.
    pub(crate) fn update(&mut self, input: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let total = self.pending.len() + input.len();
        let padded = match self.mode {
            Mode::Blocks { padded, .. } => padded,
            Mode::Gcm { .. } | Mode::Sm2 { .. } => {
                ensure(total <= COLLECTED_BYTES_MAX, CKR_DATA_LEN_RANGE)?;
                append(&mut self.pending, input);
                return Ok(Zeroizing::default());
            }
        };
        let ready = self.ready(total, padded);
        let mut output = Zeroizing::new(Vec::with_capacity(total + BLOCK_BYTES));
        output.extend_from_slice(&self.pending);
        output.extend_from_slice(input);
        let rest = Zeroizing::new(output.split_off(ready));
        self.pending = rest;
        if let Mode::Blocks { chain, .. } = &mut self.mode {
            chain.process(&mut output, self.direction)?;
        }
        Ok(output)
    }

    /// What remains at the end. The operation is over, whatever comes of it.
    pub(crate) fn last(mut self) -> Result<Zeroizing<Vec<u8>>> {
        let wrong_length = match self.direction {
            Direction::Encrypt => CKR_DATA_LEN_RANGE,
            Direction::Decrypt => CKR_ENCRYPTED_DATA_LEN_RANGE,
        };
        let mut rest = std::mem::take(&mut self.pending);
        match (&mut self.mode, self.direction) {
            (Mode::Blocks { padded: false, .. }, _) => {
                ensure(rest.is_empty(), wrong_length)?;
                Ok(rest)
            }
            (Mode::Blocks { chain, padded: true }, Direction::Encrypt) => {
                let missing = BLOCK_BYTES - rest.len();
                let mut block = Zeroizing::new(rest.to_vec());
                block.resize(BLOCK_BYTES, missing as u8);
                chain.process(&mut block, Direction::Encrypt)?;
                Ok(block)
            }
            (Mode::Blocks { chain, padded: true }, Direction::Decrypt) => {
                ensure(rest.len() == BLOCK_BYTES, wrong_length)?;
                chain.process(&mut rest, Direction::Decrypt)?;
                let kept = unpadded_length(&rest).ok_or(Rv(CKR_ENCRYPTED_DATA_INVALID))?;
                rest.truncate(kept);
                Ok(rest)
            }
            (Mode::Gcm { key, iv, aad }, direction) => gcm(key, iv, aad, rest, direction),
            (Mode::Sm2 { key, form }, Direction::Encrypt) => Ok(Zeroizing::new(sm2::encrypt(key, &rest, *form)?)),
            (Mode::Sm2 { key, form }, Direction::Decrypt) => sm2::decrypt(key, &rest, *form),
        }
    }

    /// How much of `total` bytes can be processed: whole blocks, keeping the last one back if it may hold padding.
    fn ready(&self, total: usize, padded: bool) -> usize {
        let keeps_last = padded && self.direction == Direction::Decrypt;
        let usable = if keeps_last { total.saturating_sub(1) } else { total };
        usable - usable % BLOCK_BYTES
    }
}

impl Chain {
    fn start(key: Arc<Object>, iv: Option<[u8; BLOCK_BYTES]>) -> Result<Self> {
        key.block_cipher()?;
        Ok(Self { key, iv })
    }

    /// Processes whole blocks in place and moves the chaining value on.
    fn process(&mut self, bytes: &mut [u8], direction: Direction) -> Result<()> {
        let cipher = self.key.block_cipher()?;
        let blocks = bytes.as_chunks_mut::<BLOCK_BYTES>().0.iter_mut().map(Into::into);
        match (&mut self.iv, direction) {
            (None, Direction::Encrypt) => blocks.for_each(|block| cipher.encrypt_block(block)),
            (None, Direction::Decrypt) => blocks.for_each(|block| cipher.decrypt_block(block)),
            (Some(iv), Direction::Encrypt) => {
                let mut chain = cbc::Encryptor::inner_iv_init(cipher, (&*iv).into());
                blocks.for_each(|block| chain.encrypt_block(block));
                *iv = chain.iv_state().into();
            }
            (Some(iv), Direction::Decrypt) => {
                let mut chain = cbc::Decryptor::inner_iv_init(cipher, (&*iv).into());
                blocks.for_each(|block| chain.decrypt_block(block));
                *iv = chain.iv_state().into();
            }
        }
        Ok(())
    }
}

fn gcm(
    key: &Object,
    iv: &[u8; 12],
    aad: &[u8],
    mut data: Zeroizing<Vec<u8>>,
    direction: Direction,
) -> Result<Zeroizing<Vec<u8>>> {
    let cipher = Sm4Gcm::from(key.sm4()?.clone());
    match direction {
        Direction::Encrypt => {
            let tag = cipher
                .encrypt_inout_detached(iv.into(), aad, data.as_mut_slice().into())
                .map_err(|_| Rv(CKR_DATA_LEN_RANGE))?;
            data.extend_from_slice(&tag);
        }
        Direction::Decrypt => {
            let body = data.len().checked_sub(TAG_BYTES).ok_or(Rv(CKR_ENCRYPTED_DATA_LEN_RANGE))?;
            let (text, tag) = data.split_at_mut(body);
            let tag: &[u8; TAG_BYTES] = (&*tag).try_into().map_err(|_| Rv(CKR_ENCRYPTED_DATA_LEN_RANGE))?;
            cipher
                .decrypt_inout_detached(iv.into(), aad, text.into(), tag.into())
                .map_err(|_| Rv(CKR_ENCRYPTED_DATA_INVALID))?;
            data.truncate(body);
        }
    }
    Ok(data)
}

fn padded_length(input: usize) -> usize {
    (input / BLOCK_BYTES + 1) * BLOCK_BYTES
}

/// Length without PKCS#7 padding, or `None` if the padding is wrong. Looks at every byte in any case.
fn unpadded_length(block: &[u8]) -> Option<usize> {
    let count = usize::from(*block.last()?);
    let mut wrong = u8::from(count == 0 || count > BLOCK_BYTES);
    for (at, byte) in block.iter().rev().enumerate() {
        wrong |= u8::from(at < count) & u8::from(usize::from(*byte) != count);
    }
    (wrong == 0).then(|| block.len() - count)
}

/// Appends without leaving an unwiped copy behind when the buffer has to move.
fn append(buffer: &mut Zeroizing<Vec<u8>>, input: &[u8]) {
    let mut grown = Zeroizing::new(Vec::with_capacity(buffer.len() + input.len() + TAG_BYTES));
    grown.extend_from_slice(buffer);
    grown.extend_from_slice(input);
    *buffer = grown;
}
