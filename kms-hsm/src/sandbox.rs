//! What the worker gives up before a vendor's library is loaded and before a PIN reaches it.
//!
//! A library is unknown code that is about to hold a PIN: nothing it does, from its constructors on,
//! happens outside the restrictions. No defence against the kernel, nor against what the library may
//! do with the token itself. Guards: what could not be given up is named with its reason, never left
//! out, and in mode `strict` ends the worker before it is given a secret.

mod files;
mod needs;
mod places;
mod syscalls;

use std::path::Path;

use kms_core::ports::{FaultClass, Hold, HsmError, Restriction};
use serde::{Deserialize, Serialize};

use crate::fault::fault;
use crate::lockdown::{self, Dropped};

pub use needs::{Needs, Sockets};

/// Code of the fault when mode `strict` meets a restriction that this system lacks.
pub const SANDBOX_INCOMPLETE: &str = "SANDBOX_INCOMPLETE";

/// How much the worker insists on its restrictions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxMode {
    /// All of them, or no work.
    Strict,
    /// All that this system knows; the rest is reported.
    #[default]
    BestEffort,
    /// None but those on memory: for finding out what a library needs.
    Off,
}

impl SandboxMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Strict, Self::BestEffort, Self::Off];

    /// The name in configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::BestEffort => "best-effort",
            Self::Off => "off",
        }
    }
}

/// Restricts this process for good; answers every measure, in a fixed order. `first` is what the
/// first lines of `main` did already.
pub(crate) fn enter(mode: SandboxMode, first: Vec<Dropped>, module: &Path, needs: &Needs) -> Vec<Restriction> {
    let mut report: Vec<Restriction> =
        first.into_iter().map(|dropped| restriction(dropped.measure, dropped.done.map(|()| String::new()))).collect();
    report.push(restriction("locked-memory", lockdown::can_lock().map(|()| String::new())));
    if mode == SandboxMode::Off {
        let off = |measure: &str| Restriction {
            measure: measure.to_owned(),
            hold: Hold::Waived,
            note: "the sandbox is off".to_owned(),
        };
        report.extend(["new-privileges", "files", "network", "signals", "system-calls"].map(off));
        return report;
    }
    report.push(restriction("new-privileges", lockdown::no_new_privileges().map(|()| String::new())));
    // Rules name open files, so Landlock comes first: afterwards nothing more can be opened for them.
    let landlock = files::restrict(&places::of(module, needs), needs.sockets);
    let filter = syscalls::restrict(needs.sockets, landlock.abi);
    report.push(restriction("files", landlock.files.clone()));
    let network = match (needs.sockets, &filter, landlock.has_tcp()) {
        (Sockets::Network, ..) => Restriction {
            measure: "network".to_owned(),
            hold: Hold::Waived,
            note: "the vendor map says sockets = \"network\"".to_owned(),
        },
        (sockets, Ok(()), _) => restriction("network", Ok(sockets.words().to_owned())),
        (_, Err(_), true) => restriction("network", Err("TCP only is refused, by Landlock".to_owned())),
        (_, Err(error), false) => restriction("network", Err(error.clone())),
    };
    report.push(network);
    let signals = if filter.is_ok() || landlock.has_scopes() {
        Ok(String::new())
    } else {
        Err("neither a system call filter nor Landlock ABI 6".to_owned())
    };
    report.push(restriction("signals", signals));
    report.push(restriction("system-calls", filter.map(|()| String::new())));
    report
}

fn restriction(measure: &str, done: Result<String, String>) -> Restriction {
    let (hold, note) = match done {
        Ok(note) => (Hold::InForce, note),
        Err(reason) => (Hold::Lacking, reason),
    };
    Restriction { measure: measure.to_owned(), hold, note }
}

/// What `strict` says when something is lacking.
pub(crate) fn incomplete(report: &[Restriction]) -> Option<HsmError> {
    let lacking: Vec<String> = report
        .iter()
        .filter(|restriction| restriction.hold == Hold::Lacking)
        .map(|restriction| format!("{}: {}", restriction.measure, restriction.note))
        .collect();
    if lacking.is_empty() {
        return None;
    }
    let detail = format!(
        "sandbox = \"strict\", and this system lacks {}; use a newer kernel, or weigh it and set \"best-effort\"",
        lacking.join("; ")
    );
    Some(fault(FaultClass::Broken, "sandbox", SANDBOX_INCOMPLETE, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_names_what_is_lacking() {
        let good = restriction("files", Ok("Landlock ABI 7".to_owned()));
        let waived = Restriction { hold: Hold::Waived, ..restriction("network", Ok(String::new())) };
        assert!(incomplete(&[good.clone(), waived.clone()]).is_none());
        let error = incomplete(&[good, waived, restriction("signals", Err("no kernel".to_owned()))]).unwrap();
        assert_eq!(error.code, SANDBOX_INCOMPLETE);
        let detail = error.detail.unwrap();
        assert!(detail.contains("signals: no kernel") && !detail.contains("network"), "{detail}");
    }
}
