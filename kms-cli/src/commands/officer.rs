//! `kms officer`: the key that speaks for a person.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use kms_core::document::Enrolment;
use kms_core::encoding::Document as _;
use kms_core::id::{Origin, PersonId};
use kms_core::plan::{Person, Role};

use crate::console;
use crate::failure::{Failure, Outcome};
use crate::files::{self, Access};
use crate::identity::{self, KeyOptions};

/// Keys of officers and auditors
#[derive(Subcommand, Debug)]
pub(crate) enum Officer {
    /// Make an SM2 key pair: an encrypted private key file and a public one
    Keygen(Keygen),
    /// Apply to be put on a roster, or to have another key there: signed with the key it names
    Enrolment(Enrol),
}

/// Options of `kms officer enrolment`.
#[derive(Args, Debug)]
pub(crate) struct Enrol {
    /// Your id on the roster: lower-case letters, digits, `-` and `.`
    #[arg(long)]
    id: PersonId,
    /// Your name, as reports print it
    #[arg(long)]
    name: String,
    /// What you do there
    #[arg(long, value_enum)]
    role: RoleArg,
    /// Name of the instance's key log, as `kms anchor show` prints it
    #[arg(long)]
    origin: Origin,
    #[command(flatten)]
    key: KeyOptions,
    /// Where the signed enrolment goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Roles on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleArg {
    /// Auditor (审计员)
    Audit,
    /// Security officer (安全管理员)
    Security,
    /// System administrator (系统管理员)
    System,
}

impl Enrol {
    fn run(&self) -> Outcome<()> {
        let key = self.key.open()?;
        let role = match self.role {
            RoleArg::Audit => Role::Audit,
            RoleArg::Security => Role::Security,
            RoleArg::System => Role::System,
        };
        let person = Person { id: self.id.clone(), name: self.name.clone(), role, key: *key.public() };
        let enrolment = Enrolment {
            label: Enrolment::LABEL.to_owned(),
            origin: self.origin.clone(),
            person,
            created_ms: identity::now_ms(),
        };
        let signed = identity::sign(enrolment, &key)?;
        files::write_new(&self.out, signed.bytes(), Access::Anyone)?;
        console::field("person", format!("{} ({})", self.id, self.name));
        console::digest("key id (SM3 of SPKI)", &key.public().id());
        console::field("enrolment", self.out.display());
        console::say("Read the key id aloud to the officers; one of them runs `kms ceremony propose enrol-person`.");
        Ok(())
    }
}

/// Options of `kms officer keygen`.
#[derive(Args, Debug)]
pub(crate) struct Keygen {
    /// Your id on the roster: lower-case letters, digits, `-` and `.`
    #[arg(long)]
    id: PersonId,
    /// Where the private key goes (PEM, encrypted); the public half goes to NAME.pub.pem
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// File with the password (mode 600); asked for twice when absent
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Officer {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        match self {
            Self::Keygen(keygen) => keygen.run(),
            Self::Enrolment(enrol) => enrol.run(),
        }
    }
}

impl Keygen {
    fn run(&self) -> Outcome<()> {
        if self.out.extension().is_none_or(|e| e != "pem") {
            return Err(Failure::input(
                format!("{} does not end in .pem", self.out.display()),
                "choose a name that ends in .pem",
            ));
        }
        let password = identity::new_password(self.password_file.as_deref(), &format!("new password of {}", self.id))?;
        let key = identity::generate()?;
        let public_path = identity::save_key(&key, &self.out, &password)?;
        console::field("person", &self.id);
        console::digest("key id (SM3 of SPKI)", &key.public().id());
        console::field("private key", self.out.display());
        console::field("public key", public_path.display());
        console::say("Keep the private key to yourself; hand the public key to whoever prepares the genesis ceremony.");
        Ok(())
    }
}
