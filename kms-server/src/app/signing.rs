//! Documents signed by this instance's key in the HSM.

use kms_core::encoding::{Document, Signed, tbs_bytes};
use kms_core::id::ObjectId;
use kms_core::keys::VerifyingKey;

use kms_api::problem::Code;

use crate::fault::Fault;
use crate::guarded::GuardedHsm;

/// Signs `tbs` with the key `id` in the HSM and verifies the result before anybody sees it.
pub fn sign<T: Document>(hsm: &GuardedHsm, id: ObjectId, key: &VerifyingKey, tbs: T) -> Result<Signed<T>, Fault> {
    let signature = hsm.sign(id, &key.digest_for_signing(&tbs_bytes(&tbs)?))?;
    let signed = Signed::assemble(tbs, key.algorithm(), &signature)?;
    let wrong = |_| Fault::new(Code::HsmRefused, "the HSM's signature does not verify with its public key");
    signed.verify(key).map_err(wrong)?;
    Ok(signed)
}
