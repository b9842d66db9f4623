//! The other logins: a security officer's session, and a bureau's own token.

use std::sync::Arc;

use kms_core::id::ObjectId;
use kms_core::ports::{
    BureauHsm, BureauOfficerToken, HsmResult, RewrapItem, SealedMaster, SecurityOfficerToken, TokenStatus,
    WRAPPED_KEY_BYTES,
};
use kms_core::secret::Kcv;
use kms_core::sm2::PublicKey;
use zeroize::Zeroizing;

use super::link::{Link, Shared};
use super::{array, byte_string, bytes, done, items, one_kcv, public_key, scaled};
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
    fn trust_recipient(&self, id: ObjectId, label: &str, key: &PublicKey) -> HsmResult<()> {
        let (label, key) = (label.to_owned(), key.to_sec1().to_vec());
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
    fn status(&self) -> HsmResult<TokenStatus> {
        match self.link.call(&Request::Status)? {
            Response::Status(status) => Ok(status.into()),
            _ => Err(garbled("not a status")),
        }
    }

    fn create_import_key(&self, label: &str) -> HsmResult<PublicKey> {
        public_key(&byte_string(self.link.call(&Request::CreateImportKey { label: label.to_owned() })?)?)
    }

    fn install_import_key(&self, label: &str, scalar: &[u8; 32]) -> HsmResult<PublicKey> {
        let request = Request::InstallImportKey { label: label.to_owned() };
        let scalar = Zeroizing::new(scalar.to_vec());
        public_key(&byte_string(self.link.call_within(&request, Some(&scalar), self.shared.deadline())?)?)
    }

    fn open_transport_key(&self, import_label: &str, id: ObjectId, sealed: &SealedMaster) -> HsmResult<()> {
        let (import_label, sealed) = (import_label.to_owned(), sealed.clone().into());
        done(self.link.call(&Request::OpenTransportKey { import_label, id: bytes(id), sealed })?)
    }

    fn rewrap(
        &self,
        transport: ObjectId,
        personalization_label: &str,
        items_in: &[RewrapItem],
    ) -> HsmResult<Vec<[u8; WRAPPED_KEY_BYTES]>> {
        let request = Request::Rewrap {
            transport: bytes(transport),
            personalization_label: personalization_label.to_owned(),
            items: items_in.iter().map(|item| (item.wrapped.to_vec(), item.kcv.map(Into::into))).collect(),
        };
        let deadline = scaled(self.shared.deadline(), items_in.len());
        let blobs = items(self.link.call_within(&request, None, deadline)?, items_in.len())?;
        blobs.iter().map(|blob| array(blob)).collect()
    }
}
