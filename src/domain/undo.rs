//! What it takes to put things back, and what stays changed: computed from a run's view alone.
//!
//! The console shows it before an abort, the engine carries it out, and the list of past runs tells it of runs that
//! never ended. Nothing here assumes that a step which failed had no effect: a request that was cut off may have
//! arrived, so its undo is planned, and that undo looks before it changes anything.

mod roll;

use super::debt::Debt;
use super::ids::NodeName;
use super::plan::{Kind, Step, StepKind};
use super::report::FailureKind;
use super::run::{Outcome, RunState, RunView, StepState, StepView};
use super::standing::About;
use std::time::Duration;

/// How a step reads that the engineer left out.
pub const LEFT_OUT: &str = "left out by the engineer";

/// A plan for putting things back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Undo {
    /// What will be done, in order.
    pub steps: Vec<Step>,
    /// What cannot or must not be undone, in words.
    pub stays: Vec<String>,
}

/// What a run did to one node.
struct Trace<'a> {
    view: &'a RunView,
    node: &'a NodeName,
}

impl Trace<'_> {
    fn steps(&self, kind: StepKind) -> impl Iterator<Item = &StepView> {
        let node = self.node;
        self.view
            .steps
            .iter()
            .filter(move |view| view.step.kind == kind && view.step.node.as_ref().is_none_or(|on| on == node))
    }

    fn has_done(&self, kind: StepKind) -> bool {
        self.steps(kind).any(is_done)
    }

    fn is_cordoned_by_us(&self) -> bool {
        // an attempt before the one that was refused may have arrived
        let is_refused = |view: &StepView| view.attempts == 1 && is_refused(view);
        let has_touched = self.steps(StepKind::Cordon).any(|view| may_have_acted(view) && !is_refused(view));
        has_touched && !self.steps(StepKind::Uncordon).any(has_ended_well)
    }

    /// Asked to reboot, as far as can be known. A step that failed before it asked did nothing to the host.
    fn is_asked(&self) -> bool {
        self.steps(StepKind::Reboot).any(|view| view.asked || is_done(view))
    }

    /// Asked to reboot, and not seen back with a new boot id and Ready.
    fn is_away(&self) -> bool {
        self.is_asked() && !self.has_done(StepKind::Back)
    }

    /// Back, but the gates of the return have not passed.
    fn is_unverified(&self) -> bool {
        self.is_asked() && !self.has_done(StepKind::Verify)
    }

    fn pods_moved(&self) -> u64 {
        self.steps(StepKind::Drain)
            // a step over several nodes counts once, at the first
            .filter(|view| view.step.node.is_some() || self.view.nodes.first() == Some(self.node))
            .filter(|view| may_have_acted(view))
            .filter_map(|view| {
                let progress = view.progress.as_ref()?;
                progress.moved.or(progress.done)
            })
            .sum()
    }
}

fn may_have_acted(view: &StepView) -> bool {
    view.attempts > 0 && !matches!(view.state, StepState::Ended(Outcome::Skipped(_), _))
}

fn is_done(view: &StepView) -> bool {
    matches!(view.state, StepState::Ended(Outcome::Done(_) | Outcome::Warned(_), _))
}

/// Refused for a reason of its own: another holds the lock, it may not be taken, a webhook or a missing right forbids it.
fn is_refused(view: &StepView) -> bool {
    let StepState::Ended(Outcome::Failed(report), _) = &view.state else { return false };
    matches!(report.kind, FailureKind::Denied | FailureKind::Forbidden)
}

/// Done, or found to be needless. A step that the engineer left out did not put anything back.
fn has_ended_well(view: &StepView) -> bool {
    match &view.state {
        StepState::Ended(Outcome::Done(_) | Outcome::Warned(_), _) => true,
        StepState::Ended(Outcome::Skipped(why), _) => why != LEFT_OUT,
        _ => false,
    }
}

/// Whether the run may hold the maintenance lock.
fn is_locked(view: &RunView) -> bool {
    let of = |kind| view.steps.iter().filter(move |step| step.step.kind == kind);
    of(StepKind::Lock).any(|step| may_have_acted(step) && !is_refused(step))
        && !of(StepKind::Unlock).any(has_ended_well)
}

/// What an abort will do now.
pub fn undo(view: &RunView) -> Undo {
    let mut undo = Undo::default();
    if let Some(roll) = &view.roll {
        self::roll::turns(roll, view, &mut undo);
    }
    undo.steps.extend(view.debts.iter().rev().map(restore));
    for node in &view.nodes {
        let trace = Trace { view, node };
        if trace.is_cordoned_by_us() {
            if trace.is_away() {
                undo.stays.push(format!(
                    "{node} stays cordoned: it was asked to reboot and was not seen back in a new boot, Ready"
                ));
            } else {
                undo.steps.push(uncordon(node));
                if trace.is_unverified() {
                    undo.stays.push(format!(
                        "{node} is back and Ready, but the gates of its return have not passed: look at them first"
                    ));
                }
            }
        }
        undo.stays.extend(cannot_be_undone(&trace));
    }
    if is_locked(view) {
        undo.steps.push(unlock(view));
    }
    undo
}

/// What is changed now and is not so for good, in few words: `cp-1 is cordoned, the lock is held`; empty = nothing.
pub fn brief(view: &RunView) -> String {
    let nodes = view.nodes.iter().filter_map(|node| {
        let trace = Trace { view, node };
        match (trace.is_cordoned_by_us(), trace.is_unverified()) {
            (true, true) => Some(format!("{node} is cordoned and its return is not verified")),
            (true, false) => Some(format!("{node} is cordoned")),
            (false, true) => Some(format!("the return of {node} is not verified")),
            (false, false) => None,
        }
    });
    let turns = view.roll.iter().flat_map(|roll| roll.turns.iter());
    let turns = turns.filter_map(|turn| turn.child.as_deref()).map(brief).filter(|words| !words.is_empty());
    let nodes = nodes.chain(turns);
    let debts = view.debts.iter().map(Debt::brief);
    let lock = is_locked(view).then(|| "the lock is held".to_owned());
    debts.chain(nodes).chain(lock).collect::<Vec<_>>().join(", ")
}

/// What stays changed when a run ends in a state, in words; empty = as it was found, or as it was asked for.
pub fn left(view: &RunView, end: RunState) -> Vec<String> {
    let mut left = left_without_lock(view, end);
    if is_locked(view) {
        left.push(format!(
            "the maintenance lock is marked with run {}: its holder may take it again, others with --adopt-lock",
            view.id
        ));
    }
    left
}

/// What a run left that came to no last word: nobody has marked its lock, it just is not renewed any more. `end` = how it is
/// to be read.
pub fn left_unsaid(view: &RunView, end: RunState) -> Vec<String> {
    let mut left = left_without_lock(view, end);
    if is_locked(view) {
        let id = &view.id;
        left.push(format!(
            "the maintenance lock was not given back, and nobody renews it: pitstop runs resume {id}, or runs abort {id}"
        ));
    }
    left
}

/// Whether the run may hold the maintenance lock still.
pub fn holds_lock(view: &RunView) -> bool {
    is_locked(view)
}

/// The same without the maintenance lock.
pub fn left_without_lock(view: &RunView, end: RunState) -> Vec<String> {
    claims(view, end).into_iter().map(|(words, _)| words).collect()
}

/// The same, each with what it is about.
pub fn claims(view: &RunView, end: RunState) -> Vec<(String, About)> {
    let debt = |debt: &Debt| (debt.words(), About::Debt(Box::new(debt.clone())));
    let told = |words: String| (words, About::Told);
    let mut left: Vec<_> = view.debts.iter().map(debt).collect();
    if let Some(roll) = &view.roll {
        left.extend(self::roll::left(roll, view, end).into_iter().map(told));
    }
    for node in &view.nodes {
        let trace = Trace { view, node };
        let is_the_purpose = end == RunState::Done && matches!(view.kind, Kind::Cordon | Kind::Drain);
        if trace.is_cordoned_by_us() && !is_the_purpose {
            let words = format!("{node} is cordoned by this run: kubectl uncordon {node}");
            left.push((words, About::Cordon(node.clone())));
        }
        if end != RunState::Done {
            left.extend(cannot_be_undone(&trace).into_iter().map(told));
            if trace.is_unverified() {
                left.push(told(format!("{node} was asked to reboot, and its return was not verified")));
            }
            if view.kind == Kind::Uncordon && trace.has_done(StepKind::Uncordon) {
                let words = format!("{node} is schedulable: kubectl cordon {node}");
                left.push((words, About::Opened(node.clone())));
            }
        }
    }
    left
}

fn cannot_be_undone(trace: &Trace<'_>) -> Vec<String> {
    let mut words = Vec::new();
    let shares = trace.steps(StepKind::Drain).any(|view| view.step.node.is_none());
    let nodes: Vec<&str> = trace.view.nodes.iter().map(NodeName::as_str).collect();
    let node = if shares { nodes.join(", ") } else { trace.node.to_string() };
    let moved = trace.pods_moved();
    if moved > 0 {
        let (pods, them) = if moved == 1 { ("pod was", "itself") } else { ("pods were", "themselves") };
        let come = if moved == 1 { "does" } else { "do" };
        words.push(format!("{moved} {pods} moved away from {node} and {come} not come back by {them}"));
    }
    if trace.has_done(StepKind::MoveLeader) {
        words.push(format!("the etcd leadership was moved away from {node} and stays where it is"));
    }
    words
}

fn uncordon(node: &NodeName) -> Step {
    Step {
        kind: StepKind::Uncordon,
        node: Some(node.clone()),
        what: format!("make {node} schedulable again, if this run cordoned it"),
        command: format!("kubectl uncordon {node}"),
        gates: Vec::new(),
        timeout: Duration::from_mins(1),
        may_skip: true,
        undo: None,
        unchecked: Vec::new(),
        not_applicable: None,
        debt: None,
    }
}

/// Puts one debt back, where it still is as we left it.
fn restore(debt: &Debt) -> Step {
    Step {
        kind: StepKind::Restore,
        node: None,
        what: format!("put back what is still as we set it: {}", debt.what()),
        command: debt.command(),
        gates: Vec::new(),
        timeout: Duration::from_mins(2),
        may_skip: true,
        undo: None,
        unchecked: Vec::new(),
        not_applicable: None,
        debt: Some(Box::new(debt.clone())),
    }
}

fn unlock(view: &RunView) -> Step {
    let planned = view.steps.iter().find(|step| step.step.kind == StepKind::Unlock);
    Step {
        kind: StepKind::Unlock,
        node: view.nodes.first().cloned(),
        what: "give the maintenance lock back, if this run holds it".to_owned(),
        command: planned.map(|view| view.step.command.clone()).unwrap_or_default(),
        gates: Vec::new(),
        timeout: Duration::from_mins(1),
        may_skip: true,
        undo: None,
        unchecked: Vec::new(),
        not_applicable: None,
        debt: None,
    }
}

#[cfg(test)]
#[path = "undo_tests.rs"]
mod tests;
