//! Writing: optimistic locking, preconditions, leases.

use crate::bench::rule;
use pitstop::backend::kube::{LeaseClaim, LeaseRefused};
use pitstop::domain::plan::Kind;
use serde_json::json;
use std::time::Duration;

#[test]
fn a_patch_of_an_old_version_conflicts() {
    rule(|bench| async move {
        bench.pod("a", "Pending", false).await;
        let path = format!("{}/a", bench.core("pods"));
        let version = bench.get(&path).await.body["metadata"]["resourceVersion"].clone();
        let change =
            |value: &str| json!({"metadata": {"resourceVersion": version, "annotations": {"x": value}}});
        let first = bench.merge(&path, &change("1")).await.expect(200);
        assert_ne!(first.body["metadata"]["resourceVersion"], version);
        bench.merge(&path, &change("2")).await.expect_failure(409, "Conflict");
        assert_eq!(bench.get(&path).await.body["metadata"]["annotations"]["x"], "1");
    });
}

#[test]
fn a_patch_of_another_uid_is_refused() {
    rule(|bench| async move {
        bench.pod("a", "Pending", false).await;
        let path = format!("{}/a", bench.core("pods"));
        let uid = "00000000-0000-0000-0000-000000000000";
        let change = json!({"metadata": {"uid": uid, "annotations": {"x": "1"}}});
        let answer = bench.merge(&path, &change).await;
        assert!(matches!(answer.code, 409 | 422), "{}", answer.text);
        assert!(bench.get(&path).await.body["metadata"]["annotations"]["x"].is_null());
    });
}

#[test]
fn null_in_a_merge_patch_removes_and_what_is_absent_stays_absent() {
    rule(|bench| async move {
        bench.pod("a", "Pending", false).await;
        let path = format!("{}/a", bench.core("pods"));
        let set = json!({"metadata": {"annotations": {"x": "1", "y": "2"}}});
        bench.merge(&path, &set).await.expect(200);
        let unset = json!({"metadata": {"annotations": {"x": null, "never": null}}});
        let after = bench.merge(&path, &unset).await.expect(200);
        let notes = &after.body["metadata"]["annotations"];
        assert_eq!((&notes["y"], notes.get("x"), notes.get("never")), (&json!("2"), None, None));
    });
}

#[test]
fn a_deletion_keeps_its_precondition() {
    rule(|bench| async move {
        let key = bench.pod("a", "Running", true).await;
        let path = format!("{}/a", bench.core("pods"));
        let wrong = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}});
        bench.delete(&path, &wrong).await.expect_failure(409, "Conflict");
        bench.get(&path).await.expect(200);
        let right = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": key.uid}});
        bench.delete(&path, &right).await.expect(200);
        bench.get(&path).await.expect_failure(404, "NotFound");
    });
}

#[test]
fn a_deletion_with_grace_marks_the_pod_and_leaves_it() {
    rule(|bench| async move {
        bench.pod("a", "Running", true).await;
        let path = format!("{}/a", bench.core("pods"));
        bench.delete(&path, &json!({"gracePeriodSeconds": 20})).await.expect(200);
        let left = bench.get(&path).await.expect(200);
        assert!(left.body["metadata"]["deletionTimestamp"].is_string());
        assert_eq!(left.body["metadata"]["deletionGracePeriodSeconds"], 20);
    });
}

#[test]
fn creating_what_exists_says_so() {
    rule(|bench| async move {
        let lease = json!({"metadata": {"name": "one"}, "spec": {"holderIdentity": "a"}});
        bench.post(&bench.leases(), &lease).await.expect(201);
        bench.post(&bench.leases(), &lease).await.expect_failure(409, "AlreadyExists");
    });
}

#[test]
fn a_replacement_of_an_old_version_conflicts() {
    rule(|bench| async move {
        let made =
            json!({"metadata": {"name": "one"}, "spec": {"holderIdentity": "a", "leaseDurationSeconds": 30}});
        let mut lease = bench.post(&bench.leases(), &made).await.expect(201).body;
        let path = format!("{}/one", bench.leases());
        lease["spec"]["holderIdentity"] = json!("b");
        bench.send("PUT", &path, "application/json", Some(&lease)).await.expect(200);
        lease["spec"]["holderIdentity"] = json!("c");
        bench.send("PUT", &path, "application/json", Some(&lease)).await.expect_failure(409, "Conflict");
        assert_eq!(bench.get(&path).await.body["spec"]["holderIdentity"], "b");
    });
}

fn claim(namespace: &str, run: &str, adopt: bool) -> LeaseClaim {
    LeaseClaim {
        namespace: namespace.to_owned(),
        holder: format!("{run}@contract"),
        run: run.into(),
        step: "lock".into(),
        node: None,
        lasts: Duration::from_secs(1),
        adopt,
        watched: None,
    }
}

#[test]
fn the_maintenance_lease_has_one_holder() {
    rule(|bench| async move {
        let permit = bench.permit(Kind::Reboot);
        let claim = |run: &str, adopt| claim(&bench.namespace, run, adopt);
        assert_eq!(bench.cluster.lease_read(&bench.namespace).await.unwrap(), None);
        let (one, two) = (claim("ann", false), claim("bob", false));
        let (ann, bob) =
            tokio::join!(bench.cluster.lease_take(&one, &permit), bench.cluster.lease_take(&two, &permit));
        assert!(ann.is_ok() != bob.is_ok(), "{ann:?} {bob:?}");
        let (mut held, other) = if let Ok(held) = ann { (held, "bob") } else { (bob.unwrap(), "ann") };
        bench.cluster.lease_renew(&mut held, "drain", &permit).await.unwrap();
        let row = bench.cluster.lease_read(&bench.namespace).await.unwrap().unwrap();
        assert_eq!((row.step.as_deref(), &row.holder), (Some("drain"), &held.claim.holder));
        // kept alive for one second only
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let refused = bench.cluster.lease_take(&claim(other, false), &permit).await;
        assert!(matches!(refused, Err(LeaseRefused::Held(_))), "{refused:?}");
        let watched = bench.cluster.lease_read(&bench.namespace).await.unwrap().map(Box::new);
        let adopting = LeaseClaim { watched, ..claim(other, true) };
        let adopted = bench.cluster.lease_take(&adopting, &permit).await.unwrap();
        assert!(adopted.adopted.is_some());
        let lost = bench.cluster.lease_renew(&mut held, "reboot", &permit).await;
        assert!(matches!(lost, Err(LeaseRefused::Held(_))), "{lost:?}");
        bench.cluster.lease_release(&adopted, None, &permit).await.unwrap();
        assert_eq!(bench.cluster.lease_read(&bench.namespace).await.unwrap(), None);
    });
}
