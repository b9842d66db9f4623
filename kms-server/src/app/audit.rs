//! Where did the keys of this card go? For an auditor who names the card.
//!
//! The answer opens commitments of this one card only; everything else in it is checked against the
//! key log without trusting the server.

use kms_api::body::{CardProof, CardProofs, CardStatus, ProveCard};
use kms_api::problem::Code;
use kms_api::text::{Base64, Hex, Text};
use kms_core::cards::CardNumber;
use kms_core::digest::Digest;
use kms_core::encoding::{self, Document as _};
use kms_core::log::merkle;
use kms_core::package::{CardLeaf, Chunk, LeafContext};
use kms_core::state::{Batch, InstanceKeys};
use kms_core::violation::Violation;
use zeroize::Zeroizing;

use super::{batches, key_log};
use crate::card_data::{self, Opening};
use crate::fault::Fault;
use crate::instance::Instance;
use crate::store::cards::{self, Occurrence, Status};
use crate::store::chunks;

/// Every time keys were made for this card number.
pub fn prove(instance: &Instance, body: &ProveCard) -> Result<CardProofs, Fault> {
    let malformed = |error: kms_core::cards::InvalidCardNumber| Fault::new(Code::MalformedBody, error.to_string());
    let number = CardNumber::parse(&body.card_number).map_err(malformed)?;
    let state = instance.journal.state();
    let keys = state.keys().ok_or(Violation::NotFounded)?;
    let values = [card_data::number_value(number.expose())];
    let mac = card_data::index(&instance.hsm, keys.ids.index, &values)?.pop();
    let mac = mac.ok_or_else(|| Fault::new(Code::HsmRefused, "no keyed hash"))?;
    let found = instance.store.read(|c| cards::occurrences(c, &mac).map_err(Fault::from))?;
    let mut proofs = Vec::with_capacity(found.len());
    for occurrence in found {
        let batch = state.batch(occurrence.batch)?;
        if let Some(opening) = opening(instance, keys, &occurrence)? {
            proofs.push(proof(instance, batch, &occurrence, &opening)?);
        }
    }
    Ok(CardProofs { proofs })
}

/// `None` for a card whose batch ended before its keys were made: its lines are purged.
fn opening(instance: &Instance, keys: &InstanceKeys, card: &Occurrence) -> Result<Option<Opening>, Fault> {
    let storage = keys.ids.storage;
    let stored = instance.store.read(|c| {
        let openings = chunks::openings(c, card.batch, card.chunk)?;
        let records = chunks::records(c, card.batch, card.chunk)?;
        Ok::<_, Fault>((openings, records))
    })?;
    match stored {
        (Some(openings), _) => {
            let context = card_data::openings_context(card.batch, card.chunk);
            let plain = Zeroizing::new(instance.hsm.unprotect(storage, &openings, &context)?);
            Ok(card_data::opening_at(&plain, card.position))
        }
        (None, Some(records)) => {
            let context = card_data::records_context(card.batch, card.chunk);
            let plain = Zeroizing::new(instance.hsm.unprotect(storage, &records, &context)?);
            let cards = card_data::decode_records(&plain)?;
            let card = cards.get(card.position as usize);
            Ok(card.map(|card| Opening { salt: *card.salt(), factor: *card.factor() }))
        }
        (None, None) => Ok(None),
    }
}

fn proof(instance: &Instance, batch: &Batch, card: &Occurrence, opening: &Opening) -> Result<CardProof, Fault> {
    let mut proof = CardProof {
        batch: Text(card.batch),
        bureau: Text(batch.bureau().clone()),
        chunk: card.chunk,
        position: card.position,
        status: match card.status {
            Status::Active => CardStatus::Active,
            Status::Cancelled => CardStatus::Cancelled,
            Status::Spoiled => CardStatus::Spoiled,
        },
        salt: Hex(opening.salt),
        factor: Hex(opening.factor),
        commitment: Text(card.commitment),
        leaf: None,
        chunk_path: Vec::new(),
        manifest: None,
        inclusion: None,
    };
    if batch.manifest.is_some() {
        let (manifest, index) = batches::released(instance, card.batch)?;
        let (leaf, path) = leaf(instance, batch, card)?;
        proof.leaf = Some(Base64(leaf));
        proof.chunk_path = path.into_iter().map(Text).collect();
        proof.manifest = Some(Base64(super::document(instance, &manifest)?));
        proof.inclusion = Some(Base64(key_log::inclusion(instance, index)?));
    }
    Ok(proof)
}

/// The card's leaf, and its path to the root of its chunk.
fn leaf(instance: &Instance, batch: &Batch, card: &Occurrence) -> Result<(Vec<u8>, Vec<Digest>), Fault> {
    let file = batches::chunk(instance, card.batch, card.chunk, None)?.bytes;
    let chunk: Chunk = encoding::decode(&file)?;
    let issue = &batch.issue;
    let context =
        LeafContext { batch: issue.batch, bureau: issue.bureau.clone(), kek: issue.kek, profile: issue.profile };
    let leaves = context.leaves(&chunk.cards)?;
    let position = card.position as usize;
    let missing = || Fault::new(Code::Internal, "the chunk has no card at this position");
    let path = merkle::inclusion_path(&leaves, position).ok_or_else(missing)?;
    let leaf = CardLeaf {
        label: CardLeaf::LABEL.to_owned(),
        batch: context.batch,
        bureau: context.bureau,
        kek: context.kek,
        profile: context.profile,
        card: chunk.cards.get(position).cloned().ok_or_else(missing)?,
    };
    Ok((encoding::encode(&leaf)?, path))
}
