//! The vendor maps that are delivered: each is read, and lacks what its vendor does not number.

use std::collections::BTreeMap;
use std::path::Path;

use kms_hsm::VendorMap;
use kms_hsm::vendor::{Operation, OptionalAttribute, Suite};

/// Start of the block that vendors number freely.
const VENDOR_DEFINED: u64 = 0x8000_0000;

fn maps() -> BTreeMap<String, VendorMap> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/hsm");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let tomls = files.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    tomls
        .map(|path| {
            let map = VendorMap::read(&path).unwrap();
            assert_eq!(path.file_stem().unwrap().to_str(), Some(map.name()));
            (map.name().to_owned(), map)
        })
        .collect()
}

#[test]
fn every_vendor_has_its_map_and_every_gap_is_declared() {
    use Operation as Op;
    let gaps: BTreeMap<&str, Vec<Operation>> = BTreeMap::from([
        ("hsm-sim", vec![]),
        ("ibm-ep11", vec![Op::Gcm, Op::Hmac, Op::HmacKeyGen, Op::KeyWrap, Op::XorKeys]),
        ("koal", vec![Op::Diversify, Op::Hmac, Op::KeyWrap, Op::XorKeys]),
        ("luna", vec![Op::Diversify, Op::Gcm, Op::KeyWrap, Op::Seal, Op::XorKeys]),
        ("sansec", vec![Op::Gcm, Op::Hmac, Op::KeyWrap, Op::XorKeys]),
        ("softhsm2", vec![Op::XorKeys]),
        ("tass", vec![Op::Diversify, Op::Gcm, Op::Hmac, Op::KeyWrap, Op::XorKeys]),
        ("westone", vec![Op::Diversify, Op::Gcm, Op::KeyWrap, Op::Seal, Op::XorKeys]),
    ]);
    let maps = maps();
    assert_eq!(maps.keys().map(String::as_str).collect::<Vec<_>>(), gaps.keys().copied().collect::<Vec<_>>());
    for (name, map) in &maps {
        assert_eq!(map.lacking().1, gaps[name.as_str()], "{name}");
    }
}

#[test]
fn numbers_are_in_the_vendors_block_and_collide_nowhere() {
    for (name, map) in maps() {
        let types = map.key_types();
        assert!(types.block != types.hmac && types.pair != types.hmac && types.pair != types.block, "{name}");
        let numbers: Vec<u64> = Operation::ALL.iter().filter_map(|operation| map.mechanism(*operation)).collect();
        let mut distinct = numbers.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), numbers.len(), "{name}");
        let standard = Operation::ALL
            .iter()
            .filter(|operation| map.mechanism(**operation).is_some_and(|number| number < VENDOR_DEFINED));
        match map.suite() {
            Suite::Sm => assert!(standard.copied().all(|operation| operation == Operation::HmacKeyGen), "{name}"),
            Suite::Intl => assert_eq!(standard.count(), numbers.len(), "{name}"),
        }
        assert!(map.supports(OptionalAttribute::CheckValue.number()), "{name}: no key could be confirmed");
    }
}

#[test]
fn numbers_are_those_of_the_public_headers() {
    let maps = maps();
    for (name, operation, offset) in [
        ("ibm-ep11", Operation::Diversify, 0x50009),
        ("ibm-ep11", Operation::Sign, 0x5000B),
        ("luna", Operation::KeyGen, 0xB10),
        ("luna", Operation::Sign, 0xB21),
        ("luna", Operation::Hmac, 0xB02),
        ("sansec", Operation::KeyGen, 0x107),
        ("sansec", Operation::Diversify, 0x50009),
        ("sansec", Operation::CbcPad, 0xA201),
        ("sansec", Operation::Seal, 0x8201),
        ("tass", Operation::KeyGen, 0x107),
        ("tass", Operation::Mac, 0x10A),
        ("koal", Operation::Gcm, 0x10F),
        ("westone", Operation::KeyGen, 40),
        ("westone", Operation::Digest, 31),
    ] {
        assert_eq!(maps[name].mechanism(operation), Some(VENDOR_DEFINED + offset), "{name} {operation}");
    }
    for (name, block, pair) in
        [("luna", 0x15, 0x16), ("sansec", 0x106, 4), ("tass", 2, 4), ("koal", 2, 4), ("westone", 5, 1)]
    {
        let types = maps[name].key_types();
        assert_eq!((types.block, types.pair), (VENDOR_DEFINED + block, VENDOR_DEFINED + pair), "{name}");
    }
}
