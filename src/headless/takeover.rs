//! `pitstop runs resume` and `pitstop runs abort`: going on with a run that another process left, and putting back what it
//! left changed.

use super::plan::lock_of_others;
use super::prompt::Prompt;
use super::run::{Ask, Manner, confirm, follow};
use super::{Exit, Format, line, notice};
use crate::domain::config::Policy;
use crate::domain::guard::{Errand, World};
use crate::domain::ids::OpId;
use crate::domain::plan::Kind;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{RunState, RunView};
use crate::domain::undo::{Undo, undo};
use crate::engine::journal::{self, Record};
use crate::engine::{Backends, Facts, may_take_over, put_back, resume as go_on};

fn alive(record: &Record) -> Result<(), Report> {
    if !record.is_alive {
        return Ok(());
    }
    let header = record.last_header();
    let words = format!(
        "run {} is under way in another process ({}, process {})",
        header.run, header.holder, header.pid
    );
    Err(Report::new(FailureKind::Denied, words).hint("look there; when that process is stuck, end it first"))
}

/// Goes on with a run.
///
/// # Errors
/// It cannot be resumed here, the cluster cannot be read, or it is not confirmed.
pub async fn resume(
    backends: Backends,
    policy: &Policy,
    record: &Record,
    manner: &Manner,
) -> Result<Exit, Report> {
    alive(record)?;
    may_take_over(record, &backends.settings, false)?;
    let request = record.request();
    let facts = Facts::read(&backends).await?;
    let etcd = facts.etcd.clone();
    let lock = lock_of_others(&backends, &request, Some(&record.header.run)).await;
    let world = World { nodes: Some(&facts.nodes), etcd: etcd.as_ref(), lock: lock.as_deref() };
    let errand = Errand::GoOn { has_asked: record.has_asked() };
    let mut prompt = Prompt::new();
    let ask = Ask { errand, policy, request: &request, world };
    let permit = confirm(ask, manner, &mut prompt).await?;
    // a roll that was confirmed beforehand goes on by itself from node to node, and is held as any other
    let is_automatic = request.kind == Kind::Roll && manner.is_confirmed;
    let run = go_on(backends, record, permit, OpId(1), is_automatic)?;
    follow(run, manner, policy.context.clone(), prompt).await
}

/// Shows what an abort would do, and does it step by step.
///
/// # Errors
/// It cannot be aborted here, or it is not confirmed.
pub async fn abort(
    backends: Backends,
    policy: &Policy,
    record: &Record,
    manner: &Manner,
) -> Result<Exit, Report> {
    alive(record)?;
    may_take_over(record, &backends.settings, true)?;
    let request = record.request();
    if manner.format == Format::Text {
        for text in words(&record.view.as_ref().map(undo).unwrap_or_default(), record.view.as_ref()) {
            line(&text)?;
        }
    }
    let world = World { nodes: None, etcd: None, lock: None };
    let mut prompt = Prompt::new();
    let ask = Ask { errand: Errand::PutBack, policy, request: &request, world };
    let permit = confirm(ask, manner, &mut prompt).await?;
    let run = put_back(backends, record, permit, OpId(1), manner.is_confirmed)?;
    let exit = follow(run, manner, policy.context.clone(), prompt).await?;
    // an abort that came to its end is what was asked for here; one that was left in the middle is not
    let is_over = journal::read(&record.path).is_ok_and(|record| record.state() == RunState::Aborted);
    Ok(if exit == Exit::Stopped && is_over { Exit::Done } else { exit })
}

fn words(plan: &Undo, view: Option<&RunView>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(view) = view {
        lines.push(format!("aborting run {}:", view.id));
    }
    for (index, step) in plan.steps.iter().enumerate() {
        lines.push(format!("{:>2}. {:<17} {}", index + 1, step.kind.name(), step.what));
        lines.push(format!("      command   {}", step.command));
    }
    if plan.steps.is_empty() {
        lines.push("nothing has to be put back".to_owned());
    }
    lines.extend(plan.stays.iter().map(|stays| format!("stays: {stays}")));
    lines
}

/// Where a run is that has no journal here, by what it left in the cluster.
pub async fn elsewhere(backends: &Backends, id: &str) -> Option<Report> {
    let lease = backends.cluster.lease_read(&backends.settings.lease_namespace).await.ok().flatten();
    let of_lease =
        lease.filter(|row| row.run.as_ref().is_some_and(|run| run.as_str() == id)).map(|row| row.holder);
    let nodes = backends.cluster.nodes().await.unwrap_or_default();
    let of_node = nodes
        .into_iter()
        .filter_map(|row| row.cordon)
        .find(|note| note.run.as_ref().is_some_and(|run| run.as_str() == id))
        .map(|note| note.holder);
    let holder = of_lease.or(of_node)?;
    Some(
        Report::new(FailureKind::Denied, format!("run {id} was started by {holder}: its journal is there"))
            .hint("resume or abort it on that machine"),
    )
}

/// Says on standard error how a run that failed or stopped is gone on with.
pub(super) fn advise(view: &RunView) {
    if matches!(view.state, RunState::Failed | RunState::Interrupted) && !view.left.is_empty() {
        let id = &view.id;
        notice(&format!("go on with it: pitstop runs resume {id}; put it back: pitstop runs abort {id}"));
    }
}
