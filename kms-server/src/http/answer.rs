//! What goes out: JSON, DER, text, part of a file, or a problem.

use std::io::Cursor;

use kms_api::body::Health;
use kms_api::problem::{Code, MEDIA_TYPE, Problem, RETRY_AFTER_S};
use rocket::http::{ContentType, Header, Status};
use rocket::response::{self, Responder, Response};
use rocket::{Request, response::Builder};
use serde::Serialize;

use crate::app::batches::Part;
use crate::fault::Fault;

/// An answer.
pub(super) enum Answer {
    /// A body of the API.
    Json(Vec<u8>),
    /// One or more DER documents, or a file.
    Bytes(Vec<u8>),
    /// A signed note.
    Text(String),
    /// The whole of a chunk, or the asked part.
    Part { part: Part, ranged: bool },
    /// Health, with its own status.
    Health(Box<Health>),
    /// An error.
    Problem(Problem),
}

impl Answer {
    /// A body of the API as JSON.
    pub(super) fn json(body: &impl Serialize) -> Result<Self, Fault> {
        serde_json::to_vec(body).map(Self::Json).map_err(|error| Fault::new(Code::Internal, error.to_string()))
    }
}

impl<'r> Responder<'r, 'static> for Answer {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let mut builder = Response::build();
        // Nothing here may linger in a cache.
        builder.header(Header::new("Cache-Control", "no-store"));
        match self {
            Self::Json(bytes) => body(&mut builder, ContentType::JSON, bytes),
            Self::Bytes(bytes) => body(&mut builder, ContentType::Binary, bytes),
            Self::Text(text) => body(&mut builder, ContentType::Plain, text.into_bytes()),
            Self::Part { part, ranged } => send_part(&mut builder, part, ranged),
            Self::Health(health) => {
                let ok = health.status == kms_api::body::Overall::Ok;
                builder.status(if ok { Status::Ok } else { Status::ServiceUnavailable });
                body(&mut builder, ContentType::JSON, serde_json::to_vec(&health).unwrap_or_default());
            }
            Self::Problem(problem) => send_problem(&mut builder, &problem),
        }
        builder.ok()
    }
}

fn send_part(builder: &mut Builder<'static>, part: Part, ranged: bool) {
    builder.header(Header::new("Accept-Ranges", "bytes"));
    if ranged {
        let last = part.from + (part.bytes.len() as u64).saturating_sub(1);
        builder.status(Status::PartialContent);
        builder.header(Header::new("Content-Range", format!("bytes {}-{last}/{}", part.from, part.total)));
    }
    body(builder, ContentType::Binary, part.bytes);
}

fn send_problem(builder: &mut Builder<'static>, problem: &Problem) {
    builder.status(Status::new(problem.status));
    if problem.status == Status::ServiceUnavailable.code {
        builder.header(Header::new("Retry-After", RETRY_AFTER_S.to_string()));
    }
    let bytes = serde_json::to_vec(problem).unwrap_or_default();
    builder.header(Header::new("Content-Type", MEDIA_TYPE));
    builder.sized_body(bytes.len(), Cursor::new(bytes));
}

fn body(builder: &mut Builder<'static>, kind: ContentType, bytes: Vec<u8>) {
    builder.header(kind);
    builder.sized_body(bytes.len(), Cursor::new(bytes));
}
