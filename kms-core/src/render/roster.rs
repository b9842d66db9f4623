//! Roster and policy in words.

use super::{Page, key_words, role};
use crate::document::Enrolment;
use crate::encoding::{EncodingError, Signed};
use crate::plan::{ChangePersonKey, ChangePolicy, EnrolPerson, QuorumRule, RevokePerson};

impl Page {
    pub(super) fn enrol(&mut self, step: &EnrolPerson) -> Result<(), EncodingError> {
        self.enrolment(step.enrolment.as_bytes())
    }

    pub(super) fn revoke(&mut self, step: &RevokePerson) {
        self.line("person", step.person.to_string());
        self.line("reason", step.reason.name());
        self.line("effect", "counts no more from that entry on, in open ceremonies too; the id is never used again");
    }

    pub(super) fn change_key(&mut self, step: &ChangePersonKey) -> Result<(), EncodingError> {
        self.line("reason", step.reason.name());
        self.line("effect", "approvals given with the old key count no more in open ceremonies");
        self.enrolment(step.enrolment.as_bytes())
    }

    pub(super) fn change_policy(&mut self, step: &ChangePolicy) {
        self.line("policy file (SM3)", step.policy.to_string());
        step.rules.iter().for_each(|rule| self.rule(rule));
        self.line("largest batch", format!("{} cards, in chunks of {}", step.cards_max, step.chunk_cards));
        self.line("effect", "open plans keep the larger of their own number of approvals and the new one");
    }

    pub(super) fn rule(&mut self, rule: &QuorumRule) {
        let days = rule.validity_ms / 86_400_000;
        let hours = rule.validity_ms % 86_400_000 / 3_600_000;
        let value = format!(
            "{}: {} approvals, valid at most {days} d {hours} h ({} ms), log may grow by {}",
            rule.operation, rule.approvals, rule.validity_ms, rule.max_log_span
        );
        self.line("rule", value);
    }

    fn enrolment(&mut self, bytes: &[u8]) -> Result<(), EncodingError> {
        let signed = Signed::<Enrolment>::parse(bytes)?;
        let person = &signed.unverified_tbs().person;
        self.line("person", format!("{} ({})", person.id, person.name));
        self.line("role", role(person.role));
        key_words(self, "their key", &person.key.id());
        Ok(())
    }
}
