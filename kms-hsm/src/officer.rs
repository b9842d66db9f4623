//! A security officer's session: it sets trust and nothing else.
//!
//! Everything here is PRIVATE=false, because an SO sees no private objects; secrecy comes from
//! SENSITIVE and the wrap rules. Guards: TRUSTED keys have WRAP as their only use, and an existing
//! object is adopted only with every attribute and the same public value.

use kms_core::id::ObjectId;
use kms_core::keys::SealingKey;
use kms_core::ports::HsmResult;
use kms_core::secret::Kcv;

use crate::bureau::{fresh_id, id_of};
use crate::check_value;
use crate::fault::refused;
use crate::instance::{named, secret_key};
use crate::pair::{public_object, sealing_key};
use crate::raw::Encoded;
use crate::session::Token;
use crate::template::{PERSONALIZATION, RECIPIENT, TRANSPORT};
use crate::vendor::Operation;

/// Stores or adopts a recipient's public key.
pub(crate) fn trust_recipient(token: &mut Token, id: ObjectId, label: &str, key: &SealingKey) -> HsmResult<()> {
    let expected = named(RECIPIENT.template(token.map()), id, label);
    let wanted = public_object(token, &RECIPIENT, id, label, key)?;
    let object = token.adopt_or_make(&RECIPIENT, id, &expected, |token| {
        let session = token.session()?;
        token.functions().create_object(session, &mut Encoded::of(&wanted))
    })?;
    if sealing_key(token, object)? == *key {
        return Ok(());
    }
    Err(refused("trust_recipient", "PUBLIC_KEY", format!("recipient {id} is there with another public key")))
}

/// Generates or adopts a transport key.
pub(crate) fn create_transport_key(token: &mut Token, id: ObjectId, label: &str) -> HsmResult<Kcv> {
    let key = secret_key(token, &TRANSPORT, id, label, Operation::KeyGen)?;
    check_value::of_key(token, &TRANSPORT, key)
}

/// Generates or adopts, by label, a bureau's personalization key.
pub(crate) fn create_personalization_key(token: &mut Token, label: &str) -> HsmResult<Kcv> {
    let id = match token.find_label(PERSONALIZATION.class(), label)? {
        Some(object) => id_of(token, object)?,
        None => fresh_id(token)?,
    };
    let key = secret_key(token, &PERSONALIZATION, id, label, Operation::KeyGen)?;
    check_value::of_key(token, &PERSONALIZATION, key)
}
