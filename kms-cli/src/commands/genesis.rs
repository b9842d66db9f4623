//! `kms genesis`: founding an instance. The server drafts, every founding officer reads and signs.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use kms_api::body::{CeremonyView, GenesisDraft, GenesisSubmit, PersonDraft, RoleName};
use kms_api::text::{Base64, Text};
use kms_core::digest::Digest;
use kms_core::encoding::Document;
use kms_core::id::PersonId;
use kms_core::plan::{Approval, Decision, Plan};
use serde::Deserialize;

use crate::client::ServerOptions;
use crate::commands::{anchor, view};
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::files::{self, Access};
use crate::identity::KeyOptions;
use crate::plans::ReadPlan;

/// Founding an instance
#[derive(Subcommand, Debug)]
pub(crate) enum Genesis {
    /// Let the server draft the founding plan for these people
    Draft(Draft),
    /// Show a founding plan in words (offline)
    Show {
        /// The plan
        plan: PathBuf,
    },
    /// Read and sign a founding plan (offline)
    Sign(Sign),
    /// Hand in the plan with every founding officer's signature
    Submit(Submit),
}

/// Options of `kms genesis draft`.
#[derive(Args, Debug)]
pub(crate) struct Draft {
    #[command(flatten)]
    server: ServerOptions,
    /// TOML file with [[person]] tables: id, role, name, public_key (a path beside the file)
    #[arg(long, value_name = "FILE", required_unless_present = "person")]
    people: Option<PathBuf>,
    /// One person; role is security, audit or system
    #[arg(long, value_name = "ID:ROLE:NAME:PUBLIC.pem", conflicts_with = "people")]
    person: Vec<String>,
    /// Where the plan goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Options of `kms genesis sign`.
#[derive(Args, Debug)]
pub(crate) struct Sign {
    /// The plan
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    #[command(flatten)]
    key: KeyOptions,
    /// Say yes beforehand to exactly this plan id
    #[arg(long, value_name = "HEX")]
    yes_digest: Option<Digest>,
    /// Where the signed approval goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Options of `kms genesis submit`.
#[derive(Args, Debug)]
pub(crate) struct Submit {
    #[command(flatten)]
    server: ServerOptions,
    /// The plan
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// Signed approvals, one of each founding officer
    #[arg(long, value_name = "FILE", required = true)]
    approval: Vec<PathBuf>,
    /// Where the instance's trust anchor goes
    #[arg(long, value_name = "FILE")]
    anchor: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeopleFile {
    person: Vec<PersonEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonEntry {
    id: String,
    role: RoleName,
    name: String,
    public_key: PathBuf,
}

impl Genesis {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        match self {
            Self::Draft(draft) => draft.run(),
            Self::Show { plan } => ReadPlan::read(plan)?.show(),
            Self::Sign(sign) => sign.run(),
            Self::Submit(submit) => submit.run(),
        }
    }
}

impl Draft {
    fn run(&self) -> Outcome<()> {
        let people = match &self.people {
            Some(file) => read_people(file)?,
            None => self.person.iter().map(|text| parse_person(text)).collect::<Outcome<_>>()?,
        };
        let client = self.server.connect_unsigned()?;
        let bytes = client.post_json_for_bytes("/v1/genesis/draft", &GenesisDraft { people }, Plan::BYTES_MAX)?;
        let plan = ReadPlan::parse(bytes)?;
        files::write_new(&self.out, &plan.bytes, Access::Anyone)?;
        plan.show()?;
        console::field("written to", self.out.display());
        console::say(
            "Next: every security officer of this roster runs `kms genesis sign --plan …` on their own computer.",
        );
        Ok(())
    }
}

impl Sign {
    fn run(&self) -> Outcome<()> {
        let plan = ReadPlan::read(&self.plan)?;
        plan.show()?;
        plan.require_known_operation()?;
        let key = self.key.open()?;
        let officer = plan.person_of(&key)?;
        let approval = plan.decide(officer.clone(), &key, Decision::Approve, self.yes_digest.as_ref())?;
        files::write_new(&self.out, approval.bytes(), Access::Anyone)?;
        console::say(&format!("Signed by {officer}: {}", self.out.display()));
        Ok(())
    }
}

impl Submit {
    fn run(&self) -> Outcome<()> {
        let plan = ReadPlan::read(&self.plan)?;
        let approvals =
            self.approval.iter().map(|path| Ok(Base64(files::read_signed::<Approval>(path)?.bytes().to_vec())));
        let body = GenesisSubmit { plan: Base64(plan.bytes), approvals: approvals.collect::<Outcome<_>>()? };
        let client = self.server.connect_unsigned()?;
        let ceremony: CeremonyView = client.post_json("/v1/genesis", &body)?;
        view::ceremony(&ceremony);
        anchor::fetch(&client, &self.anchor)
    }
}

fn read_people(path: &Path) -> Outcome<Vec<PersonDraft>> {
    let text = files::read_text(path, files::SMALL_FILE_BYTES_MAX)?;
    let file: PeopleFile = toml::from_str(&text).map_err(|reason| {
        Failure::input(format!("{}: {reason}", path.display()), "each [[person]] has id, role, name and public_key")
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    file.person.iter().map(|p| person(&p.id, p.role, &p.name, &folder.join(&p.public_key))).collect()
}

fn parse_person(text: &str) -> Outcome<PersonDraft> {
    let form = || {
        Failure::input(
            format!("{text} is not ID:ROLE:NAME:PUBLIC.pem"),
            "for example li-wei:security:李伟:li-wei.pub.pem",
        )
    };
    let mut parts = text.splitn(4, ':');
    let (Some(id), Some(role), Some(name), Some(path)) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(form());
    };
    let role = match role {
        "security" => RoleName::Security,
        "audit" => RoleName::Audit,
        "system" => RoleName::System,
        _ => return Err(form()),
    };
    person(id, role, name, Path::new(path))
}

fn person(id: &str, role: RoleName, name: &str, public_key: &Path) -> Outcome<PersonDraft> {
    let id = PersonId::new(id)
        .map_err(|reason| Failure::input(reason.to_string(), "ids are lower-case letters, digits, `-` and `.`"))?;
    let key = files::read_public_key(public_key)?;
    Ok(PersonDraft { id: Text(id), name: name.to_owned(), role, public_key_pem: key.to_pem() })
}
