//! A real kms-server process of the quickstart: started, waited for, stopped.

use std::ffi::OsString;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::{Exit, Failure, Outcome};

/// How long a server may take to listen.
const START_WAIT: Duration = Duration::from_secs(60);
/// How long it may take to end in order.
const STOP_WAIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// A running server; it ends with this value.
pub(super) struct Server {
    name: String,
    child: Child,
    log: PathBuf,
}

/// Takes a free port, so that nobody else gets it before the server starts.
pub(super) fn reserve_port() -> Outcome<(TcpListener, u16)> {
    let taken = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| {
        let port = listener.local_addr()?.port();
        Ok((listener, port))
    });
    taken.map_err(|error| {
        Failure::new(Exit::Io, format!("no free port on 127.0.0.1: {error}"), "check the network of this computer")
    })
}

impl Server {
    /// Starts `program` with `config` and waits until it listens on `port`.
    pub(super) fn start(
        name: &str,
        program: &Path,
        config: &Path,
        environment: &[(&str, OsString)],
        port: u16,
    ) -> Outcome<Self> {
        let log = config.with_file_name("server.log");
        let out = File::create(&log).map_err(|error| Failure::io("write", &log, &error))?;
        let error_out = out.try_clone().map_err(|error| Failure::io("write", &log, &error))?;
        let child = Command::new(program)
            .arg("--config")
            .arg(config)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(error_out)
            .spawn()
            .map_err(|error| Failure::io("run", program, &error))?;
        let mut server = Self { name: name.to_owned(), child, log };
        server.wait_until_listening(port)?;
        Ok(server)
    }

    /// Process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_listening(&mut self, port: u16) -> Outcome<()> {
        let begun = Instant::now();
        while begun.elapsed() < START_WAIT {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.failed(&format!("ended at once with {status}")));
            }
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        Err(self.failed("does not listen"))
    }

    fn failed(&self, what: &str) -> Failure {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last: Vec<String> = log.lines().rev().take(10).map(str::to_owned).collect();
        Failure::new(
            Exit::Unavailable,
            format!("the {} server {what}", self.name),
            format!("read {}", self.log.display()),
        )
        .with_lines(last.into_iter().rev())
    }

    fn ask_to_end(&self) {
        let id = self.child.id().to_string();
        let _ = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &id]).stderr(Stdio::null()).status();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ask_to_end();
        let begun = Instant::now();
        while begun.elapsed() < STOP_WAIT {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
