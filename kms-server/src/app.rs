//! Use cases: load → decide → record → act → record. The only place with order.
//!
//! Synchronous; no HTTP and no rows here. Every use case is told who asks and hands back a body of the
//! API or a [`Fault`].

pub mod audit;
pub mod batch_submit;
pub mod batches;
pub mod caller;
pub mod ceremonies;
pub mod effects;
pub mod genesis;
pub mod hand_over;
pub mod health;
pub mod key_log;
pub mod proposals;
pub mod signing;
pub mod status;
pub mod steps;
pub mod view;

use der::asn1::OctetString;
use kms_api::problem::Code;
use kms_core::digest::Digest;
use kms_core::id::PlanId;

use crate::fault::Fault;
use crate::instance::Instance;

/// A stored document by its digest.
pub fn document(instance: &Instance, digest: &Digest) -> Result<Vec<u8>, Fault> {
    let found =
        instance.store.read(|connection| crate::store::log::document(connection, digest).map_err(Fault::from))?;
    found.ok_or_else(|| Fault::new(Code::NotFound, format!("there is no document {digest}")))
}

/// A ceremony's id from the text in a path.
pub fn plan_id(text: &str) -> Result<PlanId, Fault> {
    let digest = Digest::from_hex(text).map_err(|error| Fault::new(Code::NotFound, error.to_string()))?;
    Ok(PlanId::from_digest(digest))
}

/// DER bytes as a field of a document.
pub fn octets(bytes: &[u8]) -> Result<OctetString, Fault> {
    OctetString::new(bytes).map_err(|error| Fault::Encoding(error.into()))
}
