//! What nobody has to sign for: health, the trust anchor, and founding an instance that has no people yet.

use std::sync::Arc;

use kms_api::body::{GenesisDraft, GenesisSubmit};
use kms_api::problem::{Code, Problem};
use rocket::data::{Data, ToByteUnit as _};
use rocket::{Route, State, get, post, routes};
use serde::de::DeserializeOwned;

use super::answer::Answer;
use super::guard::{Authorised, Known};
use super::run::{about, run, run_open};
use crate::app::{self, genesis, health, status};
use crate::fault::Fault;
use crate::instance::Instance;

/// Longest founding body, in bytes.
const GENESIS_BYTES_MAX: usize = 1024 * 1024;

pub(super) fn routes() -> Vec<Route> {
    routes![show_health, anchor, draft, submit, show_status]
}

#[get("/health")]
async fn show_health(instance: &State<Arc<Instance>>) -> Answer {
    run_open(instance, |instance| Ok(Answer::Health(Box::new(health::health(instance))))).await
}

#[get("/v1/anchor")]
async fn anchor(instance: &State<Arc<Instance>>) -> Answer {
    run_open(instance, |instance| {
        let state = instance.journal.state();
        let keys = state.keys().ok_or_else(|| Fault::new(Code::NotFound, "the instance is not founded yet"))?;
        app::document(instance, &keys.anchor).map(Answer::Bytes)
    })
    .await
}

#[post("/v1/genesis/draft", data = "<data>")]
async fn draft(data: Data<'_>, instance: &State<Arc<Instance>>) -> Answer {
    match read::<GenesisDraft>(data).await {
        Ok(body) => run_open(instance, move |instance| genesis::draft(instance, &body).map(Answer::Bytes)).await,
        Err(problem) => Answer::Problem(problem),
    }
}

#[post("/v1/genesis", data = "<data>")]
async fn submit(data: Data<'_>, instance: &State<Arc<Instance>>) -> Answer {
    match read::<GenesisSubmit>(data).await {
        Ok(body) => run_open(instance, move |instance| Answer::json(&genesis::submit(instance, &body)?)).await,
        Err(problem) => Answer::Problem(problem),
    }
}

#[get("/v1/status")]
async fn show_status(caller: Authorised<Known>, instance: &State<Arc<Instance>>) -> Answer {
    let work = |instance: &Instance, caller: &_| Answer::json(&status::status(instance, caller)?);
    run(instance, caller.caller(), about("GET /v1/status"), work).await
}

async fn read<T: DeserializeOwned>(data: Data<'_>) -> Result<T, Problem> {
    let malformed = |error: String| Problem::new(Code::MalformedBody, error);
    let body = data.open(GENESIS_BYTES_MAX.bytes()).into_bytes().await.map_err(|error| malformed(error.to_string()))?;
    if !body.is_complete() {
        return Err(Problem::new(Code::BodyTooLarge, format!("at most {GENESIS_BYTES_MAX} bytes are accepted here")));
    }
    serde_json::from_slice(&body).map_err(|error| malformed(error.to_string()))
}
