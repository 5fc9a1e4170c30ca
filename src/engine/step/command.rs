//! The command of a roll: run on this machine for one node, in the place of its reboot.

use super::patch::log;
use crate::backend::clock::now;
use crate::backend::local;
use crate::domain::guard::Change;
use crate::domain::node::NodeRow;
use crate::domain::report::{FailureKind, Report};
use crate::domain::roll::RollAction;
use crate::domain::rollout::Identity;
use crate::domain::run::Outcome;
use crate::domain::time::brief;
use crate::engine::job::{Ending, Job};
use crate::engine::service::Patch;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What is said of a command that may well have done its work where nobody sees it.
const NOTHING: &str = "nothing visible changed: the same Node object, boot, kubelet, kernel and OS image";

/// Runs it once, tells its lines, and waits until the node is Ready.
pub(super) async fn run(job: &Job) -> Ending {
    let node = job.node()?;
    let Some((name, command)) = chosen(job) else {
        return Err(Report::new(FailureKind::Local, "the command of this roll is not configured any more")
            .hint("see [cluster.X.command.NAME] in the configuration"));
    };
    if let Some(at) = job.memory().command_started {
        // only whoever sits there can tell what it has done
        job.remember(|memory| memory.command_started = None)?;
        let words = format!(
            "the command {name} was started for {node} {} ago by a process that ended; what it has done is not known",
            brief(now().since(at))
        );
        return Err(Report::new(FailureKind::Unexpected, words)
            .hint("look at the node; then try again, which runs the command anew, or leave this step out"));
    }
    super::gates::still_open(job).await?;
    super::hold::look(job).await?;
    job.permit().check(&Change::Reboot(node))?;
    let row = job.patiently("reading the node", || job.backends().cluster.node(node)).await?;
    let argv = local::fill(&command.argv, node.as_str(), row.address.as_deref())?;
    let change = format!("run {name} for {node}");
    job.may_change(&change)?;
    job.remember(|memory| {
        memory.command_started = Some(now());
        // a second try is held against how it was before the first
        memory.node.get_or_insert(row);
    })?;
    job.asks().await;
    job.announce(&change)?;
    let began = Instant::now();
    let (tell, told) = mpsc::channel(64);
    let (answer, _) = futures::join!(local::run(&argv, command.limit, tell), log(job, told));
    job.answered(&change, &answer);
    let status = answer?;
    job.remember(|memory| {
        memory.command_started = None;
        memory.serviced = Some(name.clone());
    })?;
    if status != 0 {
        return Err(Report::new(FailureKind::Refused, format!("{name} ended with exit code {status}"))
            .hint("its lines stand in the log; a second try runs it anew"));
    }
    let took = brief(began.elapsed());
    let row = ready(job).await?;
    let changed = prove(job, &row)?.unwrap_or_default();
    Ok(Outcome::Done(format!("{name} ended well after {took}; {node} is Ready; {changed}")))
}

/// What of the node is another than before the command, as far as it can be seen; `None` = no command was run for it.
/// It is looked at again when the gates of the return have passed, as a machine may go down only after the command has ended.
pub(super) fn prove(job: &Job, row: &NodeRow) -> Result<Option<String>, Report> {
    let memory = job.memory();
    let (Some(_), Some(before)) = (&memory.serviced, &memory.node) else { return Ok(None) };
    let words = match Identity::of(before).words(&Identity::of(row)) {
        words if words.is_empty() => NOTHING.to_owned(),
        words => format!("changed: {words}"),
    };
    if memory.changed.as_ref() != Some(&words) {
        job.remember(|memory| memory.changed = Some(words.clone()))?;
    }
    Ok(Some(words))
}

/// The command by its name, as it is configured now.
fn chosen(job: &Job) -> Option<(String, Patch)> {
    let RollAction::Command(name) = &job.shared.plan.roll.as_ref()?.options.action else { return None };
    let command = job.backends().settings.service.commands.get(name)?;
    Some((name.clone(), command.clone()))
}

/// A node that was replaced registers anew under its name.
async fn ready(job: &Job) -> Result<NodeRow, Report> {
    let node = job.node()?;
    let timing = &job.backends().settings.timing;
    let end = Instant::now() + timing.ready;
    loop {
        let text = match job.backends().cluster.node(node).await {
            Ok(row) if row.is_ready() => return adopt(job, &row).map(|()| row),
            Ok(_) => format!("{node} is not Ready yet"),
            Err(error) => format!("{node} cannot be read: {error}"),
        };
        if Instant::now() >= end {
            let words = format!("{node} is not Ready {} after the command", brief(timing.ready));
            return Err(Report::new(FailureKind::Timeout, words).because(text));
        }
        job.say(text);
        tokio::time::sleep(timing.poll).await;
    }
}

/// A new object under the name is what the command was for: nothing of ours is left on it.
fn adopt(job: &Job, row: &NodeRow) -> Result<(), Report> {
    if job.memory().node_uid.as_ref() == Some(&row.uid) {
        return Ok(());
    }
    job.remember(|memory| {
        memory.node_uid = Some(row.uid.clone());
        memory.note_cordon(&row.name, false);
    })
}
