//! Runs: their events into the model, and the keys that speak to the open one.

use super::{flash, notices, story};
use crate::console::dialog::{Ask, Dialog, ask};
use crate::console::keymap::{Command, obstacle};
use crate::console::model::{Model, Pane};
use crate::console::msg::Effect;
use crate::domain::ids::OpId;
use crate::domain::log::{Level, LogLine, Origin};
use crate::domain::plan::Kind;
use crate::domain::report::Report;
use crate::domain::run::{RunChange, RunCommand, RunEvent, RunState, RunView};
use crate::domain::undo::left_unsaid;

/// A run goes on. A new one is opened, as the engineer has just asked for it; a reboot takes the focus too.
pub(super) fn event(model: &mut Model, event: &RunEvent) -> Vec<Effect> {
    if let Some(run) = RunView::begin(event) {
        model.starting.remove(&event.op);
        // one that was taken up again is told by its new process only
        model.known.orphans.retain(|orphan| orphan.run != run.id);
        model.orphan_at = 0;
        model.runs.retain(|known| known.id != run.id);
        model.open = Some(event.op);
        model.lists.run.selected = None;
        if matches!(run.kind, Kind::Reboot | Kind::Roll | Kind::Resolve) && model.dialogs.is_empty() {
            model.focus = Pane::Run;
        }
        model.runs.push(run);
    } else if let Some(run) = model.runs.iter_mut().find(|run| run.op == event.op) {
        run.apply(event);
        back_to_the_blocked(model, event);
    }
    story::tell(model, event);
    notices::hear(model, event)
}

/// A way out that has worked is over: the run that it was for is what matters now.
fn back_to_the_blocked(model: &mut Model, event: &RunEvent) {
    let is_done = matches!(event.change, RunChange::Finished { state: RunState::Done, .. });
    let is_way = model.run(event.op).is_some_and(|run| run.kind == Kind::Resolve);
    if !(is_done && is_way && model.open == Some(event.op)) {
        return;
    }
    if let Some(op) = model.live_runs().map(|run| run.op).last() {
        model.open = Some(op);
        model.lists.run.selected = None;
    }
}

/// A run could not start, or ended without a last event.
pub(super) fn lost(model: &mut Model, op: OpId, report: &Report) -> Vec<Effect> {
    let was_starting = model.starting.remove(&op).is_some();
    let run = model.runs.iter_mut().find(|run| run.op == op && !run.state.is_over());
    if let Some(run) = run {
        run.state = RunState::Interrupted;
        run.ended = Some(model.now);
        run.left = left_unsaid(run, RunState::Interrupted);
    } else if !was_starting {
        return Vec::new();
    }
    let words = if was_starting { "could not be started" } else { "ended without a word" };
    let text = format!("{op} {words}: {}", report.line());
    flash(model, Level::Error, text.clone());
    let at = model.now;
    model.log.push(LogLine {
        at,
        level: Level::Error,
        origin: Origin::Operation,
        op: Some(op),
        node: None,
        text,
    });
    Vec::new()
}

/// A key of the open run; that it means something now was looked at before. Pausing and a step that only reads need
/// no question.
pub(super) fn command(model: &mut Model, command: Command) -> Vec<Effect> {
    let Some(run) = model.open_run() else { return Vec::new() };
    let step = run.current();
    let changes = step.and_then(|step| run.steps.get(step)).is_some_and(|view| view.step.kind.changes());
    match command {
        Command::Pause => send(run.op, RunCommand::Pause),
        Command::Confirm if !changes => match step {
            Some(step) => send(run.op, RunCommand::Confirm(step)),
            None => Vec::new(),
        },
        Command::Retry if !changes => send(run.op, RunCommand::Retry),
        _ => {
            let ask = ask::build(model, run, command);
            model.dialogs.push(Dialog::Ask(Box::new(ask)));
            Vec::new()
        }
    }
}

/// The question on top was answered with `y`: it counts only for the step that it was about.
pub(super) fn submit(model: &mut Model) -> Vec<Effect> {
    let Some(Dialog::Ask(ask)) = model.dialogs.pop() else { return Vec::new() };
    let Ask { op, step, command, .. } = *ask;
    let is_open = model.open == Some(op);
    let moved_on = model.run(op).is_none_or(|run| run.current() != step && command != Command::Abort);
    let refused = if is_open { obstacle(model, command) } else { Some("another run is open".to_owned()) };
    if let Some(reason) = refused.or_else(|| moved_on.then(|| "the run has moved on".to_owned())) {
        flash(model, Level::Warn, format!("not done: {reason}"));
        return Vec::new();
    }
    match (command, step) {
        (Command::Confirm, Some(step)) => send(op, RunCommand::Confirm(step)),
        (Command::Automatic, _) => send(op, RunCommand::Automatic),
        (Command::Retry, _) => send(op, RunCommand::Retry),
        (Command::Skip, _) => send(op, RunCommand::Skip),
        (Command::Last, Some(step)) => send(op, RunCommand::Postpone(step)),
        (Command::Abort, _) => send(op, RunCommand::Abort),
        _ => Vec::new(),
    }
}

fn send(op: OpId, command: RunCommand) -> Vec<Effect> {
    vec![Effect::Command { op, command }]
}
