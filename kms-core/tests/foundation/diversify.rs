//! Diversification: the blocks made here, encrypted with SM4, are the published keys.

use cmac::{Cmac, Mac as _};
use kms_core::{
    diversify::{
        Block16, CardFactor, Factor8, InvalidCardFactor, InvalidPath, InvalidProvinceCode, Path, PathElement,
        ProvinceCode, ZeroBlock, block16, master_block,
    },
    secret::{Kcv, KcvMethod},
};
use serde_json::Value;
use sm4::{
    Sm4,
    cipher::{BlockCipherEncrypt as _, KeyInit as _},
};

use crate::vectors::{array, diversification, list, text};

/// What the HSM does with a block.
fn encrypt(key: &[u8; 16], block: &[u8; 16]) -> [u8; 16] {
    let mut block = (*block).into();
    Sm4::new(&(*key).into()).encrypt_block(&mut block);
    block.into()
}

fn check_kcvs(key: &[u8; 16], ecb3: &Value, cmac5: &Value) {
    let found = Kcv::truncated(KcvMethod::Ecb3, &encrypt(key, &[0; 16])).unwrap();
    assert_eq!(hex::encode(found.value()), text(ecb3));
    let tag = Cmac::<Sm4>::new(&(*key).into()).chain_update([0; 16]).finalize().into_bytes();
    assert_eq!(hex::encode(Kcv::truncated(KcvMethod::Cmac5, &tag).unwrap().value()), text(cmac5));
}

#[test]
fn every_sm4_chain_of_the_vectors() {
    let vectors = diversification();
    let cases = list(&vectors["tests"]).iter().chain(list(&vectors["generated"]));
    let mut seen = 0;
    for case in cases.filter(|case| case["algorithm"] == "SM4") {
        let mut key: [u8; 16] = array(&case["root"]);
        check_kcvs(&key, &case["root_kcv_ecb3"], &case["root_kcv_cmac5"]);
        for level in list(&case["levels"]) {
            let block = match text(&case["scheme"]) {
                "f-not-f" => block16(Factor8::from_bytes(array(&level["factor"]))),
                "raw-block" => Block16::raw(array(&level["factor"])).unwrap(),
                other => panic!("{other}"),
            };
            assert_eq!(*block.as_bytes(), array(&level["input_block"]), "{}", case["id"]);
            key = encrypt(&key, block.as_bytes());
            assert_eq!(key, array(&level["key"]), "{}", case["id"]);
            check_kcvs(&key, &level["kcv_ecb3"], &level["kcv_cmac5"]);
            seen += 1;
        }
    }
    assert!(seen >= 25, "{seen}");
}

#[test]
fn a_path_gives_the_worked_chain() {
    let path = Path::new(&elements(&["province:factor8", "card:factor8"])).unwrap();
    let henan = ProvinceCode::parse("410000").unwrap();
    let card = CardFactor::from_hex("0102030405060708").unwrap();
    let root = hex::decode("0123456789abcdeffedcba9876543210").unwrap().try_into().unwrap();
    let keys = path.blocks_from_nation(henan, card).iter().fold(vec![root], |mut keys, block| {
        keys.push(encrypt(keys.last().unwrap(), block.as_bytes()));
        keys
    });
    assert_eq!(hex::encode(keys[1]), "71b5329bb4ec4e2f8abde61bd953de5e");
    assert_eq!(hex::encode(keys[2]), "a77208fae07c542635582cf4c15dae62");
    assert_eq!(path.province_block(henan).unwrap(), path.blocks_from_nation(henan, card)[0]);
    assert_eq!(path.card_block(card), path.blocks_from_nation(henan, card)[1]);
    assert_eq!(path.elements(), elements(&["province:factor8", "card:factor8"]));
}

fn elements(texts: &[&str]) -> Vec<PathElement> {
    texts.iter().map(|text| PathElement::parse(text).unwrap()).collect()
}

#[test]
fn paths_must_be_refused() {
    for text in
        ["", "card", "card:", "card:factor16", "city:factor8", "nation:factor8", "Card:factor8", "card:factor8 "]
    {
        assert_eq!(PathElement::parse(text), Err(InvalidPath::Element), "{text}");
    }
    for texts in [&[][..], &["province:factor8"], &["card:factor8", "province:factor8"], &["card:factor8"; 2]] {
        assert_eq!(Path::new(&elements(texts)), Err(InvalidPath::Order), "{texts:?}");
    }
    assert!(matches!(Path::new(&elements(&["card:block16"])), Err(InvalidPath::Block16 { .. })));
    let direct = Path::new(&elements(&["card:factor8"])).unwrap();
    assert_eq!(direct.province_block(ProvinceCode::parse("410000").unwrap()), None);
}

#[test]
fn no_block_is_zero() {
    assert_eq!(Block16::raw([0; 16]), Err(ZeroBlock));
    for factor in [[0; 8], [0xFF; 8]] {
        assert_ne!(*block16(Factor8::from_bytes(factor)).as_bytes(), [0; 16]);
    }
}

#[test]
fn region_factors_are_no_card_factors() {
    assert_eq!(ProvinceCode::all().count(), 31);
    for province in ProvinceCode::all() {
        assert_eq!(ProvinceCode::parse(&province.to_string()), Ok(province));
        let factor = *province.factor().as_bytes();
        assert_eq!(CardFactor::new(factor), Err(InvalidCardFactor::RegionForm), "{province}");
    }
    assert_eq!(ProvinceCode::parse("410000").unwrap().factor().as_bytes(), b"41000000");
    // All pairs of digits, whether such a region exists or not, and cities.
    for number in 0..100 {
        let province: [u8; 8] = format!("{number:02}000000").into_bytes().try_into().unwrap();
        let city: [u8; 8] = format!("41{number:02}0000").into_bytes().try_into().unwrap();
        for factor in [province, city] {
            assert_eq!(CardFactor::new(factor), Err(InvalidCardFactor::RegionForm));
        }
    }
}

#[test]
fn factors_must_be_refused() {
    assert_eq!(CardFactor::new([0; 8]), Err(InvalidCardFactor::Blank));
    assert_eq!(CardFactor::new([0xFF; 8]), Err(InvalidCardFactor::Blank));
    for text in ["", "01020304050607", "010203040506070809", "01020304050607zz", "+102030405060708", " 102030405060708"]
    {
        assert_eq!(CardFactor::from_hex(text), Err(InvalidCardFactor::Digits), "{text}");
    }
    assert_eq!(CardFactor::from_hex("A1b2C3d4E5f60708").unwrap().to_string(), "a1b2c3d4e5f60708");
    for text in ["", "41", "410001", "4100000", "4l0000", "４10000", "+40000", "410000\n"] {
        assert_eq!(ProvinceCode::parse(text), Err(InvalidProvinceCode::Form), "{text}");
    }
    for number in [0, 10, 16, 71, 81, 99] {
        assert_eq!(ProvinceCode::parse(&format!("{number:02}0000")), Err(InvalidProvinceCode::Unknown { number }));
    }
}

#[test]
fn master_blocks_are_distinct_and_bound_to_their_inputs() {
    let block = |id: &str, name: &str, group| master_block(id, name, group).unwrap();
    let one = block("resident-health-card", "RK1_DF01", 1);
    let expected = kms_core::digest::Digest::of(b"KMS-MASTER/1\0resident-health-card\0RK1_DF01\0\x01");
    assert_eq!(one.as_bytes()[..], expected.as_bytes()[..16]);
    for other in [
        block("resident-health-card", "RK1_DF01", 2),
        block("resident-health-card", "RK1_DF02", 1),
        block("resident-health-cards", "RK1_DF01", 1),
        block("resident-health-cardR", "K1_DF01", 1),
    ] {
        assert_ne!(one, other);
    }
    assert!(master_block("a\0b", "c", 1).is_err());
    assert!(master_block("a", "b\0c", 1).is_err());
}
