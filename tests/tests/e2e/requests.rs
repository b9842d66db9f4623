//! Requests of strangers, requests twice, requests changed on the way.

use kms_api::signing::{SignatureHeaders, sign_request};
use kms_core::id::Nonce;
use kms_core::secret::Pin;
use kms_core::sm2::SecretKey;

use crate::harness::{Scene, Server};
use crate::http::{self, Answer};

/// The private key of one of Henan's people.
pub(crate) fn key_of(scene: &Scene, person: &str) -> SecretKey {
    let read = |name: String| std::fs::read_to_string(scene.dir.join(name)).unwrap();
    let password = Pin::new(read(format!("henan/{person}.password")).trim_end().as_bytes().to_vec()).unwrap();
    SecretKey::from_pkcs8_encrypted_pem(&read(format!("henan/{person}.pem")), &password).unwrap()
}

fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn nonce() -> Nonce {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    Nonce::from_bytes(bytes)
}

/// Headers of a request signed at `created_s`.
pub(crate) fn headers(key: &SecretKey, method: &str, path: &str, body: &[u8], created_s: u64) -> SignatureHeaders {
    sign_request(method, path, body, created_s, nonce(), key.public(), |base| key.sign(base)).unwrap()
}

/// A request signed now.
pub(crate) fn signed(server: &Server, key: &SecretKey, method: &str, path: &str, body: &[u8]) -> Answer {
    let headers = headers(key, method, path, body, now_s());
    http::send(&server.url, method, path, &headers.pairs(), body).unwrap()
}

#[test]
fn an_unsigned_request_is_refused_and_counted() {
    let scene = Scene::new("requests-unsigned");
    let server = scene.start("henan");
    for (method, path) in [("GET", "/v1/status"), ("POST", "/v1/batches"), ("GET", "/v1/log/entries?from=0&count=1")] {
        let answer = http::send(&server.url, method, path, &[], b"").unwrap();
        assert_eq!((answer.status, answer.problem().as_str()), (401, "unsigned-request"), "{method} {path}");
    }
    assert!(http::get(&server.url, "/health").is_ok_and(|answer| answer.status == 200));
}

#[test]
fn a_replayed_request_is_refused() {
    let scene = Scene::new("requests-replayed");
    let server = scene.start("henan");
    let key = key_of(&scene, "chen-jie");
    let headers = headers(&key, "GET", "/v1/status", b"", now_s());
    let once = http::send(&server.url, "GET", "/v1/status", &headers.pairs(), b"").unwrap();
    assert_eq!(once.status, 200);
    let twice = http::send(&server.url, "GET", "/v1/status", &headers.pairs(), b"").unwrap();
    assert_eq!((twice.status, twice.problem().as_str()), (401, "request-replayed"));
    // Nonces outlive the process.
    server.kill();
    let server = scene.start("henan");
    let later = http::send(&server.url, "GET", "/v1/status", &headers.pairs(), b"").unwrap();
    assert_eq!(later.problem(), "request-replayed");
    let log = scene.audit(&server, "export/replayed").good();
    assert!(log.contains("\"refused\""), "a refusal of a known caller is an entry: {log}");
}

#[test]
fn a_signature_holds_for_one_request_only() {
    let scene = Scene::new("requests-moved");
    let server = scene.start("henan");
    let key = key_of(&scene, "chen-jie");
    let cases: [(&str, &str, &[u8]); 3] =
        [("GET", "/v1/ceremonies", b""), ("POST", "/v1/status", b""), ("GET", "/v1/status?x=1", b"")];
    for (method, path, body) in cases {
        let moved = headers(&key, "GET", "/v1/status", b"", now_s());
        let answer = http::send(&server.url, method, path, &moved.pairs(), body).unwrap();
        assert!(answer.status == 401 || answer.status == 404, "{method} {path}: {answer:?}");
    }
    let mut forged = headers(&key, "GET", "/v1/status", b"", now_s());
    let stranger = key_of(&scene, "liu-yang");
    forged.signature = headers(&stranger, "GET", "/v1/status", b"", now_s()).signature;
    let answer = http::send(&server.url, "GET", "/v1/status", &forged.pairs(), b"").unwrap();
    assert_eq!(answer.problem(), "request-signature-invalid");
}

#[test]
fn old_early_and_foreign_requests_are_refused() {
    let scene = Scene::new("requests-old");
    let server = scene.start("henan");
    let key = key_of(&scene, "chen-jie");
    for created_s in [now_s() - 3600, now_s() + 3600] {
        let headers = headers(&key, "GET", "/v1/status", b"", created_s);
        let answer = http::send(&server.url, "GET", "/v1/status", &headers.pairs(), b"").unwrap();
        assert_eq!((answer.status, answer.problem().as_str()), (401, "request-expired"), "{created_s}");
    }
    let stranger = SecretKey::generate(&mut getrandom::SysRng).unwrap();
    assert_eq!(signed(&server, &stranger, "GET", "/v1/status", b"").problem(), "unknown-key");
}

#[test]
fn roles_stay_in_their_lane() {
    let scene = Scene::new("requests-roles");
    let server = scene.start("henan");
    let auditor = key_of(&scene, "zhou-min");
    assert_eq!(signed(&server, &auditor, "GET", "/v1/status", b"").status, 200);
    for path in ["/v1/ceremonies", "/v1/batches", "/v1/hand-over/pull"] {
        let answer = signed(&server, &auditor, "POST", path, b"{}");
        assert_eq!((answer.status, answer.problem().as_str()), (403, "role-forbidden"), "{path}");
    }
    let officer = key_of(&scene, "chen-jie");
    assert_eq!(signed(&server, &officer, "POST", "/v1/audit/prove", b"{}").problem(), "role-forbidden");
}

#[test]
fn bodies_are_read_strictly() {
    let scene = Scene::new("requests-bodies");
    let server = scene.start("henan");
    let officer = key_of(&scene, "chen-jie");
    for body in [&b"{"[..], b"[]", b"{\"operation\":\"no-such\"}", b"\xff\xfe"] {
        let answer = signed(&server, &officer, "POST", "/v1/ceremonies", body);
        assert_eq!((answer.status, answer.problem().as_str()), (400, "malformed-body"), "{body:?}");
    }
    let large = vec![b' '; 64 * 1024 * 1024];
    let headers = headers(&officer, "POST", "/v1/ceremonies", &large, now_s());
    // The server may hang up before it has read what it will not take.
    if let Ok(answer) = http::send(&server.url, "POST", "/v1/ceremonies", &headers.pairs(), &large) {
        assert_eq!(answer.problem(), "body-too-large");
    }
    assert_eq!(signed(&server, &officer, "GET", "/v1/no-such-thing", b"").problem(), "not-found");
}
