//! What hosts tell and ask: who answers, who does not, who needs a reboot, and what SSH needs from the engineer.

use super::dialogs::{Answer, may_confirm, simple};
use super::{feeds, flash};
use crate::console::dialog::Dialog;
use crate::console::dialog::host::{MOST_DOTS, build};
use crate::console::keymap::{Code, Key};
use crate::console::model::{HostAway, Model};
use crate::console::msg::Effect;
use crate::console::rows;
use crate::domain::guard::Rung;
use crate::domain::host::{HostFacts, HostQuestion, Need, RebootNeed};
use crate::domain::ids::NodeName;
use crate::domain::log::Level;
use crate::domain::power::PowerReading;
use crate::domain::report::Report;
use crate::domain::run::RunCommand;
use std::time::Duration;

/// So much longer a step may take by one key.
const MORE: Duration = Duration::from_mins(5);

/// A host told of its boot.
pub(super) fn told(model: &mut Model, node: NodeName, facts: HostFacts) -> Vec<Effect> {
    if let Some(away) = model.known.away.remove(&node) {
        let gone = crate::domain::time::brief(model.now.since(away.since));
        feeds::say(
            model,
            Level::Info,
            Some(node.clone()),
            format!("{node} answers over SSH again, after {gone}"),
        );
    }
    model.known.hosts.insert(node, facts);
    Vec::new()
}

/// A host did not answer. Said once for each cause.
pub(super) fn away(model: &mut Model, node: NodeName, report: Report) -> Vec<Effect> {
    let since = model.known.away.get(&node).map_or(model.now, |away| away.since);
    let is_new = model.known.away.get(&node).is_none_or(|away| away.report.kind != report.kind);
    // a cluster without SSH at all is told once, by the source
    if is_new && !model.known.hosts.is_empty() {
        feeds::say(model, Level::Warn, Some(node.clone()), format!("{node} over SSH: {}", report.line()));
    }
    model.known.away.insert(node, HostAway { since, report });
    Vec::new()
}

/// Whether a host needs a reboot, or why that is not known.
pub(super) fn need(model: &mut Model, node: NodeName, need: RebootNeed) -> Vec<Effect> {
    model.known.asked_need.remove(&node);
    if let Need::Needed(reasons) = &need.need {
        feeds::say(
            model,
            Level::Info,
            Some(node.clone()),
            format!("{node} needs a reboot: {}", reasons.join("; ")),
        );
    }
    model.known.needs.insert(node, need);
    Vec::new()
}

/// Asks the marked nodes' hosts, else those of all visible nodes, whether they need a reboot.
pub(super) fn ask_need(model: &mut Model, on: Option<NodeName>) -> Vec<Effect> {
    let marked = &model.lists.nodes.marked;
    let nodes: Vec<NodeName> = match on {
        Some(node) => vec![node],
        None if marked.is_empty() => rows::node_keys(model),
        None => marked.iter().cloned().collect(),
    };
    flash(
        model,
        Level::Info,
        format!("asking {} whether they need a reboot", crate::domain::text::count(nodes.len(), "host")),
    );
    model.known.asked_need.extend(nodes.iter().cloned());
    vec![Effect::AskNeed(nodes)]
}

/// Lets the step that is under way take longer.
pub(super) fn extend(model: &mut Model) -> Vec<Effect> {
    let Some((op, step)) = crate::console::phase::extensible(model) else { return Vec::new() };
    vec![Effect::Command { op, command: RunCommand::Extend { step, by: MORE } }]
}

/// Asks the controller of the named or the selected node for its power.
pub(super) fn ask_power(model: &mut Model, on: Option<NodeName>) -> Vec<Effect> {
    let keys = rows::node_keys(model);
    let Some(node) = on.or_else(|| model.lists.nodes.current(&keys).cloned()) else {
        flash(model, Level::Warn, "no node is selected");
        return Vec::new();
    };
    flash(model, Level::Info, format!("asking the management controller of {node}"));
    vec![Effect::AskPower(node)]
}

/// What a controller said of the power.
pub(super) fn power(model: &mut Model, node: NodeName, reading: PowerReading) -> Vec<Effect> {
    let (level, words) = match &reading.state {
        Ok(state) => (Level::Info, format!("the power of {node} is {state}, by its management controller")),
        Err(report) => (Level::Warn, format!("the power of {node} is not known: {}", report.line())),
    };
    flash(model, level, words.clone());
    feeds::say(model, level, Some(node.clone()), words);
    model.known.power.insert(node, reading);
    Vec::new()
}

/// What SSH asks now. Nothing opens by itself: it is called out in the header and the log.
pub(super) fn questions(model: &mut Model, questions: Vec<HostQuestion>) -> Vec<Effect> {
    for question in &questions {
        if !model.known.questions.contains(question) {
            feeds::say(model, Level::Warn, None, format!("SSH asks: {} (a answers)", question.words()));
        }
    }
    model.known.questions = questions;
    Vec::new()
}

/// Opens the dialog for the first question.
pub(super) fn answer(model: &mut Model) {
    match model.known.questions.first().cloned() {
        Some(question) => {
            let dialog = build(model, &question);
            model.dialogs.push(dialog);
        }
        None => flash(model, Level::Info, "SSH asks nothing"),
    }
}

/// Something was typed into the passphrase's field: only that, not what.
pub(super) fn masked(model: &mut Model, dots: u8) -> Vec<Effect> {
    if let Some(Dialog::Passphrase(asked)) = model.dialogs.last_mut() {
        asked.dots = dots.min(MOST_DOTS);
        asked.notice = None;
    }
    Vec::new()
}

/// A key in the passphrase's dialog that is not text.
pub(super) fn passphrase(model: &mut Model, key: Key) -> Vec<Effect> {
    let Some(Dialog::Passphrase(asked)) = model.dialogs.last_mut() else { return Vec::new() };
    match key.code {
        Code::Esc => drop(model.dialogs.pop()),
        Code::Enter if asked.is_opening || key.repeat => {}
        Code::Enter if asked.dots == 0 => asked.notice = Some("nothing is typed; Esc cancels".to_owned()),
        Code::Enter => {
            asked.is_opening = true;
            asked.dots = 0;
            return vec![Effect::Unlock(asked.path.clone())];
        }
        _ => {}
    }
    Vec::new()
}

/// A key was opened, or not.
pub(super) fn unlocked(model: &mut Model, path: &str, outcome: Result<(), Report>) -> Vec<Effect> {
    match outcome {
        Ok(()) => {
            model.dialogs.retain(|dialog| !matches!(dialog, Dialog::Passphrase(asked) if asked.path == path));
            feeds::say(model, Level::Info, None, format!("the key {path} is open, until this console ends"));
            ask_again(model)
        }
        Err(report) => {
            let asked = model.dialogs.iter_mut().find_map(|dialog| match dialog {
                Dialog::Passphrase(asked) if asked.path == path => Some(asked),
                _ => None,
            });
            if let Some(asked) = asked {
                asked.is_opening = false;
                asked.notice = Some(report.line());
            }
            Vec::new()
        }
    }
}

/// A host's key was recorded, or not.
pub(super) fn trusted(model: &mut Model, name: &str, outcome: Result<(), Report>) -> Vec<Effect> {
    match outcome {
        Ok(()) => {
            feeds::say(
                model,
                Level::Warn,
                None,
                format!("the key of {name} is recorded now: it was answered for"),
            );
            ask_again(model)
        }
        Err(report) => {
            super::actions::deny(model, &report);
            Vec::new()
        }
    }
}

/// The hosts that have not answered yet are asked again.
fn ask_again(model: &Model) -> Vec<Effect> {
    let known = &model.known;
    let is_silent = |node: &&NodeName| !known.hosts.contains_key(*node) || known.away.contains_key(*node);
    known.nodes.keys().filter(is_silent).cloned().map(Effect::Probe).collect()
}

/// A key in the question about a host's key.
pub(super) fn trust(model: &mut Model, key: Key) -> Vec<Effect> {
    let now = model.now;
    let Some(Dialog::Trust(asked)) = model.dialogs.last_mut() else { return Vec::new() };
    if key.ctrl || (key.repeat && key.code != Code::Backspace) {
        return Vec::new();
    }
    let is_given = match &asked.rung {
        Rung::Key => match simple(&mut asked.prompt, &mut asked.notice, key, now) {
            Answer::Yes => true,
            Answer::No => {
                model.dialogs.pop();
                return Vec::new();
            }
            Answer::None => false,
        },
        Rung::TypeName(name) | Rung::TypeContext(name) => match key.code {
            Code::Esc => {
                model.dialogs.pop();
                return Vec::new();
            }
            Code::Backspace => {
                asked.prompt.typed.pop();
                false
            }
            Code::Char(ch) => {
                asked.prompt.typed.push(ch);
                asked.notice = None;
                false
            }
            Code::Enter if *name == asked.prompt.typed => {
                may_confirm(&mut asked.prompt, &mut asked.notice, key, now)
            }
            Code::Enter => {
                asked.notice = Some(format!("type {name} to the letter; Esc cancels"));
                false
            }
            _ => false,
        },
    };
    if !is_given {
        return Vec::new();
    }
    let host = asked.host.clone();
    model.dialogs.pop();
    if !model.known.questions.contains(&HostQuestion::HostKey(host.clone())) {
        flash(model, Level::Warn, "the host shows another key now: look again");
        return Vec::new();
    }
    vec![Effect::Trust(host)]
}
