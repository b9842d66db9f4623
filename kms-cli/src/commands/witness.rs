//! `kms audit export` and `prove`: what an auditor asks of the server, and checks at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kms_api::body::{CardProof, CardProofs, CardStatus, LogInfo, ProveCard};
use kms_core::cards::CardNumber;
use kms_core::digest::Digest;
use kms_core::document::{Manifest, TrustAnchor};
use kms_core::encoding::{self, Signed};
use kms_core::event::{Event, LogEntry};
use kms_core::log::checkpoint::{Checkpoint, NOTE_BYTES_MAX, parse_and_verify};
use kms_core::log::merkle;
use kms_core::package::{CardLeaf, LeafContext, commitment};
use kms_core::plan::Plan;
use kms_core::proof::Inclusion;
use kms_core::render::time;
use kms_core::verify::{self, AuditReport, Evidence};

use crate::client::{Client, ServerOptions};
use crate::commands::anchor::{self, ReadAnchor};
use crate::console;
use crate::evidence::{self, DOCUMENT_BYTES_MAX, documents_of, named_in_plan};
use crate::failure::{Exit, Failure, Outcome};
use crate::files::{self, Access};

/// Entries asked for at a time.
const PAGE_ENTRIES: u64 = 1000;
/// How long to wait for a checkpoint that covers the whole log.
const CHECKPOINT_WAIT_S: u64 = 15;

/// Options of `kms audit export`.
#[derive(Args, Debug)]
pub(crate) struct ExportLog {
    #[command(flatten)]
    server: ServerOptions,
    /// Folder to make
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Options of `kms audit prove`.
#[derive(Args, Debug)]
pub(crate) struct Prove {
    #[command(flatten)]
    server: ServerOptions,
    /// Card number (18 characters)
    #[arg(long, value_name = "NUMBER")]
    card: String,
    /// Your own copy of the instance's trust anchor
    #[arg(long, value_name = "FILE")]
    anchor: PathBuf,
}

/// A log in memory, as the server gave it; nothing in it is verified.
pub(crate) struct FetchedLog {
    anchor: Vec<u8>,
    entries: Vec<u8>,
    checkpoint: String,
    documents: BTreeMap<Digest, Vec<u8>>,
    profiles: BTreeMap<Digest, Vec<u8>>,
}

impl FetchedLog {
    /// Fetches the log up to its latest checkpoint.
    pub(crate) fn fetch(client: &Client) -> Outcome<Self> {
        let anchor = client.get_bytes("/v1/anchor", anchor::ANCHOR_BYTES_MAX)?;
        let trusted = ReadAnchor::parse(anchor.clone())?;
        let (checkpoint, head) = latest_checkpoint(client, &trusted.anchor)?;
        let (bytes, entries) = fetch_entries(client, head.size())?;
        let mut log =
            Self { anchor, entries: bytes, checkpoint, documents: BTreeMap::new(), profiles: BTreeMap::new() };
        log.fetch_documents(client, &entries)?;
        Ok(log)
    }

    /// Verifies it against the caller's own anchor.
    pub(crate) fn audit(&self, anchor: &[u8]) -> Outcome<AuditReport> {
        let evidence = Evidence {
            anchor,
            entries: &self.entries,
            documents: &self.documents,
            checkpoint: &self.checkpoint,
            previous: None,
        };
        verify::audit(&evidence).map_err(|failure| {
            Failure::not_verified(
                format!("the server's key log does not hold: {failure}"),
                "do nothing; export the log as evidence and call the auditor",
            )
        })
    }

    fn fetch_documents(&mut self, client: &Client, entries: &[LogEntry]) -> Outcome<()> {
        let mut wanted: BTreeSet<Digest> = entries.iter().flat_map(|entry| documents_of(&entry.event)).collect();
        let plans: BTreeSet<Digest> =
            entries.iter().filter_map(|entry| entry.event.plan()).map(|plan| plan.digest()).collect();
        let mut profiles = BTreeSet::new();
        let bar = console::progress(wanted.len() as u64, "documents");
        while let Some(digest) = wanted.pop_first() {
            if self.documents.contains_key(&digest) {
                continue;
            }
            let bytes = client.get_bytes(&format!("/v1/log/documents/{digest}"), DOCUMENT_BYTES_MAX)?;
            if plans.contains(&digest)
                && let Ok(plan) = encoding::decode::<Plan>(&bytes)
            {
                let (documents, named) = named_in_plan(&plan);
                wanted.extend(documents);
                profiles.extend(named);
            }
            self.documents.insert(digest, bytes);
            bar.inc(1);
        }
        bar.finish_and_clear();
        for digest in profiles {
            let bytes =
                client.get_bytes(&format!("/v1/profiles/{digest}"), kms_api::policy_file::POLICY_FILE_BYTES_MAX)?;
            self.profiles.insert(digest, bytes);
        }
        Ok(())
    }
}

impl ExportLog {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        let log = FetchedLog::fetch(&self.server.connect()?)?;
        let documents = self.out.join(evidence::DOCUMENTS_FOLDER);
        let profiles = self.out.join(evidence::PROFILES_FOLDER);
        if self.out.join(evidence::CHECKPOINT_FILE).exists() {
            return Err(Failure::input(
                format!("{} holds an export already", self.out.display()),
                "choose another folder; keep the old export for `--previous`",
            ));
        }
        files::make_folder(&documents, Access::Anyone)?;
        files::make_folder(&profiles, Access::Anyone)?;
        for (digest, bytes) in &log.documents {
            files::write(&documents.join(evidence::document_file(digest)), bytes, Access::Anyone)?;
        }
        for (digest, bytes) in &log.profiles {
            files::write(&profiles.join(format!("{digest}.toml")), bytes, Access::Anyone)?;
        }
        files::write(&self.out.join(evidence::ANCHOR_FILE), &log.anchor, Access::Anyone)?;
        files::write(&self.out.join(evidence::ENTRIES_FILE), &log.entries, Access::Anyone)?;
        // Last: an export with a checkpoint is complete.
        files::write(&self.out.join(evidence::CHECKPOINT_FILE), log.checkpoint.as_bytes(), Access::Anyone)?;
        console::field("exported to", self.out.display());
        console::field("documents", log.documents.len());
        console::field("bytes of entries", log.entries.len());
        console::say(&format!(
            "Verify it anywhere, offline: kms audit verify {} --anchor YOUR-COPY-OF-THE-ANCHOR",
            self.out.display()
        ));
        Ok(())
    }
}

impl Prove {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        let trusted = anchor::read(&self.anchor)?;
        CardNumber::parse(&self.card)
            .map_err(|reason| Failure::input(reason.to_string(), "give the 18 characters of the card number"))?;
        let client = self.server.connect()?;
        let answer: CardProofs = client.post_json("/v1/audit/prove", &ProveCard { card_number: self.card.clone() })?;
        if answer.proofs.is_empty() {
            console::say("The server says that no keys were ever made for this card number.");
            return Ok(());
        }
        for proof in &answer.proofs {
            prove(&self.card, proof, &trusted.anchor)?;
        }
        Ok(())
    }
}

fn prove(number: &str, proof: &CardProof, anchor: &TrustAnchor) -> Outcome<()> {
    let opened = commitment(&proof.salt.0, number, &proof.factor.0);
    require(opened == proof.commitment.0, "the opening does not fit the commitment")?;
    console::field("batch", &proof.batch);
    console::field("bureau", &proof.bureau);
    console::field("commitment", proof.commitment.0);
    console::field("  opened by", "card number, card factor and salt: it is this card");
    console::field(
        "status",
        match proof.status {
            CardStatus::Active => "active",
            CardStatus::Cancelled => "cancelled before release: no keys left the HSM for use",
            CardStatus::Spoiled => "reported spoiled by the bureau",
        },
    );
    let (Some(leaf), Some(manifest), Some(inclusion)) = (&proof.leaf, &proof.manifest, &proof.inclusion) else {
        console::say("The batch is not released: no key of this card has left.");
        return Ok(());
    };
    let leaf_bytes = &leaf.0;
    let leaf: CardLeaf = encoding::decode(leaf_bytes).map_err(bad)?;
    let signed = Signed::<Manifest>::parse(&manifest.0).map_err(bad)?;
    let manifest = signed.verify(&anchor.instance_key).map_err(bad)?;
    let context = LeafContext::of(manifest);
    let bound = (leaf.batch, &leaf.bureau, leaf.kek, leaf.profile)
        == (context.batch, &context.bureau, context.kek, context.profile);
    require(bound && leaf.card.commitment == opened, "the card's leaf is not of this card, batch or bureau")?;
    require(
        manifest.batch == proof.batch.0 && manifest.bureau == proof.bureau.0,
        "the manifest is of another batch or bureau",
    )?;
    let chunk = manifest.chunks.get(proof.chunk as usize).ok_or_else(|| bad("the manifest has no such chunk"))?;
    let path: Vec<Digest> = proof.chunk_path.iter().map(|digest| digest.0).collect();
    let hash = merkle::leaf_hash(leaf_bytes);
    merkle::verify_inclusion(&hash, u64::from(proof.position), u64::from(chunk.cards), &path, &chunk.root)
        .map_err(bad)?;
    let inclusion: Inclusion = encoding::decode(&inclusion.0).map_err(bad)?;
    let (entry, checkpoint) = inclusion.verify(&anchor.origin, &anchor.log_key).map_err(bad)?;
    let Event::BatchReleased(released) = &entry.event else {
        return Err(bad("the proven log entry is no release"));
    };
    require(
        released.batch == manifest.batch && released.manifest == signed.digest(),
        "the log released another manifest",
    )?;
    console::field(
        "keys",
        format!("{} slots, wrapped under transport key {} of {}", leaf.card.slots.len(), manifest.kek, manifest.bureau),
    );
    console::field(
        "in",
        format!("chunk {} position {}: path of {} hashes to the chunk root", proof.chunk, proof.position, path.len()),
    );
    console::field(
        "released",
        format!("{} by log entry {}, ceremony {}", time(entry.time_ms), entry.index, manifest.plan),
    );
    console::field("covered by", format!("checkpoint of {} entries, signed by {}", checkpoint.size(), anchor.origin));
    console::say("PROVEN: leaf, chunk root, manifest signature and log inclusion hold.");
    Ok(())
}

/// The note and what it says. Waits a little for one that covers everything recorded by now.
fn latest_checkpoint(client: &Client, anchor: &TrustAnchor) -> Outcome<(String, Checkpoint)> {
    let wanted = client.get::<LogInfo>("/v1/log/info")?.size;
    let mut tries = 0;
    loop {
        let note = String::from_utf8(client.get_bytes("/v1/log/checkpoint", NOTE_BYTES_MAX)?).map_err(bad)?;
        let head = parse_and_verify(&note, anchor.origin.as_str(), &anchor.log_key).map_err(bad)?;
        if head.size() >= wanted {
            return Ok((note, head));
        }
        if tries == CHECKPOINT_WAIT_S {
            return Err(Failure::new(
                Exit::Unavailable,
                format!("the latest checkpoint covers {} of {wanted} entries", head.size()),
                "the checkpointer does not keep up: look at /health and repeat",
            ));
        }
        tries += 1;
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn fetch_entries(client: &Client, size: u64) -> Outcome<(Vec<u8>, Vec<LogEntry>)> {
    let (mut bytes, mut entries) = (Vec::new(), Vec::new());
    let bar = console::progress(size, "log entries");
    while (entries.len() as u64) < size {
        let from = entries.len() as u64;
        let count = PAGE_ENTRIES.min(size - from);
        let page =
            client.get_bytes(&format!("/v1/log/entries?from={from}&count={count}"), evidence::ENTRIES_BYTES_MAX)?;
        let parsed = evidence::parse_entries(&page)?;
        if parsed.is_empty() || parsed.len() as u64 > count {
            return Err(bad(format!("the server sent {} entries instead of {count}", parsed.len())));
        }
        bytes.extend_from_slice(&page);
        entries.extend(parsed);
        bar.set_position(entries.len() as u64);
    }
    bar.finish_and_clear();
    Ok((bytes, entries))
}

fn require(holds: bool, what: &str) -> Outcome<()> {
    if holds { Ok(()) } else { Err(bad(what)) }
}

fn bad(reason: impl std::fmt::Display) -> Failure {
    Failure::not_verified(
        format!("the proof does not hold: {reason}"),
        "keep the server's answer as evidence; do not rely on it",
    )
}
