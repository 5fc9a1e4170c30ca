//! Waits for the node's return: another boot id over SSH, then the kubelet of that boot, Ready.

use super::reboot::{hosts, last_known};
use crate::backend::clock::now;
use crate::domain::node::NodeRow;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, Progress};
use crate::domain::time::{Stamp, clock};
use crate::engine::job::{Ending, Job};
use crate::engine::memory::Memory;

/// Waits for both.
pub(super) async fn back(job: &Job) -> Ending {
    let memory = job.memory();
    let before = memory
        .boot_before
        .clone()
        .ok_or_else(|| Report::new(FailureKind::Unexpected, "the boot id before the reboot is not known"))?;
    let row = last_known(job).await?;
    let began = now();
    let boot = new_boot(job, &row, &before, began).await?;
    job.note(format!("{} answers with boot {boot} after {}", row.name, clock(now().since(began)))).await;
    let seen = ready(job, &row, &boot, &memory).await?;
    let words = format!("boot {boot} instead of {before}, Ready after {}", clock(now().since(began)));
    Ok(match super::hold::meanwhile(job, &seen) {
        None => Outcome::Done(words),
        Some(meanwhile) => Outcome::Warned(format!("{words}; {meanwhile}")),
    })
}

/// The first time that the host answers with another boot id.
async fn new_boot(job: &Job, row: &NodeRow, before: &str, began: Stamp) -> Result<String, Report> {
    let hosts = hosts(job)?;
    let timing = &job.backends().settings.timing;
    let deadline = began.plus(timing.back);
    loop {
        let answer = hosts.boot_id(row).await;
        let passed = clock(now().since(began));
        let text = match &answer {
            Ok(boot) if boot.is_empty() => format!("{} answers without a boot id yet, {passed}", row.name),
            Ok(boot) if boot != before => return Ok(boot.clone()),
            Ok(_) => format!("{} still answers in the old boot, {passed}", row.name),
            Err(error) if error.kind.is_passing() => {
                format!("waiting for {} to answer over SSH, {passed}", row.name)
            }
            // sshd of a host that just came up may refuse for a moment; a changed host key never passes
            Err(error) if error.kind != FailureKind::Identity => format!("{}: {error}, {passed}", row.name),
            Err(error) => return Err(error.report()),
        };
        if now() >= deadline {
            return Err(Report::new(
                FailureKind::Timeout,
                format!("{} did not come back with a new boot within {}", row.name, clock(timing.back)),
            )
            .because(text)
            .hint("look at its console; the node stays cordoned. Try again waits once more"));
        }
        job.progress(Progress { text, deadline: Some(deadline), ..Progress::default() });
        tokio::time::sleep(timing.poll).await;
    }
}

/// The node reports that boot and is Ready, with a sign of life from after the reboot.
async fn ready(job: &Job, row: &NodeRow, boot: &str, memory: &Memory) -> Result<NodeRow, Report> {
    let timing = &job.backends().settings.timing;
    let began = now();
    let deadline = began.plus(timing.ready);
    loop {
        let text = match job.backends().cluster.node(&row.name).await {
            Ok(seen) => {
                super::hold::same(job, &seen)?;
                match missing(&seen, boot, memory) {
                    None => return Ok(seen),
                    Some(what) => what,
                }
            }
            Err(error) if error.kind.is_passing() => {
                format!("the host is back; the API does not answer: {error}")
            }
            Err(error) => return Err(super::hold::explain(error.into(), &row.name)),
        };
        if now() >= deadline {
            return Err(Report::new(
                FailureKind::Timeout,
                format!("{} was not Ready within {} after its host answered", row.name, clock(timing.ready)),
            )
            .because(text)
            .hint(format!("ssh {} sudo journalctl -u kubelet -n 50; the node stays cordoned", row.name)));
        }
        job.progress(Progress { text, deadline: Some(deadline), ..Progress::default() });
        tokio::time::sleep(timing.poll).await;
    }
}

fn missing(seen: &NodeRow, boot: &str, memory: &Memory) -> Option<String> {
    let name = &seen.name;
    if seen.boot_id != boot {
        return Some(format!("{name}: the kubelet has not reported boot {boot} yet"));
    }
    if !seen.is_ready() {
        return Some(format!("{name} reports the new boot and is not Ready yet"));
    }
    match (memory.heartbeat_before, seen.heartbeat) {
        (Some(before), Some(beat)) if beat <= before => {
            Some(format!("{name} is called Ready, but gave no sign of life since the reboot"))
        }
        _ => None,
    }
}
