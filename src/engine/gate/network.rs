//! Network and name service: without them a node takes pods that cannot speak.

use super::{Scene, names, not_applicable, unknown, verdict};
use crate::domain::actor::DaemonRow;
use crate::domain::gate::{Gate, Offender};
use crate::domain::ids::NodeName;
use crate::domain::node::NodeRow;
use crate::domain::pod::PodRow;

/// Names of DaemonSets, or of their pods' `k8s-app`, that make a node's pod network, or beginnings of them.
const NETWORKS: [&str; 16] = [
    "kube-flannel",
    "calico-node",
    "cilium",
    "canal",
    "weave-net",
    "kube-router",
    "antrea-agent",
    "kindnet",
    "aws-node",
    "azure-cni",
    "azure-npm",
    "ovnkube-node",
    "rke2-canal",
    "rke2-cilium",
    "rke2-calico",
    "multus",
];
/// DaemonSets that look like a network's and are none.
const OTHERS: [&str; 2] = ["kube-proxy", "node-local-dns"];

/// Whether a DaemonSet makes the pod network: a known name, else one of the node's own network and priority.
fn is_network(daemon: &DaemonRow) -> bool {
    let is_known = |name: &str| NETWORKS.iter().any(|known| name.starts_with(known));
    is_known(&daemon.name) || is_known(&daemon.app)
}

fn is_likely_network(daemon: &DaemonRow) -> bool {
    daemon.host_network
        && daemon.priority_class == "system-node-critical"
        && !OTHERS.iter().any(|other| daemon.name.starts_with(other))
        && (daemon.name.contains("cni") || daemon.name.contains("net"))
}

fn networks(daemons: &[DaemonRow]) -> Vec<&DaemonRow> {
    let known: Vec<&DaemonRow> = daemons.iter().filter(|daemon| is_network(daemon)).collect();
    if known.is_empty() { daemons.iter().filter(|daemon| is_likely_network(daemon)).collect() } else { known }
}

/// Of the node that a run is about, or of all nodes: the pods of the network's DaemonSets are there and Ready.
pub(super) fn network(scene: &Scene) -> Gate {
    const ASKS: &str = "the pod network's agents run where they have to";
    let (daemons, pods, nodes) = match (&scene.daemons, &scene.pods, &scene.nodes) {
        (Ok(daemons), Ok(pods), Ok(nodes)) => (daemons, pods, nodes),
        (Err(report), _, _) | (_, Err(report), _) | (_, _, Err(report)) => {
            return unknown(scene, names::NETWORK, ASKS, report);
        }
    };
    let networks = networks(daemons);
    if networks.is_empty() {
        let why = "no DaemonSet of a known pod network: it is built in, or another one";
        return not_applicable(scene, names::NETWORK, ASKS, why);
    }
    let asked = nodes.values().filter(|row| scene.node.as_ref().is_none_or(|node| *node == row.name));
    let mut offenders = Vec::new();
    for row in asked {
        // one that belongs here has a pod here, or pods on every other node
        offenders.extend(networks.iter().filter_map(|daemon| lacking(daemon, row, pods, nodes.len())));
    }
    let list: Vec<String> = networks.iter().map(|one| format!("{}/{}", one.namespace, one.name)).collect();
    verdict(scene, names::NETWORK, ASKS, offenders, list.join(", "))
}

fn pods_of<'a>(daemon: &'a DaemonRow, pods: &'a [PodRow]) -> impl Iterator<Item = &'a PodRow> {
    pods.iter().filter(move |pod| {
        pod.is_daemon()
            && pod.key.namespace == daemon.namespace
            && pod.owner.as_ref().is_some_and(|owner| owner.name == daemon.name)
    })
}

fn lacking(daemon: &DaemonRow, row: &NodeRow, pods: &[PodRow], nodes: usize) -> Option<Offender> {
    let is_here = |pod: &&PodRow| pod.node.as_ref() == Some(&row.name) && pod.deleting.is_none();
    let owner = format!("DaemonSet {}/{}", daemon.namespace, daemon.name);
    let Some(pod) = pods_of(daemon, pods).find(is_here) else {
        let elsewhere: std::collections::BTreeSet<&NodeName> =
            pods_of(daemon, pods).filter_map(|pod| pod.node.as_ref()).collect();
        let what = format!("has no pod on {}, and has one on every other node", row.name);
        return (elsewhere.len() + 1 >= nodes && nodes > 1).then(|| {
            Offender::new("DaemonSet", &daemon.name, what).within(&daemon.namespace).on(Some(&row.name))
        });
    };
    (!pod.ready).then(|| {
        Offender::new("Pod", &pod.key.name, format!("is not Ready{}", super::pods::why(pod)))
            .within(&pod.key.namespace)
            .of(owner)
            .on(pod.node.as_ref())
            .hint(format!("kubectl -n {} describe pod {}", pod.key.namespace, pod.key.name))
    })
}

/// The cluster's name service has an address that answers, and the node's own cache, where there is one, is Ready.
pub(super) fn dns(scene: &Scene) -> Gate {
    const ASKS: &str = "the cluster's name service has an address that is ready";
    let found = match &scene.dns {
        Ok(found) => found,
        Err(report) => return unknown(scene, names::DNS, ASKS, report),
    };
    let Some((ready, all)) = found else {
        let why = "there is no Service kube-system/kube-dns";
        return not_applicable(scene, names::DNS, ASKS, why);
    };
    let mut offenders = Vec::new();
    if *ready == 0 {
        offenders.push(
            Offender::new("Service", "kube-dns", format!("has no ready address of {all}"))
                .within("kube-system")
                .hint("kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide"),
        );
    }
    if let (Some(node), Ok(pods)) = (&scene.node, &scene.pods) {
        let is_cache = |pod: &&PodRow| {
            pod.node.as_ref() == Some(node) && pod.is_daemon() && pod.key.name.starts_with("node-local-dns")
        };
        offenders.extend(pods.iter().filter(is_cache).filter(|pod| !pod.ready).map(|pod| {
            Offender::new("Pod", &pod.key.name, "is not Ready").within(&pod.key.namespace).on(Some(node))
        }));
    }
    verdict(scene, names::DNS, ASKS, offenders, format!("{ready} of {all} addresses are ready"))
}
