//! Reads how things are, to be held against how they were found.

use super::settings::Backends;
use crate::backend::clock::now;
use crate::backend::error::Error;
use crate::domain::found::{Found, FoundLock, FoundNode};
use crate::domain::ids::NodeName;
use crate::domain::report::FailureKind;

/// The nodes as they are now; when the whole run is looked at, the maintenance lock and the number of pods too.
///
/// # Errors
/// A node or the lock cannot be read; a node that is not there is left out, and pods that cannot be counted are not known.
pub async fn look(backends: &Backends, nodes: &[NodeName], is_whole: bool) -> Result<Found, Error> {
    let cluster = &backends.cluster;
    let mut found = Found { at: now(), ..Found::default() };
    if is_whole {
        let lease = cluster.lease_read(&backends.settings.lease_namespace).await?;
        found.lock = Some(lease.map_or(FoundLock::Free, |row| FoundLock::Held(row.holder)));
    }
    for name in nodes {
        let row = match cluster.node_object(name).await {
            Err(error) if error.kind == FailureKind::NotFound => continue,
            row => row?,
        };
        let pods = if is_whole { cluster.pods_on(name).await.ok() } else { None };
        let node = FoundNode {
            uid: row.uid.clone(),
            cordoned: row.cordoned,
            is_ready: row.is_ready(),
            boot_id: row.boot_id.clone(),
            pods: pods.map(|pods| pods.len()),
        };
        found.nodes.insert(row.name, node);
    }
    Ok(found)
}
