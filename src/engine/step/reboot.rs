//! Asks the host to reboot, exactly once, and watches it go.

use crate::backend::clock::now;
use crate::backend::error::Error;
use crate::backend::host::{Hosts, RebootAnswer};
use crate::backend::local;
use crate::domain::guard::Change;
use crate::domain::node::NodeRow;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, Progress};
use crate::domain::time::{Stamp, brief, clock};
use crate::engine::job::{Ending, Job};
use crate::engine::service::Executor;

use super::already;
use super::patch::log;
use super::presence::{boot_now, is_by_host};
use tokio::sync::mpsc;

/// The back end, or why there is none.
pub(super) fn hosts(job: &Job) -> Result<&Hosts, Report> {
    job.backends().hosts.as_ref().ok_or_else(|| {
        Report::new(FailureKind::Local, "the host cannot be reached: SSH is not configured")
            .hint("see [cluster.X.ssh] in the configuration")
    })
}

/// Asks for the reboot.
///
/// The boot id is read immediately before, and every gate again when the last reading is not fresh. When a request was
/// sent before, whatever was answered, and the boot id is another one now, the host has rebooted: it is never asked a
/// second time. Nor is one that somebody rebooted since the run began.
pub(super) async fn reboot(job: &Job) -> Ending {
    let executor = job.backends().settings.service.executor.clone();
    if executor == Executor::Ssh {
        hosts(job)?;
    }
    if let Some(words) = already::by_request(job).await? {
        return Ok(Outcome::Done(words));
    }
    let row = read_node(job).await?;
    let boot = job.patiently("reading the boot id", || boot_now(job, &row)).await?;
    if let Some(ending) = already::since_the_start(job, &row, &boot).await? {
        return Ok(ending);
    }
    if !row.boot_id.is_empty() && row.boot_id != boot {
        return Err(Report::new(
            FailureKind::Identity,
            format!(
                "the host says boot {boot}, the node {} says {}: not the same machine",
                row.name, row.boot_id
            ),
        ));
    }
    super::gates::still_open(job).await?;
    // what was read with the gates may be 15 s old: the node itself is looked at once more
    super::hold::look(job).await?;
    let (before, heartbeat, seen) = (boot.clone(), row.heartbeat, row.clone());
    let change = format!("reboot {}", row.name);
    let go = async {
        job.may_change(&change)?;
        job.remember(|memory| {
            memory.node = Some(seen);
            memory.boot_before = Some(before);
            memory.heartbeat_before = heartbeat;
            memory.reboot_requested = Some(now());
        })?;
        job.asks().await;
        Ok(job.announce(&change)?)
    };
    let answer = ask(job, &executor, &row, go).await;
    job.answered(&change, &answer);
    requested(job, &executor, answer, &row, &boot).await
}

/// What became of the request.
async fn requested(
    job: &Job,
    executor: &Executor,
    answer: Result<RebootAnswer, Error>,
    row: &NodeRow,
    boot: &str,
) -> Ending {
    match answer {
        Ok(_) if *executor == Executor::Manual => {
            let words = format!("reboot {} now, by hand: it was in boot {boot}", row.name);
            job.warn(words.clone()).await;
            Ok(Outcome::Done(words))
        }
        Ok(RebootAnswer::Requested { status: Some(_) }) => {
            Ok(Outcome::Done(format!("{} accepted the request in boot {boot}", row.name)))
        }
        Ok(RebootAnswer::Requested { status: None }) => {
            Ok(Outcome::Done(format!("{} cut the connection after the request, in boot {boot}", row.name)))
        }
        Err(error) if error.kind.is_passing() => Err(refused(error)),
        // a command that failed may have asked all the same (a connection that was lost after it)
        Err(error) if matches!(executor, Executor::Command(_)) && error.kind == FailureKind::Refused => {
            Err(Report::from(error)
                .hint("the request may have arrived all the same: trying again reads the boot id first"))
        }
        Err(error) => {
            // a plain no: nothing is on its way
            job.remember(|memory| memory.reboot_requested = None)?;
            Err(refused(error))
        }
    }
}

/// Asks whoever reboots. Nothing is sent before `go` has said so.
async fn ask(
    job: &Job,
    executor: &Executor,
    row: &NodeRow,
    go: impl Future<Output = Result<(), Error>> + Send,
) -> Result<RebootAnswer, Error> {
    match executor {
        Executor::Ssh => hosts(job)?.reboot(row, job.permit(), go).await,
        Executor::Manual => {
            job.permit().check(&Change::Reboot(&row.name))?;
            go.await.map(|()| RebootAnswer::Requested { status: None })
        }
        Executor::Command(template) => {
            job.permit().check(&Change::Reboot(&row.name))?;
            let argv = local::fill(template, row.name.as_str(), row.address.as_deref())?;
            go.await?;
            let (tell, told) = mpsc::channel(64);
            let limit = job.backends().settings.service.command_limit;
            let (status, (_, last)) = futures::join!(local::run(&argv, limit, tell), log(job, told));
            match status? {
                0 => Ok(RebootAnswer::Requested { status: Some(0) }),
                status => Err(Error::new(
                    FailureKind::Refused,
                    "reboot",
                    row.name.as_str(),
                    format!("{} ended with status {status}", argv[0]),
                )
                .because(last)),
            }
        }
    }
}

pub(super) async fn read_node(job: &Job) -> Result<NodeRow, Report> {
    let node = job.node()?;
    job.patiently("reading the node", || job.backends().cluster.node(node)).await
}

/// Why it did not work. What passes by itself may have arrived.
fn refused(error: Error) -> Report {
    if error.kind.is_passing() {
        return Report::from(error)
            .hint("the request may have arrived: trying again reads the boot id first");
    }
    error.into()
}

/// Waits until the host stops answering, or answers with another boot id.
pub(super) async fn down(job: &Job) -> Ending {
    let memory = job.memory();
    let before = memory.boot_before.unwrap_or_default();
    let row = last_known(job).await?;
    let began = now();
    loop {
        if let Some(ending) = by_its_kubelet(job, &row, began).await {
            return Ok(ending);
        }
        match boot_now(job, &row).await {
            Ok(boot) if boot != before => {
                return Ok(Outcome::Done(format!("{} runs boot {boot} already", row.name)));
            }
            Ok(_) => {
                let passed = clock(now().since(began));
                let lead = match job.backends().settings.service.executor {
                    Executor::Manual => format!("reboot {} now, by hand: it", row.name),
                    Executor::Ssh | Executor::Command(_) => row.name.to_string(),
                };
                job.say(format!("{lead} still answers in the old boot, {passed}"));
            }
            // without SSH it is the API that does not answer, which says nothing of the node
            Err(error) if error.kind.is_passing() && is_by_host(job) => {
                return Ok(Outcome::Done(format!(
                    "{} stopped answering after {}",
                    row.name,
                    brief(now().since(began))
                )));
            }
            // another host key is another host
            Err(error) if error.kind == FailureKind::Identity => return Err(error.into()),
            // a host that goes down refuses logins for a while (pam_nologin)
            Err(error) => {
                let passed = clock(now().since(began));
                let text = match error.kind {
                    FailureKind::Unauthorized | FailureKind::Forbidden => {
                        format!("{} refuses logins: going down, {passed}", row.name)
                    }
                    _ => format!("{}: {error}, {passed}", row.name),
                };
                job.progress(Progress { text, ..Progress::default() });
            }
        }
        tokio::time::sleep(job.backends().settings.timing.poll).await;
    }
}

/// Where hosts are not reached: a node that is not Ready any more is gone. One that is away for less than its kubelet's grace
/// is never seen to go: then only its return tells, for which the next step waits.
async fn by_its_kubelet(job: &Job, row: &NodeRow, began: Stamp) -> Option<Outcome> {
    if is_by_host(job) {
        return None;
    }
    let (passed, timing) = (now().since(began), &job.backends().settings.timing);
    match job.backends().cluster.node(&row.name).await {
        Ok(node) if !node.is_ready() => {
            Some(Outcome::Done(format!("{} is not Ready any more, after {}", row.name, brief(passed))))
        }
        _ if passed + timing.poll * 3 >= job.step.timeout => {
            let words =
                format!("{} was not seen to go, as its host is not reached: only its return tells", row.name);
            Some(Outcome::Skipped(words))
        }
        _ => None,
    }
}

/// The node as it was before the reboot: the API may be away now.
pub(super) async fn last_known(job: &Job) -> Result<NodeRow, Report> {
    match job.memory().node {
        Some(row) => Ok(row),
        None => read_node(job).await,
    }
}
