//! A bureau hands in a card list: everything is checked, then recorded in one transaction, or nothing.
//!
//! Guards: the list is the one that the signed request commits to; no card and no chip gets keys twice
//! unless the line is a marked replacement (and then never for the same chip); card lines are stored
//! only under the HSM's storage key; what is refused leaves no trace of the list.

use kms_api::body::{BatchSubmit, BatchView};
use kms_api::problem::{Code, LineProblem, Problem};
use kms_core::cards::{CardList, ValidCardList};
use kms_core::digest::Digest;
use kms_core::document::BatchRequest;
use kms_core::encoding::{self, Signed};
use kms_core::event::{BatchRequested, Event, Opened};
use kms_core::id::{BureauId, PlanId};
use kms_core::package::{SALT_BYTES, commitment, list_commitment};
use kms_core::plan::{IssueBatch, Level, Step};
use kms_core::state::State;
use kms_core::violation::Violation;
use zeroize::Zeroizing;

use super::caller::Caller;
use super::proposals::{Randoms, frame};
use super::{batches, view};
use crate::card_data::{self, StoredCard};
use crate::fault::Fault;
use crate::instance::Instance;
use crate::journal::Moment;
use crate::store::cards::{self, IndexedCard};
use crate::store::{Connection, chunks};

/// Random bytes drawn in one HSM call.
const RANDOM_BYTES_MAX: usize = 64 * 1024;
/// The header is line 1.
const FIRST_CARD_LINE: u64 = 2;

/// What is stored besides the log: index rows, and the protected lines of each chunk.
struct Prepared {
    index: Vec<IndexedCard>,
    chunks: Vec<Vec<u8>>,
}

/// Takes in a batch request. The same signed request again answers the batch it made.
pub fn submit(instance: &Instance, caller: &Caller, bureau: &BureauId, body: &BatchSubmit) -> Result<BatchView, Fault> {
    let signed = Signed::<BatchRequest>::parse(&body.request.0).map_err(super::ceremonies::malformed)?;
    let request = signed.unverified_tbs();
    if request.bureau != *bureau {
        return Err(Fault::new(Code::NotTheOwner, format!("the request is of {}", request.bureau)));
    }
    let state = instance.journal.state();
    match state.batches().get(&request.batch) {
        Some(batch) if batch.issue.request == signed.digest() => return batches::show(instance, request.batch),
        Some(_) => return Err(Violation::BatchKnown { batch: request.batch }.into()),
        None => {}
    }
    check_request(instance, &state, request)?;
    let list = check_list(request, body)?;
    let serial = instance.token()?.serial;
    let nonce = Randoms::draw(instance, 1)?.nonce()?;
    let prepared = prepare(instance, &state, request, &list)?;
    drop(list);
    instance.journal.commit(|moment, connection| {
        let issue = issue(moment, request, signed.digest())?;
        let plan = frame(moment, caller.actor(), nonce, serial, vec![Step::IssueBatch(issue)], None)?;
        let bytes = encoding::encode(&plan)?;
        let plan = PlanId::from_digest(Digest::of(&bytes));
        refuse_issued(connection, &prepared.index)?;
        store(connection, request, &prepared)?;
        let requested = BatchRequested { batch: request.batch, bureau: bureau.clone(), request: signed.digest(), plan };
        let events = vec![Event::Opened(Opened { plan }), Event::BatchRequested(requested)];
        Ok((caller.act(events).with(bytes).with(signed.bytes()), ()))
    })?;
    tracing::info!(batch = %request.batch, %bureau, cards = request.cards, "batch requested");
    batches::show(instance, request.batch)
}

/// What can be known before any HSM work; the fold checks it all again when the plan is opened.
fn check_request(instance: &Instance, state: &State, request: &BatchRequest) -> Result<(), Fault> {
    let identity = state.identity().ok_or(Violation::NotFounded)?;
    state.require_bureau_valid(&request.bureau, view::now_ms(instance)?)?;
    let unknown = || Fault::new(Code::ProfileUnknown, format!("there is no profile {}", request.profile));
    let profile = instance.policies.profile(&request.profile).ok_or_else(unknown)?;
    if *profile.id() != request.profile_id {
        return Err(Violation::DocumentMismatch { what: "batch request", field: "profile" }.into());
    }
    if !state.masters().contains_key(&request.profile) {
        return Err(Violation::ProfileWithoutMasters { profile: request.profile }.into());
    }
    if identity.level == Level::National && profile.path().has_province() {
        // A card block under a national master would be a key of no card.
        return Err(Violation::WrongLevel { level: "national" }.into());
    }
    if !(1..=identity.cards_max).contains(&request.cards) {
        return Err(Violation::BatchSize { max: identity.cards_max, found: request.cards }.into());
    }
    Ok(())
}

fn check_list(request: &BatchRequest, body: &BatchSubmit) -> Result<ValidCardList, Fault> {
    if list_commitment(&body.salt.0, body.cards.as_bytes()) != request.list {
        return Err(Fault::new(Code::CardListDiffers, "salt and list do not give the commitment of the request"));
    }
    let list = CardList::parse(body.cards.as_bytes()).map_err(|errors| {
        let total = errors.total() as u64;
        let detail = format!("{total} bad lines; nothing was started");
        Problem::new(Code::CardListInvalid, detail).with_lines(errors.first().iter().map(LineProblem::from), total)
    })?;
    let counts = (u32::try_from(list.len()), u32::try_from(list.replacements()));
    if counts != (Ok(request.cards), Ok(request.replacements)) {
        return Err(Violation::DocumentMismatch { what: "batch request", field: "number of cards" }.into());
    }
    Ok(list)
}

/// Salts, commitments, keyed hashes and protected chunks: HSM work that leaves nothing behind in it.
fn prepare(
    instance: &Instance,
    state: &State,
    request: &BatchRequest,
    list: &ValidCardList,
) -> Result<Prepared, Fault> {
    let keys = state.keys().ok_or(Violation::NotFounded)?;
    let chunk_cards = state.identity().ok_or(Violation::NotFounded)?.chunk_cards as usize;
    let salts = salts(instance, list.len())?;
    let numbers: Vec<_> = list.cards().iter().map(|card| card_data::number_value(card.number().expose())).collect();
    let numbers = card_data::index(&instance.hsm, keys.ids.index, &numbers)?;
    let factors: Vec<_> = list.cards().iter().map(|card| card_data::factor_value(card.factor().as_bytes())).collect();
    let factors = card_data::index(&instance.hsm, keys.ids.index, &factors)?;
    let mut prepared = Prepared { index: Vec::with_capacity(list.len()), chunks: Vec::new() };
    let all: Vec<_> = list.cards().iter().zip(salts.as_chunks::<SALT_BYTES>().0).collect();
    for (chunk, part) in (0u32..).zip(all.chunks(chunk_cards)) {
        let stored: Vec<_> = part.iter().map(|(card, salt)| StoredCard::new(card, salt)).collect();
        for (position, card) in (0u32..).zip(&stored) {
            let at = prepared.index.len();
            let mac = |macs: &[[u8; 32]]| macs.get(at).copied().ok_or(Violation::CountsDiffer { cards: request.cards });
            prepared.index.push(IndexedCard {
                number_mac: mac(&numbers)?,
                factor_mac: mac(&factors)?,
                chunk,
                position,
                commitment: commitment(card.salt(), card.number(), card.factor()),
                replacement: card.replacement().is_some(),
            });
        }
        let plain = card_data::encode_records(&stored)?;
        let context = card_data::records_context(request.batch, chunk);
        prepared.chunks.push(instance.hsm.protect(keys.ids.storage, &plain, &context)?);
    }
    Ok(prepared)
}

fn salts(instance: &Instance, cards: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut left = cards * SALT_BYTES;
    let mut salts = Zeroizing::new(Vec::with_capacity(left));
    while left > 0 {
        let drawn = Zeroizing::new(instance.hsm.random(left.min(RANDOM_BYTES_MAX))?);
        left -= drawn.len();
        salts.extend_from_slice(&drawn);
    }
    Ok(salts)
}

fn issue(moment: &Moment<'_>, request: &BatchRequest, digest: Digest) -> Result<IssueBatch, Fault> {
    let bureau = moment.state.bureau(&request.bureau)?;
    let identity = moment.state.identity().ok_or(Violation::NotFounded)?;
    Ok(IssueBatch {
        batch: request.batch,
        counter: bureau.counter + 1,
        bureau: request.bureau.clone(),
        request: digest,
        profile_id: request.profile_id.clone(),
        profile: request.profile,
        cards: request.cards,
        replacements: request.replacements,
        list: request.list,
        chunk_cards: identity.chunk_cards,
        kek: bureau.kek,
        kek_kcv: bureau.kek_kcv,
    })
}

/// Looked up inside the transaction: two requests cannot both find a card free.
fn refuse_issued(connection: &mut Connection, index: &[IndexedCard]) -> Result<(), Fault> {
    let before = cards::issued_before(connection, index)?;
    if before.is_empty() {
        return Ok(());
    }
    let lines = before.iter().map(|(position, by_factor)| {
        let (code, message) = if *by_factor {
            ("factor-already-issued", "this chip was issued keys before")
        } else {
            ("card-number-already-issued", "a card with this number was issued before; mark a replacement as such")
        };
        LineProblem { line: *position as u64 + FIRST_CARD_LINE, code: code.to_owned(), message: message.to_owned() }
    });
    let detail = format!("{} lines name cards that were issued keys before; nothing was started", before.len());
    Err(Problem::new(Code::CardAlreadyIssued, detail).with_lines(lines, before.len() as u64).into())
}

fn store(connection: &mut Connection, request: &BatchRequest, prepared: &Prepared) -> Result<(), Fault> {
    for (chunk, records) in (0u32..).zip(&prepared.chunks) {
        chunks::add(connection, request.batch, chunk, records)?;
    }
    Ok(cards::add(connection, request.batch, &prepared.index)?)
}
