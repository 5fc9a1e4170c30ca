//! What the whole sequence of a roll meets: the drains in their order, as many together as are away together, and the time.

use super::estimate::{Estimate, estimate};
use crate::backend::clock::now;
use crate::backend::error::Error;
use crate::domain::drain::Class;
use crate::domain::forecast::{Expectation, Forecast};
use crate::domain::ids::NodeName;
use crate::domain::plan::Plan;
use crate::domain::report::{FailureKind, Report};
use crate::domain::roll::{Group, Roll, RollAction};
use crate::domain::run::{Foreseen, Outcome, Progress, RunChange};
use crate::domain::text::count;
use crate::engine::foretell::{Foretold, counts, foretell_in_waves, line, words};
use crate::engine::job::{Ending, Job};
use crate::engine::settings::Backends;
use std::collections::BTreeSet;

/// So many things are named one by one.
const NAMED: usize = 12;

/// A roll as it is foreseen.
#[derive(Debug, Clone)]
pub struct Outlook {
    /// Node by node, in the order of the turns.
    pub foretold: Foretold,
    /// How long it takes.
    pub estimate: Estimate,
}

/// Which nodes are away together.
fn waves(roll: &Roll) -> Vec<Vec<NodeName>> {
    if roll.options.action == RollAction::DrainOnly {
        // none of them is back before the next one goes
        return vec![roll.turns.iter().map(|turn| turn.node.clone()).collect()];
    }
    let workers = roll.turns.iter().filter(|turn| turn.group != Group::ControlPlane).count();
    let together = roll.options.max_unavailable.of(workers);
    let mut waves: Vec<(Group, Vec<NodeName>)> = Vec::new();
    for turn in &roll.turns {
        match waves.last_mut() {
            Some((Group::Workers, nodes)) if turn.group == Group::Workers && nodes.len() < together => {
                nodes.push(turn.node.clone());
            }
            _ => waves.push((turn.group, vec![turn.node.clone()])),
        }
    }
    waves.into_iter().map(|(_, nodes)| nodes).collect()
}

/// Foresees a roll.
///
/// # Errors
/// Nodes, pods, budgets or a `DaemonSet` cannot be read.
pub async fn outlook(backends: &Backends, plan: &Plan) -> Result<Option<Outlook>, Error> {
    let Some(roll) = &plan.roll else { return Ok(None) };
    let foretold = foretell_in_waves(&backends.cluster, &waves(roll), &plan.drain).await?;
    let estimate = estimate(&backends.settings, roll, now());
    Ok(Some(Outlook { foretold, estimate }))
}

/// The step of a roll: what no option lets move stops it before anything is touched; what a budget blocks is told.
pub(in crate::engine) async fn predict(job: &Job) -> Ending {
    job.say("reading nodes, pods and budgets");
    let read = || outlook(job.backends(), &job.shared.plan);
    let Some(Outlook { foretold, estimate }) = job.patiently("reading nodes, pods and budgets", read).await?
    else {
        return Ok(Outcome::Skipped("this is no roll".to_owned()));
    };
    for text in &foretold.notes {
        job.warn(text.clone()).await;
    }
    let pods: Vec<&Forecast> = foretold.nodes.iter().flat_map(|node| &node.pods).collect();
    let foreseen = |pod: &&Forecast| Foreseen { pod: pod.pod.clone(), words: words(pod) };
    let change = RunChange::Foretold {
        step: job.index,
        pods: pods.iter().filter(|pod| matters(pod)).map(foreseen).collect(),
    };
    job.shared.voice.tell(change).await;
    let refused: Vec<&&Forecast> = pods.iter().filter(|pod| matches!(pod.class, Class::Refuse(_))).collect();
    if !refused.is_empty() {
        let text = format!("{} cannot be moved with these options", count(refused.len(), "pod"));
        let report = Report::new(FailureKind::Denied, text);
        let report = refused.iter().take(NAMED).fold(report, |report, pod| report.because(line(pod)));
        return Err(report.hint("start again with the options that you want"));
    }
    Ok(judged(job, &foretold, &estimate).await)
}

/// What is worth a line of its own: what does not simply go or stay.
fn matters(pod: &Forecast) -> bool {
    !matches!(pod.expectation, Expectation::Moves | Expectation::Stays)
}

async fn judged(job: &Job, foretold: &Foretold, estimate: &Estimate) -> Outcome {
    let all: Vec<Forecast> = foretold.nodes.iter().flat_map(|node| node.pods.clone()).collect();
    let blocked: BTreeSet<&NodeName> =
        foretold.nodes.iter().filter(|node| node.verdict.is_blocked()).map(|node| &node.node).collect();
    let homeless = foretold.homeless().count();
    let mut parts = vec![counts(&all), estimate.words.clone()];
    parts.extend(estimate.window.clone());
    let mut items = Vec::new();
    for node in foretold.nodes.iter().filter(|node| blocked.contains(&node.node)) {
        for pod in node.pods.iter().filter(|pod| matches!(pod.expectation, Expectation::Blocked { .. })) {
            items.push(format!("{}: {}", node.node, line(pod)));
        }
    }
    for text in items.iter().take(NAMED) {
        job.warn(text.clone()).await;
    }
    job.progress(Progress { text: counts(&all), items: items.clone(), ..Progress::default() });
    if !blocked.is_empty() {
        let names: Vec<&str> = blocked.iter().take(NAMED).map(|node| node.as_str()).collect();
        let more = blocked.len().saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        parts.insert(0, format!("blocked as it is now: {}{more}", names.join(", ")));
    }
    if homeless > 0 {
        parts.insert(0, format!("{} nowhere to run meanwhile", have(homeless)));
    }
    let words = parts.join("; ");
    if blocked.is_empty() && homeless == 0 && estimate.fits {
        Outcome::Done(words)
    } else {
        Outcome::Warned(words)
    }
}

fn have(pods: usize) -> String {
    if pods == 1 { "1 replacement has".to_owned() } else { format!("{pods} replacements have") }
}
