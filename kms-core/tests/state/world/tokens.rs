//! What the world's server finds in its token, and plans that accept it.

use der::asn1::OctetString;
use kms_core::digest::Digest;
use kms_core::event::{Difference, DifferenceKind, Event, Started, TokenAudited, TokenProbed};
use kms_core::id::{Actor, ObjectId, PersonId};
use kms_core::plan::{AcceptRisk, Plan, Step};
use kms_core::violation::Violation;

use super::World;

impl World {
    /// A plan that accepts attacks which a probe of [`World::probed`] found.
    pub(crate) fn risk_plan(&mut self, requester: &PersonId, attacks: &[u8], valid_ms: u64) -> Plan {
        let probe = probed(attacks);
        let risk = AcceptRisk {
            model: probe.model,
            firmware: probe.firmware,
            map: probe.map,
            attacks: attacks.to_vec(),
            reason: "firmware 2 closes it; ordered".to_owned(),
            valid_until_ms: self.now_ms + valid_ms,
        };
        self.plan(Actor::Person(requester.clone()), vec![Step::AcceptRisk(risk)])
    }

    /// The server came up.
    pub(crate) fn started(&mut self) {
        let started = Started { build: "test".to_owned(), configuration: Digest::of(b"c"), anchor: None };
        self.append(Actor::Own, Event::Started(started)).unwrap();
    }

    /// An audit of the token as the server would log it.
    pub(crate) fn audited(&self, snapshot: &str, differing: &[(ObjectId, DifferenceKind)]) -> TokenAudited {
        let difference = |(id, kind): &(ObjectId, DifferenceKind)| Difference {
            id: OctetString::new(id.as_bytes().as_slice()).unwrap(),
            kind: *kind,
        };
        TokenAudited {
            hsm_serial: "5ec0de".to_owned(),
            snapshot: Digest::of(snapshot.as_bytes()),
            objects: 10,
            keys: u32::try_from(self.state.expected_keys().len()).unwrap(),
            differences: u32::try_from(differing.len()).unwrap(),
            differing: differing.iter().map(difference).collect(),
        }
    }

    pub(crate) fn audit(&mut self, snapshot: &str, differing: &[(ObjectId, DifferenceKind)]) -> Result<(), Violation> {
        let event = self.audited(snapshot, differing);
        self.append(Actor::Own, Event::TokenAudited(event))
    }

    pub(crate) fn probe(&mut self, open: &[u8]) {
        self.append(Actor::Own, Event::TokenProbed(probed(open))).unwrap();
    }
}

/// A probe of the token that found these attacks open.
pub(crate) fn probed(open: &[u8]) -> TokenProbed {
    TokenProbed {
        hsm_serial: "5ec0de".to_owned(),
        model: "SJJ1012".to_owned(),
        firmware: "1.4".to_owned(),
        map: Digest::of(b"map"),
        open: open.to_vec(),
        untried: vec![22, 23, 24],
        failed: Vec::new(),
    }
}
