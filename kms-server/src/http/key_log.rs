//! The key log, profiles, and the auditor's question about one card.

use std::sync::Arc;

use kms_api::body::ProveCard;
use kms_api::problem::Code;
use rocket::{Route, State, get, post, routes};

use super::answer::Answer;
use super::ceremonies::{json, parse_digest};
use super::guard::{Auditor, Authorised, LogReader, Partner, SignedBody};
use super::run::{about, run};
use crate::app::{self, audit, key_log};
use crate::fault::Fault;
use crate::instance::Instance;

/// Longest question, in bytes.
const QUESTION_BYTES_MAX: usize = 1024;

type Server = State<Arc<Instance>>;
type Question = SignedBody<Auditor, QUESTION_BYTES_MAX>;

pub(super) fn routes() -> Vec<Route> {
    routes![info, entries, checkpoint, document, proof, profile, prove]
}

#[get("/v1/log/info")]
async fn info(reader: Authorised<LogReader>, instance: &Server) -> Answer {
    let work = |instance: &Instance, _: &_| Answer::json(&key_log::info(instance)?);
    run(instance, reader.caller(), about("GET /v1/log/info"), work).await
}

#[get("/v1/log/entries?<from>&<count>")]
async fn entries(from: u64, count: u32, reader: Authorised<LogReader>, instance: &Server) -> Answer {
    run(instance, reader.caller(), about("GET /v1/log/entries"), move |instance, _| {
        key_log::entries(instance, from, count).map(Answer::Bytes)
    })
    .await
}

#[get("/v1/log/checkpoint")]
async fn checkpoint(partner: Authorised<Partner>, instance: &Server) -> Answer {
    let work = |instance: &Instance, _: &_| key_log::checkpoint(instance).map(Answer::Text);
    run(instance, partner.caller(), about("GET /v1/log/checkpoint"), work).await
}

#[get("/v1/log/documents/<digest>")]
async fn document(digest: &str, reader: Authorised<LogReader>, instance: &Server) -> Answer {
    let digest = digest.to_owned();
    run(instance, reader.caller(), about("GET /v1/log/documents/{sm3}"), move |instance, _| {
        app::document(instance, &parse_digest(&digest)?).map(Answer::Bytes)
    })
    .await
}

#[get("/v1/log/proof?<index>")]
async fn proof(index: u64, partner: Authorised<Partner>, instance: &Server) -> Answer {
    run(instance, partner.caller(), about("GET /v1/log/proof"), move |instance, _| {
        key_log::inclusion(instance, index).map(Answer::Bytes)
    })
    .await
}

#[get("/v1/profiles/<digest>")]
async fn profile(digest: &str, partner: Authorised<Partner>, instance: &Server) -> Answer {
    let digest = digest.to_owned();
    run(instance, partner.caller(), about("GET /v1/profiles/{sm3}"), move |instance, _| {
        let file = instance.policies.profile_file(&parse_digest(&digest)?);
        let unknown = || Fault::new(Code::NotFound, format!("there is no profile {digest}"));
        Ok(Answer::Bytes(file.ok_or_else(unknown)?.to_vec()))
    })
    .await
}

#[post("/v1/audit/prove", data = "<body>")]
async fn prove(body: Question, instance: &Server) -> Answer {
    let (auditor, body) = body.into_parts();
    run(instance, auditor.caller(), about("POST /v1/audit/prove"), move |instance, _| {
        let question: ProveCard = json(&body)?;
        Answer::json(&audit::prove(instance, &question)?)
    })
    .await
}
