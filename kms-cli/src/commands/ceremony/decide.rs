//! `kms ceremony approve`, `reject`, `submit`: online, or carried by hand.

use std::path::{Path, PathBuf};

use clap::Args;
use kms_api::body::CeremonyView;
use kms_core::digest::Digest;
use kms_core::id::PersonId;
use kms_core::plan::{Approval, Decision};

use super::{fetch_plan, officer_id};
use crate::client::ServerOptions;
use crate::commands::view;
use crate::console;
use crate::failure::{Exit, Failure, Outcome};
use crate::files::{self, Access};
use crate::plans::ReadPlan;

/// Options of `kms ceremony approve` and `reject`.
#[derive(Args, Debug)]
pub(crate) struct Decide {
    /// Plan id (64 hexadecimal digits); the bytes shown must have it
    id: Digest,
    #[command(flatten)]
    server: ServerOptions,
    /// Say yes beforehand to exactly this plan id (for scripts)
    #[arg(long, value_name = "HEX")]
    yes_digest: Option<Digest>,
    /// Decide offline: the plan is in this file
    #[arg(long, value_name = "FILE", requires_all = ["officer", "out"])]
    plan: Option<PathBuf>,
    /// Offline: your id on the roster
    #[arg(long, value_name = "ID", requires = "plan")]
    officer: Option<PersonId>,
    /// Offline: where the signed decision goes, for `kms ceremony submit`
    #[arg(long, value_name = "FILE", requires = "plan")]
    out: Option<PathBuf>,
}

/// Options of `kms ceremony submit`.
#[derive(Args, Debug)]
pub(crate) struct SubmitDecision {
    /// The signed decision
    decision: PathBuf,
    #[command(flatten)]
    server: ServerOptions,
}

impl Decide {
    /// Runs the command.
    pub(crate) fn run(&self, decision: Decision) -> Outcome<()> {
        match (&self.plan, &self.officer, &self.out) {
            (Some(plan), Some(officer), Some(out)) => self.offline(decision, plan, officer, out),
            (None, None, None) => self.online(decision),
            _ => Err(Failure::new(
                Exit::Usage,
                "--plan, --officer and --out belong together",
                "give all three, or none of them",
            )),
        }
    }

    fn online(&self, decision: Decision) -> Outcome<()> {
        let client = self.server.connect()?;
        let plan = fetch_plan(&client, &self.id)?;
        plan.show()?;
        self.require_signable(&plan, decision)?;
        let officer = officer_id(&client)?;
        let signed = plan.decide(officer, client.key()?, decision, self.yes_digest.as_ref())?;
        let ceremony: CeremonyView =
            client.post_der(&format!("/v1/ceremonies/{}/decisions", self.id), signed.bytes())?;
        view::ceremony(&ceremony);
        Ok(())
    }

    fn offline(&self, decision: Decision, plan: &Path, officer: &PersonId, out: &Path) -> Outcome<()> {
        let plan = ReadPlan::read(plan)?.require(&self.id)?;
        plan.show()?;
        self.require_signable(&plan, decision)?;
        let key = self.server.key.open()?;
        let signed = plan.decide(officer.clone(), &key, decision, self.yes_digest.as_ref())?;
        files::write_new(out, signed.bytes(), Access::Anyone)?;
        console::say(&format!("Signed. Hand it in with: kms ceremony submit {}", out.display()));
        Ok(())
    }

    /// A plan nobody understands can be rejected, never approved.
    fn require_signable(&self, plan: &ReadPlan, decision: Decision) -> Outcome<()> {
        match decision {
            Decision::Approve => plan.require_known_operation(),
            Decision::Reject => Ok(()),
        }
    }
}

impl SubmitDecision {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        let signed = files::read_signed::<Approval>(&self.decision)?;
        let plan = signed.unverified_tbs().plan;
        let ceremony: CeremonyView =
            self.server.connect()?.post_der(&format!("/v1/ceremonies/{plan}/decisions"), signed.bytes())?;
        view::ceremony(&ceremony);
        Ok(())
    }
}
