//! Effects on who may decide and under which rules: roster and policy.
//!
//! They take place in the log alone; no HSM is called. Stored format: changing a type here needs a new plan label.

use der::Enumerated;
use der::Sequence;
use der::asn1::OctetString;

use super::QuorumRule;
use crate::digest::Digest;
use crate::id::PersonId;

/// Enrols a person.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct EnrolPerson {
    /// Who, as in the enrolment.
    pub person: PersonId,
    /// Their [`Enrolment`](crate::document::Enrolment), signed with the key it names, whole.
    pub enrolment: OctetString,
}

/// Why a person no longer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[repr(u8)]
pub enum RevocationReason {
    /// Left, or does something else now.
    Left = 0,
    /// The key or its password is lost.
    KeyLost = 1,
    /// Somebody else may have the key.
    KeyCompromised = 2,
    /// Broke the rules.
    Misconduct = 3,
}

impl RevocationReason {
    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::KeyLost => "key lost",
            Self::KeyCompromised => "key compromised",
            Self::Misconduct => "misconduct",
        }
    }
}

/// Takes a person off the roster, for ever: an id is never enrolled again.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct RevokePerson {
    /// Who.
    pub person: PersonId,
    /// Why.
    pub reason: RevocationReason,
}

/// Gives a person on the roster another key. What they approved with the old one counts no more in open plans.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct ChangePersonKey {
    /// Who.
    pub person: PersonId,
    /// Why the old key goes.
    pub reason: RevocationReason,
    /// Their [`Enrolment`](crate::document::Enrolment) with the new key, signed with it, whole.
    pub enrolment: OctetString,
}

/// Puts other rules in the place of those in force, all at once.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct ChangePolicy {
    /// SM3 of the policy file the rules were read from.
    pub policy: Digest,
    /// Quorum rules, sorted by operation name.
    pub rules: Vec<QuorumRule>,
    /// Largest batch in cards.
    pub cards_max: u32,
    /// Cards per chunk.
    pub chunk_cards: u32,
}
