//! A copy of an instance with its bureau: its programs, its files, its servers.
//!
//! Guards: no point touches another's files, and no process outlives its point.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::injection::Injection;

/// The bureau of the scene.
pub(crate) const BUREAU: &str = "yellow-river-cards";
/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A program of ours, built beside the tests.
pub(crate) fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let found = tests.parent().and_then(Path::parent).unwrap().join(name);
    assert!(found.exists(), "{} is missing: run `make build` first", found.display());
    found
}

/// Where all scenes are.
pub(crate) fn work() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("faults")
}

/// Copies a folder with everything about it.
pub(crate) fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").args(["-a", "--"]).arg(from).arg(to).status().unwrap();
    assert!(done.success(), "cp {} {}", from.display(), to.display());
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// Did it succeed?
    pub(crate) fn ok(&self) -> bool {
        self.code == 0
    }

    /// The output of a command that must succeed.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// The JSON of a command that must succeed.
    #[track_caller]
    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.good()).unwrap()
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Run {
    let done = command.stdin(Stdio::null()).output().unwrap();
    Run {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&done.stdout).into_owned(),
        err: String::from_utf8_lossy(&done.stderr).into_owned(),
    }
}

/// A copy of a template.
pub(crate) struct Scene {
    pub(crate) dir: PathBuf,
}

impl Scene {
    /// A fresh copy under a name of its own.
    pub(crate) fn of(template: &Path, name: &str) -> Self {
        let dir = work().join(name);
        if dir.exists() {
            std::fs::remove_dir_all(&dir).unwrap();
        }
        copy(template, &dir);
        Self { dir }
    }

    /// Removes it; one that went wrong stays to be looked at.
    pub(crate) fn remove_or_keep(self, good: bool) {
        if good {
            std::fs::remove_dir_all(&self.dir).unwrap();
        } else {
            let kept = (1u32..).map(|number| self.dir.with_extension(format!("wrong-{number}")));
            std::fs::rename(&self.dir, kept.into_iter().find(|path| !path.exists()).unwrap()).unwrap();
        }
    }

    /// What `strace` saw of a site's server.
    pub(crate) fn trace(&self, site: &str) -> String {
        std::fs::read_to_string(self.dir.join(site).join("trace")).unwrap_or_default()
    }

    /// A path of the scene as text.
    pub(crate) fn path(&self, below: &str) -> String {
        self.dir.join(below).to_str().unwrap().to_owned()
    }

    /// `kms` in the scene's folder.
    pub(crate) fn kms(&self, arguments: &[&str]) -> Run {
        run(Command::new(program("kms")).args(arguments).current_dir(&self.dir))
    }

    /// `kms` with the token of a site.
    pub(crate) fn kms_at(&self, site: &str, arguments: &[&str]) -> Run {
        let hsm = self.dir.join(site).join("hsm");
        run(Command::new(program("kms")).args(arguments).current_dir(&self.dir).env("HSM_SIM_DIR", hsm))
    }

    /// `kms` as somebody of a site, against a server.
    pub(crate) fn kms_as(&self, who: &str, url: &str, arguments: &[&str]) -> Run {
        let config = if who == BUREAU { "bureau/kms.toml".to_owned() } else { format!("{who}.toml") };
        let mut all = arguments.to_vec();
        all.extend(["--config", &config, "--server", url]);
        self.kms(&all)
    }

    /// Starts a server that must come up.
    #[track_caller]
    pub(crate) fn start(&self, site: &str) -> Server {
        let mut server = self.launch(site, None);
        match server.await_address() {
            Some(_) => server,
            None => panic!("{site} did not start: {}", server.log()),
        }
    }

    /// Starts a server, with a fault that waits for it if `injection` says so.
    pub(crate) fn launch(&self, site: &str, injection: Option<&Injection>) -> Server {
        let folder = self.dir.join(site);
        let address = folder.join("data/address");
        let _ = std::fs::remove_file(&address);
        let (log, trace) = (folder.join("server.log"), folder.join("trace"));
        let file = std::fs::File::create(&log).unwrap();
        let mut command = match injection {
            None => Command::new(program("kms-server")),
            Some(injection) => injection.command(&trace, &program("kms-server")),
        };
        let child = command
            .args(["--config", folder.join("server.toml").to_str().unwrap()])
            .env("HSM_SIM_DIR", folder.join("hsm"))
            .env("KMS_LOG", "warn,rocket=off")
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Server { child, traced: injection.is_some(), address, log, trace }
    }

    /// Objects in a site's token.
    pub(crate) fn objects(&self, site: &str) -> usize {
        let folder = self.dir.join(site).join("hsm/token-0000/objects");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        // An object that is being replaced has two files for a moment.
        let ids = names.filter(|name| !name.starts_with("tmp-")).map(|name| name.split('-').next().unwrap().to_owned());
        ids.collect::<std::collections::BTreeSet<_>>().len()
    }
}

/// A server process, perhaps under `strace`.
pub(crate) struct Server {
    child: Child,
    traced: bool,
    address: PathBuf,
    log: PathBuf,
    trace: PathBuf,
}

impl Server {
    /// The URL of a server that must be up.
    pub(crate) fn url(&mut self) -> String {
        let log = self.log.clone();
        self.await_address().unwrap_or_else(|| panic!("no server: {}", std::fs::read_to_string(log).unwrap()))
    }

    /// The URL, unless the server ends first.
    pub(crate) fn await_address(&mut self) -> Option<String> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let known = std::fs::read_to_string(&self.address).unwrap_or_default();
            if known.contains(':') {
                return Some(format!("http://{}", known.trim()));
            }
            if self.ended().is_some() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until it ends or something holds; `None` means that it runs on.
    pub(crate) fn wait_for(&mut self, limit: Duration, mut holds: impl FnMut() -> bool) -> Option<ExitStatus> {
        let begin = Instant::now();
        loop {
            let ended = self.ended();
            if ended.is_some() || holds() || begin.elapsed() > limit {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Process id of the server itself.
    pub(crate) fn pid(&self) -> Option<u32> {
        if !self.traced {
            return Some(self.child.id());
        }
        children(self.child.id()).first().copied()
    }

    /// Process ids of the server's HSM workers.
    pub(crate) fn workers(&self) -> Vec<u32> {
        self.pid().map(children).unwrap_or_default()
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What `strace` saw.
    pub(crate) fn trace(&self) -> String {
        std::fs::read_to_string(&self.trace).unwrap_or_default()
    }

    /// Kills it as a power cut would, if it still runs.
    pub(crate) fn kill(&mut self) {
        if self.ended().is_none() {
            // The tracer would let go of a server that outlives it; it ends by itself when the server does.
            if let Some(pid) = self.pid() {
                kill(pid);
            }
            if !self.traced {
                let _ = self.child.kill();
            }
            let _ = self.child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends SIGKILL to one process.
pub(crate) fn kill(pid: u32) {
    let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>()).collect()
}
