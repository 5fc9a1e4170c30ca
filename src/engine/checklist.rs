//! Goes through the checklist of components: from a reading that was made anyway, or by asking.

use super::gate::Scene;
use super::settings::Backends;
use crate::domain::checklist::{self, Component, compare, worse};
use crate::domain::feed::Row;
use crate::domain::report::Report;
use std::time::Duration;
use tokio::time::Instant;

/// After a maintenance, what is short may still be starting for so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// From a reading for the gates.
///
/// # Errors
/// Nodes, pods or DaemonSets could not be read: nothing can be told.
pub fn of(scene: &Scene) -> Result<Vec<Component>, Report> {
    let pods = scene.pods.as_ref().map_err(Clone::clone)?;
    let nodes = scene.nodes.as_ref().map_err(Clone::clone)?;
    let daemons = scene.daemons.as_ref().map_err(Clone::clone)?;
    Ok(checklist::count(&scene.settings.components, nodes, pods, daemons))
}

/// By asking now.
///
/// # Errors
/// Nodes, pods or DaemonSets cannot be read.
pub async fn count(backends: &Backends) -> Result<Vec<Component>, Report> {
    let cluster = &backends.cluster;
    let (nodes, pods, daemons) = futures::join!(cluster.node_objects(), cluster.pods(), cluster.daemons());
    let nodes = nodes?.into_iter().map(|row| (row.key(), row)).collect();
    Ok(checklist::count(&backends.settings.components, &nodes, &pods?, &daemons?.0))
}

/// Counts again and holds it against what was counted before; waits a while for what is short.
///
/// # Errors
/// It cannot be counted.
pub async fn count_after(backends: &Backends, before: &[Component]) -> Result<Vec<Component>, Report> {
    let begun = Instant::now();
    loop {
        let now = compare(before, count(backends).await?);
        if worse(&now).is_empty() || begun.elapsed() >= PATIENCE {
            return Ok(now);
        }
        tokio::time::sleep(backends.settings.timing.poll).await;
    }
}
