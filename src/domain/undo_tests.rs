//! What an abort puts back.

use super::*;
use crate::domain::config::DrainOptions;
use crate::domain::debt::ObjectKey;
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
        held: None,
        window: crate::domain::window::Opening::Always,
        debts: Vec::new(),
        compared: Vec::new(),
        drain: DrainOptions::default(),
        resolve: None,
        watched: crate::domain::run::Watched::default(),
        roll: None,
        parent: None,
    }
}

fn kinds(undo: &Undo) -> Vec<StepKind> {
    undo.steps.iter().map(|step| step.kind).collect()
}

#[test]
fn an_untouched_node_needs_no_undo() {
    let view = run(Kind::Reboot, vec![done(StepKind::Preflight), StepView::new(step(StepKind::Lock), false)]);
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
    let refused = ended(StepKind::Lock, Outcome::Failed(Report::new(FailureKind::Denied, "held by bob")));
    assert!(left(&run(Kind::Reboot, vec![refused]), RunState::Failed).is_empty(), "it never had the lock");
    let cut = ended(StepKind::Lock, Outcome::Failed(Report::new(FailureKind::Timeout, "no answer")));
    assert_eq!(left(&run(Kind::Reboot, vec![cut]), RunState::Failed).len(), 1, "it may have it");
    let lost = ended(StepKind::Cordon, Outcome::Failed(Report::new(FailureKind::Timeout, "no answer")));
    assert_eq!(kinds(&undo(&run(Kind::Cordon, vec![lost]))), [StepKind::Uncordon]);
}

#[test]
fn a_cordon_that_was_refused_is_nobodys() {
    for kind in [FailureKind::Denied, FailureKind::Forbidden] {
        let mut refused = ended(StepKind::Cordon, Outcome::Failed(Report::new(kind, "a webhook says no")));
        let view = run(Kind::Reboot, vec![done(StepKind::Lock), refused.clone()]);
        assert_eq!(kinds(&undo(&view)), [StepKind::Unlock], "{kind:?}");
        assert_eq!(left_without_lock(&view, RunState::Failed), Vec::<String>::new());
        refused.attempts = 2;
        let again = run(Kind::Reboot, vec![refused]);
        assert_eq!(kinds(&undo(&again)), [StepKind::Uncordon], "the attempt before may have arrived");
    }
}

#[test]
fn pods_in_their_grace_are_moved_too() {
    let mut drain = ended(StepKind::Drain, Outcome::Aborted);
    drain.progress = Some(Progress { done: Some(3), moved: Some(15), ..Progress::default() });
    let plan = undo(&run(Kind::Drain, vec![drain]));
    assert_eq!(plan.stays, ["15 pods were moved away from cp-1 and do not come back by themselves"]);
}

#[test]
fn a_run_without_a_last_word_has_marked_no_lock() {
    let view = run(Kind::Reboot, vec![done(StepKind::Lock), done(StepKind::Cordon)]);
    let left = left_unsaid(&view, RunState::Interrupted);
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[0].contains("is cordoned by this run") && left[1].contains("nobody renews it"), "{left:?}");
}

#[test]
fn a_node_that_did_not_come_back_is_never_uncordoned_as_cleanup() {
    let late = ended(StepKind::Back, Outcome::Failed(Report::new(FailureKind::Timeout, "not back")));
    let view =
        run(Kind::Reboot, vec![done(StepKind::Lock), done(StepKind::Cordon), done(StepKind::Reboot), late]);
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
    let failed = ended(StepKind::Reboot, Outcome::Failed(Report::new(FailureKind::Unreachable, "no SSH")));
    let mut view = run(Kind::Reboot, vec![done(StepKind::Lock), done(StepKind::Cordon), failed]);
    assert_eq!(kinds(&undo(&view)), [StepKind::Uncordon, StepKind::Unlock]);
    assert!(!left(&view, RunState::Failed).iter().any(|line| line.contains("reboot")));
    let change = RunChange::Asked { step: 2 };
    view.apply(&RunEvent { op: OpId(1), run: RunId::from("r"), at: Stamp(0), change });
    assert_eq!(kinds(&undo(&view)), [StepKind::Unlock]);
    assert!(left(&view, RunState::Failed).iter().any(|line| line.contains("was asked to reboot")));
}

#[test]
fn debts_are_paid_back_first_and_the_last_one_first() {
    let owner = ObjectKey {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        namespace: "shop".into(),
        name: "web".into(),
        uid: "u".into(),
    };
    let scaled = Debt::OwnerScaled { owner: owner.clone(), before: 1, ours: 2 };
    let autoscaler = ObjectKey { kind: "HorizontalPodAutoscaler".into(), ..owner };
    let raised = Debt::HpaRaised { autoscaler, before: Some(1), ours: 2 };
    let mut view = run(Kind::Drain, vec![done(StepKind::Cordon)]);
    let change = RunChange::Owes { debts: vec![scaled.clone(), raised.clone()] };
    view.apply(&RunEvent { op: OpId(1), run: RunId::from("r"), at: Stamp(0), change });
    let plan = undo(&view);
    assert_eq!(kinds(&plan), [StepKind::Restore, StepKind::Restore, StepKind::Uncordon]);
    assert_eq!(plan.steps[0].debt.as_deref(), Some(&raised));
    assert_eq!(plan.steps[0].command, raised.command());
    assert!(brief(&view).starts_with("Deployment shop/web is scaled up, "), "{}", brief(&view));
    assert_eq!(
        left(&view, RunState::Done),
        [scaled.words(), raised.words()],
        "even a run that is done owes them"
    );
    let change = RunChange::Owes { debts: Vec::new() };
    view.apply(&RunEvent { op: OpId(1), run: RunId::from("r"), at: Stamp(0), change });
    assert_eq!(left(&view, RunState::Done), Vec::<String>::new());
}

#[test]
fn the_purpose_of_a_run_is_not_left_over() {
    assert!(left(&run(Kind::Drain, vec![done(StepKind::Cordon)]), RunState::Done).is_empty());
    let left_out = ended(StepKind::Uncordon, Outcome::Skipped(LEFT_OUT.into()));
    let view = run(Kind::Reboot, vec![done(StepKind::Cordon), left_out]);
    assert_eq!(left(&view, RunState::Done), ["cp-1 is cordoned by this run: kubectl uncordon cp-1"]);
}
