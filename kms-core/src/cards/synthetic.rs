//! Cards of nobody, for demonstrations and tests.
//!
//! Guards: the numbers are valid in form and lie in a region that GB/T 2260 does not have, so that
//! none of them is a citizen's.

use super::{
    CARDS_MAX, CardList, CardListErrors, ValidCardList,
    card_number::{check_character, days_in_month},
};
use crate::digest::Digest;

/// Region code of synthetic cards; no such region exists.
pub const SYNTHETIC_REGION: &str = "999999";

/// Numbers per day: the three-digit sequence of a citizen number.
const NUMBERS_PER_DAY: u32 = 1000;

/// `count` synthetic cards, 1 to [`CARDS_MAX`]; the same seed makes the same cards.
pub fn synthetic(count: u32, seed: u64) -> Result<ValidCardList, CardListErrors> {
    CardList::parse(synthetic_csv(count, seed).as_bytes())
}

/// The CSV of `count` synthetic cards: valid for 1 to [`CARDS_MAX`], refused by the parser beyond.
#[must_use]
pub fn synthetic_csv(count: u32, seed: u64) -> String {
    let mut csv = String::with_capacity(19 + 36 * count.min(CARDS_MAX as u32) as usize);
    csv.push_str("card_number,factor\n");
    let mask = mask(seed);
    let (mut year, mut month, mut day) = (1900, 1, 1);
    for index in 0..count {
        let digits = format!("{SYNTHETIC_REGION}{year:04}{month:02}{day:02}{:03}", index % NUMBERS_PER_DAY);
        let check = char::from(check_character(digits.as_bytes()));
        let high = u32::from_be_bytes([mask[0], mask[1], mask[2], mask[3]]) ^ index.rotate_left(16);
        // First byte 80 to BF: neither blank nor ASCII, so always a card factor. The low half counts
        // under a mask, so no two are equal.
        let high = high & 0x3FFF_FFFF | 0x8000_0000;
        let low = u32::from_be_bytes([mask[4], mask[5], mask[6], mask[7]]) ^ index;
        csv.push_str(&format!("{digits}{check},{high:08x}{low:08x}\n"));
        if index % NUMBERS_PER_DAY == NUMBERS_PER_DAY - 1 {
            (year, month, day) = next_day(year, month, day);
        }
    }
    csv
}

fn mask(seed: u64) -> [u8; 8] {
    let mut mask = [0; 8];
    mask.copy_from_slice(&Digest::of_parts(&[b"KMS-SYNTHETIC/1", &seed.to_be_bytes()]).as_bytes()[..8]);
    mask
}

const fn next_day(year: u32, month: u32, day: u32) -> (u32, u32, u32) {
    if day < days_in_month(year, month) {
        (year, month, day + 1)
    } else if month < 12 {
        (year, month + 1, 1)
    } else {
        (year + 1, 1, 1)
    }
}
