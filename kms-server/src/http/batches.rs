//! Batches: a bureau's requests, packages and receipts.

use std::sync::Arc;

use kms_api::body::BatchSubmit;
use kms_api::problem::Code;
use kms_core::cards::LIST_BYTES_MAX;
use kms_core::id::{BatchId, BureauId};
use rocket::{Route, State, get, post, routes};

use super::answer::Answer;
use super::ceremonies::json;
use super::guard::{Authorised, BatchReader, BatchStopper, Bureau, SignedBody};
use super::range::ByteRange;
use super::run::{About, about, about_subject, run};
use crate::app::{batch_submit, batches};
use crate::fault::Fault;
use crate::instance::Instance;

/// Longest batch request: the longest list, escaped line ends, request and salt.
const REQUEST_BYTES_MAX: usize = LIST_BYTES_MAX + 16 * 1024 * 1024;
/// Longest receipt: as its document, and an allowance for the signature.
const RECEIPT_BYTES_MAX: usize = 5 * 1024 * 1024;
/// Nothing to say.
const EMPTY_BYTES_MAX: usize = 1024;

type Server = State<Arc<Instance>>;
type Request = SignedBody<Bureau, REQUEST_BYTES_MAX>;
type Receipt = SignedBody<Bureau, RECEIPT_BYTES_MAX>;
type Cancel = SignedBody<BatchStopper, EMPTY_BYTES_MAX>;

pub(super) fn routes() -> Vec<Route> {
    routes![submit, list, show, cancel, manifest, transport_key, proof, chunk, receipt]
}

#[post("/v1/batches", data = "<body>")]
async fn submit(body: Request, instance: &Server) -> Answer {
    let (bureau, body) = body.into_parts();
    let id = bureau.identity().clone();
    run(instance, bureau.caller(), about("POST /v1/batches"), move |instance, caller| {
        let submit: BatchSubmit = json(&body)?;
        drop(body);
        Answer::json(&batch_submit::submit(instance, caller, &id, &submit)?)
    })
    .await
}

#[get("/v1/batches")]
async fn list(reader: Authorised<BatchReader>, instance: &Server) -> Answer {
    let bureau = reader.identity().clone();
    run(instance, reader.caller(), about("GET /v1/batches"), move |instance, _| {
        Answer::json(&batches::list(instance, bureau.as_ref())?)
    })
    .await
}

#[get("/v1/batches/<batch>")]
async fn show(batch: &str, reader: Authorised<BatchReader>, instance: &Server) -> Answer {
    let (batch, bureau) = (batch.to_owned(), reader.identity().clone());
    run(instance, reader.caller(), about_batch("GET /v1/batches/{batch}", &batch), move |instance, _| {
        Answer::json(&batches::show(instance, own(instance, &batch, bureau.as_ref())?)?)
    })
    .await
}

#[post("/v1/batches/<batch>/cancel", data = "<body>")]
async fn cancel(batch: &str, body: Cancel, instance: &Server) -> Answer {
    let (stopper, _) = body.into_parts();
    let (batch, bureau) = (batch.to_owned(), stopper.identity().clone());
    let about = about_batch("POST /v1/batches/{batch}/cancel", &batch);
    run(instance, stopper.caller(), about, move |instance, caller| {
        Answer::json(&batches::cancel(instance, caller, own(instance, &batch, bureau.as_ref())?)?)
    })
    .await
}

#[get("/v1/batches/<batch>/manifest")]
async fn manifest(batch: &str, reader: Authorised<BatchReader>, instance: &Server) -> Answer {
    let (batch, bureau) = (batch.to_owned(), reader.identity().clone());
    let about = about_batch("GET /v1/batches/{batch}/manifest", &batch);
    run(instance, reader.caller(), about, move |instance, _| {
        batches::manifest(instance, own(instance, &batch, bureau.as_ref())?).map(Answer::Bytes)
    })
    .await
}

#[get("/v1/batches/<batch>/transport-key")]
async fn transport_key(batch: &str, bureau: Authorised<Bureau>, instance: &Server) -> Answer {
    let (batch, id) = (batch.to_owned(), bureau.identity().clone());
    let about = about_batch("GET /v1/batches/{batch}/transport-key", &batch);
    run(instance, bureau.caller(), about, move |instance, _| {
        batches::transport_key(instance, own(instance, &batch, Some(&id))?).map(Answer::Bytes)
    })
    .await
}

#[get("/v1/batches/<batch>/proof")]
async fn proof(batch: &str, reader: Authorised<BatchReader>, instance: &Server) -> Answer {
    let (batch, bureau) = (batch.to_owned(), reader.identity().clone());
    let about = about_batch("GET /v1/batches/{batch}/proof", &batch);
    run(instance, reader.caller(), about, move |instance, _| {
        batches::proof(instance, own(instance, &batch, bureau.as_ref())?).map(Answer::Bytes)
    })
    .await
}

#[get("/v1/batches/<batch>/chunks/<index>")]
async fn chunk(batch: &str, index: u32, range: ByteRange, bureau: Authorised<Bureau>, instance: &Server) -> Answer {
    let (batch, id) = (batch.to_owned(), bureau.identity().clone());
    let about = about_batch("GET /v1/batches/{batch}/chunks/{n}", &batch);
    run(instance, bureau.caller(), about, move |instance, _| {
        let part = batches::chunk(instance, own(instance, &batch, Some(&id))?, index, range.0)?;
        Ok(Answer::Part { part, ranged: range.0.is_some() })
    })
    .await
}

#[post("/v1/batches/<batch>/receipt", data = "<body>")]
async fn receipt(batch: &str, body: Receipt, instance: &Server) -> Answer {
    let (bureau, body) = body.into_parts();
    let (batch, id) = (batch.to_owned(), bureau.identity().clone());
    let about = about_batch("POST /v1/batches/{batch}/receipt", &batch);
    run(instance, bureau.caller(), about, move |instance, caller| {
        Answer::json(&batches::acknowledge(instance, caller, own(instance, &batch, Some(&id))?, &body)?)
    })
    .await
}

/// The batch of this id, if it belongs to the bureau that asks (nobody else is asked for that).
fn own(instance: &Instance, batch: &str, bureau: Option<&BureauId>) -> Result<BatchId, Fault> {
    let id = BatchId::from_hex(batch).map_err(|error| Fault::new(Code::NotFound, error.to_string()))?;
    let state = instance.journal.state();
    let owner = state.batch(id)?.bureau();
    if bureau.is_some_and(|bureau| bureau != owner) {
        return Err(Fault::new(Code::NotTheOwner, format!("the batch {id} is not yours")));
    }
    Ok(id)
}

fn about_batch(operation: &'static str, batch: &str) -> About {
    match BatchId::from_hex(batch) {
        Ok(id) => about_subject(operation, id.as_bytes()),
        Err(_) => about(operation),
    }
}
