//! After derive, wrap, destroy nothing of a card key stays in the memory of the process.

use std::{
    collections::HashSet,
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
};

use cryptoki_sys::*;
use sm4::cipher::{BlockCipherEncrypt, KeyInit};

use crate::{
    harness::*,
    roles::{card, deriving, kek, known},
};

const CARDS: usize = 200;
const WINDOW: usize = 8;
const ROOT: [u8; 16] = *b"memory-test-root";

/// The card key of `number`, worked out outside the token. Not called before memory has been written to the file.
fn card_key(number: usize) -> [u8; 16] {
    let mut block = block(number).into();
    sm4::Sm4::new(&ROOT.into()).encrypt_block(&mut block);
    block.into()
}

fn block(number: usize) -> [u8; 16] {
    let factor = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let mut block = [0; 16];
    block[..8].copy_from_slice(&factor);
    (8..16).for_each(|at| block[at] = !factor[at - 8]);
    block
}

/// Writes all readable and writable memory of this process to a file, in small steps.
fn dump(to: &mut File) {
    let mut memory = File::open("/proc/self/mem").unwrap();
    let maps: Vec<String> =
        BufReader::new(File::open("/proc/self/maps").unwrap()).lines().map(Result::unwrap).collect();
    let mut step = [0; 4096];
    for map in maps.iter().filter(|map| map.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw"))) {
        let (from, until) = map.split(' ').next().unwrap().split_once('-').unwrap();
        let (from, until) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(until, 16).unwrap());
        memory.seek(SeekFrom::Start(from)).unwrap();
        for _ in 0..(until - from) / 4096 {
            if memory.read_exact(&mut step).is_err() {
                break;
            }
            to.write_all(&step).unwrap();
        }
    }
}

#[test]
fn no_card_key_stays_in_memory() {
    if !alone("memory::no_card_key_stays_in_memory") {
        return;
    }
    let s = fresh_token();
    s.login(CKU_SO, SO_PIN).unwrap();
    s.generate(&kek("kek")).unwrap();
    s.become_(CKU_USER);
    let kek = s.by_id("kek")[0];
    let pins = [A::T(CKA_DERIVE_TEMPLATE, card()), A::M(vec![DIVERSIFY])];
    let master = s.create(&with(&known(&ROOT, &[CKA_DERIVE]), &pins)).unwrap();
    assert!(deriving(card(), false).len() > pins.len());
    for number in 0..CARDS {
        let key = s.derive(master, &block(number), &[]).unwrap();
        s.wrap(KEY_WRAP, kek, key).unwrap();
        s.get(key, CKA_CHECK_VALUE).unwrap();
        s.destroy(key).unwrap();
    }
    // The positive control: a key that stays is found.
    let forgotten = s.derive(master, &block(CARDS), &[]).unwrap();

    let mut file = tempfile::tempfile().unwrap();
    dump(&mut file);
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut memory = Vec::new();
    file.read_to_end(&mut memory).unwrap();
    let windows: HashSet<[u8; WINDOW]> = (0..CARDS)
        .flat_map(|number| card_key(number).windows(WINDOW).map(|w| w.try_into().unwrap()).collect::<Vec<_>>())
        .collect();
    let control = card_key(CARDS);
    assert!(memory.windows(16).any(|window| window == control), "the control was not found: the scan is blind");
    let hits = memory.windows(WINDOW).filter(|window| windows.contains(*window)).count();
    assert_eq!(hits, 0, "{hits} windows of destroyed card keys in {} bytes", memory.len());
    s.destroy(forgotten).unwrap();
}
