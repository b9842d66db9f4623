//! What is said of tokens: findings, and a risk that is accepted.

use kms_core::event::{Difference, DifferenceKind, Event, TokenAudited, TokenProbed};
use kms_core::plan::{AcceptRisk, Step};

use super::{digest, octets};

pub(super) fn step() -> Step {
    Step::AcceptRisk(AcceptRisk {
        model: "SJJ1012".to_owned(),
        firmware: "1.4".to_owned(),
        map: digest(2),
        attacks: vec![10, 11],
        reason: "新固件年底到货".to_owned(),
        valid_until_ms: u64::MAX,
    })
}

pub(super) fn events() -> [Event; 2] {
    let audited = TokenAudited {
        hsm_serial: "0123456789abcdef".to_owned(),
        snapshot: digest(1),
        objects: 70,
        keys: 66,
        differences: 300,
        differing: [
            (1, DifferenceKind::Missing),
            (2, DifferenceKind::Duplicate),
            (3, DifferenceKind::Wrong),
            (200, DifferenceKind::Unknown),
        ]
        .map(|(id, kind)| Difference { id: octets(&[id; 16]), kind })
        .to_vec(),
    };
    let probed = TokenProbed {
        hsm_serial: "0123456789abcdef".to_owned(),
        model: "SJJ1012".to_owned(),
        firmware: "1.4".to_owned(),
        map: digest(2),
        open: vec![1, 10, 25],
        untried: Vec::new(),
        failed: vec!["digest, known answer".to_owned()],
    };
    [Event::TokenAudited(audited), Event::TokenProbed(probed)]
}
