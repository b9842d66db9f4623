//! The PGP word list: bytes as words that two people can read to each other over a telephone.
//!
//! Published by Patrick Juola and Philip Zimmermann in 1995 (PGPfone Owner's Manual, appendix C):
//! 256 words of two syllables for even byte positions, 256 of three syllables for odd ones, so that a
//! dropped, doubled or exchanged word is heard. Not a password scheme and not a checksum: words are
//! as many bits as the bytes they stand for. Guards: encoding and decoding are each other's inverse.

mod tables;

use tables::{THREE_SYLLABLES, TWO_SYLLABLES};

/// The word for `byte` at `position` (0-based).
#[must_use]
pub fn word(position: usize, byte: u8) -> &'static str {
    table(position)[usize::from(byte)]
}

/// One word per byte.
#[must_use]
pub fn encode(bytes: &[u8]) -> Vec<&'static str> {
    bytes.iter().enumerate().map(|(position, byte)| word(position, *byte)).collect()
}

/// Bytes from words, letter case ignored. Refuses unknown words and words of the other table, which
/// is how a dropped, doubled or exchanged word shows.
pub fn decode(words: &[&str]) -> Result<Vec<u8>, WordError> {
    words.iter().enumerate().map(|(position, word)| byte(position, word)).collect()
}

/// Why words are not a spelling of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// The word stands in neither table.
    #[error("word {} is not in the PGP word list", .position + 1)]
    Unknown {
        /// 0-based.
        position: usize,
    },
    /// A two-syllable word where a three-syllable word belongs, or the reverse.
    #[error("word {} belongs to the other syllable count: a word was dropped, doubled or exchanged", .position + 1)]
    WrongParity {
        /// 0-based.
        position: usize,
    },
}

fn table(position: usize) -> &'static [&'static str; 256] {
    if position.is_multiple_of(2) { &TWO_SYLLABLES } else { &THREE_SYLLABLES }
}

fn byte(position: usize, word: &str) -> Result<u8, WordError> {
    if let Some(byte) = find(table(position), word) {
        return Ok(byte);
    }
    match find(table(position + 1), word) {
        Some(_) => Err(WordError::WrongParity { position }),
        None => Err(WordError::Unknown { position }),
    }
}

fn find(table: &[&str; 256], word: &str) -> Option<u8> {
    (0..=u8::MAX).find(|byte| table[usize::from(*byte)].eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fingerprint example that came with PGP and is quoted wherever the list is explained.
    #[test]
    fn published_example() {
        let bytes = [
            0xE5, 0x82, 0x94, 0xF2, 0xE9, 0xA2, 0x27, 0x48, 0x6E, 0x8B, 0x06, 0x1B, 0x31, 0xCC, 0x52, 0x8F, 0xD7, 0xFA,
            0x3F, 0x19,
        ];
        let words = "topmost Istanbul Pluto vagabond treadmill Pacific brackish dictator goldfish Medusa afflict \
                     bravado chatter revolver Dupont midsummer stopwatch whimsical cowbell bottomless";
        assert_eq!(encode(&bytes).join(" "), words);
        assert_eq!(decode(&words.to_lowercase().split(' ').collect::<Vec<_>>()).unwrap(), bytes);
    }

    #[test]
    fn every_word_once_and_both_ways() {
        let mut all: Vec<String> =
            TWO_SYLLABLES.iter().chain(&THREE_SYLLABLES).map(|word| word.to_lowercase()).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 512);
        for byte in 0..=u8::MAX {
            assert_eq!(decode(&encode(&[byte, byte])).unwrap(), [byte, byte]);
        }
    }

    #[test]
    fn must_be_refused() {
        assert_eq!(decode(&["adroitness"]), Err(WordError::WrongParity { position: 0 }));
        assert_eq!(decode(&["aardvark", "absurd"]), Err(WordError::WrongParity { position: 1 }));
        assert_eq!(decode(&["aardvarks"]), Err(WordError::Unknown { position: 0 }));
        assert_eq!(decode(&[""]), Err(WordError::Unknown { position: 0 }));
    }
}
