//! What a run holds of its node between the cordon and the uncordon, and that somebody else let go of it.

use crate::domain::ids::NodeName;
use crate::domain::node::NodeRow;
use crate::domain::plan::StepKind;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::StepView;
use crate::engine::job::Job;

/// The Node object was deleted.
pub(super) fn gone(node: &NodeName) -> Report {
    Report::new(FailureKind::NotFound, format!("the Node object of {node} was deleted by somebody")).hint(
        "find out who: this run goes no further. A kubelet that starts registers its node anew, schedulable and without \
         our notes; an abort gives the lock back",
    )
}

/// A failure to read the node, told as what it means when the node is not there.
pub(super) fn explain(report: Report, node: &NodeName) -> Report {
    if report.kind == FailureKind::NotFound { gone(node) } else { report }
}

/// Whether it is still the same object.
pub(super) fn same(job: &Job, row: &NodeRow) -> Result<(), Report> {
    match job.memory().node_uid {
        Some(uid) if uid != row.uid => Err(Report::new(
            FailureKind::Identity,
            format!(
                "{} is another node under the same name by now: its Node object was deleted and registered anew",
                row.name
            ),
        )
        .hint("its cordon and our notes went with the old object: look at the node, then abort")),
        _ => Ok(()),
    }
}

/// The failure before the reboot when the node takes pods again.
pub(super) fn uncordoned(node: &NodeName) -> Report {
    Report::new(FailureKind::Conflict, format!("{node} is schedulable: somebody uncordoned it"))
        .hint("find out who; then abort, or cordon it again and drain what came back, then try again")
}

/// Before the reboot: the node is as this run left it. What is only worth a word is noted: a cordon that is somebody
/// else's by now stays theirs at the end.
pub(super) async fn check(job: &Job, row: &NodeRow) -> Result<(), Report> {
    same(job, row)?;
    if !row.cordoned {
        return Err(uncordoned(&row.name));
    }
    if let Some(words) = changed_hands(job, row) {
        job.warn(words).await;
    }
    Ok(())
}

/// Reads the node, and the same.
pub(super) async fn look(job: &Job) -> Result<(), Report> {
    let node = job.node()?;
    let read = job.patiently("reading the node", || job.backends().cluster.node(node)).await;
    let row = read.map_err(|report| explain(report, node))?;
    check(job, &row).await
}

/// The cordon was this run's, and is not any more.
pub(super) fn changed_hands(job: &Job, row: &NodeRow) -> Option<String> {
    let is_lost =
        job.memory().cordoned.contains(&row.name) && row.cordoned && !super::cordon::is_ours(job, row);
    is_lost.then(|| {
        format!(
            "the cordon of {} is not this run's any more: it is cordoned {}, and stays so at the end",
            row.name,
            super::cordon::by_whom(row)
        )
    })
}

/// This run has begun to uncordon the node itself: a run that is gone on with reads the gates of the return again.
fn has_let_go(job: &Job, node: &NodeName) -> bool {
    job.shared.voice.view().is_some_and(|view| {
        let of_node =
            |step: &&StepView| step.step.kind == StepKind::Uncordon && step.step.node.as_ref() == Some(node);
        view.steps.iter().filter(of_node).any(|step| step.attempts > 0)
    })
}

/// After the reboot: what somebody did to the node meanwhile that does not stop the run, in words.
pub(super) fn meanwhile(job: &Job, row: &NodeRow) -> Option<String> {
    if row.cordoned {
        return changed_hands(job, row);
    }
    let was_ours = job.memory().cordoned.contains(&row.name) && !has_let_go(job, &row.name);
    was_ours.then(|| {
        format!("somebody uncordoned {}: pods may be placed on it before its gates have passed", row.name)
    })
}
