//! Offline verification: what an auditor and a bureau can establish without trusting the server.

mod audit;
mod package;

pub use audit::{AuditFailure, AuditReason, AuditReport, BatchCount, Evidence, audit, split_entry};
pub use package::{PackageInvalid, Part, PartReason, VerifiedChunk, VerifiedManifest};
