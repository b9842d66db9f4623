//! One object as one file.
//!
//! ```text
//! head   = "HSMSIMO1" instance:u64 id:u64 revision:u64 private:u8 identity:16 length:u32 clear
//! file   = head nonce:12 ciphertext tag:16                                 the seal's context is the head
//! public : clear = attributes (and the value of data objects), sealed = CKA_VALUE of keys, under the public key
//! private: clear = nothing, sealed = attributes with CKA_VALUE, under the private key
//! identity = HMAC-SM3(public key, class:u64 ‖ CKA_ID), first 16 bytes; zero without CKA_ID
//! ```
//! Guards: a second object with the same class and CKA_ID is seen even by the role that cannot read the first.

use std::sync::Arc;

use cryptoki_sys::{CKA_CLASS, CKO_DATA, CKR_DEVICE_ERROR};

use crate::{
    attribute::{Attrs, Flags},
    object::ObjectId,
    rules::change::identity,
    rv::{Result, Rv, ensure},
    secret::Secret,
    storage::{
        ObjectName,
        codec::{self, Reader},
        meta::TokenKeys,
        seal,
    },
};

// Stored format: changing this needs a migration.
const MAGIC: &[u8; 8] = b"HSMSIMO1";

/// Keyed name of (class, CKA_ID).
pub(crate) type Identity = [u8; 16];
/// The identity of objects without CKA_ID.
pub(crate) const NO_IDENTITY: Identity = [0; 16];

/// What a role may open.
#[derive(Clone, Copy)]
pub(crate) enum Sight<'a> {
    /// Nobody is logged in: attributes of public objects, unverified.
    Public,
    /// The SO: public objects, verified.
    So(&'a TokenKeys),
    /// The user: everything.
    User(&'a TokenKeys),
}

/// A file that was read.
pub(crate) struct Loaded {
    pub(crate) identity: Identity,
    /// `None` if the role does not see the object.
    pub(crate) attrs: Option<Attrs>,
}

/// The keyed name of an object.
pub(crate) fn identity_of(attrs: &Attrs, keys: &TokenKeys) -> Result<Identity> {
    let Some((class, id)) = identity(attrs) else { return Ok(NO_IDENTITY) };
    seal::tag(&keys.public, &[&class.to_be_bytes(), id].concat())
}

pub(crate) fn encode(name: ObjectName, instance: u64, attrs: &Attrs, keys: &TokenKeys) -> Result<Vec<u8>> {
    let private = attrs.is(Flags::PRIVATE);
    let is_data = attrs.number(CKA_CLASS) == Some(CKO_DATA);
    let mut file = MAGIC.to_vec();
    file.extend(instance.to_be_bytes());
    file.extend(name.id.0.to_be_bytes());
    file.extend(name.revision.to_be_bytes());
    file.push(u8::from(private));
    file.extend(identity_of(attrs, keys)?);
    let clear = if private { Default::default() } else { codec::encode(attrs, is_data) };
    file.extend((clear.len() as u32).to_be_bytes());
    file.extend_from_slice(&clear);
    let sealed = if private {
        seal::seal(&keys.private, &file, &codec::encode(attrs, true))?
    } else {
        let value = attrs.value().filter(|_| !is_data);
        seal::seal(&keys.public, &file, value.map_or(&[][..], |value| value.expose()))?
    };
    file.extend(sealed);
    Ok(file)
}

/// Refuses a file that is not exactly what [`encode`] made for this name and token.
pub(crate) fn decode(file: &[u8], name: ObjectName, instance: u64, sight: Sight<'_>) -> Result<Loaded> {
    let broken = Rv(CKR_DEVICE_ERROR);
    let mut reader = Reader(file);
    ensure(reader.take(MAGIC.len())? == MAGIC, CKR_DEVICE_ERROR)?;
    ensure(reader.u64()? == instance, CKR_DEVICE_ERROR)?;
    ensure(ObjectId(reader.u64()?) == name.id && reader.u64()? == name.revision, CKR_DEVICE_ERROR)?;
    let private = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(broken),
    };
    let identity = reader.array()?;
    let length = reader.length()?;
    let clear = reader.take(length)?;
    let sealed = reader.0;
    let head = &file[..file.len() - sealed.len()];
    let attrs = match (private, sight) {
        (true, Sight::User(keys)) => Some(codec::decode(&seal::open(&keys.private, head, sealed).ok_or(broken)?)?),
        (true, Sight::Public | Sight::So(_)) => None,
        (false, Sight::Public) => Some(codec::decode(clear)?),
        (false, Sight::So(keys) | Sight::User(keys)) => {
            let value = seal::open(&keys.public, head, sealed).ok_or(broken)?;
            let mut attrs = codec::decode(clear)?;
            if !value.is_empty() {
                attrs.set_value(Arc::new(Secret::copy_of(&value)));
            }
            Some(attrs)
        }
    };
    ensure(attrs.as_ref().is_none_or(|attrs| attrs.is(Flags::PRIVATE) == private), CKR_DEVICE_ERROR)?;
    Ok(Loaded { identity, attrs })
}
