//! Who may do what, as types that a handler cannot work without.
//!
//! `Authorised<A>` is there only if the request was signed by a known key within its time, with a nonce
//! never seen before, by somebody `A` admits; it hands out the identity that was checked.
//! `SignedBody<A, LIMIT>` is the same with a body that is exactly the one that was signed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use kms_api::problem::{Code, Problem};
use kms_api::signing::{CONTENT_DIGEST, SIGNATURE, SIGNATURE_INPUT, SigningError, Unverified, Verified};
use kms_core::event::Refused;
use kms_core::id::{Actor, BureauId, PersonId, RegionCode};
use kms_core::plan::Role;
use rocket::data::{self, Data, FromData, ToByteUnit as _};
use rocket::http::Status;
use rocket::request::{FromRequest, Outcome};
use rocket::{Request, tokio};

use crate::app::caller::{self, Caller};
use crate::instance::Instance;

/// Whom a handler admits, and what it then knows of them.
pub(super) trait Access: Send + Sync + 'static {
    /// What was checked.
    type Identity: Send + Sync;
    /// The identity, if this caller is admitted.
    fn admit(caller: &Caller) -> Option<Self::Identity>;
}

macro_rules! access {
    ($(#[$doc:meta])* $name:ident, $identity:ty, $($pattern:pat => $value:expr),+ $(,)?) => {
        $(#[$doc])*
        pub(super) struct $name;
        impl Access for $name {
            type Identity = $identity;
            fn admit(caller: &Caller) -> Option<$identity> {
                match caller {
                    $($pattern => Some($value),)+
                    _ => None,
                }
            }
        }
    };
}

access!(
    /// A security officer.
    Officer, PersonId, Caller::Person { id, role: Role::Security } => id.clone()
);
access!(
    /// An auditor.
    Auditor, PersonId, Caller::Person { id, role: Role::Audit } => id.clone()
);
access!(
    /// A security officer or an auditor.
    Reader, (), Caller::Person { role: Role::Security | Role::Audit, .. } => ()
);
access!(
    /// Asks for a ceremony: a security officer, or a system administrator about roster and policy. Never approves by it.
    Proposer, (), Caller::Person { role: Role::Security | Role::System, .. } => ()
);
access!(
    /// Anybody on the roster: reads ceremonies.
    Roster, (), Caller::Person { .. } => ()
);
/// Everyone whose key is known.
pub(super) struct Known;

impl Access for Known {
    type Identity = ();
    fn admit(_: &Caller) -> Option<()> {
        Some(())
    }
}

access!(
    /// Everyone but system administrators.
    Partner, (),
    Caller::Person { role: Role::Security | Role::Audit, .. } => (),
    Caller::Bureau(_) | Caller::Province { .. } => ()
);
access!(
    /// Who may read the whole key log.
    LogReader, (),
    Caller::Person { role: Role::Security | Role::Audit, .. } => (),
    Caller::Province { .. } => ()
);
access!(
    /// A bureau.
    Bureau, BureauId, Caller::Bureau(id) => id.clone()
);
access!(
    /// Reads batches: a bureau its own (`Some`), officers and auditors all.
    BatchReader, Option<BureauId>,
    Caller::Bureau(id) => Some(id.clone()),
    Caller::Person { role: Role::Security | Role::Audit, .. } => None
);
access!(
    /// Stops batches: a bureau its own (`Some`), officers any.
    BatchStopper, Option<BureauId>,
    Caller::Bureau(id) => Some(id.clone()),
    Caller::Person { role: Role::Security, .. } => None
);
access!(
    /// A paired province.
    Province, RegionCode, Caller::Province { region, .. } => region.clone()
);
access!(
    /// Brings a province's receipt: the province, or an officer who carries the file.
    ReceiptBearer, (),
    Caller::Province { .. } | Caller::Person { role: Role::Security, .. } => ()
);

/// A request by somebody whom `A` admits.
pub(super) struct Authorised<A: Access> {
    caller: Caller,
    identity: A::Identity,
}

impl<A: Access> Authorised<A> {
    /// Who asks.
    pub(super) fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// What was checked.
    pub(super) fn identity(&self) -> &A::Identity {
        &self.identity
    }
}

/// A request with a body of at most `LIMIT` bytes by somebody whom `A` admits.
pub(super) struct SignedBody<A: Access, const LIMIT: usize> {
    authorised: Authorised<A>,
    body: Vec<u8>,
}

impl<A: Access, const LIMIT: usize> SignedBody<A, LIMIT> {
    /// Identity and body.
    pub(super) fn into_parts(self) -> (Authorised<A>, Vec<u8>) {
        (self.authorised, self.body)
    }
}

#[rocket::async_trait]
impl<'r, A: Access> FromRequest<'r> for Authorised<A> {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        let authorised = match Gate::new(request) {
            Ok(gate) => gate.pass::<A>(&[]).await,
            Err(problem) => Err(problem),
        };
        match authorised {
            Ok(authorised) => Outcome::Success(authorised),
            Err(problem) => Outcome::Error((note(request, *problem), ())),
        }
    }
}

#[rocket::async_trait]
impl<'r, A: Access, const LIMIT: usize> FromData<'r> for SignedBody<A, LIMIT> {
    type Error = ();

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> data::Outcome<'r, Self> {
        match read::<A, LIMIT>(request, data).await {
            Ok(signed) => data::Outcome::Success(signed),
            Err(problem) => data::Outcome::Error((note(request, *problem), ())),
        }
    }
}

/// The problem a guard left for the catcher.
pub(super) fn problem_of(request: &Request<'_>) -> Option<Problem> {
    request.local_cache(|| None::<Problem>).clone()
}

/// Leaves a problem of another guard for the catcher.
pub(super) fn note(request: &Request<'_>, problem: Problem) -> Status {
    let status = Status::new(problem.status);
    request.local_cache(|| Some(problem));
    status
}

async fn read<A: Access, const LIMIT: usize>(
    request: &Request<'_>,
    data: Data<'_>,
) -> Result<SignedBody<A, LIMIT>, Box<Problem>> {
    // The signature covers the body's digest, so no body is read for a stranger.
    let gate = Gate::new(request)?;
    let body = data.open(LIMIT.bytes()).into_bytes().await;
    let body = body.map_err(|error| Box::new(Problem::new(Code::MalformedBody, error.to_string())))?;
    if !body.is_complete() {
        let detail = format!("at most {LIMIT} bytes are accepted here");
        return Err(Box::new(Problem::new(Code::BodyTooLarge, detail)));
    }
    let body = body.into_inner();
    Ok(SignedBody { authorised: gate.pass::<A>(&body).await?, body })
}

/// A request whose head was signed by a known key within its time.
struct Gate {
    instance: Arc<Instance>,
    source: Option<IpAddr>,
    operation: String,
    caller: Caller,
    verified: Verified,
}

impl Gate {
    fn new(request: &Request<'_>) -> Result<Self, Box<Problem>> {
        let missing = || Box::new(Problem::new(Code::Internal, "not ready"));
        let instance = request.rocket().state::<Arc<Instance>>().ok_or_else(missing)?.clone();
        let source = request.client_ip();
        match Self::verify(request, &instance) {
            Ok((caller, verified)) => {
                let operation = format!("{} {}", request.method(), request.uri().path());
                Ok(Self { instance, source, operation, caller, verified })
            }
            Err(problem) => Err(count(&instance, source, *problem)),
        }
    }

    fn verify(request: &Request<'_>, instance: &Instance) -> Result<(Caller, Verified), Box<Problem>> {
        let one = |name: &str| {
            let mut values = request.headers().get(name);
            values.next().filter(|_| values.next().is_none())
        };
        let unverified = Unverified::parse(
            request.method().as_str(),
            &request.uri().to_string(),
            one(CONTENT_DIGEST),
            one(SIGNATURE_INPUT),
            one(SIGNATURE),
        )
        .map_err(|error| refusal(&error))?;
        let key_id = unverified.key_id();
        let unknown = || Box::new(Problem::new(Code::UnknownKey, format!("the key {key_id} is not known here")));
        let (caller, key) = Caller::find(&instance.journal.state(), &key_id).ok_or_else(unknown)?;
        let verified = unverified.verify(&key, now_s()).map_err(|error| refusal(&error))?;
        Ok((caller, verified))
    }

    /// Compares the body, uses up the nonce, asks whether `A` admits the caller.
    async fn pass<A: Access>(self, body: &[u8]) -> Result<Authorised<A>, Box<Problem>> {
        let source = self.source;
        if let Err(error) = self.verified.check_body(body) {
            return Err(count(&self.instance, source, *refusal(&error)));
        }
        let Self { instance, operation, caller, verified, .. } = self;
        let identity = A::admit(&caller);
        let passed = tokio::task::spawn_blocking(move || {
            let fresh = caller::use_up_nonce(&instance, verified.parameters());
            match fresh {
                Ok(true) => {}
                Ok(false) => {
                    let problem = Problem::new(Code::RequestReplayed, "this nonce was used before");
                    return Err(count(&instance, source, problem));
                }
                Err(fault) => return Err(Box::new(fault.into_problem())),
            }
            let Some(identity) = identity else {
                let problem = Problem::new(Code::RoleForbidden, format!("{} may not do this", caller.actor()));
                let code = Code::RoleForbidden.name().to_owned();
                let refused = Refused { operation, code, count: 1, subject: None };
                instance.journal.refuse(caller.actor(), caller.role(), refused);
                return Err(Box::new(problem));
            };
            Ok(Authorised { caller, identity })
        });
        let failed = || Box::new(Problem::new(Code::Internal, "the server could not do this"));
        passed.await.unwrap_or_else(|_| Err(failed()))
    }
}

/// The first of a kind within a minute is logged at once, the others as one entry with their number.
fn count(instance: &Arc<Instance>, source: Option<IpAddr>, problem: Problem) -> Box<Problem> {
    tracing::info!(code = problem.code(), "request refused");
    if instance.strangers.count(source, problem.code()) {
        let refused =
            Refused { operation: "http".to_owned(), code: problem.code().to_owned(), count: 1, subject: None };
        let instance = instance.clone();
        tokio::task::spawn_blocking(move || instance.journal.refuse(Actor::Unknown, None, refused));
    }
    Box::new(problem)
}

fn refusal(error: &SigningError) -> Box<Problem> {
    let code = match error {
        SigningError::Missing { .. } => Code::UnsignedRequest,
        SigningError::Expired { .. } | SigningError::Lifetime { .. } => Code::RequestExpired,
        SigningError::Body { .. } | SigningError::Malformed { .. } | SigningError::Signature => {
            Code::RequestSignatureInvalid
        }
    };
    Box::new(Problem::new(code, error.to_string()))
}

/// The host's clock: the caller's is compared with it, nothing is decided by it.
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
