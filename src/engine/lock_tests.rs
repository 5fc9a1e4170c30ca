//! The keeper, and the watch before a takeover, against one lease in memory.

use super::*;
use crate::backend::clock;
use crate::backend::kube::LeaseClaim;
use crate::domain::config::Policy;
use crate::domain::guard::{Assent, Request, World, grant};
use crate::domain::plan::Kind;
use axum::body::Body;
use axum::response::Response;
use serde_json::{Value, json};

/// The lease, and the code with which changes of it are answered instead of being made.
#[derive(Default)]
struct Server {
    lease: Value,
    writes: Option<u16>,
}

type Shared = Arc<std::sync::Mutex<Server>>;

fn respond(code: u16, body: &Value) -> Response {
    Response::builder().status(code).body(Body::from(body.to_string())).unwrap()
}

fn refuse(code: u16) -> Response {
    let body =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "no"});
    respond(code, &body)
}

fn serve(server: &mut Server, method: &str, body: &Value) -> Response {
    match method {
        "GET" if server.lease.is_null() => return refuse(404),
        "GET" => return respond(200, &server.lease),
        _ => {}
    }
    if let Some(code) = server.writes {
        return refuse(code);
    }
    if method == "PATCH" {
        json_patch::merge(&mut server.lease, body);
    } else {
        server.lease = body.clone();
    }
    server.lease["metadata"]["uid"] = json!("u");
    server.lease["metadata"]["resourceVersion"] = json!("1");
    respond(200, &server.lease)
}

fn cluster() -> (Cluster, Shared) {
    let state = Shared::default();
    let kept = state.clone();
    let router = axum::Router::new().fallback(move |request: axum::extract::Request| {
        let kept = kept.clone();
        async move {
            let (parts, body) = request.into_parts();
            let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            serve(&mut kept.lock().unwrap(), parts.method.as_str(), &body)
        }
    });
    (Cluster::from_client(::kube::Client::new(router, "default"), "test"), state)
}

fn permit() -> Permit {
    let request = Request::new(Kind::Reboot, vec!["cp-1".into()]);
    let world = World { nodes: None, etcd: None, lock: None };
    grant(&Policy::default(), &request, world, Assent::Flag { context: None }).unwrap()
}

async fn held(api: &Cluster) -> LeaseHeld {
    let claim = LeaseClaim {
        namespace: "kube-system".into(),
        holder: "ann@desk".into(),
        run: "r1".into(),
        step: "lock".into(),
        node: None,
        lasts: Duration::from_secs(30),
        adopt: false,
        watched: None,
    };
    api.lease_take(&claim, &permit()).await.unwrap()
}

/// Lets the renewals of that time happen.
async fn pass(secs: u64) {
    tokio::time::sleep(Duration::from_secs(secs)).await;
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_cannot_be_renewed_in_time_is_lost_and_comes_back_with_the_api() {
    let (api, server) = cluster();
    let keeper = Keeper::start(api.clone(), held(&api).await, permit());
    pass(65).await;
    assert_eq!(keeper.lost(), None, "renewed");
    server.lock().unwrap().writes = Some(503);
    pass(45).await;
    let words = keeper.lost().expect("lost");
    assert!(words.contains("not renewed for"), "{words}");
    assert_eq!(keeper.gone(), None);
    assert!(keeper.assure().await.unwrap_err().kind.is_passing(), "it cannot be told while the API is away");
    server.lock().unwrap().writes = None;
    keeper.assure().await.expect("renewed at once");
    assert_eq!(keeper.lost(), None);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_forbidden_loses_the_lock_at_once() {
    let (api, server) = cluster();
    let keeper = Keeper::start(api.clone(), held(&api).await, permit());
    server.lock().unwrap().writes = Some(403);
    pass(11).await;
    assert!(keeper.lost().is_some() && keeper.gone().is_none());
    assert_eq!(keeper.assure().await.unwrap_err().kind, FailureKind::Denied);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_deleted_is_lost_for_good() {
    let (api, server) = cluster();
    let keeper = Keeper::start(api.clone(), held(&api).await, permit());
    server.lock().unwrap().writes = Some(404);
    pass(11).await;
    assert!(keeper.gone().is_some());
    server.lock().unwrap().writes = None;
    assert_eq!(keeper.assure().await.unwrap_err().kind, FailureKind::Denied);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_only_looks_expired_is_not_taken() {
    let (api, server) = cluster();
    held(&api).await;
    let renew = |at: Stamp| {
        server.lock().unwrap().lease["spec"]["renewTime"] = json!(clock::rfc3339_micro(at));
    };
    // by our clock an hour ago, as its holder's clock is an hour behind
    renew(Stamp(now().0 - 3_600_000));
    let row = api.lease_read("kube-system").await.unwrap().unwrap();
    assert!(row.is_expired(now()));
    let (poll, cancel) = (Duration::from_secs(1), CancellationToken::new());
    let began = Instant::now();
    assert!(watch_idle(&api, &row, "kube-system", poll, &cancel).await.expect("nobody renews it").is_some());
    assert_eq!(began.elapsed().as_secs(), 30);
    let renewal = async {
        pass(20).await;
        renew(Stamp(now().0 - 3_600_000));
    };
    let (watched, ()) = tokio::join!(watch_idle(&api, &row, "kube-system", poll, &cancel), renewal);
    let error = watched.unwrap_err();
    assert_eq!(error.kind, FailureKind::Denied);
    assert!(error.to_string().contains("ann@desk"), "{error}");
    let row = api.lease_read("kube-system").await.unwrap().unwrap();
    cancel.cancel();
    let error = watch_idle(&api, &row, "kube-system", poll, &cancel).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Cancelled);
}
