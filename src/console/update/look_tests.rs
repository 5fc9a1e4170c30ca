//! Messages in, model and effects out: tables, log, lists, filter, command line.

use super::tests::{confirm, enter, keys, press, seen, select, with_run};
use super::update;
use crate::console::dialog::Dialog;
use crate::console::keymap::{Code, Key};
use crate::console::model::{LOG_LINES, Model, Pane, Theme};
use crate::console::msg::{Effect, Msg};
use crate::console::samples::{self, node};
use crate::domain::feed::{Delta, Kept, Liveness, Observation, Source};
use crate::domain::ids::Generation;
use crate::domain::node::{NodeRow, Readiness};
use crate::domain::plan::{Kind, StepKind};
use crate::domain::report::{FailureKind, Report};

#[test]
fn messages_of_an_older_connection_are_dropped() {
    let mut model = samples::model();
    update(&mut model, Msg::Joined(Generation(2), "lab".into()));
    seen(&mut model, Observation::Nodes(Delta::Reset(Vec::new())));
    assert_eq!(model.known.nodes.len(), 5, "the same context's rows stay until the new connection tells");
    update(&mut model, Msg::Joined(Generation(3), "other".into()));
    assert!(model.known.nodes.is_empty() && !model.known.has_nodes);
    assert_eq!(model.setup.policy.context, "other");
}

#[test]
fn a_new_boot_is_asked_about_and_remembered() {
    let mut model = samples::model();
    let booted = NodeRow { boot_id: "b2".into(), booted: None, ..node("cp-1") };
    let effects = seen(&mut model, Observation::Nodes(Delta::Upsert(booted.clone())));
    assert_eq!(effects, [Effect::Probe("cp-1".into())]);
    assert_eq!(model.known.nodes[&"cp-1".into()].booted, Some(model.now));
    assert!(seen(&mut model, Observation::Nodes(Delta::Upsert(booted))).is_empty());
    assert_eq!(model.known.nodes[&"cp-1".into()].booted, Some(model.now));
}

#[test]
fn the_log_tells_changes_of_nodes_once() {
    let mut model = samples::model();
    let before = model.log.iter().count();
    let away = NodeRow { readiness: Readiness::Unknown, ..node("cp-2") };
    seen(&mut model, Observation::Nodes(Delta::Upsert(away.clone())));
    seen(&mut model, Observation::Nodes(Delta::Upsert(away)));
    assert_eq!(model.log.iter().count(), before + 1);
    assert!(model.log.iter().last().unwrap().1.text.contains("cp-2 does not report"));
}

#[test]
fn pods_are_counted_where_they_are_now() {
    let mut model = samples::model();
    let count = |model: &Model, node: &str| crate::console::rows::pods_on(model, &node.into()).unwrap();
    assert_eq!((count(&model, "worker-1"), count(&model, "cp-2")), (2, 0));
    let mut moved = samples::pod("team-b", "web", 1, "cp-2");
    seen(&mut model, Observation::Pods(vec![Delta::Upsert(moved.clone())]));
    assert_eq!((count(&model, "worker-1"), count(&model, "cp-2")), (1, 1));
    moved.node = None;
    seen(&mut model, Observation::Pods(vec![Delta::Remove(moved)]));
    assert_eq!(count(&model, "cp-2"), 0);
}

#[test]
fn the_log_is_bounded_and_numbers_go_on() {
    let mut model = samples::model();
    for _ in 0..LOG_LINES + 10 {
        update(&mut model, Msg::Log(samples::line("info", "cp-1", "x")));
    }
    update(&mut model, Msg::LogDropped(7));
    assert_eq!((model.log.iter().count(), model.log.dropped), (LOG_LINES, 7));
    let (first, last) = (model.log.iter().next().unwrap().0, model.log.iter().last().unwrap().0);
    assert_eq!(usize::try_from(last - first).unwrap(), LOG_LINES - 1);
    assert!(model.log.get(first - 1).is_none() && model.log.get(last).is_some());
}

#[test]
fn the_filter_is_typed_and_escape_clears_it() {
    let mut model = samples::model();
    keys(&mut model, "/cp");
    assert_eq!(crate::console::rows::visible_nodes(&model).len(), 3);
    enter(&mut model);
    assert_eq!(model.editing, None);
    keys(&mut model, "j");
    assert_eq!(model.lists.nodes.selected, Some("cp-2".into()));
    press(&mut model, Key::of(Code::Esc));
    assert_eq!(crate::console::rows::visible_nodes(&model).len(), 5);
}

#[test]
fn the_command_line_names_its_target_and_still_asks() {
    let mut model = samples::model();
    keys(&mut model, ":drain worker-1");
    assert!(enter(&mut model).is_empty());
    assert_eq!(confirm(&model).request.nodes, ["worker-1".into()]);
    press(&mut model, Key::of(Code::Esc));
    keys(&mut model, ":theme mono");
    enter(&mut model);
    assert_eq!(model.setup.look.theme, Theme::Mono);
    keys(&mut model, ":drian x");
    enter(&mut model);
    assert!(matches!(model.dialog(), Some(Dialog::Palette(palette)) if palette.notice.is_some()));
    press(&mut model, Key::of(Code::Esc));
    keys(&mut model, ":q");
    assert_eq!(enter(&mut model), [Effect::Quit]);
}

#[test]
fn the_command_line_completes_with_tab() {
    let mut model = samples::model();
    keys(&mut model, ":unc");
    press(&mut model, Key::of(Code::Tab));
    keys(&mut model, "worker-1");
    enter(&mut model);
    assert_eq!(confirm(&model).request.kind, Kind::Uncordon);
}

#[test]
fn enter_shows_details_and_changes_nothing() {
    let mut model = samples::model();
    for pane in ["1", "2", "3", "4"] {
        keys(&mut model, pane);
        assert!(enter(&mut model).is_empty());
        let Some(Dialog::Page(page)) = model.dialog() else { panic!("{pane}") };
        assert!(crate::console::page::facts(&model, &page.subject).len() > 1);
        enter(&mut model);
    }
    keys(&mut model, "3B");
    assert!(matches!(model.dialog(), Some(Dialog::Ways(_))));
}

#[test]
fn the_run_pane_is_reached_only_while_there_is_a_run() {
    let mut model = samples::model();
    keys(&mut model, "5");
    assert_eq!(model.focus, Pane::Nodes);
    press(&mut model, Key::of(Code::BackTab));
    assert_eq!(model.focus, Pane::Log);
    let mut model = with_run(&[StepKind::Preflight]);
    assert_eq!(model.focus, Pane::Run, "a reboot takes the focus: the engineer has just asked for it");
    press(&mut model, Key::of(Code::Tab));
    assert_eq!(model.focus, Pane::Nodes);
    press(&mut model, Key::of(Code::BackTab));
    assert_eq!(model.focus, Pane::Run);
}

#[test]
fn k9s_letters_need_their_preset() {
    let mut model = samples::model();
    select(&mut model, "worker-1");
    keys(&mut model, "u");
    assert!(model.dialogs.is_empty());
    model.setup.preset = crate::console::keymap::Preset::K9s;
    keys(&mut model, "u");
    assert_eq!(confirm(&model).request.kind, Kind::Uncordon);
}

#[test]
fn messages_survive_serde() {
    let model = with_run(&[StepKind::Cordon]);
    let msg =
        Msg::Seen(Generation(3), Observation::Nodes(Delta::Reset(model.known.nodes.into_values().collect())));
    let text = serde_json::to_string(&msg).unwrap();
    assert_eq!(serde_json::from_str::<Msg>(&text).unwrap(), msg);
}

#[test]
fn a_table_that_may_not_be_read_is_known_to_be_so() {
    let mut model = samples::model();
    let report = Report::new(FailureKind::Forbidden, "could not list pods: forbidden");
    seen(&mut model, Observation::Trouble(Kept::Pods, Some(report.clone())));
    assert_eq!(model.known.trouble.get(&Kept::Pods), Some(&report));
    seen(&mut model, Observation::Trouble(Kept::Pods, None));
    assert!(model.known.trouble.is_empty());
}

#[test]
fn a_question_on_old_data_says_how_old() {
    let mut model = samples::model();
    let live = Liveness::Live(model.now);
    update(&mut model, Msg::Source(Generation(1), Source::Api, live));
    let is_old = |model: &Model| confirm(model).facts.iter().any(|fact| fact.label == "old data");
    select(&mut model, "worker-1");
    keys(&mut model, "U");
    assert!(!is_old(&model));
    press(&mut model, Key::of(Code::Esc));
    let lost =
        Liveness::Failing { last: Some(model.now), report: Report::new(FailureKind::Timeout, "no answer") };
    update(&mut model, Msg::Source(Generation(1), Source::Api, lost));
    keys(&mut model, "U");
    assert!(is_old(&model));
}
