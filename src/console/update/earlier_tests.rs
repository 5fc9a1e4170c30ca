//! Runs of earlier processes: their page, the questions, and what the answers start.

use super::tests::{enter, keys, press};
use super::update;
use crate::console::dialog::Dialog;
use crate::console::keymap::{Code, Key};
use crate::console::model::Model;
use crate::console::msg::{Effect, Msg};
use crate::console::samples;
use crate::domain::ids::{OpId, RunId};
use crate::domain::run::{RunChange, RunEvent};

/// The page of two earlier runs.
fn page(change: impl FnOnce(&mut crate::console::msg::Orphan)) -> Model {
    let mut model = samples::model();
    let mut first = samples::orphan("worker-1");
    first.context.clone_from(&model.setup.policy.context);
    first.holder.clone_from(&model.setup.holder);
    change(&mut first);
    update(&mut model, Msg::Orphans(vec![first, samples::orphan("worker-2")]));
    keys(&mut model, ":orphans");
    enter(&mut model);
    model
}

fn planned() -> RunChange {
    let plan = crate::domain::plan::Plan {
        kind: crate::domain::plan::Kind::Reboot,
        nodes: vec!["worker-1".into()],
        steps: vec![super::tests::step(crate::domain::plan::StepKind::Preflight)],
        drain: crate::domain::config::DrainOptions::default(),
        lock: crate::domain::lock::LockChoice::Take,
        resolve: None,
        roll: None,
        parent: None,
    };
    RunChange::Planned { plan }
}

fn taken_up(effects: &[Effect]) -> Option<(&RunId, bool)> {
    match effects {
        [Effect::TakeOver { run, aborts, .. }] => Some((run, *aborts)),
        _ => None,
    }
}

#[test]
fn an_earlier_run_is_gone_on_with_only_by_the_ladder() {
    let mut model = page(|_| {});
    assert!(keys(&mut model, "N").is_empty());
    assert!(matches!(model.dialog(), Some(Dialog::Confirm(_))));
    assert!(enter(&mut model).is_empty(), "Enter alone confirms nothing");
    keys(&mut model, "worker-1");
    let effects = enter(&mut model);
    let run = RunId::from("reboot-worker-1");
    assert_eq!(taken_up(&effects), Some((&run, false)), "{effects:?}");
    assert!(model.dialogs.is_empty());
    // the run is told whole by its new process, and is no orphan any more
    let planned = RunEvent { op: OpId(9), run: run.clone(), at: model.now, change: planned() };
    let view = crate::domain::run::RunView::begin(&planned).expect("a plan");
    let resumed = RunChange::Resumed {
        by: "ann@desk".into(),
        confirmed: "typed".into(),
        aborts: false,
        view: Some(Box::new(view)),
    };
    let at = model.now;
    update(&mut model, Msg::Run(RunEvent { op: OpId(1), run: run.clone(), at, change: resumed }));
    assert_eq!(model.open, Some(OpId(1)));
    assert!(model.known.orphans.iter().all(|orphan| orphan.run != run));
}

#[test]
fn what_it_left_is_put_back_after_the_plan_was_shown() {
    let mut model = page(|_| {});
    assert!(keys(&mut model, "X").is_empty());
    let Some(Dialog::Confirm(confirm)) = model.dialog() else { panic!("{:?}", model.dialog()) };
    assert!(confirm.facts.iter().any(|fact| fact.text.contains("make worker-1 schedulable")));
    let effects = keys(&mut model, "y");
    assert_eq!(taken_up(&effects), Some((&RunId::from("reboot-worker-1"), true)), "{effects:?}");
}

#[test]
fn a_run_of_another_context_machine_or_end_is_refused_with_the_reason() {
    type Change = fn(&mut crate::console::msg::Orphan);
    let cases: [(Change, &str); 3] = [
        (|orphan| orphan.context = "elsewhere".into(), "belongs to context elsewhere"),
        (|orphan| orphan.holder = "bob@far".into(), "was started by bob@far"),
        (|orphan| orphan.obstacle = Some("its abort was begun".into()), "its abort was begun"),
    ];
    for (change, words) in cases {
        let mut model = page(change);
        assert!(keys(&mut model, "N").is_empty());
        let Some(Dialog::Message(message)) = model.dialog() else { panic!("{:?}", model.dialog()) };
        assert!(message.lines[0].contains(words), "{message:?}");
    }
}

#[test]
fn tab_shows_the_next_one() {
    let mut model = page(|_| {});
    press(&mut model, Key::of(Code::Tab));
    let facts = crate::console::page::facts(&model, &crate::console::dialog::Subject::Orphans);
    assert!(facts.iter().any(|fact| fact.text.contains("reboot-worker-2")), "{facts:?}");
    press(&mut model, Key::of(Code::Tab));
    assert_eq!(model.orphan_at, 0);
}

#[test]
fn a_key_copies_the_report_of_the_open_run() {
    let mut model = samples::model();
    assert!(keys(&mut model, "e").is_empty());
    let run = RunId::from("r");
    let change = planned();
    let at = model.now;
    update(&mut model, Msg::Run(RunEvent { op: OpId(1), run: run.clone(), at, change }));
    assert_eq!(keys(&mut model, "5e"), [Effect::CopyReport(run)]);
}

#[test]
fn the_page_that_was_closed_opens_again_as_long_as_no_run_is_open() {
    let mut model = page(|_| {});
    press(&mut model, Key::of(Code::Esc));
    assert!(model.dialogs.is_empty() && !model.is_calling);
    model.open = None;
    keys(&mut model, "5");
    assert!(matches!(model.dialog(), Some(Dialog::Page(_))));
}
