//! The observer against a scripted server: what comes out, in which form, and how failures show.

use super::*;
use crate::backend::kube::testing::{Seen, answer, cluster, failure};
use axum::body::Body;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn list(items: &Value) -> Response {
    answer(200, &json!({"metadata": {"resourceVersion": "5"}, "items": items}))
}

fn quiet() -> Response {
    Response::new(Body::from_stream(futures::stream::pending::<Result<String, std::convert::Infallible>>()))
}

fn serve(seen: &Seen) -> Response {
    let path = seen.uri.split('?').next().unwrap_or_default();
    if seen.uri.contains("watch=true") {
        return quiet();
    }
    match path {
        "/readyz" => answer(200, &json!("ok")),
        "/version" => answer(200, &json!({"gitVersion": "v1.34.2"})),
        "/api/v1/nodes" => list(&json!([{"metadata": {"name": "w"}, "status": {"conditions": [
            {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-02T03:00:00Z"}]}}])),
        "/api/v1/pods" => list(&json!([{"metadata": {"name": "p", "namespace": "shop", "uid": "u"}}])),
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases" => {
            list(&json!([{"metadata": {"name": "w"}, "spec": {"renewTime": "2026-01-02T03:05:00.000000Z"}}]))
        }
        "/apis/policy/v1/poddisruptionbudgets" => failure(403, "Forbidden", "no budgets for you"),
        _ => list(&json!([])),
    }
}

async fn gather(from: &mut mpsc::Receiver<Observation>, secs: u64) -> Vec<Observation> {
    let mut all = Vec::new();
    let end = tokio::time::Instant::now() + Duration::from_secs(secs);
    while let Ok(Some(one)) = tokio::time::timeout_at(end, from.recv()).await {
        all.push(one);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn one_stream_tells_everything() {
    let (api, _) = cluster(|seen: Seen| async move { serve(&seen) });
    let mut from = observe(&api, Generation(1), CancellationToken::new());
    let all = gather(&mut from, 60).await;
    assert_eq!(all[0], Observation::Liveness(Liveness::Connecting));
    let has = |test: &dyn Fn(&Observation) -> bool| all.iter().any(test);
    assert!(has(&|one| *one == Observation::Version("v1.34.2".into())));
    assert!(has(&|one| matches!(one, Observation::Nodes(Delta::Reset(rows)) if rows.len() == 1)));
    assert!(has(&|one| matches!(one, Observation::Pods(batch) if batch.len() == 1)));
    assert!(has(&|one| *one == Observation::Lock(None)));
    assert!(has(&|one| matches!(one, Observation::Liveness(Liveness::Live(_)))));
    let beat = clock::parse("2026-01-02T03:05:00Z").unwrap();
    assert!(has(&|one| *one == Observation::Heartbeats(vec![("w".into(), beat)])));
    let complaints: Vec<&LogLine> = all
        .iter()
        .filter_map(|one| match one {
            Observation::Event(line) if line.text.contains("no budgets for you") => Some(line),
            _ => None,
        })
        .collect();
    assert_eq!(complaints.len(), 1, "told once, not at each attempt");
}

#[tokio::test(start_paused = true)]
async fn an_outage_shows_and_its_end_opens_every_watch_anew() {
    let is_down = Arc::new(AtomicBool::new(false));
    let down = is_down.clone();
    let (api, journal) = cluster(move |seen: Seen| {
        let down = down.clone();
        async move {
            if down.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            serve(&seen)
        }
    });
    let mut from = observe(&api, Generation(1), CancellationToken::new());
    gather(&mut from, 12).await;
    is_down.store(true, Ordering::SeqCst);
    let all = gather(&mut from, 12).await;
    assert!(all.iter().any(|one| matches!(
        one,
        Observation::Liveness(Liveness::Failing { last: Some(_), report }) if report.to_string().contains("did not answer")
    )));
    let watches = journal.count("GET", "pods?watch=true");
    is_down.store(false, Ordering::SeqCst);
    let all = gather(&mut from, 12).await;
    assert!(all.iter().any(|one| matches!(one, Observation::Liveness(Liveness::Live(_)))));
    assert!(journal.count("GET", "pods?watch=true") > watches);
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_told_to_or_when_nobody_listens() {
    let (api, journal) = cluster(|seen: Seen| async move { serve(&seen) });
    let cancel = CancellationToken::new();
    let mut from = observe(&api, Generation(1), cancel.clone());
    gather(&mut from, 1).await;
    cancel.cancel();
    gather(&mut from, 1).await;
    assert_eq!(from.recv().await, None);
    let from = observe(&api, Generation(2), CancellationToken::new());
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(from);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = journal.all().len();
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(journal.all().len(), asked);
}

#[tokio::test(start_paused = true)]
async fn a_boot_that_was_seen_is_dated() {
    let (to, _from) = mpsc::channel(1);
    let mut state = State::new(Out { to }, tokio::sync::watch::channel(0).0);
    let row = |boot: &str| {
        use crate::backend::kube::rows::Wire as _;
        let wire: NodeWire = serde_json::from_value(
            json!({"metadata": {"name": "w"}, "status": {"nodeInfo": {"bootID": boot}}}),
        )
        .unwrap();
        wire.row().unwrap()
    };
    assert_eq!(state.complete(row("")).booted, None);
    assert_eq!(state.complete(row("a")).booted, None, "a first boot id is none that we saw come");
    let seen = state.complete(row("b")).booted;
    assert!(seen.is_some());
    tokio::time::advance(Duration::from_mins(1)).await;
    assert_eq!(state.complete(row("b")).booted, seen);
}
