//! `kms policy check`: a profile or ceremonies file, every violation with its line. Offline.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use kms_api::policy_file::{POLICY_FILE_BYTES_MAX, PolicyFileError, parse_ceremony_policy, parse_profile};
use kms_core::policy::CeremonyPolicy;
use kms_core::profile::KeyProfile;
use serde_json::json;

use crate::console;
use crate::failure::{Failure, Outcome};
use crate::files;

/// Policy files
#[derive(Subcommand, Debug)]
pub(crate) enum Policy {
    /// Check a key profile or the ceremony rules, and print what they say
    Check(Check),
}

/// Options of `kms policy check`.
#[derive(Args, Debug)]
pub(crate) struct Check {
    /// policies/profiles/*.toml or policies/ceremonies.toml
    file: PathBuf,
    /// JSON for machines
    #[arg(long)]
    json: bool,
}

/// The form of a policy file, to choose its parser.
#[derive(serde::Deserialize)]
struct Form {
    form: String,
}

impl Policy {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        match self {
            Self::Check(check) => check.run(),
        }
    }
}

impl Check {
    fn run(&self) -> Outcome<()> {
        let bytes = files::read(&self.file, POLICY_FILE_BYTES_MAX)?;
        let form = std::str::from_utf8(&bytes).ok().and_then(|text| toml::from_str::<Form>(text).ok()).map(|f| f.form);
        if form.is_some_and(|form| form.starts_with("kms-ceremonies/")) {
            let policy = parse_ceremony_policy(&bytes).map_err(|error| refuse(&self.file, &error))?;
            return if self.json { console::json(&policy_json(&policy)) } else { show_policy(&policy) };
        }
        let profile = parse_profile(&bytes).map_err(|error| refuse(&self.file, &error))?;
        if self.json { console::json(&profile_json(&profile)) } else { show_profile(&profile) }
    }
}

/// Reads a profile file.
pub(crate) fn read_profile(path: &Path) -> Outcome<KeyProfile> {
    profile_of(path, &files::read(path, POLICY_FILE_BYTES_MAX)?)
}

/// The profile in the bytes of `path`.
pub(crate) fn profile_of(path: &Path, bytes: &[u8]) -> Outcome<KeyProfile> {
    parse_profile(bytes).map_err(|error| refuse(path, &error))
}

fn refuse<V: fmt::Debug + fmt::Display>(path: &Path, error: &PolicyFileError<V>) -> Failure {
    let file = path.display();
    let lines: Vec<String> = match error {
        PolicyFileError::Rules(findings) => findings
            .iter()
            .map(|finding| match finding.line {
                Some(line) => format!("{file}:{line}: {}", finding.violation),
                None => format!("{file}: {}", finding.violation),
            })
            .collect(),
        other => vec![format!("{file}: {other}")],
    };
    Failure::input(
        format!("{file} cannot be used: {} findings", lines.len()),
        "correct every line named above, then check again",
    )
    .with_lines(lines)
}

fn show_profile(profile: &KeyProfile) -> Outcome<()> {
    console::field("profile", format!("{} version {}", profile.id(), profile.version()));
    console::field("title", profile.title());
    console::digest("digest (SM3 of file)", &profile.digest());
    console::field("keys", profile.keys().len());
    console::field("slots per card", profile.slots().count());
    console::say(&format!(
        "  {:<10} {:>4} {:>4} {:>4} {:>3}  {:<10} KCV in package",
        "key", "ref", "grp", "use", "id", "scope"
    ));
    for key in profile.keys() {
        let kcv = key.package_kcv().map_or("no", |method| method.name());
        let scope = format!("{:?}", key.scope()).to_lowercase();
        console::say(&format!(
            "  {:<10} {:>4} {:>4} {:>4} {:>3}  {scope:<10} {kcv}",
            key.name().as_str(),
            format!("{:02X}", key.card_ref()),
            key.groups(),
            format!("{:02X}", key.sam_use()),
            format!("{:02X}", key.sam_id())
        ));
    }
    Ok(())
}

fn profile_json(profile: &KeyProfile) -> serde_json::Value {
    let slots: Vec<String> = profile.slots().map(|slot| slot.to_string()).collect();
    json!({
        "form": "profile", "id": profile.id().as_str(), "version": profile.version(), "digest": profile.digest().to_string(),
        "keys": profile.keys().len(), "slots": slots,
    })
}

fn show_policy(policy: &CeremonyPolicy) -> Outcome<()> {
    console::say("ceremony rules");
    console::digest("digest (SM3 of file)", &policy.digest());
    for (operation, rule) in policy.rules() {
        let hours = rule.validity_ms / 3_600_000;
        console::field(
            &format!("  {operation}"),
            format!("{} approvals, valid {hours} h, log may grow by {}", rule.approvals, rule.max_log_span),
        );
    }
    let batch = policy.batch();
    console::field("largest batch", format!("{} cards, in chunks of {}", batch.cards_max, batch.chunk_cards));
    let models = policy.production().models.join(", ");
    console::field("production tokens", if models.is_empty() { "none yet".to_owned() } else { models });
    Ok(())
}

fn policy_json(policy: &CeremonyPolicy) -> serde_json::Value {
    let rules: serde_json::Map<String, serde_json::Value> = policy
        .rules()
        .map(|(operation, rule)| {
            let rule = json!({ "approvals": rule.approvals, "validity_ms": rule.validity_ms, "max_log_span": rule.max_log_span });
            (operation.name().to_owned(), rule)
        })
        .collect();
    json!({ "form": "ceremonies", "digest": policy.digest().to_string(), "rules": rules, "cards_max": policy.batch().cards_max, "chunk_cards": policy.batch().chunk_cards })
}
