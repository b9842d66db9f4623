//! What server and CLI must agree on: HTTP bodies, request signatures, problem codes and the policy
//! file forms.
//!
//! Not the domain: nothing here decides anything. Domain types have no serde; the bodies carry them as
//! checked text ([`Text`](text::Text)) or as base64 of their DER form ([`Base64`](text::Base64)).
//!
//! # Endpoints
//!
//! Every request but those marked *open* is signed ([`signing`]). A body is JSON, or the DER of one
//! document (`application/octet-stream`). Errors are `application/problem+json` ([`problem`]).
//!
//! | method and path | who | body → answer |
//! |---|---|---|
//! | `GET /health` | *open* | → [`Health`](body::Health), 200 or 503 |
//! | `GET /v1/anchor` | *open* | → signed trust anchor, DER |
//! | `POST /v1/genesis/draft` | *open until founded* | [`GenesisDraft`](body::GenesisDraft) → plan, DER |
//! | `POST /v1/genesis` | *open until founded* | [`GenesisSubmit`](body::GenesisSubmit) → [`CeremonyView`](body::CeremonyView) |
//! | `GET /v1/status` | anyone known | → [`StatusView`](body::StatusView) |
//! | `POST /v1/ceremonies` | officer; about roster and policy also a system administrator | [`Proposal`](body::Proposal) → [`CeremonyView`](body::CeremonyView) |
//! | `GET /v1/ceremonies` | anybody on the roster | → [`CeremonyList`](body::CeremonyList) |
//! | `GET /v1/ceremonies/{plan}` | anybody on the roster | → [`CeremonyView`](body::CeremonyView) |
//! | `GET /v1/ceremonies/{plan}/plan` | anybody on the roster | → plan, DER |
//! | `POST /v1/ceremonies/{plan}/decisions` | officer | signed approval, DER → [`CeremonyView`](body::CeremonyView) |
//! | `POST /v1/ceremonies/{plan}/components` | officer | signed component, DER → [`CeremonyView`](body::CeremonyView) |
//! | `POST /v1/ceremonies/{plan}/run` | officer | – → [`CeremonyView`](body::CeremonyView) |
//! | `POST /v1/ceremonies/{plan}/abort` | officer | – → [`CeremonyView`](body::CeremonyView) |
//! | `POST /v1/ceremonies/{plan}/pause` | officer | – → [`CeremonyView`](body::CeremonyView) |
//! | `POST /v1/ceremonies/{plan}/resume` | officer | – → [`CeremonyView`](body::CeremonyView) of the plan that would resume it |
//! | `GET /v1/documents/{sm3}` | officer, auditor | → the document's bytes |
//! | `GET /v1/profiles/{sm3}` | anyone known | → the profile file's bytes |
//! | `GET /v1/hand-overs` | province | → [`HandOvers`](body::HandOvers) |
//! | `POST /v1/hand-overs/{plan}/receipt` | province, officer | signed import receipt, DER → [`Recorded`](body::Recorded) |
//! | `POST /v1/hand-over/pull` | officer (at a province) | – → [`Pulled`](body::Pulled) |
//! | `POST /v1/hand-over/confirm` | officer (at a province) | [`Confirm`](body::Confirm) → [`Recorded`](body::Recorded) |
//! | `POST /v1/batches` | bureau | [`BatchSubmit`](body::BatchSubmit) → [`BatchView`](body::BatchView) |
//! | `GET /v1/batches` | bureau (own), officer, auditor | → [`BatchList`](body::BatchList) |
//! | `GET /v1/batches/{batch}` | bureau (own), officer, auditor | → [`BatchView`](body::BatchView) |
//! | `POST /v1/batches/{batch}/cancel` | bureau (own), officer | – → [`BatchView`](body::BatchView) |
//! | `GET /v1/batches/{batch}/manifest` | bureau (own), officer, auditor | → signed manifest, DER |
//! | `GET /v1/batches/{batch}/transport-key` | bureau (own) | → signed sealed transport key, DER |
//! | `GET /v1/batches/{batch}/proof` | bureau (own), officer, auditor | → `KMS-INCLUSION/1`, DER |
//! | `GET /v1/batches/{batch}/chunks/{n}` | bureau (own) | → chunk, DER; one `Range: bytes=a-` or `a-b` |
//! | `POST /v1/batches/{batch}/receipt` | bureau (own) | signed receipt, DER → [`BatchView`](body::BatchView) |
//! | `GET /v1/log/info` | officer, auditor, province | → [`LogInfo`](body::LogInfo) |
//! | `GET /v1/log/entries?from=&count=` | officer, auditor, province | → DER entries one after the other |
//! | `GET /v1/log/checkpoint` | anyone known | → signed note, text |
//! | `GET /v1/log/documents/{sm3}` | officer, auditor, province | → the document's bytes |
//! | `GET /v1/log/proof?index=` | anyone known | → `KMS-INCLUSION/1`, DER |
//! | `POST /v1/audit/prove` | auditor | [`ProveCard`](body::ProveCard) → [`CardProofs`](body::CardProofs) |
//!
//! A person of the system role reads `/health` and `/v1/status` only.

pub mod body;
pub mod policy_file;
pub mod problem;
pub mod signing;
pub mod text;
