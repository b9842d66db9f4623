//! Tells what happens and runs `kms` for each step, with the command line shown.
//!
//! Everything printed also goes to `transcript.txt`; the screen shows what matters of it.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::make::Make;
use crate::console;
use crate::failure::{Exit, Failure, Outcome};

/// How much of a command's output the screen shows; the transcript has all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// Everything.
    All,
    /// Everything but what repeats: long lists, limits, numbers used once.
    Essence,
    /// The last lines.
    Last(usize),
}

/// Lines with these labels are left out of [`Show::Essence`].
const DETAILS: [&str; 9] =
    ["log when opened", "log may grow by", "policy epoch", "nonce", "valid from", "rule ", "KCV ", "ceremony ", "──"];

/// The teller.
pub(super) struct Narrator {
    kms: PathBuf,
    root: PathBuf,
    make: Make,
    transcript: File,
    begun: Instant,
    acts: u32,
    is_terminal: bool,
}

impl Narrator {
    /// Begins a transcript in `root`.
    pub(super) fn new(kms: PathBuf, root: PathBuf, make: Make) -> Outcome<Self> {
        let path = root.join("transcript.txt");
        let transcript = File::create(&path).map_err(|error| Failure::io("write", &path, &error))?;
        let is_terminal = std::io::stdout().is_terminal();
        Ok(Self { kms, root, make, transcript, begun: Instant::now(), acts: 0, is_terminal })
    }

    /// The folder of everything.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The make of its tokens.
    pub(super) fn make(&self) -> &Make {
        &self.make
    }

    /// Seconds since the beginning.
    pub(super) fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// A new act: what happens, and why.
    pub(super) fn act(&mut self, title: &str, why: &str) {
        self.acts += 1;
        let heading = format!("{}. {title}", self.acts);
        self.print("");
        self.print(&self.bold(&heading));
        for line in why.lines() {
            self.print(&format!("   {}", line.trim()));
        }
    }

    /// A remark.
    pub(super) fn tell(&mut self, text: &str) {
        for line in text.lines() {
            self.print(&format!("   {}", line.trim()));
        }
    }

    /// Runs `kms` in the folder and answers its standard output. `line` is split at spaces; `more` is
    /// not. `hsm` names the folder of the tokens.
    pub(super) fn kms(&mut self, hsm: Option<&str>, line: &str, more: &[&str], show: Show) -> Outcome<String> {
        let args: Vec<&str> = line.split(' ').chain(more.iter().copied()).collect();
        let line = self.command_line(hsm, &args);
        self.print(&self.bold(&format!("   $ {line}")));
        let mut command = Command::new(&self.kms);
        command.args(args).current_dir(&self.root).stdin(Stdio::null()).stdout(Stdio::piped());
        if let Some(folder) = hsm {
            command.envs(self.make.environment(&self.root.join(folder)));
        }
        let output = command.spawn().and_then(|child| child.wait_with_output());
        let output = output.map_err(|error| Failure::io("run", &self.kms, &error))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        self.show(&text, show);
        if output.status.success() {
            return Ok(text);
        }
        Err(Failure::new(
            Exit::Internal,
            format!("this command ended with {}: {line}", output.status),
            format!("its message stands above; servers' logs and transcript.txt are in {}", self.root.display()),
        ))
    }

    /// Runs `kms` expecting it to refuse with `exit`.
    pub(super) fn kms_must_refuse(&mut self, line: &str, exit: Exit) -> Outcome<()> {
        let args: Vec<&str> = line.split(' ').collect();
        self.print(&self.bold(&format!("   $ {}", self.command_line(None, &args))));
        let output = Command::new(&self.kms).args(args).current_dir(&self.root).stdin(Stdio::null()).output();
        let output = output.map_err(|error| Failure::io("run", &self.kms, &error))?;
        for text in String::from_utf8_lossy(&output.stderr).lines() {
            self.print(&format!("     {text}"));
        }
        if output.status.code() == Some(i32::from(exit as u8)) {
            return Ok(());
        }
        let what = format!("tampering was not found: the command ended with {}", output.status);
        Err(Failure::not_verified(what, "report this: it must never happen"))
    }

    fn show(&mut self, text: &str, show: Show) {
        let total = text.lines().count();
        let mut hidden = 0;
        for (number, line) in text.lines().enumerate() {
            let shown = match show {
                Show::All => true,
                Show::Essence => !is_detail(line),
                Show::Last(count) => number + count >= total,
            };
            if shown {
                self.print(&format!("     {line}"));
            } else {
                self.record(&format!("     {line}"));
                hidden += 1;
            }
        }
        if hidden > 0 && show == Show::Essence {
            console::say(&format!("     … and {hidden} more in transcript.txt"));
        }
    }

    /// Prints and records one line.
    pub(super) fn print(&mut self, text: &str) {
        console::say_styled(text);
        self.record(text);
    }

    fn record(&mut self, text: &str) {
        let plain = text.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
        // The transcript is a convenience: a full disk shows soon enough elsewhere.
        let _ = writeln!(self.transcript, "{plain}");
    }

    /// As a person would type it in the folder.
    fn command_line(&self, hsm: Option<&str>, args: &[&str]) -> String {
        let quoted = args.iter().map(|arg| {
            let plain = arg.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=,@+".contains(c));
            if plain { (*arg).to_owned() } else { format!("'{arg}'") }
        });
        let place = hsm.map(|folder| self.make.before_a_command(folder)).unwrap_or_default();
        format!("{place}kms {}", quoted.collect::<Vec<_>>().join(" "))
    }

    fn bold(&self, text: &str) -> String {
        if self.is_terminal { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Does the line only repeat what stands elsewhere, or matter to nobody who watches?
fn is_detail(line: &str) -> bool {
    let line = line.trim_start();
    line.contains("group/version") || DETAILS.iter().any(|label| line.starts_with(label))
}
