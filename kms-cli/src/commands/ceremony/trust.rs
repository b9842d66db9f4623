//! `kms ceremony trust`: the security officer's station beside the HSM.
//!
//! The SO PIN never reaches the server. Guards: nothing is made TRUSTED unless the key log, verified
//! here from the officer's own trust anchor, shows that this very plan is authorised and its INTENT
//! is recorded; what is made carries the ids of the plan.

use std::path::PathBuf;

use clap::Args;
use kms_core::digest::Digest;
use kms_core::document::{BureauApplication, TrustAnchor};
use kms_core::encoding::{self, Signed};
use kms_core::id::PlanId;
use kms_core::plan::{Step, TrustBureau, TrustProvince};
use kms_core::ports::SecurityOfficerToken;
use kms_core::state::{State, StepState};
use kms_hsm::SoClient;

use crate::client::ServerOptions;
use crate::commands::anchor;
use crate::commands::witness::FetchedLog;
use crate::console;
use crate::evidence::Export;
use crate::failure::{Failure, Outcome};
use crate::identity::now_ms;
use crate::plans::ReadPlan;
use crate::token::{self, NamedToken, TokenOptions};

/// Options of `kms ceremony trust`.
#[derive(Args, Debug)]
pub(crate) struct Trust {
    /// Plan id (64 hexadecimal digits)
    id: Digest,
    #[command(flatten)]
    server: ServerOptions,
    /// A log export carried by hand instead of the server: entirely offline
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
    /// Your own copy of the instance's trust anchor
    #[arg(long, value_name = "FILE")]
    anchor: PathBuf,
    #[command(flatten)]
    token: TokenOptions,
    /// File with the SO PIN (mode 600); asked for when absent
    #[arg(long, value_name = "FILE")]
    so_pin_file: Option<PathBuf>,
    /// Say yes beforehand to exactly this plan id (for scripts)
    #[arg(long, value_name = "HEX")]
    yes_digest: Option<Digest>,
}

impl Trust {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        let trusted = anchor::read(&self.anchor)?;
        let named = self.token.named(&self.server.config.read()?)?;
        let report = match &self.export {
            None => FetchedLog::fetch(&self.server.connect()?)?.audit(&trusted.bytes)?,
            Some(folder) => Export::read(folder)?.audit(&trusted.bytes, None).map_err(|failure| {
                Failure::not_verified(format!("the export does not hold: {failure}"), "do nothing; call the auditor")
            })?,
        };
        console::say(&format!(
            "Key log of {} verified: {} entries, root {}.",
            report.anchor.origin, report.size, report.root
        ));
        console::digest("your trust anchor", &Digest::of(&trusted.bytes));
        let (plan, step) = self.open_step(&report.state)?;
        plan.show()?;
        let question =
            format!("Authorised, INTENT recorded. As security officer, make this TRUSTED in token {}.", named.label);
        console::confirm_digest(&plan.digest, self.yes_digest.as_ref(), &question)?;
        self.act(&named, &step)
    }

    /// The step that waits for a security officer, if this plan is authorised now and has one.
    fn open_step(&self, state: &State) -> Outcome<(ReadPlan, Step)> {
        let id = PlanId::from_digest(self.id);
        let refuse = |reason: &dyn std::fmt::Display| {
            Failure::not_verified(
                format!("plan {id} does not allow this now: {reason}"),
                "look at `kms ceremony show`; the next step may be `kms ceremony run`",
            )
        };
        let ceremony = state.ceremony(id).map_err(|violation| refuse(&violation))?;
        let proof = state.authority_to_act(id, now_ms()).map_err(|violation| refuse(&violation))?;
        let persons: Vec<&str> = proof.persons().iter().map(|person| person.as_str()).collect();
        console::say(&format!("Approved by {}.", persons.join(", ")));
        let (number, step) = ceremony.next_step().ok_or_else(|| refuse(&"every step is done"))?;
        if !step.needs_security_officer() {
            return Err(refuse(&format!("its next step, {}, is not for the security officer", step.name())));
        }
        if ceremony.steps.get(number as usize) != Some(&StepState::Intent) {
            return Err(refuse(&"its INTENT is not recorded yet: an officer runs `kms ceremony run` first"));
        }
        let bytes = encoding::encode(&ceremony.plan).map_err(Failure::internal)?;
        Ok((ReadPlan::parse(bytes)?.require(&self.id)?, step.clone()))
    }

    fn act(&self, named: &NamedToken, step: &Step) -> Outcome<()> {
        let pin = token::pin(self.so_pin_file.as_deref(), &format!("SO PIN of token {}", named.label))?;
        let officer = SoClient::new(named.config(pin)).map_err(|reason| token::bad_map(&reason))?;
        match step {
            Step::TrustProvince(trust) => trust_province(&officer, trust),
            Step::TrustBureau(trust) => trust_bureau(&officer, trust),
            other => Err(Failure::internal(format!("{} is not a security officer's step", other.name()))),
        }?;
        console::say(&format!("Done. Now an officer runs: kms ceremony run {}", self.id));
        Ok(())
    }
}

fn trust_province(officer: &impl SecurityOfficerToken, trust: &TrustProvince) -> Outcome<()> {
    let signed = Signed::<TrustAnchor>::parse(trust.anchor.as_bytes()).map_err(Failure::internal)?;
    let key = &signed.unverified_tbs().import_key;
    officer.trust_recipient(trust.recipient, &format!("RECIPIENT province {}", trust.region), key)?;
    console::field(
        "TRUSTED recipient",
        format!("{} = HSM key {} of province {}", trust.recipient, key.id(), trust.region),
    );
    Ok(())
}

fn trust_bureau(officer: &impl SecurityOfficerToken, trust: &TrustBureau) -> Outcome<()> {
    let signed = Signed::<BureauApplication>::parse(trust.application.as_bytes()).map_err(Failure::internal)?;
    let key = &signed.unverified_tbs().hsm_key;
    officer.trust_recipient(trust.recipient, &format!("RECIPIENT bureau {}", trust.bureau), key)?;
    console::field(
        "TRUSTED recipient",
        format!("{} = HSM key {} of bureau {}", trust.recipient, key.id(), trust.bureau),
    );
    let kcv = officer.create_transport_key(trust.kek, &format!("KEK bureau {}", trust.bureau))?;
    console::field("TRUSTED transport key", format!("{} with check value {kcv}", trust.kek));
    Ok(())
}
