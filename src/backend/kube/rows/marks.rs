//! Marks that other maintenance tools leave on nodes, in words: whoever maintains a node besides us is worth knowing.

use super::node::Taint;
use super::tidy;
use std::collections::BTreeMap;

/// How a mark shows.
enum Mark {
    /// A label of that name is there, unless its value is `false`.
    Label(&'static str),
    /// An annotation of that name is there, unless its value is `false`.
    Annotation(&'static str),
    /// An annotation of that name has one of these values.
    Value(&'static str, &'static [&'static str]),
    /// A taint of that name is there.
    Taint(&'static str),
}

/// Who, what, and how it shows.
const MARKS: &[(&str, Mark)] = &[
    // KubeOne's proposal and code spell its label in three ways
    ("KubeOne: upgrade in progress", Mark::Label("kubeone.io/upgrade-in-progress")),
    ("KubeOne: upgrade in progress", Mark::Label("kubeone.io/upgrade-in-process")),
    ("KubeOne: upgrade in progress", Mark::Label("kubeone.io/upgrading-in-process")),
    ("kured: reboot in progress", Mark::Annotation("weave.works/kured-reboot-in-progress")),
    ("kured: reboot in progress", Mark::Annotation("kured.dev/kured-reboot-in-progress")),
    ("kops: scheduled for update", Mark::Taint("kops.k8s.io/scheduled-for-update")),
    ("kops: needs update", Mark::Annotation("kops.k8s.io/needs-update")),
    (
        "machine-config operator: working",
        Mark::Value("machineconfiguration.openshift.io/state", &["Working"]),
    ),
    (
        "machine-config operator: degraded",
        Mark::Value("machineconfiguration.openshift.io/state", &["Degraded", "Unreconcilable"]),
    ),
    ("cluster-autoscaler: to be deleted", Mark::Taint("ToBeDeletedByClusterAutoscaler")),
    ("cluster-autoscaler: candidate for deletion", Mark::Taint("DeletionCandidateOfClusterAutoscaler")),
    ("Karpenter: disrupted", Mark::Taint("karpenter.sh/disrupted")),
    ("Karpenter: disrupted", Mark::Taint("karpenter.sh/disruption")),
    ("Cluster API: outdated revision", Mark::Taint("node.cluster.x-k8s.io/outdated-revision")),
    ("Cluster API: not initialised", Mark::Taint("node.cluster.x-k8s.io/uninitialized")),
    ("Cluster API: paused", Mark::Annotation("cluster.x-k8s.io/paused")),
    ("node-maintenance operator: drains", Mark::Taint("medik8s.io/drain")),
    (
        "node-maintenance operator: in maintenance",
        Mark::Label("remediation.medik8s.io/exclude-from-remediation"),
    ),
    (
        "Flatcar update operator: reboots",
        Mark::Annotation("flatcar-linux-update.v1.flatcar-linux.net/reboot-in-progress"),
    ),
    (
        "Container Linux update operator: reboots",
        Mark::Annotation("container-linux-update.v1.coreos.com/reboot-in-progress"),
    ),
    ("AKS: quarantined by an upgrade", Mark::Value("kubernetes.azure.com/upgrade-status", &["Quarantined"])),
    ("out of service", Mark::Taint("node.kubernetes.io/out-of-service")),
];

/// The marks of others on a node, each once.
pub(super) fn foreign(
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
    taints: &[Taint],
) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let is_set = |value: Option<&String>| value.is_some_and(|value| value != "false");
    for (words, mark) in MARKS {
        let is_there = match mark {
            Mark::Label(key) => is_set(labels.get(*key)),
            Mark::Annotation(key) => is_set(annotations.get(*key)),
            Mark::Value(key, values) => annotations
                .get(*key)
                .or_else(|| labels.get(*key))
                .is_some_and(|value| values.contains(&value.as_str())),
            Mark::Taint(key) => taints.iter().any(|taint| taint.key == *key),
        };
        if is_there && !found.iter().any(|known| known == words) {
            found.push((*words).to_owned());
        }
    }
    if let Some(wish) = annotations.get("machineconfiguration.openshift.io/desiredDrain")
        && wish.starts_with("drain-")
        && annotations.get("machineconfiguration.openshift.io/lastAppliedDrain") != Some(wish)
    {
        found.push("machine-config operator: drains".into());
    }
    if let Some(holder) = annotations.get("weave.works/kured-node-lock") {
        found.push(tidy(format!("kured: lock {holder}")));
    }
    found.shrink_to_fit();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn each_spelling_is_one_mark() {
        for spelling in ["upgrade-in-progress", "upgrade-in-process", "upgrading-in-process"] {
            let labels = map(&[(&format!("kubeone.io/{spelling}"), "true")]);
            assert_eq!(foreign(&labels, &map(&[]), &[]), ["KubeOne: upgrade in progress"]);
        }
        let both =
            map(&[("kubeone.io/upgrade-in-progress", "true"), ("kubeone.io/upgrade-in-process", "true")]);
        assert_eq!(foreign(&both, &map(&[]), &[]).len(), 1);
    }

    #[test]
    fn drains_in_progress_and_done() {
        let key = |name: &str| format!("machineconfiguration.openshift.io/{name}");
        let wish = map(&[(&key("desiredDrain"), "drain-abc"), (&key("lastAppliedDrain"), "uncordon-abc")]);
        assert_eq!(foreign(&map(&[]), &wish, &[]), ["machine-config operator: drains"]);
        let done = map(&[(&key("desiredDrain"), "uncordon-abc"), (&key("state"), "Done")]);
        assert!(foreign(&map(&[]), &done, &[]).is_empty());
        let off = map(&[("flatcar-linux-update.v1.flatcar-linux.net/reboot-in-progress", "false")]);
        assert!(foreign(&map(&[]), &off, &[]).is_empty());
    }

    #[test]
    fn taints_of_autoscalers() {
        let taint = |key: &str| Taint { key: key.into(), ..Taint::default() };
        let taints = [taint("ToBeDeletedByClusterAutoscaler"), taint("karpenter.sh/disrupted")];
        assert_eq!(
            foreign(&map(&[]), &map(&[]), &taints),
            ["cluster-autoscaler: to be deleted", "Karpenter: disrupted"]
        );
    }
}
