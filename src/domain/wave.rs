//! The order of evictions: ordinary pods first, then by rising priority, then what serves admission webhooks (while it is
//! away, no pod may be created), cluster DNS last, as pods need it while they stop.

use super::pod::PodRow;
use std::collections::BTreeMap;

/// Which pods serve admission webhooks, by the Services that the webhooks call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admission {
    services: Vec<(String, BTreeMap<String, String>)>,
}

impl Admission {
    /// From the Services: the namespace of each, and the labels that it selects. One that selects nothing counts for none.
    pub fn new(services: impl IntoIterator<Item = (String, BTreeMap<String, String>)>) -> Self {
        Self { services: services.into_iter().filter(|(_, labels)| !labels.is_empty()).collect() }
    }

    fn is_served_by(&self, pod: &PodRow) -> bool {
        self.services.iter().any(|(namespace, labels)| {
            *namespace == pod.key.namespace
                && labels.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
        })
    }
}

/// When a pod's turn comes; a later wave begins when no pod of an earlier one is to be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wave {
    /// By priority; ordinary pods, and those below them, have 0.
    Priority(i32),
    /// What serves admission webhooks.
    Admission,
    /// Cluster DNS.
    Last,
}

impl Wave {
    /// The wave of a pod.
    pub fn of(pod: &PodRow, admission: &Admission) -> Self {
        if is_dns(pod) {
            Self::Last
        } else if admission.is_served_by(pod) {
            Self::Admission
        } else {
            Self::Priority(pod.priority.max(0))
        }
    }

    /// Whether its pods need not wait until the earlier waves are gone where others of their owner are Ready elsewhere.
    pub fn may_be_spared(self) -> bool {
        matches!(self, Self::Admission | Self::Last)
    }

    /// In words: `the pods of priority 1000`.
    pub fn words(self) -> String {
        match self {
            Self::Priority(0) => "the ordinary pods".to_owned(),
            Self::Priority(priority) => format!("the pods of priority {priority}"),
            Self::Admission => "the pods behind admission webhooks".to_owned(),
            Self::Last => "cluster DNS".to_owned(),
        }
    }
}

/// The cluster's DNS, by the labels that kubeadm's manifest and the charts give it.
fn is_dns(pod: &PodRow) -> bool {
    let label = |key: &str| pod.labels.get(key).map(String::as_str);
    label("k8s-app") == Some("kube-dns")
        || matches!(label("app.kubernetes.io/name"), Some("coredns" | "kube-dns"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::pod::sample;

    #[test]
    fn ordinary_then_by_priority_then_webhooks_then_dns() {
        let pod = |name: &str, priority: i32| PodRow { priority, ..sample("shop", name) };
        let labelled = |name: &str, key: &str, value: &str| {
            let mut row = pod(name, 2_000_000_000);
            row.labels.insert(key.into(), value.into());
            row
        };
        let calls = |namespace: &str, app: &str| {
            (namespace.to_owned(), BTreeMap::from([("app".to_owned(), app.to_owned())]))
        };
        let nobody = ("shop".to_owned(), BTreeMap::new());
        let admission = Admission::new([calls("shop", "policy"), calls("other", "mail"), nobody]);
        let pods = [
            pod("low", -10),
            pod("web", 0),
            pod("db", 1000),
            labelled("mail", "app", "mail"),
            labelled("policy", "app", "policy"),
            labelled("coredns", "k8s-app", "kube-dns"),
        ];
        let waves = pods.each_ref().map(|pod| Wave::of(pod, &admission));
        assert!(waves.is_sorted());
        assert_eq!(waves[0], waves[1], "nothing is more ordinary than ordinary");
        assert_eq!(waves[3], Wave::Priority(2_000_000_000), "called in another namespace only");
        assert_eq!(waves[4..], [Wave::Admission, Wave::Last]);
        assert_eq!(Wave::of(&pods[4], &Admission::default()), waves[3]);
    }
}
