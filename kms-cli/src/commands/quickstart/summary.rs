//! `summary.json`: where everything is, for programs; and the lines of the end, for people.

use kms_core::cards::LIST_BYTES_MAX;
use kms_core::document::{BureauApplication, Manifest, SealedKeys};
use kms_core::encoding::Signed;
use serde_json::json;

use super::Stage;
use super::narrator::Narrator;
use crate::failure::{Failure, Outcome};
use crate::files::{self, Access};

/// Where the components of a test run lie.
const ROOT_COMPONENTS: &str = "custodians/root-components.txt";

/// What the end of the story shows.
pub(super) struct Results {
    /// Label and value.
    pub(super) lines: Vec<(&'static str, String)>,
}

/// Reads the results from the files and writes `summary.json`.
pub(super) fn write(narrator: &Narrator, stage: &Stage, sealed: &str) -> Outcome<Results> {
    let root = narrator.root();
    let signed: Signed<Manifest> = files::read_signed(&root.join("package/manifest.der"))?;
    let manifest = signed.unverified_tbs();
    let application: Signed<BureauApplication> = files::read_signed(&root.join("bureau/keys/application.der"))?;
    let application = application.unverified_tbs();
    let sealed_keys: Signed<SealedKeys> = files::read_signed(&root.join(sealed))?;
    let masters: serde_json::Map<String, serde_json::Value> = sealed_keys
        .unverified_tbs()
        .keys
        .iter()
        .map(|key| (format!("{}/{}/{}", key.name, key.group, key.version), json!(key.kcv.to_string())))
        .collect();
    let cards = files::read(&root.join("cards.csv"), LIST_BYTES_MAX)?;
    let bureau_key = stage.known_bureau_key.then_some("bureau/known-key.pem");
    let value = json!({
        "cards": manifest.cards,
        "keys": manifest.keys,
        "cards_file": "cards.csv",
        "cards_digest": kms_core::digest::Digest::of(&cards).to_string(),
        "package": "package",
        "receipt": "package/receipt.der",
        "trust_anchor": "henan/anchor.der",
        "national_trust_anchor": "national/anchor.der",
        "log_export": "export/henan",
        "national_log_export": "export/national",
        "profile": "package/profile.toml",
        "profile_id": manifest.profile_id.as_str(),
        "profile_digest": manifest.profile.to_string(),
        "region": "410000",
        "bureau": manifest.bureau.as_str(),
        "bureau_key_id": application.hsm_key.id().to_string(),
        "bureau_key": bureau_key,
        "bureau_signing_certificate": "bureau/keys/signing.crt",
        "bureau_signing_public_key": "bureau/keys/signing.pub.pem",
        "bureau_encryption_key": "bureau/keys/encryption.pem",
        "bureau_encryption_password": "bureau/password",
        "bureau_application": "bureau/keys/application.der",
        "batch": manifest.batch.to_string(),
        "manifest_digest": signed.digest().to_string(),
        "transport_key_id": manifest.kek.to_string(),
        "transport_key_kcv": manifest.kek_kcv.to_string(),
        "provincial_master_kcvs": masters,
        "sealed_masters": sealed,
        "import_receipt": "henan/import-receipt.der",
        "root_components": stage.make.combines().then_some(ROOT_COMPONENTS),
        "suite": stage.make.abilities.suite.name(),
        "map": stage.make.map,
        "wrap": manifest.wrap.name(),
        "personalization_csv": "personalization/personalization.csv",
        "personalization_dgi": "personalization/personalization.dgi",
        "national_server": "national/server.toml",
        "server": "henan/server.toml",
        "transcript": "transcript.txt",
        "seconds": narrator.seconds(),
    });
    let text = serde_json::to_vec_pretty(&value).map_err(Failure::internal)?;
    files::write(&root.join("summary.json"), &text, Access::Anyone)?;
    let mut lines = lines(manifest, &signed, application, &sealed_keys, sealed);
    if stage.make.combines() {
        lines.push(("root components (test only)", ROOT_COMPONENTS.to_owned()));
    }
    lines.push(("everything for programs", "summary.json".to_owned()));
    Ok(Results { lines })
}

fn lines(
    manifest: &Manifest,
    signed: &Signed<Manifest>,
    application: &BureauApplication,
    sealed_keys: &Signed<SealedKeys>,
    sealed: &str,
) -> Vec<(&'static str, String)> {
    let masters = &sealed_keys.unverified_tbs().keys;
    let first: Vec<String> =
        masters.iter().take(3).map(|key| format!("{}/{}/{} {}", key.name, key.group, key.version, key.kcv)).collect();
    vec![
        (
            "cards and keys",
            format!("{} cards, {} keys, in {} chunks", manifest.cards, manifest.keys, manifest.chunks.len()),
        ),
        ("Henan's masters, check values", format!("{} … ({} in all: summary.json)", first.join(", "), masters.len())),
        ("transport key, check value", format!("{} {}", manifest.kek, manifest.kek_kcv)),
        ("bureau's HSM key", application.hsm_key.id().to_string()),
        ("profile (SM3)", manifest.profile.to_string()),
        ("manifest (SM3)", signed.digest().to_string()),
        ("package and receipt", "package/  package/receipt.der".to_owned()),
        ("for the personalization machine", "personalization/personalization.csv  personalization.dgi".to_owned()),
        ("trust anchors", "national/anchor.der  henan/anchor.der".to_owned()),
        ("key logs, verified offline", "export/national/  export/henan/".to_owned()),
        ("sealed masters, receipt", format!("{sealed}  henan/import-receipt.der")),
    ]
}
