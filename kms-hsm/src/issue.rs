//! One chunk of card keys: diversify, wrap, destroy, for every card and every master.
//!
//! The hot path: one frame in, one frame out, four or five calls per key. Guards: the transport key
//! shows every attribute of its template before the first key; a child is a session object destroyed
//! on every path; a wrapped key has exactly 24 bytes; an error releases nothing of the chunk.

use cryptoki_sys::{CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CKA_CHECK_VALUE, CKA_ID};
use kms_core::id::ObjectId;
use kms_core::ports::{HsmResult, WRAPPED_KEY_BYTES};

use crate::fault::{about, refused};
use crate::raw::{Encoded, Functions, Mechanism, Parameter};
use crate::session::{Passing, Token};
use crate::template::{CARD, MASTER, TRANSPORT};
use crate::vendor::Operation;
use crate::wire::{CHUNK_KEYS_MAX, Id, KCV_BYTES};

/// Longest check value a token answers, in bytes: one block.
const CHECK_VALUE_BYTES_MAX: usize = 16;

/// Wrapped keys end to end, card by card; check values of the flagged masters likewise.
pub(crate) struct Chunk {
    pub(crate) wrapped: Vec<u8>,
    pub(crate) kcvs: Vec<u8>,
}

/// Runs one order.
pub(crate) fn chunk(token: &mut Token, kek: ObjectId, masters: &[(Id, bool)], blocks: &[Id]) -> HsmResult<Chunk> {
    let keys = masters.len().saturating_mul(blocks.len());
    if keys > CHUNK_KEYS_MAX {
        let detail = format!("{keys} keys in one chunk; at most {CHUNK_KEYS_MAX} are issued");
        return Err(refused("issue_chunk", "CHUNK_TOO_LARGE", detail));
    }
    let kek_handle = token.find_one(&TRANSPORT, kek)?;
    let expected = TRANSPORT.template(token.map()).bytes(CKA_ID, kek.as_bytes());
    token.check(kek_handle, &TRANSPORT, &expected)?;
    let mut bases = Vec::with_capacity(masters.len());
    for (id, with_kcv) in masters {
        let id = ObjectId::from_bytes(*id);
        bases.push((id, token.find_one(&MASTER, id)?, *with_kcv));
    }
    let wrapping = token.mechanism(Operation::KeyWrap, Parameter::Nothing)?;
    let diversify = token.mechanism(Operation::Diversify, Parameter::Nothing)?.number;
    let flagged = bases.iter().filter(|(_, _, with_kcv)| *with_kcv).count();
    let mut out = Chunk {
        wrapped: Vec::with_capacity(keys * WRAPPED_KEY_BYTES),
        kcvs: Vec::with_capacity(flagged * blocks.len() * KCV_BYTES),
    };
    let functions = token.functions();
    let mut line = Line {
        session: token.session()?,
        functions: &functions,
        template: Encoded::of(&CARD.template(token.map())),
        wrapping,
        kek: kek_handle,
    };
    for (card, block) in blocks.iter().enumerate() {
        for (id, base, with_kcv) in &bases {
            let mechanism = Mechanism { number: diversify, parameter: Parameter::Data(block) };
            line.one(mechanism, *base, *with_kcv, &mut out)
                .map_err(|error| about(error, || format!("card {card} of the chunk, master {id}")))?;
        }
    }
    Ok(out)
}

/// What stays the same for every key of a chunk.
struct Line<'f> {
    session: CK_SESSION_HANDLE,
    functions: &'f std::rc::Rc<Functions>,
    template: Encoded,
    wrapping: Mechanism<'f>,
    kek: CK_OBJECT_HANDLE,
}

impl Line<'_> {
    fn one(
        &mut self,
        mechanism: Mechanism<'_>,
        base: CK_OBJECT_HANDLE,
        with_kcv: bool,
        out: &mut Chunk,
    ) -> HsmResult<()> {
        let child = self.functions.derive_key(self.session, mechanism, base, &mut self.template)?;
        let child = Passing::new(self.functions, self.session, child);
        if with_kcv {
            let mut value = [0; CHECK_VALUE_BYTES_MAX];
            let length = self.functions.value_into(self.session, child.handle(), CKA_CHECK_VALUE, &mut value)?;
            let Some(kcv) = value.get(..length).and_then(|value| value.get(..KCV_BYTES)) else {
                let detail = format!("a check value of {length} bytes");
                return Err(refused("C_GetAttributeValue", "CHECK_VALUE", detail));
            };
            out.kcvs.extend_from_slice(kcv);
        }
        let mut wrapped = [0; WRAPPED_KEY_BYTES];
        let length = self.functions.wrap_key(self.session, self.wrapping, self.kek, child.handle(), &mut wrapped)?;
        if length != WRAPPED_KEY_BYTES {
            let detail = format!("a wrapped key of {length} bytes instead of {WRAPPED_KEY_BYTES}");
            return Err(refused("C_WrapKey", "ANSWER_LENGTH", detail));
        }
        out.wrapped.extend_from_slice(&wrapped);
        child.destroy()
    }
}
