//! Reads what a diagnosis needs. Only the budget and its pods must be readable; whatever else is not is told as unknown.

use crate::backend::clock::now;
use crate::backend::error::Error;
use crate::backend::kube::Cluster;
use crate::domain::feed::Row;
use crate::domain::ids::{BudgetKey, NodeName};
use crate::domain::node::NodeRow;
use crate::domain::pod::PodRow;
use crate::domain::remedy::facts::{Covered, Facts, Known, Workload, is_on_cordoned};
use crate::domain::remedy::room::{pins, room};
use crate::domain::report::FailureKind;
use std::collections::BTreeMap;

/// What an error is about that says of itself what was not found.
pub(super) const LOOKUP: &str = "look it up";

/// The facts about a budget. The pods that are to move are those on cordoned nodes, or the ones named.
///
/// # Errors
/// The budget, its pods or the other budgets cannot be read; a named pod is not there, or not covered.
pub async fn read(cluster: &Cluster, key: &BudgetKey, named: &[String]) -> Result<Facts, Error> {
    let detail = cluster.budget(key).await.map_err(|error| absent(key, error))?;
    let of_namespace = cluster.pods_in(&key.namespace);
    let (pods, budgets, nodes) = futures::join!(of_namespace, cluster.budgets(), cluster.nodes());
    let (everywhere, volumes, version) = futures::join!(cluster.pods(), cluster.volumes(), cluster.version());
    let (controller, ends) = futures::join!(cluster.controller_age(), cluster.namespace_ends(&key.namespace));
    let nodes: Known<BTreeMap<NodeName, NodeRow>> =
        nodes.map(|rows| rows.into_iter().map(|row| (row.key(), row)).collect()).map_err(words);
    let budget = detail.row;
    let rows: Vec<PodRow> =
        pods?.into_iter().filter(|row| !row.is_finished() && budget.covers(row)).collect();
    check_named(key, named, &rows)?;
    let none = BTreeMap::new();
    let known = nodes.as_ref().unwrap_or(&none);
    let mut covered = Vec::new();
    for row in rows {
        let is_target =
            if named.is_empty() { is_on_cordoned(&row, known) } else { named.contains(&row.key.name) };
        let pins = volumes.as_ref().map(|volumes| pins(&row, known, volumes)).unwrap_or_default();
        covered.push(Covered { row, is_target, pins, version: String::new() });
    }
    covered.sort_by(|a, b| a.row.key.cmp(&b.row.key));
    let workloads = workloads(cluster, key, &covered).await.map_err(words);
    let sample = covered.iter().find(|pod| pod.is_target).or_else(|| covered.first());
    let room = match (&nodes, &everywhere, sample) {
        (Ok(nodes), Ok(all), Some(sample)) => Ok(room(&sample.row, nodes, all)),
        (_, _, None) => Ok(Vec::new()),
        (Err(why), ..) => Err(why.clone()),
        (_, Err(error), _) => Err(error.to_string()),
    };
    let mut facts = Facts {
        now: now(),
        spec: detail.spec,
        keepers: detail.keepers,
        pods: covered,
        others: budgets?
            .into_iter()
            .filter(|other| other.key != *key && other.key.namespace == key.namespace)
            .collect(),
        workloads,
        nodes,
        controller: controller.map_err(words),
        ends: ends.map_err(words),
        minor: version.map_err(words).and_then(|text| minor(&text)),
        room,
        budget,
    };
    seen_versions(cluster, &mut facts).await?;
    Ok(facts)
}

/// A pod that is not Ready may be deleted as it was seen: in that very version.
async fn seen_versions(cluster: &Cluster, facts: &mut Facts) -> Result<(), Error> {
    for pod in facts.pods.iter_mut().filter(|pod| pod.is_target && !pod.row.ready) {
        if let Some((row, version)) = cluster.pod_as_is(&pod.row.key).await? {
            pod.row = row;
            pod.version = version;
        }
    }
    Ok(())
}

fn words(error: Error) -> String {
    error.to_string()
}

fn absent(key: &BudgetKey, error: Error) -> Error {
    if error.kind != FailureKind::NotFound {
        return error;
    }
    Error::new(FailureKind::NotFound, LOOKUP, "", format!("there is no disruption budget {key}"))
}

fn check_named(key: &BudgetKey, named: &[String], rows: &[PodRow]) -> Result<(), Error> {
    let missing = named.iter().find(|name| !rows.iter().any(|row| row.key.name == **name));
    match missing {
        None => Ok(()),
        Some(name) => {
            let words = format!("{}/{name} is no pod that budget {key} covers", key.namespace);
            Err(Error::new(FailureKind::NotFound, LOOKUP, "", words))
        }
    }
}

/// The distinct workloads behind the pods.
async fn workloads(cluster: &Cluster, key: &BudgetKey, pods: &[Covered]) -> Result<Vec<Workload>, Error> {
    let mut found: Vec<Workload> = Vec::new();
    for owner in pods.iter().filter_map(|pod| pod.row.owner.as_ref()) {
        if found.iter().any(|workload| workload.uids.contains(&owner.uid)) {
            continue;
        }
        let workload = match cluster.workload(&key.namespace, owner).await {
            Ok(workload) => workload,
            // an owner that is gone: its pods are orphans until they are collected
            Err(error) if error.kind == FailureKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        match found.iter_mut().find(|known| known.key == workload.key) {
            Some(known) => known.uids.extend(workload.uids),
            None => found.push(workload),
        }
    }
    Ok(found)
}

/// `v1.34.2` → 34.
fn minor(version: &str) -> Known<u32> {
    version
        .trim_start_matches('v')
        .split('.')
        .nth(1)
        .and_then(|text| text.trim_end_matches(|ch: char| !ch.is_ascii_digit()).parse().ok())
        .ok_or_else(|| format!("the server's version {version} cannot be read"))
}
