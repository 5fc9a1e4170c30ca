//! Reads what a forecast needs, and makes it. Nothing is written.

use crate::backend::clock::now;
use crate::backend::error::Error;
use crate::backend::kube::Cluster;
use crate::domain::budget::BudgetRow;
use crate::domain::config::DrainOptions;
use crate::domain::drain::Class;
use crate::domain::feed::{Row, Table, apply};
use crate::domain::forecast::{Expectation, Forecast, NodeForecast, Scene, Verdict, foresee_in_waves};
use crate::domain::ids::NodeName;
use crate::domain::placement::VolumeRow;
use crate::domain::pod::PodRow;
use crate::domain::report::FailureKind;
use crate::domain::wave::Admission;
use futures::StreamExt;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// So long a budget's status may take to catch up with its spec before it counts as not known. The disruption
/// controller needs far less where it works.
const CATCH_UP: Duration = Duration::from_secs(2);

/// A forecast, and what it could not rest on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Foretold {
    /// Node by node, in the order in which they are drained.
    pub nodes: Vec<NodeForecast>,
    /// What could not be read, each in a sentence.
    pub notes: Vec<String>,
}

impl Foretold {
    /// The answer for all of it.
    pub fn verdict(&self) -> Verdict {
        Verdict::of_all(self.nodes.iter().map(|node| &node.verdict))
    }

    /// Pods whose replacement no node takes.
    pub fn homeless(&self) -> impl Iterator<Item = &Forecast> {
        self.nodes.iter().flat_map(NodeForecast::homeless)
    }

    /// Whether something is known to stand in the way: a drain that does not finish, a pod that could not run again.
    pub fn has_findings(&self) -> bool {
        self.verdict().is_blocked() || self.homeless().next().is_some()
    }
}

/// What draining nodes one after the other would meet now.
///
/// # Errors
/// Nodes, pods, budgets or a `DaemonSet` cannot be read.
pub async fn foretell(
    cluster: &Cluster,
    targets: &[NodeName],
    options: &DrainOptions,
) -> Result<Foretold, Error> {
    foretell_in_waves(cluster, &[targets.to_vec()], options).await
}

/// What draining nodes would meet that are away together, wave by wave: those of a wave stay cordoned until all of it is
/// drained, and are back before the next one, which finds the pods where the earlier waves have put them.
///
/// # Errors
/// As [`foretell`].
pub async fn foretell_in_waves(
    cluster: &Cluster,
    waves: &[Vec<NodeName>],
    options: &DrainOptions,
) -> Result<Foretold, Error> {
    let targets: Vec<NodeName> = waves.concat();
    let (nodes, pods, budgets, admission) =
        futures::join!(cluster.node_objects_lately(), cluster.pods(), cluster.budgets(), cluster.admission());
    let (nodes, pods, mut budgets) = (nodes?, pods?, budgets?);
    let here: Vec<&PodRow> =
        pods.iter().filter(|pod| pod.node.as_ref().is_some_and(|node| targets.contains(node))).collect();
    if is_stale(&budgets, &here) {
        budgets = caught_up(cluster, budgets, &here).await;
    }
    let mut notes = Vec::new();
    let volumes = volumes(cluster, &here, &mut notes).await?;
    let admission = match admission {
        Err(error) if error.kind == FailureKind::Forbidden => {
            notes.push(format!("which pods serve admission webhooks is not known: {error}"));
            Admission::default()
        }
        admission => admission?,
    };
    let scene = Scene {
        nodes: nodes.iter().collect(),
        pods: pods.iter().collect(),
        budgets: budgets.iter().collect(),
        volumes: volumes.as_ref().map(|rows| rows.iter().collect()),
        lost_daemonsets: lost_daemonsets(cluster, &here).await?,
        admission,
        now: now(),
    };
    Ok(Foretold { nodes: foresee_in_waves(&scene, waves, options), notes })
}

fn is_stale(budgets: &[BudgetRow], here: &[&PodRow]) -> bool {
    budgets.iter().any(|budget| !budget.is_current() && here.iter().any(|pod| budget.covers(pod)))
}

/// The budgets once the status of those that matter is of their present spec, or as they are after some time.
async fn caught_up(cluster: &Cluster, budgets: Vec<BudgetRow>, here: &[&PodRow]) -> Vec<BudgetRow> {
    let until = Instant::now() + CATCH_UP;
    let mut table: Table<BudgetRow> = budgets.into_iter().map(|row| (row.key(), row)).collect();
    let mut feed = cluster.watch_budgets();
    while let Ok(Some(Ok(delta))) = timeout_at(until, feed.next()).await {
        apply(&mut table, delta);
        let rows: Vec<BudgetRow> = table.values().cloned().collect();
        if !is_stale(&rows, here) {
            return rows;
        }
    }
    table.into_values().collect()
}

/// The volumes that are tied to nodes, where a pod to be moved has one. Who may not list them is told so.
async fn volumes(
    cluster: &Cluster,
    here: &[&PodRow],
    notes: &mut Vec<String>,
) -> Result<Option<Vec<VolumeRow>>, Error> {
    if here.iter().all(|pod| pod.claims.is_empty()) {
        return Ok(Some(Vec::new()));
    }
    match cluster.volumes().await {
        Ok(rows) => Ok(Some(rows)),
        Err(error) if error.kind == FailureKind::Forbidden => {
            notes.push(format!("whether volumes tie pods to their node is not known: {error}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn lost_daemonsets(cluster: &Cluster, here: &[&PodRow]) -> Result<BTreeSet<(String, String)>, Error> {
    let named: BTreeSet<(String, String)> = here
        .iter()
        .filter(|pod| pod.is_daemon())
        .filter_map(|pod| Some((pod.key.namespace.clone(), pod.owner.as_ref()?.name.clone())))
        .collect();
    let mut lost = BTreeSet::new();
    for (namespace, name) in named {
        if !cluster.daemonset_exists(&namespace, &name).await? {
            lost.insert((namespace, name));
        }
    }
    Ok(lost)
}

/// One pod's forecast in one line.
pub fn line(pod: &Forecast) -> String {
    format!("{}: {}", pod.pod, words(pod))
}

/// What is expected of a pod, without its name.
pub fn words(pod: &Forecast) -> String {
    let by = |budget: &Option<_>| match budget {
        Some(budget) => format!("budget {budget}: "),
        None => String::new(),
    };
    match (&pod.class, &pod.expectation) {
        (Class::Skip(why), _) => format!("stays: {}", why.join("; ")),
        (Class::Refuse(why), _) => format!("refused: {}", why.join("; ")),
        (_, Expectation::Waits { budget, why }) => format!("waits for budget {budget}: {why}"),
        (_, Expectation::Blocked { budget, why, helps }) => {
            let wait = match helps {
                None => "waiting does not help".to_owned(),
                Some(when) => format!("waiting helps only if {when}"),
            };
            format!("blocked by {}{why}; {wait}", by(budget))
        }
        (_, Expectation::Unclear { budget, why }) => format!("cannot tell: {}{why}", by(budget)),
        (_, Expectation::Stays) => "stays".to_owned(),
        (Class::Terminating, Expectation::Moves) => "is going already".to_owned(),
        (Class::Finished, Expectation::Moves) => "has ended, is removed".to_owned(),
        (Class::Evict, Expectation::Moves) => "goes at once".to_owned(),
    }
}

/// How many of a node's pods do what: `11 pods: 5 go at once, 1 waits, 2 blocked, 3 stay`.
pub fn counts(pods: &[Forecast]) -> String {
    let of = |wanted: fn(&Expectation) -> bool| pods.iter().filter(|pod| wanted(&pod.expectation)).count();
    let parts = [
        (of(|one| matches!(one, Expectation::Moves)), "go at once"),
        (of(|one| matches!(one, Expectation::Waits { .. })), "wait"),
        (of(|one| matches!(one, Expectation::Blocked { .. })), "blocked"),
        (of(|one| matches!(one, Expectation::Unclear { .. })), "unclear"),
        (of(|one| matches!(one, Expectation::Stays)), "stay"),
    ];
    let words: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let total = crate::domain::text::count(pods.len(), "pod");
    if words.is_empty() { total } else { format!("{total}: {}", words.join(", ")) }
}
