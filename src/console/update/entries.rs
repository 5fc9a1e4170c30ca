//! Keys in questions that take text: they are typed, not pasted; Enter sends an armed one that makes sense.

use super::flash;
use crate::console::dialog::entry::{Entry, Purpose, accept, role_ahead, settle};
use crate::console::dialog::{Dialog, Prompt};
use crate::console::keymap::{Code, Command, Key};
use crate::console::model::Model;
use crate::console::msg::Effect;
use crate::domain::log::Level;
use crate::domain::run::{RunCommand, RunView};
use crate::domain::time::parse_span;
use std::time::Duration;

/// Quiet times longer than this are taken for a slip of the finger.
const LONGEST: Duration = Duration::from_hours(24);

/// Opens the question of a command of the open run.
pub(super) fn open(model: &mut Model, command: Command) {
    let Some(run) = model.open_run() else { return };
    let entry = match command {
        Command::Settle => settle(model, run),
        _ => accept(model, run),
    };
    if let Some(entry) = entry {
        model.dialogs.push(Dialog::Entry(Box::new(entry)));
    }
}

/// A key for the question on top.
pub(super) fn press(model: &mut Model, key: Key) -> Vec<Effect> {
    let Some(Dialog::Entry(entry)) = model.dialogs.last_mut() else { return Vec::new() };
    if key.ctrl || (key.repeat && key.code != Code::Backspace) {
        return Vec::new();
    }
    match key.code {
        Code::Esc => {
            model.dialogs.pop();
        }
        Code::Enter => return submit(model),
        Code::Backspace => {
            entry.prompt.typed.pop();
        }
        Code::Down | Code::Tab => choose(&mut entry.purpose, 1),
        Code::Up | Code::BackTab => choose(&mut entry.purpose, -1),
        Code::Char(ch) => {
            entry.notice = None;
            entry.prompt.typed.push(ch);
        }
        _ => {}
    }
    Vec::new()
}

fn choose(purpose: &mut Purpose, by: isize) {
    if let Purpose::Accept { gates, at } = purpose {
        *at = at.saturating_add_signed(by).min(gates.len().saturating_sub(1));
    }
}

/// The order that the text makes, or what is wrong with it.
fn order(entry: &Entry) -> Result<RunCommand, String> {
    let text = entry.prompt.typed.trim();
    match &entry.purpose {
        Purpose::Settle => match parse_span(text) {
            Ok(quiet) if quiet <= LONGEST => Ok(RunCommand::Settle(quiet)),
            Ok(_) => Err("a quiet time of more than a day is not taken".to_owned()),
            Err(words) => Err(words),
        },
        Purpose::Accept { .. } if text.is_empty() => Err("type the reason; Esc cancels".to_owned()),
        Purpose::Accept { gates, at } => {
            let gate = gates.get(*at).cloned().ok_or_else(|| "no gate is chosen".to_owned())?;
            Ok(RunCommand::Accept { step: entry.step, gate, reason: text.to_owned() })
        }
    }
}

/// In a roll the pause is that of a role, and a gate that of the node's own run.
fn of_roll(run: &RunView, step: usize, order: RunCommand) -> RunCommand {
    match (order, role_ahead(run)) {
        (RunCommand::Settle(quiet), Some(role)) => RunCommand::Interval { role, quiet },
        (RunCommand::Accept { gate, reason, .. }, Some(_)) => {
            let (child, at) = run.at_stake();
            match at.filter(|_| child.id != run.id) {
                Some(at) => {
                    let order = Box::new(RunCommand::Accept { step: at, gate, reason });
                    RunCommand::Turn { step, order }
                }
                None => RunCommand::Accept { step, gate, reason },
            }
        }
        (order, _) => order,
    }
}

fn submit(model: &mut Model) -> Vec<Effect> {
    let now = model.now;
    let Some(Dialog::Entry(entry)) = model.dialogs.last_mut() else { return Vec::new() };
    let order = match order(entry) {
        Err(words) => {
            entry.notice = Some(words);
            return Vec::new();
        }
        Ok(_) if !entry.prompt.is_armed(now) => {
            entry.prompt = Prompt { shown: now, ..entry.prompt.clone() };
            return Vec::new();
        }
        Ok(order) => order,
    };
    let (op, step) = (entry.op, entry.step);
    model.dialogs.pop();
    let order = match model.run(op) {
        Some(run) => of_roll(run, step, order),
        None => order,
    };
    let stands = model.run(op).is_some_and(|run| match &order {
        RunCommand::Accept { .. } | RunCommand::Turn { .. } => run.current() == Some(step),
        _ => !run.state.is_over(),
    });
    if !stands {
        flash(model, Level::Warn, "not done: the run has moved on");
        return Vec::new();
    }
    let accepted = match &order {
        RunCommand::Turn { order, .. } => order.as_ref(),
        order => order,
    };
    if let RunCommand::Accept { gate, .. } = accepted {
        flash(model, Level::Info, format!("gate {gate} is accepted: T reads the gates again"));
    }
    vec![Effect::Command { op, command: order }]
}
