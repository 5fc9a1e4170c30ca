//! Messages in, model and effects out: what is asked, and what the answers start.

use super::update;
use crate::console::dialog::{Dialog, Subject, Toggle};
use crate::console::keymap::{Code, Command, Key, footer, obstacle};
use crate::console::model::{Model, Pane};
use crate::console::msg::{Effect, Msg};
use crate::console::samples::{self, NOW, node};
use crate::domain::feed::{Delta, Liveness, Observation, Source};
use crate::domain::guard::Rung;
use crate::domain::ids::{Generation, OpId, RunId};
use crate::domain::lock::LockChoice;
use crate::domain::node::NodeRow;
use crate::domain::plan::{Kind, Plan, Step, StepKind};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, RunChange, RunCommand, RunEvent, RunState};
use crate::domain::time::Stamp;
use std::time::Duration;

/// Presses a key 400 ms after the one before: slow enough for a dialog to arm.
pub(super) fn press(model: &mut Model, key: Key) -> Vec<Effect> {
    let at = Stamp(model.now.0 + 400);
    update(model, Msg::Key(key, at))
}

pub(super) fn keys(model: &mut Model, text: &str) -> Vec<Effect> {
    text.chars().flat_map(|ch| press(model, Key::char(ch))).collect()
}

pub(super) fn enter(model: &mut Model) -> Vec<Effect> {
    press(model, Key::of(Code::Enter))
}

pub(super) fn seen(model: &mut Model, seen: Observation) -> Vec<Effect> {
    update(model, Msg::Seen(Generation(1), seen))
}

pub(super) fn confirm(model: &Model) -> &crate::console::dialog::Confirm {
    match model.dialog() {
        Some(Dialog::Confirm(confirm)) => confirm,
        other => panic!("no question is open: {other:?}"),
    }
}

pub(super) fn select(model: &mut Model, name: &str) {
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
        debt: None,
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
        lock: LockChoice::Take,
        resolve: None,
        roll: None,
        parent: None,
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
    assert!(confirm(&model).notice.as_ref().is_some_and(|notice| notice.contains("type the name")));
    assert!(enter(&mut model).is_empty() && !model.dialogs.is_empty(), "an empty name keeps the question");
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
fn a_paused_run_is_stepped_by_its_key() {
    let mut model = with_run(&[StepKind::Preflight, StepKind::Cordon]);
    tell(&mut model, RunChange::State { state: RunState::Paused, automatic: false });
    assert!(footer(&model).iter().any(|hint| hint.keys == "N"), "offered");
    assert_eq!(keys(&mut model, "N"), [Effect::Command { op: OpId(1), command: RunCommand::Confirm(0) }]);
    end(&mut model, 0, Outcome::Done("ok".into()), RunState::Paused);
    assert!(keys(&mut model, "N").is_empty(), "a changing step asks");
    assert_eq!(keys(&mut model, "y"), [Effect::Command { op: OpId(1), command: RunCommand::Confirm(1) }]);
}

#[test]
fn silence_is_not_a_lost_quorum() {
    let mut model = samples::model();
    let mut view = samples::etcd();
    for member in &mut view.members {
        let report = Report::new(FailureKind::Timeout, "no answer");
        member.health = crate::domain::etcd::MemberHealth::Silent(report);
    }
    update(&mut model, Msg::Etcd(Generation(1), view));
    model.now = Stamp(NOW.0 + 8_000);
    let words = crate::console::phase::quorum_words(&model).unwrap();
    assert_eq!(words, "etcd: no member answers, quorum not known (last known 3/3, 8s ago)");
    let last = model.log.iter().last().unwrap().1;
    assert!(last.text.contains("quorum not known"), "{}", last.text);
}

#[test]
fn what_an_earlier_run_left_is_called_out_until_it_is_read() {
    let orphan = samples::orphan("worker-2");
    assert!(orphan.line().starts_with("worker-2 is cordoned: run reboot-worker-2"), "{}", orphan.line());
    let mut model = samples::model();
    update(&mut model, Msg::Orphans(vec![orphan]));
    update(&mut model, Msg::Tick(Stamp(NOW.0 + 60_000)));
    keys(&mut model, "2");
    assert!(model.is_calling, "neither time nor another key takes it away");
    keys(&mut model, "5");
    let page = Subject::Orphans;
    assert!(matches!(model.dialog(), Some(Dialog::Page(shown)) if shown.subject == page));
    let facts = crate::console::page::facts(&model, &page);
    assert!(facts.iter().any(|fact| fact.text.contains("kubectl uncordon worker-2")), "{facts:?}");
    assert!(!model.is_calling);
    enter(&mut model);
    model.is_calling = true;
    press(&mut model, Key::of(Code::Esc));
    assert!(!model.is_calling && model.dialogs.is_empty());
    keys(&mut model, ":orphans");
    enter(&mut model);
    assert!(matches!(model.dialog(), Some(Dialog::Page(_))));
}

#[test]
fn a_key_of_another_pane_says_where_it_works() {
    let mut model = samples::model();
    let said = |model: &Model| model.flash.as_ref().map(|flash| flash.text.clone()).unwrap_or_default();
    for (typed, words) in [
        ("3R", "R works on a node: press 1"),
        ("4 ", "Space works on a node: press 1"),
        ("1B", "B works on a budget: press 3"),
    ] {
        keys(&mut model, typed);
        assert_eq!(said(&model), words);
    }
    keys(&mut model, "2jR");
    assert_eq!(confirm(&model).request.nodes, ["cp-2".into()], "the member's node");
    press(&mut model, Key::of(Code::Esc));
    heal(&mut model, "worker-2");
    select(&mut model, "worker-2");
    keys(&mut model, "U");
    assert_eq!(said(&model), "nothing to do: worker-2 is schedulable");
}

#[test]
fn the_question_before_a_drain_repeats_the_forecast_and_who_is_away() {
    let mut model = with_run(&[StepKind::Predict, StepKind::Drain]);
    let progress =
        crate::domain::run::Progress { items: vec!["team-a/api: blocked".into()], ..Default::default() };
    tell(&mut model, RunChange::StepStarted { step: 0, attempt: 1 });
    tell(&mut model, RunChange::Progressed { step: 0, progress });
    let outcome = Outcome::Warned("3 move, 1 blocked".into());
    tell(&mut model, RunChange::StepEnded { step: 0, outcome, took_ms: 5 });
    tell(&mut model, RunChange::State { state: RunState::Waiting, automatic: false });
    let away = NodeRow { readiness: crate::domain::node::Readiness::NotReady, ..node("cp-2") };
    seen(&mut model, Observation::Nodes(Delta::Upsert(away)));
    keys(&mut model, "N");
    let Some(Dialog::Ask(ask)) = model.dialog() else { panic!("{:?}", model.dialog()) };
    for words in
        ["3 move, 1 blocked", "team-a/api: blocked", "another control-plane node is away (not Ready): cp-2"]
    {
        assert!(ask.facts.iter().any(|fact| fact.text == words), "{words}: {:?}", ask.facts);
    }
}

#[test]
fn a_question_about_a_control_plane_says_who_is_away_and_what_quorum_is_left() {
    let mut model = samples::model();
    let away = NodeRow { readiness: crate::domain::node::Readiness::Unknown, ..node("cp-2") };
    seen(&mut model, Observation::Nodes(Delta::Upsert(away)));
    select(&mut model, "cp-1");
    keys(&mut model, "C");
    let facts = &confirm(&model).facts;
    let at = |label: &str| facts.iter().position(|fact| fact.label == label);
    assert!(at("careful").is_some() && at("quorum") < at("command"), "{facts:?}");
    assert!(at("consequence") < at("careful"), "{facts:?}");
    assert!(facts.iter().any(|fact| fact.text.contains("without cp-1: 2 of 3")), "{facts:?}");
    press(&mut model, Key::of(Code::Esc));
    keys(&mut model, "D");
    let denied = model.dialogs.last().map(|dialog| format!("{dialog:?}")).unwrap_or_default();
    assert!(denied.contains("draining cp-1 is denied") && denied.contains("cp-2, is away"), "{denied}");
    press(&mut model, Key::of(Code::Esc));
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
fn a_run_that_is_lost_is_over() {
    let mut model = with_run(&[StepKind::Cordon]);
    end(&mut model, 0, Outcome::Done("cordoned".into()), RunState::Running);
    update(&mut model, Msg::RunLost(OpId(1), Report::new(FailureKind::Unexpected, "its task ended")));
    assert_eq!(model.runs[0].state, RunState::Interrupted);
    assert!(model.runs[0].left[0].contains("is cordoned by this run"), "{:?}", model.runs[0].left);
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
    let notice = confirm(&model).notice.clone().unwrap_or_default();
    assert_eq!(notice, "2 nodes marked, but drain takes one at a time: this is for cp-3 alone");
}
