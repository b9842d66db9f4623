//! From a handler to a use case and back.

use std::sync::Arc;

use kms_api::problem::{Code, Problem};
use kms_core::event::Refused;
use rocket::tokio;

use super::answer::Answer;
use crate::app::caller::Caller;
use crate::app::octets;
use crate::fault::Fault;
use crate::instance::Instance;

/// What a request is about, for the record of a refusal.
pub(super) struct About {
    /// Method and route.
    pub(super) operation: &'static str,
    /// Plan, batch or document.
    pub(super) subject: Option<Vec<u8>>,
}

/// A request that is about nothing in particular.
pub(super) const fn about(operation: &'static str) -> About {
    About { operation, subject: None }
}

/// A request about a plan, batch or document.
pub(super) fn about_subject(operation: &'static str, subject: &[u8]) -> About {
    About { operation, subject: Some(subject.to_vec()) }
}

/// Runs a use case on a blocking thread; a refusal goes into the key log.
pub(super) async fn run(
    instance: &Arc<Instance>,
    caller: Caller,
    about: About,
    work: impl FnOnce(&Instance, &Caller) -> Result<Answer, Fault> + Send + 'static,
) -> Answer {
    let instance = instance.clone();
    blocking(move || {
        work(&instance, &caller).unwrap_or_else(|fault| {
            tracing::info!(operation = about.operation, caller = %caller.actor(), %fault, "refused or failed");
            let problem = fault.into_problem();
            if is_recorded(about.operation, &problem) {
                let refused = Refused {
                    operation: about.operation.to_owned(),
                    code: problem.code().to_owned(),
                    count: 1,
                    subject: about.subject.and_then(|subject| octets(&subject).ok()),
                };
                instance.journal.refuse(caller.actor(), caller.role(), refused);
            }
            Answer::Problem(problem)
        })
    })
    .await
}

/// Runs a use case that is open to everyone.
pub(super) async fn run_open(
    instance: &Arc<Instance>,
    work: impl FnOnce(&Instance) -> Result<Answer, Fault> + Send + 'static,
) -> Answer {
    let instance = instance.clone();
    blocking(move || work(&instance).unwrap_or_else(|fault| Answer::Problem(fault.into_problem()))).await
}

async fn blocking(work: impl FnOnce() -> Answer + Send + 'static) -> Answer {
    let failed = |error: tokio::task::JoinError| {
        tracing::error!(%error, "a use case did not end");
        Answer::Problem(Problem::new(Code::Internal, "the server could not do this"))
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(failed)
}

/// Refused commands are recorded, and looking at what is not one's own; looking too early, too far or
/// for nothing is no refusal.
fn is_recorded(operation: &str, problem: &Problem) -> bool {
    const EARLY: [Code; 3] = [Code::BatchNotReleased, Code::NothingToRun, Code::NotFound];
    let refused = (400..500).contains(&problem.status) && EARLY.iter().all(|code| code.name() != problem.code());
    refused && (problem.status == Code::RoleForbidden.status() || !operation.starts_with("GET "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded() {
        let recorded = |operation, code| is_recorded(operation, &Problem::new(code, ""));
        assert!(recorded("POST /v1/batches", Code::CardAlreadyIssued));
        assert!(recorded("GET /v1/batches/{batch}", Code::NotTheOwner));
        assert!(!recorded("GET /v1/batches/{batch}/chunks/{n}", Code::RangeInvalid));
        assert!(!recorded("POST /v1/ceremonies/{plan}/run", Code::NothingToRun));
        assert!(!recorded("POST /v1/batches", Code::HsmUnavailable));
    }
}
