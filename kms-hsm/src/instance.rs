//! An instance's own keys: making or adopting them, and signing.
//!
//! Guards: one key, one purpose; a signature leaves the worker only after it was verified in
//! software with the public half.

use cryptoki_sys::{CK_OBJECT_HANDLE, CKA_EC_PARAMS, CKA_EC_POINT, CKA_ID, CKA_LABEL, CKO_PUBLIC_KEY};
use kms_core::id::ObjectId;
use kms_core::keys::Signature;
use kms_core::ports::{FaultClass, HsmResult, InstanceKeyIds, InstancePublicKeys};
use kms_core::sm2::PublicKey;

use crate::fault::{fault, refused};
use crate::raw::{Encoded, Parameter};
use crate::session::{Token, missing};
use crate::template::{COMPONENT_IMPORT, IMPORT, INDEX, INERT_PUBLIC, Role, SIGNING, STORAGE, Template, VERIFYING};
use crate::vendor::{Operation, PointEncoding, SignatureEncoding};

/// DER of the OID sm2p256v1, 1.2.156.10197.1.301.
pub(crate) const SM2_CURVE: [u8; 10] = [0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d];

/// Header of the OCTET STRING around an uncompressed point.
const POINT_HEADER: [u8; 2] = [0x04, 65];

/// Largest signature in either form.
const SIGNATURE_BYTES_MAX: usize = 128;

/// Makes or adopts all keys of an instance.
pub(crate) fn create_keys(token: &mut Token, ids: &InstanceKeyIds) -> HsmResult<InstancePublicKeys> {
    secret_key(token, &INDEX, ids.index, "kms index key", Operation::HmacKeyGen)?;
    secret_key(token, &STORAGE, ids.storage, "kms storage key", Operation::KeyGen)?;
    let log = key_pair(token, &SIGNING, &VERIFYING, ids.log, "kms log key")?.into();
    let instance = key_pair(token, &SIGNING, &VERIFYING, ids.instance, "kms instance key")?.into();
    let import = key_pair(token, &IMPORT, &INERT_PUBLIC, ids.import, "kms import key")?.into();
    let component_import = ids
        .component_import
        .map(|id| key_pair(token, &COMPONENT_IMPORT, &INERT_PUBLIC, id, "kms component import key"))
        .transpose()?
        .map(Into::into);
    Ok(InstancePublicKeys { log, instance, import, component_import })
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

/// Makes or adopts a key pair; answers its public half.
pub(crate) fn key_pair(
    token: &mut Token,
    private: &Role,
    public: &Role,
    id: ObjectId,
    label: &str,
) -> HsmResult<PublicKey> {
    let expected = named(private.template(token.map()), id, label);
    let public_template = named(public.template(token.map()), id, label);
    let wanted = (expected.clone(), public_template.clone().bytes(CKA_EC_PARAMS, &SM2_CURVE));
    token.adopt_or_make(private, id, &expected, |token| {
        let mechanism = token.mechanism(Operation::PairGen, Parameter::Nothing)?;
        let (session, functions) = (token.session()?, token.functions());
        let (mut public, mut private) = (Encoded::of(&wanted.1), Encoded::of(&wanted.0));
        let (_, private) = functions.generate_key_pair(session, mechanism, &mut public, &mut private)?;
        Ok(private)
    })?;
    let half = token.find_optional(CKO_PUBLIC_KEY, id)?.ok_or_else(|| missing(public, &format!("id {id}")))?;
    token.check(half, public, &public_template)?;
    point(token, half)
}

/// Id and label on top of a role's template.
pub(crate) fn named(template: Template, id: ObjectId, label: &str) -> Template {
    template.bytes(CKA_ID, id.as_bytes()).bytes(CKA_LABEL, label.as_bytes())
}

/// The point of a public key object, in either encoding.
pub(crate) fn point(token: &mut Token, object: CK_OBJECT_HANDLE) -> HsmResult<PublicKey> {
    let session = token.session()?;
    let bytes = token.functions().value(session, object, CKA_EC_POINT)?.unwrap_or_default();
    let point = bytes.strip_prefix(&POINT_HEADER).filter(|point| point.len() == 65).unwrap_or(&bytes);
    PublicKey::from_sec1(point).map_err(|error| refused("CKA_EC_POINT", "PUBLIC_KEY", error.to_string()))
}

/// The point as the token takes it.
pub(crate) fn point_for_token(token: &Token, key: &PublicKey) -> Vec<u8> {
    let point = key.to_sec1();
    match token.map().point() {
        PointEncoding::OctetString => [&POINT_HEADER[..], &point].concat(),
        PointEncoding::Raw => point.to_vec(),
    }
}

/// Signs `e` and verifies the signature.
pub(crate) fn sign(token: &mut Token, key: ObjectId, e: &[u8; 32]) -> HsmResult<Signature> {
    let handle = token.find_one(&SIGNING, key)?;
    let public = match token.remembered(key) {
        Some(public) => public,
        None => {
            let half = token.find_optional(CKO_PUBLIC_KEY, key)?;
            let public = point(token, half.ok_or_else(|| missing(&VERIFYING, &format!("id {key}")))?)?;
            token.remember(key, public);
            public
        }
    };
    let (session, mechanism) = (token.session()?, token.mechanism(Operation::Sign, Parameter::Nothing)?);
    let mut out = [0; SIGNATURE_BYTES_MAX];
    let length = token.functions().sign(session, mechanism, handle, e, &mut out)?;
    let bytes = out.get(..length).unwrap_or_default();
    let signature = signature(token.map().signature(), bytes);
    let detail = || format!("key {key}: {length} bytes that do not verify; nothing was released");
    let good = signature.filter(|signature| verifies(&public, e, signature));
    good.ok_or_else(|| fault(FaultClass::Indeterminate, "C_Sign", "SIGNATURE_WRONG", detail()))
}

/// A signature in the token's form.
pub(crate) fn signature(encoding: SignatureEncoding, bytes: &[u8]) -> Option<Signature> {
    match (encoding, <&[u8; 64]>::try_from(bytes)) {
        (SignatureEncoding::Concatenated, Ok(raw)) => Signature::from_raw(raw).ok(),
        (SignatureEncoding::Concatenated, Err(_)) => None,
        (SignatureEncoding::Der, _) => Signature::from_der(bytes).ok(),
    }
}

/// Verifies over the ready value `e`.
pub(crate) fn verifies(key: &PublicKey, e: &[u8; 32], signature: &Signature) -> bool {
    key.verify_digest(e, signature).is_ok()
}

/// A public key object's template for C_CreateObject.
pub(crate) fn public_object(token: &Token, role: &Role, id: ObjectId, label: &str, key: &PublicKey) -> Template {
    named(role.template(token.map()), id, label)
        .bytes(CKA_EC_PARAMS, &SM2_CURVE)
        .bytes(CKA_EC_POINT, &point_for_token(token, key))
}
