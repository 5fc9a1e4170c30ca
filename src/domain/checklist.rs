//! The checklist of components: how many of each run, of how many, before a maintenance and after it.
//!
//! What a cluster needs is found by itself: static pods, DaemonSets and Deployments of a priority class that the API
//! server reserves for the system, pod networks, `kube-proxy`, the name service. The configuration adds to it.

use super::actor::DaemonRow;
use super::feed::Table;
use super::node::NodeRow;
use super::pod::PodRow;
use super::selector::Selector;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many of a component there have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// One on each node.
    Nodes,
    /// One on each control-plane node.
    ControlPlanes,
    /// So many.
    Count(usize),
}

/// A component that the configuration adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentSpec {
    /// Its name.
    pub name: String,
    /// The namespace of its pods.
    pub namespace: String,
    /// Their labels.
    pub selector: Selector,
    /// How many.
    pub expected: Expected,
}

/// How many of a component are Ready, of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Ready.
    pub ready: usize,
    /// Of.
    pub expected: usize,
}

/// One component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// Its name: `kube-proxy`; with its namespace where that is not `kube-system`.
    pub name: String,
    /// Now.
    pub now: Count,
    /// Before anything was touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Count>,
    /// Nothing but its own pods says how many there have to be.
    #[serde(default)]
    pub is_counted: bool,
}

impl Component {
    fn new(name: String, ready: usize, expected: usize) -> Self {
        Self { name, now: Count { ready, expected }, before: None, is_counted: false }
    }

    /// Complete, or no worse than before.
    pub fn is_fine(&self) -> bool {
        self.now.ready >= self.now.expected
            || self.before.is_some_and(|before| self.now.ready >= before.ready)
    }

    /// Whether all that have to be there are Ready.
    pub fn is_complete(&self) -> bool {
        self.now.ready >= self.now.expected
    }

    /// `kube-proxy 12 of 12, before 12 of 12`.
    pub fn words(&self) -> String {
        let Count { ready, expected } = self.now;
        match self.before {
            Some(before) => {
                format!("{} {ready} of {expected}, before {} of {}", self.name, before.ready, before.expected)
            }
            None => format!("{} {ready} of {expected}", self.name),
        }
    }
}

/// Counts all components.
pub fn count(
    specs: &[ComponentSpec],
    nodes: &Table<NodeRow>,
    pods: &[PodRow],
    daemons: &[DaemonRow],
) -> Vec<Component> {
    let masters = nodes.values().filter(|row| row.is_control_plane()).count();
    let mut list = static_pods(nodes, pods, masters);
    list.extend(daemon_sets(pods, daemons, nodes.len()));
    list.extend(others(pods));
    list.sort_by(|a, b| a.name.cmp(&b.name));
    list.extend(specs.iter().map(|spec| {
        let ready = pods.iter().filter(|pod| is_there(pod) && pod.ready && is_of(spec, pod)).count();
        let expected = match spec.expected {
            Expected::Nodes => nodes.len(),
            Expected::ControlPlanes => masters,
            Expected::Count(count) => count,
        };
        Component::new(spec.name.clone(), ready, expected)
    }));
    list
}

fn is_of(spec: &ComponentSpec, pod: &PodRow) -> bool {
    pod.key.namespace == spec.namespace && spec.selector.matches(&pod.labels)
}

fn is_there(pod: &PodRow) -> bool {
    !pod.is_finished() && pod.deleting.is_none()
}

/// In `kube-system` the bare name.
fn named(namespace: &str, name: &str) -> String {
    if namespace == "kube-system" { name.to_owned() } else { format!("{namespace}/{name}") }
}

/// By their name without the node's: where most control planes run one, all have to.
fn static_pods(nodes: &Table<NodeRow>, pods: &[PodRow], masters: usize) -> Vec<Component> {
    let mut found: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod.mirror && is_there(pod)) {
        let Some(row) = pod.node.as_ref().and_then(|node| nodes.get(node)) else { continue };
        let end = format!("-{}", row.name);
        let Some(name) = pod.key.name.strip_suffix(&end) else { continue };
        let known = found.entry(named(&pod.key.namespace, name)).or_default();
        known.0 += usize::from(pod.ready);
        known.1 += 1;
    }
    let expected = |there: usize| if there * 2 > masters { there.max(masters) } else { there };
    found.into_iter().map(|(name, (ready, there))| Component::new(name, ready, expected(there))).collect()
}

/// The DaemonSets that a cluster needs; how many there have to be is the DaemonSet controller's word.
fn daemon_sets(pods: &[PodRow], daemons: &[DaemonRow], nodes: usize) -> Vec<Component> {
    daemons
        .iter()
        .filter(|daemon| daemon.priority_class.starts_with("system-") || is_known(&daemon.name))
        .map(|daemon| {
            let own = |pod: &&PodRow| {
                pod.is_daemon()
                    && is_there(pod)
                    && pod.key.namespace == daemon.namespace
                    && pod.owner.as_ref().is_some_and(|owner| owner.name == daemon.name)
            };
            let there = pods.iter().filter(own).count();
            let ready = pods.iter().filter(own).filter(|pod| pod.ready).count();
            // its own figure lags behind for a moment when it was just made
            let expected = daemon.desired.map_or(there, |desired| desired.max(there)).min(nodes.max(there));
            Component::new(named(&daemon.namespace, &daemon.name), ready, expected)
        })
        .collect()
}

fn is_known(name: &str) -> bool {
    ["kube-proxy", "kube-flannel", "calico-node", "cilium", "canal", "weave-net", "kube-router", "kindnet"]
        .iter()
        .any(|known| name.starts_with(known))
}

/// Deployments and the like that a cluster needs, by the word of their pods alone.
fn others(pods: &[PodRow]) -> Vec<Component> {
    let mut found: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let is_needed = |pod: &&PodRow| {
        let is_dns = pod.labels.get("k8s-app").is_some_and(|app| app == "kube-dns");
        !pod.mirror
            && !pod.is_daemon()
            && is_there(pod)
            && (is_dns || pod.priority_class.starts_with("system-"))
    };
    for pod in pods.iter().filter(is_needed) {
        let Some(owner) = &pod.owner else { continue };
        let name = match owner.kind.as_str() {
            // a ReplicaSet is named after its Deployment and a hash
            "ReplicaSet" => owner.name.rsplit_once('-').map_or(owner.name.as_str(), |(name, _)| name),
            _ => owner.name.as_str(),
        };
        let known = found.entry(named(&pod.key.namespace, name)).or_default();
        known.0 += usize::from(pod.ready);
        known.1 += 1;
    }
    let one = |(name, (ready, there))| Component { is_counted: true, ..Component::new(name, ready, there) };
    found.into_iter().map(one).collect()
}

/// Puts what was counted before beside what is counted now; what is gone altogether stays in the list.
pub fn compare(before: &[Component], mut now: Vec<Component>) -> Vec<Component> {
    for component in &mut now {
        let known = before.iter().find(|known| known.name == component.name);
        component.before = known.map(|known| known.now);
        if let Some(known) = known.filter(|_| component.is_counted) {
            component.now.expected = component.now.expected.max(known.now.expected);
        }
    }
    for gone in before {
        if !now.iter().any(|component| component.name == gone.name) {
            let count = Count { ready: 0, expected: gone.now.expected };
            now.push(Component { now: count, before: Some(gone.now), ..gone.clone() });
        }
    }
    now
}

/// All in a line: `11 components complete`, or the ones that are not.
pub fn summary(list: &[Component]) -> String {
    let short: Vec<String> = list.iter().filter(|one| !one.is_complete()).map(Component::words).collect();
    let complete = super::text::count(list.len() - short.len(), "component");
    if short.is_empty() {
        format!("{complete} complete")
    } else {
        format!("{complete} complete; {}", short.join("; "))
    }
}

/// What is worse than before.
pub fn worse(list: &[Component]) -> Vec<String> {
    list.iter().filter(|one| !one.is_fine()).map(Component::words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::feed::Row;
    use crate::domain::pod::{Owner, sample};

    fn nodes() -> Table<NodeRow> {
        let master = |name: &str| NodeRow {
            name: name.into(),
            roles: vec!["control-plane".into()],
            ..crate::domain::node::sample()
        };
        let rows = [master("cp-1"), master("cp-2"), master("cp-3"), crate::domain::node::sample()];
        rows.into_iter().map(|row| (row.key(), row)).collect()
    }

    fn pod(name: &str, on: &str, kind: &str, owner: &str) -> PodRow {
        let owner =
            Owner { api_version: "apps/v1".into(), kind: kind.into(), name: owner.into(), uid: "u".into() };
        PodRow {
            node: Some(on.into()),
            owner: Some(owner),
            mirror: kind == "Node",
            priority_class: "system-node-critical".into(),
            ..sample("kube-system", name)
        }
    }

    fn daemon(name: &str, desired: usize) -> DaemonRow {
        DaemonRow {
            namespace: "kube-system".into(),
            name: name.into(),
            host_network: true,
            priority_class: String::new(),
            app: String::new(),
            desired: Some(desired),
        }
    }

    fn pods() -> Vec<PodRow> {
        let mut pods: Vec<PodRow> = ["cp-1", "cp-2", "cp-3"]
            .into_iter()
            .flat_map(|node| {
                let etcd = pod(&format!("etcd-{node}"), node, "Node", node);
                [etcd, pod(&format!("proxy-{node}"), node, "DaemonSet", "kube-proxy")]
            })
            .collect();
        pods.push(pod("proxy-w", "worker-1", "DaemonSet", "kube-proxy"));
        pods.push(pod("coredns-6f-a", "cp-1", "ReplicaSet", "coredns-6f"));
        pods.push(pod("coredns-6f-b", "cp-2", "ReplicaSet", "coredns-6f"));
        pods
    }

    fn words(list: &[Component]) -> Vec<String> {
        list.iter().map(Component::words).collect()
    }

    #[test]
    fn what_a_cluster_needs_is_counted_before_and_after() {
        let gateway = ComponentSpec {
            name: "gateway".into(),
            namespace: "kube-system".into(),
            selector: crate::domain::selector::parse("app=gateway").expect("a selector"),
            expected: Expected::Count(2),
        };
        let specs = std::slice::from_ref(&gateway);
        let before = count(specs, &nodes(), &pods(), &[daemon("kube-proxy", 4)]);
        assert_eq!(words(&before), ["coredns 2 of 2", "etcd 3 of 3", "kube-proxy 4 of 4", "gateway 0 of 2"]);
        let mut later = pods();
        later.retain(|pod| pod.key.name != "coredns-6f-b" && pod.key.name != "etcd-cp-3");
        later.iter_mut().filter(|pod| pod.key.name == "proxy-w").for_each(|pod| pod.ready = false);
        let after = compare(&before, count(specs, &nodes(), &later, &[daemon("kube-proxy", 4)]));
        assert_eq!(
            worse(&after),
            [
                "coredns 1 of 2, before 2 of 2",
                "etcd 2 of 3, before 3 of 3",
                "kube-proxy 3 of 4, before 4 of 4"
            ],
            "the gateway was not there before"
        );
        assert_eq!(summary(&before), "3 components complete; gateway 0 of 2");
    }

    #[test]
    fn what_is_gone_is_still_named_and_what_grew_with_the_cluster_is_fine() {
        let before = count(&[], &nodes(), &pods(), &[daemon("kube-proxy", 4)]);
        let mut later = pods();
        later.retain(|pod| pod.mirror);
        assert_eq!(
            worse(&compare(&before, count(&[], &nodes(), &later, &[]))),
            ["coredns 0 of 2, before 2 of 2", "kube-proxy 0 of 4, before 4 of 4"]
        );
        let mut more = nodes();
        more.insert("worker-2".into(), NodeRow { name: "worker-2".into(), ..crate::domain::node::sample() });
        let mut grown = pods();
        grown.push(pod("proxy-w2", "worker-2", "DaemonSet", "kube-proxy"));
        let after = compare(&before, count(&[], &more, &grown, &[daemon("kube-proxy", 5)]));
        assert!(worse(&after).is_empty(), "{after:?}");
    }
}
