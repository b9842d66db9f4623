//! Suites: what is of another suite, or wraps otherwise, is refused before an officer sees a plan.

use der::asn1::OctetString;
use kms_core::digest::Digest;
use kms_core::document::TrustAnchor;
use kms_core::encoding::{self, Document, Signed};
use kms_core::id::{Actor, ObjectId, Origin, PersonId, PlanId, RegionCode};
use kms_core::keys::{P256Key, RsaKey, Signature, VerifyingKey};
use kms_core::plan::{Custodian, Environment, Level, Step, TrustProvince};
use kms_core::secret::{Kcv, KcvMethod};
use kms_core::suite::{CardAlgorithm, Suite};
use kms_core::violation::Violation;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;

use crate::world::{World, key, person};

/// A province with an HSM of suite intl; `mixed` has one key of the other suite.
fn province(mixed: bool) -> Vec<u8> {
    let signer = SigningKey::from_slice(&[7; 32]).unwrap();
    let public: VerifyingKey =
        P256Key::from_sec1(signer.verifying_key().to_sec1_point(false).as_bytes()).unwrap().into();
    let log_key = if mixed { (*key(51).public()).into() } else { public };
    let anchor = TrustAnchor {
        label: TrustAnchor::LABEL.to_owned(),
        origin: Origin::new("kms.example/henan/test/log/1").unwrap(),
        environment: Environment::Test,
        level: Level::Provincial,
        region: RegionCode::new("410000").unwrap(),
        genesis: PlanId::from_digest(Digest::of(b"genesis")),
        hsm_serial: "1".to_owned(),
        log_key,
        instance_key: public,
        import_key: RsaKey::from_modulus(&[0xff; 256]).unwrap().into(),
        component_key: None,
    };
    assert_eq!(anchor.suite(), (!mixed).then_some(Suite::Intl));
    let made: p256::ecdsa::Signature = signer.sign(&encoding::encode(&anchor).unwrap());
    let signature = Signature::from_raw(&made.normalize_s().to_bytes().into()).unwrap();
    Signed::assemble(anchor, public.algorithm(), &signature).unwrap().bytes().to_vec()
}

fn pairing(world: &mut World, officer: &PersonId, anchor: &[u8]) -> Result<PlanId, Violation> {
    let trust = TrustProvince {
        region: RegionCode::new("410000").unwrap(),
        anchor: OctetString::new(anchor).unwrap(),
        recipient: ObjectId::from_bytes([9; 16]),
    };
    let plan = world.plan(Actor::Person(officer.clone()), vec![Step::TrustProvince(trust)]);
    world.open(&plan)
}

#[test]
fn another_suite_is_refused_and_named() {
    let mut world = World::founded(2);
    let refused = pairing(&mut world, &person("officer-a"), &province(false)).unwrap_err();
    assert_eq!(refused.code(), "suite-differs");
    assert!(matches!(refused, Violation::SuiteDiffers { own: Suite::Sm, found: Suite::Intl, .. }), "{refused}");
    let refused = pairing(&mut world, &person("officer-a"), &province(true)).unwrap_err();
    assert_eq!(refused.code(), "document-mismatch");

    let mut plan = world.masters_plan(&person("officer-a"));
    let Some(Step::CreateMasters(create)) = plan.steps.first_mut() else { panic!("a masters plan") };
    create.algorithm = CardAlgorithm::Aes128;
    assert_eq!(world.open(&plan).unwrap_err().code(), "suite-differs");
}

#[test]
fn without_a_component_key_no_component_ceremony_is_held() {
    for (mut world, expected) in
        [(World::founded(2), None), (World::without_components(), Some("components-unsupported"))]
    {
        assert_eq!(world.state.keys().unwrap().component_import.is_some(), expected.is_none());
        let mut plan = world.masters_plan(&person("officer-a"));
        let Some(Step::CreateMasters(create)) = plan.steps.first_mut() else { panic!("a masters plan") };
        let kcv = Kcv::new(KcvMethod::Ecb3, &[1, 2, 3]).unwrap();
        create.custodians = ["officer-b", "officer-c"].map(|id| Custodian { person: person(id), kcv }).to_vec();
        assert_eq!(world.open(&plan).err().map(|refused| refused.code()), expected);
        let plan = world.masters_plan(&person("officer-a"));
        assert!(world.open(&plan).is_ok());
    }
}
