//! Every secret of a scene, worked out here: what must not be found.
//!
//! From the root components down, by the formulas of docs/formats.md, section 9, and the `sm4` crate.

use std::collections::HashSet;
use std::path::Path;

use kms_core::diversify::{CardFactor, ProvinceCode, block16, master_block};
use kms_core::secret::Pin;
use kms_core::sm2::SecretKey;
use sm4::Sm4;
use sm4::cipher::{BlockCipherEncrypt as _, KeyInit as _};

use crate::harness::{COMPONENTS, Scene, card_factor};

/// Kinds of secrets; the number of a kind is its place here.
pub(super) const KINDS: [&str; 6] =
    ["canary", "card keys", "masters of the province", "root seed and masters of the nation", "PINs", "people's keys"];
pub(super) const CANARY: usize = 0;
pub(super) const CARD: usize = 1;
pub(super) const PROVINCE: usize = 2;
pub(super) const NATION: usize = 3;
pub(super) const PIN: usize = 4;
pub(super) const PEOPLE: usize = 5;

/// In the environment of every process that is looked at: the search must find it.
pub(super) const CANARY_VALUE: &str = "memory-canary-4f1d7a0e93c2";

/// A secret and its kind.
pub(super) type Known = (usize, Vec<u8>);

fn sm4(key: &[u8; 16], block: &[u8; 16]) -> [u8; 16] {
    let mut out = (*block).into();
    Sm4::new(key.into()).encrypt_block(&mut out);
    out.into()
}

/// All of them, for the cards of these numbers in a list made by the harness.
pub(super) fn of(scene: &Scene, cards: std::ops::Range<usize>) -> Vec<Known> {
    let mut known = vec![(CANARY, CANARY_VALUE.as_bytes().to_vec())];
    // The components themselves are patterns that stand in any memory by chance: the second is the initial state of
    // MD5 and SHA-1. Their sum is not.
    let mut seed = [0; 16];
    for line in COMPONENTS.lines() {
        let component = hex::decode(line).unwrap();
        seed.iter_mut().zip(&component).for_each(|(byte, part)| *byte ^= part);
    }
    known.push((NATION, seed.to_vec()));
    let blocks: Vec<[u8; 16]> = cards.map(|card| block(&card_factor(card))).collect();
    let region = block16(ProvinceCode::parse("410000").unwrap().factor());
    let profile: toml::Table =
        std::fs::read_to_string(scene.path("policies/profiles/resident-health-card.toml")).unwrap().parse().unwrap();
    let id = profile["id"].as_str().unwrap();
    for key in profile["keys"].as_array().unwrap() {
        for group in 1..=u8::try_from(key["groups"].as_integer().unwrap()).unwrap() {
            let name = key["name"].as_str().unwrap();
            let national = sm4(&seed, master_block(id, name, group).unwrap().as_bytes());
            let provincial = sm4(&national, region.as_bytes());
            known.push((NATION, national.to_vec()));
            known.push((PROVINCE, provincial.to_vec()));
            known.extend(blocks.iter().map(|block| (CARD, sm4(&provincial, block).to_vec())));
        }
    }
    for site in ["henan", "national", "bureau"] {
        for file in ["pin", "so-pin"] {
            if let Ok(pin) = std::fs::read_to_string(scene.dir.join(site).join(file)) {
                known.push((PIN, pin.trim_end().as_bytes().to_vec()));
            }
        }
    }
    for person in ["chen-jie", "liu-yang", "sun-li", "zhou-min"] {
        let password = std::fs::read_to_string(scene.path(&format!("henan/{person}.password"))).unwrap();
        known.push((PEOPLE, private(&scene.path(&format!("henan/{person}.pem")), password.trim_end())));
        known.push((PEOPLE, password.trim_end().as_bytes().to_vec()));
    }
    let password = std::fs::read_to_string(scene.path("bureau/password")).unwrap();
    for file in ["signing", "encryption"] {
        known.push((PEOPLE, private(&scene.path(&format!("bureau/keys/{file}.pem")), password.trim_end())));
    }
    assert_eq!(known.iter().filter(|(kind, _)| *kind == PROVINCE).count(), 57, "one master per slot");
    known
}

fn block(factor: &str) -> [u8; 16] {
    let bytes: [u8; 8] = hex::decode(factor).unwrap().try_into().unwrap();
    *block16(CardFactor::new(bytes).unwrap().factor()).as_bytes()
}

/// The card keys looked for are those of the package: its check values are theirs.
#[track_caller]
pub(super) fn control(known: &[Known], chunks: &Path) {
    let mut shown = HashSet::new();
    for chunk in std::fs::read_dir(chunks).unwrap() {
        // A check value is an OCTET STRING of three bytes.
        let bytes = std::fs::read(chunk.unwrap().path()).unwrap();
        shown.extend(bytes.windows(5).filter(|window| window.starts_with(&[4, 3])).map(<[u8]>::to_vec));
    }
    let cards = known.iter().filter(|(kind, _)| *kind == CARD).map(|(_, key)| {
        let zeros = sm4(key.as_slice().try_into().unwrap(), &[0; 16]);
        [&[4, 3], &zeros[..3]].concat()
    });
    let (all, found) = cards.fold((0, 0), |(all, found), value| (all + 1, found + usize::from(shown.contains(&value))));
    // Keys of secure messaging have no check value in a package.
    assert!(found * 10 > all * 8, "{found} of {all} card keys are those of the package: the search looks for others");
}

/// The scalar of an encrypted private key.
fn private(file: &str, password: &str) -> Vec<u8> {
    let pem = std::fs::read_to_string(file).unwrap();
    let password = Pin::new(password.as_bytes().to_vec()).unwrap();
    SecretKey::from_pkcs8_encrypted_pem(&pem, &password).unwrap().expose_scalar().to_vec()
}
