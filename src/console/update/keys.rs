//! Keys and pasted text: to the dialog on top, to the filter being typed, or to the panes as a command.

use super::{actions, dialogs, entries, flash, hosts, lists, resolve, runs};
use crate::console::dialog::{Dialog, Page, Palette, Subject};
use crate::console::keymap::{Code, Command, Key, bindings, command, obstacle};
use crate::console::model::{Model, Pane};
use crate::console::msg::Effect;
use crate::console::rows;
use crate::domain::ids::NodeName;
use crate::domain::log::Level;
use crate::domain::plan::Kind;

/// A key was pressed.
pub(super) fn press(model: &mut Model, key: Key) -> Vec<Effect> {
    model.flash = None;
    if key.is(Key::ctrl('c')) {
        return dialogs::quit(model);
    }
    if key.is(Key::ctrl('w')) {
        return vec![Effect::Record];
    }
    if !model.dialogs.is_empty() {
        return dialogs::press(model, key);
    }
    if let Some(pane) = model.editing {
        edit(model, pane, key);
        return Vec::new();
    }
    match command(model.setup.preset, model.focus, key) {
        Some(command) => execute(model, command, None),
        None => elsewhere(model, key),
    }
}

/// A key of another pane. On an etcd member the keys of nodes act on its node; else it is said where the key works.
fn elsewhere(model: &mut Model, key: Key) -> Vec<Effect> {
    use Command as C;
    let known = bindings(model.setup.preset).find(|binding| binding.keys.iter().any(|one| one.is(key)));
    let Some(command) = known.map(|binding| binding.command) else { return Vec::new() };
    let acts = matches!(command, C::Cordon | C::Uncordon | C::Drain | C::Reboot);
    if acts
        && model.focus == Pane::Etcd
        && let Some(node) = member_node(model)
    {
        return execute(model, command, Some(node));
    }
    let (object, pane) = match command {
        C::Block => ("a budget", 3),
        C::Story => ("the rolling update", 6),
        _ if acts || matches!(command, C::Mark | C::Needs | C::Power) => ("a node", 1),
        _ => ("a list", 1),
    };
    flash(model, Level::Warn, format!("{key} works on {object}: press {pane}"));
    Vec::new()
}

/// The node of the selected etcd member, when it is known.
fn member_node(model: &Model) -> Option<NodeName> {
    let keys = rows::member_keys(model);
    let id = model.lists.etcd.current(&keys)?;
    model.known.etcd.as_ref()?.all_members().find(|member| member.id == *id)?.node.clone()
}

/// Text was pasted. It goes where text is typed, except where typing is the point.
pub(super) fn paste(model: &mut Model, text: &str) -> Vec<Effect> {
    let line = crate::domain::text::clean(text);
    match model.dialogs.last_mut() {
        Some(Dialog::Palette(palette)) => palette.text.push_str(line.trim()),
        Some(Dialog::Confirm(confirm)) => {
            confirm.notice = Some("the name is typed by hand, not pasted".to_owned());
        }
        Some(_) => {}
        None => {
            if let Some(filter) = model.editing.and_then(|pane| lists::filter(model, pane)) {
                filter.push_str(line.trim());
            }
        }
    }
    Vec::new()
}

fn edit(model: &mut Model, pane: Pane, key: Key) {
    let Some(filter) = lists::filter(model, pane) else {
        model.editing = None;
        return;
    };
    match key.code {
        Code::Char('u') if key.ctrl => filter.clear(),
        Code::Char(ch) if !key.ctrl => filter.push(ch),
        Code::Backspace => {
            filter.pop();
        }
        Code::Esc => {
            filter.clear();
            model.editing = None;
        }
        Code::Enter | Code::Tab => model.editing = None,
        Code::Up => lists::go(model, Command::Up),
        Code::Down => lists::go(model, Command::Down),
        _ => {}
    }
}

/// Carries out a command, of a key or of the palette (which may name a node).
pub(super) fn execute(model: &mut Model, command: Command, on: Option<NodeName>) -> Vec<Effect> {
    use Command as C;
    if let Some(reason) = obstacle(model, command) {
        flash(model, Level::Warn, reason);
        return Vec::new();
    }
    match command {
        C::Orphans => open_orphans(model),
        C::Focus(Pane::Run) if model.shows_orphans() => open_orphans(model),
        C::Focus(pane) => focus(model, pane),
        C::NextPane => turn(model, 1),
        C::PriorPane => turn(model, -1),
        C::Up | C::Down | C::Top | C::Bottom | C::PageUp | C::PageDown | C::HalfUp | C::HalfDown => {
            lists::go(model, command);
        }
        C::Filter => model.editing = Some(model.focus),
        C::Palette => model.dialogs.push(Dialog::Palette(Palette::default())),
        C::Help => model.dialogs.push(Dialog::Help(0)),
        C::Back => back(model),
        C::Sort => lists::sort(model),
        C::Reverse => lists::reverse(model),
        C::Copy => return lists::copy(model),
        C::Report => return lists::copy_report(model),
        C::Mark => lists::mark(model),
        C::Details => open_page(model),
        C::Block => return resolve::open_selected(model),
        C::Extend => return hosts::extend(model),
        C::Power => return hosts::ask_power(model, on),
        C::PowerCycle => actions::ask(model, Kind::PowerCycle, on),
        C::Answer => hosts::answer(model),
        C::Needs => return hosts::ask_need(model, on),
        C::Reconnect => {
            flash(model, Level::Info, "reading the kubeconfig again");
            return vec![Effect::Reconnect];
        }
        C::Record => return vec![Effect::Record],
        C::Story => model.dialogs.push(Dialog::Page(Page { subject: Subject::Story, scroll: 0 })),
        C::Lock => model.dialogs.push(Dialog::Page(Page { subject: Subject::Lock, scroll: 0 })),
        C::Accept | C::Settle => entries::open(model, command),
        C::NextRun => next_run(model),
        C::Quit => return dialogs::quit(model),
        C::Cordon => actions::ask(model, Kind::Cordon, on),
        C::Uncordon => actions::ask(model, Kind::Uncordon, on),
        C::Drain => actions::ask(model, Kind::Drain, on),
        C::Reboot => {
            let is_roll = on.is_none() && model.lists.nodes.marked.len() > 1;
            actions::ask(model, if is_roll { Kind::Roll } else { Kind::Reboot }, on);
        }
        C::Snapshot => actions::ask(model, Kind::Snapshot, None),
        C::Confirm | C::Automatic | C::Pause | C::Retry | C::Skip | C::Last | C::Abort => {
            return runs::command(model, command);
        }
    }
    Vec::new()
}

pub(super) fn focus(model: &mut Model, pane: Pane) {
    if pane == Pane::Run && model.open_run().is_none() {
        model.open = model.runs.last().map(|run| run.op);
    }
    if pane == Pane::Rollout {
        model.watch.is_called = false;
    }
    if pane != Pane::Run || model.open.is_some() {
        model.focus = pane;
    }
}

/// What earlier runs left; once read, it is not called out any more.
fn open_orphans(model: &mut Model) {
    model.is_calling = false;
    model.dialogs.push(Dialog::Page(Page { subject: Subject::Orphans, scroll: 0 }));
}

/// The pane that many places on; the run pane only while a run is open, the rollout pane only with a roll.
fn turn(model: &mut Model, by: isize) {
    let is_there = |pane: &Pane| match pane {
        Pane::Run => model.open_run().is_some(),
        Pane::Rollout => model.watch.rollout.began().is_some(),
        _ => true,
    };
    let panes: Vec<Pane> = Pane::ALL.into_iter().filter(is_there).collect();
    let at = panes.iter().position(|pane| *pane == model.focus).unwrap_or(0);
    let by = if by > 0 { 1 } else { panes.len() - 1 };
    let next = panes.get((at + by) % panes.len()).copied().unwrap_or(Pane::Nodes);
    focus(model, next);
}

/// Escape, step by step: the filter, the marks, the log's place, the run that is over, the focus.
fn back(model: &mut Model) {
    let pane = model.focus;
    if let Some(filter) = lists::filter(model, pane)
        && !filter.is_empty()
    {
        filter.clear();
    } else if pane == Pane::Nodes && !model.lists.nodes.marked.is_empty() {
        model.lists.nodes.marked.clear();
    } else if model.is_calling {
        model.is_calling = false;
    } else if model.watch.is_called {
        model.watch.is_called = false;
    } else if pane == Pane::Nodes {
        model.lists.nodes.marked.clear();
    } else if pane == Pane::Log && model.lists.log.selected.is_some() {
        model.lists.log.selected = None;
    } else {
        if pane == Pane::Run && model.open_run().is_some_and(|run| run.state.is_over()) {
            model.open = None;
        }
        model.focus = Pane::Nodes;
    }
}

fn next_run(model: &mut Model) {
    let at = model.runs.iter().position(|run| Some(run.op) == model.open);
    let next = at.map_or(model.runs.len().saturating_sub(1), |at| (at + 1) % model.runs.len().max(1));
    model.open = model.runs.get(next).map(|run| run.op);
    model.lists.run.selected = None;
}

fn open_page(model: &mut Model) {
    let at = rows::selected(model, model.focus);
    let subject = match model.focus {
        Pane::Nodes => at.and_then(|at| rows::node_keys(model).into_iter().nth(at)).map(Subject::Node),
        Pane::Etcd => at.and_then(|at| rows::member_keys(model).into_iter().nth(at)).map(Subject::Member),
        Pane::Budgets => at.and_then(|at| rows::budget_keys(model).into_iter().nth(at)).map(Subject::Budget),
        Pane::Log => {
            let keys = rows::line_keys(model);
            at.or(keys.len().checked_sub(1)).and_then(|at| keys.get(at).copied()).map(Subject::Line)
        }
        Pane::Run => at.and_then(|at| Some(Subject::Step(model.open?, at))),
        Pane::Rollout => at.and_then(|at| rows::track_keys(model).into_iter().nth(at)).map(Subject::Turn),
    };
    match subject {
        Some(subject) => model.dialogs.push(Dialog::Page(Page { subject, scroll: 0 })),
        None => flash(model, Level::Info, "nothing is selected"),
    }
}
