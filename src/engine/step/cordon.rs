//! Makes a node unschedulable, and schedulable again when it was this run that changed it.

use crate::backend::clock::now;
use crate::backend::error::Error;
use crate::domain::ids::RunId;
use crate::domain::node::{CordonNote, NodeRow};
use crate::domain::plan::Kind;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, RunView};
use crate::engine::job::{Ending, Job};

/// Whether the node's cordon is of this run, by the note on the node itself: the node was schedulable before.
pub(super) fn is_ours(job: &Job, row: &NodeRow) -> bool {
    let is_of_run = |run: &RunId| *run == job.shared.run || is_of_turn(job, run);
    row.cordon
        .as_ref()
        .is_some_and(|note| note.run.as_ref().is_some_and(is_of_run) && note.prior_cordoned != Some(true))
}

/// Whether it is the run of a node of this roll.
fn is_of_turn(job: &Job, run: &RunId) -> bool {
    let turns = |view: &RunView| {
        view.roll.as_ref().is_some_and(|roll| roll.turns.iter().any(|turn| turn.run.as_ref() == Some(run)))
    };
    job.shared.voice.look(turns).unwrap_or(false)
}

/// Whether the cordon was left behind by the very run whose lock this run took over, on a node that was schedulable
/// before: then it is for this run to take it back.
fn is_inherited(job: &Job, row: &NodeRow) -> bool {
    let from = job.memory().took_over;
    let is_of = |note: &CordonNote| note.run.is_some() && note.run == from;
    row.cordon.as_ref().is_some_and(|note| is_of(note) && note.prior_cordoned == Some(false))
}

pub(super) fn by_whom(row: &NodeRow) -> String {
    match &row.cordon {
        Some(note) => {
            let reason = note.reason.as_deref().map_or_else(String::new, |why| format!(" ({why})"));
            format!("by {}{reason}", note.holder)
        }
        None => "by nobody who can be named".to_owned(),
    }
}

/// Cordons the node, unless somebody else did before: then it stays theirs.
pub(super) async fn cordon(job: &Job) -> Ending {
    let node = job.node()?;
    let read = job.patiently("reading the node", || job.backends().cluster.node_object(node)).await;
    let row = read.map_err(|report| super::hold::explain(report, node))?;
    same_node(job, &row)?;
    if job.memory().cordoned.contains(node) && !row.cordoned {
        // trying again is the engineer's word that it shall be so once more
        job.remember(|memory| memory.note_cordon(node, false))?;
        let words = format!("{node} is schedulable: somebody uncordoned it after this run had cordoned it");
        return Err(Report::new(FailureKind::Conflict, words)
            .hint("find out who; then abort, or try again, which cordons it anew"));
    }
    let is_inherited = is_inherited(job, &row);
    if row.cordoned && !is_ours(job, &row) && !is_inherited {
        return Ok(Outcome::Skipped(format!(
            "{node} is cordoned already, {}; it stays so at the end",
            by_whom(&row)
        )));
    }
    let mut fresh = Some(row.clone());
    let row = job.patiently("cordoning", || attempt(job, &row, fresh.take())).await.map_err(explain)?;
    if row.cordoned && !is_ours(job, &row) {
        return Ok(Outcome::Skipped(format!(
            "{node} was cordoned meanwhile, {}; it stays so at the end",
            by_whom(&row)
        )));
    }
    if !row.cordoned {
        return Err(Report::new(
            FailureKind::Unexpected,
            format!("{node} is still schedulable after the cordon"),
        ));
    }
    job.remember(|memory| memory.note_cordon(node, true))?;
    let how = if is_inherited {
        "stays unschedulable, taken over from the earlier run"
    } else {
        "is unschedulable"
    };
    Ok(Outcome::Done(format!("{node} {how}; it was schedulable before")))
}

/// The node as it is after it, or as somebody else cordoned it meanwhile: theirs is not noted as ours.
async fn attempt(job: &Job, first: &NodeRow, fresh: Option<NodeRow>) -> Result<NodeRow, Error> {
    let cluster = &job.backends().cluster;
    // read anew for each further attempt: the one before may have arrived although its answer did not
    let row = match fresh {
        Some(row) => row,
        None => cluster.node_object(&first.name).await?,
    };
    if row.uid != first.uid {
        return Err(another(&row).into());
    }
    if row.cordoned && !is_inherited(job, &row) {
        return Ok(row);
    }
    let note = CordonNote {
        run: Some(job.shared.run.clone()),
        holder: job.backends().settings.holder.clone(),
        since: Some(now()),
        reason: Some(job.shared.plan.kind.to_string()),
        prior_cordoned: Some(false),
    };
    job.change(&format!("cordon {}", row.name), cluster.cordon(&row, &note, job.permit(), &job.cancel)).await
}

fn same_node(job: &Job, row: &NodeRow) -> Result<(), Report> {
    match job.memory().node_uid {
        Some(uid) if uid != row.uid => Err(another(row)),
        _ => Ok(()),
    }
}

fn another(row: &NodeRow) -> Report {
    Report::new(FailureKind::Identity, format!("{} is another node under the same name by now", row.name))
}

fn explain(report: Report) -> Report {
    if report.kind == FailureKind::Forbidden && report.hint.is_none() {
        return report.hint("the role needs patch on nodes");
    }
    report
}

fn stays(row: &NodeRow) -> Outcome {
    let whose = by_whom(row);
    Outcome::Skipped(format!("{} stays cordoned: it is cordoned {whose}, not by this run", row.name))
}

/// Uncordons the node: as an action of its own whoever cordoned it, in a run only what the run cordoned.
pub(super) async fn uncordon(job: &Job) -> Ending {
    let node = job.node()?;
    let is_own_action = matches!(job.shared.plan.kind, Kind::Uncordon | Kind::Resolve);
    let row = match job.patiently("reading the node", || job.backends().cluster.node_object(node)).await {
        Err(report) if report.kind == FailureKind::NotFound && !is_own_action => {
            return Ok(Outcome::Skipped(format!("{node} is gone: its object was deleted")));
        }
        row => row?,
    };
    if !row.cordoned {
        return Ok(Outcome::Skipped(format!("{node} is schedulable already")));
    }
    if !is_own_action {
        same_node(job, &row)?;
        if !is_ours(job, &row) {
            return Ok(stays(&row));
        }
    }
    let uid = row.uid.clone();
    let before = by_whom(&row);
    let cluster = &job.backends().cluster;
    let change = format!("uncordon {node}");
    let attempt = || async {
        let row = cluster.node_object(node).await?;
        if row.uid != uid {
            return Err(another(&row).into());
        }
        if !row.cordoned || !(is_own_action || is_ours(job, &row)) {
            return Ok(row);
        }
        job.change(&change, cluster.uncordon(&row, job.permit(), &job.cancel)).await
    };
    let row = job.patiently("uncordoning", attempt).await.map_err(explain)?;
    if row.cordoned && !is_own_action && !is_ours(job, &row) {
        return Ok(stays(&row));
    }
    if row.cordoned {
        return Err(Report::new(
            FailureKind::Unexpected,
            format!("{node} is still cordoned after the uncordon"),
        ));
    }
    job.remember(|memory| memory.note_cordon(node, false))?;
    let whose = if is_own_action { format!("; it was cordoned {before}") } else { String::new() };
    Ok(Outcome::Done(format!("{node} is schedulable{whose}")))
}
