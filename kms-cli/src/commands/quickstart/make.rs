//! The make of the three tokens: hsm-sim in its own or in a vendor's numbering, or SoftHSM.
//!
//! Guards: what a map lacks for the main work is said before anything is started; SoftHSM gets a configuration and a
//! folder of tokens of its own at every place, so that the user's tokens are never seen.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use kms_core::ports::Abilities;
use kms_core::suite::{CardAlgorithm, Suite};
use kms_hsm::VendorMap;
use kms_hsm::vendor::Operation;

use crate::failure::{Exit, Failure, Outcome};
use crate::files::{self, Access};
use crate::token;

/// Where distributions put SoftHSM's library.
const SOFTHSM_PLACES: [&str; 9] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib/pkcs11/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    "/run/current-system/sw/lib/softhsm/libsofthsm2.so",
];

/// Ending of maps that need hsm-sim's stand-in for SM1.
const STAND_IN_ENDING: &str = "-sm1";

/// A make of token, its library and its vendor map.
#[derive(Clone, Debug)]
pub(super) struct Make {
    /// The PKCS#11 library.
    pub(super) module: PathBuf,
    /// Name of the vendor map.
    pub(super) map: String,
    /// What the map offers.
    pub(super) abilities: Abilities,
}

impl Make {
    /// The make for a suite, or for a named map; refuses one whose map lacks something that the story needs.
    pub(super) fn choose(
        suite: Suite,
        map: Option<&str>,
        module: Option<&Path>,
        policies: &Path,
        simulator: PathBuf,
    ) -> Outcome<Self> {
        let name = match (map, suite) {
            (Some(name), _) => name,
            (None, Suite::Sm) => "hsm-sim",
            (None, Suite::Intl) => "softhsm2",
        };
        let map = read_map(policies, name)?;
        let lacking: Vec<&str> = map
            .lacking()
            .1
            .into_iter()
            // Without XOR of keys the masters are generated in the HSM.
            .filter(|operation| *operation != Operation::XorKeys)
            .map(|operation| operation.name(map.suite()))
            .collect();
        if !lacking.is_empty() {
            return Err(Failure::input(
                format!("the vendor map {name} has no number for: {}", lacking.join(", ")),
                "nothing was started; hsm-sim, ibm-ep11 and sansec run to the end, policies/hsm/README.md says what each make has",
            ));
        }
        let module = match (module, map.suite()) {
            (Some(module), _) => super::program(module.to_owned(), "--module")?,
            (None, Suite::Sm) => super::program(simulator, "--module")?,
            (None, Suite::Intl) => find_softhsm()?,
        };
        Ok(Self { module, map: name.to_owned(), abilities: map.abilities() })
    }

    /// Makes what the tokens of a place need in `folder`.
    pub(super) fn prepare(&self, folder: &Path) -> Outcome<()> {
        files::make_folder(folder, Access::Owner)?;
        if self.abilities.suite == Suite::Sm {
            return Ok(());
        }
        let tokens = folder.join("tokens");
        files::make_folder(&tokens, Access::Owner)?;
        let text = format!(
            "# SoftHSM's tokens of this place, and no others.\ndirectories.tokendir = {}\nobjectstore.backend = file\n\
             log.level = ERROR\nslots.removable = false\n",
            tokens.display()
        );
        files::write(&folder.join("softhsm2.conf"), text.as_bytes(), Access::Owner)
    }

    /// What a program that uses the tokens in `folder` finds them by; `folder` may be relative for people to read.
    pub(super) fn environment(&self, folder: &Path) -> Vec<(&'static str, OsString)> {
        if self.abilities.suite == Suite::Intl {
            return vec![("SOFTHSM2_CONF", folder.join("softhsm2.conf").into())];
        }
        let mut variables = vec![("HSM_SIM_DIR", folder.into())];
        let numbering = self.map.trim_end_matches(STAND_IN_ENDING);
        if numbering != "hsm-sim" {
            variables.push(("HSM_SIM_PROFILE", numbering.into()));
        }
        if self.abilities.cards == CardAlgorithm::Sm1 {
            variables.push(("HSM_SIM_SM1_STAND_IN", "1".into()));
        }
        variables
    }

    /// The same before a command line, as a person would type it in the folder of everything.
    pub(super) fn before_a_command(&self, folder: &str) -> String {
        let in_folder = Path::new("$PWD").join(folder);
        let variable = |(name, value): (&str, OsString)| format!("{name}={} ", value.to_string_lossy());
        self.environment(&in_folder).into_iter().map(variable).collect()
    }

    /// One remark for whoever watches.
    pub(super) fn in_words(&self) -> String {
        let Abilities { suite, cards, wrap, unwrapped_kcv, .. } = self.abilities;
        let make = match suite {
            Suite::Intl => format!("The tokens are SoftHSM ({})", self.module.display()),
            Suite::Sm if self.map == "hsm-sim" => "The tokens are hsm-sim".to_owned(),
            Suite::Sm => format!("The tokens are hsm-sim, speaking the numbers of {}", self.map),
        };
        let components = match self.combines() {
            true => "root components are combined in the HSM",
            false => "this make combines no root components",
        };
        let values = if unwrapped_kcv { "" } else { "; no check values of unwrapped keys" };
        format!("{make}.\nSuite {suite}, card keys {cards}, wrapped by {wrap}; {components}{values}.")
    }

    /// Can the national masters come from components?
    pub(super) fn combines(&self) -> bool {
        self.abilities.holds_component_ceremonies()
    }
}

fn read_map(policies: &Path, name: &str) -> Outcome<VendorMap> {
    let path = policies.join("hsm").join(format!("{name}.toml"));
    if !path.is_file() {
        let listed = std::fs::read_dir(policies.join("hsm")).into_iter().flatten().flatten();
        let mut known: Vec<String> = listed
            .filter_map(|entry| {
                entry.file_name().to_str().and_then(|name| name.strip_suffix(".toml")).map(str::to_owned)
            })
            .collect();
        known.sort();
        return Err(Failure::input(
            format!("there is no vendor map {name}"),
            format!("name one of {}", known.join(", ")),
        ));
    }
    VendorMap::read(&path).map_err(|reason| token::bad_map(&reason))
}

fn find_softhsm() -> Outcome<PathBuf> {
    let found = SOFTHSM_PLACES.iter().map(Path::new).find(|place| place.is_file());
    found.map(Path::to_path_buf).ok_or_else(|| {
        Failure::new(
            Exit::Input,
            "libsofthsm2.so was not found where distributions put it",
            "install SoftHSM (Debian, Ubuntu: apt-get install softhsm2; Fedora: dnf install softhsm; macOS: brew install \
             softhsm), or say where it is: --module FILE",
        )
    })
}
