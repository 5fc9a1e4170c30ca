//! Every gate of the whole cluster, twice, against how it was before the first node: between the nodes of a roll that only
//! drains them, and at the end of any roll.
//!
//! A node that stays cordoned has no return to be judged: it has no other boot, and its host is not asked. What is judged
//! is the rest of the cluster, which now has to do without it: API servers and leaders, every node (the drained one reports
//! as before), static and system-critical pods (one that found no other node is an offender), network, name service, etcd.
//! The cordons that the roll leaves on purpose, its own lock, budgets and the age of backups are no matter of this.

use crate::domain::gate::Gate;
use crate::domain::ids::NodeName;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, Progress};
use crate::domain::text::count;
use crate::domain::time::brief;
use crate::engine::gate::{Baseline, Details, Purpose, Scene, Steady, closed, judge, names};
use crate::engine::job::{Ending, Job};
use std::collections::BTreeSet;
use tokio::time::Instant;

/// The node whose turn this belongs to; `None` = the last look of the roll.
fn turn(job: &Job) -> Option<&NodeName> {
    job.shared.plan.parent.as_ref().and(job.step.node.as_ref())
}

fn is_asked(job: &Job, gate: &Gate) -> bool {
    let leaves_cordons = turn(job).is_some() || job.shared.turns_stay_cordoned();
    let is_for_the_start = turn(job).is_some() && gate.name == names::ETCD_BACKUP;
    gate.name != names::LOCKS
        && !(leaves_cordons && gate.name == names::CORDONS)
        && gate.name != names::BUDGETS
        && !is_for_the_start
}

/// How it was before the first node, by the roll's word.
fn before(job: &Job) -> Baseline {
    let of_roll = job.shared.family.as_ref().and_then(|family| family.baseline());
    of_roll.unwrap_or_else(|| job.memory().baseline)
}

/// Reads all gates until they have passed twice in a row. In the turn of a node, what is not put right in time fails the
/// step, so that no other node begins; at the end it is told, and is no failure of the roll: that is over.
pub(super) async fn look(job: &Job) -> Ending {
    let timing = &job.backends().settings.timing;
    let end = Instant::now() + timing.verify;
    let mut passed: Option<(Instant, Box<Steady>)> = None;
    let mut details = Details::default();
    loop {
        let steady = passed.as_ref().map(|(_, steady)| steady.clone());
        let (scene, gates) = read(job, steady, &mut details).await;
        let closed = closed(&gates);
        if closed.is_empty() {
            match &passed {
                Some((first, _)) if first.elapsed() >= timing.verify_interval => {
                    let apart = brief(first.elapsed());
                    return done(job, format!("{} passed twice, {apart} apart", count(gates.len(), "gate")))
                        .await;
                }
                Some(_) => {}
                None => passed = Some((Instant::now(), Box::new(Steady::of(&scene)))),
            }
            job.say("all gates passed once; the second reading follows");
            tokio::time::sleep(timing.verify_interval).await;
            continue;
        }
        passed = None;
        let items: Vec<String> =
            closed.iter().map(|gate| format!("{}: {}", gate.name, gate.evidence)).collect();
        if Instant::now() >= end {
            return give_up(job, &closed, items).await;
        }
        let text = format!("{} not passed yet", count(closed.len(), "gate"));
        job.progress(Progress { text, items, ..Progress::default() });
        tokio::time::sleep(timing.poll).await;
    }
}

async fn read(job: &Job, steady: Option<Box<Steady>>, details: &mut Details) -> (Scene, Vec<Gate>) {
    let beside: BTreeSet<NodeName> =
        if turn(job).is_some() { job.shared.siblings() } else { BTreeSet::new() };
    let purpose = Purpose::Between { baseline: Box::new(before(job)), steady, beside };
    let scene = Scene::read(job.backends(), None, purpose).await;
    let weigh = |gate: Gate| job.shared.accepted.weigh(gate, job.step.kind).until(job.deadline);
    let gates = judge(&scene).into_iter().filter(|gate| is_asked(job, gate));
    let mut gates: Vec<Gate> = gates.map(weigh).collect();
    details.add(&job.backends().cluster, &mut gates).await;
    for gate in &gates {
        job.show(gate.clone()).await;
    }
    (scene, gates)
}

async fn done(job: &Job, words: String) -> Ending {
    if let Some(node) = turn(job) {
        return Ok(Outcome::Done(format!("{words}; {node} stays cordoned")));
    }
    Ok(match super::gates::count_after(job).await {
        Ok(components) => Outcome::Done(format!("{words}; {components}")),
        Err(why) => Outcome::Warned(format!("{words}; {why}")),
    })
}

async fn give_up(job: &Job, closed: &[&Gate], mut items: Vec<String>) -> Ending {
    if turn(job).is_none() {
        items.extend(super::gates::count_after(job).await.err());
        return Ok(Outcome::Warned(items.join("; ")));
    }
    let names: Vec<&str> = closed.iter().map(|gate| gate.name.as_str()).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    let message = format!("{} {verb} not passed: {}", count(names.len(), "gate"), names.join(", "));
    let report = items.into_iter().fold(Report::new(FailureKind::Denied, message), Report::because);
    Err(report.hint("put that right, then try the step again: no other node begins meanwhile"))
}
