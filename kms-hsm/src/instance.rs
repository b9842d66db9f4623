//! An instance's own keys: making or adopting them, and signing.
//!
//! Guards: one key, one purpose; a signature leaves the worker only in the one form documents accept, and only after it
//! was verified in software with the public half.

use cryptoki_sys::{CK_OBJECT_HANDLE, CKA_ID, CKA_LABEL, CKO_PUBLIC_KEY};
use kms_core::id::ObjectId;
use kms_core::keys::{Signature, VerifyingKey};
use kms_core::ports::{FaultClass, HsmResult, InstanceKeyIds, InstancePublicKeys};

use crate::fault::{fault, refused};
use crate::pair;
use crate::raw::{Encoded, Parameter};
use crate::session::{Token, missing};
use crate::template::{COMPONENT_IMPORT, IMPORT, INDEX, Role, SIGNING, STORAGE, Template, VERIFYING};
use crate::vendor::{Operation, SignatureEncoding};

/// Largest signature in either form.
const SIGNATURE_BYTES_MAX: usize = 128;

/// Makes or adopts all keys of an instance.
pub(crate) fn create_keys(token: &mut Token, ids: &InstanceKeyIds) -> HsmResult<InstancePublicKeys> {
    if ids.component_import.is_some() && !token.map().combines() {
        let detail = format!(
            "vendor map {} has no xor-keys: an instance on this make has no key for components",
            token.map().name()
        );
        return Err(refused("vendor map", "OPERATION_NOT_MAPPED", detail));
    }
    secret_key(token, &INDEX, ids.index, "kms index key", Operation::HmacKeyGen)?;
    secret_key(token, &STORAGE, ids.storage, "kms storage key", Operation::KeyGen)?;
    let component = |token: &mut Token, id| pair::sealing(token, &COMPONENT_IMPORT, id, "kms component import key");
    Ok(InstancePublicKeys {
        log: pair::signing(token, ids.log, "kms log key")?,
        instance: pair::signing(token, ids.instance, "kms instance key")?,
        import: pair::sealing(token, &IMPORT, ids.import, "kms import key")?,
        component_import: ids.component_import.map(|id| component(token, id)).transpose()?,
    })
}

/// Makes or adopts a symmetric key by generation; answers its handle.
pub(crate) fn secret_key(
    token: &mut Token,
    role: &Role,
    id: ObjectId,
    label: &str,
    generation: Operation,
) -> HsmResult<CK_OBJECT_HANDLE> {
    let expected = named(role.template(token.map()), id, label);
    let wanted = expected.clone();
    token.adopt_or_make(role, id, &expected, |token| {
        let (session, mechanism) = (token.session()?, token.mechanism(generation, Parameter::Nothing)?);
        token.functions().generate_key(session, mechanism, &mut Encoded::of(&wanted))
    })
}

/// Id and label on top of a role's template.
pub(crate) fn named(template: Template, id: ObjectId, label: &str) -> Template {
    template.bytes(CKA_ID, id.as_bytes()).bytes(CKA_LABEL, label.as_bytes())
}

/// Signs the ready 32 bytes and verifies the signature.
pub(crate) fn sign(token: &mut Token, key: ObjectId, e: &[u8; 32]) -> HsmResult<Signature> {
    let handle = token.find_one(&SIGNING, key)?;
    let public = match token.remembered(key) {
        Some(public) => public,
        None => {
            let half = token.find_optional(CKO_PUBLIC_KEY, key)?;
            let public = pair::verifying_key(token, half.ok_or_else(|| missing(&VERIFYING, &format!("id {key}")))?)?;
            token.remember(key, public);
            public
        }
    };
    let (session, mechanism) = (token.session()?, token.mechanism(Operation::Sign, Parameter::Nothing)?);
    let mut out = [0; SIGNATURE_BYTES_MAX];
    let length = token.functions().sign(session, mechanism, handle, e, &mut out)?;
    let detail = || format!("key {key}: {length} bytes that do not verify; nothing was released");
    let good = signature(token.map().signature(), out.get(..length).unwrap_or_default(), &public, e);
    good.ok_or_else(|| fault(FaultClass::Indeterminate, "C_Sign", "SIGNATURE_WRONG", detail()))
}

/// A signature in the token's form, brought to the one accepted form, if it verifies.
pub(crate) fn signature(
    encoding: SignatureEncoding,
    bytes: &[u8],
    public: &VerifyingKey,
    e: &[u8; 32],
) -> Option<Signature> {
    let signature = match encoding {
        SignatureEncoding::Concatenated => Signature::from_raw(bytes.try_into().ok()?).ok()?,
        SignatureEncoding::Der => Signature::from_der(bytes).ok()?,
    };
    let signature = public.normalized(&signature).ok()?;
    public.verify_digest(e, &signature).ok().map(|()| signature)
}
