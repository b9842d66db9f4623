//! What the 25 attacks are, for people.

use serde::Serialize;

/// One attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Attack {
    /// Number in the battery.
    pub id: u8,
    /// Short name.
    pub name: &'static str,
    /// What is tried.
    pub tried: &'static str,
    /// What a good token does.
    pub expected: &'static str,
}

const fn row(id: u8, name: &'static str, tried: &'static str, expected: &'static str) -> Attack {
    Attack { id, name, tried, expected }
}

/// The battery.
pub const ATTACKS: &[Attack] = &[
    row(1, "wrap-decrypt", "a key with WRAP and DECRYPT wraps a key and decrypts the blob", "no key has both uses"),
    row(
        2,
        "wrap-decrypt-pair",
        "a key leaves under a public key and is decrypted with its private half",
        "a pair that wraps does not decrypt here",
    ),
    row(3, "read-sensitive", "read CKA_VALUE of a sensitive key", "CKR_ATTRIBUTE_SENSITIVE"),
    row(
        4,
        "read-unextractable",
        "read CKA_VALUE of a key that is neither sensitive nor extractable",
        "CKR_ATTRIBUTE_SENSITIVE",
    ),
    row(
        5,
        "reset-sticky",
        "set SENSITIVE to false, EXTRACTABLE to true, WRAP_WITH_TRUSTED to false",
        "CKR_ATTRIBUTE_READ_ONLY",
    ),
    row(
        6,
        "copy",
        "copy a key with weaker attributes, or with more uses",
        "a copy is never weaker and never does more",
    ),
    row(7, "known-kek", "create a wrapping key of known value and wrap a key under it", "created keys do not wrap"),
    row(
        8,
        "unwrap-twice",
        "unwrap one blob again with a weaker template",
        "the unwrapping key decides, or the key stays sensitive",
    ),
    row(9, "cut-and-paste", "unwrap a blob made of the halves of two", "blobs are authenticated"),
    row(
        10,
        "truncated-children",
        "derive children of 1 to 15 bytes and read their check values",
        "DERIVE_TEMPLATE fixes type and length",
    ),
    row(
        11,
        "readable-child",
        "derive a child that is readable, or leaves under any key",
        "DERIVE_TEMPLATE fixes the child's attributes",
    ),
    row(12, "derive-encrypt", "a key with DERIVE and ENCRYPT encrypts the derivation block", "no key has both uses"),
    row(
        13,
        "derive-sign",
        "a key with DERIVE and SIGN makes a one-block MAC of the derivation block",
        "no key has both uses",
    ),
    row(
        14,
        "derive-keystream",
        "a key with DERIVE and ENCRYPT gives keystream for a chosen counter",
        "no key has both uses",
    ),
    row(
        15,
        "other-derivations",
        "CONCATENATE, XOR_BASE_AND_DATA and EXTRACT_KEY_FROM_KEY on a master",
        "refused or absent",
    ),
    row(16, "contradicting-uses", "make a key with WRAP and DECRYPT, or WRAP and UNWRAP", "CKR_TEMPLATE_INCONSISTENT"),
    row(
        17,
        "padding-oracle",
        "unwrap with padding that tells good from bad: CBC_PAD, PKCS#1 v1.5, damaged sealed keys",
        "no padded unwrap; every damage has one answer",
    ),
    row(18, "set-trusted", "make a key TRUSTED with the user's login", "only the security officer can"),
    row(19, "untrusted-kek", "wrap a key with WRAP_WITH_TRUSTED under an untrusted key", "CKR_KEY_NOT_WRAPPABLE"),
    row(20, "wrap-template", "wrap a key that WRAP_TEMPLATE excludes", "CKR_KEY_NOT_WRAPPABLE"),
    row(21, "second-identity", "store a second key under a class and CKA_ID that are taken", "refused"),
    row(
        22,
        "stale-handles",
        "use handles after their session ended, and after logout and login",
        "CKR_OBJECT_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID",
    ),
    row(
        23,
        "pin-tries",
        "try the PIN without end; lock the service out for good",
        "the PIN locks, and the security officer unlocks it without loss",
    ),
    row(24, "fork", "use the parent's session and keys in a forked child", "CKR_CRYPTOKI_NOT_INITIALIZED"),
    row(
        25,
        "chosen-iv",
        "wrap under GCM or CTR with an IV of the caller's choice",
        "the token makes the IV, or does not wrap so",
    ),
];
