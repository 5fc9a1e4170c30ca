//! What the API tells of the control plane itself: its pods with their arguments, and the configuration that kubeadm keeps.

use super::Cluster;
use super::request::{Ask, path};
use super::rows::nullable;
use crate::backend::error::Error;
use crate::domain::etcd::place::ControlPod;
use crate::domain::ids::NodeName;
use crate::domain::report::FailureKind;
use crate::domain::text::clean;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Where control planes run as pods: namespace and labels.
const PODS: [(&str, &str); 3] = [
    ("kube-system", "component in (etcd,kube-apiserver)"),
    ("kube-system", "k8s-app in (etcd-manager-main,etcd-manager-events,kube-apiserver)"),
    ("openshift-etcd", "app=etcd"),
];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ListWire {
    #[serde(deserialize_with = "nullable")]
    items: Vec<PodWire>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodWire {
    metadata: MetaWire,
    #[serde(deserialize_with = "nullable")]
    spec: SpecWire,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MetaWire {
    namespace: String,
    name: String,
    uid: String,
    #[serde(deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SpecWire {
    node_name: Option<String>,
    #[serde(deserialize_with = "nullable")]
    containers: Vec<ContainerWire>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerWire {
    #[serde(deserialize_with = "nullable")]
    command: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    args: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigMapWire {
    #[serde(deserialize_with = "nullable")]
    data: BTreeMap<String, String>,
}

impl From<PodWire> for ControlPod {
    fn from(wire: PodWire) -> Self {
        let words = wire.spec.containers.into_iter().flat_map(|one| [one.command, one.args].concat());
        Self {
            namespace: clean(&wire.metadata.namespace),
            name: clean(&wire.metadata.name),
            uid: clean(&wire.metadata.uid),
            node: wire.spec.node_name.map(|name| NodeName(clean(&name))),
            labels: wire.metadata.labels.iter().map(|(key, value)| (clean(key), clean(value))).collect(),
            words: words.map(|word| clean(&word)).collect(),
        }
    }
}

impl Cluster {
    /// The pods of etcd and of the API servers.
    ///
    /// # Errors
    /// One of the lists cannot be read.
    pub async fn control_pods(&self) -> Result<Vec<ControlPod>, Error> {
        let mut pods = Vec::new();
        for (namespace, labels) in PODS {
            let list = path(&["api", "v1", "namespaces", namespace, "pods"]);
            let ask = Ask::list("list the control plane's pods", list).query("labelSelector", labels);
            let wire: ListWire = self.inner.fetch(&ask).await?;
            pods.extend(wire.items.into_iter().map(ControlPod::from));
        }
        Ok(pods)
    }

    /// The data of a ConfigMap, as it is; `None` = there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn config_map(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<BTreeMap<String, String>>, Error> {
        let place = path(&["api", "v1", "namespaces", namespace, "configmaps", name]);
        match self.inner.fetch::<ConfigMapWire>(&Ask::get("read config map", name, place)).await {
            Ok(wire) => Ok(Some(wire.data)),
            Err(error) if error.kind == FailureKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
