//! The way of sealed masters from nation to province, over HTTP: what the nation offers, what the
//! province fetches, and the receipt on its way back. The same documents can be carried by hand.
//!
//! Guards: a province gets only what is sealed to it; what comes in is kept only after the nation's
//! signature on it was verified with the pinned key.

use std::io::Read as _;
use std::time::Duration;

use kms_api::body::{Confirm, HandOver, HandOvers, Pulled, Recorded};
use kms_api::problem::{Code, Problem};
use kms_api::signing::sign_request;
use kms_api::text::{Base64, Text};
use kms_core::digest::Digest;
use kms_core::document::SealedKeys;
use kms_core::encoding::Signed;
use kms_core::event::{Event, HandOverConfirmed};
use kms_core::id::{PlanId, RegionCode};
use kms_core::plan::Step;
use kms_core::state::StepState;
use kms_core::violation::Violation;

use super::caller::Caller;
use super::proposals::Randoms;
use super::view;
use crate::fault::Fault;
use crate::instance::Instance;
use crate::store::log;

/// Longest answer taken from the nation.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How long the nation may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sealed sets for one province.
pub fn offered(instance: &Instance, region: &RegionCode) -> Result<HandOvers, Fault> {
    let state = instance.journal.state();
    let province =
        state.provinces().get(region).ok_or_else(|| Violation::ProvinceUnknown { region: region.clone() })?;
    let offer = |set: &kms_core::state::SealedSet| {
        Ok(HandOver {
            plan: Text(set.plan.digest()),
            digest: Text(set.document),
            sealed: Base64(super::document(instance, &set.document)?),
            confirmed: set.receipt.is_some(),
        })
    };
    Ok(HandOvers { hand_overs: province.sealed.values().map(offer).collect::<Result<_, Fault>>()? })
}

/// Records a province's receipt. A province brings its own; an officer may carry any.
pub fn receive(instance: &Instance, caller: &Caller, plan: PlanId, receipt: &[u8]) -> Result<Recorded, Fault> {
    let digest = Digest::of(receipt);
    let state = instance.journal.state();
    let known = state
        .provinces()
        .iter()
        .find_map(|(region, province)| province.sealed.values().find(|set| set.plan == plan).map(|set| (region, set)));
    let (region, set) = known.ok_or(Violation::PlanUnknown { plan })?;
    if let Caller::Province { region: own, .. } = caller
        && own != region
    {
        return Err(Fault::new(Code::RoleForbidden, "this set was sealed for another province"));
    }
    if set.receipt != Some(digest) {
        let event = Event::HandOverConfirmed(HandOverConfirmed { plan, receipt: digest });
        let act = caller.act(vec![event]).with(receipt);
        instance.journal.commit(|_, _| Ok((act, ())))?;
    }
    Ok(Recorded { digest: Text(digest) })
}

/// Fetches what the nation has sealed for this province.
pub fn pull(instance: &Instance) -> Result<Pulled, Fault> {
    let answer = call(instance, "GET", "/v1/hand-overs", &[])?;
    let offered: HandOvers =
        serde_json::from_slice(&answer).map_err(|error| Fault::new(Code::NationUnavailable, error.to_string()))?;
    let state = instance.journal.state();
    let nation = state.nation().ok_or(Violation::NationUnknown)?;
    let mut sealed = Vec::new();
    for offer in &offered.hand_overs {
        let bytes = &offer.sealed.0;
        let signed = Signed::<SealedKeys>::parse(bytes).map_err(super::ceremonies::malformed)?;
        let what = "sealed masters";
        let keys = signed.verify(&nation.instance_key).map_err(|_| Violation::SignatureInvalid { what })?;
        if keys.destination != instance.config.region.as_str() {
            return Err(Violation::DocumentMismatch { what, field: "destination" }.into());
        }
        instance.store.write(|c| log::add_document(c, &signed.digest(), bytes).map_err(Fault::from))?;
        sealed.push(Text(signed.digest()));
    }
    Ok(Pulled { sealed })
}

/// Sends the receipt of an import to the nation.
pub fn confirm(instance: &Instance, body: &Confirm) -> Result<Recorded, Fault> {
    let state = instance.journal.state();
    let ceremony = state.ceremony(PlanId::from_digest(body.plan.0))?;
    let (receipt, sealed) = match (ceremony.plan.steps.as_slice(), ceremony.steps.as_slice()) {
        ([Step::ImportMasters(import)], [StepState::Done { document: Some(receipt) }]) => (*receipt, import.sealed),
        _ => return Err(Fault::new(Code::NotFound, "this ceremony has no import receipt")),
    };
    let sealed = Signed::<SealedKeys>::parse(&super::document(instance, &sealed)?)?;
    let path = format!("/v1/hand-overs/{}/receipt", sealed.unverified_tbs().plan);
    let answer = call(instance, "POST", &path, &super::document(instance, &receipt)?)?;
    serde_json::from_slice(&answer).map_err(|error| Fault::new(Code::NationUnavailable, error.to_string()))
}

/// A request to the nation, signed by the instance key in the HSM.
fn call(instance: &Instance, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>, Fault> {
    let unavailable = |reason: String| Fault::new(Code::NationUnavailable, reason);
    let missing = || unavailable("nation_url is not configured".to_owned());
    let base = instance.config.nation_url.as_ref().ok_or_else(missing)?;
    let state = instance.journal.state();
    let keys = state.keys().ok_or(Violation::NotFounded)?;
    let nonce = Randoms::draw(instance, 1)?.nonce()?;
    let created_s = view::now_ms(instance)? / 1000;
    let headers = sign_request(method, path, body, created_s, nonce, &keys.instance, |message| {
        instance.hsm.sign(keys.ids.instance, &keys.instance.digest_for_signing(message))
    })?;
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build().into();
    let mut request = ureq::http::Request::builder().method(method).uri(format!("{base}{path}"));
    for (name, value) in headers.pairs() {
        request = request.header(name, value);
    }
    if method == "POST" {
        request = request.header("Content-Type", "application/octet-stream");
    }
    let request = request.body(body).map_err(|error| unavailable(error.to_string()))?;
    let response = agent.run(request).map_err(|error| unavailable(error.to_string()))?;
    let status = response.status().as_u16();
    let mut answer = Vec::new();
    let reader = response.into_body().into_reader();
    reader.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).map_err(|error| unavailable(error.to_string()))?;
    if status == 200 {
        return Ok(answer);
    }
    let detail = match serde_json::from_slice::<Problem>(&answer) {
        Ok(problem) => format!("the nation answers {problem}"),
        Err(_) => format!("the nation answers with status {status}"),
    };
    Err(unavailable(detail))
}
