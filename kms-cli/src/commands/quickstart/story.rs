//! The story itself: founding, roots, hand-over, bureau, batch, audit.

use std::path::Path;

use kms_core::digest::Digest;
use kms_core::document::{ImportReceipt, SealedKeys};
use kms_core::encoding::{Document, SIGNED_OVERHEAD_BYTES_MAX};

use super::Stage;
use super::ceremonies::{approve, genesis, hold, hold_with_trust, propose_and_approve, run};
use super::narrator::{Narrator, Show};
use super::people::{HENAN, NATION, NATION_PEOPLE, Player};
use super::site::{InstanceSite, Site, digest_of, secret_file};
use super::summary::{self, Results};
use crate::evidence::{CHECKPOINT_FILE, DOCUMENT_BYTES_MAX, DOCUMENTS_FOLDER, ENTRIES_BYTES_MAX, ENTRIES_FILE};
use crate::failure::{Exit, Failure, Outcome};
use crate::files::{self, Access};
use crate::identity;

const PROFILE: &str = "resident-health-card";
const REGION: &str = "410000";
const BUREAU: &str = "yellow-river-cards";
const BUREAU_NAME: &str = "Yellow River Cards";
/// Custodians, where no components are given.
const CUSTODIANS: usize = 3;

/// Tells the story from beginning to end.
pub(super) fn tell(stage: &Stage, mut narrator: Narrator, keep_running: bool) -> Outcome<()> {
    let n = &mut narrator;
    n.print("A key management system for smart cards, from nothing to an audited batch of card keys.");
    n.tell(&format!("Everything stays in {}. Every line that begins with $ can be typed there.", stage.root.display()));

    n.act(
        "Three HSMs and eight people",
        "An HSM token for the nation, one for the province Henan (410000), one for the personalization bureau.\n\
         Three security officers and an auditor at each instance make their own keys, which stay with them.",
    );
    n.tell(&stage.make.in_words());
    let more = stage.components.as_ref().map_or(0, |list| list.len().saturating_sub(CUSTODIANS));
    let people = NATION.split_at(NATION_PEOPLE + more).0;
    let mut nation = InstanceSite::found(n, "national", people, None)?;
    let mut henan = InstanceSite::found(n, "henan", &HENAN, Some(&nation.url))?;
    let bureau = Site::found(n, "bureau")?;

    n.act(
        "Two servers",
        "One process for the nation, one for Henan. They never load the HSM's library themselves; a worker does.",
    );
    let servers = [nation.start(n, &stage.server_program)?, henan.start(n, &stage.server_program)?];

    n.act(
        "Genesis",
        "The server drafts what it is and who runs it. Every founding officer reads that plan with their own program and\n\
         signs exactly those bytes. Only then are the instance's keys made, in the HSM. Its trust anchor is its identity.",
    );
    genesis(n, &nation, Show::Essence)?;
    genesis(n, &henan, Show::Last(4))?;

    if stage.make.combines() {
        n.act(
            "National root keys",
            "Custodians bring root components. Each seals theirs to the HSM; the HSM combines them and diversifies all master\n\
             keys of the profile from the result. Nobody sees another's component, and the requester's approval does not count.",
        );
        create_roots(n, stage, &nation)?;
    } else {
        n.act(
            "National root keys",
            "This make of HSM combines no components, so there are no custodians: under a quorum every master key of the\n\
             profile is generated inside the HSM. Nobody knows one, and nobody can make it a second time.",
        );
        hold(n, &nation, &format!("create-roots --profile {PROFILE} --transferable"), Show::Essence)?;
    }

    n.act(
        "Pairing",
        "Nation and province compare their trust anchors by telephone, word by word, and pin each other by ceremony. The\n\
         security officer makes the province's HSM key TRUSTED in a session of their own: no server sees the SO PIN.",
    );
    n.kms(None, "anchor show henan/anchor.der", &[], Show::Last(2))?;
    n.kms(None, "anchor show national/anchor.der", &[], Show::Last(2))?;
    hold_with_trust(n, &nation, "pair-province --anchor henan/anchor.der")?;
    hold(n, &henan, "pair-nation --anchor national/anchor.der", Show::Last(9))?;

    n.act(
        "Henan's master keys",
        "In the national HSM every master is diversified with Henan's factor and sealed to Henan's HSM. Henan fetches the\n\
         set, imports it under its own quorum, compares every check value (KCV), and signs a receipt for the nation.",
    );
    let sealed = hand_over(n, &nation, &henan)?;

    n.act(
        "The bureau",
        "The bureau makes a key in its own HSM, certificates and a signed application. Henan registers it by ceremony; the\n\
         security officer makes the transport key (KEK) that wraps card keys for this bureau and for nobody else.",
    );
    bureau_init(n, stage, &bureau, &henan)?;
    hold_with_trust(n, &henan, "register-bureau --application bureau/keys/application.der --valid-days 365")?;

    n.act(
        "A batch of card keys",
        "The bureau hands in a card list. Two officers approve the plan; the engine makes the keys in the HSM, chunk by\n\
         chunk, with INTENT and OUTCOME in the key log. What a signed checkpoint covers is released.",
    );
    batch(n, stage, &henan)?;

    n.act(
        "In the bureau",
        "Everything is verified before anything is unwrapped. Then every key goes, inside the bureau's HSM, from the\n\
         transport key to the personalization key; no clear key is ever written. The bureau signs for what it got.",
    );
    open(n, &bureau)?;

    n.act(
        "The audit",
        "The auditors fetch both key logs and verify them offline from the trust anchors alone: every signature, quorum,\n\
         state and count. One card is proven from its number to the signed log. Then one bit of a copy is changed.",
    );
    audit(n, &nation)?;
    audit(n, &henan)?;
    prove(n, &henan)?;
    tamper(n)?;

    let results = summary::write(n, stage, &sealed)?;
    the_end(n, stage, &results);
    if keep_running {
        n.tell(&format!("The servers go on running: {} and {}. Press Enter to end them.", nation.url, henan.url));
        let _ = std::io::stdin().read_line(&mut String::new());
    }
    drop(servers);
    Ok(())
}

fn create_roots(n: &mut Narrator, stage: &Stage, nation: &InstanceSite) -> Outcome<()> {
    let components = match &stage.components {
        Some(known) => known.clone(),
        None => (0..CUSTODIANS).map(|_| Ok(hex::encode(identity::random::<16>()?))).collect::<Outcome<_>>()?,
    };
    n.tell(
        "In earnest a custodian runs `kms ceremony component new` and writes the component on paper. Here they are kept in\n\
         files, so that anybody can recompute every key of this test run with other tools.",
    );
    let folder = n.root().join("custodians");
    files::make_folder(&folder, Access::Owner)?;
    files::write(&folder.join("root-components.txt"), (components.join("\n") + "\n").as_bytes(), Access::Owner)?;
    let mut propose = format!("create-roots --profile {PROFILE} --transferable");
    let custodians: Vec<&Player> = nation.officers().take(components.len()).collect();
    for (person, component) in custodians.iter().zip(&components) {
        let file = format!("custodians/{}.component", person.id);
        files::write(&n.root().join(&file), component.as_bytes(), Access::Owner)?;
        let shown = n.kms(None, &format!("ceremony component new --value-file {file}"), &[], Show::All)?;
        let kcv = shown.split_whitespace().last().unwrap_or_default();
        propose += &format!(" --custodian {}={kcv}", person.id);
    }
    let plan = propose_and_approve(n, nation, &propose)?;
    for (index, person) in custodians.iter().enumerate() {
        let (id, config) = (person.id, nation.officer(index));
        let hand_in = format!(
            "ceremony component hand-in {plan} --anchor national/anchor.der --value-file custodians/{id}.component \
             --yes-digest {plan} --config {config}"
        );
        n.kms(None, &hand_in, &[], Show::Last(1))?;
    }
    run(n, nation, plan, Show::Essence)
}

/// Answers the path of the sealed set.
fn hand_over(n: &mut Narrator, nation: &InstanceSite, henan: &InstanceSite) -> Outcome<String> {
    let derivation = hold(n, nation, &format!("derive-province --region {REGION} --profile {PROFILE}"), Show::Essence)?;
    let sealed = nation.site.path(&format!("sealed-{REGION}.der"));
    let officer = nation.officer(0);
    let fetch = format!("handover fetch --plan {derivation} --out {sealed} --config {officer}");
    n.kms(None, &fetch, &[], Show::Essence)?;
    n.tell("That file could travel on a disk in two people's hands. Here Henan's server fetches the same over HTTP:");
    let officer = henan.officer(0);
    n.kms(None, &format!("handover pull --config {officer}"), &[], Show::All)?;
    let pulled = digest_of(n.root(), &sealed, SealedKeys::BYTES_MAX + SIGNED_OVERHEAD_BYTES_MAX)?;
    let import = format!("import-masters --profile {PROFILE} --pulled {pulled} --transferable");
    let import = hold(n, henan, &import, Show::Last(4))?;
    let receipt = henan.site.path("import-receipt.der");
    n.kms(None, &format!("handover receipt --plan {import} --out {receipt} --config {officer}"), &[], Show::All)?;
    n.kms(None, &format!("handover confirm --plan {import} --config {officer}"), &[], Show::All)?;
    compare_check_values(n, &sealed, &receipt)?;
    Ok(sealed)
}

fn compare_check_values(n: &mut Narrator, sealed: &str, receipt: &str) -> Outcome<()> {
    let sealed = files::read_signed::<SealedKeys>(&n.root().join(sealed))?;
    let receipt = files::read_signed::<ImportReceipt>(&n.root().join(receipt))?;
    let sent = sealed.unverified_tbs().keys.iter().map(|key| (&key.name, key.group, key.version, key.kcv));
    let got = receipt.unverified_tbs().keys.iter().map(|key| (&key.name, key.group, key.version, key.kcv));
    if !sent.eq(got) {
        let what = "the check values of sealed set and receipt differ";
        return Err(Failure::not_verified(what, "report this: it must never happen"));
    }
    let count = receipt.unverified_tbs().keys.len();
    n.tell(&format!("All {count} check values agree: what left the national HSM is what Henan's HSM holds."));
    Ok(())
}

fn bureau_init(n: &mut Narrator, stage: &Stage, bureau: &Site, henan: &InstanceSite) -> Outcome<()> {
    secret_file(&n.root().join("bureau/password"))?;
    let settings = bureau.settings(&henan.url, "keys/signing.pem", "password")
        + "pin_file = \"pin\"\nenc_key = \"keys/encryption.pem\"\nenc_password_file = \"password\"\n";
    files::write(&stage.root.join("bureau/kms.toml"), settings.as_bytes(), Access::Owner)?;
    let mut init = format!(
        "bureau init --id {BUREAU} --dir bureau/keys --password-file bureau/password --so-pin-file bureau/so-pin \
         --config bureau/kms.toml"
    );
    if stage.known_bureau_key {
        init += " --bureau-key bureau/known-key.pem --anchor henan/anchor.der";
    }
    n.kms(Some(&bureau.hsm), &init, &["--name", BUREAU_NAME], Show::Last(10))?;
    Ok(())
}

fn batch(n: &mut Narrator, stage: &Stage, henan: &InstanceSite) -> Outcome<()> {
    let request =
        format!("batch request --profile {PROFILE} --cards cards.csv --out bureau/request --config bureau/kms.toml");
    n.kms(None, &request, &[], Show::All)?;
    let (batch, plan) = requested(&stage.root)?;
    let officer = henan.officer(0);
    n.kms(None, &format!("ceremony show {plan} --config {officer}"), &[], Show::Essence)?;
    approve(n, henan, plan, [0, 1])?;
    n.kms(None, &format!("batch status {batch} --watch --config bureau/kms.toml"), &[], Show::Last(9))?;
    n.kms(None, &format!("batch pull {batch} --out package --config bureau/kms.toml"), &[], Show::All)?;
    Ok(())
}

/// Batch id and plan id, from what `kms batch request` left.
fn requested(root: &Path) -> Outcome<(String, Digest)> {
    let bytes = files::read(&root.join("bureau/request/batch.json"), files::SMALL_FILE_BYTES_MAX)?;
    let view: kms_api::body::BatchView = serde_json::from_slice(&bytes).map_err(Failure::internal)?;
    Ok((view.batch.to_string(), view.plan_id.0))
}

fn open(n: &mut Narrator, bureau: &Site) -> Outcome<()> {
    n.kms(None, "batch verify package --anchor henan/anchor.der", &[], Show::All)?;
    let open = "batch open package --anchor henan/anchor.der --out personalization --config bureau/kms.toml";
    n.kms(Some(&bureau.hsm), open, &[], Show::Last(6))?;
    let acknowledge = "batch acknowledge package --anchor henan/anchor.der --config bureau/kms.toml";
    n.kms(None, acknowledge, &[], Show::All)?;
    Ok(())
}

fn audit(n: &mut Narrator, instance: &InstanceSite) -> Outcome<()> {
    let (name, auditor) = (instance.site.name, instance.auditor());
    n.kms(None, &format!("audit export --out export/{name} --config {auditor}"), &[], Show::Last(4))?;
    n.kms(None, &format!("audit verify export/{name} --anchor {name}/anchor.der"), &[], Show::All)?;
    Ok(())
}

fn prove(n: &mut Narrator, instance: &InstanceSite) -> Outcome<()> {
    let list = files::read_text(&n.root().join("cards.csv"), kms_core::cards::LIST_BYTES_MAX)?;
    let number = list.lines().nth(1).and_then(|line| line.split(',').next()).unwrap_or_default();
    let auditor = instance.auditor();
    n.kms(None, &format!("audit prove --card {number} --anchor henan/anchor.der --config {auditor}"), &[], Show::All)?;
    Ok(())
}

/// One bit of one entry in a copy of the export.
fn tamper(n: &mut Narrator) -> Outcome<()> {
    let (from, to) = (n.root().join("export/henan"), n.root().join("export/tampered"));
    files::make_folder(&to.join(DOCUMENTS_FOLDER), Access::Anyone)?;
    let listed = std::fs::read_dir(from.join(DOCUMENTS_FOLDER));
    let listed = listed.map_err(|error| Failure::io("read", &from, &error))?;
    let documents = listed.flatten().map(|entry| Path::new(DOCUMENTS_FOLDER).join(entry.file_name()));
    for name in documents.chain([CHECKPOINT_FILE.into()]) {
        files::write(&to.join(&name), &files::read(&from.join(&name), DOCUMENT_BYTES_MAX)?, Access::Anyone)?;
    }
    let mut entries = files::read(&from.join(ENTRIES_FILE), ENTRIES_BYTES_MAX)?;
    let middle = entries.len() / 2;
    if let Some(byte) = entries.get_mut(middle) {
        *byte ^= 1;
    }
    files::write(&to.join(ENTRIES_FILE), &entries, Access::Anyone)?;
    n.tell(&format!("One bit of byte {middle} of {} is changed in export/tampered:", entries.len()));
    n.kms_must_refuse("audit verify export/tampered --anchor henan/anchor.der", Exit::NotVerified)
}

fn the_end(n: &mut Narrator, stage: &Stage, results: &Results) {
    n.act("What happened", "");
    for (label, value) in &results.lines {
        n.print(&format!("   {label:<34} {value}"));
    }
    let (seconds, root) = (n.seconds(), stage.root.display());
    n.tell(&format!("{seconds:.1} seconds. Everything is in {root}: begin with transcript.txt and summary.json."));
    n.tell("This was a test instance on software tokens: never use its keys for real cards.");
}
