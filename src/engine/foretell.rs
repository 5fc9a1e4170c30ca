//! Reads what a forecast needs, and makes it.

use crate::backend::clock::now;
use crate::backend::error::Error;
use crate::backend::kube::Cluster;
use crate::domain::config::DrainOptions;
use crate::domain::drain::{Class, Expectation, Forecast, forecast};
use crate::domain::ids::NodeName;
use crate::domain::pod::PodRow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// What a drain of a node would meet now.
///
/// # Errors
/// Pods, budgets or a `DaemonSet` cannot be read.
pub async fn foretell(
    cluster: &Cluster,
    node: &NodeName,
    options: &DrainOptions,
) -> Result<Vec<Forecast>, Error> {
    let pods = cluster.pods().await?;
    let budgets = cluster.budgets().await?;
    let here: Vec<&PodRow> = pods.iter().filter(|pod| pod.node.as_ref() == Some(node)).collect();
    let mut daemonsets: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    for pod in here.iter().filter(|pod| pod.is_daemon()) {
        let Some(owner) = &pod.owner else { continue };
        let key = (pod.key.namespace.as_str(), owner.name.as_str());
        if let Entry::Vacant(unknown) = daemonsets.entry(key) {
            unknown.insert(cluster.daemonset_exists(key.0, key.1).await?);
        }
    }
    let exists = |pod: &PodRow| {
        let owner = pod.owner.as_ref();
        let key = owner.map(|owner| (pod.key.namespace.as_str(), owner.name.as_str()));
        key.is_none_or(|key| daemonsets.get(&key).copied().unwrap_or(true))
    };
    Ok(forecast(here.iter().copied(), &pods, &budgets, options, &exists, now()))
}

/// One pod's forecast in one line.
pub fn line(pod: &Forecast) -> String {
    let words = match (&pod.class, &pod.expectation) {
        (Class::Skip(why), _) => format!("stays: {}", why.join("; ")),
        (Class::Terminating, _) => "is going already".to_owned(),
        (Class::Finished, _) => "has ended, is removed".to_owned(),
        (_, Expectation::Moves) => "moves".to_owned(),
        (_, Expectation::Waits(budget, why)) => format!("waits for budget {budget}: {why}"),
        (_, Expectation::Blocked(Some(budget), why)) => format!("blocked by budget {budget}: {why}"),
        (_, Expectation::Blocked(None, why)) => format!("refused: {why}"),
        (_, Expectation::Stays) => "stays".to_owned(),
    };
    format!("{}: {words}", pod.pod)
}
