//! Waits for the node's return: another boot id over SSH, then the kubelet of that boot, Ready.

use super::power;
use super::presence::boot_now;
use super::reboot::last_known;
use crate::backend::clock::now;
use crate::domain::node::NodeRow;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, Progress};
use crate::domain::time::{Stamp, brief, clock};
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
    job.remember(|memory| memory.returned = seen.ready_since)?;
    let words = format!("boot {boot} instead of {before}, Ready after {}", clock(now().since(began)));
    Ok(match super::hold::meanwhile(job, &seen) {
        None => Outcome::Done(words),
        Some(meanwhile) => Outcome::Warned(format!("{words}; {meanwhile}")),
    })
}

/// The first time that the host answers with another boot id.
async fn new_boot(job: &Job, row: &NodeRow, before: &str, began: Stamp) -> Result<String, Report> {
    let timing = &job.backends().settings.timing;
    loop {
        let deadline = began.plus(timing.back + job.extra());
        let answer = boot_now(job, row).await;
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
            let words = format!(
                "{} did not come back with a new boot within {}",
                row.name,
                clock(timing.back + job.extra())
            );
            return Err(last_words(job, row, Report::new(FailureKind::Timeout, words).because(text)).await);
        }
        job.progress(Progress { text, deadline: Some(deadline), ..Progress::default() });
        tokio::time::sleep(timing.poll).await;
    }
}

/// What is known of a node that did not come back, and what can be done: said once, with the failure.
async fn last_words(job: &Job, row: &NodeRow, report: Report) -> Report {
    let node = &row.name;
    let seen = match job.backends().cluster.node(node).await {
        Ok(seen) => {
            let beat = seen
                .heartbeat
                .map(|at| format!(", its kubelet gave its last sign of life {} ago", brief(now().since(at))));
            let same = if seen.boot_id == row.boot_id { "the old boot" } else { "another boot" };
            format!("the API calls it {:?} in {same}{}", seen.readiness, beat.unwrap_or_default())
        }
        Err(error) => format!("the API was asked: {error}"),
    };
    let mut report = report.because(seen);
    report = match power::words(job).await {
        Some(words) => report.because(words),
        None => report.because("no management controller (BMC) is configured for it: its power is not known"),
    };
    let service = &job.backends().settings.service;
    let mut ways = vec!["look at its console; the node stays cordoned. Try again waits once more".to_owned()];
    if service.bmc.contains_key(node) {
        ways.push(format!("Cycle its power: pitstop run power-cycle {node} (:power-cycle {node} in the console), then try again"));
    }
    let replace = service.replace.as_deref().unwrap_or("make the machine anew with your own tools");
    ways.push(format!(
        "Or replace it, which pitstop does not do: {}; kubectl delete node {node}; etcdctl member remove its member first, if it had one; a Node {node} with another uid is the new one",
        replace.replace("{node}", node.as_str())
    ));
    report.hint(ways.join(". "))
}

/// The last lines of the kubelet's log, or why they cannot be read.
async fn kubelet_said(job: &Job, row: &NodeRow, report: Report) -> Report {
    let Some(hosts) = &job.backends().hosts else { return report };
    match hosts.kubelet_log(row).await {
        Ok(lines) if lines.is_empty() => report.because("its kubelet has logged nothing that is kept"),
        Ok(lines) => lines
            .into_iter()
            .fold(report, |report, line| report.because(format!("its kubelet logged: {line}"))),
        Err(error) => report.because(format!("its kubelet's log cannot be read: {}", error.report().line())),
    }
}

/// The node reports that boot and is Ready, with a sign of life from after the reboot.
async fn ready(job: &Job, row: &NodeRow, boot: &str, memory: &Memory) -> Result<NodeRow, Report> {
    let timing = &job.backends().settings.timing;
    let began = now();
    loop {
        let deadline = began.plus(timing.ready + job.extra());
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
            let within = clock(timing.ready + job.extra());
            let words = format!("{} was not Ready within {within} after its host answered", row.name);
            let report = Report::new(FailureKind::Timeout, words).because(text);
            return Err(kubelet_said(job, row, report).await.hint(format!(
                "ssh {} sudo journalctl -u kubelet -n 50; the node stays cordoned",
                row.name
            )));
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
