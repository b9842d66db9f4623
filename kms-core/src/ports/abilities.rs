//! What a make of HSM can do, and what it makes of a wrapped key.

use crate::suite::{CardAlgorithm, KeyWrap, Suite, WRAPPED_BYTES_MAX};

/// What an HSM can do, as its vendor map says: known without a call to the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Its family of algorithms.
    pub suite: Suite,
    /// What its masters and card keys are.
    pub cards: CardAlgorithm,
    /// How it wraps card keys.
    pub wrap: KeyWrap,
    /// Can it combine root components (XOR of keys) and diversify masters from the seed?
    pub components: bool,
    /// Does it show check values of keys it unwrapped? Without it a delivered key is vouched for by its seal and
    /// the signature over it alone.
    pub unwrapped_kcv: bool,
}

impl Abilities {
    /// Can ceremonies with custodians be held? Their programs compute the check value of a component in software, which
    /// nobody can for SM1.
    pub fn holds_component_ceremonies(&self) -> bool {
        self.components && self.cards == CardAlgorithm::Sm4
    }
}

/// A wrapped card key of the length that its wrap makes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wrapped {
    wrap: KeyWrap,
    bytes: [u8; WRAPPED_BYTES_MAX],
}

impl Wrapped {
    /// `None` when the length is not that of the wrap.
    pub fn new(wrap: KeyWrap, blob: &[u8]) -> Option<Self> {
        let mut bytes = [0; WRAPPED_BYTES_MAX];
        let fits = blob.len() == wrap.wrapped_bytes();
        bytes.get_mut(..blob.len()).filter(|_| fits)?.copy_from_slice(blob);
        Some(Self { wrap, bytes })
    }

    /// How it was wrapped.
    pub const fn wrap(&self) -> KeyWrap {
        self.wrap
    }

    /// The blob.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.wrap.wrapped_bytes()).unwrap_or_default()
    }
}

impl std::fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wrapped({}, {:02x?})", self.wrap, self.as_bytes())
    }
}
