//! HTTP status and advice for each rule of the state machine.
//!
//! Two matches without `_`: a new rule does not compile until somebody decides what a client gets.

use kms_core::violation::Violation as V;

/// HTTP status: 403 who, 404 what, 409 the wrong moment, 422 the wrong content.
pub(super) fn status(violation: &V) -> u16 {
    match violation {
        V::ActorNotAllowed { .. }
        | V::RoleMismatch { .. }
        | V::RequesterCannotApprove { .. }
        | V::PersonUnknown { .. }
        | V::NotAnOfficer { .. }
        | V::NotACustodian { .. } => 403,
        V::PlanUnknown { .. }
        | V::ProvinceUnknown { .. }
        | V::NationUnknown
        | V::BureauUnknown { .. }
        | V::BatchUnknown { .. } => 404,
        V::NotFounded
        | V::AlreadyFounded
        | V::PolicyEpochStale { .. }
        | V::PlanKnown { .. }
        | V::AlreadyDecided { .. }
        | V::CeremonyNotOpen { .. }
        | V::PlanExpired { .. }
        | V::PlanNotYetValid { .. }
        | V::LogSpanExceeded { .. }
        | V::QuorumNotReached { .. }
        | V::Rejected
        | V::StepOutOfOrder { .. }
        | V::OutcomeWithoutIntent
        | V::OtherHsm { .. }
        | V::AlreadyContributed { .. }
        | V::ComponentsMissing { .. }
        | V::MasterExists { .. }
        | V::MasterUnknown { .. }
        | V::ProfileWithoutMasters { .. }
        | V::ProvinceKnown { .. }
        | V::NationKnown
        | V::BureauKnown { .. }
        | V::PersonKnown { .. }
        | V::BureauExpired { .. }
        | V::BatchKnown { .. }
        | V::BatchPhase { .. }
        | V::CounterWrong { .. }
        | V::TokenStale { .. }
        | V::KeyNotServed { .. }
        | V::AttackOpen { .. } => 409,
        V::DocumentMissing { .. }
        | V::DocumentMalformed { .. }
        | V::SignatureInvalid { .. }
        | V::DocumentMismatch { .. }
        | V::FounderMissing { .. }
        | V::RosterInvalid { .. }
        | V::RuleInvalid { .. }
        | V::RuleMissing { .. }
        | V::UnknownShape
        | V::TooFewApprovalsPlanned { .. }
        | V::PlanLimits { .. }
        | V::ApprovalForOtherPlan { .. }
        | V::ParametersDiffer
        | V::KeyMismatch { .. }
        | V::WrongLevel { .. }
        | V::EnvironmentMixed
        | V::SuiteDiffers { .. }
        | V::WrapDiffers { .. }
        | V::ComponentsUnsupported
        | V::BatchSize { .. }
        | V::ChunkInvalid { .. }
        | V::ManifestDiffers { .. }
        | V::CountsDiffer { .. }
        | V::CertificateInvalid { .. }
        | V::AttackNotShown { .. } => 422,
        V::KnownAnswerFailed { .. } | V::TokenUnexamined { .. } => 503,
        // Only the server itself could have broken these.
        V::Index { .. } | V::ForeignOrigin | V::ClockBackwards { .. } | V::FindingInvalid { .. } => 500,
    }
}

/// What to do about it.
pub(super) fn next(violation: &V) -> &'static str {
    match violation {
        V::Index { .. } | V::ForeignOrigin | V::ClockBackwards { .. } | V::FindingInvalid { .. } => {
            "tell the operator: the server's log needs looking at"
        }
        V::NotFounded => "hold the genesis ceremony",
        V::AlreadyFounded => "nothing: an instance is founded once",
        V::ActorNotAllowed { .. } | V::RoleMismatch { .. } | V::NotAnOfficer { .. } | V::NotACustodian { .. } => {
            "ask a person whose part this is"
        }
        V::PersonKnown { .. } => "choose an id that nobody ever had here",
        V::PersonUnknown { .. } => "only people on the roster take part in ceremonies",
        V::RequesterCannotApprove { .. } => "let other officers approve",
        V::AlreadyDecided { .. } | V::AlreadyContributed { .. } => "nothing: it is recorded already",
        V::PlanUnknown { .. } => "list the ceremonies and use an id from there",
        V::PlanKnown { .. } => "nothing: the plan is there; look at its state",
        V::PolicyEpochStale { .. }
        | V::PlanExpired { .. }
        | V::LogSpanExceeded { .. }
        | V::Rejected
        | V::TooFewApprovalsPlanned { .. }
        | V::PlanLimits { .. } => "propose the operation again",
        V::PlanNotYetValid { .. } => "wait until the plan is valid",
        V::CeremonyNotOpen { .. } | V::StepOutOfOrder { .. } | V::OutcomeWithoutIntent => {
            "look at the ceremony's state"
        }
        V::QuorumNotReached { .. } => "let more officers approve",
        V::ApprovalForOtherPlan { .. } => "show and sign the plan that this ceremony is about",
        V::ComponentsMissing { .. } => "let the custodians hand in their components",
        V::OtherHsm { .. } => "bring back the HSM that the plan names, or propose again for this one",
        V::DocumentMissing { .. }
        | V::DocumentMalformed { .. }
        | V::SignatureInvalid { .. }
        | V::DocumentMismatch { .. }
        | V::FounderMissing { .. }
        | V::ParametersDiffer
        | V::KeyMismatch { .. }
        | V::ManifestDiffers { .. }
        | V::CountsDiffer { .. }
        | V::ChunkInvalid { .. } => "make the document anew from what the server shows, and compare the digests",
        V::RosterInvalid { .. } | V::RuleInvalid { .. } | V::RuleMissing { .. } | V::UnknownShape => {
            "correct the people or the policy file"
        }
        V::MasterExists { .. }
        | V::ProvinceKnown { .. }
        | V::NationKnown
        | V::BureauKnown { .. }
        | V::BatchKnown { .. } => "nothing: it exists already",
        V::MasterUnknown { .. } | V::ProfileWithoutMasters { .. } => "make or import the masters of this profile first",
        V::WrongLevel { .. } => "use an instance of the other level",
        V::SuiteDiffers { .. } => "use HSMs of one suite on both sides, or another instance for this one",
        V::WrapDiffers { .. } => "use a vendor map with the same key-wrap on both sides",
        V::ComponentsUnsupported => "generate the masters in the HSM instead: leave out --custodian",
        V::EnvironmentMixed => "never mix production and test instances",
        V::ProvinceUnknown { .. } | V::NationUnknown => "hold the pairing ceremony first",
        V::BureauUnknown { .. } => "register the bureau by ceremony first",
        V::BureauExpired { .. } | V::CertificateInvalid { .. } => "register the bureau again with valid certificates",
        V::BatchUnknown { .. } | V::BatchPhase { .. } => "look at the batch's state",
        V::CounterWrong { .. } => "repeat the request: another batch of this bureau came first",
        V::BatchSize { .. } => "split the card list",
        V::KeyNotServed { .. } => {
            "see /health and `kms hsm inventory`: find out who changed the token, bring the key back, then restart the server"
        }
        V::KnownAnswerFailed { .. } => "run `kms hsm doctor`; use no key of this token until every check is good",
        V::TokenUnexamined { .. } => "wait until the server has examined its token; see /health",
        V::AttackOpen { .. } => {
            "close it with the maker's help, or hold the ceremony accept-risk (docs/ceremonies/accept-risk.md)"
        }
        V::AttackNotShown { .. } => "name attacks that /health shows as open",
        V::TokenStale { .. } => "nothing: another worker has taken this chunk",
    }
}
