//! The file form of the ceremony policy.
// Reviewed format: its version is in `form`.

use std::collections::BTreeMap;

use kms_core::{
    digest::Digest,
    policy::{BatchRules, CeremonyPolicy, CeremonyPolicyParts, Operation, PolicyViolation, ProductionTokens, Rule},
};
use serde::Deserialize;
use toml::Spanned;

use super::{Finding, InvalidDuration, PolicyFileError, check_form, line_of, parse_duration_ms, read};

const FORM: &str = "kms-ceremonies/1";

/// Reads `policies/ceremonies.toml`.
pub fn parse_ceremony_policy(bytes: &[u8]) -> Result<CeremonyPolicy, PolicyFileError<PolicyViolation>> {
    let (text, file) = read::<_, CeremoniesFile>(bytes)?;
    check_form(text, &file.form, FORM)?;
    let lines: BTreeMap<_, _> =
        file.rules.iter().map(|(operation, rule)| (operation.0, line_of(text, rule.approvals.span().start))).collect();
    CeremonyPolicy::from_parts(file.into_parts(), Digest::of(bytes)).map_err(|violations| {
        let line = |violation: &PolicyViolation| lines.get(&violation.operation()?).copied();
        PolicyFileError::Rules(
            violations.into_iter().map(|violation| Finding { line: line(&violation), violation }).collect(),
        )
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CeremoniesFile {
    form: Spanned<String>,
    batch: BatchTable,
    production: ProductionTable,
    rules: BTreeMap<OperationName, RuleTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchTable {
    cards_max: u32,
    chunk_cards: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProductionTable {
    token_models: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    approvals: Spanned<u8>,
    validity: Validity,
    max_log_span: u64,
}

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
struct OperationName(Operation);

impl TryFrom<String> for OperationName {
    type Error = UnknownOperation;

    fn try_from(text: String) -> Result<Self, UnknownOperation> {
        Operation::from_name(&text).map(Self).ok_or(UnknownOperation)
    }
}

/// The table is named after nothing that a ceremony does.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("unknown operation; known are {}", Operation::ALL.map(Operation::name).join(", "))]
struct UnknownOperation;

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Validity {
    ms: u64,
}

impl TryFrom<String> for Validity {
    type Error = InvalidDuration;

    fn try_from(text: String) -> Result<Self, InvalidDuration> {
        parse_duration_ms(&text).map(|ms| Self { ms })
    }
}

impl CeremoniesFile {
    fn into_parts(self) -> CeremonyPolicyParts {
        let rule = |table: RuleTable| Rule {
            approvals: table.approvals.into_inner(),
            validity_ms: table.validity.ms,
            max_log_span: table.max_log_span,
        };
        CeremonyPolicyParts {
            rules: self.rules.into_iter().map(|(operation, table)| (operation.0, rule(table))).collect(),
            batch: BatchRules { cards_max: self.batch.cards_max, chunk_cards: self.batch.chunk_cards },
            production: ProductionTokens { models: self.production.token_models },
        }
    }
}
