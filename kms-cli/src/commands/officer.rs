//! `kms officer`: the key that speaks for a person.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kms_core::id::PersonId;

use crate::console;
use crate::failure::{Failure, Outcome};
use crate::identity;

/// Keys of officers and auditors
#[derive(Subcommand, Debug)]
pub(crate) enum Officer {
    /// Make an SM2 key pair: an encrypted private key file and a public one
    Keygen(Keygen),
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
