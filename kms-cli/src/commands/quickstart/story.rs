//! The story itself: founding, roots, hand-over, bureau, batch, audit.

use std::path::Path;

use kms_core::digest::Digest;
use kms_core::document::{ImportReceipt, SealedKeys};
use kms_core::encoding::{Document, SIGNED_OVERHEAD_BYTES_MAX};
use kms_core::plan::Plan;

use super::Stage;
use super::narrator::{Narrator, Show};
use super::site::{InstanceSite, Player, Site, digest_of, secret_file};
use super::summary::{self, Result as Results};
use crate::console;
use crate::failure::{Exit, Failure, Outcome};
use crate::files::{self, Access};
use crate::identity;

const PROFILE: &str = "resident-health-card";
const REGION: &str = "410000";
const BUREAU: &str = "yellow-river-cards";
/// Custodians without known components.
const CUSTODIANS: usize = 3;

const NATION: [Player; 9] = [
    Player { id: "zhang-wei", name: "张伟", role: "security" },
    Player { id: "li-na", name: "李娜", role: "security" },
    Player { id: "wang-fang", name: "王芳", role: "security" },
    Player { id: "zhao-lei", name: "赵磊", role: "audit" },
    Player { id: "custodian-4", name: "第四保管员", role: "security" },
    Player { id: "custodian-5", name: "第五保管员", role: "security" },
    Player { id: "custodian-6", name: "第六保管员", role: "security" },
    Player { id: "custodian-7", name: "第七保管员", role: "security" },
    Player { id: "custodian-8", name: "第八保管员", role: "security" },
];
/// Three officers and an auditor; more officers only as custodians of known components.
const NATION_PEOPLE: usize = 4;
const HENAN: [Player; 4] = [
    Player { id: "chen-jie", name: "陈杰", role: "security" },
    Player { id: "liu-yang", name: "刘洋", role: "security" },
    Player { id: "sun-li", name: "孙丽", role: "security" },
    Player { id: "zhou-min", name: "周敏", role: "audit" },
];

/// Tells the story from beginning to end.
pub(super) fn tell(stage: &Stage, mut narrator: Narrator, keep_running: bool) -> Outcome<()> {
    let n = &mut narrator;
    n.print("A key management system for smart cards, from nothing to an audited batch of card keys.");
    n.tell(&format!("Everything stays in {}; every line that begins with $ is a command you can type there yourself.", stage.root.display()));

    n.act("Three HSMs and seven people", "An HSM token for the nation, one for the province Henan (410000), one for the personalization bureau.\n\
        Three security officers and an auditor at each instance make their own keys; no key ever leaves its owner.");
    let extra = stage.components.as_ref().map_or(0, |list| list.len().saturating_sub(CUSTODIANS));
    let nation = InstanceSite::found(n, "national", &stage.module, NATION.split_at(NATION_PEOPLE + extra).0, None)?;
    let henan = InstanceSite::found(n, "henan", &stage.module, &HENAN, Some(&nation.url))?;
    let bureau = Site::found(n, "bureau", &stage.module)?;

    n.act("Two servers", "One process for the nation, one for Henan. They never load the HSM's library themselves; a worker does.");
    let servers = [nation.start(n, &stage.server_program)?, henan.start(n, &stage.server_program)?];

    n.act("Genesis", "The server drafts who it is and who runs it; every founding officer reads that plan on their own computer and signs\n\
        exactly those bytes. Only then are the instance's keys made, inside the HSM. The trust anchor is its public identity.");
    genesis(n, &nation)?;
    genesis(n, &henan)?;

    n.act("National root keys", "Custodians bring root components. Each seals theirs to the HSM; the HSM combines them and diversifies all 57 masters\n\
        of the profile from the result. Nobody, and no server, sees another's component. The requester's approval does not count.");
    create_roots(n, stage, &nation)?;

    n.act("Pairing", "Nation and province compare the digests of their trust anchors by telephone, word by word, and pin each other by ceremony.\n\
        The nation's security officer then makes the province's HSM key TRUSTED in a session of their own: the server never sees the SO PIN.");
    let (nation_anchor, henan_anchor) = (nation.anchor(), henan.anchor());
    n.kms(None, &["anchor", "show", &henan_anchor], Show::Last(2))?;
    n.kms(None, &["anchor", "show", &nation_anchor], Show::Last(2))?;
    trusted_ceremony(n, &nation, "pair-province", &["pair-province", "--anchor", &henan_anchor])?;
    run_ceremony(n, &henan, "pair-nation", &["pair-nation", "--anchor", &nation_anchor], Show::Last(9))?;

    n.act("Henan's master keys", "Inside the national HSM every master is diversified with Henan's factor and sealed to Henan's HSM. Henan fetches the set,\n\
        imports it under its own quorum, compares every check value (KCV), and signs a receipt that the nation records.");
    let sealed = hand_over(n, &nation, &henan)?;

    n.act("The bureau", "The bureau makes a key in its own HSM, certificates, and a signed application. Henan's officers register it; the security\n\
        officer makes its key TRUSTED and makes the transport key (KEK) that will wrap card keys for this bureau and nobody else.");
    bureau_init(n, stage, &bureau, &henan)?;
    let application = bureau.path("keys/application.der");
    trusted_ceremony(n, &henan, "register-bureau", &["register-bureau", "--application", &application, "--valid-days", "365"])?;

    n.act("A batch of card keys", "The bureau hands in a card list. Two officers approve the plan; the engine makes the keys in the HSM, chunk by chunk, an\n\
        INTENT and an OUTCOME in the key log for each. The package is released when a signed checkpoint covers them.");
    let config = bureau.path("kms.toml");
    let settings = format!("server = \"{}\"\nkey = \"keys/signing.pem\"\npassword_file = \"password\"\n", henan.url);
    files::write(&stage.root.join(&config), settings.as_bytes(), Access::Owner)?;
    n.kms(None, &["batch", "request", "--profile", PROFILE, "--cards", "cards.csv", "--out", "bureau/request", "--config", &config], Show::All)?;
    let (batch, plan) = requested(&stage.root)?;
    approve(n, &henan, plan, [0, 1])?;
    n.kms(None, &["batch", "status", &batch, "--watch", "--config", &config], Show::Last(9))?;
    n.kms(None, &["batch", "pull", &batch, "--out", "package", "--config", &config], Show::All)?;

    n.act("In the bureau", "Everything is verified before anything is unwrapped. Then every key goes, inside the bureau's HSM, from the transport key to\n\
        the personalization key; no clear key is ever written. The bureau signs for what it got.");
    n.kms(None, &["batch", "verify", "package", "--anchor", &henan_anchor], Show::Last(2))?;
    let (pin, password) = (bureau.path("pin"), bureau.path("password"));
    let [m, module, p, map, t, token] = bureau.token_args();
    let open = ["batch", "open", "package", "--anchor", &henan_anchor, m, module, p, map, t, token, "--pin-file", &pin,
        "--enc-key", "bureau/keys/encryption.pem", "--enc-password-file", &password, "--out", "personalization"];
    n.kms(Some(&bureau.hsm), &open, Show::Last(5))?;
    n.kms(None, &["batch", "acknowledge", "package", "--anchor", &henan_anchor, "--config", &config], Show::All)?;

    n.act("The audit", "The auditor fetches both key logs and verifies them offline, from the trust anchors alone: every signature, quorum, state and\n\
        count. One card is proven from its number to the signed log. Then one bit of a copy is changed, to see that it is found.");
    audit(n, &nation)?;
    audit(n, &henan)?;
    prove(n, &henan)?;
    tamper(n, &henan_anchor)?;

    let results = summary::write(n, stage, &sealed)?;
    the_end(n, stage, &results);
    if keep_running {
        n.tell(&format!("The servers go on running: {} and {}. Press Enter to end them.", nation.url, henan.url));
        let _ = std::io::stdin().read_line(&mut String::new());
    }
    drop(servers);
    Ok(())
}

fn genesis(n: &mut Narrator, site: &InstanceSite) -> Outcome<()> {
    let (people, plan, anchor) = (site.site.path("people.toml"), site.site.path("genesis.der"), site.anchor());
    n.kms(None, &["genesis", "draft", "--server", &site.url, "--people", &people, "--out", &plan], Show::All)?;
    let digest = digest_of(n.root(), &plan, Plan::BYTES_MAX)?.to_string();
    let mut submit = vec!["genesis".to_owned(), "submit".into(), "--server".into(), site.url.clone(), "--plan".into(), plan.clone()];
    for person in site.officers() {
        let file = |suffix: &str| site.site.path(&format!("{}{suffix}", person.id));
        let (key, password, out) = (file(".pem"), file(".password"), file(".genesis.der"));
        let sign = ["genesis", "sign", "--plan", &plan, "--key", &key, "--password-file", &password, "--yes-digest", &digest, "--out", &out];
        n.kms(None, &sign, Show::Last(1))?;
        submit.extend(["--approval".into(), out]);
    }
    submit.extend(["--anchor".into(), anchor]);
    let submit: Vec<&str> = submit.iter().map(String::as_str).collect();
    n.kms(None, &submit, Show::Last(14))?;
    Ok(())
}

fn create_roots(n: &mut Narrator, stage: &Stage, nation: &InstanceSite) -> Outcome<()> {
    let components = match &stage.components {
        Some(known) => known.clone(),
        None => (0..CUSTODIANS).map(|_| Ok(hex::encode(identity::random::<16>()?))).collect::<Outcome<_>>()?,
    };
    n.tell("In earnest a custodian runs `kms ceremony component new` and writes the component on paper. Here they are kept in files, so\n\
        that anybody can recompute every key of this test run with other tools.");
    let folder = n.root().join("custodians");
    files::make_folder(&folder, Access::Owner)?;
    files::write(&folder.join("root-components.txt"), (components.join("\n") + "\n").as_bytes(), Access::Owner)?;
    let mut propose = vec!["create-roots".to_owned(), "--profile".into(), PROFILE.into(), "--transferable".into()];
    let custodians: Vec<&Player> = nation.officers().take(components.len()).collect();
    for (person, component) in custodians.iter().zip(&components) {
        let file = format!("custodians/{}.component", person.id);
        files::write(&n.root().join(&file), component.as_bytes(), Access::Owner)?;
        let shown = n.kms(None, &["ceremony", "component", "new", "--value-file", &file], Show::All)?;
        let kcv = shown.split_whitespace().last().unwrap_or_default();
        propose.extend(["--custodian".into(), format!("{}={kcv}", person.id)]);
    }
    let propose: Vec<&str> = propose.iter().map(String::as_str).collect();
    let plan = propose_and_approve(n, nation, "create-roots", &propose, Show::All)?;
    let (id, anchor) = (plan.to_string(), nation.anchor());
    for (index, person) in custodians.iter().enumerate() {
        let (file, config) = (format!("custodians/{}.component", person.id), nation.officer(index));
        let hand_in = ["ceremony", "component", "hand-in", &id, "--anchor", &anchor, "--value-file", &file, "--yes-digest", &id, "--config", &config];
        n.kms(None, &hand_in, Show::Last(1))?;
    }
    n.kms(None, &["ceremony", "run", &id, "--config", &nation.officer(0)], Show::All)?;
    Ok(())
}

/// Proposed by the first officer, approved by the second and third, run by the first.
fn run_ceremony(n: &mut Narrator, site: &InstanceSite, name: &str, args: &[&str], show: Show) -> Outcome<Digest> {
    let plan = propose_and_approve(n, site, name, args, Show::All)?;
    n.kms(None, &["ceremony", "run", &plan.to_string(), "--config", &site.officer(0)], show)?;
    Ok(plan)
}

/// The same with the security officer's session at the HSM in between.
fn trusted_ceremony(n: &mut Narrator, site: &InstanceSite, name: &str, args: &[&str]) -> Outcome<()> {
    let plan = run_ceremony(n, site, name, args, Show::Last(1))?.to_string();
    let (anchor, so_pin, officer) = (site.anchor(), site.site.path("so-pin"), site.officer(1));
    let mut trust = vec!["ceremony", "trust", &plan, "--anchor", &anchor];
    trust.extend(site.site.token_args());
    trust.extend(["--so-pin-file", &so_pin, "--yes-digest", &plan, "--config", &officer]);
    n.kms(Some(&site.site.hsm), &trust, Show::Last(4))?;
    n.kms(None, &["ceremony", "run", &plan, "--config", &site.officer(0)], Show::Last(9))?;
    Ok(())
}

fn propose_and_approve(n: &mut Narrator, site: &InstanceSite, name: &str, args: &[&str], show: Show) -> Outcome<Digest> {
    let (out, proposer) = (site.site.path(&format!("{name}.der")), site.officer(0));
    let mut propose = vec!["ceremony", "propose"];
    propose.extend(args);
    propose.extend(["--out", &out, "--config", &proposer]);
    n.kms(None, &propose, show)?;
    let plan = digest_of(n.root(), &out, Plan::BYTES_MAX)?;
    approve(n, site, plan, [1, 2])?;
    Ok(plan)
}

fn approve(n: &mut Narrator, site: &InstanceSite, plan: Digest, officers: [usize; 2]) -> Outcome<()> {
    let id = plan.to_string();
    for officer in officers {
        // What `approve` shows is what was shown above, decoded by this officer's own program.
        n.kms(None, &["ceremony", "approve", &id, "--yes-digest", &id, "--config", &site.officer(officer)], Show::Last(1))?;
    }
    Ok(())
}

/// Answers the path of the sealed set.
fn hand_over(n: &mut Narrator, nation: &InstanceSite, henan: &InstanceSite) -> Outcome<String> {
    let derive = ["derive-province", "--region", REGION, "--profile", PROFILE];
    let derivation = run_ceremony(n, nation, "derive-province", &derive, Show::Last(24))?.to_string();
    let sealed = nation.site.path("sealed-410000.der");
    n.kms(None, &["handover", "fetch", "--plan", &derivation, "--out", &sealed, "--config", &nation.officer(0)], Show::Last(20))?;
    n.tell("That file could travel on a disk in two people's hands. Here Henan's server fetches the same bytes over HTTP:");
    n.kms(None, &["handover", "pull", "--config", &henan.officer(0)], Show::All)?;
    let pulled = digest_of(n.root(), &sealed, SealedKeys::BYTES_MAX + SIGNED_OVERHEAD_BYTES_MAX)?.to_string();
    let import = ["import-masters", "--profile", PROFILE, "--pulled", &pulled, "--transferable"];
    let import = run_ceremony(n, henan, "import-masters", &import, Show::Last(4))?.to_string();
    let receipt = henan.site.path("import-receipt.der");
    n.kms(None, &["handover", "receipt", "--plan", &import, "--out", &receipt, "--config", &henan.officer(0)], Show::All)?;
    n.kms(None, &["handover", "confirm", "--plan", &import, "--config", &henan.officer(0)], Show::All)?;
    compare_check_values(n, &sealed, &receipt)?;
    Ok(sealed)
}

fn compare_check_values(n: &mut Narrator, sealed: &str, receipt: &str) -> Outcome<()> {
    let sealed = files::read_signed::<SealedKeys>(&n.root().join(sealed))?;
    let receipt = files::read_signed::<ImportReceipt>(&n.root().join(receipt))?;
    let sent = sealed.unverified_tbs().keys.iter().map(|key| (&key.name, key.group, key.version, key.kcv));
    let got = receipt.unverified_tbs().keys.iter().map(|key| (&key.name, key.group, key.version, key.kcv));
    if !sent.eq(got) {
        return Err(Failure::not_verified("the check values of sealed set and receipt differ", "report this: it must never happen"));
    }
    let count = receipt.unverified_tbs().keys.len();
    n.tell(&format!("All {count} check values agree: what left the national HSM is what Henan's HSM holds."));
    Ok(())
}

fn bureau_init(n: &mut Narrator, stage: &Stage, bureau: &Site, henan: &InstanceSite) -> Outcome<()> {
    secret_file(&n.root().join(bureau.path("password")))?;
    let (password, pin, so_pin, anchor) = (bureau.path("password"), bureau.path("pin"), bureau.path("so-pin"), henan.anchor());
    let mut init = vec!["bureau", "init", "--id", BUREAU, "--name", "Yellow River Cards", "--dir", "bureau/keys", "--password-file", &password];
    init.extend(bureau.token_args());
    init.extend(["--pin-file", &pin, "--so-pin-file", &so_pin]);
    if stage.known_bureau_key {
        init.extend(["--bureau-key", "bureau/known-key.pem", "--anchor", &anchor]);
    }
    n.kms(Some(&bureau.hsm), &init, Show::Last(10))?;
    Ok(())
}

/// Batch id and plan id, from what `kms batch request` left.
fn requested(root: &Path) -> Outcome<(String, Digest)> {
    let bytes = files::read(&root.join("bureau/request/batch.json"), files::SMALL_FILE_BYTES_MAX)?;
    let view: kms_api::body::BatchView = serde_json::from_slice(&bytes).map_err(Failure::internal)?;
    Ok((view.batch.to_string(), view.plan_id.0))
}

fn audit(n: &mut Narrator, site: &InstanceSite) -> Outcome<()> {
    let (out, anchor) = (format!("export/{}", site.site.name), site.anchor());
    n.kms(None, &["audit", "export", "--out", &out, "--config", &site.auditor()], Show::Last(4))?;
    n.kms(None, &["audit", "verify", &out, "--anchor", &anchor], Show::All)?;
    Ok(())
}

fn prove(n: &mut Narrator, site: &InstanceSite) -> Outcome<()> {
    let list = files::read_text(&n.root().join("cards.csv"), kms_core::cards::LIST_BYTES_MAX)?;
    let number: String = list.lines().nth(1).and_then(|line| line.split(',').next()).unwrap_or_default().to_owned();
    let (anchor, auditor) = (site.anchor(), site.auditor());
    n.kms(None, &["audit", "prove", "--card", &number, "--anchor", &anchor, "--config", &auditor], Show::All)?;
    Ok(())
}

/// One bit of one entry in a copy of the export.
fn tamper(n: &mut Narrator, anchor: &str) -> Outcome<()> {
    let (from, to) = (n.root().join("export/henan"), n.root().join("export/tampered"));
    let documents = crate::evidence::DOCUMENTS_FOLDER;
    files::make_folder(&to.join(documents), Access::Anyone)?;
    let mut copies = vec![crate::evidence::CHECKPOINT_FILE.into()];
    let listed = std::fs::read_dir(from.join(documents)).map_err(|error| Failure::io("read", &from, &error))?;
    copies.extend(listed.flatten().map(|entry| Path::new(documents).join(entry.file_name())));
    for name in copies {
        files::write(&to.join(&name), &files::read(&from.join(&name), crate::evidence::DOCUMENT_BYTES_MAX)?, Access::Anyone)?;
    }
    let mut entries = files::read(&from.join(crate::evidence::ENTRIES_FILE), crate::evidence::ENTRIES_BYTES_MAX)?;
    let middle = entries.len() / 2;
    if let Some(byte) = entries.get_mut(middle) {
        *byte ^= 1;
    }
    files::write(&to.join(crate::evidence::ENTRIES_FILE), &entries, Access::Anyone)?;
    n.tell(&format!("One bit of byte {middle} of {} is changed in export/tampered:", entries.len()));
    n.kms_must_refuse(&["audit", "verify", "export/tampered", "--anchor", anchor], Exit::NotVerified)
}

fn the_end(n: &mut Narrator, stage: &Stage, results: &Results) {
    n.act("What happened", "");
    for (label, value) in &results.lines {
        n.print(&format!("   {label:<34} {value}"));
    }
    n.tell(&format!("{:.1} seconds. Everything is in {}: begin with transcript.txt and summary.json.", n.seconds(), stage.root.display()));
    n.tell("This was a test instance on software tokens: never use its keys for real cards.");
    console::note("");
}
