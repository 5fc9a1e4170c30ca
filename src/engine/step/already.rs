//! Whether a host has rebooted already: by a request whose fate is not known, or by somebody's hand since the run began.

use super::presence::{Witness, is_by_host};
use super::reboot::last_known;
use crate::backend::clock::now;
use crate::domain::node::NodeRow;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::Outcome;
use crate::domain::time::{Stamp, brief};
use crate::engine::job::Job;
use crate::engine::service::Executor;

/// How the step ends when the host is in another boot than at the beginning of the run, or than when it was asked. It is not
/// asked then, whoever rebooted it: the return is verified as after a request of ours. `None` = it is in the same boot.
pub(super) async fn since_the_start(job: &Job, row: &NodeRow, boot: &str) -> Result<Option<Outcome>, Report> {
    let memory = job.memory();
    // set right before asking; even a host that said no may have rebooted, when systemctl gave up but the job was queued
    if let Some(before) = &memory.boot_before
        && before != boot
    {
        return Ok(Some(Outcome::Done(rebooted_already(row, boot, before))));
    }
    let Some(start) = memory.boot_at_start.filter(|start| start != boot) else { return Ok(None) };
    let (seen, start_boot) = (row.clone(), start.clone());
    job.remember(|memory| {
        memory.node = Some(seen);
        memory.boot_before = Some(start_boot);
    })?;
    let words = format!(
        "{} was rebooted since this run began: boot {boot} instead of {start}; it is not asked again",
        row.name
    );
    if job.backends().settings.service.executor != Executor::Manual {
        job.warn(words.clone()).await;
    }
    Ok(Some(Outcome::Done(words)))
}

fn rebooted_already(row: &NodeRow, boot: &str, before: &str) -> String {
    format!("{} has rebooted already: boot {boot} instead of {before}", row.name)
}

/// After a request whose fate is not known (the process that sent it was killed, the answer got lost): whether the host went
/// down or came back in another boot. It is given the time in which a host that was asked is gone; one that kept its boot
/// until then, by its own word or by that of a kubelet that goes on reporting, was not reached by the request. Without such a
/// word it is not asked again.
pub(super) async fn by_request(job: &Job) -> Result<Option<String>, Report> {
    let memory = job.memory();
    let (Some(requested), Some(before)) = (memory.reboot_requested, memory.boot_before) else {
        return Ok(None);
    };
    let row = last_known(job).await?;
    let timing = &job.backends().settings.timing;
    // a kubelet is heard once in a while only
    let end = requested.plus(timing.gone).max(if is_by_host(job) { now() } else { now().plus(timing.fresh) });
    let (mut silent, mut witness) = (0, Witness::default());
    loop {
        match witness.boot_now(job, &row).await {
            Ok(boot) if boot != before => return Ok(Some(rebooted_already(&row, &boot, &before))),
            Ok(_) => silent = 0,
            Err(error) if error.kind == FailureKind::Identity => return Err(error.into()),
            // one answer that got lost is no reboot
            Err(error) if error.kind.is_passing() && silent < 2 => silent += 1,
            Err(error) if error.kind.is_passing() && is_by_host(job) => {
                let words = format!("{} was asked before, in boot {before}, and does not answer", row.name);
                return Ok(Some(words));
            }
            // a host that goes down refuses logins
            Err(error) => job.say(format!("{}: {error}", row.name)),
        }
        if now() >= end && !witness.is_sure(timing.fresh) {
            return Err(unsure(&row, requested));
        }
        if now() >= end {
            let words = format!("{} kept its boot for {}", row.name, brief(timing.gone));
            job.warn(format!("{words}: the request did not reach it, and is made again")).await;
            return Ok(None);
        }
        job.say(format!(
            "{} may have been asked to reboot {} ago and still answers: waiting before it is asked again",
            row.name,
            brief(now().since(requested))
        ));
        tokio::time::sleep(timing.poll).await;
    }
}

fn unsure(row: &NodeRow, requested: Stamp) -> Report {
    let words = format!(
        "{} was asked to reboot {} ago, and nobody tells whether it did: it refuses logins, or its kubelet reports no more",
        row.name,
        brief(now().since(requested))
    );
    Report::new(FailureKind::Timeout, words).hint(
        "look at the machine; trying again asks it for its boot id first, and never for a reboot before that",
    )
}
