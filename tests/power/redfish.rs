//! A Redfish service over TLS: one system, basic login and sessions.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use base64::Engine as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use tokio_rustls::TlsAcceptor;

/// The password of the user `ops`.
pub const PASSWORD: &str = "PLANTED-good";

#[derive(Default)]
struct World {
    power: String,
    resets: Vec<String>,
    sessions: usize,
    requests: usize,
}

type Shared = Arc<Mutex<World>>;

/// A service on loopback; ends with its owner.
pub struct Server {
    pub dir: tempfile::TempDir,
    pub port: u16,
    pub fingerprint: String,
    world: Shared,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn may(headers: &HeaderMap) -> bool {
    let basic =
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("ops:{PASSWORD}")));
    let has = |name: &str, value: &str| headers.get(name).is_some_and(|given| given == value);
    has("authorization", &basic) || has("x-auth-token", "PLANTED-token")
}

fn refused() -> Response {
    (StatusCode::UNAUTHORIZED, Json(json!({"error": {"message": "no"}}))).into_response()
}

async fn systems(State(world): State<Shared>, headers: HeaderMap) -> Response {
    world.lock().expect("lock").requests += 1;
    if !may(&headers) {
        return refused();
    }
    Json(json!({"Members": [{"@odata.id": "/redfish/v1/Systems/one"}]})).into_response()
}

async fn system(State(world): State<Shared>, headers: HeaderMap) -> Response {
    if !may(&headers) {
        return refused();
    }
    let power = world.lock().expect("lock").power.clone();
    Json(json!({
        "PowerState": power,
        "Actions": {"#ComputerSystem.Reset": {
            "target": "/redfish/v1/Systems/one/Actions/ComputerSystem.Reset",
            "ResetType@Redfish.AllowableValues": ["On", "ForceOff", "ForceRestart"],
        }},
    }))
    .into_response()
}

async fn reset(State(world): State<Shared>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if !may(&headers) {
        return refused();
    }
    let mut world = world.lock().expect("lock");
    world.resets.push(body["ResetType"].as_str().expect("a kind").to_owned());
    world.power = "On".to_owned();
    StatusCode::NO_CONTENT.into_response()
}

async fn log_in(State(world): State<Shared>, Json(body): Json<Value>) -> Response {
    if body["UserName"] != "ops" || body["Password"] != PASSWORD {
        return refused();
    }
    world.lock().expect("lock").sessions += 1;
    let place = [
        ("x-auth-token", "PLANTED-token"),
        (header::LOCATION.as_str(), "/redfish/v1/SessionService/Sessions/7"),
    ];
    (StatusCode::CREATED, place, Json(json!({}))).into_response()
}

async fn log_out(State(world): State<Shared>, headers: HeaderMap) -> Response {
    if !may(&headers) {
        return refused();
    }
    world.lock().expect("lock").sessions -= 1;
    StatusCode::NO_CONTENT.into_response()
}

impl Server {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().expect("dir");
        let key = rcgen::KeyPair::generate().expect("key");
        let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
            .and_then(|params| params.self_signed(&key))
            .expect("certificate");
        std::fs::write(dir.path().join("ca.pem"), certificate.pem()).expect("write");
        let mut fingerprint = String::new();
        for byte in Sha256::digest(certificate.der()) {
            let _ = write!(fingerprint, "{byte:02X}:");
        }
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
                .expect("config");
        let world: Shared = Arc::new(Mutex::new(World { power: "On".to_owned(), ..World::default() }));
        let router = Router::new()
            .route("/redfish/v1/Systems", get(systems))
            .route("/redfish/v1/Systems/one", get(system))
            .route("/redfish/v1/Systems/one/Actions/ComputerSystem.Reset", post(reset))
            .route("/redfish/v1/SessionService/Sessions", post(log_in))
            .route("/redfish/v1/SessionService/Sessions/7", delete(log_out))
            .with_state(world.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let port = listener.local_addr().expect("address").port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = TowerToHyperService::new(router);
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let fingerprint = fingerprint.trim_end_matches(':').to_owned();
        Self { dir, port, fingerprint, world, task }
    }

    pub fn set(&self, power: &str) {
        self.world.lock().expect("lock").power = power.to_owned();
    }

    pub fn resets(&self) -> Vec<String> {
        self.world.lock().expect("lock").resets.clone()
    }

    pub fn sessions(&self) -> usize {
        self.world.lock().expect("lock").sessions
    }

    pub fn requests(&self) -> usize {
        self.world.lock().expect("lock").requests
    }
}
