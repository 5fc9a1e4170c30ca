//! The forecast of a drain, and the drain.

use crate::domain::drain::{Class, Expectation, Forecast, forecast};
use crate::domain::pod::PodRow;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, Progress};
use crate::domain::text::count;
use crate::engine::job::{Ending, Job};
use std::collections::BTreeMap;

/// Says of each pod whether it moves, stays or is blocked. Pods that may not be moved without an option fail the step,
/// before anything is touched; pods that a budget blocks are a warning.
pub(super) async fn predict(job: &Job) -> Ending {
    let node = job.node()?;
    job.say("reading pods and budgets");
    let cluster = &job.backends().cluster;
    let pods = job.patiently("reading pods", || cluster.pods()).await?;
    let budgets = job.patiently("reading budgets", || cluster.budgets()).await?;
    let here: Vec<&PodRow> = pods.iter().filter(|pod| pod.node.as_ref() == Some(node)).collect();
    let daemonsets = daemonsets(job, &here).await?;
    let exists = |pod: &PodRow| {
        pod.owner
            .as_ref()
            .is_none_or(|owner| daemonsets.get(&(&pod.key.namespace, &owner.name)).copied().unwrap_or(true))
    };
    let options = &job.shared.plan.drain;
    let now = crate::backend::clock::now();
    let list = forecast(here.iter().copied(), &pods, &budgets, options, &exists, now);
    let items: Vec<String> = list.iter().map(line).collect();
    for text in warnings(&list) {
        job.warn(text).await;
    }
    let text = format!("{} on {node}", count(list.len(), "pod"));
    job.progress(Progress { text, items, ..Progress::default() });
    judge(&list)
}

async fn daemonsets<'a>(
    job: &Job,
    pods: &[&'a PodRow],
) -> Result<BTreeMap<(&'a String, &'a String), bool>, Report> {
    let mut known = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod.is_daemon()) {
        let Some(owner) = &pod.owner else { continue };
        let key = (&pod.key.namespace, &owner.name);
        if known.contains_key(&key) {
            continue;
        }
        let cluster = &job.backends().cluster;
        let exists = job.patiently("reading a DaemonSet", || cluster.daemonset_exists(key.0, key.1)).await?;
        known.insert(key, exists);
    }
    Ok(known)
}

fn warnings(list: &[Forecast]) -> Vec<String> {
    list.iter().flat_map(|pod| pod.warnings.iter().map(move |why| format!("{}: {why}", pod.pod))).collect()
}

fn line(pod: &Forecast) -> String {
    let words = match (&pod.class, &pod.expectation) {
        (Class::Skip(why), _) => format!("stays: {}", why.join("; ")),
        (Class::Terminating, _) => "is going already".to_owned(),
        (Class::Finished, _) => "has ended, is removed".to_owned(),
        (_, Expectation::Moves) => "moves".to_owned(),
        (_, Expectation::Waits(budget, why)) => format!("waits for budget {budget}: {why}"),
        (_, Expectation::Blocked(Some(budget), why)) => format!("blocked by budget {budget}: {why}"),
        (_, Expectation::Blocked(None, why)) => format!("refused: {why}"),
        (_, Expectation::Stays) => "stays".to_owned(),
    };
    format!("{}: {words}", pod.pod)
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

/// Drains the node.
pub(super) async fn drain(job: &Job) -> Ending {
    crate::engine::drain::run(job).await
}
