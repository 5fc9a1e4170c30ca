//! The order of evictions: ordinary pods first, then by rising priority, cluster DNS last, as pods need it while they stop.

use super::pod::PodRow;

/// When a pod's turn comes; a later wave begins when no pod of an earlier one is to be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wave {
    /// By priority; ordinary pods, and those below them, have 0.
    Priority(i32),
    /// Cluster DNS.
    Last,
}

impl Wave {
    /// The wave of a pod.
    pub fn of(pod: &PodRow) -> Self {
        if is_dns(pod) { Self::Last } else { Self::Priority(pod.priority.max(0)) }
    }

    /// In words: `the pods of priority 1000`.
    pub fn words(self) -> String {
        match self {
            Self::Priority(0) => "the ordinary pods".to_owned(),
            Self::Priority(priority) => format!("the pods of priority {priority}"),
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
    fn ordinary_then_by_priority_then_dns() {
        let pod = |name: &str, priority: i32| PodRow { priority, ..sample("shop", name) };
        let mut dns = pod("coredns", 2_000_000_000);
        dns.labels.insert("k8s-app".into(), "kube-dns".into());
        let waves: Vec<Wave> =
            [pod("low", -10), pod("web", 0), pod("db", 1000), pod("csi", 2_000_000_000), dns]
                .iter()
                .map(Wave::of)
                .collect();
        assert!(waves.is_sorted());
        assert_eq!(waves[0], waves[1], "nothing is more ordinary than ordinary");
        assert_eq!(waves[4], Wave::Last);
    }
}
