//! The steps that read gates: before anything is touched, before the reboot, after it twice, and at the very end.

use crate::backend::clock::now;
use crate::domain::checklist::{summary, worse};
use crate::domain::etcd::EtcdView;
use crate::domain::gate::Gate;
use crate::domain::ids::NodeName;
use crate::domain::plan::{Kind, StepKind};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, Progress, RunChange};
use crate::domain::text::count;
use crate::domain::time::{Stamp, brief};
use crate::engine::checklist;
use crate::engine::gate::names::{ETCD_HASH, ETCD_MEMBER, ETCD_QUORUM};
use crate::engine::gate::{Baseline, Details, Purpose, Scene, Steady, closed, judge, manifests};
use crate::engine::job::{Ending, Job};
use crate::engine::memory::MemberBefore;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

async fn look(job: &Job, purpose: Purpose, details: &mut Details) -> Result<(Scene, Vec<Gate>), Report> {
    let node = job.node()?;
    let was_master = job.step.gates.iter().any(|gate| gate == ETCD_QUORUM || gate == ETCD_MEMBER);
    let mut scene = Scene::read_for(job.backends(), Some(node), was_master, purpose).await;
    scene.excused = job.shared.siblings();
    let weigh = |gate: Gate| job.shared.accepted.weigh(gate, job.step.kind).until(job.deadline);
    let mut gates: Vec<Gate> = judge(&scene).into_iter().map(weigh).collect();
    if matches!(&closed(&gates)[..], [last] if last.name == ETCD_HASH) && scene.etcd.is_some() {
        scene.compare(job.backends()).await;
        gates = judge(&scene).into_iter().map(weigh).collect();
    }
    details.add(&job.backends().cluster, &mut gates).await;
    for gate in &gates {
        job.show(gate.clone()).await;
    }
    Ok((scene, gates))
}

/// The failure of a step whose gates are not all open.
fn not_passed(gates: &[Gate]) -> Option<Report> {
    let closed = closed(gates);
    if closed.is_empty() {
        return None;
    }
    let names: Vec<&str> = closed.iter().map(|gate| gate.name.as_str()).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    let message = format!("{} {verb} not passed: {}", count(names.len(), "gate"), names.join(", "));
    let report = closed.iter().fold(Report::new(FailureKind::Denied, message), |report, gate| {
        report.because(format!("{}: {}", gate.name, gate.evidence))
    });
    Some(report.hint("put that right, then try the step again"))
}

/// The plan was made by what was known then: steps that it passes over must still be needless.
fn still_fits(job: &Job, scene: &Scene) -> Result<(), Report> {
    let passes_over = |kind: StepKind| {
        job.shared
            .plan
            .steps
            .iter()
            .any(|step| step.kind == kind && step.node == job.step.node && step.not_applicable.is_some())
    };
    let is_short = passes_over(StepKind::Backup) || passes_over(StepKind::MoveLeader);
    if !(scene.is_master && is_short) {
        return Ok(());
    }
    let words = format!(
        "{} hosts a control plane or an etcd member, and this plan was made without a backup of it",
        job.node()?
    );
    Err(Report::new(FailureKind::Denied, words).hint("abort, then start again: the plan is made anew"))
}

fn before(job: &Job) -> Purpose {
    Purpose::Before {
        run: Some(job.shared.lock_run().clone()),
        is_locked: job.shared.keeper().is_some(),
        lock: job.shared.plan.lock,
    }
}

/// Every gate once, and what is to be remembered for the return.
pub(super) async fn preflight(job: &Job) -> Ending {
    job.say("reading every gate");
    let (scene, gates) = look(job, before(job), &mut Details::default()).await?;
    still_fits(job, &scene)?;
    if let Some(report) = not_passed(&gates) {
        return Err(report);
    }
    remember(job, &scene)?;
    tell_apart(job).await;
    // how many workers may be away is the roll's matter, where there is one
    let away = if job.shared.plan.parent.is_some() { Vec::new() } else { workers_away(&scene) };
    let passed = format!("{} passed; {}", count(gates.len(), "gate"), count_before(job, &scene).await?);
    if away.is_empty() {
        Ok(Outcome::Done(passed))
    } else {
        Ok(Outcome::Warned(format!("{passed}; not Ready already: {}", away.join(", "))))
    }
}

/// What is not in order already is told by name before anything is touched: from here on it is nobody's doing.
async fn tell_apart(job: &Job) {
    let known = job.memory().baseline.words();
    if !known.is_empty() && job.shared.plan.parent.is_none() {
        job.warn(format!("not in order already, and kept apart from here on: {}", known.join(", "))).await;
    }
}

/// Goes through the checklist for the first time; a second preflight of a resumed run does not change what was counted.
async fn count_before(job: &Job, scene: &Scene) -> Result<String, Report> {
    if let Some(known) = job.memory().components {
        return Ok(format!("before: {}", summary(&known)));
    }
    let components = match checklist::of(scene) {
        Ok(components) => components,
        Err(report) => return Ok(format!("the checklist could not be gone through: {}", report.line())),
    };
    job.remember(|memory| memory.components = Some(components.clone()))?;
    let words = summary(&components);
    job.shared.voice.tell(RunChange::Counted { step: job.index, components }).await;
    Ok(words)
}

/// The checklist again; `Err` = something is short that was there before, or it cannot be told.
pub(super) async fn count_after(job: &Job) -> Result<String, String> {
    let Some(before) = job.memory().components else {
        return Err("the checklist was not gone through before: nothing to compare with".to_owned());
    };
    let counted = checklist::count_after(job.backends(), &before).await;
    let components =
        counted.map_err(|why| format!("the checklist cannot be gone through: {}", why.line()))?;
    let (worse, words) = (worse(&components), summary(&components));
    job.shared.voice.tell(RunChange::Counted { step: job.index, components }).await;
    if worse.is_empty() { Ok(words) } else { Err(format!("fewer than before: {}", worse.join("; "))) }
}

fn workers_away(scene: &Scene) -> Vec<String> {
    let Ok(nodes) = &scene.nodes else { return Vec::new() };
    nodes
        .values()
        .filter(|row| !row.is_control_plane() && !row.is_ready() && scene.node.as_ref() != Some(&row.name))
        .map(|row| row.name.0.clone())
        .collect()
}

/// What the return is judged by is how things were at first: a second preflight of a resumed run does not change it.
fn remember(job: &Job, scene: &Scene) -> Result<(), Report> {
    let uid = scene.target().map(|row| row.uid.clone());
    if job.memory().node_uid.is_some() {
        return Ok(());
    }
    let view = scene.etcd.as_ref().and_then(|samples| samples.second.as_ref().ok());
    let on_node = |view: &EtcdView| before_of(view, scene.node.as_ref()?);
    let member = view.and_then(on_node);
    let beside = view.iter().flat_map(|view| &view.others).filter_map(on_node).collect();
    let of_roll = job.shared.family.as_ref().and_then(|family| family.baseline());
    let known = of_roll.unwrap_or_else(|| Baseline::of(scene));
    let manifests = scene.pods.as_ref().map(|pods| manifests(pods)).unwrap_or_default();
    let boot = scene.target().map(|row| row.boot_id.clone()).filter(|boot| !boot.is_empty());
    job.remember(|memory| {
        memory.node_uid = uid;
        memory.boot_at_start = boot;
        memory.member_before = member;
        memory.members_beside = beside;
        memory.baseline = known;
        memory.manifests = manifests;
    })
}

/// The node's member of one cluster, as it is now.
fn before_of(view: &EtcdView, node: &NodeName) -> Option<MemberBefore> {
    let row = view.on_node(node)?;
    let statuses = view.members.iter().filter_map(|member| member.status.as_ref());
    Some(MemberBefore {
        id: row.id,
        cluster_id: view.cluster_id,
        index: statuses.map(|status| status.index).max().unwrap_or(0),
        revision: row.status.as_ref().map_or(0, |status| status.revision),
        cluster: view.name.clone(),
    })
}

/// Every gate again, fresh, and the node as we left it.
pub(super) async fn recheck(job: &Job) -> Ending {
    job.say("reading every gate again");
    // a reading may take a minute: it is as old as its beginning
    let began = now();
    let (scene, gates) = look(job, before(job), &mut Details::default()).await?;
    is_there(job, &scene)?;
    still_fits(job, &scene)?;
    if let Some(report) = not_passed(&gates) {
        return Err(report);
    }
    if let Some(row) = scene.target() {
        super::hold::check(job, row).await?;
    }
    super::backup::still_recent(job)?;
    let view = scene.etcd.as_ref().and_then(|samples| samples.second.as_ref().ok());
    let leads = super::leader::still_elsewhere(job, view).await?;
    job.remember(|memory| memory.rechecked = Some(began))?;
    let passed = format!("{} passed again", count(gates.len(), "gate"));
    Ok(Outcome::Done(leads.into_iter().fold(passed, |words, more| words + "; " + &more)))
}

/// The nodes could be read, and this one is not among them.
fn is_there(job: &Job, scene: &Scene) -> Result<(), Report> {
    let node = job.node()?;
    if scene.nodes.is_ok() && scene.target().is_none() { Err(super::hold::gone(node)) } else { Ok(()) }
}

/// What is not in order at the last look may still be on its way for so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// How old the last reading of all gates may be when the reboot is asked for.
const FRESH: Duration = Duration::from_secs(15);

/// A reading from the future tells that the clock was set back meanwhile, and nothing about its age.
fn is_fresh(read: Option<Stamp>, now: Stamp) -> bool {
    read.is_some_and(|at| at <= now && now.since(at) <= FRESH)
}

/// Gates that were read while the engineer thought about the reboot are no evidence any more: reads them again.
pub(super) async fn still_open(job: &Job) -> Result<(), Report> {
    let (read, now) = (job.memory().rechecked, now());
    if is_fresh(read, now) {
        return Ok(());
    }
    let words = match read {
        Some(at) if at <= now => format!("were read {} ago", brief(now.since(at))),
        Some(_) => "were read before the clock was set back".to_owned(),
        None => "were not read".to_owned(),
    };
    job.note(format!("the gates {words}: reading them once more")).await;
    Box::pin(recheck(job)).await.map(|_| ())
}

/// The gates of the return, until they passed twice in a row with a pause between.
pub(super) async fn verify(job: &Job) -> Ending {
    let pause = job.backends().settings.timing.verify_interval;
    let poll = job.backends().settings.timing.poll;
    let mut passed_since: Option<Instant> = None;
    let mut steady: Option<Box<Steady>> = None;
    let mut told: Option<String> = None;
    let mut details = Details::default();
    loop {
        let memory = Box::new(job.memory());
        let purpose = Purpose::Return { memory, steady: steady.clone(), beside: beside(job) };
        let (scene, gates) = look(job, purpose, &mut details).await?;
        is_there(job, &scene)?;
        if let Some(row) = scene.target() {
            super::hold::same(job, row)?;
            if let Some(words) = super::hold::meanwhile(job, row).filter(|words| told.as_ref() != Some(words))
            {
                job.warn(words.clone()).await;
                told = Some(words);
            }
        }
        let closed = closed(&gates);
        if closed.is_empty() {
            match passed_since {
                Some(first) if first.elapsed() >= pause && unproven(job, &scene).is_none() => {
                    let apart = brief(first.elapsed());
                    let mut words = format!("{} passed twice, {apart} apart", count(gates.len(), "gate"));
                    if let Some(row) = scene.target()
                        && let Some(changed) = super::command::prove(job, row)?
                    {
                        words = format!("{words}; {changed}");
                    }
                    // from here on it counts as steady: what came before is over
                    let since = scene.target().and_then(|row| row.ready_since);
                    job.remember(|memory| memory.returned = since)?;
                    return Ok(match told {
                        None => Outcome::Done(words),
                        Some(meanwhile) => Outcome::Warned(format!("{words}; {meanwhile}")),
                    });
                }
                Some(_) => {}
                None => {
                    passed_since = Some(Instant::now());
                    steady = Some(Box::new(Steady::of(&scene)));
                }
            }
            let (rest, why) = unproven(job, &scene).unwrap_or_default();
            let rest = rest.max(pause);
            job.say(format!("all gates passed once; the second reading follows within {}{why}", brief(rest)));
            tokio::time::sleep(rest).await;
        } else {
            (passed_since, steady) = (None, None);
            show_closed(job, &closed);
            if let Some(stop) = lost_data(&gates) {
                return Err(stop);
            }
            tokio::time::sleep(poll).await;
        }
    }
}

fn show_closed(job: &Job, closed: &[&Gate]) {
    let items = closed.iter().map(|gate| format!("{}: {}", gate.name, gate.evidence)).collect();
    let text = format!("{} not passed yet", count(closed.len(), "gate"));
    job.progress(Progress { text, items, ..Progress::default() });
}

/// A node that comes and goes may look well twice: it has to be Ready for three times the pause between two readings, and
/// for twelve times when it was seen to go since its return, or came and went before. What is left of that, and why.
fn unproven(job: &Job, scene: &Scene) -> Option<(Duration, String)> {
    let pause = job.backends().settings.timing.verify_interval;
    let (memory, row) = (job.memory(), scene.target()?);
    let since = row.ready_since?;
    let has_gone = memory.returned.is_some_and(|returned| since > returned);
    let (due, why) = match (has_gone, memory.baseline.unsteady.contains(&row.name)) {
        (true, _) => (pause * 12, "it stopped being Ready once more after its return"),
        (_, true) => (pause * 12, "it came and went before"),
        _ => (pause * 3, "it has just come back"),
    };
    let lasts = scene.clock.since(since);
    let left = due.checked_sub(lasts).filter(|left| !left.is_zero())?;
    Some((
        left,
        format!(": {} is Ready for {}, {} are asked for, as {why}", row.name, brief(lasts), brief(due)),
    ))
}

/// Nodes of the same roll that are in their turns.
fn beside(job: &Job) -> BTreeSet<NodeName> {
    let mut nodes = job.shared.family.as_ref().map(|family| family.under_way()).unwrap_or_default();
    if let Some(own) = &job.step.node {
        nodes.remove(own);
    }
    nodes
}

/// A member with another identity is not waited for: its data is gone, and going on would risk the others'.
fn lost_data(gates: &[Gate]) -> Option<Report> {
    let gate = gates.iter().find(|gate| {
        gate.name == crate::engine::gate::names::ETCD_MEMBER && gate.evidence.contains("stop here")
    })?;
    Some(Report::new(FailureKind::Identity, gate.evidence.clone()).hint(
        "leave the node cordoned; remove the old member and add this one as a learner before anything else",
    ))
}

/// Quiet time, then one more look.
pub(super) async fn settle(job: &Job) -> Ending {
    debug_assert_eq!(job.step.kind, StepKind::Settle);
    rest(job).await;
    let (begun, mut details) = (Instant::now(), Details::default());
    let (scene, gates) = loop {
        let purpose = Purpose::Settle { memory: Box::new(job.memory()), beside: beside(job) };
        let (scene, gates) = look(job, purpose, &mut details).await?;
        if closed(&gates).is_empty() || begun.elapsed() >= PATIENCE {
            break (scene, gates);
        }
        tokio::time::sleep(job.backends().settings.timing.poll).await;
    };
    let closed = closed(&gates);
    let node = job.node()?;
    let schedulable = placing(&scene);
    let counted = count_after(job).await;
    let mut words: Vec<String> =
        closed.iter().map(|gate| format!("{}: {}", gate.name, gate.evidence)).collect();
    match counted {
        Ok(components) if closed.is_empty() => {
            debug_assert_eq!(job.shared.plan.kind, Kind::Reboot);
            let passed = count(gates.len(), "gate");
            return Ok(Outcome::Done(format!("{passed} passed; {components}; {node} is {schedulable}")));
        }
        Ok(_) => {}
        Err(why) => words.push(why),
    }
    Ok(Outcome::Warned(format!("{node} is {schedulable}, but {}", words.join("; "))))
}

/// The quiet time, which the engineer may change while it runs.
async fn rest(job: &Job) {
    let began = Instant::now();
    let mut quiet = job.shared.settle.subscribe();
    loop {
        let span = *quiet.borrow_and_update();
        let text = format!("letting things settle for {}", brief(span));
        let left = span.saturating_sub(began.elapsed());
        job.progress(Progress { text, deadline: Some(now().plus(left)), ..Progress::default() });
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(began + span) => return,
            Ok(()) = quiet.changed() => {}
        }
    }
}

/// Whether pods may be placed on the node, as far as it could be read.
fn placing(scene: &Scene) -> &'static str {
    match scene.target() {
        Some(row) if row.cordoned => "cordoned",
        Some(_) => "schedulable",
        None => "in a state that could not be read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_fresh_for_a_while_and_never_from_the_future() {
        let now = Stamp(100_000);
        assert!(is_fresh(Some(Stamp(85_000)), now));
        assert!(!is_fresh(Some(Stamp(84_999)), now));
        assert!(!is_fresh(Some(Stamp(100_001)), now), "the clock was set back");
        assert!(!is_fresh(None, now));
    }
}
