//! The scene of a story: a copy of one quickstart, its servers and its commands.
//!
//! Guards: a story never touches another's files, and no server outlives its story.

mod server;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub(crate) use server::Server;

/// Cards of the scene's own batch.
pub(crate) const CARDS: usize = 120;
/// Cards per chunk in the scene: three chunks.
pub(crate) const CHUNK_CARDS: usize = 40;
/// Root components of the scene.
pub(crate) const COMPONENTS: &str =
    "00112233445566778899aabbccddeeff\n0123456789abcdeffedcba9876543210\na5a5a5a5000000005a5a5a5affffffff\n";
/// The bureau of the scene.
pub(crate) const BUREAU: &str = "yellow-river-cards";
/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A program of ours, built beside the tests.
pub(crate) fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let found = tests.parent().and_then(Path::parent).unwrap().join(name);
    assert!(found.exists(), "{} is missing: run `make build` first", found.display());
    found
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// The output of a command that must succeed.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// Everything a command said that must fail, and how it must say it.
    #[track_caller]
    pub(crate) fn refused(self, words: &str) -> String {
        let all = format!("{}{}", self.out, self.err);
        assert!(self.code != 0, "should have been refused with {words:?}: {all}");
        assert!(all.contains(words), "should say {words:?}: {all}");
        assert!(self.err.contains("what to do"), "an error says what to do: {all}");
        all
    }
}

/// A copy of the scene.
pub(crate) struct Scene {
    pub(crate) dir: PathBuf,
}

/// The folder of this run; it stays until the next one, to be looked at.
fn work() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("e2e-{}", std::process::id()))
}

/// Removes what earlier runs left, but nothing of a run beside this one.
fn sweep() {
    for entry in std::fs::read_dir(env!("CARGO_TARGET_TMPDIR")).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let gone = name.strip_prefix("e2e-").is_some_and(|pid| !Path::new("/proc").join(pid).exists());
        if gone {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Made once for all stories.
fn base() -> &'static Path {
    static BASE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let made = BASE.get_or_init(|| {
        let work = work();
        sweep();
        std::fs::create_dir_all(&work).unwrap();
        let policies = work.join("policies");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies"), &policies);
        let rules = policies.join("ceremonies.toml");
        let text = std::fs::read_to_string(&rules).unwrap();
        let line = text.lines().find(|line| line.starts_with("chunk_cards")).unwrap();
        std::fs::write(&rules, text.replace(line, &format!("chunk_cards = {CHUNK_CARDS}"))).unwrap();
        std::fs::write(work.join("components"), COMPONENTS).unwrap();
        let key = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-out", "bureau.pem"];
        assert!(Command::new("openssl").args(key).current_dir(&work).status().unwrap().success());
        let count = CARDS.to_string();
        let arguments = [
            "quickstart",
            "--dir",
            "base",
            "--count",
            &count,
            "--root-components",
            "components",
            "--bureau-key",
            "bureau.pem",
            "--policies",
            "policies",
        ];
        let run = run(Command::new(program("kms")).args(arguments).current_dir(&work));
        if run.code != 0 {
            let log =
                |site: &str| std::fs::read_to_string(work.join(format!("base/{site}/server.log"))).unwrap_or_default();
            eprintln!("quickstart: {}{}\n{}\n{}", run.out, run.err, log("national"), log("henan"));
            return None;
        }
        Some(work.join("base"))
    });
    made.as_deref().expect("the scene: `kms quickstart` failed, and the first story that asked for it shows how")
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").args(["-a", "--"]).arg(from).arg(to).status().unwrap();
    assert!(done.success(), "cp {} {}", from.display(), to.display());
}

fn run(command: &mut Command) -> Run {
    let done = command.stdin(Stdio::null()).output().unwrap();
    Run {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&done.stdout).into_owned(),
        err: String::from_utf8_lossy(&done.stderr).into_owned(),
    }
}

impl Scene {
    /// A copy of the scene under a name of its own.
    pub(crate) fn new(story: &str) -> Self {
        let dir = work_after_base().join(story);
        copy(base(), &dir);
        for site in ["national", "henan"] {
            let file = dir.join(site).join("server.toml");
            let text = std::fs::read_to_string(&file).unwrap();
            let port = text.lines().find(|line| line.starts_with("port")).unwrap();
            std::fs::write(&file, text.replace(port, "port = 0")).unwrap();
        }
        Self { dir }
    }

    /// A path of the scene as text.
    pub(crate) fn path(&self, below: &str) -> String {
        self.dir.join(below).to_str().unwrap().to_owned()
    }

    /// Replaces the only occurrence of a text in a file.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.dir.join(file)).unwrap();
        assert_eq!(text.matches(from).count(), 1, "{from:?} in {file}");
        std::fs::write(self.dir.join(file), text.replace(from, to)).unwrap();
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

    /// `kms` as somebody, against a running server.
    pub(crate) fn kms_as(&self, who: &str, server: &Server, arguments: &[&str]) -> Run {
        let config = match who {
            BUREAU => "bureau/kms.toml".to_owned(),
            officer => format!("henan/{officer}.toml"),
        };
        let mut all = arguments.to_vec();
        all.extend(["--config", &config, "--server", &server.url]);
        self.kms(&all)
    }

    /// Exports and verifies Henan's log; what the audit said.
    pub(crate) fn audit(&self, server: &Server, out: &str) -> Run {
        self.kms_as("zhou-min", server, &["audit", "export", "--out", out]).good();
        self.kms(&["audit", "verify", out, "--anchor", "henan/anchor.der", "--json"])
    }

    /// Runs SQL on a site's database, as somebody who got at the file; answers the first column of the rows.
    pub(crate) fn sql(&self, site: &str, statement: &str) -> String {
        let script = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\n\
            rows = db.execute(sys.argv[2]).fetchall()\ndb.commit()\nprint('\\n'.join(str(row[0]) for row in rows))";
        let database = self.path(&format!("{site}/data/kms.db"));
        run(Command::new("python3").args(["-c", script, &database, statement])).good()
    }

    /// Writes a card list of cards that nobody had: `from` counts on from the scene's own.
    pub(crate) fn card_list(&self, file: &str, from: usize, count: usize) -> Vec<String> {
        let numbers: Vec<String> = (from..from + count).map(card_number).collect();
        let lines: Vec<String> =
            numbers.iter().zip(from..).map(|(number, card)| format!("{number},{}", card_factor(card))).collect();
        std::fs::write(self.dir.join(file), format!("card_number,factor\n{}\n", lines.join("\n"))).unwrap();
        numbers
    }

    /// Requests a batch; its id and the id of its plan.
    pub(crate) fn request(&self, server: &Server, cards: &str) -> (String, String) {
        let out = self.kms_as(
            BUREAU,
            server,
            &["batch", "request", "--profile", "resident-health-card", "--cards", cards, "--json"],
        );
        let view: serde_json::Value = serde_json::from_str(&out.good()).unwrap();
        (view["batch"].as_str().unwrap().to_owned(), view["plan_id"].as_str().unwrap().to_owned())
    }

    /// Two officers approve.
    pub(crate) fn approve(&self, server: &Server, plan: &str) {
        for officer in ["chen-jie", "liu-yang"] {
            self.kms_as(officer, server, &["ceremony", "approve", plan, "--yes-digest", plan]).good();
        }
    }

    /// The state of a batch.
    pub(crate) fn batch(&self, server: &Server, batch: &str) -> serde_json::Value {
        let out = self.kms_as(BUREAU, server, &["batch", "status", batch, "--json"]).good();
        serde_json::from_str(&out).unwrap()
    }

    /// Requests, approves, waits for the release, pulls into `out`; the batch id.
    pub(crate) fn issue(&self, server: &Server, cards: &str, out: &str) -> String {
        let (batch, plan) = self.request(server, cards);
        self.approve(server, &plan);
        self.kms_as(BUREAU, server, &["batch", "status", &batch, "--watch"]).good();
        self.kms_as(BUREAU, server, &["batch", "pull", &batch, "--out", out]).good();
        batch
    }

    /// `kms batch verify` of a folder.
    pub(crate) fn verify(&self, package: &str) -> Run {
        self.kms(&["batch", "verify", package, "--anchor", "henan/anchor.der"])
    }

    /// `kms batch open` of a folder.
    pub(crate) fn open(&self, package: &str, out: &str) -> Run {
        let module = program("libhsm_sim.so");
        let arguments = [
            "batch",
            "open",
            package,
            "--anchor",
            "henan/anchor.der",
            "--module",
            module.to_str().unwrap(),
            "--map",
            "policies/hsm/hsm-sim.toml",
            "--token",
            "bureau",
            "--pin-file",
            "bureau/pin",
            "--enc-key",
            "bureau/keys/encryption.pem",
            "--enc-password-file",
            "bureau/password",
            "--out",
            out,
        ];
        self.kms_at("bureau", &arguments)
    }
}

/// The folder of all scenes, once the base is there.
fn work_after_base() -> PathBuf {
    base();
    work()
}

/// A card number of a region that does not exist, unlike those of the scene's own batch.
pub(crate) fn card_number(card: usize) -> String {
    let digits = format!("98989820{:02}0101{:03}", card / 1000 % 100, card % 1000);
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: usize = digits.bytes().zip(weights).map(|(digit, weight)| usize::from(digit - b'0') * weight).sum();
    format!("{digits}{}", char::from(b"10X98765432"[sum % 11]))
}

/// The factor that goes with it.
pub(crate) fn card_factor(card: usize) -> String {
    format!("E2E0{:012X}", card + 1)
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
