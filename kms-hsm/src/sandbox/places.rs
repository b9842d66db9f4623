//! Which files a worker may still open: the library's, the system's for loading it, the token's own.
//!
//! Guards: read means read; what is writable is the token's folder and what the vendor map names.
//! Nothing may be executed, whatever the list. The two software tokens say by their own settings where they lie.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::{Needs, Sockets};

/// What loading a library and running C code reads.
const SYSTEM: &[&str] = &[
    "/etc/crypto-policies",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/pki/tls/openssl.cnf",
    "/etc/ssl/openssl.cnf",
    "/lib",
    "/lib64",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/self",
    "/proc/sys/crypto",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/crypto-policies",
    "/usr/share/zoneinfo",
];

/// Devices without a memory.
const DEVICES: &[&str] = &["/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"];

/// What looking up a host and opening TLS reads.
const NETWORK: &[&str] = &[
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/certs",
];

/// Largest SoftHSM configuration read, in bytes.
const CONF_BYTES_MAX: u64 = 64 * 1024;

/// What may be opened.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Paths that may be missing: not every system has them all.
    pub(super) system: Vec<PathBuf>,
    /// Likewise, for reading and writing.
    pub(super) devices: Vec<PathBuf>,
    /// For reading; named by somebody, so it is told when one is missing.
    pub(super) read: Vec<PathBuf>,
    /// For reading and writing; likewise.
    pub(super) write: Vec<PathBuf>,
}

/// The places of a module, with the environment as it is.
pub(super) fn of(module: &Path, needs: &Needs) -> Places {
    let mut places = Places {
        system: SYSTEM.iter().map(PathBuf::from).collect(),
        devices: DEVICES.iter().map(PathBuf::from).collect(),
        read: needs.read.clone(),
        write: needs.write.clone(),
    };
    if needs.sockets == Sockets::Network {
        places.system.extend(NETWORK.iter().map(PathBuf::from));
    }
    if let Some(paths) = std::env::var_os("LD_LIBRARY_PATH") {
        places.system.extend(std::env::split_paths(&paths).filter(|path| path.is_absolute()));
    }
    // The folder the path names, and the one a link leads to.
    let folders = [Some(module.to_owned()), fs::canonicalize(module).ok()];
    places.system.extend(folders.into_iter().flatten().filter_map(|path| Some(path.parent()?.to_owned())));
    hsm_sim(module, &mut places);
    softhsm(module, &mut places);
    places
}

fn named(module: &Path, part: &str) -> bool {
    module.file_name().is_some_and(|name| name.to_string_lossy().contains(part))
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn hsm_sim(module: &Path, places: &mut Places) {
    let home = || variable("HOME").filter(|_| named(module, "hsm_sim")).map(|home| home.join(".local/share/hsm-sim"));
    if let Some(folder) = variable("HSM_SIM_DIR").or_else(home) {
        // The simulator would make it itself; it could not any more. What fails here fails there.
        let _ = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        places.write.push(folder);
    }
    // A fault script, its counters and its record: in tests.
    let files = [variable("HSM_SIM_FAULTS"), variable("HSM_SIM_FAULTS_LOG")];
    places.write.extend(files.into_iter().flatten().filter_map(|file| Some(file.parent()?.to_owned())));
}

fn softhsm(module: &Path, places: &mut Places) {
    let conf = match variable("SOFTHSM2_CONF") {
        Some(conf) => conf,
        None if named(module, "softhsm") => {
            let own = variable("HOME").map(|home| home.join(".config/softhsm2/softhsm2.conf"));
            own.filter(|conf| conf.is_file()).unwrap_or_else(|| PathBuf::from("/etc/softhsm/softhsm2.conf"))
        }
        None => return,
    };
    let short = fs::metadata(&conf).is_ok_and(|metadata| metadata.len() <= CONF_BYTES_MAX);
    let text = if short { fs::read_to_string(&conf).unwrap_or_default() } else { String::new() };
    places.read.push(conf);
    places.write.extend(token_folder(&text));
}

/// `directories.tokendir` of a SoftHSM configuration.
fn token_folder(conf: &str) -> Option<PathBuf> {
    let settings = conf.lines().filter_map(|line| line.split('#').next()?.split_once('='));
    settings
        .filter(|(key, _)| key.trim() == "directories.tokendir")
        .map(|(_, value)| PathBuf::from(value.trim()))
        .next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softhsm_says_where_its_tokens_are() {
        let conf = "# directories.tokendir = /no\nlog.level = ERROR\ndirectories.tokendir = /var/lib/tokens # here\n";
        assert_eq!(token_folder(conf), Some(PathBuf::from("/var/lib/tokens")));
        assert_eq!(token_folder(""), None);
    }

    #[test]
    fn only_what_is_named_is_writable() {
        let needs = Needs { write: vec![PathBuf::from("/dev/hsm0")], ..Needs::default() };
        let places = of(Path::new("/opt/vendor/libpkcs11.so"), &needs);
        assert!(places.system.contains(&PathBuf::from("/opt/vendor")));
        assert!(!places.system.contains(&PathBuf::from("/etc/resolv.conf")));
        assert!(places.write.contains(&PathBuf::from("/dev/hsm0")));
        assert!(!places.write.iter().any(|path| path.starts_with("/opt")));
        for secret in ["/", "/etc", "/etc/ssl", "/proc", "/dev", "/tmp", "/var", "/usr", "/run"] {
            let all = [&places.system, &places.devices, &places.read, &places.write];
            assert!(!all.iter().any(|list| list.contains(&PathBuf::from(secret))), "{secret} is wide open");
        }
    }
}
