//! The keyed card index: who was issued keys before, without saying who.
//!
//! Rows hold HMAC-SM3 values under a key that never leaves the HSM. This table must not leave the
//! database: whoever also held the key could list citizens.

use std::collections::BTreeMap;

use diesel::prelude::*;
use kms_core::digest::Digest;
use kms_core::id::BatchId;

use super::backend::{Connection, StoreError};
use super::chunks::{to_i32, to_u32};
use super::schema::card_index;

/// Values in one `IN (…)`: SQLite takes 32,766, others fewer.
const LOOKUP_VALUES: usize = 500;

/// What became of a card's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Issued, or about to be.
    Active,
    /// The batch ended before release.
    Cancelled,
    /// The bureau reported the card spoiled.
    Spoiled,
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Cancelled => "cancelled",
            Self::Spoiled => "spoiled",
        }
    }

    fn from_name(name: &str) -> Result<Self, StoreError> {
        [Self::Active, Self::Cancelled, Self::Spoiled]
            .into_iter()
            .find(|status| status.name() == name)
            .ok_or(StoreError::Damaged { what: "card index" })
    }
}

/// One card of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedCard {
    /// HMAC of the card number.
    pub number_mac: [u8; 32],
    /// HMAC of the card factor.
    pub factor_mac: [u8; 32],
    /// Chunk.
    pub chunk: u32,
    /// Position in the chunk, from 0.
    pub position: u32,
    /// Salted commitment.
    pub commitment: Digest,
    /// Is it a replacement card?
    pub replacement: bool,
}

/// Where a card number occurs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// Batch.
    pub batch: BatchId,
    /// Chunk.
    pub chunk: u32,
    /// Position.
    pub position: u32,
    /// Salted commitment.
    pub commitment: Digest,
    /// What became of it.
    pub status: Status,
}

/// Adds the cards of a batch, all active.
pub fn add(connection: &mut Connection, batch: BatchId, cards: &[IndexedCard]) -> Result<(), StoreError> {
    for card in cards {
        diesel::insert_into(card_index::table)
            .values((
                card_index::number_mac.eq(card.number_mac.as_slice()),
                card_index::factor_mac.eq(card.factor_mac.as_slice()),
                card_index::batch.eq(batch.as_bytes().as_slice()),
                card_index::chunk.eq(to_i32(card.chunk)?),
                card_index::position.eq(to_i32(card.position)?),
                card_index::commitment.eq(card.commitment.as_bytes().as_slice()),
                card_index::replacement.eq(card.replacement),
                card_index::status.eq(Status::Active.name()),
            ))
            .execute(connection)?;
    }
    Ok(())
}

/// Which of the cards were issued before: index into `cards` → by factor (`true`) or by number only.
pub fn issued_before(connection: &mut Connection, cards: &[IndexedCard]) -> Result<BTreeMap<usize, bool>, StoreError> {
    let mut found = BTreeMap::new();
    for (start, part) in cards.chunks(LOOKUP_VALUES).enumerate() {
        let numbers = part.iter().map(|card| card.number_mac.as_slice());
        let factors = part.iter().map(|card| card.factor_mac.as_slice());
        let active = card_index::table.filter(card_index::status.eq(Status::Active.name()));
        let numbers: Vec<Vec<u8>> =
            active.filter(card_index::number_mac.eq_any(numbers)).select(card_index::number_mac).load(connection)?;
        let factors: Vec<Vec<u8>> =
            active.filter(card_index::factor_mac.eq_any(factors)).select(card_index::factor_mac).load(connection)?;
        for (position, card) in part.iter().enumerate() {
            let by_factor = factors.iter().any(|mac| mac.as_slice() == card.factor_mac);
            let by_number = !card.replacement && numbers.iter().any(|mac| mac.as_slice() == card.number_mac);
            if by_factor || by_number {
                found.insert(start * LOOKUP_VALUES + position, by_factor);
            }
        }
    }
    Ok(found)
}

/// The batch ended before release: its cards are free again.
pub fn cancel(connection: &mut Connection, batch: BatchId) -> Result<(), StoreError> {
    diesel::update(card_index::table.filter(card_index::batch.eq(batch.as_bytes().as_slice())))
        .set(card_index::status.eq(Status::Cancelled.name()))
        .execute(connection)?;
    Ok(())
}

/// Marks cards as spoiled; `false` if one of the commitments is not of this batch.
pub fn spoil(connection: &mut Connection, batch: BatchId, commitments: &[Digest]) -> Result<bool, StoreError> {
    for commitment in commitments {
        let row = card_index::table
            .filter(card_index::batch.eq(batch.as_bytes().as_slice()))
            .filter(card_index::commitment.eq(commitment.as_bytes().as_slice()));
        if diesel::update(row).set(card_index::status.eq(Status::Spoiled.name())).execute(connection)? != 1 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Every time keys were made for a card number, oldest first.
pub fn occurrences(connection: &mut Connection, number_mac: &[u8; 32]) -> Result<Vec<Occurrence>, StoreError> {
    let rows: Vec<Row> = card_index::table
        .filter(card_index::number_mac.eq(number_mac.as_slice()))
        .order(card_index::id)
        .select((
            card_index::batch,
            card_index::chunk,
            card_index::position,
            card_index::commitment,
            card_index::status,
        ))
        .load(connection)?;
    rows.into_iter().map(occurrence).collect()
}

/// Batch, chunk, position, commitment, status.
type Row = (Vec<u8>, i32, i32, Vec<u8>, String);

fn occurrence((batch, chunk, position, commitment, status): Row) -> Result<Occurrence, StoreError> {
    let damaged = || StoreError::Damaged { what: "card index" };
    Ok(Occurrence {
        batch: BatchId::from_bytes(batch.try_into().map_err(|_| damaged())?),
        chunk: to_u32(chunk)?,
        position: to_u32(position)?,
        commitment: Digest::from_bytes(commitment.try_into().map_err(|_| damaged())?),
        status: Status::from_name(&status)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    fn card(number: u8, factor: u8, replacement: bool) -> IndexedCard {
        IndexedCard {
            number_mac: [number; 32],
            factor_mac: [factor; 32],
            chunk: 0,
            position: u32::from(factor),
            commitment: Digest::of(&[number, factor]),
            replacement,
        }
    }

    const fn batch(number: u8) -> BatchId {
        BatchId::from_bytes([number; 16])
    }

    #[test]
    fn who_was_issued_before() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("kms.db")).unwrap();
        store.write(|c| add(c, batch(1), &[card(1, 1, false), card(2, 2, false)])).unwrap();
        let before = |card| store.read(|c| issued_before(c, &[card])).unwrap().first_key_value().map(|(_, by)| *by);
        assert_eq!(before(card(3, 3, false)), None, "a new card");
        assert_eq!(before(card(1, 3, false)), Some(false), "a known number");
        assert_eq!(before(card(1, 3, true)), None, "a replacement with a new chip");
        assert_eq!(before(card(1, 1, true)), Some(true), "a replacement in the same chip");
        let again = store.write(|c| add(c, batch(2), &[card(1, 3, false)]));
        assert!(matches!(again, Err(StoreError::Duplicate { .. })), "the schema says so too");
    }

    #[test]
    fn spoiled_and_cancelled_cards_are_free_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("kms.db")).unwrap();
        store.write(|c| add(c, batch(1), &[card(1, 1, false), card(2, 2, false)])).unwrap();
        assert!(store.write(|c| spoil(c, batch(1), &[Digest::of(&[1, 1])])).unwrap());
        assert!(!store.write(|c| spoil(c, batch(1), &[Digest::of(&[9, 9])])).unwrap(), "not of this batch");
        store.write(|c| add(c, batch(2), &[card(1, 1, false)])).unwrap();
        store.write(|c| cancel(c, batch(2))).unwrap();
        let statuses: Vec<_> =
            store.read(|c| occurrences(c, &[1; 32])).unwrap().into_iter().map(|found| found.status).collect();
        assert_eq!(statuses, [Status::Spoiled, Status::Cancelled]);
        assert!(store.read(|c| issued_before(c, &[card(1, 1, false)])).unwrap().is_empty());
    }
}
