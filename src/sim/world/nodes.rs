//! Nodes as their kubelets register them, and their heartbeats.

use serde_json::{Value, json};

use crate::sim::machine::Machine;
use crate::sim::scenario::{ClusterSpec, NodeSpec};

/// Namespace of the kubelets' leases.
pub const LEASE_NAMESPACE: &str = "kube-node-lease";
/// Taint of control planes.
pub const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// A Node object, Ready, as the kubelet of `machine` registers it. `place` numbers the nodes and gives the pod network.
pub fn object(spec: &NodeSpec, machine: &Machine, cluster: &ClusterSpec, place: usize, now: &str) -> Value {
    let mut labels = json!({
        "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "kubernetes.io/hostname": spec.name,
    });
    if spec.control_plane {
        labels[CONTROL_PLANE] = "".into();
        labels["node.kubernetes.io/exclude-from-external-load-balancers"] = "".into();
    }
    for (key, value) in &spec.labels {
        labels[key] = value.clone().into();
    }
    let mut annotations = json!({
        "kubeadm.alpha.kubernetes.io/cri-socket": "unix:///var/run/containerd/containerd.sock",
        "node.alpha.kubernetes.io/ttl": "0", "volumes.kubernetes.io/controller-managed-attach-detach": "true",
    });
    for (key, value) in &spec.annotations {
        annotations[key] = value.clone().into();
    }
    let mut node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": spec.name, "labels": labels, "annotations": annotations },
        "spec": { "podCIDR": pod_network(place), "podCIDRs": [pod_network(place)] },
        "status": status(spec, machine, cluster, now),
    });
    let taints = taints(spec);
    if !taints.is_empty() {
        node["spec"]["taints"] = taints.into();
    }
    if spec.cordoned {
        node["spec"]["unschedulable"] = true.into();
    }
    node
}

fn taints(spec: &NodeSpec) -> Vec<Value> {
    let own = spec.control_plane.then(|| json!({ "key": CONTROL_PLANE, "effect": "NoSchedule" }));
    let further = spec.taints.iter().map(|taint| {
        let (what, effect) = taint.rsplit_once(':').unwrap_or((taint, "NoSchedule"));
        match what.split_once('=') {
            Some((key, value)) => json!({ "key": key, "value": value, "effect": effect }),
            None => json!({ "key": what, "effect": effect }),
        }
    });
    own.into_iter().chain(further).collect()
}

fn status(spec: &NodeSpec, machine: &Machine, cluster: &ClusterSpec, now: &str) -> Value {
    let (cpu, memory) = if spec.control_plane { ("4", "8130488Ki") } else { ("8", "32820972Ki") };
    let cpu = spec.cpu.as_deref().unwrap_or(cpu);
    let memory = spec.memory.as_deref().unwrap_or(memory);
    let resources = |memory: &str| {
        json!({
            "cpu": cpu, "memory": memory, "pods": spec.pods.unwrap_or(110).to_string(),
            "ephemeral-storage": "101430960Ki", "hugepages-1Gi": "0", "hugepages-2Mi": "0",
        })
    };
    let version = spec.version.as_ref().unwrap_or(&cluster.version);
    json!({
        "addresses": [
            { "type": "InternalIP", "address": machine.address() },
            { "type": "Hostname", "address": spec.name },
        ],
        "capacity": resources(memory), "allocatable": resources(memory),
        "conditions": healthy_conditions(now),
        "daemonEndpoints": { "kubeletEndpoint": { "Port": 10250 } },
        "nodeInfo": {
            "architecture": "amd64", "operatingSystem": "linux",
            "bootID": machine.boot_id(), "machineID": machine.machine_id(), "systemUUID": machine.machine_id(),
            "kernelVersion": spec.kernel.as_ref().unwrap_or(&cluster.kernel), "osImage": spec.os.as_ref().unwrap_or(&cluster.os),
            "containerRuntimeVersion": cluster.runtime, "kubeletVersion": version, "kubeProxyVersion": "",
        },
        "images": images(spec, cluster),
    })
}

fn images(spec: &NodeSpec, cluster: &ClusterSpec) -> Vec<Value> {
    let version = spec.version.as_ref().unwrap_or(&cluster.version);
    let mut names = vec![
        (format!("registry.k8s.io/kube-proxy:{version}"), 29_000_000),
        ("registry.k8s.io/pause:3.10.1".to_owned(), 320_000),
        ("registry.k8s.io/coredns/coredns:v1.12.1".to_owned(), 22_400_000),
    ];
    if spec.control_plane {
        names.push((format!("registry.k8s.io/etcd:{}-0", cluster.etcd), 62_500_000));
        for (component, size) in [
            ("kube-apiserver", 27_000_000),
            ("kube-controller-manager", 23_000_000),
            ("kube-scheduler", 17_400_000),
        ] {
            names.push((format!("registry.k8s.io/{component}:{version}"), size));
        }
    }
    names.into_iter().map(|(name, size)| json!({ "names": [name], "sizeBytes": size })).collect()
}

/// The network of a node's pods, a /24.
pub fn pod_network(place: usize) -> String {
    format!("{}.0/24", pod_prefix(place))
}

/// The first three numbers of the addresses of a node's pods.
pub fn pod_prefix(place: usize) -> String {
    format!("10.{}.{}", 244 + place / 256 % 8, place % 256)
}

/// The conditions that a healthy kubelet reports.
pub fn healthy_conditions(now: &str) -> Value {
    let one = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    };
    json!([
        one("NetworkUnavailable", "False", "FlannelIsUp", "Flannel is running on this node"),
        one(
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available"
        ),
        one("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        one("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        one("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ])
}

/// The lease of a node.
pub fn lease(node: &Value, renewed: &str) -> Value {
    let name = &node["metadata"]["name"];
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": name, "namespace": LEASE_NAMESPACE,
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"] }],
        },
        "spec": { "holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": renewed },
    })
}
