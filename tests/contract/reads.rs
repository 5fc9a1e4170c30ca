//! Reading: lists in pages, selectors, failures, readiness, what the product makes of it.

use crate::bench::{rule, unchecked};
use kube::client::Body;
use serde_json::json;
use std::collections::BTreeSet;

#[test]
fn a_list_in_pages_is_complete_and_of_one_version() {
    rule(|bench| async move {
        for name in ["a", "b", "c"] {
            bench.pod(name, "Pending", false).await;
        }
        let (mut names, mut token, mut versions) = (Vec::new(), String::new(), BTreeSet::new());
        for _ in 0..3 {
            let page =
                bench.get(&format!("{}?limit=1&continue={token}", bench.core("pods"))).await.expect(200);
            let items = page.body["items"].as_array().unwrap();
            names.extend(items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()));
            versions.insert(page.body["metadata"]["resourceVersion"].as_str().unwrap().to_owned());
            token = page.body["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
        }
        assert_eq!(
            (names, token.as_str(), versions.len()),
            (vec!["a".into(), "b".into(), "c".into()], "", 1)
        );
    });
}

#[test]
fn a_damaged_continue_token_is_refused() {
    rule(|bench| async move {
        let answer = bench.get(&format!("{}?limit=1&continue=nonsense", bench.core("pods"))).await;
        answer.expect_failure(400, "BadRequest");
    });
}

#[test]
fn fields_and_labels_select() {
    rule(|bench| async move {
        bench.pod("a", "Pending", false).await;
        bench.pod("b", "Pending", false).await;
        // daemons of the cluster may come to our node as well
        let count = async |query: &str| {
            let list = bench.get(&format!("/api/v1/pods?{query}")).await.expect(200);
            let items = list.body["items"].as_array().cloned().unwrap_or_default();
            items.iter().filter(|item| item["metadata"]["namespace"] == bench.namespace).count()
        };
        let node = &bench.node;
        assert_eq!(count(&format!("fieldSelector=spec.nodeName%3D{node}")).await, 2);
        assert_eq!(count(&format!("fieldSelector=spec.nodeName%3D{node}&labelSelector=name%3Da")).await, 1);
        assert_eq!(
            count(&format!("fieldSelector=spec.nodeName%3D{node}&labelSelector=name%20in%20(b,c),!zone"))
                .await,
            1
        );
        assert_eq!(count(&format!("fieldSelector=spec.nodeName%3D{node},metadata.name!%3Da")).await, 1);
        assert_eq!(count("fieldSelector=spec.nodeName%3Dno-such-node").await, 0);
        let rows = bench.cluster.pods_on(&bench.node_name()).await.unwrap();
        assert!(rows.iter().all(|row| row.node == Some(bench.node_name())));
        assert_eq!(bench.ours(rows).len(), 2);
    });
}

#[test]
fn a_pod_becomes_a_row() {
    rule(|bench| async move {
        let key = bench.pod("a", "Running", true).await;
        let pods = bench.ours(bench.cluster.pods_on(&bench.node_name()).await.unwrap());
        let [pod] = &pods[..] else { panic!("{pods:?}") };
        assert_eq!(pod.key, key);
        assert_eq!((pod.ready, pod.grace_secs, pod.mirror), (true, 30, false));
        assert_eq!((pod.owner.as_ref(), pod.deleting), (None, None));
        assert!(pod.created.is_some());
        assert_eq!(pod.labels.get("app").map(String::as_str), Some("contract"));
    });
}

#[test]
fn an_absent_object_is_a_404_that_names_it() {
    rule(|bench| async move {
        let answer = bench.read_pod("nobody").await;
        answer.expect_failure(404, "NotFound");
        assert_eq!(answer.body["details"]["name"], "nobody");
        assert_eq!(answer.body["details"]["kind"], "pods");
    });
}

#[test]
fn readiness_is_plain_text_with_one_line_a_check() {
    rule(|bench| async move {
        assert_eq!(bench.get("/readyz").await.expect(200).text, "ok");
        let verbose = bench.get("/readyz?verbose").await.expect(200).text;
        assert!(verbose.lines().any(|line| line == "[+]ping ok"), "{verbose}");
        assert!(verbose.lines().any(|line| line == "[+]etcd ok"), "{verbose}");
        assert!(bench.cluster.raw_readyz().await.unwrap().contains("[+]etcd ok"));
        let endpoints = bench.cluster.api_servers().await.1.unwrap();
        assert!(endpoints.iter().any(|(_, answer)| answer.is_ok()), "{endpoints:?}");
    });
}

#[test]
fn the_version_is_told() {
    rule(|bench| async move {
        let version = bench.cluster.version().await.unwrap();
        assert!(version.starts_with("v1."), "{version}");
    });
}

#[test]
fn the_server_names_its_own_endpoints() {
    rule(|bench| async move {
        let endpoints = bench.cluster.learn_endpoints().await.unwrap();
        assert!(!endpoints.is_empty());
        assert!(endpoints.iter().all(|endpoint| endpoint.rsplit(':').next().unwrap().parse::<u16>().is_ok()));
    });
}

#[test]
fn permissions_can_be_asked_for() {
    rule(|bench| async move {
        let may = bench.cluster.may("create", "", "pods", "eviction", &bench.namespace).await.unwrap();
        assert_eq!(may, None);
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": "patch", "resource": "nodes"}},
        });
        let request = http::Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
            .header("Content-Type", "application/json")
            .header("Impersonate-User", "pitstop-test-nobody")
            .body(Body::from(serde_json::to_vec(&review).unwrap()))
            .unwrap();
        let answer = bench.answer(request).await.expect(201);
        if answer.body["status"]["allowed"] == true {
            unchecked("that a user without roles may not patch nodes (this server lets everybody)");
        }
    });
}

#[test]
fn events_are_selected_by_what_they_are_about() {
    rule(|bench| async move {
        let event = json!({
            "metadata": {"name": "rebooted.1", "namespace": "default", "generateName": ""},
            "involvedObject": {"kind": "Node", "name": bench.node, "uid": bench.node},
            "reason": "Rebooted", "message": "Node has been rebooted", "type": "Warning",
            "firstTimestamp": "2026-01-02T03:04:05Z", "lastTimestamp": "2026-01-02T03:04:05Z", "count": 1,
            "source": {"component": "contract"},
        });
        let mut event = event;
        event["metadata"]["name"] = json!(format!("{}.1", bench.node));
        bench.post("/api/v1/namespaces/default/events", &event).await.expect(201);
        let query = format!("involvedObject.kind%3DNode,involvedObject.name%3D{}", bench.node);
        let list = bench.get(&format!("/api/v1/events?fieldSelector={query}")).await.expect(200);
        let items = list.body["items"].as_array().unwrap();
        assert_eq!(items.len(), 1, "{}", list.text);
        assert_eq!(items[0]["reason"], "Rebooted");
        let path = format!("/api/v1/namespaces/default/events/{}.1", bench.node);
        bench.delete(&path, &json!({})).await.expect(200);
    });
}

#[test]
fn volume_attachments_and_daemonsets_can_be_read() {
    rule(|bench| async move {
        assert_eq!(bench.cluster.attachments_on(&bench.node_name()).await.unwrap(), Vec::<String>::new());
        assert!(!bench.cluster.daemonset_exists(&bench.namespace, "nothing").await.unwrap());
    });
}
