//! The other logins: a security officer's session, and a bureau's own token.

use std::sync::Arc;

use kms_core::id::ObjectId;
use kms_core::keys::SealingKey;
use kms_core::ports::{
    Abilities, BureauHsm, BureauOfficerToken, Confirmation, HsmResult, RewrapItem, Rewrapped, SealedMaster,
    SecurityOfficerToken, TokenStatus, Wrapped,
};
use kms_core::secret::Kcv;
use zeroize::Zeroizing;

use super::link::{Link, Shared};
use super::{byte_string, bytes, done, one_kcv, public_key, scaled};
use crate::config::{HsmConfig, PinSource};
use crate::vendor::MapError;
use crate::wire::{Request, Response, WorkerRole, garbled};

/// A security officer's session on an instance's or a bureau's token: its worker logs in as SO with
/// the PIN in [`HsmConfig::pin`] and ends with this value.
#[derive(Debug)]
pub struct SoClient {
    link: Link,
}

impl SoClient {
    /// Reads the vendor map; the worker starts with the first call.
    pub fn new(config: HsmConfig) -> Result<Self, MapError> {
        let shared = Arc::new(Shared::new(config)?);
        Ok(Self { link: Link::new(&shared, WorkerRole::SecurityOfficer, false) })
    }
}

impl SecurityOfficerToken for SoClient {
    fn trust_recipient(&self, id: ObjectId, label: &str, key: &SealingKey) -> HsmResult<()> {
        let (label, key) = (label.to_owned(), key.to_spki_der());
        done(self.link.call(&Request::TrustRecipient { id: bytes(id), label, key })?)
    }

    fn create_transport_key(&self, id: ObjectId, label: &str) -> HsmResult<Kcv> {
        one_kcv(self.link.call(&Request::CreateTransportKey { id: bytes(id), label: label.to_owned() })?)
    }
}

impl BureauOfficerToken for SoClient {
    fn create_personalization_key(&self, label: &str) -> HsmResult<Kcv> {
        one_kcv(self.link.call(&Request::CreatePersonalizationKey { label: label.to_owned() })?)
    }
}

/// A bureau's own HSM, with the user's login.
#[derive(Debug)]
pub struct BureauClient {
    shared: Arc<Shared>,
    link: Link,
}

impl BureauClient {
    /// Reads the vendor map; the worker starts with the first call.
    pub fn new(config: HsmConfig) -> Result<Self, MapError> {
        let shared = Arc::new(Shared::new(config)?);
        Ok(Self { link: Link::new(&shared, WorkerRole::Bureau, false), shared })
    }

    /// After a PIN error: a person gives the right PIN.
    pub fn reset_pin(&self, pin: PinSource) {
        self.shared.reset_pin(pin);
    }
}

impl BureauHsm for BureauClient {
    fn abilities(&self) -> Abilities {
        self.shared.map().abilities()
    }

    fn status(&self) -> HsmResult<TokenStatus> {
        match self.link.call(&Request::Status)? {
            Response::Status(status) => Ok(status.into()),
            _ => Err(garbled("not a status")),
        }
    }

    fn create_import_key(&self, label: &str) -> HsmResult<SealingKey> {
        public_key(&byte_string(self.link.call(&Request::CreateImportKey { label: label.to_owned() })?)?)
    }

    fn install_import_key(&self, label: &str, scalar: &[u8; 32]) -> HsmResult<SealingKey> {
        let request = Request::InstallImportKey { label: label.to_owned() };
        let scalar = Zeroizing::new(scalar.to_vec());
        public_key(&byte_string(self.link.call_within(&request, Some(&scalar), self.shared.deadline())?)?)
    }

    fn open_transport_key(&self, import_label: &str, id: ObjectId, sealed: &SealedMaster) -> HsmResult<Confirmation> {
        let (import_label, sealed) = (import_label.to_owned(), sealed.clone().into());
        match self.link.call(&Request::OpenTransportKey { import_label, id: bytes(id), sealed })? {
            Response::Confirmed { by_check_value: true } => Ok(Confirmation::ByCheckValue),
            Response::Confirmed { by_check_value: false } => Ok(Confirmation::BySealOnly),
            _ => Err(garbled("not a confirmation")),
        }
    }

    fn rewrap(&self, transport: ObjectId, personalization_label: &str, items: &[RewrapItem]) -> HsmResult<Rewrapped> {
        let request = Request::Rewrap {
            transport: bytes(transport),
            personalization_label: personalization_label.to_owned(),
            items: items.iter().map(|item| (item.wrapped.as_bytes().to_vec(), item.kcv.map(Into::into))).collect(),
        };
        let deadline = scaled(self.shared.deadline(), items.len());
        let Response::Rewrapped { blobs, compared } = self.link.call_within(&request, None, deadline)? else {
            return Err(garbled("not rewrapped keys"));
        };
        if blobs.len() != items.len() || compared as usize > items.len() {
            return Err(garbled("not the number of rewrapped keys asked for"));
        }
        let wrap = self.abilities().wrap;
        let key = |blob: &Vec<u8>| Wrapped::new(wrap, blob).ok_or_else(|| garbled("a wrapped key of another length"));
        Ok(Rewrapped { keys: blobs.iter().map(key).collect::<HsmResult<_>>()?, compared: compared as usize })
    }
}
