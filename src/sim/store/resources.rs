//! The kinds of object the simulated API server knows, as one static table.

/// One kind of object of the Kubernetes API.
#[derive(Debug)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version within the group, for example `v1`.
    pub version: &'static str,
    /// Name in URLs, for example `pods`.
    pub plural: &'static str,
    /// Kind in objects, for example `Pod`.
    pub kind: &'static str,
    /// Singular name that kubectl accepts.
    pub singular: &'static str,
    /// Short names that kubectl accepts.
    pub short_names: &'static [&'static str],
    /// Categories such as `all`.
    pub categories: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Whether there is a `/status` subresource (then the main resource ignores `status`).
    pub status: bool,
    /// Whether there is a `/scale` subresource.
    pub scale: bool,
    /// Whether the server maintains `metadata.generation`.
    pub generation: bool,
}

impl Resource {
    /// `apiVersion` of its objects: `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Name in error messages: `pods`, `deployments.apps`.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Path of one object in the API.
    pub fn path(&self, namespace: &str, name: &str) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if self.namespaced {
            format!("{root}/namespaces/{namespace}/{}/{name}", self.plural)
        } else {
            format!("{root}/{}/{name}", self.plural)
        }
    }
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.plural == other.plural && self.group == other.group && self.version == other.version
    }
}

impl Eq for Resource {}

const BASE: Resource = Resource {
    group: "",
    version: "v1",
    plural: "",
    kind: "",
    singular: "",
    short_names: &[],
    categories: &[],
    namespaced: true,
    status: false,
    scale: false,
    generation: false,
};
const APPS: Resource =
    Resource { group: "apps", categories: &["all"], status: true, scale: true, generation: true, ..BASE };
const BATCH: Resource =
    Resource { group: "batch", categories: &["all"], status: true, generation: true, ..BASE };

macro_rules! resources {
    ($($(#[$doc:meta])* $id:ident: $plural:literal, $kind:literal, $singular:literal, [$($short:literal),*], { $($field:ident: $value:expr),* } .. $base:ident;)*) => {
        $($(#[$doc])*
        pub static $id: Resource = Resource {
            plural: $plural, kind: $kind, singular: $singular, short_names: &[$($short),*], $($field: $value,)* ..$base
        };)*
        /// Every kind, in the order of discovery.
        pub static ALL: &[&Resource] = &[$(&$id),*];
    };
}

resources! {
    /// Nodes.
    NODES: "nodes", "Node", "node", ["no"], { namespaced: false, status: true } .. BASE;
    /// Pods.
    PODS: "pods", "Pod", "pod", ["po"], { categories: &["all"], status: true } .. BASE;
    /// Namespaces.
    NAMESPACES: "namespaces", "Namespace", "namespace", ["ns"], { namespaced: false, status: true } .. BASE;
    /// Service accounts.
    SERVICE_ACCOUNTS: "serviceaccounts", "ServiceAccount", "serviceaccount", ["sa"], {} .. BASE;
    /// Configuration maps.
    CONFIG_MAPS: "configmaps", "ConfigMap", "configmap", ["cm"], {} .. BASE;
    /// Secrets.
    SECRETS: "secrets", "Secret", "secret", [], {} .. BASE;
    /// Services.
    SERVICES: "services", "Service", "service", ["svc"], { categories: &["all"], status: true } .. BASE;
    /// Endpoints (the older form of endpoint slices).
    ENDPOINTS: "endpoints", "Endpoints", "endpoints", ["ep"], {} .. BASE;
    /// Events.
    EVENTS: "events", "Event", "event", ["ev"], {} .. BASE;
    /// Replication controllers.
    REPLICATION_CONTROLLERS: "replicationcontrollers", "ReplicationController", "replicationcontroller", ["rc"], { categories: &["all"], status: true, scale: true, generation: true } .. BASE;
    /// Persistent volumes.
    PERSISTENT_VOLUMES: "persistentvolumes", "PersistentVolume", "persistentvolume", ["pv"], { namespaced: false, status: true } .. BASE;
    /// Claims of persistent volumes.
    PERSISTENT_VOLUME_CLAIMS: "persistentvolumeclaims", "PersistentVolumeClaim", "persistentvolumeclaim", ["pvc"], { status: true } .. BASE;
    /// Resource quotas.
    RESOURCE_QUOTAS: "resourcequotas", "ResourceQuota", "resourcequota", ["quota"], { status: true } .. BASE;
    /// Limit ranges.
    LIMIT_RANGES: "limitranges", "LimitRange", "limitrange", ["limits"], {} .. BASE;
    /// Deployments.
    DEPLOYMENTS: "deployments", "Deployment", "deployment", ["deploy"], {} .. APPS;
    /// Replica sets.
    REPLICA_SETS: "replicasets", "ReplicaSet", "replicaset", ["rs"], {} .. APPS;
    /// Stateful sets.
    STATEFUL_SETS: "statefulsets", "StatefulSet", "statefulset", ["sts"], {} .. APPS;
    /// Daemon sets.
    DAEMON_SETS: "daemonsets", "DaemonSet", "daemonset", ["ds"], { scale: false } .. APPS;
    /// Revisions of stateful and daemon sets.
    CONTROLLER_REVISIONS: "controllerrevisions", "ControllerRevision", "controllerrevision", [], { group: "apps" } .. BASE;
    /// Jobs.
    JOBS: "jobs", "Job", "job", [], {} .. BATCH;
    /// Cron jobs.
    CRON_JOBS: "cronjobs", "CronJob", "cronjob", ["cj"], {} .. BATCH;
    /// Pod disruption budgets.
    POD_DISRUPTION_BUDGETS: "poddisruptionbudgets", "PodDisruptionBudget", "poddisruptionbudget", ["pdb"], { group: "policy", status: true, generation: true } .. BASE;
    /// Leases.
    LEASES: "leases", "Lease", "lease", [], { group: "coordination.k8s.io" } .. BASE;
    /// The same events in the group that replaced the core one; served, not stored.
    EVENTS_V1: "events", "Event", "event", ["ev"], { group: "events.k8s.io" } .. BASE;
    /// Horizontal pod autoscalers.
    HORIZONTAL_POD_AUTOSCALERS: "horizontalpodautoscalers", "HorizontalPodAutoscaler", "horizontalpodautoscaler", ["hpa"], { group: "autoscaling", version: "v2", categories: &["all"], status: true } .. BASE;
    /// Attachments of volumes to nodes.
    VOLUME_ATTACHMENTS: "volumeattachments", "VolumeAttachment", "volumeattachment", [], { group: "storage.k8s.io", namespaced: false, status: true } .. BASE;
    /// Storage classes.
    STORAGE_CLASSES: "storageclasses", "StorageClass", "storageclass", ["sc"], { group: "storage.k8s.io", namespaced: false } .. BASE;
    /// What a node's storage drivers offer.
    CSI_NODES: "csinodes", "CSINode", "csinode", [], { group: "storage.k8s.io", namespaced: false } .. BASE;
    /// Priority classes.
    PRIORITY_CLASSES: "priorityclasses", "PriorityClass", "priorityclass", ["pc"], { group: "scheduling.k8s.io", namespaced: false, generation: true } .. BASE;
    /// Webhooks that may refuse objects. Kept as objects; nobody calls them.
    VALIDATING_WEBHOOKS: "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", "validatingwebhookconfiguration", [], { group: "admissionregistration.k8s.io", namespaced: false, generation: true } .. BASE;
    /// Webhooks that may change objects. Kept as objects; nobody calls them.
    MUTATING_WEBHOOKS: "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", "mutatingwebhookconfiguration", [], { group: "admissionregistration.k8s.io", namespaced: false, generation: true } .. BASE;
    /// Endpoint slices.
    ENDPOINT_SLICES: "endpointslices", "EndpointSlice", "endpointslice", [], { group: "discovery.k8s.io", generation: true } .. BASE;
}

/// The kind behind a group, version and plural of a URL.
pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    ALL.iter().copied().find(|r| r.group == group && r.version == version && r.plural == plural)
}

/// The kind behind an `apiVersion` and `kind` of an object or reference.
pub fn find_kind(api_version: &str, kind: &str) -> Option<&'static Resource> {
    ALL.iter().copied().find(|r| r.kind == kind && r.api_version() == api_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_by_url_and_by_kind() {
        assert_eq!(find("apps", "v1", "deployments"), Some(&DEPLOYMENTS));
        assert_eq!(find("apps", "v1beta1", "deployments"), None);
        assert_eq!(find_kind("policy/v1", "PodDisruptionBudget"), Some(&POD_DISRUPTION_BUDGETS));
        assert_eq!(DEPLOYMENTS.qualified(), "deployments.apps");
        assert_eq!(PODS.path("a", "b"), "/api/v1/namespaces/a/pods/b");
        assert_eq!(NODES.path("", "n"), "/api/v1/nodes/n");
    }
}
