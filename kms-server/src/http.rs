//! HTTP: routes, guards, answers. Async stops here; handlers call use cases on blocking threads.
//!
//! Guards: no handler sees a body or an identity that a guard did not check; every error is a problem
//! with a code; every refusal of an authenticated caller goes into the key log.

mod answer;
mod batches;
mod ceremonies;
mod guard;
mod key_log;
mod open;
mod range;
mod run;

use rocket::{Catcher, Request, Route, catch, catchers};

use kms_api::problem::{Code, Problem};

use answer::Answer;

/// Every route of the API.
pub fn routes() -> Vec<Route> {
    [open::routes(), ceremonies::routes(), batches::routes(), key_log::routes()].concat()
}

/// Errors that no handler answered.
pub fn error_catchers() -> Vec<Catcher> {
    catchers![caught]
}

#[catch(default)]
fn caught(status: rocket::http::Status, request: &Request<'_>) -> Answer {
    if let Some(problem) = guard::problem_of(request) {
        return Answer::Problem(problem);
    }
    let code = match status.code {
        404 | 405 => Code::NotFound,
        400 | 411 | 415 | 422 => Code::MalformedBody,
        413 => Code::BodyTooLarge,
        _ => Code::Internal,
    };
    Answer::Problem(Problem::new(code, status.reason_lossy()))
}
