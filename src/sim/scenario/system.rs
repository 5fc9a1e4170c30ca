//! What every cluster made by kubeadm has: namespaces, priority classes, addons, configuration maps.

use serde_json::{Value, json};

use super::build::put_workload;
use super::workload::{Amount, Budget, Kind, Workload};
use crate::sim::store::resources::{CONFIG_MAPS, DAEMON_SETS, PRIORITY_CLASSES, SERVICES, STORAGE_CLASSES};
use crate::sim::world::attachments::DRIVER;
use crate::sim::world::desk::Desk;

/// Namespaces that are always there.
pub const NAMESPACES_OF_EVERY_CLUSTER: [&str; 4] =
    ["default", "kube-node-lease", "kube-public", "kube-system"];
const HOME: &str = "kube-system";

/// Creates all of it.
pub fn put(desk: &Desk) {
    for (name, value) in
        [("system-cluster-critical", 2_000_000_000_u32), ("system-node-critical", 2_000_001_000)]
    {
        desk.create(&PRIORITY_CLASSES, json!({
            "metadata": { "name": name }, "value": value, "globalDefault": false,
            "preemptionPolicy": "PreemptLowerPriority",
            "description": "Used for system critical pods that must not be moved from their current node.",
        }));
    }
    desk.create(
        &STORAGE_CLASSES,
        json!({
            "metadata": { "name": "standard",
                          "annotations": { "storageclass.kubernetes.io/is-default-class": "true" } },
            "provisioner": DRIVER, "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer",
        }),
    );
    put_service(desk, "default", "kubernetes", "10.96.0.1", &Value::Null, 443);
    put_kubeadm_config(desk);
    put_dns(desk);
    let version = desk.cluster.version.clone();
    put_daemon(desk, HOME, "kube-proxy", &format!("registry.k8s.io/kube-proxy:{version}"), "k8s-app");
    put_daemon(desk, "kube-flannel", "kube-flannel-ds", "ghcr.io/flannel-io/flannel:v0.27.4", "app");
}

fn put_dns(desk: &Desk) {
    let mut dns = Workload::new(Kind::Deployment, HOME, "coredns");
    dns.replicas = 2;
    dns.image = Some("registry.k8s.io/coredns/coredns:v1.12.1".to_owned());
    dns.labels.insert("k8s-app".to_owned(), "kube-dns".to_owned());
    dns.tolerate_control_plane = true;
    dns.priority_class = Some("system-cluster-critical".to_owned());
    dns.max_unavailable = Some(Amount::Count(1));
    dns.budget = Some(Budget { max_unavailable: Some(Amount::Count(1)), ..Budget::default() });
    put_workload(desk, &dns);
    put_service(desk, HOME, "kube-dns", "10.96.0.10", &json!({ "k8s-app": "kube-dns" }), 53);
}

/// A DaemonSet that runs on every node, whatever its taints.
fn put_daemon(desk: &Desk, namespace: &str, name: &str, image: &str, label: &str) {
    let mut daemon = Workload::new(Kind::DaemonSet, namespace, name);
    daemon.image = Some(image.to_owned());
    daemon.labels.insert(label.to_owned(), name.to_owned());
    daemon.priority_class = Some("system-node-critical".to_owned());
    daemon.host_network = true;
    put_workload(desk, &daemon);
    let key = crate::sim::world::Key::new(namespace, name);
    desk.modify(&DAEMON_SETS, &key, |set| {
        set["spec"]["template"]["spec"]["tolerations"] = json!([{ "operator": "Exists" }]);
    });
}

fn put_service(desk: &Desk, namespace: &str, name: &str, address: &str, selector: &Value, port: u16) {
    let mut service = json!({
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "type": "ClusterIP", "clusterIP": address,
            "ports": [{ "name": if port == 443 { "https" } else { "dns" }, "port": port, "protocol": "TCP",
                        "targetPort": if port == 443 { 6443 } else { port } }],
        },
        "status": { "loadBalancer": {} },
    });
    if selector.is_object() {
        service["spec"]["selector"] = selector.clone();
    }
    desk.create(&SERVICES, service);
}

/// The address of a generated Service, the same for the same name.
pub fn service_address(namespace: &str, name: &str) -> String {
    let number = crate::sim::world::fingerprint(&format!("{namespace}/{name}"));
    format!("10.{}.{}.{}", 97 + number % 14, number >> 8 & 0xff, 1 + (number >> 16 & 0xff) % 254)
}

fn put_kubeadm_config(desk: &Desk) {
    let is_spare = |name: &str| desk.specs.get(name).is_some_and(super::NodeSpec::is_spare);
    let first =
        desk.machines.values().find(|machine| machine.is_control_plane() && !is_spare(machine.name()));
    let endpoint = first.map_or("", |machine| machine.address());
    let text = format!(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nclusterName: kubernetes\n\
         kubernetesVersion: {}\ncontrolPlaneEndpoint: {endpoint}:6443\ncertificatesDir: /etc/kubernetes/pki\n\
         etcd:\n  local:\n    dataDir: /var/lib/etcd\nnetworking:\n  dnsDomain: cluster.local\n  \
         podSubnet: 10.244.0.0/13\n  serviceSubnet: 10.96.0.0/12\n",
        desk.cluster.version
    );
    desk.create(&CONFIG_MAPS, json!({
        "metadata": { "name": "kubeadm-config", "namespace": HOME }, "data": { "ClusterConfiguration": text },
    }));
}
