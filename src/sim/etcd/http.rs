//! The plain HTTP health port of a member, 127.0.0.1:2381: metrics and health without a certificate.
//!
//! Sources: etcd `server/etcdserver/api/etcdhttp/health.go` (checks, texts), `metrics.go` of the packages that own the numbers.

use std::convert::Infallible;
use std::fmt::Write as _;

use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::Ensemble;
use crate::proto::AlarmType;

/// Serves one connection to the member of `node`, until the client has had its answers.
pub async fn serve<S>(stream: S, ensemble: Ensemble, node: String)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let (ensemble, node) = (ensemble.clone(), node.clone());
        async move {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            let (status, text) = answer(&ensemble, &node, path).await;
            let mut response = http::Response::new(Body::from(text));
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
            Ok::<_, Infallible>(response)
        }
    });
    let server = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
    // Ends with an error whenever a client goes away without a word.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

/// Status and text of the answer to a path. A member that hangs never answers.
pub async fn answer(ensemble: &Ensemble, node: &str, path: &str) -> (u16, String) {
    if ensemble.hangs(node) {
        std::future::pending::<()>().await;
    }
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let has = |alarm| ensemble.has_alarm(alarm);
    let checks: Vec<(&str, bool)> = match path {
        "/metrics" => return (200, metrics(ensemble, node)),
        "/livez" => vec![("serializable_read", true)],
        "/readyz" => vec![
            ("data_corruption", !has(AlarmType::Corrupt)),
            ("serializable_read", true),
            ("linearizable_read", ensemble.serves_in_time().await),
        ],
        "/health" => return health(ensemble).await,
        _ => return (404, "404 page not found\n".to_owned()),
    };
    let is_well = checks.iter().all(|(_, holds)| *holds);
    let mut text = String::new();
    if query.contains("verbose") || !is_well {
        for (name, holds) in checks {
            let line = if holds { format!("[+]{name} ok") } else { format!("[-]{name} failed: not well") };
            text.push_str(&line);
            text.push('\n');
        }
    }
    text.push_str(if is_well { "ok\n" } else { "health check failed\n" });
    (if is_well { 200 } else { 503 }, text)
}

async fn health(ensemble: &Ensemble) -> (u16, String) {
    let reason = if ensemble.has_alarm(AlarmType::Corrupt) {
        "ALARM CORRUPT"
    } else if ensemble.has_alarm(AlarmType::Nospace) {
        "ALARM NOSPACE"
    } else if ensemble.serves_in_time().await {
        ""
    } else {
        "RAFT NO LEADER"
    };
    let is_well = reason.is_empty();
    (if is_well { 200 } else { 503 }, format!("{{\"health\":\"{is_well}\",\"reason\":\"{reason}\"}}"))
}

fn metrics(ensemble: &Ensemble, node: &str) -> String {
    let (state, spec, now) = (ensemble.lock(), ensemble.spec(), Instant::now());
    let Some(index) = state.position(node) else { return String::new() };
    let member = &state.members[index];
    let mut text = format!(
        "# TYPE etcd_server_id gauge\netcd_server_id{{server_id=\"{:x}\"}} 1\netcd_server_version{{server_version=\"{}\"}} 1\n",
        member.id,
        ensemble.version()
    );
    for other in state.members.iter().filter(|other| other.id != member.id && !other.faults.unstarted) {
        // writing to a string cannot fail
        let _ = writeln!(text, "etcd_network_peer_sent_bytes_total{{To=\"{:x}\"}} 1.048576e+06", other.id);
    }
    let numbers = [
        ("etcd_debugging_mvcc_current_revision", u64::try_from(state.revision(index, now)).unwrap_or(0)),
        ("etcd_mvcc_db_total_size_in_bytes", member.db_size),
        ("etcd_mvcc_db_total_size_in_use_in_bytes", member.db_size.min(spec.used_kib * 1024)),
        ("etcd_server_has_leader", u64::from(state.leader.is_some())),
        ("etcd_server_is_leader", u64::from(state.leader == Some(index))),
        ("etcd_server_is_learner", u64::from(member.faults.learner)),
        ("etcd_server_proposals_applied_total", state.applied(index, now)),
        ("etcd_server_proposals_committed_total", state.known(index, now)),
        ("etcd_server_quota_backend_bytes", spec.quota_kib * 1024),
    ];
    for (name, number) in numbers {
        let _ = writeln!(text, "{name} {number}");
    }
    text
}
