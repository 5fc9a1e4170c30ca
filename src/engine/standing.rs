//! How what a run left is now: its journal's word held against the cluster. Reads only.

use super::journal::Record;
use crate::backend::clock::now;
use crate::backend::error::Error;
use crate::backend::kube::Cluster;
use crate::domain::debt::{Debt, MARK};
use crate::domain::ids::{NodeName, RunId};
use crate::domain::node::NodeRow;
use crate::domain::report::FailureKind;
use crate::domain::standing::{About, Leftover, Reading, Standing};
use futures::future::join_all;
use std::time::Duration;

/// Reading all that one run left may take this long.
const READING: Duration = Duration::from_secs(5);

/// What an object from which something was borrowed says now.
///
/// # Errors
/// It cannot be read.
pub async fn read(cluster: &Cluster, debt: &Debt) -> Result<Reading, Error> {
    let read = match debt {
        Debt::NodesMarked { nodes } => cluster.node_objects().await.map(|rows| {
            let is_marked = |name: &&NodeName| {
                let row = rows.iter().find(|row| row.name == **name);
                row.is_some_and(|row| row.taints.iter().any(|taint| taint.starts_with(MARK)))
            };
            Reading::Marked(nodes.iter().filter(is_marked).cloned().collect())
        }),
        Debt::BudgetChanged { budget, uid, .. } => cluster
            .budget(budget)
            .await
            .map(|now| if now.row.uid == *uid { Reading::Budget(now.spec) } else { Reading::Another }),
        Debt::OwnerScaled { owner, .. } => cluster
            .scale(owner)
            .await
            .map(|now| if now.uid == owner.uid { Reading::Count(now.replicas) } else { Reading::Another }),
        Debt::HpaRaised { autoscaler, .. } => cluster.bound(autoscaler).await.map(|now| {
            if now.uid == autoscaler.uid { Reading::Count(now.min.unwrap_or(1)) } else { Reading::Another }
        }),
    };
    match read {
        Err(error) if error.kind == FailureKind::NotFound => Ok(Reading::Gone),
        read => read,
    }
}

/// Everything that a run left, each with how it is now. The maintenance lock is looked for in `namespace`.
pub async fn verify(cluster: &Cluster, namespace: &str, record: &Record) -> Vec<Leftover> {
    let look = async |(what, about): (String, About)| {
        let found = tokio::time::timeout(READING, look(cluster, namespace, &record.header.run, &about)).await;
        let now = match found {
            Ok(Ok(now)) => now,
            Ok(Err(error)) => Some(Standing::Unknown(error.to_string())),
            Err(_) => Some(Standing::Unknown("its cluster does not answer".to_owned())),
        };
        Leftover { what, now }
    };
    join_all(record.claims().into_iter().map(look)).await
}

/// The same where the cluster cannot be asked at all, and why.
pub fn unknown(record: &Record, why: &str) -> Vec<Leftover> {
    let now = |about: &About| (*about != About::Told).then(|| Standing::Unknown(why.to_owned()));
    record.claims().into_iter().map(|(what, about)| Leftover { what, now: now(&about) }).collect()
}

async fn look(
    cluster: &Cluster,
    namespace: &str,
    run: &RunId,
    about: &About,
) -> Result<Option<Standing>, Error> {
    Ok(Some(match about {
        About::Told => return Ok(None),
        About::Debt(debt) => debt.standing(&read(cluster, debt).await?),
        About::Lock => match cluster.lease_read(namespace).await? {
            None => Standing::PutBack,
            Some(row) if row.run.as_ref() == Some(run) => Standing::Still,
            Some(row) => Standing::Changed(format!("it is held by {}", row.words(now()))),
        },
        About::Cordon(node) => with(cluster, node, |row| cordon(row, run)).await?,
        About::Opened(node) => with(cluster, node, opened).await?,
    }))
}

async fn with(
    cluster: &Cluster,
    node: &NodeName,
    judge: impl FnOnce(&NodeRow) -> Standing,
) -> Result<Standing, Error> {
    match cluster.node_object(node).await {
        Err(error) if error.kind == FailureKind::NotFound => {
            Ok(Standing::Changed("the node is gone".to_owned()))
        }
        row => Ok(judge(&row?)),
    }
}

fn cordon(row: &NodeRow, run: &RunId) -> Standing {
    match &row.cordon {
        _ if !row.cordoned => Standing::PutBack,
        Some(note) if note.run.as_ref() == Some(run) => Standing::Still,
        Some(note) => {
            let of = note.run.as_ref().map(|run| format!(" for run {run}")).unwrap_or_default();
            Standing::Changed(format!("it is cordoned by {}{of}", note.holder))
        }
        None => Standing::Changed("it is cordoned, not by this run".to_owned()),
    }
}

fn opened(row: &NodeRow) -> Standing {
    if row.cordoned { Standing::PutBack } else { Standing::Still }
}
