//! Runs the configured command on the host before its reboot; its lines go to the log as they come.

use super::presence::boot_now;
use super::reboot::{hosts, read_node};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::Outcome;
use crate::domain::secret::scrub;
use crate::domain::time::brief;
use crate::engine::job::{Ending, Job};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Puts the lines of a program into the log as they come: how many there were, and the last one. Its secrets are not the log's.
pub(super) async fn log(job: &Job, mut told: mpsc::Receiver<String>) -> (usize, String) {
    let (mut lines, mut last) = (0, String::new());
    while let Some(line) = told.recv().await {
        lines += 1;
        last = scrub(&line);
        job.say(last.clone());
        job.note(last.clone()).await;
    }
    (lines, last)
}

/// Runs it. A second try runs it anew: a command that must not be repeated does not belong here.
pub(super) async fn patch(job: &Job) -> Ending {
    let hosts = hosts(job)?;
    let Some(patch) = job.backends().settings.service.patch.clone() else {
        return Err(Report::new(FailureKind::Local, "no patch command is configured any more"));
    };
    let row = read_node(job).await?;
    let argv: Vec<&str> = patch.argv.iter().map(String::as_str).collect();
    let change = format!("run on the host of {}: {}", row.name, scrub(&argv.join(" ")));
    let began = Instant::now();
    let (tell, told) = mpsc::channel(64);
    let work = job.change(&change, hosts.patch(&row, &argv, patch.limit, job.permit(), tell));
    let (answer, (lines, _)) = futures::join!(work, log(job, told));
    answer?;
    // what was rebooted before the command had ended still needs the reboot
    let boot = job.patiently("reading the boot id", || boot_now(job, &row)).await?;
    job.remember(|memory| memory.boot_at_start = Some(boot))?;
    let lines = crate::domain::text::count(lines, "line");
    Ok(Outcome::Done(format!("ended well after {}, {lines} of output in the log", brief(began.elapsed()))))
}
