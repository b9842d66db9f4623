//! Rules of ceremonies and batches: how many approvals an operation needs, how long a plan lives, how
//! large a batch may be.
//!
//! Not the file form (that is in `kms-api`) and not the counting (see [`crate::state::State::authority`]). Guards:
//! every operation has a rule; no rule asks for fewer than two approvals; all durations and sizes lie
//! within named limits.

use std::collections::BTreeMap;

use crate::digest::Digest;

/// Fewest approvals of any operation: no single-person control.
pub const APPROVALS_MIN: u8 = 2;

/// Most approvals of any operation.
pub const APPROVALS_MAX: u8 = 16;

/// Shortest life of a plan: an hour, or nobody can meet.
pub const VALIDITY_MS_MIN: u64 = 60 * 60 * 1000;

/// Longest life of a plan: ninety days.
pub const VALIDITY_MS_MAX: u64 = 90 * 24 * 60 * 60 * 1000;

/// Most log entries that a plan may be behind.
pub const LOG_SPAN_MAX: u64 = 10_000_000;

/// Most cards of a batch, by any policy.
pub const BATCH_CARDS_MAX: u32 = 1_000_000;

/// Most cards of a chunk, by any policy: one chunk is one HSM request.
pub const CHUNK_CARDS_MAX: u32 = 1_000;

/// Longest name of a hardware token model, in bytes; PKCS#11 has 16 characters for it.
pub const TOKEN_MODEL_BYTES_MAX: usize = 64;

/// Longest time for which a weakness of the token is accepted: a year, then officers look again.
pub const RISK_MS_MAX: u64 = 366 * 24 * 60 * 60 * 1000;

/// Longest reason for accepting a weakness, in bytes.
pub const RISK_REASON_BYTES_MAX: usize = 1000;

/// Beginnings of the `model` of software tokens: such a token keeps no key from whoever holds the host,
/// so it never holds the keys of a production instance, whatever it passes and whatever a file says.
pub const SOFTWARE_MODELS: [&str; 2] = ["hsm-sim", "SoftHSM"];

/// Is this the `model` of a software token?
#[must_use]
pub fn is_software_model(model: &str) -> bool {
    SOFTWARE_MODELS.iter().any(|software| model.starts_with(software))
}

/// What a ceremony does.
// Stored format: the names stand in plans and policy files and are never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Live with known weaknesses of the token for a time.
    AcceptRisk,
    /// Allow a batch of card keys to be made.
    AuthoriseBatch,
    /// Give a person on the roster another key.
    ChangePersonKey,
    /// Put other rules in force.
    ChangePolicy,
    /// Make the national masters of a profile.
    CreateRoots,
    /// Diversify the masters of a profile for a province and seal them to its HSM.
    DeriveProvince,
    /// Put a person on the roster.
    EnrolPerson,
    /// Found an instance.
    Genesis,
    /// Take in masters sealed by the nation.
    ImportMasters,
    /// Trust the nation's keys.
    PairNation,
    /// Trust a province's keys.
    PairProvince,
    /// Trust a bureau's keys and make its transport key.
    RegisterBureau,
    /// Take a person off the roster.
    RevokePerson,
}

impl Operation {
    /// Every operation, in the order of their names.
    pub const ALL: [Self; 13] = [
        Self::AcceptRisk,
        Self::AuthoriseBatch,
        Self::ChangePersonKey,
        Self::ChangePolicy,
        Self::CreateRoots,
        Self::DeriveProvince,
        Self::EnrolPerson,
        Self::Genesis,
        Self::ImportMasters,
        Self::PairNation,
        Self::PairProvince,
        Self::RegisterBureau,
        Self::RevokePerson,
    ];

    /// The name in plans and policy files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AcceptRisk => "accept-risk",
            Self::AuthoriseBatch => "authorise-batch",
            Self::ChangePersonKey => "change-person-key",
            Self::ChangePolicy => "change-policy",
            Self::CreateRoots => "create-roots",
            Self::DeriveProvince => "derive-province",
            Self::EnrolPerson => "enrol-person",
            Self::Genesis => "genesis",
            Self::ImportMasters => "import-masters",
            Self::PairNation => "pair-nation",
            Self::PairProvince => "pair-province",
            Self::RegisterBureau => "register-bureau",
            Self::RevokePerson => "revoke-person",
        }
    }

    /// Is it about who decides rather than about keys? A system administrator may ask for such a change; they never
    /// approve one.
    #[must_use]
    pub const fn is_about_people(self) -> bool {
        matches!(self, Self::ChangePersonKey | Self::ChangePolicy | Self::EnrolPerson | Self::RevokePerson)
    }

    /// The operation with this [`Self::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What one operation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Distinct persons other than the requester.
    pub approvals: u8,
    /// Longest time from freezing a plan to its last step, in milliseconds.
    pub validity_ms: u64,
    /// Most log entries from freezing a plan to its last step.
    pub max_log_span: u64,
}

/// What a batch may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchRules {
    /// Most cards of one batch.
    pub cards_max: u32,
    /// Cards of one chunk; the last one may have fewer.
    pub chunk_cards: u32,
}

/// Which tokens may hold the keys of a production instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductionTokens {
    /// Accepted `model` fields of CK_TOKEN_INFO; never the software token's.
    pub models: Vec<String>,
}

impl ProductionTokens {
    /// May a token of this model hold the keys of a production instance?
    #[must_use]
    pub fn accepts(&self, model: &str) -> bool {
        !is_software_model(model) && self.models.iter().any(|accepted| accepted == model)
    }
}

/// The content of a policy file before it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CeremonyPolicyParts {
    /// One rule per operation.
    pub rules: BTreeMap<Operation, Rule>,
    /// Batch limits.
    pub batch: BatchRules,
    /// Tokens of production instances.
    pub production: ProductionTokens,
}

/// The ceremony policy of an instance, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CeremonyPolicy {
    parts: CeremonyPolicyParts,
    digest: Digest,
}

impl CeremonyPolicy {
    /// Checks everything; the error lists all that is wrong. `digest` is SM3 of the file's bytes.
    pub fn from_parts(parts: CeremonyPolicyParts, digest: Digest) -> Result<Self, Vec<PolicyViolation>> {
        let mut found = Vec::new();
        for operation in Operation::ALL {
            match parts.rules.get(&operation) {
                Some(rule) => check_rule(operation, rule, &mut found),
                None => found.push(PolicyViolation::MissingRule { operation }),
            }
        }
        check_batch(&parts.batch, &mut found);
        let length_bad = |model: &&String| model.is_empty() || model.len() > TOKEN_MODEL_BYTES_MAX;
        if parts.production.models.iter().any(|model| length_bad(&model)) {
            found.push(PolicyViolation::TokenModel);
        }
        if parts.production.models.iter().any(|model| is_software_model(model)) {
            found.push(PolicyViolation::SoftwareModel);
        }
        if found.is_empty() { Ok(Self { parts, digest }) } else { Err(found) }
    }

    /// The rule of an operation.
    #[must_use]
    pub fn rule(&self, operation: Operation) -> Rule {
        // `from_parts` saw one rule per operation; the strictest stands in for the impossible.
        let strictest = Rule { approvals: APPROVALS_MAX, validity_ms: VALIDITY_MS_MIN, max_log_span: 1 };
        self.parts.rules.get(&operation).copied().unwrap_or(strictest)
    }

    /// All rules, in the order of their names.
    pub fn rules(&self) -> impl Iterator<Item = (Operation, Rule)> {
        self.parts.rules.iter().map(|(operation, rule)| (*operation, *rule))
    }

    /// Batch limits.
    #[must_use]
    pub const fn batch(&self) -> BatchRules {
        self.parts.batch
    }

    /// Tokens that may hold the keys of a production instance.
    #[must_use]
    pub const fn production(&self) -> &ProductionTokens {
        &self.parts.production
    }

    /// SM3 of the file.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

fn check_rule(operation: Operation, rule: &Rule, found: &mut Vec<PolicyViolation>) {
    if !(APPROVALS_MIN..=APPROVALS_MAX).contains(&rule.approvals) {
        found.push(PolicyViolation::Approvals { operation, found: rule.approvals });
    }
    if !(VALIDITY_MS_MIN..=VALIDITY_MS_MAX).contains(&rule.validity_ms) {
        found.push(PolicyViolation::Validity { operation, found_ms: rule.validity_ms });
    }
    if !(1..=LOG_SPAN_MAX).contains(&rule.max_log_span) {
        found.push(PolicyViolation::LogSpan { operation, found: rule.max_log_span });
    }
}

fn check_batch(batch: &BatchRules, found: &mut Vec<PolicyViolation>) {
    if !(1..=BATCH_CARDS_MAX).contains(&batch.cards_max) {
        found.push(PolicyViolation::BatchCards { found: batch.cards_max });
    }
    if !(1..=CHUNK_CARDS_MAX).contains(&batch.chunk_cards) {
        found.push(PolicyViolation::ChunkCards { found: batch.chunk_cards });
    }
}

/// What is wrong with a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyViolation {
    /// Fewer than two, or more than anyone can gather.
    #[error("{operation}: {found} approvals, {APPROVALS_MIN} to {APPROVALS_MAX} are allowed")]
    Approvals {
        /// Whose rule.
        operation: Operation,
        /// In the file.
        found: u8,
    },
    /// No cards, or too many.
    #[error("batch: cards_max is {found}, 1 to {BATCH_CARDS_MAX} are allowed")]
    BatchCards {
        /// In the file.
        found: u32,
    },
    /// No cards, or too many.
    #[error("batch: chunk_cards is {found}, 1 to {CHUNK_CARDS_MAX} are allowed")]
    ChunkCards {
        /// In the file.
        found: u32,
    },
    /// No entries, or too many.
    #[error("{operation}: max_log_span is {found}, 1 to {LOG_SPAN_MAX} are allowed")]
    LogSpan {
        /// Whose rule.
        operation: Operation,
        /// In the file.
        found: u64,
    },
    /// No rule.
    #[error("{operation}: there is no rule")]
    MissingRule {
        /// Whose rule.
        operation: Operation,
    },
    /// A software token on the list of hardware.
    #[error("production: a software token ({}) never holds the keys of a production instance", SOFTWARE_MODELS.join(", "))]
    SoftwareModel,
    /// An empty or overlong model name.
    #[error("production: a token model has 1 to {TOKEN_MODEL_BYTES_MAX} bytes")]
    TokenModel,
    /// Too short or too long.
    #[error("{operation}: a plan lives {found_ms} ms, {VALIDITY_MS_MIN} to {VALIDITY_MS_MAX} are allowed")]
    Validity {
        /// Whose rule.
        operation: Operation,
        /// In the file.
        found_ms: u64,
    },
}

impl PolicyViolation {
    /// The operation that the rule is about; `None` for the rest of the policy.
    #[must_use]
    pub const fn operation(&self) -> Option<Operation> {
        match self {
            Self::Approvals { operation, .. }
            | Self::LogSpan { operation, .. }
            | Self::MissingRule { operation }
            | Self::Validity { operation, .. } => Some(*operation),
            Self::BatchCards { .. } | Self::ChunkCards { .. } | Self::SoftwareModel | Self::TokenModel => None,
        }
    }
}
