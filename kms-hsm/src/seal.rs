//! Sealing to a TRUSTED recipient key, and looking up what a security officer trusted.
//!
//! Guards: what is sealed to is an object with every attribute of RECIPIENT, checked before use; a
//! diversified child lives until it is sealed and no longer.

use cryptoki_sys::{CK_OBJECT_HANDLE, CKA_ID};
use kms_core::id::ObjectId;
use kms_core::ports::{HsmResult, SealedMaster, TrustedObject, TrustedRole};
use kms_core::secret::Kcv;

use crate::check_value;
use crate::ciphertext::{self, CIPHERTEXT_BYTES_MAX};
use crate::fault::about;
use crate::masters::sealing;
use crate::pair::sealing_key;
use crate::raw::{Encoded, Parameter};
use crate::session::{Passing, Token, missing};
use crate::template::{CARD, MASTER, RECIPIENT, Role, TRANSPORT};
use crate::twice::unsteady;
use crate::vendor::Operation;

/// Diversifies each master by `block` and seals the children.
pub(crate) fn diversified(
    token: &mut Token,
    masters: &[ObjectId],
    block: &[u8; 16],
    recipient: ObjectId,
) -> HsmResult<Vec<SealedMaster>> {
    let recipient = trusted(token, &RECIPIENT, recipient)?;
    let mut child_template = Encoded::of(&CARD.template(token.map()));
    let mut sealed = Vec::with_capacity(masters.len());
    for id in masters {
        let master = token.find_one(&MASTER, *id)?;
        let mechanism = token.mechanism(token.map().diversify(), Parameter::Data(block))?;
        let (session, functions) = (token.session()?, token.functions());
        let child = functions
            .derive_key(session, mechanism, master, &mut child_template)
            .map_err(|error| about(error, || format!("master {id}")))?;
        let child = Passing::new(&functions, session, child);
        let child_of = || format!("child of {id}");
        let kcv = check_value::of_child(token, (master, block), child.handle());
        let kcv = kcv.map_err(|error| about(error, child_of))?;
        let again = functions
            .derive_key(session, mechanism, master, &mut child_template)
            .map_err(|error| about(error, || format!("master {id}")))?;
        let again = Passing::new(&functions, session, again);
        if check_value::of_child(token, (master, block), again.handle())? != kcv {
            return Err(about(unsteady("C_DeriveKey"), child_of));
        }
        again.destroy()?;
        let next = seal(token, child.handle(), kcv, recipient).map_err(|error| about(error, child_of))?;
        // Sealing is randomised: the same bytes twice are the answer of the call before.
        if sealed.iter().any(|before: &SealedMaster| before.ciphertext == next.ciphertext) {
            return Err(about(unsteady("C_WrapKey"), child_of));
        }
        sealed.push(next);
        child.destroy()?;
    }
    Ok(sealed)
}

/// Seals a transport key.
pub(crate) fn transport_key(token: &mut Token, kek: ObjectId, recipient: ObjectId) -> HsmResult<SealedMaster> {
    let recipient = trusted(token, &RECIPIENT, recipient)?;
    let kek = trusted(token, &TRANSPORT, kek)?;
    let kcv = check_value::of_key(token, &TRANSPORT, kek)?;
    seal(token, kek, kcv, recipient)
}

/// Finds a trusted object for the caller's records.
pub(crate) fn look_up(token: &mut Token, id: ObjectId, role: TrustedRole) -> HsmResult<TrustedObject> {
    let row = match role {
        TrustedRole::Recipient => &RECIPIENT,
        TrustedRole::TransportKey => &TRANSPORT,
    };
    let Some(object) = token.find_optional(row.class(), id)? else {
        return Ok(TrustedObject::Absent);
    };
    check_trusted(token, row, object, id)?;
    Ok(match role {
        TrustedRole::Recipient => TrustedObject::Present { public_key: Some(sealing_key(token, object)?), kcv: None },
        TrustedRole::TransportKey => {
            TrustedObject::Present { public_key: None, kcv: Some(check_value::of_key(token, row, object)?) }
        }
    })
}

fn trusted(token: &mut Token, role: &Role, id: ObjectId) -> HsmResult<CK_OBJECT_HANDLE> {
    let object = token.find_optional(role.class(), id)?.ok_or_else(|| missing(role, &format!("id {id}")))?;
    check_trusted(token, role, object, id)?;
    Ok(object)
}

fn check_trusted(token: &mut Token, role: &Role, object: CK_OBJECT_HANDLE, id: ObjectId) -> HsmResult<()> {
    let expected = role.shown(token.map()).bytes(CKA_ID, id.as_bytes());
    token.check(object, role, &expected).map_err(|error| about(error, || format!("{} {id}", role.name)))
}

fn seal(token: &mut Token, key: CK_OBJECT_HANDLE, kcv: Kcv, recipient: CK_OBJECT_HANDLE) -> HsmResult<SealedMaster> {
    let (session, mechanism) = (token.session()?, token.mechanism(Operation::Seal, sealing(token))?);
    let mut out = [0; CIPHERTEXT_BYTES_MAX];
    let length = token.functions().wrap_key(session, mechanism, recipient, key, &mut out)?;
    let bytes = out.get(..length).unwrap_or_default();
    Ok(SealedMaster { ciphertext: ciphertext::from_token(token.map(), bytes)?, kcv })
}
