//! What an auditor has in hand: entries, documents, checkpoint and trust anchor, from a folder.
//!
//! Offline: no network and no HSM. Guards: every document is named by its SM3 and checked when used.

use std::path::{Path, PathBuf};

use kms_core::digest::Digest;
use kms_core::event::{Event, LogEntry};
use kms_core::log::checkpoint::NOTE_BYTES_MAX;
use kms_core::plan::{Plan, Step};
use kms_core::state::Documents;
use kms_core::verify::{self, AuditFailure, AuditReport, Evidence};

use crate::failure::{Failure, Outcome};
use crate::files;

/// Entries of an export.
pub(crate) const ENTRIES_FILE: &str = "entries.der";
/// Latest checkpoint of an export.
pub(crate) const CHECKPOINT_FILE: &str = "checkpoint.txt";
/// Trust anchor as the server gave it; an audit uses the auditor's own copy.
pub(crate) const ANCHOR_FILE: &str = "anchor.der";
/// Folder of documents, named by SM3.
pub(crate) const DOCUMENTS_FOLDER: &str = "documents";
/// Folder of profile files, named by SM3.
pub(crate) const PROFILES_FOLDER: &str = "profiles";
/// Longest log that is read into memory: about four million entries.
pub(crate) const ENTRIES_BYTES_MAX: usize = 2 * 1024 * 1024 * 1024;
/// Longest document.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// An export in a folder.
pub(crate) struct Export {
    entries: Vec<u8>,
    checkpoint: String,
    documents: FolderDocuments,
}

/// Documents of an export, read when they are asked for.
pub(crate) struct FolderDocuments {
    folder: PathBuf,
}

impl Export {
    /// Reads entries and checkpoint.
    pub(crate) fn read(folder: &Path) -> Outcome<Self> {
        Ok(Self {
            entries: files::read(&folder.join(ENTRIES_FILE), ENTRIES_BYTES_MAX)?,
            checkpoint: files::read_text(&folder.join(CHECKPOINT_FILE), NOTE_BYTES_MAX)?,
            documents: FolderDocuments { folder: folder.join(DOCUMENTS_FOLDER) },
        })
    }

    /// Verifies everything against `anchor`; the first failure ends it.
    pub(crate) fn audit(&self, anchor: &[u8], previous: Option<&str>) -> Result<AuditReport, AuditFailure> {
        verify::audit(&Evidence {
            anchor,
            entries: &self.entries,
            documents: &self.documents,
            checkpoint: &self.checkpoint,
            previous,
        })
    }

    /// The entries, one by one, parsed but not verified.
    pub(crate) fn entries(&self) -> Outcome<Vec<LogEntry>> {
        parse_entries(&self.entries)
    }
}

impl Documents for FolderDocuments {
    fn document(&self, digest: &Digest) -> Option<Vec<u8>> {
        files::read(&self.folder.join(document_file(digest)), DOCUMENT_BYTES_MAX).ok()
    }
}

/// File name of a document.
pub(crate) fn document_file(digest: &Digest) -> String {
    format!("{digest}.der")
}

/// Splits and parses entries.
pub(crate) fn parse_entries(mut bytes: &[u8]) -> Outcome<Vec<LogEntry>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let damaged = |reason: &dyn std::fmt::Display| {
            Failure::not_verified(
                format!("entry {}: {reason}", entries.len()),
                "the export is damaged: export again, and keep the damaged one as evidence",
            )
        };
        let (entry, rest) = verify::split_entry(bytes).map_err(|reason| damaged(&reason))?;
        let entry = kms_core::encoding::decode(entry).map_err(|reason| damaged(&reason))?;
        entries.push(entry);
        bytes = rest;
    }
    Ok(entries)
}

/// Documents that an event names by digest.
pub(crate) fn documents_of(event: &Event) -> Vec<Digest> {
    match event {
        Event::Founded(e) => std::iter::once(e.plan.digest()).chain(e.approvals.iter().copied()).collect(),
        Event::Opened(e) => vec![e.plan.digest()],
        Event::Decided(e) => vec![e.approval],
        Event::Contributed(e) => vec![e.component],
        Event::StepOutcome(e) => e.document.into_iter().collect(),
        Event::BatchRequested(e) => vec![e.request],
        Event::BatchReleased(e) => vec![e.manifest],
        Event::BatchAcknowledged(e) => vec![e.receipt],
        Event::HandOverConfirmed(e) => vec![e.receipt],
        Event::Started(_)
        | Event::StepIntent(_)
        | Event::Closed(_)
        | Event::Authorised(_)
        | Event::Paused(_)
        | Event::ChunkIntent(_)
        | Event::ChunkOutcome(_)
        | Event::BatchCancelled(_)
        | Event::Refused(_)
        | Event::TokenAudited(_)
        | Event::TokenProbed(_) => Vec::new(),
    }
}

/// Documents and profiles that a plan names by digest.
pub(crate) fn named_in_plan(plan: &Plan) -> (Vec<Digest>, Vec<Digest>) {
    let (mut documents, mut profiles) = (Vec::new(), Vec::new());
    for step in &plan.steps {
        match step {
            Step::CreateMasters(s) => profiles.push(s.profile),
            Step::SealMasters(s) => profiles.push(s.profile),
            Step::ImportMasters(s) => {
                profiles.push(s.profile);
                documents.push(s.sealed);
            }
            Step::IssueBatch(s) => {
                profiles.push(s.profile);
                documents.push(s.request);
            }
            Step::FoundInstance(_)
            | Step::CreateInstanceKeys(_)
            | Step::TrustProvince(_)
            | Step::TrustNation(_)
            | Step::TrustBureau(_)
            | Step::SealTransportKey(_)
            | Step::AcceptRisk(_)
            | Step::EnrolPerson(_)
            | Step::RevokePerson(_)
            | Step::ChangePersonKey(_)
            | Step::ChangePolicy(_) => {}
        }
    }
    (documents, profiles)
}
