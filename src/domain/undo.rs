//! What it takes to put things back, and what stays changed: computed from a run's view alone.
//!
//! The console shows it before an abort, the engine carries it out, and the list of past runs tells it of runs that
//! never ended. Nothing here assumes that a step which failed had no effect: a request that was cut off may have
//! arrived, so its undo is planned, and that undo looks before it changes anything.

use super::ids::NodeName;
use super::plan::{Kind, Step, StepKind};
use super::run::{Outcome, RunState, RunView, StepState, StepView};
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

    /// Begun, and not known to be without effect.
    fn has_touched(&self, kind: StepKind) -> bool {
        self.steps(kind).any(may_have_acted)
    }

    fn has_done(&self, kind: StepKind) -> bool {
        self.steps(kind).any(is_done)
    }

    fn is_cordoned_by_us(&self) -> bool {
        self.has_touched(StepKind::Cordon) && !self.steps(StepKind::Uncordon).any(has_ended_well)
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
            .filter(|view| may_have_acted(view))
            .filter_map(|view| view.progress.as_ref()?.done)
            .sum()
    }
}

fn may_have_acted(view: &StepView) -> bool {
    view.attempts > 0 && !matches!(view.state, StepState::Ended(Outcome::Skipped(_), _))
}

fn is_done(view: &StepView) -> bool {
    matches!(view.state, StepState::Ended(Outcome::Done(_) | Outcome::Warned(_), _))
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
    of(StepKind::Lock).any(may_have_acted) && !of(StepKind::Unlock).any(has_ended_well)
}

/// What an abort will do now.
pub fn undo(view: &RunView) -> Undo {
    let mut undo = Undo::default();
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
    let lock = is_locked(view).then(|| "the lock is held".to_owned());
    nodes.chain(lock).collect::<Vec<_>>().join(", ")
}

/// What stays changed when a run ends in a state, in words; empty = as it was found, or as it was asked for.
pub fn left(view: &RunView, end: RunState) -> Vec<String> {
    let mut left = left_on_nodes(view, end);
    if is_locked(view) {
        left.push(format!(
            "the maintenance lock is marked with run {}: its holder may take it again, others with --adopt-lock",
            view.id
        ));
    }
    left
}

/// The same without the maintenance lock.
pub fn left_on_nodes(view: &RunView, end: RunState) -> Vec<String> {
    let mut left = Vec::new();
    for node in &view.nodes {
        let trace = Trace { view, node };
        let is_the_purpose = end == RunState::Done && matches!(view.kind, Kind::Cordon | Kind::Drain);
        if trace.is_cordoned_by_us() && !is_the_purpose {
            left.push(format!("{node} is cordoned by this run: kubectl uncordon {node}"));
        }
        if end != RunState::Done {
            left.extend(cannot_be_undone(&trace));
            if trace.is_unverified() {
                left.push(format!("{node} was asked to reboot, and its return was not verified"));
            }
            if view.kind == Kind::Uncordon && trace.has_done(StepKind::Uncordon) {
                left.push(format!("{node} is schedulable: kubectl cordon {node}"));
            }
        }
    }
    left
}

fn cannot_be_undone(trace: &Trace<'_>) -> Vec<String> {
    let mut words = Vec::new();
    let node = trace.node;
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{OpId, RunId};
    use crate::domain::report::{FailureKind, Report};
    use crate::domain::run::{Progress, RunChange, RunEvent};
    use crate::domain::time::Stamp;

    fn step(kind: StepKind) -> Step {
        Step { kind, ..uncordon(&NodeName::from("cp-1")) }
    }

    fn ended(kind: StepKind, outcome: Outcome) -> StepView {
        let mut view = StepView::new(step(kind), false);
        view.attempts = 1;
        view.state = StepState::Ended(outcome, Duration::ZERO);
        view
    }

    fn done(kind: StepKind) -> StepView {
        ended(kind, Outcome::Done(String::new()))
    }

    fn run(kind: Kind, steps: Vec<StepView>) -> RunView {
        RunView {
            op: OpId(1),
            id: RunId::from("r"),
            kind,
            nodes: vec![NodeName::from("cp-1")],
            state: RunState::Running,
            automatic: false,
            started: Stamp(0),
            ended: None,
            steps,
            left: Vec::new(),
        }
    }

    fn kinds(undo: &Undo) -> Vec<StepKind> {
        undo.steps.iter().map(|step| step.kind).collect()
    }

    #[test]
    fn an_untouched_node_needs_no_undo() {
        let view =
            run(Kind::Reboot, vec![done(StepKind::Preflight), StepView::new(step(StepKind::Lock), false)]);
        assert_eq!(undo(&view), Undo::default());
        assert_eq!(left(&view, RunState::Aborted), Vec::<String>::new());
    }

    #[test]
    fn our_cordon_and_our_lock_are_given_back() {
        let mut drain = ended(StepKind::Drain, Outcome::Aborted);
        drain.progress = Some(Progress { done: Some(2), ..Progress::default() });
        let mut view = run(Kind::Reboot, vec![done(StepKind::Lock), done(StepKind::Cordon), drain]);
        let plan = undo(&view);
        assert_eq!(brief(&view), "cp-1 is cordoned, the lock is held");
        assert_eq!(kinds(&plan), [StepKind::Uncordon, StepKind::Unlock]);
        assert_eq!(plan.stays, ["2 pods were moved away from cp-1 and do not come back by themselves"]);
        view.steps.extend([done(StepKind::Uncordon), done(StepKind::Unlock)]);
        assert_eq!((left(&view, RunState::Aborted), brief(&view)), (plan.stays, String::new()));
    }

    #[test]
    fn a_cordon_of_somebody_else_stays() {
        let cordon = ended(StepKind::Cordon, Outcome::Skipped("cordoned by kubectl-cordon".into()));
        let view = run(Kind::Reboot, vec![cordon]);
        assert_eq!(undo(&view), Undo::default());
        assert!(left(&view, RunState::Aborted).is_empty());
    }

    #[test]
    fn a_cordon_whose_answer_got_lost_is_looked_at_again() {
        let lost = ended(StepKind::Cordon, Outcome::Failed(Report::new(FailureKind::Timeout, "no answer")));
        assert_eq!(kinds(&undo(&run(Kind::Cordon, vec![lost]))), [StepKind::Uncordon]);
    }

    #[test]
    fn a_node_that_did_not_come_back_is_never_uncordoned_as_cleanup() {
        let late = ended(StepKind::Back, Outcome::Failed(Report::new(FailureKind::Timeout, "not back")));
        let view = run(
            Kind::Reboot,
            vec![done(StepKind::Lock), done(StepKind::Cordon), done(StepKind::Reboot), late],
        );
        let plan = undo(&view);
        assert_eq!(kinds(&plan), [StepKind::Unlock]);
        assert!(plan.stays[0].contains("stays cordoned"), "{:?}", plan.stays);
        let left = left(&view, RunState::Failed);
        assert!(left.iter().any(|line| line.contains("return was not verified")), "{left:?}");
    }

    #[test]
    fn a_node_that_is_back_and_ready_is_left_as_it_was_found() {
        let steps = [StepKind::Lock, StepKind::Cordon, StepKind::Reboot, StepKind::Back].map(done).to_vec();
        let plan = undo(&run(Kind::Reboot, steps));
        assert_eq!(kinds(&plan), [StepKind::Uncordon, StepKind::Unlock]);
        assert!(plan.stays[0].contains("have not passed"), "{:?}", plan.stays);
    }

    #[test]
    fn a_reboot_counts_from_the_moment_it_was_asked_for() {
        let failed =
            ended(StepKind::Reboot, Outcome::Failed(Report::new(FailureKind::Unreachable, "no SSH")));
        let mut view = run(Kind::Reboot, vec![done(StepKind::Lock), done(StepKind::Cordon), failed]);
        assert_eq!(kinds(&undo(&view)), [StepKind::Uncordon, StepKind::Unlock]);
        assert!(!left(&view, RunState::Failed).iter().any(|line| line.contains("reboot")));
        let change = RunChange::Asked { step: 2 };
        view.apply(&RunEvent { op: OpId(1), run: RunId::from("r"), at: Stamp(0), change });
        assert_eq!(kinds(&undo(&view)), [StepKind::Unlock]);
        assert!(left(&view, RunState::Failed).iter().any(|line| line.contains("was asked to reboot")));
    }

    #[test]
    fn the_purpose_of_a_run_is_not_left_over() {
        assert!(left(&run(Kind::Drain, vec![done(StepKind::Cordon)]), RunState::Done).is_empty());
        let left_out = ended(StepKind::Uncordon, Outcome::Skipped(LEFT_OUT.into()));
        let view = run(Kind::Reboot, vec![done(StepKind::Cordon), left_out]);
        assert_eq!(left(&view, RunState::Done), ["cp-1 is cordoned by this run: kubectl uncordon cp-1"]);
    }
}
