//! `pitstop check` against clusters with planted offenders: it names these objects, and no others.

use super::stage::Stage;
use pitstop::domain::finding::findings;
use pitstop::domain::gate::{Gate, Verdict};
use pitstop::engine::gate::{Purpose, Scene, judge};
use std::time::Duration;

/// A check after some time of the cluster's life: the findings as `Kind title`, and every gate.
async fn check(stage: &Stage, after: Duration) -> (Vec<String>, Vec<Gate>) {
    tokio::time::sleep(after).await;
    let scene = Scene::read(&stage.backends, None, Purpose::Check).await;
    let gates = judge(&scene);
    let found = findings(&gates, scene.clock);
    let mut named: Vec<String> = found
        .iter()
        .map(|finding| format!("{} {}", finding.offender.kind, finding.offender.title()))
        .collect();
    named.sort();
    (named, gates)
}

fn on_paused_clock(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(work);
}

/// The findings of a scenario must be exactly these, and nothing may be untold.
fn finds(scenario: &str, after_secs: u64, expected: &[&str]) {
    on_paused_clock(async {
        let stage = Stage::new(scenario);
        let (named, gates) = check(&stage, Duration::from_secs(after_secs)).await;
        assert_eq!(named, expected, "{scenario}\n{gates:#?}");
        let unknown: Vec<&Gate> = gates.iter().filter(|gate| gate.verdict == Verdict::Unknown).collect();
        assert!(unknown.is_empty(), "{unknown:#?}");
    });
}

#[test]
fn healthy_clusters_have_no_findings() {
    for scenario in ["default", "minimal", "big:workers=10,pods=100"] {
        finds(scenario, 60, &[]);
    }
}

#[test]
fn a_lost_control_plane_is_its_node_and_its_member() {
    finds("one-member-down", 60, &["EtcdMember cp-3", "Node cp-3"]);
}

#[test]
fn budgets_that_block_for_ever_are_named() {
    let expected = [
        "PodDisruptionBudget billing/invoice-api",
        "PodDisruptionBudget billing/ledger",
        "PodDisruptionBudget billing/receipts",
        "PodDisruptionBudget billing/tax",
        "PodDisruptionBudget data/licences",
        "PodDisruptionBudget data/orders-primary",
        "PodDisruptionBudget default/proxy",
        "PodDisruptionBudget ingress-nginx/ingress-nginx-controller",
        "PodDisruptionBudget media/render",
        "PodDisruptionBudget search/all-backends",
        "PodDisruptionBudget search/ranker",
        "PodDisruptionBudget search/shards",
    ];
    finds("tight-budgets", 60, &expected);
}

#[test]
fn an_ailing_cluster_is_named_object_by_object() {
    let expected = [
        "EtcdMember cp-3",
        "Lease kube-system/kube-scheduler",
        "Node worker-1",
        "Node worker-2",
        "Node worker-3",
        "Node worker-4",
        "Pod kube-system/metrics-server-*",
        "PodDisruptionBudget billing/invoice-api",
        "StaticPod kube-scheduler",
    ];
    on_paused_clock(async {
        let stage = Stage::new("ailing");
        // worker-4 is back for the third time, and has been Ready for a while
        let (named, gates) = check(&stage, Duration::from_secs(290)).await;
        let generic: Vec<String> = named
            .iter()
            .map(|name| match name.strip_prefix("Pod kube-system/metrics-server-") {
                Some(_) => "Pod kube-system/metrics-server-*".to_owned(),
                None => name.clone(),
            })
            .collect();
        assert_eq!(generic, expected, "{gates:#?}");
    });
}

#[test]
fn a_node_that_is_called_ready_and_gives_no_sign_of_life_is_stale() {
    let text = "[timings]\nnode_grace = \"10m\"\n[[event]]\nat = \"1s\"\n\
                action = { do = \"machine-off\", node = \"worker-1\" }";
    finds(text, 60, &["Node worker-1"]);
}

#[test]
fn a_clock_that_is_ahead_is_its_own_nodes_matter() {
    finds("[[node]]\nname = \"worker-1\"\nclock_ahead = \"5m\"", 60, &["Node worker-1"]);
}

#[test]
fn members_with_alarms_learners_and_silent_ones_are_named() {
    let with =
        |faults: &str| format!("[[node]]\nname = \"cp-3\"\ncontrol_plane = true\netcd = {{ {faults} }}");
    for faults in ["corrupt = true", "stopped = true", "lag = 6000"] {
        finds(&with(faults), 60, &["EtcdMember cp-3"]);
    }
    // two voters are left, of which none may be lost
    finds(&with("learner = true"), 60, &["EtcdCluster etcd", "EtcdMember cp-3"]);
}

#[test]
fn marks_of_other_tools_are_locks_and_old_ones_are_none() {
    for mark in [
        "labels = { \"kubeone.io/upgrade-in-progress\" = \"\" }",
        "labels = { \"kubeone.io/upgrade-in-process\" = \"\" }",
        "labels = { \"kubeone.io/upgrading-in-process\" = \"\" }",
        "annotations = { \"weave.works/kured-reboot-in-progress\" = \"2026-11-20T03:04:05Z\" }",
        "annotations = { \"kops.k8s.io/needs-update\" = \"\" }",
        "annotations = { \"machineconfiguration.openshift.io/state\" = \"Working\" }",
        "taints = [\"kops.k8s.io/scheduled-for-update=:PreferNoSchedule\"]",
        "taints = [\"ToBeDeletedByClusterAutoscaler=1:PreferNoSchedule\"]",
        "taints = [\"karpenter.sh/disrupted=:PreferNoSchedule\"]",
    ] {
        finds(&format!("[[node]]\nname = \"worker-1\"\n{mark}"), 10, &["Node worker-1"]);
    }
    let over = "annotations = { \"machineconfiguration.openshift.io/state\" = \"Done\" }\n\
                labels = { \"plan.upgrade.cattle.io/k3s\" = \"0123\" }";
    finds(&format!("[[node]]\nname = \"worker-1\"\n{over}"), 10, &[]);
}

#[test]
fn what_may_not_be_read_is_unknown_and_not_passed() {
    on_paused_clock(async {
        let text = "[[event]]\nat = \"0s\"\naction = { do = \"api-fault\", effect = \"forbid\", \
                    matching = { resource = \"poddisruptionbudgets\" } }";
        let stage = Stage::new(text);
        let (named, gates) = check(&stage, Duration::from_secs(10)).await;
        assert!(named.is_empty(), "{named:?}");
        let unknown: Vec<&str> = gates
            .iter()
            .filter(|gate| gate.verdict == Verdict::Unknown)
            .map(|gate| gate.name.as_str())
            .collect();
        assert_eq!(unknown, ["budgets"]);
    });
}
