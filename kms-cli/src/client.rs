//! The HTTP client: every request signed with the caller's key (RFC 9421), every answer bounded.
//!
//! Not a cache and not a retry loop. Guards: an error answer becomes its problem code and advice; a
//! body is never longer than its limit.

use std::io::Read;
use std::time::Duration;

use clap::Args;
use kms_api::body::Health;
use kms_api::problem::Problem;
use kms_api::signing;
use kms_core::id::Nonce;
use kms_core::sm2::SecretKey;
use serde::de::DeserializeOwned;
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::failure::{Exit, Failure, Outcome};
use crate::identity::{self, KeyOptions, now_ms};
use crate::settings::{ConfigOption, wanted};

/// Longest JSON answer in bytes.
const JSON_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time to the first byte of an answer: ceremonies wait for an HSM.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// Which server, and who asks.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ServerOptions {
    /// The instance's server, such as http://127.0.0.1:8000
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    #[command(flatten)]
    pub(crate) config: ConfigOption,
    #[command(flatten)]
    pub(crate) key: KeyOptions,
}

impl ServerOptions {
    /// A client that signs.
    pub(crate) fn connect(&self) -> Outcome<Client> {
        let settings = self.config.read()?;
        let key = wanted(self.key.key.clone(), settings.key, "key")?;
        let password_file = self.key.password_file.clone().or(settings.password_file);
        let key = identity::open_key(&key, password_file.as_deref())?;
        Client::new(&wanted(self.server.clone(), settings.server, "server")?, Some(key))
    }

    /// A client for open endpoints.
    pub(crate) fn connect_unsigned(&self) -> Outcome<Client> {
        Client::new(&wanted(self.server.clone(), self.config.read()?.server, "server")?, None)
    }
}

/// A connection to one server.
pub(crate) struct Client {
    agent: Agent,
    base: String,
    key: Option<SecretKey>,
}

/// A file on its way, perhaps from its middle.
pub(crate) struct Download {
    /// Does it begin at the asked offset (206)? If not, it begins at 0.
    pub(crate) partial: bool,
    /// The bytes.
    pub(crate) reader: Box<dyn Read>,
}

impl Client {
    /// `base` is scheme, host and port, without a path.
    pub(crate) fn new(base: &str, key: Option<SecretKey>) -> Outcome<Self> {
        let base = base.trim_end_matches('/');
        let host = base.strip_prefix("http://").or_else(|| base.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || host.contains(['/', '?', '#', '@'])) {
            return Err(Failure::new(
                Exit::Usage,
                format!("{base} is not the URL of a server"),
                "give scheme, host and port only: http://127.0.0.1:8000",
            ));
        }
        if base.starts_with("https://") && !cfg!(feature = "tls") {
            return Err(Failure::new(
                Exit::Usage,
                "this kms was built without TLS",
                "build it with `--features tls`, or use an http:// address on a protected network",
            ));
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            .max_redirects(0)
            .build()
            .into();
        Ok(Self { agent, base: base.to_owned(), key })
    }

    /// The key that signs, to sign documents with it as well.
    pub(crate) fn key(&self) -> Outcome<&SecretKey> {
        self.key.as_ref().ok_or_else(|| Failure::internal("this command needs a key"))
    }

    /// `GET`, JSON.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Outcome<T> {
        self.decode(self.checked("GET", path, None)?)
    }

    /// `GET /health`, whose body is the same whether all is well (200) or not (503).
    pub(crate) fn health(&self) -> Outcome<Health> {
        let response = self.send("GET", "/health", None, None)?;
        match response.status().as_u16() {
            200 | 503 => self.decode(response),
            _ => self.decode(self.check(response)?),
        }
    }

    /// `GET`, raw bytes of at most `limit`.
    pub(crate) fn get_bytes(&self, path: &str, limit: usize) -> Outcome<Vec<u8>> {
        self.bytes(self.checked("GET", path, None)?, limit as u64)
    }

    /// `POST` without a body.
    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str) -> Outcome<T> {
        self.decode(self.checked("POST", path, Some((&[], "application/octet-stream")))?)
    }

    /// `POST` of a document in DER.
    pub(crate) fn post_der<T: DeserializeOwned>(&self, path: &str, der: &[u8]) -> Outcome<T> {
        self.decode(self.checked("POST", path, Some((der, "application/octet-stream")))?)
    }

    /// `POST` of JSON.
    pub(crate) fn post_json<T: DeserializeOwned>(&self, path: &str, body: &impl serde::Serialize) -> Outcome<T> {
        self.decode(self.post_json_raw(path, body)?)
    }

    /// `POST` of JSON, answered with DER of at most `limit` bytes.
    pub(crate) fn post_json_for_bytes(
        &self,
        path: &str,
        body: &impl serde::Serialize,
        limit: usize,
    ) -> Outcome<Vec<u8>> {
        self.bytes(self.post_json_raw(path, body)?, limit as u64)
    }

    /// `GET` of a file from `offset` on.
    pub(crate) fn download(&self, path: &str, offset: u64) -> Outcome<Download> {
        let range = format!("bytes={offset}-");
        let extra = (offset > 0).then_some(("Range", range.as_str()));
        let response = self.check(self.send("GET", path, None, extra)?)?;
        let partial = response.status().as_u16() == 206;
        Ok(Download { partial, reader: Box::new(response.into_body().into_reader()) })
    }

    fn post_json_raw(&self, path: &str, body: &impl serde::Serialize) -> Outcome<Response<Body>> {
        let bytes = serde_json::to_vec(body).map_err(Failure::internal)?;
        self.checked("POST", path, Some((&bytes, "application/json")))
    }

    fn checked(&self, method: &str, path: &str, body: Option<(&[u8], &str)>) -> Outcome<Response<Body>> {
        self.check(self.send(method, path, body, None)?)
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&[u8], &str)>,
        extra: Option<(&str, &str)>,
    ) -> Outcome<Response<Body>> {
        let bytes = body.map_or(&[][..], |(bytes, _)| bytes);
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some((name, value)) = extra {
            request = request.header(name, value);
        }
        if let Some((_, content_type)) = body {
            request = request.header("Content-Type", content_type);
        }
        if let Some(key) = &self.key {
            let nonce = Nonce::from_bytes(identity::random()?);
            let sign = |base: &[u8]| key.sign(base).map_err(Failure::internal);
            let headers = signing::sign_request(method, path, bytes, now_ms() / 1000, nonce, key.public(), sign)?;
            for (name, value) in headers.pairs() {
                request = request.header(name, value);
            }
        }
        let sent = if body.is_some() {
            request.body(bytes).map_err(Failure::internal).map(|request| self.agent.run(request))?
        } else {
            request.body(()).map_err(Failure::internal).map(|request| self.agent.run(request))?
        };
        sent.map_err(|error| self.unreachable(&error))
    }

    fn check(&self, response: Response<Body>) -> Outcome<Response<Body>> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.bytes(response, JSON_BYTES_MAX)?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(problem.into()),
            Err(_) => Err(Failure::new(
                Exit::Unavailable,
                format!("{} answered {status}", self.base),
                "check that this is the address of a kms-server",
            )),
        }
    }

    fn bytes(&self, mut response: Response<Body>, limit: u64) -> Outcome<Vec<u8>> {
        response.body_mut().with_config().limit(limit).read_to_vec().map_err(|error| self.unreachable(&error))
    }

    fn decode<T: DeserializeOwned>(&self, response: Response<Body>) -> Outcome<T> {
        let bytes = self.bytes(response, JSON_BYTES_MAX)?;
        serde_json::from_slice(&bytes).map_err(|reason| {
            Failure::new(
                Exit::Unavailable,
                format!("{} answered something else than expected: {reason}", self.base),
                "use a kms of the server's version",
            )
        })
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        Failure::new(
            Exit::Unavailable,
            format!("{} does not answer: {error}", self.base),
            "check address and network; is the server running?",
        )
    }
}
