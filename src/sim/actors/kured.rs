//! kured: each node reboots by itself when its sentinel says so, one at a time under a lock on kured's DaemonSet.
//!
//! Source: kured `cmd/kured` and `pkg/daemonsetlock` (annotations, order of cordon, drain, reboot, uncordon, release). The
//! back-off after a refused eviction is kubectl's, not kured's.

use serde_json::{Value, json};

use super::{Crew, GaveUp};
use crate::sim::scenario::Action;
use crate::sim::store::clock;
use crate::sim::store::resources::{DAEMON_SETS, NODES};
use crate::sim::world::{Key, read};

const LOCK: &str = "weave.works/kured-node-lock";
const NEEDED: &str = "weave.works/kured-most-recent-reboot-needed";
const UNDER_WAY: &str = "weave.works/kured-reboot-in-progress";

/// Every node in its turn.
pub async fn reboot_all(crew: &mut Crew) -> Result<(), GaveUp> {
    let turns = crew.turns.clone();
    for name in &turns {
        crew.yard.mark_host(name, true, None);
    }
    for name in &turns {
        reboot(crew, name).await?;
        crew.rest(60).await;
    }
    Ok(())
}

async fn reboot(crew: &mut Crew, name: &str) -> Result<(), GaveUp> {
    let node = crew.client.get(&NODES, &Key::cluster(name)).await.unwrap_or_default();
    let was_cordoned = node["spec"]["unschedulable"] == true;
    let now = clock::seconds(crew.yard.now());
    let holder = json!({
        "nodeID": name, "metadata": { "unschedulable": was_cordoned }, "created": now, "TTL": 0,
    });
    lock(crew, &holder.to_string().into()).await;
    let marks = json!({ "metadata": { "annotations": { (NEEDED): now, (UNDER_WAY): now } } });
    crew.change_node(name, &marks, "").await;
    crew.cordon(name, "").await;
    crew.drain(name).await?;
    let boot_id = crew.yard.boot_id(name);
    let (version, kernel, os) = (crew.spec.version.clone(), crew.spec.kernel.clone(), crew.spec.os.clone());
    let software =
        Action::Software { node: name.to_owned(), version, kernel: kernel.clone(), os, restart: false };
    crew.yard.act(software).await;
    crew.yard.reboot(name);
    crew.returned(name, &boot_id).await?;
    crew.yard.mark_host(name, false, kernel.as_deref());
    // the agent on the node starts again, finds its own lock and undoes what it did
    crew.pass(std::time::Duration::from_secs(5)).await;
    if !was_cordoned {
        crew.uncordon(name, "").await;
    }
    crew.change_node(name, &json!({ "metadata": { "annotations": { (UNDER_WAY): null } } }), "").await;
    lock(crew, &Value::Null).await;
    Ok(())
}

/// Takes the lock, or releases it (null).
async fn lock(crew: &Crew, holder: &Value) {
    let sets = crew.client.list(&DAEMON_SETS, "").await;
    if let Some(agent) = sets.iter().find(|set| read::name(set) == "kured") {
        let patch = json!({ "metadata": { "annotations": { (LOCK): holder } } });
        crew.client.patch(&DAEMON_SETS, &Key::of(agent), &patch, "").await;
    }
}
