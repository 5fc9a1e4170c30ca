//! Lists and watches against a scripted server: pages, bookmarks, 410, lost and silent connections, 403.

use super::*;
use crate::backend::kube::rows::NodeWire;
use crate::backend::kube::testing::{Seen, answer, cluster, failure};
use crate::backend::kube::{Cluster, scope_of_nodes};
use crate::domain::node::NodeRow;
use axum::body::Body;
use axum::response::Response;
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

fn node(name: &str, version: u32) -> Value {
    json!({"metadata": {"name": name, "uid": name, "resourceVersion": version.to_string()}})
}

fn page(names: &[&str], version: &str, token: &str) -> Response {
    let items: Vec<Value> = names.iter().map(|name| node(name, 1)).collect();
    answer(200, &json!({"metadata": {"resourceVersion": version, "continue": token}, "items": items}))
}

fn line(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

/// A watch that says these lines and then stays open for ever, or ends.
fn watching(lines: &[String], stays_open: bool) -> Response {
    let said = futures::stream::iter(lines.to_vec()).map(Ok::<_, std::convert::Infallible>);
    let body = if stays_open {
        Body::from_stream(said.chain(futures::stream::pending()))
    } else {
        Body::from_stream(said)
    };
    Response::new(body)
}

fn names(delta: &Delta<NodeRow>) -> String {
    let name = |row: &NodeRow| row.name.0.clone();
    match delta {
        Delta::Reset(rows) => format!("={}", rows.iter().map(name).collect::<Vec<_>>().join(",")),
        Delta::Upsert(row) => format!("+{}", name(row)),
        Delta::Remove(row) => format!("-{}", name(row)),
    }
}

/// The next words of a feed; errors by kind.
async fn told(feed: &mut Feed<NodeRow>, count: usize) -> Vec<String> {
    feed.take(count)
        .map(|word| word.map_or_else(|error| format!("!{:?}", error.kind), |delta| names(&delta)))
        .collect()
        .await
}

fn follow(api: &Cluster) -> Feed<NodeRow> {
    feed::<NodeWire>(&api.inner, scope_of_nodes(), None)
}

fn is_watch(seen: &Seen) -> bool {
    seen.uri.contains("watch=true")
}

#[tokio::test(start_paused = true)]
async fn pages_become_one_reset_and_changes_follow() {
    let (api, journal) = cluster(|seen: Seen| async move {
        if is_watch(&seen) {
            let bookmark =
                json!({"kind": "Node", "metadata": {"resourceVersion": "20"}, "spec": {}, "status": {}});
            return watching(
                &[
                    line("ADDED", &node("c", 11)),
                    line("BOOKMARK", &bookmark),
                    line("DELETED", &node("a", 21)),
                ],
                true,
            );
        }
        if seen.uri.contains("continue=more") { page(&["b"], "10", "") } else { page(&["a"], "10", "more") }
    });
    assert_eq!(told(&mut follow(&api), 3).await, ["=a,b", "+c", "-a"]);
    let asked = journal.all();
    assert!(asked[0].uri.contains("limit=500") && asked[1].uri.contains("continue=more"));
    assert!(asked[2].uri.contains("resourceVersion=10") && asked[2].uri.contains("allowWatchBookmarks=true"));
}

#[tokio::test(start_paused = true)]
async fn a_closed_watch_resumes_behind_the_bookmark() {
    let watches = std::sync::Arc::new(AtomicUsize::new(0));
    let (api, _) = cluster(move |seen: Seen| {
        let watches = watches.clone();
        async move {
            if !is_watch(&seen) {
                return page(&["a"], "10", "");
            }
            match watches.fetch_add(1, Ordering::SeqCst) {
                0 => watching(&[line("BOOKMARK", &json!({"metadata": {"resourceVersion": "40"}}))], false),
                _ if seen.uri.contains("resourceVersion=40") => {
                    watching(&[line("MODIFIED", &node("a", 41))], true)
                }
                _ => failure(500, "", "resumed elsewhere"),
            }
        }
    });
    assert_eq!(told(&mut follow(&api), 2).await, ["=a", "+a"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_the_list_is_read_anew() {
    let watches = std::sync::Arc::new(AtomicUsize::new(0));
    let (api, _) = cluster(move |seen: Seen| {
        let watches = watches.clone();
        async move {
            match (is_watch(&seen), watches.load(Ordering::SeqCst)) {
                (false, 0) => page(&["a"], "90", ""),
                // the same server with restored data: its versions are behind what was seen
                (false, _) => page(&["b"], "10", ""),
                (true, 0) => {
                    watches.fetch_add(1, Ordering::SeqCst);
                    failure(500, "", "etcdserver: request timed out")
                }
                (true, _) => watching(&[], true),
            }
        }
    });
    let told = told(&mut follow(&api), 3).await;
    assert_eq!((told[0].as_str(), told[2].as_str()), ("=a", "=b"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn expired_versions_lead_to_a_new_list() {
    for in_stream in [true, false] {
        let watches = std::sync::Arc::new(AtomicUsize::new(0));
        let (api, _) = cluster(move |seen: Seen| {
            let watches = watches.clone();
            async move {
                match (is_watch(&seen), watches.load(Ordering::SeqCst)) {
                    (false, 0) => page(&["a"], "10", ""),
                    (false, _) => page(&["b"], "50", ""),
                    (true, _) => {
                        watches.fetch_add(1, Ordering::SeqCst);
                        let gone =
                            crate::backend::kube::testing::status(410, "Expired", "too old resource version");
                        if in_stream { watching(&[line("ERROR", &gone)], false) } else { answer(410, &gone) }
                    }
                }
            }
        });
        assert_eq!(told(&mut follow(&api), 2).await, ["=a", "=b"], "{in_stream}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_continuation_that_expired_starts_again_in_one_piece() {
    let (api, _) = cluster(|seen: Seen| async move {
        match (seen.uri.contains("limit="), seen.uri.contains("continue=")) {
            (true, false) => page(&["a"], "10", "more"),
            (true, true) => failure(410, "Expired", "the continue parameter is too old"),
            (false, _) => page(&["a", "b"], "12", ""),
        }
    });
    assert_eq!(api.nodes().await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_is_opened_anew() {
    let watches = std::sync::Arc::new(AtomicUsize::new(0));
    let (api, _) = cluster(move |seen: Seen| {
        let watches = watches.clone();
        async move {
            match (is_watch(&seen), watches.load(Ordering::SeqCst)) {
                (false, _) => page(&["a"], "10", ""),
                (true, 0) => {
                    watches.fetch_add(1, Ordering::SeqCst);
                    watching(&[], true)
                }
                (true, _) => watching(&[line("MODIFIED", &node("a", 11))], true),
            }
        }
    });
    let begun = Instant::now();
    assert_eq!(told(&mut follow(&api), 2).await, ["=a", "+a"]);
    assert!((75..80).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn where_watching_is_forbidden_lists_take_its_place() {
    let (api, journal) = cluster(|seen: Seen| async move {
        if is_watch(&seen) { failure(403, "Forbidden", "cannot watch") } else { page(&["a"], "10", "") }
    });
    let begun = Instant::now();
    assert_eq!(told(&mut follow(&api), 4).await, ["=a", "!Forbidden", "=a", "=a"]);
    assert_eq!(begun.elapsed().as_secs(), 10);
    assert_eq!(journal.all().iter().filter(|seen| is_watch(seen)).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_and_the_pauses_grow() {
    let tries = std::sync::Arc::new(AtomicUsize::new(0));
    let (api, _) = cluster(move |seen: Seen| {
        let tries = tries.clone();
        async move {
            if is_watch(&seen) {
                return watching(&[], true);
            }
            if tries.fetch_add(1, Ordering::SeqCst) < 6 {
                failure(503, "ServiceUnavailable", "no")
            } else {
                page(&[], "1", "")
            }
        }
    });
    let begun = Instant::now();
    let words = told(&mut follow(&api), 7).await;
    assert_eq!(words[..6], vec!["!Unreachable"; 6][..]);
    assert_eq!(words[6], "=");
    // 0.5 + 1 + 2 + 4 + 8 + 15 s, each with a quarter of jitter
    assert!((22..39).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_nobody_reads_ends() {
    let (api, journal) = cluster(|seen: Seen| async move {
        if is_watch(&seen) { watching(&[], true) } else { page(&["a"], "10", "") }
    });
    let mut feed = follow(&api);
    told(&mut feed, 1).await;
    drop(feed);
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(journal.all().len() <= 2, "{:?}", journal.all());
}

#[test]
fn lines_are_cut_wherever_the_pieces_end() {
    let mut lines = Lines::default();
    let mut found = Vec::new();
    for piece in ["{\"a\"", ":1}", "\n\n{", "}\n{}", "\n"] {
        lines.push(piece.as_bytes());
        while let Some(line) = lines.next() {
            found.push(String::from_utf8(line).unwrap().trim().to_owned());
        }
    }
    assert_eq!(found, ["{\"a\":1}", "{}", "{}"]);
    assert_eq!(lines.waiting(), 0);
}
