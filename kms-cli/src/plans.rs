//! Plans before an officer: read, shown, decided on. Offline; what is shown is a function of exactly
//! the bytes that are signed (I15).

use std::path::Path;

use kms_core::digest::Digest;
use kms_core::encoding::{self, Document, Signed};
use kms_core::id::{PersonId, PlanId};
use kms_core::plan::{Approval, Decision, Plan, Role};
use kms_core::render;
use kms_core::sm2::SecretKey;

use crate::console;
use crate::failure::{Exit, Failure, Outcome};
use crate::files;
use crate::identity::{self, now_ms};

/// A plan and the digest of the very bytes it was read from.
pub(crate) struct ReadPlan {
    /// The plan.
    pub(crate) plan: Plan,
    /// SM3 of its bytes: its id.
    pub(crate) digest: Digest,
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
}

impl ReadPlan {
    /// Parses plan bytes strictly.
    pub(crate) fn parse(bytes: Vec<u8>) -> Outcome<Self> {
        let plan = encoding::decode::<Plan>(&bytes).map_err(|reason| {
            Failure::not_verified(
                format!("this is not a ceremony plan: {reason}"),
                "do not sign it; ask where the file comes from",
            )
        })?;
        Ok(Self { digest: Digest::of(&bytes), plan, bytes })
    }

    /// Reads a plan file.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        Self::parse(files::read(path, Plan::BYTES_MAX)?)
    }

    /// Refuses a plan other than the one that was asked for.
    pub(crate) fn require(self, asked: &Digest) -> Outcome<Self> {
        if self.digest == *asked {
            return Ok(self);
        }
        Err(Failure::not_verified(
            format!("asked for plan {asked}, got {}", self.digest),
            "sign nothing: the server or the file shows another plan than the one you mean",
        ))
    }

    /// Shows every field in words, then the digest in hex and as words.
    pub(crate) fn show(&self) -> Outcome<()> {
        let lines = render::plan(&self.plan).map_err(|reason| {
            Failure::not_verified(
                format!("a document inside the plan cannot be read: {reason}"),
                "do not sign it; ask the requester to propose it again",
            )
        })?;
        console::say("── ceremony plan, decoded from the bytes to be signed ──");
        console::lines(&lines);
        console::digest("plan id (SM3)", &self.digest);
        Ok(())
    }

    /// Refuses to go on with steps that form no known operation.
    pub(crate) fn require_known_operation(&self) -> Outcome<()> {
        self.plan.operation().map(drop).map_err(|reason| {
            Failure::not_verified(
                reason.to_string(),
                "do not sign it; use a kms that knows this operation, or reject the plan",
            )
        })
    }

    /// Signs a decision, after the officer has confirmed the digest.
    pub(crate) fn decide(
        &self,
        officer: PersonId,
        key: &SecretKey,
        decision: Decision,
        yes: Option<&Digest>,
    ) -> Outcome<Signed<Approval>> {
        let verb = match decision {
            Decision::Approve => "approve",
            Decision::Reject => "REJECT",
        };
        console::confirm_digest(&self.digest, yes, &format!("You, {officer}, {verb} the plan shown above."))?;
        let approval = Approval {
            label: Approval::LABEL.to_owned(),
            origin: self.plan.origin.clone(),
            plan: PlanId::from_digest(self.digest),
            officer,
            role: Role::Security,
            decision,
            sequence: now_ms(),
        };
        identity::sign(approval, key)
    }

    /// Who a key belongs to, where the plan itself says so (genesis).
    pub(crate) fn person_of(&self, key: &SecretKey) -> Outcome<PersonId> {
        let people = self.plan.founding().map_or(&[][..], |found| found.people.as_slice());
        let person = people.iter().find(|person| person.key == *key.public());
        person.map(|person| person.id.clone()).ok_or_else(|| {
            Failure::new(
                Exit::Input,
                "this key is not on the roster of the plan",
                "use the key whose public half is in the people file",
            )
        })
    }
}
