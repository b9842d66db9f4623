//! Arrows between crates, and outside crates that have one owner.

use std::collections::BTreeSet;

use crate::tree;

/// Crate · workspace crates it may use · outside crates that only it may name.
const MAY_USE: &[(&str, &[&str], &[&str])] = &[
    ("kms-core", &[], &[]),
    ("kms-api", &["kms-core"], &[]),
    ("kms-hsm", &["kms-core"], &["cryptoki", "cryptoki-sys"]),
    ("kms-server", &["kms-api", "kms-core", "kms-hsm"], &["rocket", "diesel", "diesel_migrations", "libsqlite3-sys"]),
    ("kms-cli", &["kms-api", "kms-core", "kms-hsm"], &["clap"]),
    ("hsm-sim", &[], &[]),
];

/// The one sharing of a reserved crate: the simulator needs the numbers of the standard, and its tests
/// a caller. It is a PKCS#11 *module*; the product only ever sees it from the other side.
const SHARED: &[(&str, &str)] = &[("hsm-sim", "cryptoki-sys"), ("hsm-sim", "cryptoki")];

fn manifest(name: &str) -> toml::Table {
    tree::read(&format!("{name}/Cargo.toml")).parse().unwrap()
}

/// Names of one dependency table, those for single platforms included.
fn names(manifest: &toml::Table, table: &str) -> BTreeSet<String> {
    let mut tables = vec![manifest];
    if let Some(targets) = manifest.get("target").and_then(|value| value.as_table()) {
        tables.extend(targets.values().filter_map(|value| value.as_table()));
    }
    let found = tables.into_iter().filter_map(|holder| holder.get(table)?.as_table());
    found.flat_map(|table| table.keys().cloned()).collect()
}

fn product(name: &str) -> BTreeSet<String> {
    let manifest = manifest(name);
    names(&manifest, "dependencies").union(&names(&manifest, "build-dependencies")).cloned().collect()
}

#[test]
fn dependencies_point_inwards() {
    for (name, allowed, _) in MAY_USE {
        let used = product(name);
        for (other, _, _) in MAY_USE {
            let wrong = used.contains(*other) && !allowed.contains(other);
            assert!(!wrong, "{name} uses {other}: the arrows of ARCHITECTURE.md do not allow it");
        }
    }
}

#[test]
fn reserved_crates_have_one_owner() {
    for (owner, _, reserved) in MAY_USE {
        for (name, _, _) in MAY_USE.iter().filter(|(name, _, _)| name != owner) {
            let manifest = manifest(name);
            let used: BTreeSet<_> = ["dependencies", "build-dependencies", "dev-dependencies"]
                .iter()
                .flat_map(|t| names(&manifest, t))
                .collect();
            for outside in *reserved {
                let shared = SHARED.contains(&(name, outside));
                assert!(shared || !used.contains(*outside), "{name} names {outside}, which only {owner} may name");
            }
        }
    }
}

/// The simulator is loaded by path like a vendor's module, so that the adapter is exercised for real.
#[test]
fn no_product_crate_links_the_simulator() {
    for (name, _, _) in MAY_USE {
        assert!(!product(name).contains("hsm-sim"), "{name} depends on hsm-sim");
    }
}

/// The domain is pure: nothing in its manifest could open a file, a socket or a clock.
#[test]
fn the_domain_is_pure() {
    let impure = ["tokio", "rocket", "reqwest", "ureq", "libc", "serde", "getrandom", "tracing", "toml"];
    let used = product("kms-core");
    for name in impure {
        assert!(!used.contains(name), "kms-core uses {name}");
    }
    for source in tree::ending(".rs").iter().filter(|s| s.path.starts_with("kms-core/src/")) {
        for call in ["std::fs", "std::net", "std::process", "std::env", "SystemTime::now", "Instant::now"] {
            assert!(!source.text.contains(call), "{} names {call}", source.path);
        }
    }
}

/// The server process holds no PKCS#11 module: only the worker loads one.
#[test]
fn server_loads_no_module() {
    for source in tree::ending(".rs").iter().filter(|s| s.path.starts_with("kms-server/src/")) {
        for word in ["cryptoki", "dlopen", "libloading", "C_Initialize"] {
            assert!(!source.text.contains(word), "{} names {word}", source.path);
        }
    }
    let hsm = tree::ending(".rs");
    let loaders = hsm.iter().filter(|s| s.path.starts_with("kms-hsm/src/") && s.text.contains("Pkcs11::new"));
    for source in loaders {
        let inside = ["kms-hsm/src/module.rs", "kms-hsm/src/raw.rs", "kms-hsm/src/raw/", "kms-hsm/src/bin/"];
        assert!(inside.iter().any(|part| source.path.starts_with(part)), "{} loads a module", source.path);
    }
}

/// An auditor's tool that could reach the server would not be an auditor's tool.
#[test]
fn audit_is_offline() {
    let audit =
        |path: &str| path == "kms-cli/src/commands/audit.rs" || path.starts_with("kms-cli/src/commands/audit/verify");
    for source in tree::ending(".rs").iter().filter(|s| audit(&s.path)) {
        for word in ["kms_hsm", "crate::client", "TcpStream"] {
            assert!(!source.text.contains(word), "{} names {word}", source.path);
        }
    }
}

#[test]
fn rocket_and_async_stop_at_http() {
    for source in tree::ending(".rs").iter().filter(|s| s.path.starts_with("kms-server/src/")) {
        let outer = ["kms-server/src/http", "kms-server/src/lib.rs", "kms-server/src/main.rs"];
        if outer.iter().any(|part| source.path.starts_with(part)) {
            continue;
        }
        for word in ["rocket::", "async fn", ".await"] {
            assert!(!source.text.contains(word), "{} names {word}: async stops at http", source.path);
        }
    }
    for source in tree::ending(".rs").iter().filter(|s| s.path.starts_with("kms-server/src/http")) {
        assert!(!source.text.contains("crate::store"), "{} calls the store past the use cases", source.path);
    }
}
