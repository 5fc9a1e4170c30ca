//! Messages in, model and effects out.

use super::update;
use crate::console::dialog::{Dialog, Subject, Toggle};
use crate::console::keymap::{Code, Command, Key, footer, obstacle};
use crate::console::model::{LOG_LINES, Model, Pane, Theme};
use crate::console::msg::{Effect, Msg};
use crate::console::samples::{self, NOW, node};
use crate::domain::feed::{Delta, Liveness, Observation, Source};
use crate::domain::guard::Rung;
use crate::domain::ids::{Generation, OpId, RunId};
use crate::domain::node::{NodeRow, Readiness};
use crate::domain::plan::{Kind, Plan, Step, StepKind};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, RunChange, RunCommand, RunEvent, RunState};
use crate::domain::time::Stamp;
use std::time::Duration;

/// Presses a key 400 ms after the one before: slow enough for a dialog to arm.
fn press(model: &mut Model, key: Key) -> Vec<Effect> {
    let at = Stamp(model.now.0 + 400);
    update(model, Msg::Key(key, at))
}

fn keys(model: &mut Model, text: &str) -> Vec<Effect> {
    text.chars().flat_map(|ch| press(model, Key::char(ch))).collect()
}

fn enter(model: &mut Model) -> Vec<Effect> {
    press(model, Key::of(Code::Enter))
}

fn seen(model: &mut Model, seen: Observation) -> Vec<Effect> {
    update(model, Msg::Seen(Generation(1), seen))
}

fn confirm(model: &Model) -> &crate::console::dialog::Confirm {
    match model.dialog() {
        Some(Dialog::Confirm(confirm)) => confirm,
        other => panic!("no question is open: {other:?}"),
    }
}

fn select(model: &mut Model, name: &str) {
    model.focus = Pane::Nodes;
    model.lists.nodes.selected = Some(name.into());
}

fn heal(model: &mut Model, name: &str) {
    seen(model, Observation::Nodes(Delta::Upsert(node(name))));
}

pub(super) fn step(kind: StepKind) -> Step {
    Step {
        kind,
        node: Some("cp-1".into()),
        what: format!("{} cp-1", kind.name()),
        command: "kubectl".to_owned(),
        gates: Vec::new(),
        timeout: Duration::from_mins(1),
        may_skip: kind == StepKind::Backup,
        undo: None,
        unchecked: Vec::new(),
        not_applicable: None,
    }
}

pub(super) fn tell(model: &mut Model, change: RunChange) -> Vec<Effect> {
    let event = RunEvent { op: OpId(1), run: RunId::from("reboot-cp-1"), at: model.now, change };
    update(model, Msg::Run(event))
}

/// A reboot run of cp-1 whose first step waits.
pub(super) fn with_run(kinds: &[StepKind]) -> Model {
    let mut model = samples::model();
    let plan = Plan {
        kind: Kind::Reboot,
        nodes: vec!["cp-1".into()],
        steps: kinds.iter().map(|kind| step(*kind)).collect(),
        drain: crate::domain::config::DrainOptions::default(),
    };
    tell(&mut model, RunChange::Planned { plan });
    tell(&mut model, RunChange::State { state: RunState::Waiting, automatic: false });
    model
}

fn end(model: &mut Model, step: usize, outcome: Outcome, then: RunState) {
    tell(model, RunChange::StepStarted { step, attempt: 1 });
    tell(model, RunChange::StepEnded { step, outcome, took_ms: 1200 });
    tell(model, RunChange::State { state: then, automatic: false });
}

#[test]
fn a_worker_is_cordoned_with_y() {
    let mut model = samples::model();
    heal(&mut model, "worker-2");
    select(&mut model, "worker-2");
    assert!(keys(&mut model, "C").is_empty());
    assert_eq!(confirm(&model).rung, Rung::Key);
    let effects = keys(&mut model, "y");
    let [Effect::Start { op: OpId(1), request, permit, automatic: true }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!((request.kind, permit.kind()), (Kind::Cordon, Kind::Cordon));
    assert_eq!(permit.nodes(), ["worker-2".into()]);
    assert!(model.dialogs.is_empty() && model.starting.contains_key(&OpId(1)));
}

#[test]
fn enter_cancels_and_never_confirms_a_plain_question() {
    let mut model = samples::model();
    select(&mut model, "worker-1");
    keys(&mut model, "U");
    assert!(enter(&mut model).is_empty() && model.dialogs.is_empty());
    keys(&mut model, "U");
    press(&mut model, Key::of(Code::Esc));
    assert!(model.dialogs.is_empty() && model.starting.is_empty());
}

#[test]
fn a_key_that_repeats_or_comes_too_early_does_not_confirm() {
    let mut model = samples::model();
    select(&mut model, "worker-1");
    keys(&mut model, "U");
    assert!(press(&mut model, Key::char('y').repeated()).is_empty());
    keys(&mut model, "n");
    keys(&mut model, "U");
    for _ in 0..40 {
        let at = Stamp(model.now.0 + 100);
        assert!(update(&mut model, Msg::Key(Key::char('y'), at)).is_empty(), "a held y never arms");
    }
    assert!(confirm(&model).notice.is_some());
    assert_eq!(keys(&mut model, "y").len(), 1);
}

#[test]
fn a_control_plane_needs_its_name_to_the_letter() {
    let mut model = samples::model();
    select(&mut model, "cp-1");
    keys(&mut model, "R");
    assert_eq!(confirm(&model).rung, Rung::TypeName("cp-1".into()));
    assert!(keys(&mut model, "cp-").is_empty() && enter(&mut model).is_empty());
    assert!(confirm(&model).notice.as_ref().is_some_and(|notice| notice.contains("cp-1")));
    keys(&mut model, "1x");
    assert!(enter(&mut model).is_empty());
    press(&mut model, Key::of(Code::Backspace));
    let effects = enter(&mut model);
    assert!(matches!(&effects[..], [Effect::Start { automatic: false, .. }]), "{effects:?}");
}

#[test]
fn a_pasted_name_does_not_count() {
    let mut model = samples::model();
    select(&mut model, "cp-1");
    keys(&mut model, "R");
    update(&mut model, Msg::Paste("cp-1".into()));
    assert!(enter(&mut model).is_empty());
    assert!(model.dialogs.is_empty(), "Enter on the empty question cancels");
}

#[test]
fn an_unsafe_reboot_is_denied_with_its_arithmetic() {
    let mut model = samples::model();
    let mut view = samples::etcd();
    view.members[1].health = crate::domain::etcd::MemberHealth::Unstarted;
    update(&mut model, Msg::Etcd(Generation(1), view));
    select(&mut model, "cp-1");
    keys(&mut model, "R");
    let Some(Dialog::Message(message)) = model.dialog() else { panic!("{:?}", model.dialog()) };
    assert!(message.lines[0].contains("2 of 3 etcd voters are healthy; without cp-1 1 would be left"));
    enter(&mut model);
    assert!(model.dialogs.is_empty());
}

#[test]
fn the_question_is_put_again_when_the_target_changed() {
    let mut model = samples::model();
    heal(&mut model, "worker-2");
    select(&mut model, "worker-2");
    keys(&mut model, "C");
    let rebooted = NodeRow { boot_id: "another".into(), ..node("worker-2") };
    seen(&mut model, Observation::Nodes(Delta::Upsert(rebooted)));
    assert!(keys(&mut model, "y").is_empty());
    let notice = confirm(&model).notice.clone().unwrap_or_default();
    assert!(notice.contains("has booted anew"), "{notice}");
    assert_eq!(keys(&mut model, "y").len(), 1, "the second answer is to the new question");
}

#[test]
fn an_option_of_a_drain_raises_the_rung() {
    let mut model = samples::model();
    heal(&mut model, "worker-2");
    select(&mut model, "worker-2");
    keys(&mut model, "D");
    assert_eq!(confirm(&model).rung, Rung::Key);
    keys(&mut model, "f");
    assert!(confirm(&model).request.drain.force);
    assert_eq!(confirm(&model).rung, Rung::TypeName("worker-2".into()));
    keys(&mut model, "f");
    assert_eq!(confirm(&model).prompt.typed, "f", "letters are typed now");
    for _ in 0..3 {
        press(&mut model, Key::of(Code::Tab));
    }
    keys(&mut model, " ");
    assert_eq!(confirm(&model).choices[2].toggle, Toggle::Force);
    assert!(!confirm(&model).request.drain.force, "Tab and Space still turn the options");
}

#[test]
fn a_blocked_drain_says_so_and_needs_the_name() {
    let mut model = samples::model();
    select(&mut model, "worker-1");
    keys(&mut model, "D");
    let question = confirm(&model);
    assert_eq!(question.rung, Rung::TypeName("worker-1".into()));
    assert!(question.facts.iter().any(|fact| fact.text.contains("team-a/api")), "{:?}", question.facts);
}

#[test]
fn a_read_only_console_keeps_the_keys_and_says_why() {
    let mut model = samples::model();
    model.setup.policy.read_only = true;
    select(&mut model, "cp-1");
    keys(&mut model, "R");
    assert!(model.dialogs.is_empty());
    assert!(model.flash.as_ref().is_some_and(|flash| flash.text.contains("read-only")));
    let hints = footer(&model);
    let reboot = hints.iter().find(|hint| hint.word == "reboot").unwrap();
    assert!(reboot.obstacle.is_some(), "listed, and dimmed");
}

#[test]
fn nothing_starts_before_a_cluster_is_joined() {
    let mut model = Model::new(crate::console::model::Setup::default(), (80, 24), NOW);
    assert!(keys(&mut model, "CUDRSyy").is_empty() && model.dialogs.is_empty());
}

#[test]
fn one_node_at_a_time() {
    let mut model = with_run(&[StepKind::Preflight]);
    select(&mut model, "cp-2");
    keys(&mut model, "R");
    let Some(Dialog::Message(message)) = model.dialog() else { panic!("{:?}", model.dialog()) };
    assert!(message.lines[0].contains("reboot #1 of cp-1 is not over"), "{:?}", message.lines);
    enter(&mut model);
    select(&mut model, "cp-1");
    keys(&mut model, "U");
    assert!(matches!(model.dialog(), Some(Dialog::Message(_))), "the node is in work");
}

#[test]
fn a_reading_step_starts_at_once_and_a_changing_one_asks() {
    let mut model = with_run(&[StepKind::Preflight, StepKind::Cordon]);
    assert_eq!(keys(&mut model, "N"), [Effect::Command { op: OpId(1), command: RunCommand::Confirm(0) }]);
    end(&mut model, 0, Outcome::Done("ok".into()), RunState::Waiting);
    assert!(keys(&mut model, "N").is_empty());
    assert!(matches!(model.dialog(), Some(Dialog::Ask(ask)) if ask.command == Command::Confirm));
    assert!(enter(&mut model).is_empty() && model.dialogs.is_empty(), "Enter cancels");
    keys(&mut model, "N");
    assert_eq!(keys(&mut model, "y"), [Effect::Command { op: OpId(1), command: RunCommand::Confirm(1) }]);
}

#[test]
fn an_answer_about_a_step_that_is_over_is_not_sent() {
    let mut model = with_run(&[StepKind::Lock, StepKind::Cordon]);
    keys(&mut model, "N");
    end(&mut model, 0, Outcome::Done("ok".into()), RunState::Waiting);
    assert!(keys(&mut model, "y").is_empty());
    assert!(model.flash.as_ref().is_some_and(|flash| flash.text.contains("moved on")));
}

#[test]
fn retry_and_skip_only_where_they_mean_something() {
    let mut model = with_run(&[StepKind::Backup, StepKind::Cordon]);
    assert!(obstacle(&model, Command::Retry).is_some());
    assert!(obstacle(&model, Command::Skip).is_none(), "this step may be skipped");
    let failed = Outcome::Failed(Report::new(FailureKind::Timeout, "no answer"));
    end(&mut model, 0, failed, RunState::Failed);
    assert!(keys(&mut model, "N").is_empty());
    keys(&mut model, "T");
    assert_eq!(keys(&mut model, "y"), [Effect::Command { op: OpId(1), command: RunCommand::Retry }]);
    end(&mut model, 0, Outcome::Done("ok".into()), RunState::Waiting);
    assert!(obstacle(&model, Command::Skip).is_some(), "cordon may not be skipped");
}

#[test]
fn abort_shows_its_undo_plan_first() {
    let mut model = with_run(&[StepKind::Cordon, StepKind::Drain]);
    end(&mut model, 0, Outcome::Done("ok".into()), RunState::Waiting);
    assert!(keys(&mut model, "X").is_empty());
    let Some(Dialog::Ask(ask)) = model.dialog() else { panic!() };
    assert!(
        ask.facts.iter().any(|fact| fact.text.contains("make cp-1 schedulable again")),
        "{:?}",
        ask.facts
    );
    assert_eq!(keys(&mut model, "y"), [Effect::Command { op: OpId(1), command: RunCommand::Abort }]);
}

#[test]
fn automatic_asks_once_and_pause_never() {
    let mut model = with_run(&[StepKind::Preflight, StepKind::Cordon]);
    keys(&mut model, "A");
    assert_eq!(keys(&mut model, "y"), [Effect::Command { op: OpId(1), command: RunCommand::Automatic }]);
    tell(&mut model, RunChange::State { state: RunState::Running, automatic: true });
    assert!(obstacle(&model, Command::Automatic).is_some());
    assert_eq!(keys(&mut model, "P"), [Effect::Command { op: OpId(1), command: RunCommand::Pause }]);
}

#[test]
fn no_dialog_opens_by_itself() {
    let mut model = with_run(&[StepKind::Cordon]);
    let failed = Outcome::Failed(Report::new(FailureKind::Refused, "no"));
    end(&mut model, 0, failed, RunState::Failed);
    let away = Liveness::Failing { last: None, report: Report::new(FailureKind::Unreachable, "refused") };
    update(&mut model, Msg::Source(Generation(1), Source::Api, away));
    assert!(model.dialogs.is_empty());
    assert_eq!(model.waiting_runs().count(), 1);
}

#[test]
fn quitting_asks_only_while_something_lives() {
    let mut model = samples::model();
    assert_eq!(keys(&mut model, "q"), [Effect::Quit]);
    let mut model = with_run(&[StepKind::Cordon]);
    assert!(keys(&mut model, "q").is_empty());
    assert!(press(&mut model, Key::ctrl('c')).is_empty(), "asked already");
    assert!(enter(&mut model).is_empty() && model.dialogs.is_empty());
    keys(&mut model, "q");
    assert_eq!(keys(&mut model, "y"), [Effect::Quit]);
    assert_eq!(update(&mut model, Msg::EndAsked(true)), [], "once is enough");
}

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
    assert!(matches!(model.dialog(), Some(Dialog::Page(page)) if matches!(page.subject, Subject::Block(_))));
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
fn a_run_that_is_lost_is_over() {
    let mut model = with_run(&[StepKind::Cordon]);
    update(&mut model, Msg::RunLost(OpId(1), Report::new(FailureKind::Unexpected, "its task ended")));
    assert_eq!(model.runs[0].state, RunState::Interrupted);
    assert_eq!(model.live_runs().count(), 0);
}

#[test]
fn marks_are_for_cordons_and_a_drain_takes_one_node() {
    let mut model = samples::model();
    heal(&mut model, "worker-2");
    keys(&mut model, "g  ");
    assert_eq!(model.lists.nodes.marked.len(), 2);
    keys(&mut model, "C");
    assert_eq!(confirm(&model).request.nodes.len(), 2);
    press(&mut model, Key::of(Code::Esc));
    keys(&mut model, "D");
    assert_eq!(confirm(&model).request.nodes, ["cp-3".into()]);
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
