//! Key pairs and public halves in PKCS#11's form: points of SM2 and P-256, moduli of RSA.
//!
//! Which kind a pair is follows from the suite and from what it does: it signs, or keys are sealed to it. Guards: the
//! public half is read back from the token and parsed strictly; a key of the other suite is refused before any call.

use cryptoki_sys::{
    CK_OBJECT_HANDLE, CKA_EC_PARAMS, CKA_EC_POINT, CKA_MODULUS, CKA_MODULUS_BITS, CKA_PUBLIC_EXPONENT, CKO_PUBLIC_KEY,
};
use kms_core::id::ObjectId;
use kms_core::keys::{P256Key, RSA_EXPONENT, RsaKey, SealingKey, VerifyingKey};
use kms_core::ports::{HsmError, HsmResult};
use kms_core::sm2;

use crate::fault::refused;
use crate::instance::named;
use crate::raw::{Encoded, Parameter};
use crate::session::{Token, missing};
use crate::template::{INERT_PUBLIC, Role, SIGNING, Template, VERIFYING};
use crate::twice::steady_value;
use crate::vendor::{Operation, PointEncoding, Suite};

/// DER of the OID sm2p256v1, 1.2.156.10197.1.301.
pub(crate) const SM2_CURVE: [u8; 10] = [0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d];

/// DER of the OID prime256v1, 1.2.840.10045.3.1.7.
const P256_CURVE: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// Bits of the RSA pairs made here: 128 bits of security (SP 800-57, table 2).
const RSA_BITS: u64 = 3072;

/// Header of the OCTET STRING around an uncompressed point.
const POINT_HEADER: [u8; 2] = [0x04, 65];

/// CKA_EC_PARAMS of keys that sign.
pub(crate) const fn curve(suite: Suite) -> &'static [u8] {
    match suite {
        Suite::Intl => &P256_CURVE,
        Suite::Sm => &SM2_CURVE,
    }
}

/// Makes or adopts a pair that signs.
pub(crate) fn signing(token: &mut Token, id: ObjectId, label: &str) -> HsmResult<VerifyingKey> {
    let wanted = Template::default().bytes(CKA_EC_PARAMS, curve(token.map().suite()));
    let half = make(token, Operation::PairGen, (&SIGNING, &VERIFYING), (id, label), wanted)?;
    verifying_key(token, half)
}

/// Makes or adopts a pair that keys are sealed to.
pub(crate) fn sealing(token: &mut Token, private: &Role, id: ObjectId, label: &str) -> HsmResult<SealingKey> {
    let (operation, wanted) = match token.map().suite() {
        Suite::Intl => (
            Operation::SealPairGen,
            Template::default().number(CKA_MODULUS_BITS, RSA_BITS).bytes(CKA_PUBLIC_EXPONENT, &RSA_EXPONENT),
        ),
        Suite::Sm => (Operation::PairGen, Template::default().bytes(CKA_EC_PARAMS, &SM2_CURVE)),
    };
    let half = make(token, operation, (private, &INERT_PUBLIC), (id, label), wanted)?;
    sealing_key(token, half)
}

/// Answers the public half. `wanted` says what the generated pair is to be.
fn make(
    token: &mut Token,
    operation: Operation,
    (private, public): (&Role, &Role),
    (id, label): (ObjectId, &str),
    wanted: Template,
) -> HsmResult<CK_OBJECT_HANDLE> {
    let expected = named(private.template(token.map()), id, label);
    let public_template = named(public.template(token.map()), id, label);
    let private_template = expected.clone();
    let wanted = wanted
        .attributes()
        .iter()
        .fold(public_template.clone(), |template, (kind, value)| template.with(*kind, value.clone()));
    token.adopt_or_make(private, id, &expected, |token| {
        let mechanism = token.mechanism(operation, Parameter::Nothing)?;
        let (session, functions) = (token.session()?, token.functions());
        let (mut public, mut private) = (Encoded::of(&wanted), Encoded::of(&private_template));
        let (_, private) = functions.generate_key_pair(session, mechanism, &mut public, &mut private)?;
        Ok(private)
    })?;
    let half = token.find_optional(CKO_PUBLIC_KEY, id)?.ok_or_else(|| missing(public, &format!("id {id}")))?;
    token.check(half, public, &public_template)?;
    Ok(half)
}

/// The public half of a key that signs.
pub(crate) fn verifying_key(token: &mut Token, object: CK_OBJECT_HANDLE) -> HsmResult<VerifyingKey> {
    let point = point(token, object)?;
    match token.map().suite() {
        Suite::Intl => P256Key::from_sec1(&point).map(Into::into).map_err(|error| unreadable(&error)),
        Suite::Sm => sm2::PublicKey::from_sec1(&point).map(Into::into).map_err(|error| unreadable(&error)),
    }
}

/// The public half of a key that is sealed to.
pub(crate) fn sealing_key(token: &mut Token, object: CK_OBJECT_HANDLE) -> HsmResult<SealingKey> {
    match token.map().suite() {
        Suite::Intl => {
            let modulus = number(token, object, CKA_MODULUS)?;
            let exponent = number(token, object, CKA_PUBLIC_EXPONENT)?;
            if exponent != RSA_EXPONENT {
                let detail = format!("the exponent {exponent:02x?} instead of 65537");
                return Err(refused("CKA_PUBLIC_EXPONENT", "PUBLIC_KEY", detail));
            }
            RsaKey::from_modulus(&modulus).map(Into::into).map_err(|error| unreadable(&error))
        }
        Suite::Sm => {
            let point = point(token, object)?;
            sm2::PublicKey::from_sec1(&point).map(Into::into).map_err(|error| unreadable(&error))
        }
    }
}

/// A sealing key's object for C_CreateObject.
pub(crate) fn public_object(
    token: &Token,
    role: &Role,
    id: ObjectId,
    label: &str,
    key: &SealingKey,
) -> HsmResult<Template> {
    let template = named(role.template(token.map()), id, label);
    match (token.map().suite(), key.as_sm2(), key.as_rsa()) {
        (Suite::Sm, Some(key), _) => {
            Ok(template.bytes(CKA_EC_PARAMS, &SM2_CURVE).bytes(CKA_EC_POINT, &point_for_token(token, key)))
        }
        (Suite::Intl, _, Some(key)) => {
            Ok(template.bytes(CKA_MODULUS, key.modulus()).bytes(CKA_PUBLIC_EXPONENT, &RSA_EXPONENT))
        }
        (suite, ..) => {
            let (map, other) = (token.map().name(), key.suite());
            let detail = format!("{label}: a key of suite {other}; vendor map {map} is of suite {suite}");
            Err(refused("public key", "SUITE_DIFFERS", detail))
        }
    }
}

/// The point of a public key object, in either encoding.
fn point(token: &mut Token, object: CK_OBJECT_HANDLE) -> HsmResult<Vec<u8>> {
    let session = token.session()?;
    let bytes = steady_value(&token.functions(), session, object, CKA_EC_POINT)?.unwrap_or_default();
    let inside = bytes.strip_prefix(&POINT_HEADER).filter(|point| point.len() == 65);
    Ok(inside.map_or_else(|| bytes.clone(), <[u8]>::to_vec))
}

/// The point as the token takes it.
fn point_for_token(token: &Token, key: &sm2::PublicKey) -> Vec<u8> {
    let point = key.to_sec1();
    match token.map().point() {
        PointEncoding::OctetString => [&POINT_HEADER[..], &point].concat(),
        PointEncoding::Raw => point.to_vec(),
    }
}

/// A big-endian number without leading zeros.
fn number(token: &mut Token, object: CK_OBJECT_HANDLE, kind: u64) -> HsmResult<Vec<u8>> {
    let session = token.session()?;
    let bytes = steady_value(&token.functions(), session, object, kind)?.unwrap_or_default();
    Ok(bytes.iter().copied().skip_while(|byte| *byte == 0).collect())
}

fn unreadable(error: &dyn std::fmt::Display) -> HsmError {
    refused("public key", "PUBLIC_KEY", error.to_string())
}
