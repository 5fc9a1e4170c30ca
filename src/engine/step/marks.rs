//! Marks the nodes to come in a roll, and takes the marks away: a debt of the roll as long as one is left.

use crate::backend::error::Error;
use crate::domain::debt::Debt;
use crate::domain::ids::NodeName;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, StepState};
use crate::domain::text::count;
use crate::engine::job::{Ending, Job};

/// Marks every node whose turn is to come.
pub(super) async fn mark(job: &Job) -> Ending {
    let open: Vec<NodeName> = job
        .shared
        .voice
        .look(|view| {
            let turns = view.roll.iter().flat_map(|roll| roll.turns.iter());
            let is_open = |step: usize| {
                view.steps.get(step).is_some_and(|step| !matches!(step.state, StepState::Ended(..)))
            };
            turns.filter(|turn| is_open(turn.step)).map(|turn| turn.node.clone()).collect()
        })
        .unwrap_or_default();
    // on the disk before the first is marked
    owe(job, open.clone()).await?;
    for (done, node) in open.iter().enumerate() {
        job.say(format!("{done} of {} marked", count(open.len(), "node")));
        let change = format!("mark {node}");
        let request = || job.change(&change, job.backends().cluster.mark(node, true, job.permit()));
        match job.patiently("marking", request).await {
            Ok(_) => {}
            Err(report) if report.kind == FailureKind::NotFound => {}
            Err(report) => {
                return Err(report.hint(
                    "the role needs patch on nodes; without the marks (K) pods may move more than once",
                ));
            }
        }
    }
    Ok(Outcome::Done(format!("{} marked", count(open.len(), "node"))))
}

/// Takes away every mark that is left.
pub(super) async fn take_away(job: &Job) -> Ending {
    let marked: Vec<NodeName> = job
        .memory()
        .debts
        .into_iter()
        .flat_map(|debt| match debt {
            Debt::NodesMarked { nodes } => nodes,
            _ => Vec::new(),
        })
        .collect();
    if marked.is_empty() {
        return Ok(Outcome::Skipped("no node is marked any more".to_owned()));
    }
    for node in &marked {
        job.patiently("taking marks away", || unmark(job, node)).await?;
        paid(job, node).await?;
    }
    Ok(Outcome::Done(format!("the marks of {} are taken away", count(marked.len(), "node"))))
}

/// Takes the mark of one node away, at the end of its turn.
pub(in crate::engine) async fn take_mark(job: &Job, node: &NodeName) -> Result<(), Report> {
    unmark(job, node).await?;
    paid(job, node).await
}

/// The same of several nodes, for an abort; what was done, in words.
pub(in crate::engine) async fn take_marks(job: &Job, nodes: &[NodeName]) -> Result<String, Error> {
    for node in nodes {
        unmark(job, node).await?;
    }
    Ok(format!("the marks of {} are taken away", count(nodes.len(), "node")))
}

async fn unmark(job: &Job, node: &NodeName) -> Result<(), Error> {
    let request = job.backends().cluster.mark(node, false, job.permit());
    match job.restore(&format!("unmark {node}"), request).await {
        Err(error) if error.kind == FailureKind::NotFound => Ok(()),
        answer => answer.map(drop),
    }
}

async fn owe(job: &Job, nodes: Vec<NodeName>) -> Result<(), Report> {
    job.remember(|memory| {
        memory.debts.retain(|debt| !matches!(debt, Debt::NodesMarked { .. }));
        if !nodes.is_empty() {
            memory.debts.push(Debt::NodesMarked { nodes });
        }
    })?;
    job.tell_debts().await;
    Ok(())
}

async fn paid(job: &Job, node: &NodeName) -> Result<(), Report> {
    job.remember(|memory| {
        for debt in &mut memory.debts {
            if let Debt::NodesMarked { nodes } = debt {
                nodes.retain(|marked| marked != node);
            }
        }
        memory.debts.retain(|debt| !matches!(debt, Debt::NodesMarked { nodes } if nodes.is_empty()));
    })?;
    job.tell_debts().await;
    Ok(())
}
