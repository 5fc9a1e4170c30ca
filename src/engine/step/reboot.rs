//! Asks the host to reboot, exactly once, and watches it go.

use crate::backend::clock::now;
use crate::backend::error::Error;
use crate::backend::host::{Hosts, RebootAnswer};
use crate::domain::node::NodeRow;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, Progress};
use crate::domain::time::{brief, clock};
use crate::engine::job::{Ending, Job};

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
/// second time.
pub(super) async fn reboot(job: &Job) -> Ending {
    let hosts = hosts(job)?;
    let memory = job.memory();
    let row = read_node(job).await?;
    let boot = job.patiently("reading the boot id", || hosts.boot_id(&row)).await?;
    // set right before asking; even a host that said no may have rebooted, when systemctl gave up but the job was queued
    if let Some(before) = &memory.boot_before
        && *before != boot
    {
        return Ok(Outcome::Done(format!(
            "{} has rebooted already: boot {boot} instead of {before}",
            row.name
        )));
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
    let answer = hosts.reboot(&row, job.permit(), go).await;
    job.answered(&change, &answer);
    match answer {
        Ok(RebootAnswer::Requested { status: Some(_) }) => {
            Ok(Outcome::Done(format!("{} accepted the request in boot {boot}", row.name)))
        }
        Ok(RebootAnswer::Requested { status: None }) => {
            Ok(Outcome::Done(format!("{} cut the connection after the request, in boot {boot}", row.name)))
        }
        Err(error) => Err(refused(error)),
    }
}

async fn read_node(job: &Job) -> Result<NodeRow, Report> {
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
    let hosts = hosts(job)?;
    let memory = job.memory();
    let before = memory.boot_before.unwrap_or_default();
    let row = last_known(job).await?;
    let began = now();
    loop {
        match hosts.boot_id(&row).await {
            Ok(boot) if boot != before => {
                return Ok(Outcome::Done(format!("{} runs boot {boot} already", row.name)));
            }
            Ok(_) => job.progress(Progress {
                text: format!("{} still answers in the old boot, {}", row.name, clock(now().since(began))),
                ..Progress::default()
            }),
            Err(error) if error.kind.is_passing() => {
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

/// The node as it was before the reboot: the API may be away now.
pub(super) async fn last_known(job: &Job) -> Result<NodeRow, Report> {
    match job.memory().node {
        Some(row) => Ok(row),
        None => read_node(job).await,
    }
}
