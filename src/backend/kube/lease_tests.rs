//! The maintenance lease: taken, renewed, lost, left behind, adopted.

use super::*;
use crate::backend::kube::testing::{Seen, answer, cluster, failure, permit};
use crate::domain::plan::Kind;
use axum::response::Response;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A server that keeps one lease with optimistic locking, as the API server does.
fn server() -> (Cluster, Arc<Mutex<Value>>) {
    let state = Arc::new(Mutex::new(Value::Null));
    let kept = state.clone();
    let (api, _) = cluster(move |seen: Seen| {
        let state = kept.clone();
        async move { serve(&mut state.lock().unwrap(), &seen) }
    });
    (api, state)
}

fn serve(lease: &mut Value, seen: &Seen) -> Response {
    let version = lease["metadata"]["resourceVersion"].clone();
    let next =
        json!((version.as_str().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) + 1).to_string());
    match (seen.method.as_str(), lease.is_null()) {
        ("GET", true) => return failure(404, "NotFound", "leases \"pitstop\" not found"),
        ("POST", true) => {
            *lease = seen.body.clone();
            lease["metadata"]["uid"] = json!("lease-uid");
        }
        ("POST", false) => return failure(409, "AlreadyExists", "exists"),
        ("GET", false) => return answer(200, lease),
        _ if seen.body["metadata"]["resourceVersion"] != version => {
            return failure(409, "Conflict", "modified");
        }
        ("PUT", _) => *lease = seen.body.clone(),
        _ => json_patch::merge(lease, &seen.body),
    }
    lease["metadata"]["uid"] = json!("lease-uid");
    lease["metadata"]["resourceVersion"] = next;
    answer(200, lease)
}

fn claim(run: &str, adopt: bool) -> LeaseClaim {
    LeaseClaim {
        namespace: "kube-system".into(),
        holder: format!("{run}@desk"),
        run: run.into(),
        step: "lock".into(),
        node: Some("cp-1".into()),
        lasts: Duration::from_secs(30),
        adopt,
        watched: None,
    }
}

fn holder(refused: LeaseRefused) -> String {
    match refused {
        LeaseRefused::Held(row) => row.holder,
        LeaseRefused::Failed(error) => panic!("{error}"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_holds_it_and_the_other_is_told_who() {
    let (api, _) = server();
    let permit = permit(Kind::Reboot, "cp-1");
    let mut ann = api.lease_take(&claim("ann", false), &permit).await.unwrap();
    assert_eq!(ann.adopted, None);
    assert_eq!(holder(api.lease_take(&claim("bob", true), &permit).await.unwrap_err()), "ann@desk");
    tokio::time::advance(Duration::from_secs(25)).await;
    api.lease_renew(&mut ann, "drain", &permit).await.unwrap();
    tokio::time::advance(Duration::from_secs(25)).await;
    assert!(api.lease_take(&claim("bob", true), &permit).await.is_err(), "renewed in time");
    let row = api.lease_read("kube-system").await.unwrap().unwrap();
    assert_eq!((row.step.as_deref(), row.node), (Some("drain"), Some("cp-1".into())));
    api.lease_release(&ann, None, &permit).await.unwrap();
    assert_eq!(api.lease_read("kube-system").await.unwrap(), None);
    assert!(api.lease_take(&claim("bob", false), &permit).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_alive_is_adopted_only_on_demand() {
    let (api, _) = server();
    let permit = permit(Kind::Reboot, "cp-1");
    let mut ann = api.lease_take(&claim("ann", false), &permit).await.unwrap();
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(holder(api.lease_take(&claim("bob", false), &permit).await.unwrap_err()), "ann@desk");
    let unwatched = api.lease_take(&claim("bob", true), &permit).await.unwrap_err();
    assert_eq!(holder(unwatched), "ann@desk", "the wall clock alone proves nothing");
    let row = api.lease_read("kube-system").await.unwrap().map(Box::new);
    let bob = api.lease_take(&LeaseClaim { watched: row, ..claim("bob", true) }, &permit).await.unwrap();
    assert_eq!(bob.adopted.map(|row| row.holder).as_deref(), Some("ann@desk"));
    assert_eq!(holder(api.lease_renew(&mut ann, "drain", &permit).await.unwrap_err()), "bob@desk");
    assert_eq!(holder(api.lease_release(&ann, None, &permit).await.unwrap_err()), "bob@desk");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_renewed_after_it_was_watched_is_not_adopted() {
    let (api, _) = server();
    let permit = permit(Kind::Reboot, "cp-1");
    api.lease_take(&claim("ann", false), &permit).await.unwrap();
    tokio::time::advance(Duration::from_secs(31)).await;
    let row = api.lease_read("kube-system").await.unwrap().unwrap();
    let watched = |renewed: Stamp| LeaseClaim {
        watched: Some(Box::new(LeaseRow { renewed: Some(renewed), ..row.clone() })),
        ..claim("bob", true)
    };
    let seen = row.renewed.unwrap();
    let refused = api.lease_take(&watched(Stamp(seen.0 - 10_000)), &permit).await.unwrap_err();
    assert_eq!(holder(refused), "ann@desk");
    assert!(api.lease_take(&watched(seen), &permit).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_cleared_only_while_it_is_as_it_was_seen() {
    let (api, _) = server();
    let permit = permit(Kind::Reboot, "cp-1");
    let mut ann = api.lease_take(&claim("ann", false), &permit).await.unwrap();
    let seen = api.lease_read("kube-system").await.unwrap().unwrap();
    tokio::time::advance(Duration::from_secs(10)).await;
    api.lease_renew(&mut ann, "drain", &permit).await.unwrap();
    let refused = api.lease_clear("kube-system", &seen, &permit).await.unwrap_err();
    assert_eq!(holder(refused), "ann@desk", "it was renewed");
    api.lease_release(&ann, Some("drain failed"), &permit).await.unwrap();
    let seen = api.lease_read("kube-system").await.unwrap().unwrap();
    api.lease_clear("kube-system", &seen, &permit).await.unwrap();
    assert_eq!(api.lease_read("kube-system").await.unwrap(), None);
    api.lease_clear("kube-system", &seen, &permit).await.expect("nothing is left to clear");
}

#[tokio::test(start_paused = true)]
async fn a_tombstone_stays_until_adopted() {
    let (api, state) = server();
    let permit = permit(Kind::Reboot, "cp-1");
    let ann = api.lease_take(&claim("ann", false), &permit).await.unwrap();
    api.lease_release(&ann, Some("drain failed"), &permit).await.unwrap();
    let Err(LeaseRefused::Held(row)) = api.lease_take(&claim("ann", false), &permit).await else {
        panic!("taken")
    };
    assert_eq!(row.tombstone.as_deref(), Some("drain failed"));
    let again = api.lease_take(&claim("ann", true), &permit).await.unwrap();
    assert!(again.adopted.is_some());
    assert!(state.lock().unwrap()["metadata"]["annotations"].get("pitstop.dev/tombstone").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_foreign_touch_of_the_object_does_not_cost_the_lock() {
    let (api, state) = server();
    let permit = permit(Kind::Reboot, "cp-1");
    let mut ann = api.lease_take(&claim("ann", false), &permit).await.unwrap();
    state.lock().unwrap()["metadata"]["resourceVersion"] = json!("77");
    api.lease_renew(&mut ann, "drain", &permit).await.unwrap();
    api.lease_renew(&mut ann, "reboot", &permit).await.unwrap();
    *state.lock().unwrap() = Value::Null;
    assert!(matches!(api.lease_renew(&mut ann, "x", &permit).await, Err(LeaseRefused::Failed(_))));
}

#[tokio::test(start_paused = true)]
async fn a_lost_race_names_the_winner() {
    let raced = Arc::new(Mutex::new(false));
    let (api, _) = cluster(move |seen: Seen| {
        let raced = raced.clone();
        async move {
            let mut raced = raced.lock().unwrap();
            match (seen.method.as_str(), *raced) {
                ("GET", false) => failure(404, "NotFound", "no"),
                ("GET", true) => {
                    answer(200, &json!({"metadata": {}, "spec": {"holderIdentity": "eve@desk"}}))
                }
                _ => {
                    *raced = true;
                    failure(409, "AlreadyExists", "exists")
                }
            }
        }
    });
    let permit = permit(Kind::Reboot, "cp-1");
    assert_eq!(holder(api.lease_take(&claim("ann", false), &permit).await.unwrap_err()), "eve@desk");
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_given_back_once_more_when_the_answer_was_lost() {
    let (api, state) = server();
    let permit = permit(Kind::Reboot, "cp-1");
    let ann = api.lease_take(&claim("ann", false), &permit).await.unwrap();
    api.lease_release(&ann, None, &permit).await.unwrap();
    api.lease_release(&ann, None, &permit).await.expect("nobody holds it any more");
    assert!(api.lease_release(&ann, Some("drain failed"), &permit).await.is_err(), "nothing can be marked");
    *state.lock().unwrap() = Value::Null;
    api.lease_release(&ann, None, &permit).await.expect("it is not there any more");
}
