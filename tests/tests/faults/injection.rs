//! A fault that waits: which system call, on which file, which time, and what happens then.

use std::path::Path;
use std::process::Command;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    /// The process is killed before the call does anything.
    Kill,
    /// The call fails once with this error.
    Once(&'static str),
    /// The call fails with this error from then on.
    Always(&'static str),
}

/// One fault.
#[derive(Clone, Debug)]
pub(crate) struct Injection {
    pub(crate) call: &'static str,
    /// Only calls on this file or folder; all if `None`.
    pub(crate) path: Option<String>,
    /// At which call of a thread, from 1.
    pub(crate) when: u32,
    pub(crate) blow: Blow,
}

impl Injection {
    /// `strace` around a program.
    pub(crate) fn command(&self, trace: &Path, program: &Path) -> Command {
        let Self { call, path, when, blow } = self;
        let inject = match blow {
            Blow::Kill => format!("inject={call}:signal=KILL:when={when}"),
            Blow::Once(error) => format!("inject={call}:error={error}:when={when}"),
            Blow::Always(error) => format!("inject={call}:error={error}:when={when}+"),
        };
        let mut command = Command::new("strace");
        // Its counters are per thread: the first thread that comes to `when` meets the fault.
        command.args(["-f", "-qq", "-y", "-s", "0", "-o"]).arg(trace);
        command.args(["-e", &format!("trace={call}"), "-e", &inject]);
        if let Some(path) = path {
            command.args(["-P", path]);
        }
        command.arg("--").arg(program);
        command
    }

    /// Did the fault happen?
    pub(crate) fn fired(&self, trace: &str) -> bool {
        match self.blow {
            Blow::Kill => trace.contains("killed by SIGKILL"),
            Blow::Once(_) | Blow::Always(_) => trace.contains("INJECTED"),
        }
    }
}

impl std::fmt::Display for Injection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path.as_deref().unwrap_or("*");
        let path = path.split_once("/data/").map_or(path, |(_, below)| below);
        write!(f, "{} {path} #{} {:?}", self.call, self.when, self.blow)
    }
}
