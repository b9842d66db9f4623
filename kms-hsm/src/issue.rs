//! One chunk of card keys: diversify, wrap, destroy, for every card and every master.
//!
//! The hot path: one frame in, one frame out, four or five calls per key, on as many lanes as are configured. Guards:
//! the transport key shows every attribute of its template before the first key; a child is a session object destroyed
//! on every path; a wrapped key has exactly the bytes of the map's wrap; every key (or those of one
//! card, as the map says) is made twice and compared; an error releases nothing of the chunk.

use cryptoki_sys::{CK_MECHANISM_TYPE, CK_OBJECT_HANDLE, CKA_ID};
use kms_core::id::ObjectId;
use kms_core::ports::HsmResult;

use crate::check_value::{self, Checker, Plan};
use crate::config::Lanes;
use crate::fault::{about, refused};
use crate::lanes::{Lane, Spans};
use crate::raw::{Encoded, Mechanism, Parameter};
use crate::session::{Passing, Token};
use crate::template::{CARD, MASTER, TRANSPORT};
use crate::twice::twice;
use crate::vendor::{Operation, Recheck};
use crate::wire::{CHUNK_KEYS_MAX, Id, KCV_BYTES};

/// Wrapped keys end to end, card by card; check values of the flagged masters likewise.
#[derive(Default)]
pub(crate) struct Chunk {
    pub(crate) wrapped: Vec<u8>,
    pub(crate) kcvs: Vec<u8>,
}

/// An order for a chunk, and what is done of it.
pub(crate) struct ChunkWork<'r> {
    kek: ObjectId,
    masters: &'r [(Id, bool)],
    blocks: &'r [Id],
    /// Of one wrapped key.
    wrapped_bytes: usize,
    spans: Spans<Chunk>,
}

/// What a lane reuses from key to key.
struct Kept {
    template: Encoded,
    wrapped: Vec<u8>,
    checker: Option<Checker>,
}

impl<'r> ChunkWork<'r> {
    /// Refuses orders that are too large.
    pub(crate) fn new(kek: ObjectId, masters: &'r [(Id, bool)], blocks: &'r [Id], lanes: Lanes) -> HsmResult<Self> {
        let keys = masters.len().saturating_mul(blocks.len());
        if keys > CHUNK_KEYS_MAX {
            let detail = format!("{keys} keys in one chunk; at most {CHUNK_KEYS_MAX} are issued");
            return Err(refused("issue_chunk", "CHUNK_TOO_LARGE", detail));
        }
        Ok(Self { kek, masters, blocks, wrapped_bytes: 0, spans: Spans::over(keys, lanes) })
    }

    /// Makes what is not made yet.
    pub(crate) fn run(&mut self, token: &mut Token) -> HsmResult<()> {
        let kek = token.find_one(&TRANSPORT, self.kek)?;
        let expected = TRANSPORT.template(token.map()).bytes(CKA_ID, self.kek.as_bytes());
        token.check(kek, &TRANSPORT, &expected)?;
        let mut bases = Vec::with_capacity(self.masters.len());
        for (id, with_kcv) in self.masters {
            let id = ObjectId::from_bytes(*id);
            bases.push(Base { id, master: token.find_one(&MASTER, id)?, with_kcv: *with_kcv });
        }
        let wrapping = token.mechanism(Operation::KeyWrap, Parameter::Nothing)?;
        let diversify = token.mechanism(token.map().diversify(), Parameter::Nothing)?.number;
        let check = if bases.iter().any(|base| base.with_kcv) { Some(Plan::new(token)?) } else { None };
        self.wrapped_bytes = token.map().key_wrap().wrapped_bytes();
        let (card, blocks, wrapped_bytes) = (CARD.template(token.map()), self.blocks, self.wrapped_bytes);
        let (every, sample) = (token.map().recheck() == Recheck::EveryKey, sample(blocks));
        self.spans.run(
            token,
            || Kept {
                template: Encoded::of(&card),
                wrapped: vec![0; wrapped_bytes],
                checker: check.as_ref().map(Plan::checker),
            },
            |lane, kept, item, out| {
                // No item is worked on where there is no master.
                let place = (blocks.get(item / bases.len()), bases.get(item % bases.len()));
                let (Some(block), Some(base)) = place else { return Ok(()) };
                let mut once = || one(lane, (diversify, block), (base, kek, wrapping), kept);
                let made = if every || item / bases.len() == sample { twice("C_WrapKey", once) } else { once() };
                let (wrapped, kcv) = made.map_err(|error| {
                    about(error, || format!("card {} of the chunk, master {}", item / bases.len(), base.id))
                })?;
                out.wrapped.extend_from_slice(&wrapped);
                out.kcvs.extend_from_slice(kcv.as_slice().as_flattened());
                Ok(())
            },
        )
    }

    /// The whole chunk.
    pub(crate) fn finish(self) -> Chunk {
        let keys = self.masters.len() * self.blocks.len();
        let flagged = self.masters.iter().filter(|(_, with_kcv)| *with_kcv).count() * self.blocks.len();
        let mut whole = Chunk {
            wrapped: Vec::with_capacity(keys * self.wrapped_bytes),
            kcvs: Vec::with_capacity(flagged * KCV_BYTES),
        };
        for part in self.spans.into_answers() {
            whole.wrapped.extend_from_slice(&part.wrapped);
            whole.kcvs.extend_from_slice(&part.kcvs);
        }
        whole
    }
}

/// A master at work.
struct Base {
    id: ObjectId,
    master: CK_OBJECT_HANDLE,
    with_kcv: bool,
}

fn one(
    lane: &Lane<'_>,
    (diversify, block): (CK_MECHANISM_TYPE, &Id),
    (base, kek, wrapping): (&Base, CK_OBJECT_HANDLE, Mechanism<'_>),
    kept: &mut Kept,
) -> HsmResult<(Vec<u8>, Option<check_value::Bytes>)> {
    let (functions, session) = (lane.functions, lane.session);
    let mechanism = Mechanism { number: diversify, parameter: Parameter::Data(block) };
    let child = functions.derive_key(session, mechanism, base.master, &mut kept.template)?;
    let child = Passing::new(functions, session, child);
    let checker = kept.checker.as_mut().filter(|_| base.with_kcv);
    let kcv = checker.map(|checker| checker.of_child(lane, (base.master, block), child.handle())).transpose()?;
    let length = functions.wrap_key(session, wrapping, kek, child.handle(), &mut kept.wrapped)?;
    if length != kept.wrapped.len() {
        let detail = format!("a wrapped key of {length} bytes instead of {}", kept.wrapped.len());
        return Err(refused("C_WrapKey", "ANSWER_LENGTH", detail));
    }
    child.destroy()?;
    Ok((kept.wrapped.clone(), kcv))
}

/// The card of a chunk whose keys are always made twice: another one in every chunk.
fn sample(blocks: &[Id]) -> usize {
    let sum = blocks.iter().flatten().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    sum.checked_rem(blocks.len()).unwrap_or(0)
}
