//! Ceremonies and the hand-over between nation and province.

use std::sync::Arc;

use kms_api::body::{Confirm, Proposal};
use kms_api::problem::Code;
use kms_core::digest::Digest;
use rocket::{Route, State, get, post, routes};
use serde::de::DeserializeOwned;

use super::answer::Answer;
use super::guard::{Authorised, Officer, Proposer, Province, Reader, ReceiptBearer, Roster, SignedBody};
use super::run::{about, about_subject, run};
use crate::app::{self, ceremonies, hand_over, plan_id, proposals, steps};
use crate::fault::Fault;
use crate::instance::Instance;

/// Longest JSON body or signed document of a ceremony, in bytes.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

type Body<A> = SignedBody<A, BODY_BYTES_MAX>;
type Server = State<Arc<Instance>>;

pub(super) fn routes() -> Vec<Route> {
    routes![
        propose, list, show, plan, decide, contribute, advance, abort, pause, resume, document, offered, receipt, pull,
        confirm
    ]
}

#[post("/v1/ceremonies", data = "<body>")]
async fn propose(body: Body<Proposer>, instance: &Server) -> Answer {
    let (officer, body) = body.into_parts();
    run(instance, officer.caller(), about("POST /v1/ceremonies"), move |instance, caller| {
        let proposal: Proposal = json(&body)?;
        Answer::json(&proposals::propose(instance, caller, &proposal)?)
    })
    .await
}

#[get("/v1/ceremonies")]
async fn list(reader: Authorised<Roster>, instance: &Server) -> Answer {
    let work = |instance: &Instance, _: &_| Answer::json(&ceremonies::list(instance)?);
    run(instance, reader.caller(), about("GET /v1/ceremonies"), work).await
}

#[get("/v1/ceremonies/<plan>")]
async fn show(plan: &str, reader: Authorised<Roster>, instance: &Server) -> Answer {
    let plan = plan.to_owned();
    run(instance, reader.caller(), about("GET /v1/ceremonies/{plan}"), move |instance, _| {
        Answer::json(&ceremonies::show(instance, plan_id(&plan)?)?)
    })
    .await
}

#[get("/v1/ceremonies/<plan>/plan")]
async fn plan(plan: &str, reader: Authorised<Roster>, instance: &Server) -> Answer {
    let plan = plan.to_owned();
    run(instance, reader.caller(), about("GET /v1/ceremonies/{plan}/plan"), move |instance, _| {
        ceremonies::plan(instance, plan_id(&plan)?).map(Answer::Bytes)
    })
    .await
}

#[post("/v1/ceremonies/<plan>/decisions", data = "<body>")]
async fn decide(plan: &str, body: Body<Officer>, instance: &Server) -> Answer {
    let (plan, (officer, body)) = (plan.to_owned(), body.into_parts());
    let about = about_plan("POST /v1/ceremonies/{plan}/decisions", &plan);
    run(instance, officer.caller(), about, move |instance, _| {
        Answer::json(&ceremonies::decide(instance, plan_id(&plan)?, &body)?)
    })
    .await
}

#[post("/v1/ceremonies/<plan>/components", data = "<body>")]
async fn contribute(plan: &str, body: Body<Officer>, instance: &Server) -> Answer {
    let (plan, (officer, body)) = (plan.to_owned(), body.into_parts());
    let about = about_plan("POST /v1/ceremonies/{plan}/components", &plan);
    run(instance, officer.caller(), about, move |instance, caller| {
        Answer::json(&ceremonies::contribute(instance, caller, plan_id(&plan)?, &body)?)
    })
    .await
}

#[post("/v1/ceremonies/<plan>/run", data = "<body>")]
async fn advance(plan: &str, body: Body<Officer>, instance: &Server) -> Answer {
    let (plan, (officer, _)) = (plan.to_owned(), body.into_parts());
    let about = about_plan("POST /v1/ceremonies/{plan}/run", &plan);
    run(instance, officer.caller(), about, move |instance, caller| {
        Answer::json(&steps::advance(instance, plan_id(&plan)?, &caller.actor(), caller.role())?)
    })
    .await
}

#[post("/v1/ceremonies/<plan>/abort", data = "<body>")]
async fn abort(plan: &str, body: Body<Officer>, instance: &Server) -> Answer {
    let (plan, (officer, _)) = (plan.to_owned(), body.into_parts());
    let about = about_plan("POST /v1/ceremonies/{plan}/abort", &plan);
    run(instance, officer.caller(), about, move |instance, caller| {
        Answer::json(&ceremonies::abort(instance, caller, plan_id(&plan)?)?)
    })
    .await
}

#[post("/v1/ceremonies/<plan>/pause", data = "<body>")]
async fn pause(plan: &str, body: Body<Officer>, instance: &Server) -> Answer {
    let (plan, (officer, _)) = (plan.to_owned(), body.into_parts());
    let about = about_plan("POST /v1/ceremonies/{plan}/pause", &plan);
    run(instance, officer.caller(), about, move |instance, caller| {
        Answer::json(&ceremonies::pause(instance, caller, plan_id(&plan)?)?)
    })
    .await
}

#[post("/v1/ceremonies/<plan>/resume", data = "<body>")]
async fn resume(plan: &str, body: Body<Officer>, instance: &Server) -> Answer {
    let (plan, (officer, _)) = (plan.to_owned(), body.into_parts());
    let about = about_plan("POST /v1/ceremonies/{plan}/resume", &plan);
    run(instance, officer.caller(), about, move |instance, caller| {
        Answer::json(&proposals::resume(instance, caller, plan_id(&plan)?)?)
    })
    .await
}

#[get("/v1/documents/<digest>")]
async fn document(digest: &str, reader: Authorised<Reader>, instance: &Server) -> Answer {
    let digest = digest.to_owned();
    run(instance, reader.caller(), about("GET /v1/documents/{sm3}"), move |instance, _| {
        app::document(instance, &parse_digest(&digest)?).map(Answer::Bytes)
    })
    .await
}

#[get("/v1/hand-overs")]
async fn offered(province: Authorised<Province>, instance: &Server) -> Answer {
    let region = province.identity().clone();
    run(instance, province.caller(), about("GET /v1/hand-overs"), move |instance, _| {
        Answer::json(&hand_over::offered(instance, &region)?)
    })
    .await
}

#[post("/v1/hand-overs/<plan>/receipt", data = "<body>")]
async fn receipt(plan: &str, body: Body<ReceiptBearer>, instance: &Server) -> Answer {
    let (plan, (bearer, body)) = (plan.to_owned(), body.into_parts());
    let about = about_plan("POST /v1/hand-overs/{plan}/receipt", &plan);
    run(instance, bearer.caller(), about, move |instance, caller| {
        Answer::json(&hand_over::receive(instance, caller, plan_id(&plan)?, &body)?)
    })
    .await
}

#[post("/v1/hand-over/pull", data = "<body>")]
async fn pull(body: Body<Officer>, instance: &Server) -> Answer {
    let (officer, _) = body.into_parts();
    let work = |instance: &Instance, _: &_| Answer::json(&hand_over::pull(instance)?);
    run(instance, officer.caller(), about("POST /v1/hand-over/pull"), work).await
}

#[post("/v1/hand-over/confirm", data = "<body>")]
async fn confirm(body: Body<Officer>, instance: &Server) -> Answer {
    let (officer, body) = body.into_parts();
    run(instance, officer.caller(), about("POST /v1/hand-over/confirm"), move |instance, _| {
        let confirm: Confirm = json(&body)?;
        Answer::json(&hand_over::confirm(instance, &confirm)?)
    })
    .await
}

/// A JSON body of the API.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| Fault::new(Code::MalformedBody, error.to_string()))
}

/// A digest in a path.
pub(super) fn parse_digest(text: &str) -> Result<Digest, Fault> {
    Digest::from_hex(text).map_err(|error| Fault::new(Code::NotFound, error.to_string()))
}

fn about_plan(operation: &'static str, plan: &str) -> super::run::About {
    match Digest::from_hex(plan) {
        Ok(digest) => about_subject(operation, digest.as_bytes()),
        Err(_) => about(operation),
    }
}
