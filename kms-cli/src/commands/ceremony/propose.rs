//! `kms ceremony propose`: what an officer asks for. The server writes the plan; it is shown here.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use kms_api::body::{CeremonyView, CustodianDraft, Proposal, RevocationReasonName, SealedSource};
use kms_api::text::{Base64, Text};
use kms_core::digest::Digest;
use kms_core::document::{BureauApplication, Enrolment, SealedKeys};
use kms_core::id::{PersonId, ProfileId, RegionCode};
use kms_core::secret::Kcv;

use super::fetch_plan;
use crate::client::ServerOptions;
use crate::commands::{anchor, view};
use crate::console;
use crate::failure::{Exit, Failure, Outcome};
use crate::files::{self, Access};
use crate::identity::now_ms;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Put a plan before the officers
#[derive(Subcommand, Debug)]
pub(crate) enum Propose {
    /// Make the national master keys of a profile
    CreateRoots {
        /// Profile name
        #[arg(long)]
        profile: ProfileId,
        /// A custodian of a root component and its check value; without any, the HSM generates every master
        #[arg(long, value_name = "PERSON=KCV", value_parser = parse_custodian)]
        custodian: Vec<(PersonId, Kcv)>,
        /// The masters may leave the HSM wrapped under a TRUSTED key, ever
        #[arg(long)]
        transferable: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Trust a province: its keys become the recipient of provincial masters (national instance)
    PairProvince {
        /// The province's trust anchor, its digest compared with the province
        #[arg(long, value_name = "FILE")]
        anchor: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Diversify the masters of a profile for a province and seal them to its HSM (national instance)
    DeriveProvince {
        /// Region code of the province
        #[arg(long)]
        region: RegionCode,
        /// Profile name
        #[arg(long)]
        profile: ProfileId,
        #[command(flatten)]
        common: Common,
    },
    /// Trust the nation (provincial instance)
    PairNation {
        /// The nation's trust anchor, its digest compared with the nation
        #[arg(long, value_name = "FILE")]
        anchor: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Import provincial masters (provincial instance)
    ImportMasters {
        /// Profile name
        #[arg(long)]
        profile: ProfileId,
        /// The sealed set, carried by hand
        #[arg(long, value_name = "FILE", conflicts_with = "pulled", required_unless_present = "pulled")]
        sealed: Option<PathBuf>,
        /// SM3 of a sealed set that `kms handover pull` brought
        #[arg(long, value_name = "HEX")]
        pulled: Option<Digest>,
        /// The masters may leave this HSM wrapped again, ever
        #[arg(long)]
        transferable: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Register a bureau: trust its HSM key, make its transport key
    RegisterBureau {
        /// The bureau's signed application, its digest compared with the bureau
        #[arg(long, value_name = "FILE")]
        application: PathBuf,
        /// Days for which batches may be authorised
        #[arg(long, value_name = "DAYS")]
        valid_days: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Live with attacks that work on the server's HSM, for a time
    AcceptRisk {
        /// Attacks by number, as `kms hsm status --server` shows them
        #[arg(long, value_name = "N,N,…", value_delimiter = ',', required = true)]
        attack: Vec<u8>,
        /// Why, in words that the other officers and an auditor can judge
        #[arg(long)]
        reason: String,
        /// Days for which it is accepted
        #[arg(long, value_name = "DAYS")]
        valid_days: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Put a person on the roster
    EnrolPerson {
        /// What `kms officer enrolment` wrote, its key id compared with the person
        #[arg(long, value_name = "FILE")]
        enrolment: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Take a person off the roster, for ever
    RevokePerson {
        /// Who
        #[arg(long)]
        person: PersonId,
        /// Why
        #[arg(long, value_enum)]
        reason: ReasonArg,
        #[command(flatten)]
        common: Common,
    },
    /// Give a person on the roster another key
    ChangePersonKey {
        /// What `kms officer enrolment` wrote with the new key, its key id compared with the person
        #[arg(long, value_name = "FILE")]
        enrolment: PathBuf,
        /// Why the old key goes
        #[arg(long, value_enum)]
        reason: ReasonArg,
        #[command(flatten)]
        common: Common,
    },
    /// Put the rules of the server's policy file in force, under the rules of before
    ChangePolicy {
        #[command(flatten)]
        common: Common,
    },
}

/// Why a person or a key counts no more.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ReasonArg {
    /// Somebody else may have the key
    KeyCompromised,
    /// The key or its password is lost
    KeyLost,
    /// Left, or does something else now
    Left,
    /// Broke the rules
    Misconduct,
}

impl From<ReasonArg> for RevocationReasonName {
    fn from(reason: ReasonArg) -> Self {
        match reason {
            ReasonArg::KeyCompromised => Self::KeyCompromised,
            ReasonArg::KeyLost => Self::KeyLost,
            ReasonArg::Left => Self::Left,
            ReasonArg::Misconduct => Self::Misconduct,
        }
    }
}

/// Options of every proposal.
#[derive(Args, Debug)]
pub(crate) struct Common {
    #[command(flatten)]
    server: ServerOptions,
    /// Where the plan goes, to be carried to officers who sign offline
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// JSON for machines
    #[arg(long)]
    json: bool,
}

impl Propose {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        let (proposal, common) = self.proposal()?;
        let client = common.server.connect()?;
        let ceremony: CeremonyView = client.post_json("/v1/ceremonies", &proposal)?;
        let plan = fetch_plan(&client, &ceremony.plan_id.0)?;
        if let Some(out) = &common.out {
            files::write_new(out, &plan.bytes, Access::Anyone)?;
        }
        if common.json {
            return console::json(&ceremony);
        }
        plan.show()?;
        view::ceremony(&ceremony);
        Ok(())
    }

    fn proposal(&self) -> Outcome<(Proposal, &Common)> {
        Ok(match self {
            Self::CreateRoots { profile, custodian, transferable, common } => {
                require_transferable(custodian.is_empty() || *transferable)?;
                let custodians = custodian
                    .iter()
                    .map(|(person, kcv)| CustodianDraft { person: Text(person.clone()), kcv: Text(*kcv) });
                let custodians = custodians.collect();
                (
                    Proposal::CreateRoots { profile: Text(profile.clone()), custodians, transferable: *transferable },
                    common,
                )
            }
            Self::PairProvince { anchor: file, common } => {
                (Proposal::PairProvince { anchor: Base64(anchor::read(file)?.bytes) }, common)
            }
            Self::DeriveProvince { region, profile, common } => {
                (Proposal::DeriveProvince { region: Text(region.clone()), profile: Text(profile.clone()) }, common)
            }
            Self::PairNation { anchor: file, common } => {
                (Proposal::PairNation { anchor: Base64(anchor::read(file)?.bytes) }, common)
            }
            Self::ImportMasters { profile, sealed, pulled, transferable, common } => {
                require_transferable(*transferable)?;
                let sealed = match (sealed, pulled) {
                    (Some(file), None) => {
                        SealedSource::Bytes(Base64(files::read_signed::<SealedKeys>(file)?.bytes().to_vec()))
                    }
                    (None, Some(digest)) => SealedSource::Digest(Text(*digest)),
                    _ => {
                        return Err(Failure::new(
                            Exit::Usage,
                            "no sealed set was named",
                            "give --sealed FILE or --pulled HEX",
                        ));
                    }
                };
                (
                    Proposal::ImportMasters { sealed, profile: Text(profile.clone()), transferable: *transferable },
                    common,
                )
            }
            Self::RegisterBureau { application, valid_days, common } => {
                let signed = files::read_signed::<BureauApplication>(application)?;
                let valid_until_ms = in_days(*valid_days);
                (Proposal::RegisterBureau { application: Base64(signed.bytes().to_vec()), valid_until_ms }, common)
            }
            Self::AcceptRisk { attack, reason, valid_days, common } => {
                let (attacks, valid_until_ms) = (attack.clone(), in_days(*valid_days));
                (Proposal::AcceptRisk { attacks, reason: reason.clone(), valid_until_ms }, common)
            }
            Self::EnrolPerson { enrolment, common } => {
                (Proposal::EnrolPerson { enrolment: read_enrolment(enrolment)? }, common)
            }
            Self::RevokePerson { person, reason, common } => {
                (Proposal::RevokePerson { person: Text(person.clone()), reason: (*reason).into() }, common)
            }
            Self::ChangePersonKey { enrolment, reason, common } => {
                (Proposal::ChangePersonKey { enrolment: read_enrolment(enrolment)?, reason: (*reason).into() }, common)
            }
            Self::ChangePolicy { common } => (Proposal::ChangePolicy {}, common),
        })
    }
}

/// So many days from now.
fn in_days(days: u64) -> u64 {
    now_ms().saturating_add(days.saturating_mul(DAY_MS))
}

fn read_enrolment(file: &Path) -> Outcome<Base64> {
    Ok(Base64(files::read_signed::<Enrolment>(file)?.bytes().to_vec()))
}

/// A token calls a key local only if it made it itself (CKA_NEVER_EXTRACTABLE).
fn require_transferable(holds: bool) -> Outcome<()> {
    if holds {
        return Ok(());
    }
    Err(Failure::input(
        "masters that come from components or from another HSM cannot be local to this HSM",
        "add --transferable, so that the officers read and sign that; only masters generated in the HSM can be local",
    ))
}

fn parse_custodian(text: &str) -> Result<(PersonId, Kcv), String> {
    let (person, kcv) = text.split_once('=').ok_or("use PERSON=KCV, for example li-wei=ecb3:2677f4")?;
    Ok((person.parse().map_err(|e| format!("{e}"))?, kcv.parse().map_err(|e| format!("{e}"))?))
}
