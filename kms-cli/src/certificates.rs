//! SM2 certificates that a bureau makes for itself (GM/T 0015: one to sign, one to encrypt).
//!
//! Both are issued by the signing key; who trusts them is decided by ceremony. Guards: the BIT STRING
//! holds the DER signature (raw r ‖ s would compile and be invalid X.509); what was built is parsed
//! by the strict reader before it leaves.

use std::str::FromStr;
use std::time::Duration;

use kms_core::certificate::Certificate;
use kms_core::sm2::{PublicKey, SecretKey};
use sm2::dsa::signature::{self, Keypair, Signer};
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{self, Builder, CertificateBuilder};
use x509_cert::certificate::TbsCertificate;
use x509_cert::der::asn1::BitString;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{
    self, AlgorithmIdentifierOwned, Document, DynSignatureAlgorithmIdentifier, EncodePublicKey, ObjectIdentifier,
    SignatureBitStringEncoding, SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef,
};
use x509_cert::time::Validity;

use crate::failure::{Failure, Outcome};
use crate::identity;

/// sm2-with-sm3 (GM/T 0006).
const SM2_WITH_SM3: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.156.10197.1.501");
/// Life of a certificate: two years.
const LIFETIME: Duration = Duration::from_secs(2 * 365 * 24 * 60 * 60);
/// Bytes of a serial number.
const SERIAL_BYTES: usize = 16;

/// What a certificate's key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// digitalSignature.
    Signing,
    /// keyEncipherment and dataEncipherment.
    Encryption,
}

/// Issues a certificate for `key` under the common name `subject`, signed by `issuer`.
pub(crate) fn issue(subject: &str, key: &PublicKey, usage: Usage, issuer: &SecretKey) -> Outcome<Certificate> {
    let name = common_name(subject)?;
    let mut serial = identity::random::<SERIAL_BYTES>()?;
    // Positive, and never short.
    serial[0] = serial[0] & 0x7F | 0x40;
    let serial = SerialNumber::new(&serial).map_err(Failure::internal)?;
    let spki = SubjectPublicKeyInfoOwned::from_der(&key.to_spki_der()).map_err(Failure::internal)?;
    let validity = Validity::from_now(LIFETIME).map_err(Failure::internal)?;
    let builder =
        CertificateBuilder::new(BureauProfile { name, usage }, serial, validity, spki).map_err(Failure::internal)?;
    let built = builder.build::<_, DerSignature>(&Issuer(issuer)).map_err(Failure::internal)?;
    let certificate = Certificate::from_der(&built.to_der().map_err(Failure::internal)?).map_err(Failure::internal)?;
    certificate.verify_issued_by(issuer.public()).map_err(Failure::internal)?;
    Ok(certificate)
}

fn common_name(subject: &str) -> Outcome<Name> {
    let plain = !subject.is_empty() && !subject.contains([',', '+', '"', '\\', '<', '>', ';', '#', '=']);
    let name = plain.then(|| Name::from_str(&format!("CN={subject}")).ok()).flatten();
    name.ok_or_else(|| {
        Failure::input(format!("{subject:?} cannot be a common name"), "use letters, digits, spaces, `-` and `.`")
    })
}

struct BureauProfile {
    name: Name,
    usage: Usage,
}

impl BuilderProfile for BureauProfile {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.name.clone()
    }

    fn build_extensions(
        &self,
        _subject_key: SubjectPublicKeyInfoRef<'_>,
        _issuer_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        let usage = match self.usage {
            Usage::Signing => KeyUsages::DigitalSignature.into(),
            Usage::Encryption => KeyUsages::KeyEncipherment | KeyUsages::DataEncipherment,
        };
        let mut extensions = Vec::new();
        let constraints = BasicConstraints { ca: false, path_len_constraint: None };
        extensions.push(constraints.to_extension(tbs.subject(), &extensions)?);
        extensions.push(KeyUsage(usage).to_extension(tbs.subject(), &extensions)?);
        Ok(extensions)
    }
}

/// A key as the builder wants it.
struct Issuer<'a>(&'a SecretKey);

#[derive(Clone)]
struct IssuerPublic(PublicKey);

/// A signature that knows only its DER form.
struct DerSignature(Vec<u8>);

impl Keypair for Issuer<'_> {
    type VerifyingKey = IssuerPublic;

    fn verifying_key(&self) -> IssuerPublic {
        IssuerPublic(*self.0.public())
    }
}

impl EncodePublicKey for IssuerPublic {
    fn to_public_key_der(&self) -> spki::Result<Document> {
        Ok(Document::try_from(self.0.to_spki_der().as_slice())?)
    }
}

impl DynSignatureAlgorithmIdentifier for Issuer<'_> {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        Ok(AlgorithmIdentifierOwned { oid: SM2_WITH_SM3, parameters: None })
    }
}

impl Signer<DerSignature> for Issuer<'_> {
    fn try_sign(&self, message: &[u8]) -> Result<DerSignature, signature::Error> {
        self.0.sign(message).map(|signature| DerSignature(signature.to_der())).map_err(|_| signature::Error::new())
    }
}

impl SignatureBitStringEncoding for DerSignature {
    fn to_bitstring(&self) -> x509_cert::der::Result<BitString> {
        BitString::from_bytes(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_of_certificates() {
        let (signing, encryption) = (identity::generate().unwrap(), identity::generate().unwrap());
        let first = issue("Yellow River Cards", signing.public(), Usage::Signing, &signing).unwrap();
        let second = issue("Yellow River Cards", encryption.public(), Usage::Encryption, &signing).unwrap();
        assert!(first.may_sign() && !first.may_encrypt());
        assert!(second.may_encrypt() && !second.may_sign());
        assert_eq!(second.public_key(), encryption.public());
    }

    #[test]
    fn names_that_would_break_out_are_refused() {
        assert!(common_name("a,O=b").is_err());
        assert!(common_name("").is_err());
    }
}
