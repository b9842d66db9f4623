//! The HSM as use cases see it: a key is used only if the last look at the token allows it.
//!
//! [`crate::instance::Instance`] holds no other way to the HSM, so no use of a key can leave the question
//! out. Not the look itself: that is [`crate::inspection`]. Guards: a key that the last audit found
//! differing is not used; nothing but the log key is used before the token was examined in this run
//! of the server, nor on a token that is not fit. Rules and words are the key log's own
//! ([`State::require_served`], [`State::require_fit`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kms_api::problem::Code;
use kms_core::id::ObjectId;
use kms_core::keys::Signature;
use kms_core::ports::{
    Abilities, ChunkOrder, ExpectedKey, Hsm, HsmResult, InstanceKeyIds, InstancePublicKeys, MasterSpec, ProbeVerdict,
    SealedComponent, SealedMaster, TokenSnapshot, TokenStatus, TrustedObject, TrustedRole, WrappedKey,
};
use kms_core::secret::Kcv;
use kms_core::state::State;

use crate::fault::Fault;
use crate::journal::Journal;
use crate::store::{Store, backend};

/// The only way to the HSM.
pub struct GuardedHsm {
    hsm: Arc<dyn Hsm>,
    journal: Arc<Journal>,
    store: Arc<Store>,
    examined: AtomicBool,
}

impl GuardedHsm {
    /// Nothing is examined yet.
    pub fn new(hsm: Arc<dyn Hsm>, journal: Arc<Journal>, store: Arc<Store>) -> Self {
        Self { hsm, journal, store, examined: AtomicBool::new(false) }
    }

    /// Was the token audited and probed since the server started, or since the HSM came back?
    pub fn is_examined(&self) -> bool {
        self.examined.load(Ordering::SeqCst)
    }

    pub(crate) fn set_examined(&self, examined: bool) {
        self.examined.store(examined, Ordering::SeqCst);
    }

    /// May these keys be used now?
    pub fn require(&self, ids: &[ObjectId]) -> Result<(), Fault> {
        let state = self.journal.state();
        let (Some(identity), Some(keys)) = (state.identity(), state.keys()) else {
            // The genesis ceremony makes the first keys and signs with them: the fold asks for the token.
            return Ok(());
        };
        ids.iter().try_for_each(|id| state.require_served(&identity.hsm_serial, *id))?;
        if ids == [keys.ids.log] {
            // Checkpoints say what happened, also while nothing else may.
            return Ok(());
        }
        self.require_fit(&state, &identity.hsm_serial)
    }

    fn require_fit(&self, state: &State, serial: &str) -> Result<(), Fault> {
        if !self.is_examined() {
            let detail = "the token is compared with the key log and probed before a key is used";
            return Err(Fault::new(Code::HsmUnavailable, detail));
        }
        let now_ms = self.store.read(|connection| backend::now_ms(connection).map_err(Fault::from))?;
        Ok(state.require_fit(serial, now_ms)?)
    }

    /// [`Hsm::abilities`]: asks the vendor map only.
    pub fn abilities(&self) -> Abilities {
        self.hsm.abilities()
    }

    /// [`Hsm::status`]: uses no key.
    pub fn status(&self) -> HsmResult<TokenStatus> {
        self.hsm.status()
    }

    /// [`Hsm::random`]: uses no key.
    pub fn random(&self, count: usize) -> HsmResult<Vec<u8>> {
        self.hsm.random(count)
    }

    /// [`Hsm::audit`]: uses no key.
    pub fn audit(&self, expected: &[ExpectedKey]) -> HsmResult<TokenSnapshot> {
        self.hsm.audit(expected)
    }

    /// [`Hsm::probe`]: uses no key of the KMS.
    pub fn probe(&self) -> HsmResult<ProbeVerdict> {
        self.hsm.probe()
    }

    /// [`Hsm::log_head`]: uses no key.
    pub fn log_head(&self) -> HsmResult<Option<Vec<u8>>> {
        self.hsm.log_head()
    }

    /// [`Hsm::set_log_head`]: uses no key.
    pub fn set_log_head(&self, head: &[u8]) -> HsmResult<()> {
        self.hsm.set_log_head(head)
    }

    /// [`Hsm::trusted_object`]: looks, and compares with the template.
    pub fn trusted_object(&self, id: ObjectId, role: TrustedRole) -> HsmResult<TrustedObject> {
        self.hsm.trusted_object(id, role)
    }

    /// [`Hsm::create_instance_keys`].
    pub fn create_instance_keys(&self, ids: &InstanceKeyIds) -> HsmResult<InstancePublicKeys> {
        self.hsm.create_instance_keys(ids)
    }

    /// [`Hsm::sign`].
    pub fn sign(&self, key: ObjectId, e: &[u8; 32]) -> Result<Signature, Fault> {
        self.require(&[key])?;
        Ok(self.hsm.sign(key, e)?)
    }

    /// [`Hsm::generate_masters`].
    pub fn generate_masters(&self, masters: &[MasterSpec]) -> Result<Vec<Kcv>, Fault> {
        self.require(&[])?;
        Ok(self.hsm.generate_masters(masters)?)
    }

    /// [`Hsm::masters_from_components`].
    pub fn masters_from_components(
        &self,
        component_import: ObjectId,
        components: &[SealedComponent],
        masters: &[(MasterSpec, [u8; 16])],
    ) -> Result<(Kcv, Vec<Kcv>), Fault> {
        self.require(&[component_import])?;
        Ok(self.hsm.masters_from_components(component_import, components, masters)?)
    }

    /// [`Hsm::seal_diversified`].
    pub fn seal_diversified(
        &self,
        masters: &[ObjectId],
        block: &[u8; 16],
        recipient: ObjectId,
    ) -> Result<Vec<SealedMaster>, Fault> {
        self.require(&[masters, &[recipient]].concat())?;
        Ok(self.hsm.seal_diversified(masters, block, recipient)?)
    }

    /// [`Hsm::import_masters`].
    pub fn import_masters(&self, import: ObjectId, masters: &[(MasterSpec, SealedMaster)]) -> Result<Vec<Kcv>, Fault> {
        self.require(&[import])?;
        Ok(self.hsm.import_masters(import, masters)?)
    }

    /// [`Hsm::seal_transport_key`].
    pub fn seal_transport_key(&self, kek: ObjectId, recipient: ObjectId) -> Result<SealedMaster, Fault> {
        self.require(&[kek, recipient])?;
        Ok(self.hsm.seal_transport_key(kek, recipient)?)
    }

    /// [`Hsm::issue_chunk`].
    pub fn issue_chunk(&self, order: &ChunkOrder) -> Result<Vec<Vec<WrappedKey>>, Fault> {
        let used: Vec<_> = order.masters.iter().map(|(id, _)| *id).chain([order.kek]).collect();
        self.require(&used)?;
        Ok(self.hsm.issue_chunk(order)?)
    }

    /// [`Hsm::card_index`].
    pub fn card_index(&self, index: ObjectId, values: &[Vec<u8>]) -> Result<Vec<[u8; 32]>, Fault> {
        self.require(&[index])?;
        Ok(self.hsm.card_index(index, values)?)
    }

    /// [`Hsm::protect`].
    pub fn protect(&self, storage: ObjectId, plaintext: &[u8], context: &[u8]) -> Result<Vec<u8>, Fault> {
        self.require(&[storage])?;
        Ok(self.hsm.protect(storage, plaintext, context)?)
    }

    /// [`Hsm::unprotect`].
    pub fn unprotect(&self, storage: ObjectId, protected: &[u8], context: &[u8]) -> Result<Vec<u8>, Fault> {
        self.require(&[storage])?;
        Ok(self.hsm.unprotect(storage, protected, context)?)
    }
}
