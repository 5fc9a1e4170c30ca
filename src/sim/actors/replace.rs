//! Tools that put a new machine in the place of each old one: `kops rolling-update cluster` and Cluster API.
//!
//! Sources: kops `pkg/instancegroups` (taint, cordon, label, drain, termination, interval, validation twice) and Cluster API's
//! machine deployments (the new machine first, a taint of outdated ones, then the drain of the old one). A new control plane
//! takes over the volume with the etcd member of the old one, as etcd-manager does.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Crew, GaveUp};
use crate::sim::scenario::Reboot;
use crate::sim::store::resources::NODES;
use crate::sim::world::Key;

/// After a drain, until the machine is ended.
const POST_DRAIN: Duration = Duration::from_secs(5);
/// Between two validations that must both succeed.
const VALIDATE_AGAIN: Duration = Duration::from_secs(10);
/// After a validation that failed.
const VALIDATE_LATER: Duration = Duration::from_secs(30);

/// What differs between the tools.
pub struct Style {
    /// Taint of the nodes to come.
    taint: (&'static str, &'static str),
    /// Annotation of the nodes to come.
    annotation: &'static str,
    /// Workers get their successor before they go.
    surges: bool,
}

/// kops.
pub const KOPS: Style = Style {
    taint: ("kops.k8s.io/scheduled-for-update", "PreferNoSchedule"),
    annotation: "kops.k8s.io/needs-update",
    surges: false,
};
/// Cluster API.
pub const CLUSTER_API: Style = Style {
    taint: ("node.cluster.x-k8s.io/outdated-revision", "PreferNoSchedule"),
    annotation: "",
    surges: true,
};

impl Style {
    fn taint(&self) -> Value {
        json!({ "key": self.taint.0, "effect": self.taint.1 })
    }
}

/// Every node in its turn, control planes as a group of their own.
pub async fn roll(crew: &mut Crew, style: &Style) -> Result<(), GaveUp> {
    let turns = crew.turns.clone();
    let count = crew.client.list(&NODES, "").await.len();
    if !style.annotation.is_empty() {
        for name in &turns {
            let mark = json!({ "metadata": { "annotations": { (style.annotation): "" } } });
            crew.change_node(name, &mark, "").await;
        }
    }
    for of_control_planes in [true, false] {
        let group: Vec<&String> =
            turns.iter().filter(|name| crew.node(name).control_plane == of_control_planes).collect();
        for name in &group {
            crew.taint(name, &style.taint(), true).await;
        }
        for name in group {
            replace(crew, style, name, count).await?;
        }
    }
    Ok(())
}

/// The turn of one node.
async fn replace(crew: &mut Crew, style: &Style, old: &str, count: usize) -> Result<(), GaveUp> {
    let (spec, new) = (crew.node(old), crew.successor(old));
    // a control plane never has company: the member is carried over
    let surges = style.surges && !spec.control_plane;
    // a machine that does not return from a reboot does not come up at all
    let comes = spec.reboot != Reboot::NeverReturns;
    if surges && comes {
        crew.pass(crew.spec.launch).await;
        crew.yard.launch(&new.name);
        crew.returned(&new.name, "").await?;
    }
    crew.cordon(old, "").await;
    let mark = json!({ "metadata": { "labels": { "node.kubernetes.io/exclude-from-external-load-balancers": "" } } });
    crew.change_node(old, &mark, "").await;
    crew.drain(old).await?;
    crew.pass(POST_DRAIN).await;
    crew.yard.terminate(old).await;
    crew.client.delete(&NODES, &Key::cluster(old)).await;
    if spec.control_plane {
        crew.yard.carry_member_over(old, &new.name);
    }
    if !surges && comes {
        crew.pass(crew.spec.launch).await;
        crew.yard.launch(&new.name);
    }
    crew.rest(15).await;
    validate(crew, old, count).await
}

/// Waits until the cluster is well, twice in a row.
async fn validate(crew: &Crew, node: &str, count: usize) -> Result<(), GaveUp> {
    let well = async {
        loop {
            if crew.is_well(count).await {
                crew.pass(VALIDATE_AGAIN).await;
                if crew.is_well(count).await {
                    return;
                }
            }
            crew.pass(VALIDATE_LATER).await;
        }
    };
    crew.within(well).await.ok_or_else(|| GaveUp::Validation(node.to_owned()))
}
