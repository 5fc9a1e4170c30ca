//! The forecast of a drain.

use crate::domain::drain::Class;
use crate::domain::forecast::{Expectation, Forecast, Verdict};
use crate::domain::plan::Kind;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Foreseen, Outcome, Progress, RunChange};
use crate::domain::text::count;
use crate::engine::foretell::{Foretold, counts, foretell, line, words};
use crate::engine::job::{Ending, Job};
use std::time::Duration;
use tokio::time::Instant;

/// In a roll, a block is looked at again for this time before it counts.
const PATIENCE: Duration = Duration::from_secs(45);

/// Says of each pod whether it moves, stays or is blocked, and whether the drain will finish. Pods that may not be moved
/// without an option fail the step, before anything is touched; what a budget blocks is a warning.
pub(super) async fn predict(job: &Job) -> Ending {
    let node = job.node()?;
    job.say("reading nodes, pods and budgets");
    let cluster = &job.backends().cluster;
    let options = &job.shared.plan.drain;
    // the other nodes of the run spend the same budgets, and take no pods either
    let plan = &job.shared.plan;
    let is_drain = plan.kind == Kind::Drain && plan.nodes.contains(node);
    let targets = if is_drain { plan.nodes.as_slice() } else { std::slice::from_ref(node) };
    let end = Instant::now() + PATIENCE;
    let told = loop {
        let read = || foretell(cluster, targets, options);
        let mut told = job.patiently("reading nodes, pods and budgets", read).await?;
        told.nodes.retain(|one| one.node == *node);
        // other nodes of the same roll take room from the budgets, and give it back by themselves
        let may_pass = plan.parent.is_some() && told.verdict().is_blocked() && Instant::now() < end;
        if !may_pass {
            break told;
        }
        job.say(format!(
            "{}; looking again, as other nodes of the roll were just emptied",
            told.verdict().words()
        ));
        tokio::time::sleep(job.backends().settings.timing.poll.max(Duration::from_secs(1))).await;
    };
    let pods: Vec<&Forecast> = told.nodes.iter().flat_map(|node| &node.pods).collect();
    for text in &told.notes {
        job.warn(text.clone()).await;
    }
    for pod in &pods {
        for why in &pod.warnings {
            job.warn(format!("{}: {why}", pod.pod)).await;
        }
    }
    let text = format!("{} on {node}", count(pods.len(), "pod"));
    job.progress(Progress { text, items: pods.iter().map(|pod| line(pod)).collect(), ..Progress::default() });
    let foreseen = |pod: &&Forecast| Foreseen { pod: pod.pod.clone(), words: words(pod) };
    let pods = pods.iter().map(foreseen).collect();
    job.shared.voice.tell(RunChange::Foretold { step: job.index, pods }).await;
    judge(&told)
}

fn judge(told: &Foretold) -> Ending {
    let pods: Vec<Forecast> = told.nodes.iter().flat_map(|node| node.pods.clone()).collect();
    let refused: Vec<&Forecast> = pods.iter().filter(|pod| matches!(pod.class, Class::Refuse(_))).collect();
    if !refused.is_empty() {
        let words = format!("{} cannot be moved with these options", count(refused.len(), "pod"));
        let report = Report::new(FailureKind::Denied, words);
        return Err(refused
            .iter()
            .fold(report, |report, pod| report.because(line(pod)))
            .hint("start again with the options that you want"));
    }
    let verdict = told.verdict();
    let mut parts = vec![format!("{} ({})", verdict.words(), counts(&pods))];
    if let Verdict::Blocked { by } = &verdict {
        parts.extend(by.iter().map(crate::domain::forecast::Block::line));
    }
    let waits = pods.iter().filter(|pod| matches!(pod.expectation, Expectation::Waits { .. }));
    parts.extend(waits.map(line));
    let homeless = told.homeless().count();
    if homeless > 0 {
        parts.push(format!("{} nowhere to run", have(homeless)));
    }
    let words = parts.join("; ");
    let is_fine = matches!(verdict, Verdict::Finishes | Verdict::Waits { .. });
    Ok(if is_fine && homeless == 0 { Outcome::Done(words) } else { Outcome::Warned(words) })
}

fn have(pods: usize) -> String {
    if pods == 1 { "1 replacement has".to_owned() } else { format!("{pods} replacements have") }
}
