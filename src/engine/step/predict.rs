//! The forecast of a drain.

use crate::domain::drain::{Class, Expectation, Forecast};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, Progress};
use crate::domain::text::count;
use crate::engine::foretell::{foretell, line};
use crate::engine::job::{Ending, Job};

/// Says of each pod whether it moves, stays or is blocked. Pods that may not be moved without an option fail the step,
/// before anything is touched; pods that a budget blocks are a warning.
pub(super) async fn predict(job: &Job) -> Ending {
    let node = job.node()?;
    job.say("reading pods and budgets");
    let cluster = &job.backends().cluster;
    let options = &job.shared.plan.drain;
    let list = job.patiently("reading pods and budgets", || foretell(cluster, node, options)).await?;
    let items: Vec<String> = list.iter().map(line).collect();
    for text in warnings(&list) {
        job.warn(text).await;
    }
    let text = format!("{} on {node}", count(list.len(), "pod"));
    job.progress(Progress { text, items, ..Progress::default() });
    judge(&list)
}

fn warnings(list: &[Forecast]) -> Vec<String> {
    list.iter().flat_map(|pod| pod.warnings.iter().map(move |why| format!("{}: {why}", pod.pod))).collect()
}

fn judge(list: &[Forecast]) -> Ending {
    let of = |wanted: fn(&Forecast) -> bool| list.iter().filter(|pod| wanted(pod)).collect::<Vec<_>>();
    let refused = of(|pod| matches!(pod.class, Class::Refuse(_)));
    if !refused.is_empty() {
        let words = format!("{} cannot be moved with these options", count(refused.len(), "pod"));
        let report = Report::new(FailureKind::Denied, words);
        return Err(refused
            .iter()
            .fold(report, |report, pod| report.because(line(pod)))
            .hint("start again with the options that you want"));
    }
    let moves = of(|pod| pod.expectation == Expectation::Moves).len();
    let waits = of(|pod| matches!(pod.expectation, Expectation::Waits(..)));
    let blocked = of(|pod| matches!(pod.expectation, Expectation::Blocked(..)));
    let stays = of(|pod| pod.expectation == Expectation::Stays).len();
    let summary = format!("{moves} move, {} wait, {} blocked, {stays} stay", waits.len(), blocked.len());
    if blocked.is_empty() && waits.is_empty() {
        return Ok(Outcome::Done(summary));
    }
    let lines: Vec<String> = blocked.iter().chain(&waits).map(|pod| line(pod)).collect();
    if blocked.is_empty() {
        return Ok(Outcome::Done(format!("{summary}: {}", lines.join("; "))));
    }
    Ok(Outcome::Warned(format!("{summary}: {}", lines.join("; "))))
}
