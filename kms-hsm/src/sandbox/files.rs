//! Landlock: which files this process may still open, and no TCP, no signals out.
//!
//! Holds for the calling thread and those it starts later, so it comes before any other thread.
//! Guards: nothing can be executed and no device file made, whatever the list says.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

use super::Sockets;
use super::places::Places;

/// The newest kernel interface whose rights are asked for; the crate takes those the kernel knows.
const ABI_WANTED: ABI = ABI::V6;

/// What Landlock does here.
pub(super) struct Landlock {
    /// Whether files are restricted, with a note; else why not.
    pub(super) files: Result<String, String>,
    /// The interface in force.
    pub(super) abi: Option<ABI>,
}

impl Landlock {
    pub(super) fn has_tcp(&self) -> bool {
        self.abi.is_some_and(|abi| abi >= ABI::V4)
    }

    pub(super) fn has_scopes(&self) -> bool {
        self.abi.is_some_and(|abi| abi >= ABI::V6)
    }
}

/// Restricts this thread and all it starts from now on.
pub(super) fn restrict(places: &Places, sockets: Sockets) -> Landlock {
    let mut missing = Vec::new();
    match enforce(places, sockets, &mut missing) {
        Err(error) => Landlock { files: Err(error.to_string()), abi: None },
        Ok((RulesetStatus::NotEnforced, LandlockStatus::NotEnabled)) => {
            Landlock { files: Err("Landlock is not enabled in this kernel (lsm=)".to_owned()), abi: None }
        }
        Ok((_, LandlockStatus::Available { effective_abi, kernel_abi })) => {
            let abi = kernel_abi.unwrap_or(effective_abi as i32);
            let mut note = format!("Landlock ABI {abi}");
            if !missing.is_empty() {
                let missing: Vec<_> = missing.iter().map(|path| path.display().to_string()).collect();
                note = format!("{note}; not there: {}", missing.join(", "));
            }
            Landlock { files: Ok(note), abi: Some(effective_abi) }
        }
        Ok(_) => Landlock { files: Err("this kernel has no Landlock (Linux 5.13)".to_owned()), abi: None },
    }
}

fn enforce(
    places: &Places,
    sockets: Sockets,
    missing: &mut Vec<PathBuf>,
) -> Result<(RulesetStatus, LandlockStatus), RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI_WANTED))?
        .scope(Scope::from_all(ABI_WANTED))?;
    if sockets != Sockets::Network {
        ruleset = ruleset.handle_access(AccessNet::from_all(ABI_WANTED))?;
    }
    let mut rules = ruleset.create()?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let never = AccessFs::Execute | AccessFs::MakeBlock | AccessFs::MakeChar;
    let write = AccessFs::from_all(ABI_WANTED) & !never;
    let optional = &mut Vec::new();
    for path in &places.system {
        rules = allow(rules, path, read, optional)?;
    }
    for path in &places.devices {
        rules = allow(rules, path, AccessFs::ReadFile | AccessFs::WriteFile, optional)?;
    }
    for path in &places.read {
        rules = allow(rules, path, read, missing)?;
    }
    for path in &places.write {
        rules = allow(rules, path, write, missing)?;
    }
    let status = rules.restrict_self()?;
    Ok((status.ruleset, status.landlock))
}

/// A path that is not there gets no rule: it cannot be opened either way.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
    missing: &mut Vec<PathBuf>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(open) = PathFd::new(path) else {
        missing.push(path.to_owned());
        return Ok(rules);
    };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(ABI_WANTED) };
    rules.add_rule(PathBeneath::new(open, access))
}
