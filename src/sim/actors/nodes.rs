//! What actors do to Node objects, and how they see that a cluster is well.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Crew, GaveUp};
use crate::sim::store::resources::{NODES, PODS};
use crate::sim::world::{Key, read};

/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_secs(2);

impl Crew {
    pub(super) async fn change_node(&self, name: &str, patch: &Value, manager: &str) {
        self.client.patch(&NODES, &Key::cluster(name), patch, manager).await;
    }

    pub(super) async fn cordon(&self, name: &str, manager: &str) {
        self.change_node(name, &json!({ "spec": { "unschedulable": true } }), manager).await;
    }

    pub(super) async fn uncordon(&self, name: &str, manager: &str) {
        self.change_node(name, &json!({ "spec": { "unschedulable": null } }), manager).await;
    }

    /// Adds a taint to a node, or takes it away.
    pub(super) async fn taint(&self, name: &str, taint: &Value, is_there: bool) {
        let Some(node) = self.client.get(&NODES, &Key::cluster(name)).await else { return };
        let others = read::items(&node, "/spec/taints").iter().filter(|other| other["key"] != taint["key"]);
        let mut taints: Vec<Value> = others.cloned().collect();
        if is_there {
            taints.push(taint.clone());
        }
        let taints = if taints.is_empty() { Value::Null } else { taints.into() };
        self.change_node(name, &json!({ "spec": { "taints": taints } }), "").await;
    }

    /// Waits until a node is Ready after a boot other than `boot_id`; false when that takes longer than the actor waits.
    pub(super) async fn returned(&self, name: &str, boot_id: &str) -> Result<(), GaveUp> {
        let back = async {
            loop {
                let node = self.client.get(&NODES, &Key::cluster(name)).await.unwrap_or_default();
                let booted = read::text(&node, "/status/nodeInfo/bootID");
                if read::is_ready(&node) && !booted.is_empty() && booted != boot_id {
                    return;
                }
                self.pass(LOOK).await;
            }
        };
        self.within(back).await.ok_or_else(|| GaveUp::Validation(name.to_owned()))
    }

    /// What comes of `wait`; none when it takes longer than the actor waits.
    pub(super) async fn within<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        match self.spec.patience {
            Some(patience) => tokio::time::timeout(self.pace.of(patience.0), wait).await.ok(),
            None => Some(wait.await),
        }
    }

    /// Whether there are so many nodes, every one of them Ready, and every system-critical pod with them.
    pub(super) async fn is_well(&self, count: usize) -> bool {
        let nodes = self.client.list(&NODES, "").await;
        if nodes.len() < count || !nodes.iter().all(read::is_ready) {
            return false;
        }
        let pods = self.client.list(&PODS, "").await;
        let critical = pods.iter().filter(|pod| {
            read::text(pod, "/spec/priorityClassName").starts_with("system-")
                && read::phase(pod) != "Succeeded"
        });
        critical.into_iter().all(|pod| read::is_ready(pod) && !read::is_deleting(pod))
    }
}
