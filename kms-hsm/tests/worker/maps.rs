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
        ("hsm-sim-sm1", vec![]),
        ("ibm-ep11", vec![Op::XorKeys]),
        ("koal", vec![Op::Diversify, Op::XorKeys]),
        ("luna", vec![Op::Diversify, Op::Seal, Op::XorKeys]),
        ("sansec", vec![Op::XorKeys]),
        ("softhsm2", vec![Op::XorKeys]),
        ("tass", vec![Op::Diversify, Op::XorKeys]),
        ("westone", vec![Op::Diversify, Op::XorKeys]),
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
        // Wrapping in ECB mode and opening with the number of sealing are the only ones that share.
        let mut numbers: BTreeMap<u64, Vec<Operation>> = BTreeMap::new();
        for operation in Operation::ALL {
            if let Some(number) = map.mechanism(operation) {
                numbers.entry(number).or_default().push(operation);
            }
        }
        for (number, operations) in &numbers {
            use Operation as Op;
            let fits = matches!(operations.as_slice(), [_] | [Op::Ecb, Op::KeyWrap] | [Op::Open, Op::Seal]);
            assert!(fits, "{name}: {number:#x} is {operations:?}");
            let standard = *number < VENDOR_DEFINED;
            let is_hmac = matches!(operations.as_slice(), [Op::Hmac | Op::HmacKeyGen]);
            match map.suite() {
                Suite::Sm => assert!(!standard || is_hmac, "{name}: {number:#x}"),
                Suite::Intl => assert!(standard, "{name}: {number:#x}"),
            }
        }
        assert!(map.supports(OptionalAttribute::CheckValue.number()), "{name}: no key could be confirmed");
    }
}

/// Key types and numbers.
type Published = ([u64; 4], Vec<(Operation, u64)>);

/// Every number of every delivered map, written down a second time from the tables of published headers: V is the start
/// of the vendors' block, decimal where a vendor counts in decimal. Key types: block, cards, pairs, sealing.
fn published(name: &str) -> Result<Published, String> {
    use Operation as Op;
    const V: u64 = VENDOR_DEFINED;
    const OURS: u64 = V + 0x0D53_0000;
    let mut standard = vec![(Op::HmacKeyGen, 0x350)];
    let ep11 = [
        (Op::KeyGen, V + 0x50001),
        (Op::Cbc, V + 0x50002),
        (Op::CbcPad, V + 0x50003),
        (Op::Ecb, V + 0x50004),
        (Op::PairGen, V + 0x5000A),
        (Op::Sign, V + 0x5000B),
        (Op::Seal, V + 0x5000D),
        (Op::Open, V + 0x5000D),
        (Op::Digest, V + 0x5000E),
    ];
    let ours = [
        (Op::KeyWrap, OURS + 1),
        (Op::Gcm, OURS + 2),
        (Op::Mac, OURS + 3),
        (Op::Hmac, OURS + 4),
        (Op::XorKeys, OURS + 5),
    ];
    let (types, numbers): ([u64; 4], &[(Op, u64)]) = match name {
        "hsm-sim" => {
            standard.extend(ep11.into_iter().chain(ours));
            ([V + 0x50001, V + 0x50001, V + 0x50002, V + 0x50002], &[(Op::Diversify, V + 0x50009)])
        }
        "hsm-sim-sm1" => {
            standard.extend(ep11.into_iter().chain(ours));
            (
                [V + 0x50001, OURS + 0x11, V + 0x50002, V + 0x50002],
                &[(Op::Sm1KeyGen, OURS + 0x11), (Op::Sm1Ecb, OURS + 0x12), (Op::Sm1Diversify, OURS + 0x15)],
            )
        }
        "ibm-ep11" => {
            standard.extend(ep11);
            (
                [V + 0x50001, V + 0x50001, V + 0x50002, V + 0x50002],
                &[(Op::Diversify, V + 0x50009), (Op::KeyWrap, V + 0x50004), (Op::Mac, V + 0x58007), (Op::Hmac, 0x251)],
            )
        }
        "luna" => (
            [V + 0x15, V + 0x15, V + 0x16, V + 0x16],
            &[
                (Op::Digest, V + 0xB01),
                (Op::Hmac, V + 0xB02),
                (Op::KeyGen, V + 0xB10),
                (Op::Ecb, V + 0xB11),
                (Op::KeyWrap, V + 0xB11),
                (Op::Cbc, V + 0xB12),
                (Op::CbcPad, V + 0xB13),
                (Op::PairGen, V + 0xB20),
                (Op::Sign, V + 0xB21),
            ],
        ),
        "sansec" => (
            [V + 0x106, V + 0x106, V + 4, V + 4],
            &[
                (Op::KeyGen, V + 0x107),
                (Op::Ecb, V + 0x108),
                (Op::KeyWrap, V + 0x108),
                (Op::Cbc, V + 0x109),
                (Op::CbcPad, V + 0xA201),
                (Op::Diversify, V + 0x50009),
                (Op::PairGen, V + 0x8001),
                (Op::Sign, V + 0x8104),
                (Op::Seal, V + 0x8201),
                (Op::Open, V + 0x8201),
                (Op::Digest, V + 0x9001),
                (Op::Hmac, 0x251),
            ],
        ),
        "tass" => (
            [V + 2, V + 2, V + 4, V + 4],
            &[
                (Op::KeyGen, V + 0x107),
                (Op::Ecb, V + 0x108),
                (Op::KeyWrap, V + 0x108),
                (Op::Cbc, V + 0x109),
                (Op::Mac, V + 0x10A),
                (Op::CbcPad, V + 0x10C),
                (Op::Sign, V + 0x8000),
                (Op::PairGen, V + 0x8001),
                (Op::Seal, V + 0x8200),
                (Op::Open, V + 0x8200),
                (Op::Digest, V + 5),
                (Op::Hmac, 0x251),
            ],
        ),
        "koal" => (
            [V + 2, V + 2, V + 4, V + 4],
            &[
                (Op::KeyGen, V + 0x107),
                (Op::Ecb, V + 0x108),
                (Op::KeyWrap, V + 0x108),
                (Op::Cbc, V + 0x109),
                (Op::CbcPad, V + 0x10C),
                (Op::Gcm, V + 0x10F),
                (Op::PairGen, V + 0x8001),
                (Op::Sign, V + 0x8104),
                (Op::Seal, V + 0x8200),
                (Op::Open, V + 0x8200),
                (Op::Digest, V + 5),
                (Op::Hmac, 0x251),
            ],
        ),
        "westone" => (
            [V + 5, V + 5, V + 1, V + 1],
            &[
                (Op::PairGen, V + 1),
                (Op::Sign, V + 2),
                (Op::Digest, V + 31),
                (Op::Hmac, V + 32),
                (Op::KeyGen, V + 40),
                (Op::Ecb, V + 41),
                (Op::KeyWrap, V + 41),
                (Op::Cbc, V + 42),
                (Op::CbcPad, V + 43),
                (Op::Mac, V + 47),
                (Op::Seal, V + 61),
                (Op::Open, V + 62),
            ],
        ),
        "softhsm2" => (
            [0x1F, 0x1F, 0x3, 0x0],
            &[
                (Op::SealPairGen, 0x0),
                (Op::Seal, 0x9),
                (Op::Open, 0x9),
                (Op::Digest, 0x250),
                (Op::Hmac, 0x251),
                (Op::PairGen, 0x1040),
                (Op::Sign, 0x1041),
                (Op::KeyGen, 0x1080),
                (Op::Ecb, 0x1081),
                (Op::Cbc, 0x1082),
                (Op::Mac, 0x1083),
                (Op::CbcPad, 0x1085),
                (Op::Ctr, 0x1086),
                (Op::Gcm, 0x1087),
                (Op::Diversify, 0x1104),
                (Op::KeyWrap, 0x2109),
            ],
        ),
        other => return Err(format!("write the numbers of {other} down here, from its header and not from its map")),
    };
    standard.extend(numbers);
    standard.sort_unstable();
    Ok((types, standard))
}

#[test]
fn every_number_is_the_one_of_the_published_header() {
    for (name, map) in maps() {
        let (types, numbers) = published(&name).unwrap();
        let found = map.key_types();
        assert_eq!([found.block, found.card, found.pair, found.seal], types, "{name}: key types");
        assert_eq!(found.hmac, 0x10, "{name}: CKK_GENERIC_SECRET");
        let mut given: Vec<_> =
            Operation::ALL.into_iter().filter_map(|operation| Some((operation, map.mechanism(operation)?))).collect();
        given.sort_unstable();
        let shown = |rows: &[(Operation, u64)]| -> Vec<String> {
            rows.iter().map(|(operation, number)| format!("{operation:?} {number:#x}")).collect()
        };
        assert_eq!(shown(&given), shown(&numbers), "{name}");
    }
}
