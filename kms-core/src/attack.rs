//! The 25 attacks on key management through PKCS#11, in words for people.
//!
//! Not their code (that is the HSM adapter's) and not the decision what follows from an open one
//! ([`crate::state`]). The numbers are stored: they stand in the key log and in plans, and are never
//! given to another attack.

/// Smallest number of an attack.
pub const ATTACK_MIN: u8 = 1;
/// Largest number of an attack.
pub const ATTACK_MAX: u8 = 25;

/// One attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attack {
    /// Number in the battery.
    pub id: u8,
    /// Short name.
    pub name: &'static str,
    /// What is tried.
    pub tried: &'static str,
    /// What a good token does.
    pub expected: &'static str,
    /// What whoever can use the token (its user PIN) gains where it works.
    pub gain: &'static str,
}

impl Attack {
    /// The attack with this number.
    #[must_use]
    pub fn by_number(number: u8) -> Option<&'static Self> {
        ATTACKS.iter().find(|attack| attack.id == number)
    }

    /// Is it a way to card keys in clear out of a master that never leaves (the derivation oracle)?
    #[must_use]
    pub const fn is_derivation_oracle(&self) -> bool {
        matches!(self.id, 10..=15)
    }
}

/// What every derivation oracle gives.
const CARD_KEYS: &str = "card keys in clear, one by one, of every card of the master";
/// What every way out of the token gives.
const ANY_KEY: &str = "every key of the token that may leave wrapped, in clear";

const fn row(id: u8, name: &'static str, tried: &'static str, expected: &'static str, gain: &'static str) -> Attack {
    Attack { id, name, tried, expected, gain }
}

/// The battery.
pub const ATTACKS: &[Attack] = &[
    row(
        1,
        "wrap-decrypt",
        "a key with WRAP and DECRYPT wraps a key and decrypts the blob",
        "no key has both uses",
        ANY_KEY,
    ),
    row(
        2,
        "wrap-decrypt-pair",
        "a key leaves under a public key and is decrypted with its private half",
        "a pair that wraps does not decrypt here",
        ANY_KEY,
    ),
    row(
        3,
        "read-sensitive",
        "read CKA_VALUE of a sensitive key",
        "CKR_ATTRIBUTE_SENSITIVE",
        "every key of the token in clear",
    ),
    row(
        4,
        "read-unextractable",
        "read CKA_VALUE of a key that is neither sensitive nor extractable",
        "CKR_ATTRIBUTE_SENSITIVE",
        "in clear, any key that was made without SENSITIVE",
    ),
    row(
        5,
        "reset-sticky",
        "set SENSITIVE to false, EXTRACTABLE to true, WRAP_WITH_TRUSTED to false",
        "CKR_ATTRIBUTE_READ_ONLY",
        "every key of the token in clear",
    ),
    row(
        6,
        "copy",
        "copy a key with weaker attributes, or with more uses",
        "a copy is never weaker and never does more",
        "a copy of a key that may do what the key may not; the keys of the KMS cannot be copied where COPYABLE holds",
    ),
    row(
        7,
        "known-kek",
        "create a wrapping key of known value and wrap a key under it",
        "created keys do not wrap",
        "in clear, every key that may leave under a key that is not TRUSTED",
    ),
    row(
        8,
        "unwrap-twice",
        "unwrap one blob again with a weaker template",
        "the unwrapping key decides, or the key stays sensitive",
        "in clear, every key that arrives wrapped and whose unwrapping key pins no template",
    ),
    row(
        9,
        "cut-and-paste",
        "unwrap a blob made of the halves of two",
        "blobs are authenticated",
        "keys put together from halves of others, and so found half by half",
    ),
    row(
        10,
        "truncated-children",
        "derive children of 1 to 15 bytes and read their check values",
        "DERIVE_TEMPLATE fixes type and length",
        CARD_KEYS,
    ),
    row(
        11,
        "readable-child",
        "derive a child that is readable, or leaves under any key",
        "DERIVE_TEMPLATE fixes the child's attributes",
        CARD_KEYS,
    ),
    row(
        12,
        "derive-encrypt",
        "a key with DERIVE and ENCRYPT encrypts the derivation block",
        "no key has both uses",
        CARD_KEYS,
    ),
    row(
        13,
        "derive-sign",
        "a key with DERIVE and SIGN makes a one-block MAC of the derivation block",
        "no key has both uses",
        CARD_KEYS,
    ),
    row(
        14,
        "derive-keystream",
        "a key with DERIVE and ENCRYPT gives keystream for a chosen counter",
        "no key has both uses",
        CARD_KEYS,
    ),
    row(
        15,
        "other-derivations",
        "CONCATENATE, XOR_BASE_AND_DATA and EXTRACT_KEY_FROM_KEY on a master",
        "refused or absent",
        "the master itself, piece by piece",
    ),
    row(
        16,
        "contradicting-uses",
        "make a key with WRAP and DECRYPT, or WRAP and UNWRAP",
        "CKR_TEMPLATE_INCONSISTENT",
        "a key that takes others out of the token, see attack 1",
    ),
    row(
        17,
        "padding-oracle",
        "unwrap with padding that tells good from bad: CBC_PAD, PKCS#1 v1.5, damaged sealed keys",
        "no padded unwrap; every damage has one answer",
        "the content of wrapped keys, after some thousand calls",
    ),
    row(
        18,
        "set-trusted",
        "make a key TRUSTED with the user's login",
        "only the security officer can",
        "a wrapping key of one's own under which masters and card keys leave",
    ),
    row(
        19,
        "untrusted-kek",
        "wrap a key with WRAP_WITH_TRUSTED under an untrusted key",
        "CKR_KEY_NOT_WRAPPABLE",
        "masters and card keys, under a key of one's own",
    ),
    row(
        20,
        "wrap-template",
        "wrap a key that WRAP_TEMPLATE excludes",
        "CKR_KEY_NOT_WRAPPABLE",
        "masters under a bureau's transport key",
    ),
    row(
        21,
        "second-identity",
        "store a second key under a class and CKA_ID that are taken",
        "refused",
        "service stopped: two keys under one id are never used",
    ),
    row(
        22,
        "stale-handles",
        "use handles after their session ended, and after logout and login",
        "CKR_OBJECT_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID",
        "keys used by another program of the host after their session ended",
    ),
    row(
        23,
        "pin-tries",
        "try the PIN without end; lock the service out for good",
        "the PIN locks, and the security officer unlocks it without loss",
        "the PIN by trying, or the service stopped for good",
    ),
    row(
        24,
        "fork",
        "use the parent's session and keys in a forked child",
        "CKR_CRYPTOKI_NOT_INITIALIZED",
        "keys used by a child process without a login of its own",
    ),
    row(
        25,
        "chosen-iv",
        "wrap under GCM or CTR with an IV of the caller's choice",
        "the token makes the IV, or does not wrap so",
        ANY_KEY,
    ),
];

/// Are these numbers of attacks, each once, in order?
#[must_use]
pub fn are_numbers(numbers: &[u8]) -> bool {
    let known = numbers.iter().all(|number| (ATTACK_MIN..=ATTACK_MAX).contains(number));
    known && numbers.windows(2).all(|pair| matches!(pair, [a, b] if a < b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_words() {
        assert!(ATTACKS.iter().map(|attack| attack.id).eq(ATTACK_MIN..=ATTACK_MAX));
        assert!(ATTACKS.iter().all(|attack| !attack.gain.is_empty()));
        let oracle: Vec<u8> = ATTACKS.iter().filter(|a| a.is_derivation_oracle()).map(|a| a.id).collect();
        assert_eq!(oracle, [10, 11, 12, 13, 14, 15]);
    }

    #[test]
    fn numbers_are_known_sorted_and_single() {
        assert!(are_numbers(&[]) && are_numbers(&[1, 10, 25]));
        assert!(!are_numbers(&[0]) && !are_numbers(&[26]) && !are_numbers(&[2, 1]) && !are_numbers(&[3, 3]));
    }
}
