//! What a populated store looks like before the first request.

use tokio_util::sync::CancellationToken;

use super::*;
use crate::sim::scenario::BUILT_IN;
use crate::sim::store::resources::{ENDPOINT_SLICES, LEASES, VOLUME_ATTACHMENTS};
use crate::sim::world::read::{is_terminal, items, node_of, phase};

fn populated(scenario: &Scenario) -> Store {
    let machines: Vec<Machine> = scenario
        .machines()
        .into_iter()
        .map(|spec| Machine::new(spec, Pace::default(), CancellationToken::new()))
        .collect();
    let store = Store::new();
    populate(&store, scenario, &machines);
    store
}

#[tokio::test]
async fn every_built_in_scenario_is_settled() {
    for (name, _) in BUILT_IN {
        let parameters = if *name == "big" { "big:workers=10,pods=60" } else { name };
        let scenario = Scenario::named(parameters).unwrap();
        let store = populated(&scenario);
        for pod in store.list(&PODS, None) {
            let key = Key::of(&pod);
            // one of four on three nodes is meant to find no place
            if node_of(&pod).is_empty() && pod["metadata"]["labels"]["app"] == "shards" {
                continue;
            }
            assert!(!node_of(&pod).is_empty(), "{name}: {key} is not bound: {}", pod["status"]);
            let crashes = crate::sim::world::pods::crashes(&pod);
            let is_lost = scenario.node_specs().iter().any(|node| node.off && node.name == node_of(&pod));
            assert_eq!(
                is_ready(&pod),
                !crashes && !is_lost && !is_terminal(&pod),
                "{name}: {key} {}",
                pod["status"]
            );
            assert!(is_terminal(&pod) || phase(&pod) == "Running", "{name}: {key}");
        }
        for budget in store.list(&POD_DISRUPTION_BUDGETS, None) {
            assert_eq!(budget["status"]["observedGeneration"], budget["metadata"]["generation"], "{name}");
            // a bare pod has no size that a maximum could be counted from: that is what it shows
            let is_bare = budget["metadata"]["name"] == "proxy";
            let expected = budget["status"]["expectedPods"].as_i64().unwrap();
            assert!(is_bare || expected > 0, "{name}: {}", Key::of(&budget));
        }
        for node in store.list(&NODES, None) {
            let is_off = scenario.node_specs().iter().any(|spec| spec.off && spec.name == super::name(&node));
            assert_eq!(ready_status(&node), if is_off { "Unknown" } else { "True" }, "{name}");
            assert!(store.get(&LEASES, "kube-node-lease", super::name(&node)).is_some(), "{name}");
        }
        for lease in ["kube-controller-manager", "kube-scheduler"] {
            assert!(store.get(&LEASES, "kube-system", lease).is_some(), "{name}: {lease}");
        }
    }
}

#[tokio::test]
async fn the_default_scenario_is_as_promised() {
    let store = populated(&Scenario::named("default").unwrap());
    let pods = store.list(&PODS, None);
    assert!((38..=46).contains(&pods.len()), "{} pods", pods.len());
    for budget in store.list(&POD_DISRUPTION_BUDGETS, None) {
        assert!(budget["status"]["disruptionsAllowed"].as_i64().unwrap() > 0, "{}", Key::of(&budget));
    }
    assert_eq!(store.list(&VOLUME_ATTACHMENTS, None).len(), 4);
    let etcd = store.get(&PODS, "kube-system", "etcd-cp-2").unwrap();
    assert_eq!(
        etcd["metadata"]["annotations"]["kubeadm.kubernetes.io/etcd.advertise-client-urls"],
        "https://10.0.0.12:2379"
    );
    assert_eq!(etcd["metadata"]["ownerReferences"][0]["kind"], "Node");
    assert!(items(&etcd, "/spec/containers/0/command").contains(&"--name=cp-2".into()));
    let slice = store.get(&ENDPOINT_SLICES, "default", "kubernetes").unwrap();
    assert_eq!(items(&slice, "/endpoints").len(), 3);
    let spread: std::collections::BTreeSet<String> = pods
        .iter()
        .filter(|pod| pod["metadata"]["labels"]["app"] == "postgres")
        .map(|pod| node_of(pod).to_owned())
        .collect();
    assert_eq!(spread.len(), 3);
}

#[tokio::test]
async fn tight_budgets_block_each_in_its_way() {
    let store = populated(&Scenario::named("tight-budgets").unwrap());
    let status = |namespace: &str, name: &str| {
        store.get(&POD_DISRUPTION_BUDGETS, namespace, name).unwrap()["status"].clone()
    };
    for (namespace, name, healthy, desired) in [
        ("billing", "invoice-api", 1, 1),
        ("billing", "ledger", 3, 3),
        ("search", "ranker", 0, 1),
        ("search", "suggest", 0, 1),
        ("ingress-nginx", "ingress-nginx-controller", 2, 2),
    ] {
        let status = status(namespace, name);
        assert_eq!(status["disruptionsAllowed"], 0, "{name}");
        assert_eq!(
            (&status["currentHealthy"], &status["desiredHealthy"]),
            (&healthy.into(), &desired.into()),
            "{name}"
        );
    }
    let ranker = store
        .list(&PODS, Some("search"))
        .into_iter()
        .find(|pod| pod["metadata"]["labels"]["app"] == "ranker")
        .unwrap();
    let state = &ranker["status"]["containerStatuses"][0];
    assert_eq!(state["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(state["restartCount"], 17);
}

#[tokio::test]
async fn a_machine_off_from_the_start_has_lost_its_node() {
    let store = populated(&Scenario::named("one-member-down").unwrap());
    let node = store.get(&NODES, "", "cp-3").unwrap();
    let taints: Vec<&str> = items(&node, "/spec/taints").iter().map(|taint| text(taint, "/key")).collect();
    assert!(taints.contains(&"node.kubernetes.io/unreachable"), "{taints:?}");
    let etcd = store.get(&PODS, "kube-system", "etcd-cp-3").unwrap();
    assert!(!is_ready(&etcd));
    let slice = store.get(&ENDPOINT_SLICES, "default", "kubernetes").unwrap();
    assert_eq!(items(&slice, "/endpoints").len(), 2);
    for lease in store.list(&LEASES, Some("kube-system")) {
        assert!(!text(&lease, "/spec/holderIdentity").starts_with("cp-3"));
    }
}
