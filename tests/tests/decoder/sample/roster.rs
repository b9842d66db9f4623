//! Who is put on a roster and off it, and other rules.

use kms_core::digest::Digest;
use kms_core::document::Enrolment;
use kms_core::encoding::Document as _;
use kms_core::id::PersonId;
use kms_core::plan::{
    ChangePersonKey, ChangePolicy, EnrolPerson, Person, QuorumRule, RevocationReason, RevokePerson, Role, Step,
};
use kms_core::sm2::SecretKey;

use super::{octets, origin};

fn person() -> PersonId {
    PersonId::new("zhao-min").unwrap()
}

pub(super) fn steps() -> Vec<Step> {
    let reasons = [
        RevocationReason::Left,
        RevocationReason::KeyLost,
        RevocationReason::KeyCompromised,
        RevocationReason::Misconduct,
    ];
    let revocations = reasons.map(|reason| Step::RevokePerson(RevokePerson { person: person(), reason }));
    let rule =
        QuorumRule { operation: "genesis".to_owned(), approvals: 3, validity_ms: 86_400_000, max_log_span: 1000 };
    let mut steps = vec![
        Step::EnrolPerson(EnrolPerson { person: person(), enrolment: octets(&[4; 300]) }),
        Step::ChangePersonKey(ChangePersonKey {
            person: person(),
            reason: RevocationReason::KeyLost,
            enrolment: octets(&[5; 300]),
        }),
        Step::ChangePolicy(ChangePolicy {
            policy: Digest::of(b"rules"),
            rules: vec![rule],
            cards_max: 1_000_000,
            chunk_cards: 1000,
        }),
    ];
    steps.extend(revocations);
    steps
}

pub(super) fn enrolment(key: &SecretKey) -> Enrolment {
    let person = Person { id: person(), name: "赵敏".to_owned(), role: Role::System, key: *key.public() };
    Enrolment { label: Enrolment::LABEL.to_owned(), origin: origin(), person, created_ms: 1 }
}
