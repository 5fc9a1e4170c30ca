//! The last look of a roll: every gate of the whole cluster, twice, against how it was before the first node.

use crate::domain::gate::Gate;
use crate::domain::run::{Outcome, Progress};
use crate::domain::text::count;
use crate::domain::time::brief;
use crate::engine::gate::{Details, Purpose, Scene, closed, judge, names};
use crate::engine::job::{Ending, Job};
use tokio::time::Instant;

/// What nodes that were drained on purpose leave is no finding, and neither is the roll's own lock.
fn is_asked(job: &Job, gate: &Gate) -> bool {
    let leaves_cordons = job.shared.turns_stay_cordoned();
    gate.name != names::LOCKS
        && !(leaves_cordons && gate.name == names::CORDONS)
        && gate.name != names::BUDGETS
}

/// Reads all gates until they have passed twice in a row; what is not put right in time is told, and is no failure of the
/// roll: it is over.
pub(super) async fn look(job: &Job) -> Ending {
    let timing = &job.backends().settings.timing;
    let end = Instant::now() + timing.verify;
    let mut since: Option<Instant> = None;
    let mut details = Details::default();
    loop {
        let scene =
            Scene::read(job.backends(), None, Purpose::Between(Box::new(job.memory().baseline))).await;
        let mut gates: Vec<Gate> = judge(&scene).into_iter().filter(|gate| is_asked(job, gate)).collect();
        details.add(&job.backends().cluster, &mut gates).await;
        for gate in &gates {
            job.show(gate.clone()).await;
        }
        let closed = closed(&gates);
        if closed.is_empty() {
            match since {
                Some(first) if first.elapsed() >= timing.verify_interval => {
                    let apart = brief(first.elapsed());
                    let words = format!("{} passed twice, {apart} apart", count(gates.len(), "gate"));
                    return Ok(match super::gates::count_after(job).await {
                        Ok(components) => Outcome::Done(format!("{words}; {components}")),
                        Err(why) => Outcome::Warned(format!("{words}; {why}")),
                    });
                }
                Some(_) => {}
                None => since = Some(Instant::now()),
            }
            job.say("all gates passed once; the second reading follows");
            tokio::time::sleep(timing.verify_interval).await;
            continue;
        }
        since = None;
        let mut items: Vec<String> =
            closed.iter().map(|gate| format!("{}: {}", gate.name, gate.evidence)).collect();
        if Instant::now() >= end {
            items.extend(super::gates::count_after(job).await.err());
            return Ok(Outcome::Warned(items.join("; ")));
        }
        let text = format!("{} not passed yet", count(closed.len(), "gate"));
        job.progress(Progress { text, items, ..Progress::default() });
        tokio::time::sleep(timing.poll).await;
    }
}
