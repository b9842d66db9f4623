//! Masters: generated, from components, sealed to another token and imported there.

use getrandom::SysRng;
use kms_core::keys::SealingKey;
use kms_core::ports::{
    ChunkOrder, Custody, FaultClass, Hsm, MasterSpec, SealedComponent, SecurityOfficerToken as _, TrustedObject,
    TrustedRole,
};

use crate::harness::{Site, id, instance_ids, kcv, ready, sm4, software_key, spec};

const COMPONENTS: [[u8; 16]; 3] = [[0x11; 16], *b"second component", [0xc3; 16]];

fn sealed_components(to: &SealingKey) -> Vec<SealedComponent> {
    let to = to.as_sm2().unwrap();
    let seal = |component: &[u8; 16]| SealedComponent {
        ciphertext: to.encrypt(component, &mut SysRng).unwrap(),
        kcv: kcv(component),
    };
    COMPONENTS.iter().map(seal).collect()
}

fn seed() -> [u8; 16] {
    COMPONENTS.iter().fold([0; 16], |sum, component| std::array::from_fn(|at| sum[at] ^ component[at]))
}

#[test]
fn generated_masters_are_adopted_but_never_with_another_custody() {
    let site = Site::with_tokens(&["instance"]);
    let hsm = site.hsm("instance");
    let specs: Vec<MasterSpec> = vec![spec(1, Custody::Local), spec(2, Custody::Transferable)];
    let kcvs = hsm.generate_masters(&specs).unwrap();
    assert_ne!(kcvs[0], kcvs[1]);
    assert_eq!(hsm.generate_masters(&specs).unwrap(), kcvs);
    let more = [specs.clone(), vec![spec(3, Custody::Local)]].concat();
    assert_eq!(hsm.generate_masters(&more).unwrap()[..2], kcvs);
    let error = hsm.generate_masters(&[spec(1, Custody::Transferable)]).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Refused, "ATTRIBUTE_DIFFERS"));
    assert!(error.to_string().contains("MASTER"), "{error}");
}

#[test]
fn masters_from_components_equal_the_software_reference() {
    let site = Site::with_tokens(&["instance"]);
    let (hsm, keys) = ready(&site, "instance");
    let import = instance_ids().component_import.unwrap();
    let components = sealed_components(keys.component_import.as_ref().unwrap());
    let masters: Vec<_> = (1..=3).map(|n| (spec(n, Custody::Transferable), [n; 16])).collect();
    let (seed_kcv, kcvs) = hsm.masters_from_components(import, &components, &masters).unwrap();
    assert_eq!(seed_kcv, kcv(&seed()));
    let expected: Vec<_> = masters.iter().map(|(_, block)| kcv(&sm4(&seed(), block))).collect();
    assert_eq!(kcvs, expected);
    // Again: adopted.
    assert_eq!(hsm.masters_from_components(import, &components, &masters).unwrap(), (seed_kcv, kcvs));
    // Down to a card: the key in the token is the one of the reference, not only its check value.
    let kek = id(0x40);
    site.officer("instance").create_transport_key(kek, "kek").unwrap();
    let order = ChunkOrder { kek, masters: vec![(id(2), true)], blocks: vec![[9; 16], [8; 16]] };
    let cards = hsm.issue_chunk(&order).unwrap();
    let master = sm4(&seed(), &[2; 16]);
    assert_eq!(cards[0][0].kcv, Some(kcv(&sm4(&master, &[9; 16]))));
    assert_eq!(cards[1][0].kcv, Some(kcv(&sm4(&master, &[8; 16]))));

    let local = [(spec(9, Custody::Local), [9; 16])];
    let error = hsm.masters_from_components(import, &components, &local).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Refused, "CUSTODY"));
}

#[test]
fn a_wrong_component_is_named_and_nothing_is_made() {
    let site = Site::with_tokens(&["instance"]);
    let (hsm, keys) = ready(&site, "instance");
    let import = instance_ids().component_import.unwrap();
    let masters = [(spec(1, Custody::Transferable), [1; 16])];
    let good = sealed_components(keys.component_import.as_ref().unwrap());

    let mut wrong = good.clone();
    wrong[1].kcv = kcv(&[0; 16]);
    let error = hsm.masters_from_components(import, &wrong, &masters).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Refused, "KCV_MISMATCH"));
    assert!(error.detail.as_ref().unwrap().contains("component 2"), "{error}");

    let mut twice = good.clone();
    twice[2] = twice[0].clone();
    assert_eq!(hsm.masters_from_components(import, &twice, &masters).unwrap_err().class, FaultClass::Refused);
    let error = hsm.masters_from_components(import, &good[..1], &masters).unwrap_err();
    assert_eq!(error.code, "COMPONENT_COUNT");
    let elsewhere = sealed_components(&keys.import);
    assert!(hsm.masters_from_components(import, &elsewhere, &masters).is_err());

    // Had anything been made under the id, generation would refuse to adopt it or give its value.
    let generated = hsm.generate_masters(&[spec(1, Custody::Transferable)]).unwrap();
    assert_ne!(generated, [kcv(&sm4(&seed(), &[1; 16]))]);
}

#[test]
fn sealed_children_open_in_software_and_on_the_second_token() {
    let site = Site::with_tokens(&["nation", "province"]);
    let (nation, nation_keys) = ready(&site, "nation");
    let (province, province_keys) = ready(&site, "province");
    let components = sealed_components(nation_keys.component_import.as_ref().unwrap());
    let masters: Vec<_> = (1..=2).map(|n| (spec(n, Custody::Transferable), [n; 16])).collect();
    nation.masters_from_components(instance_ids().component_import.unwrap(), &components, &masters).unwrap();

    let outside = software_key(0x31);
    let officer = site.officer("nation");
    officer.trust_recipient(id(0x51), "software", &(*outside.public()).into()).unwrap();
    officer.trust_recipient(id(0x52), "province", &province_keys.import).unwrap();
    officer.trust_recipient(id(0x52), "province", &province_keys.import).unwrap();
    let other = officer.trust_recipient(id(0x52), "province", &(*outside.public()).into()).unwrap_err();
    assert_eq!((other.class, other.code.as_str()), (FaultClass::Refused, "PUBLIC_KEY"));
    drop(officer);

    let found = nation.trusted_object(id(0x52), TrustedRole::Recipient).unwrap();
    assert_eq!(found, TrustedObject::Present { public_key: Some(province_keys.import), kcv: None });
    assert_eq!(nation.trusted_object(id(0x53), TrustedRole::Recipient).unwrap(), TrustedObject::Absent);

    let block = [0x41; 16];
    let to_software = nation.seal_diversified(&[id(1), id(2)], &block, id(0x51)).unwrap();
    for (sealed, master_block) in to_software.iter().zip([[1; 16], [2; 16]]) {
        let child = sm4(&sm4(&seed(), &master_block), &block);
        assert_eq!(outside.decrypt(&sealed.ciphertext).unwrap().as_slice(), child);
        assert_eq!(sealed.kcv, kcv(&child));
    }
    // An import key is not a recipient: nobody trusted it.
    let untrusted = nation.seal_diversified(&[id(1)], &block, instance_ids().import).unwrap_err();
    assert_eq!(untrusted.class, FaultClass::Refused);

    let sealed = nation.seal_diversified(&[id(1), id(2)], &block, id(0x52)).unwrap();
    let specs = [spec(0x61, Custody::Transferable), spec(0x62, Custody::Transferable)];
    let imports: Vec<_> = specs.into_iter().zip(sealed.iter().cloned()).collect();
    import_into(&province, &imports);
}

fn import_into(province: &dyn Hsm, imports: &[(MasterSpec, kms_core::ports::SealedMaster)]) {
    let import = instance_ids().import;
    let expected: Vec<_> = imports.iter().map(|(_, sealed)| sealed.kcv).collect();

    let under_other_ids = || {
        let mut imports = imports.to_vec();
        imports.iter_mut().zip([0x71, 0x72]).for_each(|(import, number)| import.0.id = id(number));
        imports
    };
    let mut wrong = under_other_ids();
    wrong[1].1.kcv = kcv(&[0; 16]);
    let error = province.import_masters(import, &wrong).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FaultClass::Refused, "KCV_MISMATCH"));
    let mut damaged = under_other_ids();
    let last = damaged[1].1.ciphertext.len() - 1;
    damaged[1].1.ciphertext[last] ^= 1;
    province.import_masters(import, &damaged).unwrap_err();
    // Both failures left nothing: the ids are free for generated keys, which show CKA_LOCAL.
    province.generate_masters(&[spec(0x71, Custody::Local), spec(0x72, Custody::Local)]).unwrap();

    assert_eq!(province.import_masters(import, imports).unwrap(), expected);
    assert_eq!(province.import_masters(import, imports).unwrap(), expected);
    let mut changed = imports.to_vec();
    changed[0].0.custody = Custody::Local;
    assert_eq!(province.import_masters(import, &changed).unwrap_err().code, "CUSTODY");
    let mut relabelled = imports.to_vec();
    relabelled[0].0.label = "another".to_owned();
    assert_eq!(province.import_masters(import, &relabelled).unwrap_err().code, "ATTRIBUTE_DIFFERS");
}
