//! `kms quickstart`: the whole system in one folder, walked through with the commands a user has.
//!
//! It starts real servers and runs `kms` itself: no path here that a user does not have. Guards: what it
//! founds are test instances, so the fixed secrets it can use never meet real cards.

mod ceremonies;
mod make;
mod narrator;
mod people;
mod server;
mod site;
mod story;
mod summary;

use std::path::{Path, PathBuf};

use clap::Args;
use kms_core::cards::{CARDS_MAX, CardList, LIST_BYTES_MAX, synthetic_csv};
use kms_core::suite::{CardAlgorithm, Suite};

use crate::failure::{Failure, Outcome};
use crate::files::{self, Access};
use make::Make;
use narrator::Narrator;

/// Seed of the synthetic cards: the same cards every time.
const CARDS_SEED: u64 = 1;
/// Fewest and most root components.
const COMPONENTS: std::ops::RangeInclusive<usize> = 2..=8;
/// The rules that officers approve at genesis.
const CEREMONY_RULES: &str = "ceremonies.toml";
/// Cards per chunk here; the shipped rules have more.
const CHUNK_CARDS: u32 = 100;
/// Where policies are looked for: beside an installed or a built program, or here.
const POLICY_FOLDERS: [&str; 3] = ["../../policies", "../share/kms/policies", "policies"];

/// Walk through the whole system: two instances, all ceremonies, a batch, an audit
#[derive(Args, Debug)]
pub(crate) struct Quickstart {
    /// Folder to make; everything stays in it
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Synthetic cards, in a region that does not exist
    #[arg(long, value_name = "N", default_value_t = 1000, conflicts_with = "cards")]
    count: u32,
    /// A card list of your own
    #[arg(long, value_name = "FILE")]
    cards: Option<PathBuf>,
    /// Known root components, so that every key can be recomputed: 32 hexadecimal digits a line
    #[arg(long, value_name = "FILE")]
    root_components: Option<PathBuf>,
    /// Known private key of the bureau (plain PEM), so that the package can be opened by other tools
    #[arg(long, value_name = "FILE.pem")]
    bureau_key: Option<PathBuf>,
    /// Family of algorithms: sm on hsm-sim, intl (AES, P-256, RSA) on SoftHSM
    #[arg(long, value_name = "SUITE", default_value = "sm", value_parser = suite)]
    suite: Suite,
    /// Vendor map of the tokens, such as ibm-ep11 or sansec: hsm-sim then speaks that make's numbers
    #[arg(long, value_name = "NAME", conflicts_with = "suite")]
    map: Option<String>,
    /// PKCS#11 module of the three tokens; libhsm_sim.so beside kms, or SoftHSM's usual place, when left out
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// The program kms-server; beside kms when left out
    #[arg(long, value_name = "FILE")]
    server_program: Option<PathBuf>,
    /// Policy files; found beside kms or in ./policies when left out
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// Leave the two servers running at the end, until Enter is pressed
    #[arg(long)]
    keep_running: bool,
}

/// Everything the story needs from outside, checked before anything starts.
struct Stage {
    root: PathBuf,
    make: Make,
    server_program: PathBuf,
    components: Option<Vec<String>>,
    known_bureau_key: bool,
}

impl Quickstart {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        let kms = std::env::current_exe().map_err(|error| Failure::io("find", Path::new("kms"), &error))?;
        let beside = |name: &str| kms.with_file_name(name);
        let policies = self.find_policies(&kms)?;
        let (map, module) = (self.map.as_deref(), self.module.as_deref());
        let make = Make::choose(self.suite, map, module, &policies, beside("libhsm_sim.so"))?;
        self.check_options(&make)?;
        let stage = Stage {
            root: self.empty_folder()?,
            make,
            server_program: program(
                self.server_program.clone().unwrap_or_else(|| beside("kms-server")),
                "--server-program",
            )?,
            components: self.root_components.as_deref().map(read_components).transpose()?,
            known_bureau_key: self.bureau_key.is_some(),
        };
        let cards = self.card_list()?;
        let change = self.policies.is_none().then_some(stage.make.abilities.cards);
        copy_policies(&policies, &stage.root.join("policies"), change)?;
        files::write(&stage.root.join("cards.csv"), &cards, Access::Owner)?;
        if let Some(key) = &self.bureau_key {
            let pem = zeroize::Zeroizing::new(files::read(key, kms_core::sm2::KEY_FILE_BYTES_MAX)?);
            files::make_folder(&stage.root.join("bureau"), Access::Owner)?;
            files::write(&stage.root.join("bureau/known-key.pem"), &pem, Access::Owner)?;
        }
        let narrator = Narrator::new(kms, stage.root.clone(), stage.make.clone())?;
        story::tell(&stage, narrator, self.keep_running)
    }

    /// What only some makes can use.
    fn check_options(&self, make: &Make) -> Outcome<()> {
        if self.root_components.is_some() && !make.combines() {
            return Err(Failure::input(
                format!("tokens with the map {} combine no root components", make.map),
                "leave out --root-components: the masters are generated in the HSM",
            ));
        }
        if self.bureau_key.is_some() && make.abilities.suite != Suite::Sm {
            return Err(Failure::input(
                "a known bureau key is an SM2 key; the HSM key of suite intl is RSA",
                "leave out --bureau-key",
            ));
        }
        Ok(())
    }

    fn empty_folder(&self) -> Outcome<PathBuf> {
        let used = std::fs::read_dir(&self.dir).is_ok_and(|mut entries| entries.next().is_some());
        if used || self.dir.is_file() {
            return Err(Failure::input(
                format!("{} is not empty: a quickstart was here, or something else is", self.dir.display()),
                format!("choose another --dir, or remove it yourself: rm -r {}", self.dir.display()),
            ));
        }
        files::make_folder(&self.dir, Access::Owner)?;
        self.dir.canonicalize().map_err(|error| Failure::io("find", &self.dir, &error))
    }

    /// The bytes of the card list, found good before anything is started.
    fn card_list(&self) -> Outcome<Vec<u8>> {
        let bytes = match &self.cards {
            Some(file) => files::read(file, LIST_BYTES_MAX)?,
            None if (1..=CARDS_MAX).contains(&(self.count as usize)) => {
                synthetic_csv(self.count, CARDS_SEED).into_bytes()
            }
            None => {
                return Err(Failure::input(format!("{} cards", self.count), format!("1 to {CARDS_MAX} are possible")));
            }
        };
        CardList::parse(&bytes).map_err(|errors| {
            let lines = errors.first().iter().map(ToString::to_string);
            Failure::input(
                format!("the card list has {} bad lines; nothing was started", errors.total()),
                "correct every line",
            )
            .with_lines(lines)
        })?;
        Ok(bytes)
    }

    fn find_policies(&self, kms: &Path) -> Outcome<PathBuf> {
        let folder = kms.parent().unwrap_or(Path::new("."));
        let candidates = match &self.policies {
            Some(given) => vec![given.clone()],
            None => POLICY_FOLDERS.iter().flat_map(|name| [folder.join(name), PathBuf::from(name)]).collect(),
        };
        let found = candidates.into_iter().find(|candidate| candidate.join("ceremonies.toml").is_file());
        found.ok_or_else(|| {
            Failure::input("no folder with ceremonies.toml was found", "say where the policies are: --policies DIR")
        })
    }
}

fn suite(text: &str) -> Result<Suite, String> {
    Suite::ALL.into_iter().find(|suite| suite.name() == text).ok_or_else(|| "sm or intl".to_owned())
}

fn program(path: PathBuf, option: &str) -> Outcome<PathBuf> {
    path.canonicalize().map_err(|_| {
        Failure::input(
            format!("{} is not there", path.display()),
            format!("build everything (make build), or say where it is: {option} FILE"),
        )
    })
}

/// Root components: one a line; `#` begins a comment. A JSON list of strings is read as well.
fn read_components(path: &Path) -> Outcome<Vec<String>> {
    let text = files::read_text(path, files::SMALL_FILE_BYTES_MAX)?;
    let listed: Vec<String> = match serde_json::from_str(&text) {
        Ok(listed) => listed,
        Err(_) => text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default().trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect(),
    };
    let good = |text: &String| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !COMPONENTS.contains(&listed.len()) || !listed.iter().all(good) {
        return Err(Failure::input(
            format!("{} does not hold {} to {} components", path.display(), COMPONENTS.start(), COMPONENTS.end()),
            "write 32 hexadecimal digits a line",
        ));
    }
    Ok(listed)
}

fn with_small_chunks(rules: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(rules);
    let line = |line: &str| match line.starts_with("chunk_cards") {
        true => format!("chunk_cards = {CHUNK_CARDS}  # quickstart: small chunks, to be watched\n"),
        false => line.to_owned(),
    };
    text.split_inclusive('\n').map(line).collect::<String>().into_bytes()
}

/// A profile of SM1 keys in place of SM4 ones.
fn with_sm1(profile: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(profile);
    text.replacen("defaults.algorithm = \"sm4\"", "defaults.algorithm = \"sm1\"", 1).into_bytes()
}

/// The policy files; the shipped ones with smaller chunks, so that with a thousand cards there is something to watch, and
/// with profiles of the algorithm that the tokens have.
fn copy_policies(from: &Path, to: &Path, shipped: Option<CardAlgorithm>) -> Outcome<()> {
    for folder in ["", "profiles", "hsm"] {
        let (from, to) = (from.join(folder), to.join(folder));
        files::make_folder(&to, Access::Anyone)?;
        let entries = std::fs::read_dir(&from).map_err(|error| Failure::io("read", &from, &error))?;
        for entry in entries {
            let path = entry.map_err(|error| Failure::io("read", &from, &error))?.path();
            let name = path.file_name().filter(|_| path.extension().is_some_and(|e| e == "toml"));
            if let Some(name) = name {
                let bytes = files::read(&path, files::SMALL_FILE_BYTES_MAX)?;
                let bytes = match shipped {
                    Some(_) if name == CEREMONY_RULES => with_small_chunks(&bytes),
                    Some(CardAlgorithm::Sm1) if folder == "profiles" => with_sm1(&bytes),
                    _ => bytes,
                };
                files::write(&to.join(name), &bytes, Access::Anyone)?;
            }
        }
    }
    Ok(())
}
