//! One chunk: T1, H, F, T2.
//!
//! The data key of a chunk's card records is fresh for every attempt, comes from the HSM, is sealed to
//! the bureau's encryption certificate and then forgotten: there is no key to keep between chunks.

use kms_api::problem::Code;
use kms_core::digest::Digest;
use kms_core::diversify::CardFactor;
use kms_core::encoding::{self, Document as _};
use kms_core::event::{ChunkIntent, ChunkOutcome, Event, StepIntent};
use kms_core::id::BatchId;
use kms_core::log::merkle;
use kms_core::package::{
    CardKeys, Chunk, LeafContext, RECORDS_NONCE_BYTES, RecordsContext, SlotKey, commitment, records,
};
use kms_core::policy::CHUNK_CARDS_MAX;
use kms_core::ports::{ChunkOrder, WrappedKey};
use kms_core::profile::{KeyProfile, PROFILE_SLOTS_MAX};
use kms_core::secret::Secret;
use kms_core::state::{Batch, BatchPhase, Master, State, StepState, step_digest};
use kms_core::suite::KeyWrap;
use kms_core::violation::Violation;
use zeroize::Zeroizing;

use crate::app::octets;
use crate::card_data::{self, StoredCard};
use crate::fault::Fault;
use crate::instance::Instance;
use crate::journal::Act;
use crate::store::chunks;

/// How long a lease runs: longer than any chunk takes.
const LEASE_MS: u64 = 10 * 60 * 1000;
/// One engine per data folder: the folder's lock sees to that.
const HOLDER: &str = "engine";

// The largest chunk of the largest profile is still one HSM request.
const _: () = assert!(CHUNK_CARDS_MAX as usize * PROFILE_SLOTS_MAX <= kms_hsm::CHUNK_KEYS_MAX);

/// A finished chunk file and what its OUTCOME says of it.
struct Made {
    file: Vec<u8>,
    root: Digest,
    keys: u32,
    openings: Vec<u8>,
}

/// Writes the INTENT of the batch's step once.
pub(super) fn begin(instance: &Instance, batch: BatchId) -> Result<(), Fault> {
    let hsm_serial = instance.token()?.serial;
    let state = instance.journal.state();
    let plan = state.batch(batch)?.plan;
    let ceremony = state.ceremony(plan)?;
    if ceremony.steps.first() != Some(&StepState::Ready) {
        return Ok(());
    }
    let (step, what) = ceremony.next_step().ok_or(Violation::UnknownShape)?;
    let intent = StepIntent { plan, step, parameters: step_digest(what)?, hsm_serial };
    instance.journal.commit(|_, _| Ok((Act::own(vec![Event::StepIntent(intent)]), ())))
}

/// Makes one chunk.
pub(super) fn make(instance: &Instance, batch: BatchId, index: u32) -> Result<(), Fault> {
    let hsm_serial = instance.token()?.serial;
    // T1
    let token = instance.journal.commit(|moment, connection| {
        let cards = moment.state.batch(batch)?.cards_in(index);
        let until_ms = moment.now_ms.saturating_add(LEASE_MS);
        let lease = chunks::lease(connection, batch, index, HOLDER, moment.now_ms, until_ms)?;
        let token = lease.ok_or_else(|| Fault::new(Code::HsmUnavailable, "another engine holds this chunk"))?;
        let intent = ChunkIntent { batch, chunk: index, token, cards, hsm_serial };
        Ok((Act::own(vec![Event::ChunkIntent(intent)]), token))
    })?;
    // H
    let made = build(instance, batch, index)?;
    // F
    instance.packages.stage(batch, index, token, &made.file)?;
    // T2
    instance.journal.commit(|moment, connection| {
        let current = moment.state.batch(batch)?;
        if !chunks::finish(connection, batch, index, token, &made.openings)? {
            let current = current.chunks.get(&index).map_or(0, |chunk| chunk.token);
            return Err(Violation::TokenStale { chunk: index, current, found: token }.into());
        }
        let outcome = ChunkOutcome {
            batch,
            chunk: index,
            token,
            cards: current.cards_in(index),
            keys: made.keys,
            bytes: made.file.len() as u64,
            digest: Digest::of(&made.file),
            root: made.root,
        };
        Ok((Act::own(vec![Event::ChunkOutcome(outcome)]), ()))
    })?;
    tracing::info!(%batch, chunk = index, "chunk made");
    if token > 1 {
        // Files of earlier attempts at this chunk; nothing names them.
        let state = instance.journal.state();
        instance.packages.sweep(batch, |chunk, token| is_named(&state, batch, chunk, token))?;
    }
    Ok(())
}

/// Does a batch in production have an OUTCOME that names the staging file with this token?
pub(super) fn is_named(state: &State, batch: BatchId, chunk: u32, token: u64) -> bool {
    let batch = state.batches().get(&batch).filter(|batch| batch.phase == BatchPhase::Producing);
    let chunk = batch.and_then(|batch| batch.chunks.get(&chunk));
    chunk.and_then(|chunk| chunk.outcome.as_ref()).is_some_and(|outcome| outcome.token == token)
}

fn build(instance: &Instance, id: BatchId, index: u32) -> Result<Made, Fault> {
    let state = instance.journal.state();
    let batch = state.batch(id)?;
    let issue = &batch.issue;
    let keys = state.keys().ok_or(Violation::NotFounded)?;
    let cards = stored_cards(instance, &state, id, index)?;
    let profile = instance.policies.profile(&issue.profile);
    let profile =
        profile.ok_or_else(|| Fault::new(Code::ProfileUnknown, format!("there is no profile {}", issue.profile)))?;
    let set = state.masters().get(&issue.profile).ok_or(Violation::ProfileWithoutMasters { profile: issue.profile })?;
    let order = ChunkOrder {
        kek: issue.kek,
        masters: set
            .masters
            .iter()
            .map(|master| Ok((master.id, carries_kcv(profile, master)?)))
            .collect::<Result<_, Fault>>()?,
        blocks: cards.iter().map(|card| block(profile, card)).collect::<Result<_, _>>()?,
    };
    let wrapped = instance.hsm.issue_chunk(&order)?;
    let wrap = state.bureau(&issue.bureau)?.application.wrap;
    let card_keys = assemble(&cards, &set.masters, wrap, wrapped)?;
    let context = LeafContext { batch: id, bureau: issue.bureau.clone(), kek: issue.kek, profile: issue.profile };
    let root = merkle::root(&context.leaves(&card_keys)?);
    let slots: usize = card_keys.iter().map(|card| card.slots.len()).sum();
    let openings = card_data::encode_openings(&cards);
    let openings = instance.hsm.protect(keys.ids.storage, &openings, &card_data::openings_context(id, index))?;
    let chunk = seal_records(instance, &state, batch, index, &cards, card_keys)?;
    let keys = u32::try_from(slots).map_err(|_| Fault::new(Code::Internal, "too many keys in a chunk"))?;
    Ok(Made { file: encoding::encode(&chunk)?, root, keys, openings })
}

fn stored_cards(instance: &Instance, state: &State, batch: BatchId, index: u32) -> Result<Vec<StoredCard>, Fault> {
    let keys = state.keys().ok_or(Violation::NotFounded)?;
    let stored = instance.store.read(|connection| chunks::records(connection, batch, index).map_err(Fault::from))?;
    let gone = || Fault::new(Code::Internal, "the card lines of the chunk are gone");
    let context = card_data::records_context(batch, index);
    let plain = Zeroizing::new(instance.hsm.unprotect(keys.ids.storage, &stored.ok_or_else(gone)?, &context)?);
    let cards = card_data::decode_records(&plain)?;
    let expected = state.batch(batch)?.cards_in(index) as usize;
    if cards.len() == expected { Ok(cards) } else { Err(gone()) }
}

fn carries_kcv(profile: &KeyProfile, master: &Master) -> Result<bool, Fault> {
    let missing = || Fault::new(Code::Internal, format!("the profile has no key {}", master.name));
    Ok(profile.key(&master.name).ok_or_else(missing)?.package_kcv().is_some())
}

fn block(profile: &KeyProfile, card: &StoredCard) -> Result<[u8; 16], Fault> {
    let factor = CardFactor::new(*card.factor()).map_err(|error| Fault::new(Code::Internal, error.to_string()))?;
    Ok(*profile.path().card_block(factor).as_bytes())
}

/// Puts each wrapped key into its slot. The HSM's answer must have exactly the asked shape.
fn assemble(
    cards: &[StoredCard],
    masters: &[Master],
    wrap: KeyWrap,
    wrapped: Vec<Vec<WrappedKey>>,
) -> Result<Vec<CardKeys>, Fault> {
    let shape = || Fault::new(Code::HsmRefused, "the HSM answered with another number of keys");
    if wrapped.len() != cards.len() || wrapped.iter().any(|keys| keys.len() != masters.len()) {
        return Err(shape());
    }
    let card = |(card, keys): (&StoredCard, Vec<WrappedKey>)| {
        let slot = |(master, key): (&Master, WrappedKey)| {
            if key.wrapped.wrap() != wrap {
                let found = key.wrapped.wrap();
                let detail = format!("the HSM's vendor map wraps by {found}, the bureau was registered with {wrap}");
                return Err(Fault::new(Code::HsmRefused, detail));
            }
            Ok(SlotKey {
                name: master.name.clone(),
                group: master.group,
                version: master.version,
                wrapped: octets(key.wrapped.as_bytes())?,
                kcv: key.kcv,
            })
        };
        let slots = masters.iter().zip(keys).map(slot).collect::<Result<_, Fault>>()?;
        Ok(CardKeys { commitment: commitment(card.salt(), card.number(), card.factor()), slots })
    };
    cards.iter().zip(wrapped).map(card).collect()
}

fn seal_records(
    instance: &Instance,
    state: &State,
    batch: &Batch,
    index: u32,
    cards: &[StoredCard],
    card_keys: Vec<CardKeys>,
) -> Result<Chunk, Fault> {
    let issue = &batch.issue;
    let count = batch.chunk_count();
    let context = RecordsContext {
        label: RecordsContext::LABEL.to_owned(),
        batch: issue.batch,
        bureau: issue.bureau.clone(),
        index,
        count,
    };
    let internal = |reason: String| Fault::new(Code::Internal, reason);
    let mut drawn = Zeroizing::new(instance.hsm.random(records::DATA_KEY_BYTES + RECORDS_NONCE_BYTES)?);
    let (key, nonce) = drawn.split_at_mut(records::DATA_KEY_BYTES);
    let nonce: [u8; RECORDS_NONCE_BYTES] = (&*nonce).try_into().map_err(|_| internal("short nonce".to_owned()))?;
    let key: &mut [u8; records::DATA_KEY_BYTES] = key.try_into().map_err(|_| internal("short key".to_owned()))?;
    let key = Secret::take(key);
    let mut plain = card_data::records(cards)?;
    let sealed = records::seal(&plain, &context, &key, &nonce);
    card_data::wipe(&mut plain);
    let sealed = sealed.map_err(|error| internal(error.to_string()))?;
    let certificate = &state.bureau(&issue.bureau)?.encryption;
    let data_key = certificate
        .public_key()
        .encrypt(key.expose(), &mut getrandom::SysRng)
        .map_err(|error| internal(error.to_string()))?;
    Ok(Chunk {
        label: Chunk::LABEL.to_owned(),
        batch: issue.batch,
        index,
        count,
        cards: card_keys,
        data_key: octets(&data_key)?,
        nonce: octets(&nonce)?,
        records: octets(&sealed)?,
    })
}
