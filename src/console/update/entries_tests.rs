//! Questions that take text, and the page of the lock.

use super::tests::{enter, keys, press, seen, select, tell, with_run};
use super::update;
use crate::console::dialog::Dialog;
use crate::console::keymap::{Code, Command, Key, obstacle};
use crate::console::model::Model;
use crate::console::msg::{Effect, Msg};
use crate::console::record::Recorder;
use crate::console::samples::{self, NOW};
use crate::domain::feed::Observation;
use crate::domain::gate::{Gate, Verdict};
use crate::domain::ids::{OpId, RunId};
use crate::domain::lock::{LeaseRow, LockChoice};
use crate::domain::plan::{Kind, StepKind};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, RunChange, RunCommand, RunEvent, RunState};
use crate::domain::time::Stamp;
use std::time::Duration;

/// A reboot whose preflight has failed at these gates.
fn failed(gates: &[&str]) -> Model {
    let mut model = with_run(&[StepKind::Preflight, StepKind::Settle]);
    tell(&mut model, RunChange::StepStarted { step: 0, attempt: 1 });
    for name in gates {
        let gate = Gate::new(name, "is it well", Verdict::Failed, "it is not", NOW);
        tell(&mut model, RunChange::GateRead { step: 0, gate });
    }
    let outcome = Outcome::Failed(Report::new(FailureKind::Denied, "gates are not passed"));
    tell(&mut model, RunChange::StepEnded { step: 0, outcome, took_ms: 1 });
    tell(&mut model, RunChange::State { state: RunState::Failed, automatic: false });
    model
}

#[test]
fn a_gate_is_accepted_only_with_a_reason() {
    let mut model = failed(&["etcd-quorum", "workers", "api"]);
    assert!(keys(&mut model, "O").is_empty());
    assert!(matches!(model.dialog(), Some(Dialog::Entry(_))));
    assert!(enter(&mut model).is_empty(), "an empty reason is none");
    assert!(keys(&mut model, "  ").is_empty() && enter(&mut model).is_empty());
    press(&mut model, Key::of(Code::Down));
    keys(&mut model, "known, ticket 7");
    let effects = enter(&mut model);
    let accept = RunCommand::Accept { step: 0, gate: "api".into(), reason: "known, ticket 7".into() };
    assert_eq!(effects, [Effect::Command { op: OpId(1), command: accept }]);
    assert!(model.dialogs.is_empty());
}

#[test]
fn what_makes_a_reboot_unsafe_is_not_offered() {
    let mut model = failed(&["etcd-quorum"]);
    assert!(obstacle(&model, Command::Accept).is_some());
    assert!(keys(&mut model, "O").is_empty());
    assert!(model.dialogs.is_empty());
}

#[test]
fn the_quiet_time_is_typed_in_a_run() {
    let mut model = failed(&["workers"]);
    keys(&mut model, "I");
    keys(&mut model, "soon");
    assert!(enter(&mut model).is_empty());
    press(&mut model, Key::of(Code::Esc));
    keys(&mut model, "I90s");
    let command = RunCommand::Settle(Duration::from_secs(90));
    assert_eq!(enter(&mut model), [Effect::Command { op: OpId(1), command }]);
}

#[test]
fn a_reason_does_not_get_into_a_recording() {
    let mut model = failed(&["workers"]);
    let mut recorder = Recorder::new(&model);
    let mut hear = |model: &mut Model, key: Key| {
        let msg = Msg::Key(key, Stamp(model.now.0 + 400));
        recorder.hear(model, &msg, model.now);
        update(model, msg);
    };
    "O".chars().chain("the-reason-of-mine".chars()).for_each(|ch| hear(&mut model, Key::char(ch)));
    hear(&mut model, Key::of(Code::Enter));
    let gate = "workers".to_owned();
    let order = RunCommand::Accept { step: 0, gate, reason: "the-reason-of-mine".to_owned() };
    let change = RunChange::Decided { step: 0, order, by: "ann@desk".to_owned() };
    let event = RunEvent { op: OpId(1), run: RunId::from("r-1"), at: model.now, change };
    recorder.hear(&model, &Msg::Run(event), model.now);
    let text = recorder.recording().unwrap().write(NOW).unwrap();
    assert!(!text.contains("the-reason-of-mine"));
    let typed: String = text.lines().filter(|line| line.contains("{\"char\":\"")).collect();
    assert!(!typed.contains("{\"char\":\"r\"}"), "{typed}");
}

fn lock(renewed: i64, tombstone: Option<&str>) -> Observation {
    Observation::Lock(Some(LeaseRow {
        holder: "bob@there".into(),
        run: Some("reboot-cp-2".into()),
        step: Some("drain".into()),
        node: Some("cp-2".into()),
        since: Some(Stamp(NOW.0 - 300_000)),
        renewed: Some(Stamp(NOW.0 + renewed)),
        lasts: Duration::from_mins(1),
        tombstone: tombstone.map(str::to_owned),
    }))
}

#[test]
fn a_lock_that_was_left_is_adopted_for_one_run_or_cleared_after_a_question() {
    let mut model = samples::model();
    seen(&mut model, lock(0, Some("failed at drain")));
    keys(&mut model, "lA");
    assert_eq!(model.lock_choice, LockChoice::Adopt);
    press(&mut model, Key::of(Code::Esc));
    select(&mut model, "worker-1");
    keys(&mut model, "D");
    let Some(Dialog::Confirm(confirm)) = model.dialog() else { panic!("{:?}", model.dialog()) };
    assert_eq!(confirm.request.lock, LockChoice::Adopt);
    assert!(
        confirm.facts.iter().any(|fact| fact.text.contains("taken over: bob@there")),
        "{:?}",
        confirm.facts
    );
    press(&mut model, Key::of(Code::Esc));
    keys(&mut model, "lC");
    let Some(Dialog::Confirm(confirm)) = model.dialog() else { panic!("{:?}", model.dialog()) };
    assert_eq!(confirm.request.kind, Kind::Unlock);
}

#[test]
fn a_lock_that_is_kept_alive_is_neither_adopted_nor_cleared() {
    let mut model = samples::model();
    seen(&mut model, lock(0, None));
    keys(&mut model, "lA");
    assert_eq!(model.lock_choice, LockChoice::Take);
    keys(&mut model, "C");
    assert!(!matches!(model.dialog(), Some(Dialog::Confirm(_))));
}
