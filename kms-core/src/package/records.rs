//! Encryption of a chunk's card records (personal data, no keys) for the bureau.
//!
//! SM4-GCM (RFC 8998 §2, GB/T 36624 mode) under a key that exists for one chunk only, sealed with SM2
//! to the bureau's encryption certificate. The table-driven `sm4` crate is acceptable here because no
//! long-lived key is involved; card keys never pass through this module.

use aes_gcm::AesGcm;
use aes_gcm::aead::{Aead, KeyInit, Nonce, Payload};
use der::asn1::OctetString;
use sm4::Sm4;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{Chunk, RECORDS_NONCE_BYTES, Records, RecordsContext, commitment};
use crate::encoding::{self, Document, EncodingError};
use crate::id::BureauId;
use crate::secret::Secret;
use crate::sm2::SecretKey;

/// Bytes of the data key.
pub const DATA_KEY_BYTES: usize = 16;

type Sm4Gcm = AesGcm<Sm4, aes_gcm::aead::consts::U12>;

/// Why records cannot be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordsError {
    /// The data key cannot be opened with this private key.
    #[error("the data key is not sealed to this encryption key, or it is damaged")]
    DataKey,
    /// The tag does not fit: changed, moved to another place, or another key.
    #[error("the records do not authenticate: changed, moved, or for another bureau")]
    NotAuthentic,
    /// They open, but are not records.
    #[error("records: {0}")]
    Malformed(#[from] EncodingError),
    /// As many records as cards.
    #[error("{found} records for {expected} cards")]
    Count {
        /// Cards in the chunk.
        expected: usize,
        /// Records in it.
        found: usize,
    },
    /// A record does not open the commitment of its card.
    #[error("record {position} does not belong to the card at its place")]
    Commitment {
        /// Position in the chunk, from 0.
        position: usize,
    },
}

/// Encrypts `records` for one place: `context` becomes the associated data.
pub fn seal(
    records: &Records,
    context: &RecordsContext,
    key: &Secret<DATA_KEY_BYTES>,
    nonce: &[u8; RECORDS_NONCE_BYTES],
) -> Result<Vec<u8>, RecordsError> {
    let plain = Zeroizing::new(encoding::encode(records)?);
    let aad = encoding::encode(context)?;
    let cipher = Sm4Gcm::new(key.expose().into());
    let nonce: &Nonce<Sm4Gcm> = nonce.into();
    cipher.encrypt(nonce, Payload { msg: &plain, aad: &aad }).map_err(|_| RecordsError::NotAuthentic)
}

/// Opens the records of `chunk` with the bureau's encryption key and checks each against its card.
pub fn open(chunk: &Chunk, bureau: &BureauId, key: &SecretKey) -> Result<Records, RecordsError> {
    let mut opened = key.decrypt(chunk.data_key.as_bytes()).map_err(|_| RecordsError::DataKey)?;
    let bytes: &mut [u8; DATA_KEY_BYTES] = opened.as_mut_slice().try_into().map_err(|_| RecordsError::DataKey)?;
    let data_key = Secret::take(bytes);
    let aad = encoding::encode(&context(chunk, bureau))?;
    let cipher = Sm4Gcm::new(data_key.expose().into());
    let nonce: [u8; RECORDS_NONCE_BYTES] = chunk.nonce.as_bytes().try_into().map_err(|_| RecordsError::NotAuthentic)?;
    let nonce: &Nonce<Sm4Gcm> = (&nonce).into();
    let plain = cipher
        .decrypt(nonce, Payload { msg: chunk.records.as_bytes(), aad: &aad })
        .map(Zeroizing::new)
        .map_err(|_| RecordsError::NotAuthentic)?;
    let records: Records = encoding::decode(&plain)?;
    check(chunk, &records)?;
    Ok(records)
}

/// The associated data of `chunk`.
pub fn context(chunk: &Chunk, bureau: &BureauId) -> RecordsContext {
    RecordsContext {
        label: RecordsContext::LABEL.to_owned(),
        batch: chunk.batch,
        bureau: bureau.clone(),
        index: chunk.index,
        count: chunk.count,
    }
}

fn check(chunk: &Chunk, records: &Records) -> Result<(), RecordsError> {
    if records.cards.len() != chunk.cards.len() {
        return Err(RecordsError::Count { expected: chunk.cards.len(), found: records.cards.len() });
    }
    for (position, (record, card)) in records.cards.iter().zip(&chunk.cards).enumerate() {
        let opens = |salt: &OctetString, factor: &OctetString| {
            let salt = salt.as_bytes().try_into().ok()?;
            let factor = factor.as_bytes().try_into().ok()?;
            Some(commitment(salt, &record.number, factor) == card.commitment)
        };
        if opens(&record.salt, &record.factor) != Some(true) {
            return Err(RecordsError::Commitment { position });
        }
    }
    Ok(())
}
