//! The domain's HSM ports over worker processes: all that server and CLI see of PKCS#11.
//!
//! One worker process per token and role; a vendor library can hang, crash or cache a dead token, and
//! kill -9 is the last recovery tool. Calls to one client queue up behind each other. Guards: the
//! number and length of everything in an answer, so that a worker gone wrong cannot pass off less or
//! other than was asked.

pub(crate) mod inspector;
mod link;
mod port;
pub(crate) mod process;
mod roles;

use std::sync::Arc;
use std::time::Duration;

use kms_core::id::ObjectId;
use kms_core::keys::{InvalidPublicKey, PublicKey};
use kms_core::ports::{Custody, HsmResult, MasterSpec, SealedMaster};
use kms_core::secret::Kcv;

use crate::config::{HsmConfig, PinSource};
use crate::vendor::{MapError, VendorMap};
use crate::wire::{Id, Master, Response, Sealed, WireKcv, WorkerRole, garbled};
use link::{Link, Shared};

pub use roles::{BureauClient, SoClient};

/// What each key adds to the deadline of a chunk: slow HSMs make a thousand keys a second.
const DEADLINE_PER_KEY: Duration = Duration::from_millis(2);

/// An instance's HSM: [`kms_core::ports::Hsm`] over a runtime worker, which stays, and a ceremony
/// worker, which is started for one call and ended after it.
#[derive(Debug)]
pub struct HsmClient {
    shared: Arc<Shared>,
    runtime: Link,
    ceremony: Link,
}

impl HsmClient {
    /// Reads the vendor map. No worker starts before the first call, and a module that is missing
    /// shows there, as `Broken`.
    pub fn new(config: HsmConfig) -> Result<Self, MapError> {
        let shared = Arc::new(Shared::new(config)?);
        Ok(Self {
            runtime: Link::new(&shared, WorkerRole::Runtime, false),
            ceremony: Link::new(&shared, WorkerRole::Ceremony, true),
            shared,
        })
    }

    /// The vendor map in use; [`VendorMap::lacking`] says what this make does not protect.
    #[must_use]
    pub fn map(&self) -> &VendorMap {
        self.shared.map()
    }

    /// After a PIN error: a person gives the right PIN. Nothing else ends that state.
    pub fn reset_pin(&self, pin: PinSource) {
        self.shared.reset_pin(pin);
    }

    /// Process id of the runtime worker started last; it may have ended since.
    #[must_use]
    pub fn worker_id(&self) -> Option<u32> {
        self.runtime.worker_id()
    }
}

/// The deadline of a call over `keys` keys.
fn scaled(deadline: Duration, keys: usize) -> Duration {
    deadline + DEADLINE_PER_KEY.saturating_mul(u32::try_from(keys).unwrap_or(u32::MAX))
}

fn bytes(id: ObjectId) -> Id {
    *id.as_bytes()
}

fn master(spec: &MasterSpec) -> Master {
    Master { id: bytes(spec.id), label: spec.label.clone(), transferable: spec.custody == Custody::Transferable }
}

impl From<SealedMaster> for Sealed {
    fn from(sealed: SealedMaster) -> Self {
        Self { ciphertext: sealed.ciphertext, kcv: sealed.kcv.into() }
    }
}

fn done(response: Response) -> HsmResult<()> {
    match response {
        Response::Done => Ok(()),
        _ => Err(garbled("not an acknowledgement")),
    }
}

fn byte_string(response: Response) -> HsmResult<Vec<u8>> {
    match response {
        Response::Bytes(bytes) => Ok(bytes),
        _ => Err(garbled("not a byte string")),
    }
}

fn items(response: Response, count: usize) -> HsmResult<Vec<Vec<u8>>> {
    match response {
        Response::Items(items) if items.len() == count => Ok(items),
        _ => Err(garbled("not the number of byte strings asked for")),
    }
}

fn kcvs(response: Response, count: usize) -> HsmResult<Vec<Kcv>> {
    match response {
        Response::Kcvs(kcvs) if kcvs.len() == count => kcvs.iter().map(WireKcv::decode).collect(),
        _ => Err(garbled("not the number of check values asked for")),
    }
}

fn one_kcv(response: Response) -> HsmResult<Kcv> {
    kcvs(response, 1)?.pop().ok_or_else(|| garbled("no check value"))
}

fn sealed(response: Response, count: usize) -> HsmResult<Vec<SealedMaster>> {
    match response {
        Response::Sealed(sealed) if sealed.len() == count => sealed
            .into_iter()
            .map(|sealed| Ok(SealedMaster { ciphertext: sealed.ciphertext, kcv: sealed.kcv.decode()? }))
            .collect(),
        _ => Err(garbled("not the number of sealed keys asked for")),
    }
}

/// A public key of the kind that its purpose wants.
fn public_key<K>(spki: &[u8]) -> HsmResult<K>
where
    K: TryFrom<PublicKey, Error = InvalidPublicKey>,
{
    PublicKey::from_spki_der(spki).and_then(K::try_from).map_err(|error| garbled(&error.to_string()))
}

fn array<const N: usize>(bytes: &[u8]) -> HsmResult<[u8; N]> {
    bytes.try_into().map_err(|_| garbled(&format!("{} bytes instead of {N}", bytes.len())))
}
