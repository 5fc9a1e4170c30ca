//! Whatever is pressed: nothing that changes something leaves the core without its confirmation.

use super::tests::{tell, with_run};
use super::update;
use crate::console::dialog::{ARMS_AFTER, Dialog};
use crate::console::keymap::{Code, Command, Key};
use crate::console::model::{Model, Pane};
use crate::console::msg::{Effect, Msg};
use crate::console::samples;
use crate::domain::feed::{Delta, Observation};
use crate::domain::guard::Rung;
use crate::domain::ids::Generation;
use crate::domain::node::NodeRow;
use crate::domain::plan::StepKind;
use crate::domain::run::{Outcome, RunChange, RunCommand, RunState, RunView};
use crate::domain::time::Stamp;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Act {
    Press(Key, i64),
    Word(&'static str),
    Paste(&'static str),
    Tick(i64),
    Reboot(&'static str),
    StepEnds(bool),
}

fn act() -> impl Strategy<Value = Act> {
    let keys = prop_oneof![
        8 => prop::sample::select("CUDRSBNAPTKXynqefidab jkgG12345/:?s".chars().collect::<Vec<_>>())
            .prop_map(Key::char),
        3 => prop::sample::select(vec![Code::Enter, Code::Esc, Code::Tab, Code::Backspace, Code::Down])
            .prop_map(Key::of),
        1 => Just(Key::ctrl('c')),
    ];
    let press = (keys, any::<bool>(), prop::sample::select(vec![5_i64, 80, 300, 900]));
    prop_oneof![
        12 => press.prop_map(|(key, repeat, pause)| Act::Press(Key { repeat: repeat && pause < 100, ..key }, pause)),
        3 => prop::sample::select(vec!["cp-1", "cp-2", "worker-1", "worker-2", ":drain worker-1"]).prop_map(Act::Word),
        1 => Just(Act::Paste("cp-1")),
        1 => prop::sample::select(vec![0_i64, 1000, -5000]).prop_map(Act::Tick),
        1 => prop::sample::select(vec!["cp-1", "worker-2"]).prop_map(Act::Reboot),
        2 => any::<bool>().prop_map(Act::StepEnds),
    ]
}

/// What the top dialog would accept, seen from outside, before the key.
struct Before {
    dialog: Option<Dialog>,
    is_armed: bool,
    step_changes: bool,
}

fn before(model: &Model, at: Stamp) -> Before {
    let dialog = model.dialog().cloned();
    let is_armed = dialog
        .as_ref()
        .and_then(|dialog| dialog.prompt())
        .is_some_and(|prompt| at.max(model.now).since(prompt.shown) >= ARMS_AFTER);
    let step = model.open_run().and_then(|run| run.steps.get(run.current()?));
    Before { dialog, is_armed, step_changes: step.is_none_or(|view| view.step.kind.changes()) }
}

fn is_yes(key: Key) -> bool {
    key.is(Key::char('y')) && !key.repeat
}

/// Holds an effect of a key against what was on the screen.
fn check(effect: &Effect, key: Key, before: &Before) {
    match effect {
        Effect::Start { request, permit, .. } => {
            let Some(Dialog::Confirm(confirm)) = &before.dialog else { panic!("started without a question") };
            assert!(before.is_armed && !key.repeat, "confirmed unarmed or by a repeat");
            assert_eq!(confirm.request.nodes, request.nodes, "another target than the question's");
            assert_eq!((confirm.request.kind, permit.kind()), (request.kind, request.kind));
            match &confirm.rung {
                Rung::Key => assert!(is_yes(key), "{key:?}"),
                Rung::TypeName(want) | Rung::TypeContext(want) => {
                    assert!(key.is(Key::of(Code::Enter)));
                    assert_eq!(want, &confirm.prompt.typed);
                }
            }
        }
        Effect::Command { command, .. }
            if !matches!(command, RunCommand::Pause | RunCommand::Extend { .. }) =>
        {
            if let Some(Dialog::Ask(ask)) = &before.dialog {
                assert!(is_yes(key) && before.is_armed, "{command:?} by {key:?}");
                if let RunCommand::Confirm(step) = command {
                    assert_eq!(Some(*step), ask.step, "another step than the question's");
                }
            } else if let Some(Dialog::Entry(_)) = &before.dialog {
                assert!(key.is(Key::of(Code::Enter)) && before.is_armed, "{command:?} by {key:?}");
            } else {
                assert!(matches!(command, RunCommand::Confirm(_) | RunCommand::Retry), "{command:?} unasked");
                assert!(!before.step_changes, "a changing step started unasked");
            }
        }
        Effect::Trust(host) => {
            let Some(Dialog::Trust(asked)) = &before.dialog else { panic!("recorded without a question") };
            assert!(before.is_armed && !key.repeat, "confirmed unarmed or by a repeat");
            assert_eq!(&asked.host, host, "another host than the question's");
            match &asked.rung {
                Rung::Key => assert!(is_yes(key), "{key:?}"),
                Rung::TypeName(want) | Rung::TypeContext(want) => {
                    assert!(key.is(Key::of(Code::Enter)));
                    assert_eq!(want, &asked.prompt.typed);
                }
            }
        }
        Effect::Command { .. }
        | Effect::Copy(_)
        | Effect::Unlock(_)
        | Effect::AskNeed(_)
        | Effect::Diagnose(_)
        | Effect::CopyReport(_)
        | Effect::TakeOver { .. }
        | Effect::AskPower(_)
        | Effect::Reconnect
        | Effect::Record
        | Effect::Tell(_)
        | Effect::KeepRollout
        | Effect::RecallRollout(_)
        | Effect::Probe(_)
        | Effect::Quit => {}
    }
}

fn is_of_roll(effect: &Effect) -> bool {
    matches!(effect, Effect::KeepRollout | Effect::Tell(_))
}

fn perform(model: &mut Model, act: &Act) {
    match act {
        Act::Press(key, pause) => press(model, *key, *pause),
        Act::Word(word) => word.chars().for_each(|ch| press(model, Key::char(ch), 30)),
        Act::Paste(text) => assert!(update(model, Msg::Paste((*text).into())).is_empty()),
        Act::Tick(by) => {
            // an open page of ways out looks again now and then, a roll is kept and told; nothing else happens by itself
            let effects = update(model, Msg::Tick(Stamp(model.now.0 + by)));
            assert!(
                effects.iter().all(|effect| matches!(effect, Effect::Diagnose(_)) || is_of_roll(effect)),
                "{effects:?}"
            );
        }
        Act::Reboot(name) => {
            let boot_id = format!("boot-{}", model.now.0);
            let row = NodeRow { boot_id, ..samples::node(name) };
            let seen = Observation::Nodes(Delta::Upsert(row));
            let effects = update(model, Msg::Seen(Generation(1), seen));
            assert!(
                effects.iter().all(|effect| matches!(effect, Effect::Probe(_)) || is_of_roll(effect)),
                "{effects:?}"
            );
        }
        Act::StepEnds(well) => {
            let Some(step) = model.runs.first().and_then(RunView::current) else { return };
            let outcome = if *well { Outcome::Done("ok".into()) } else { Outcome::Aborted };
            let state = if *well { RunState::Waiting } else { RunState::Failed };
            assert!(tell(model, RunChange::StepEnded { step, outcome, took_ms: 5 }).is_empty());
            assert!(tell(model, RunChange::State { state, automatic: false }).is_empty());
        }
    }
}

fn press(model: &mut Model, key: Key, pause: i64) {
    let at = Stamp(model.now.0 + pause);
    let seen = before(model, at);
    let depth = model.dialogs.len();
    for effect in update(model, Msg::Key(key, at)) {
        check(&effect, key, &seen);
    }
    assert!(model.dialogs.len() <= depth + 1, "one key opens at most one dialog");
}

fn later(model: &mut Model, key: Key, pause: i64) -> Vec<Effect> {
    let at = Stamp(model.now.0 + pause);
    update(model, Msg::Key(key, at))
}

fn model() -> Model {
    let mut model = with_run(&[
        StepKind::Preflight,
        StepKind::Lock,
        StepKind::Backup,
        StepKind::Predict,
        StepKind::Cordon,
    ]);
    model.focus = Pane::Nodes;
    model
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_changes_without_its_confirmation(acts in prop::collection::vec(act(), 1..60), alone in any::<bool>()) {
        let mut model = if alone { samples::model() } else { model() };
        for act in &acts {
            perform(&mut model, act);
        }
    }

    #[test]
    fn enter_alone_and_repeats_never_confirm(opening in prop::sample::select("CUDRSNATKX".chars().collect::<Vec<_>>()), at in 0_usize..5, count in 1_usize..30) {
        let mut model = model();
        model.lists.nodes.selected = crate::console::rows::node_keys(&model).get(at).cloned();
        let opened = later(&mut model, Key::char(opening), 400);
        let is_reading = opening == 'N';
        prop_assert!(opened.is_empty() || is_reading);
        for turn in 0..count {
            let key = if turn % 2 == 0 { Key::of(Code::Enter) } else { Key::char('y').repeated() };
            let effects = later(&mut model, key, 400);
            prop_assert!(effects.iter().all(|effect| matches!(effect, Effect::Copy(_))), "{effects:?}");
        }
    }

    #[test]
    fn an_unarmed_dialog_takes_no_yes(opening in prop::sample::select(vec![Command::Automatic, Command::Abort]), pause in 0_i64..249) {
        let mut model = model();
        let letter = if opening == Command::Abort { 'X' } else { 'A' };
        later(&mut model, Key::char(letter), 400);
        let effects = later(&mut model, Key::char('y'), pause);
        prop_assert!(effects.is_empty());
    }
}
