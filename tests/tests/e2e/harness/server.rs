//! A server of a scene: started, watched, killed.
//!
//! Guards: no server outlives its story.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{PATIENCE, Scene, program};

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    log: PathBuf,
}

impl Scene {
    /// Starts a server that must come up.
    pub(crate) fn start(&self, site: &str) -> Server {
        self.try_start(site).unwrap_or_else(|log| panic!("{site} did not start: {log}"))
    }

    /// Starts a server; its log if it ends instead.
    pub(crate) fn try_start(&self, site: &str) -> Result<Server, String> {
        self.try_start_with(site, None, &[])
    }

    /// Starts a server that cannot write beyond so many KiB of any file: a disk that is full.
    pub(crate) fn start_on_small_disk(&self, site: &str, kib: u64) -> Result<Server, String> {
        self.try_start_with(site, Some(kib), &[])
    }

    /// Starts a server that must come up, with more in its environment.
    pub(crate) fn start_with_environment(&self, site: &str, environment: &[(&str, &str)]) -> Server {
        self.try_start_with(site, None, environment).unwrap_or_else(|log| panic!("{site} did not start: {log}"))
    }

    fn try_start_with(&self, site: &str, kib: Option<u64>, environment: &[(&str, &str)]) -> Result<Server, String> {
        let folder = self.dir.join(site);
        let address = folder.join("data/address");
        let _ = std::fs::remove_file(&address);
        let log = folder.join("story.log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        // Ignored, the signal becomes an error of the write, as on a full disk. POSIX counts 512 bytes.
        let limit = kib.map(|kib| format!("trap '' XFSZ; ulimit -f {}; ", 2 * kib)).unwrap_or_default();
        let mut child = Command::new("sh")
            .args(["-c", &format!("{limit}exec \"$0\" --config \"$1\"")])
            .args([program("kms-server"), folder.join("server.toml")])
            .env("HSM_SIM_DIR", folder.join("hsm"))
            .env("KMS_LOG", "warn")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let begin = Instant::now();
        loop {
            if child.try_wait().unwrap().is_some() {
                return Err(std::fs::read_to_string(&log).unwrap());
            }
            let known =
                std::fs::read_to_string(&address).ok().filter(|text| text.ends_with('\n') || text.contains(':'));
            if let Some(known) = known {
                let known = known.trim();
                let url = if known.contains("://") { known.to_owned() } else { format!("http://{known}") };
                let server = Server { child, url, log };
                server.await_http();
                return Ok(server);
            }
            if begin.elapsed() > PATIENCE {
                let _ = child.kill();
                return Err(format!("no address after {PATIENCE:?}: {}", std::fs::read_to_string(&log).unwrap()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Server {
    /// Kills it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills its worker processes, as a fault in a vendor's library would end them.
    pub(crate) fn kill_workers(&self) {
        for worker in self.workers() {
            let _ = Command::new("kill").args(["-9", &worker.to_string()]).status();
        }
    }

    /// Process ids of its workers.
    pub(crate) fn workers(&self) -> Vec<u32> {
        let parent = format!("PPid:\t{}\n", self.pid());
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let own = processes.filter(|process| {
            std::fs::read_to_string(process.path().join("status")).unwrap_or_default().contains(&parent)
        });
        own.filter_map(|process| process.file_name().to_str()?.parse().ok()).collect()
    }

    /// Has it ended by itself?
    pub(crate) fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn await_http(&self) {
        let begin = Instant::now();
        while crate::http::get(&self.url, "/health").is_err() {
            assert!(begin.elapsed() < PATIENCE, "no /health: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
