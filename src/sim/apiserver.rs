//! The API servers of the simulated cluster: one on each control plane, over TLS, gone when their machine is.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{Request, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::api::faults::{Connection, Dropped};
use super::api::{Faults, Held, UserInfo};
use super::etcd::Ensemble;
use super::machine::Machine;
use super::pace::Pace;
use super::subject;
use super::wire::{Severable, refused};

/// From the local etcd member's start until the API server answers, at speed 1.
const START: Duration = Duration::from_secs(3);

/// Whether the API server of each control plane answers.
#[derive(Clone)]
pub struct ApiProcess {
    node: String,
    up: watch::Receiver<bool>,
}

impl ApiProcess {
    /// The API server on `machine`: it needs the machine and the etcd member there. Ends when `stop` is cancelled.
    pub fn start(machine: &Machine, etcd: &Ensemble, pace: Pace, stop: &CancellationToken) -> Self {
        let node = machine.name().to_owned();
        let can_run = {
            let (machine, etcd) = (machine.clone(), etcd.clone());
            move || machine.power().borrow().is_serving() && etcd.is_up(machine.name())
        };
        let (sender, up) = watch::channel(can_run());
        let (mut power, mut health) = (machine.power(), etcd.watch());
        let follow = async move {
            loop {
                let is_up = *sender.borrow();
                if is_up != can_run() {
                    if !is_up {
                        tokio::time::sleep(pace.of(START)).await;
                    }
                    sender.send_replace(can_run());
                    continue;
                }
                tokio::select! {
                    changed = power.changed() => if changed.is_err() { return },
                    changed = health.changed() => if changed.is_err() { return },
                }
            }
        };
        let stop = stop.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(follow).await;
        });
        Self { node, up }
    }

    /// Node name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Whether it answers now.
    pub fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// Whether it answers, now and later.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.up.clone()
    }
}

/// The secure port of one API server.
#[derive(Clone)]
pub struct ApiDoor {
    process: ApiProcess,
    router: Router,
    faults: Faults,
    tls: Arc<ServerConfig>,
    stop: CancellationToken,
}

impl ApiDoor {
    /// Serves `router` for `process` with the certificate of `tls`; connections end when `stop` is cancelled.
    pub fn new(
        process: ApiProcess,
        router: Router,
        faults: Faults,
        tls: Arc<ServerConfig>,
        stop: CancellationToken,
    ) -> Self {
        Self { process, router, faults, tls, stop }
    }

    /// Whether it accepts connections now.
    pub fn is_open(&self) -> bool {
        self.process.is_up() && *self.faults.connection().borrow() != Connection::Down
    }

    /// Serves `stream` in a task of its own; refused while the API server is down.
    pub fn accept<S>(&self, stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if !self.is_open() {
            return Err(refused());
        }
        let door = self.clone();
        tokio::spawn(async move {
            let cut = door.stop.child_token();
            let stream = Severable::new(stream, cut.clone());
            tokio::select! {
                () = door.serve(stream, &cut) => {}
                () = door.gone() => {}
                () = cut.cancelled() => {}
            }
            cut.cancel();
        });
        Ok(())
    }

    /// Ends when the process or, by a fault, its connections do.
    async fn gone(&self) {
        let (mut up, mut connection) = (self.process.watch(), self.faults.connection());
        tokio::select! {
            _ = up.wait_for(|up| !up) => {}
            _ = connection.wait_for(|state| *state == Connection::Down) => {}
        }
    }

    async fn serve<S>(&self, stream: S, cut: &CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls));
        let Ok(stream) = acceptor.accept(stream).await else { return };
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let user = shown.and_then(|der| subject::of(der)).map(|name| UserInfo {
            name: name.common_name,
            groups: name.organizations.into_iter().chain(["system:authenticated".to_owned()]).collect(),
        });
        let (held, mut tunnels) = Held::new();
        let (router, cut) = (self.router.clone(), cut.clone());
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(held.clone());
            answer(router.clone(), request, user.clone(), cut.clone())
        });
        // Ends with an error whenever a client goes away without a word.
        let server = auto::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
        // what was handed over lives on until its users are done
        let _ = tunnels.recv().await;
    }
}

async fn answer(
    router: Router,
    mut request: Request<Body>,
    user: Option<UserInfo>,
    cut: CancellationToken,
) -> Result<Response, Infallible> {
    let Some(user) = user else { return Ok(stranger(router, request).await) };
    request.extensions_mut().insert(user);
    let response = router.oneshot(request).await?;
    if response.extensions().get::<Dropped>().is_some() {
        cut.cancel();
    }
    Ok(response)
}

/// Without a certificate: a token is never valid here, and the anonymous user sees what kubeadm lets it see.
async fn stranger(router: Router, mut request: Request<Body>) -> Response {
    const OPEN: &[&str] = &["/livez", "/readyz", "/healthz", "/version"];
    if request.headers().contains_key(header::AUTHORIZATION) {
        return refusal(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized");
    }
    let path = request.uri().path();
    if !OPEN.iter().any(|open| path == *open || path.strip_prefix(open).is_some_and(|p| p.starts_with('/'))) {
        let message = format!("forbidden: User \"system:anonymous\" cannot get path \"{path}\"");
        return refusal(StatusCode::FORBIDDEN, "Forbidden", &message);
    }
    let groups = vec!["system:unauthenticated".to_owned()];
    request.extensions_mut().insert(UserInfo { name: "system:anonymous".to_owned(), groups });
    router.oneshot(request).await.unwrap_or_else(|never| match never {})
}

fn refusal(code: StatusCode, reason: &str, message: &str) -> Response {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16(),
    });
    let mut response = Response::new(Body::from(status.to_string()));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
