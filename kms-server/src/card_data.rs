//! Card data at rest: how card lines and openings are encoded before the HSM protects them, and what
//! the keyed index is computed over.
//!
//! Guards: personal data is wiped from memory when it is dropped; protected bytes open only in their
//! own place (batch, chunk and kind are the context); number and factor never give the same index value.
//!
//! Stored format: changing an encoding here needs a migration.

use kms_core::cards::ValidCard;
use kms_core::encoding::{self, Document as _};
use kms_core::id::{BatchId, ObjectId};
use kms_core::package::{CardRecord, Records, SALT_BYTES};
use zeroize::{Zeroize as _, Zeroizing};

use kms_api::problem::Code;

use crate::fault::Fault;
use crate::guarded::GuardedHsm;

/// Values in one HSM request.
const INDEX_VALUES: usize = 4096;
/// Salt and factor.
const OPENING_BYTES: usize = SALT_BYTES + 8;

/// One card of a batch in production. Personal data: wiped on drop, never printed.
pub struct StoredCard {
    number: String,
    factor: [u8; 8],
    salt: [u8; SALT_BYTES],
    replacement: Option<String>,
}

impl StoredCard {
    /// A card of a list with its fresh salt.
    pub fn new(card: &ValidCard, salt: &[u8; SALT_BYTES]) -> Self {
        Self {
            number: card.number().expose().iter().map(|byte| char::from(*byte)).collect(),
            factor: *card.factor().as_bytes(),
            salt: *salt,
            replacement: card.replacement().map(|reason| reason.as_str().to_owned()),
        }
    }

    /// The 18-character number.
    pub fn number(&self) -> &str {
        &self.number
    }

    /// The diversification factor.
    pub fn factor(&self) -> &[u8; 8] {
        &self.factor
    }

    /// The salt of the commitment.
    pub fn salt(&self) -> &[u8; SALT_BYTES] {
        &self.salt
    }

    /// Why it replaces an earlier card.
    pub fn replacement(&self) -> Option<&str> {
        self.replacement.as_deref()
    }

    fn read(record: &CardRecord) -> Result<Self, Fault> {
        let damaged = || Fault::new(Code::Internal, "stored card lines are damaged");
        Ok(Self {
            number: record.number.clone(),
            factor: record.factor.as_bytes().try_into().map_err(|_| damaged())?,
            salt: record.salt.as_bytes().try_into().map_err(|_| damaged())?,
            replacement: record.replacement.clone(),
        })
    }
}

impl Drop for StoredCard {
    fn drop(&mut self) {
        self.number.zeroize();
        self.factor.zeroize();
        self.salt.zeroize();
        self.replacement.zeroize();
    }
}

/// Salt and factor of a card: what remains of it after release.
pub struct Opening {
    /// Salt of the commitment.
    pub salt: [u8; SALT_BYTES],
    /// Card factor.
    pub factor: [u8; 8],
}

/// The records of a package chunk.
pub fn records(cards: &[StoredCard]) -> Result<Records, Fault> {
    let record = |card: &StoredCard| {
        Ok(CardRecord {
            number: card.number.clone(),
            factor: crate::app::octets(&card.factor)?,
            salt: crate::app::octets(&card.salt)?,
            replacement: card.replacement.clone(),
        })
    };
    let cards = cards.iter().map(record).collect::<Result<_, Fault>>()?;
    Ok(Records { label: Records::LABEL.to_owned(), cards })
}

/// Card lines as they are protected.
pub fn encode_records(cards: &[StoredCard]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut records = records(cards)?;
    let bytes = Zeroizing::new(encoding::encode(&records)?);
    wipe(&mut records);
    Ok(bytes)
}

/// Reads what [`encode_records`] wrote.
pub fn decode_records(bytes: &[u8]) -> Result<Vec<StoredCard>, Fault> {
    let mut records: Records = encoding::decode(bytes)?;
    let cards = records.cards.iter().map(StoredCard::read).collect();
    wipe(&mut records);
    cards
}

/// Wipes the card numbers; the octet strings offer no way to.
pub fn wipe(records: &mut Records) {
    for card in &mut records.cards {
        card.number.zeroize();
        card.replacement.zeroize();
    }
}

/// Openings as they are protected: salt and factor of each card, in order.
pub fn encode_openings(cards: &[StoredCard]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(cards.len() * OPENING_BYTES));
    for card in cards {
        bytes.extend_from_slice(&card.salt);
        bytes.extend_from_slice(&card.factor);
    }
    bytes
}

/// The opening at a position of what [`encode_openings`] wrote.
pub fn opening_at(bytes: &[u8], position: u32) -> Option<Opening> {
    let start = usize::try_from(position).ok()?.checked_mul(OPENING_BYTES)?;
    let (salt, factor) = bytes.get(start..start + OPENING_BYTES)?.split_at(SALT_BYTES);
    Some(Opening { salt: salt.try_into().ok()?, factor: factor.try_into().ok()? })
}

/// Context under which the card lines of a chunk are protected.
pub fn records_context(batch: BatchId, chunk: u32) -> Vec<u8> {
    context(b"KMS-STORED-RECORDS/1", batch, chunk)
}

/// Context under which the openings of a chunk are protected.
pub fn openings_context(batch: BatchId, chunk: u32) -> Vec<u8> {
    context(b"KMS-STORED-OPENINGS/1", batch, chunk)
}

/// What the index of a card number is computed over.
pub fn number_value(number: &[u8]) -> Vec<u8> {
    [b"KMS-CARD-NUMBER/1\0".as_slice(), number].concat()
}

/// What the index of a card factor is computed over.
pub fn factor_value(factor: &[u8; 8]) -> Vec<u8> {
    [b"KMS-CARD-FACTOR/1\0".as_slice(), factor].concat()
}

/// Keyed hashes of values, in order.
pub fn index(hsm: &GuardedHsm, key: ObjectId, values: &[Vec<u8>]) -> Result<Vec<[u8; 32]>, Fault> {
    let mut macs = Vec::with_capacity(values.len());
    for part in values.chunks(INDEX_VALUES) {
        macs.extend(hsm.card_index(key, part)?);
    }
    Ok(macs)
}

fn context(label: &[u8], batch: BatchId, chunk: u32) -> Vec<u8> {
    [label, &[0], batch.as_bytes(), &chunk.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kms_core::cards;

    #[test]
    fn lines_and_openings_come_back() {
        let list = cards::synthetic(3, 1).unwrap();
        let stored: Vec<_> = list.cards().iter().map(|card| StoredCard::new(card, &[5; 32])).collect();
        let read = decode_records(&encode_records(&stored).unwrap()).unwrap();
        assert!(read.iter().zip(&stored).all(|(a, b)| a.number() == b.number() && a.factor() == b.factor()));
        let openings = encode_openings(&stored);
        assert_eq!(opening_at(&openings, 2).unwrap().factor, *stored[2].factor());
        assert!(opening_at(&openings, 3).is_none());
    }

    #[test]
    fn places_and_kinds_differ() {
        let batch = BatchId::from_bytes([1; 16]);
        assert_ne!(records_context(batch, 0), records_context(batch, 1));
        assert_ne!(records_context(batch, 0), openings_context(batch, 0));
        assert_ne!(number_value(b"12345678"), factor_value(b"12345678"));
    }
}
