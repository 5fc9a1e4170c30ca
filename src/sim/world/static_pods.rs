//! Static pods of control planes, as kubeadm writes them, and their mirrors in the API.

use serde_json::{Value, json};

use super::desk::Desk;
use super::read::{Key, fingerprint, name, text};
use super::{Change, Controller};
use crate::sim::store::resources::{NODES, PODS};
use crate::sim::store::{ChangeKind, Object};

const HOME: &str = "kube-system";
/// The static pods of a control plane.
const COMPONENTS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// The part of the kubelets that mirrors static pods. A key names a node.
pub struct StaticPods;

impl Controller for StaticPods {
    fn name(&self) -> &'static str {
        "static-pods"
    }

    fn observe(&mut self, change: &Change, desk: &mut Desk) {
        if *change.resource == NODES && change.kind != ChangeKind::Deleted {
            let is_new = change.kind == ChangeKind::Added;
            let has_restarted = change
                .previous
                .as_ref()
                .is_some_and(|previous| previous["status"] != change.object["status"]);
            if is_new || has_restarted {
                desk.mark(Key::of(&change.object));
            }
        } else if *change.resource == PODS
            && change.kind == ChangeKind::Deleted
            && super::read::is_mirror(&change.object)
        {
            desk.mark(Key::cluster(text(&change.object, "/spec/nodeName")));
        }
    }

    fn sync(&mut self, key: &Key, desk: &mut Desk) {
        let is_control_plane = desk.specs.get(&key.name).is_some_and(|spec| spec.control_plane);
        let Some(node) = desk.get(&NODES, key) else { return };
        if !is_control_plane || !desk.kubelets.contains(&key.name) {
            return;
        }
        let without = desk.specs.get(&key.name).map(|spec| spec.without.clone()).unwrap_or_default();
        for component in COMPONENTS.into_iter().filter(|name| !without.iter().any(|other| other == name)) {
            let place = Key::new(HOME, &format!("{component}-{}", key.name));
            if desk.get(&PODS, &place).is_none() {
                let pod = mirror(desk, &node, component);
                desk.create(&PODS, pod);
            }
        }
    }
}

/// Takes away the mirrors of a node's static pods, after its kubelet's version changed; the kubelet makes new ones.
pub fn renew(desk: &mut Desk, node: &str) {
    for component in COMPONENTS {
        let key = Key::new(HOME, &format!("{component}-{node}"));
        if let Some(pod) = desk.get(&PODS, &key).filter(|_| component != "etcd") {
            desk.delete_now(&key, super::read::uid(&pod));
        }
    }
}

/// The mirror of a static pod. It is bound from the start; the kubelet makes it run.
fn mirror(desk: &Desk, node: &Object, component: &str) -> Value {
    let (node_name, address) = (name(node), address(node));
    let version = text(node, "/status/nodeInfo/kubeletVersion");
    let is_first = component == "etcd" || version == desk.cluster.version;
    let manifest = if is_first { String::new() } else { version.to_owned() };
    let hash = format!("{:08x}", fingerprint(&format!("{component}{node_name}{manifest}"))).repeat(4);
    let mut annotations = json!({
        "kubernetes.io/config.hash": hash, "kubernetes.io/config.mirror": hash,
        "kubernetes.io/config.seen": desk.stamp(node_name), "kubernetes.io/config.source": "file",
    });
    match component {
        "etcd" => {
            annotations["kubeadm.kubernetes.io/etcd.advertise-client-urls"] =
                format!("https://{address}:2379").into();
        }
        "kube-apiserver" => {
            annotations["kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint"] =
                format!("{address}:6443").into();
        }
        _ => {}
    }
    let image = match component {
        "etcd" => format!("registry.k8s.io/etcd:{}-0", desk.cluster.etcd),
        _ => format!("registry.k8s.io/{component}:{version}"),
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("{component}-{node_name}"), "namespace": HOME,
            "labels": { "component": component, "tier": "control-plane" }, "annotations": annotations,
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": node_name, "controller": true,
                                  "uid": node["metadata"]["uid"] }],
        },
        "spec": {
            "containers": [{
                "name": component, "image": image, "imagePullPolicy": "IfNotPresent",
                "command": command(desk, component, node_name, address), "volumeMounts": [],
            }],
            "volumes": volumes(component),
            "nodeName": node_name, "hostNetwork": true, "priority": 2_000_001_000,
            "priorityClassName": "system-node-critical", "restartPolicy": "Always", "enableServiceLinks": true,
            "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
            "tolerations": [{ "operator": "Exists", "effect": "NoExecute" }],
            "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } },
        },
        "status": { "phase": "Pending", "qosClass": "Burstable" },
    })
}

fn address(node: &Value) -> &str {
    text(node, "/status/addresses/0/address")
}

fn volumes(component: &str) -> Value {
    let host = |name: &str, path: &str| json!({ "name": name, "hostPath": { "path": path, "type": "DirectoryOrCreate" } });
    match component {
        "etcd" => json!([host("etcd-certs", "/etc/kubernetes/pki/etcd"), host("etcd-data", "/var/lib/etcd")]),
        "kube-scheduler" => json!([host("kubeconfig", "/etc/kubernetes/scheduler.conf")]),
        _ => json!([host("k8s-certs", "/etc/kubernetes/pki"), host("ca-certs", "/etc/ssl/certs")]),
    }
}

fn command(desk: &Desk, component: &str, node: &str, address: &str) -> Vec<String> {
    let flags = match component {
        "etcd" => etcd_flags(desk, node, address),
        "kube-apiserver" => api_server_flags(address),
        "kube-controller-manager" => controller_manager_flags(),
        _ => scheduler_flags(),
    };
    std::iter::once(component.to_owned()).chain(flags).collect()
}

fn etcd_flags(desk: &Desk, node: &str, address: &str) -> Vec<String> {
    let members: Vec<String> = desk
        .machines
        .values()
        .filter(|machine| machine.is_control_plane())
        .filter(|machine| machine.name() == node || desk.get(&NODES, &Key::cluster(machine.name())).is_some())
        .map(|machine| format!("{}=https://{}:2380", machine.name(), machine.address()))
        .collect();
    vec![
        format!("--advertise-client-urls=https://{address}:2379"),
        "--cert-file=/etc/kubernetes/pki/etcd/server.crt".to_owned(),
        "--client-cert-auth=true".to_owned(),
        "--data-dir=/var/lib/etcd".to_owned(),
        format!("--initial-advertise-peer-urls=https://{address}:2380"),
        format!("--initial-cluster={}", members.join(",")),
        "--key-file=/etc/kubernetes/pki/etcd/server.key".to_owned(),
        format!("--listen-client-urls=https://127.0.0.1:2379,https://{address}:2379"),
        "--listen-metrics-urls=http://127.0.0.1:2381".to_owned(),
        format!("--listen-peer-urls=https://{address}:2380"),
        format!("--name={node}"),
        "--peer-cert-file=/etc/kubernetes/pki/etcd/peer.crt".to_owned(),
        "--peer-client-cert-auth=true".to_owned(),
        "--peer-key-file=/etc/kubernetes/pki/etcd/peer.key".to_owned(),
        "--peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt".to_owned(),
        "--snapshot-count=10000".to_owned(),
        "--trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt".to_owned(),
    ]
}

fn api_server_flags(address: &str) -> Vec<String> {
    let pki = "/etc/kubernetes/pki";
    vec![
        format!("--advertise-address={address}"),
        "--allow-privileged=true".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        format!("--client-ca-file={pki}/ca.crt"),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--enable-bootstrap-token-auth=true".to_owned(),
        format!("--etcd-cafile={pki}/etcd/ca.crt"),
        format!("--etcd-certfile={pki}/apiserver-etcd-client.crt"),
        format!("--etcd-keyfile={pki}/apiserver-etcd-client.key"),
        "--etcd-servers=https://127.0.0.1:2379".to_owned(),
        format!("--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt"),
        format!("--kubelet-client-key={pki}/apiserver-kubelet-client.key"),
        "--secure-port=6443".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-key-file={pki}/sa.pub"),
        format!("--service-account-signing-key-file={pki}/sa.key"),
        "--service-cluster-ip-range=10.96.0.0/12".to_owned(),
        format!("--tls-cert-file={pki}/apiserver.crt"),
        format!("--tls-private-key-file={pki}/apiserver.key"),
    ]
}

fn controller_manager_flags() -> Vec<String> {
    [
        "--allocate-node-cidrs=true",
        "--authentication-kubeconfig=/etc/kubernetes/controller-manager.conf",
        "--authorization-kubeconfig=/etc/kubernetes/controller-manager.conf",
        "--bind-address=127.0.0.1",
        "--client-ca-file=/etc/kubernetes/pki/ca.crt",
        "--cluster-cidr=10.244.0.0/13",
        "--cluster-name=kubernetes",
        "--kubeconfig=/etc/kubernetes/controller-manager.conf",
        "--leader-elect=true",
        "--root-ca-file=/etc/kubernetes/pki/ca.crt",
        "--use-service-account-credentials=true",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn scheduler_flags() -> Vec<String> {
    [
        "--authentication-kubeconfig=/etc/kubernetes/scheduler.conf",
        "--authorization-kubeconfig=/etc/kubernetes/scheduler.conf",
        "--bind-address=127.0.0.1",
        "--kubeconfig=/etc/kubernetes/scheduler.conf",
        "--leader-elect=true",
    ]
    .map(str::to_owned)
    .to_vec()
}
