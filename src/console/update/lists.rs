//! Moving in lists, sorting, filtering, marking, copying.

use super::flash;
use crate::console::keymap::Command;
use crate::console::list::{Column, ListState};
use crate::console::model::{Model, Pane};
use crate::console::msg::Effect;
use crate::console::rows;
use crate::domain::log::Level;

/// Moves the selection of the focused list.
pub(super) fn go(model: &mut Model, command: Command) {
    let page = isize::try_from(page(model)).unwrap_or(10);
    let by = match command {
        Command::Up => -1,
        Command::Down => 1,
        Command::HalfUp => -(page / 2).max(1),
        Command::HalfDown => (page / 2).max(1),
        Command::PageUp => -page,
        Command::PageDown => page,
        Command::Top => isize::MIN,
        _ => isize::MAX,
    };
    match model.focus {
        Pane::Nodes => {
            let keys = rows::node_keys(model);
            model.lists.nodes.step(&keys, by);
        }
        Pane::Etcd => {
            let keys = rows::member_keys(model);
            model.lists.etcd.step(&keys, by);
        }
        Pane::Budgets => {
            let keys = rows::budget_keys(model);
            model.lists.budgets.step(&keys, by);
        }
        Pane::Rollout => {
            let keys = rows::track_keys(model);
            model.lists.rollout.step(&keys, by);
        }
        Pane::Log => go_in_log(model, by),
        Pane::Run => {
            let (at, count) =
                (rows::selected(model, Pane::Run), model.open_run().map_or(0, |run| run.steps.len()));
            if let (Some(at), Some(last)) = (at, count.checked_sub(1)) {
                model.lists.run.selected = Some(at.saturating_add_signed(by).min(last));
            }
        }
    }
}

/// In the log, going down past the last line means to follow.
fn go_in_log(model: &mut Model, by: isize) {
    let keys = rows::line_keys(model);
    let Some(last) = keys.len().checked_sub(1) else { return };
    let at = rows::selected(model, Pane::Log).unwrap_or(last);
    let to = at.saturating_add_signed(by);
    if to > last || (by == isize::MAX) || (at == last && by > 0) {
        model.lists.log.selected = None;
    } else {
        model.lists.log.select(&keys, to);
    }
}

/// About the lines that a pane shows (panes share the height from 24 lines on).
fn page(model: &Model) -> usize {
    let lines = usize::from(model.size.1);
    if lines >= 30 { lines / 2 - 4 } else { lines.saturating_sub(6) }.max(3)
}

/// Sorts the focused list by its next column.
pub(super) fn sort(model: &mut Model) {
    let columns = rows::columns(model.focus);
    let sort = match model.focus {
        Pane::Nodes => next(&mut model.lists.nodes, columns),
        Pane::Etcd => next(&mut model.lists.etcd, columns),
        Pane::Budgets => next(&mut model.lists.budgets, columns),
        Pane::Rollout => next(&mut model.lists.rollout, columns),
        Pane::Log | Pane::Run => return,
    };
    flash(model, Level::Info, format!("sorted by {}", sort.word()));
}

fn next<K: Ord>(list: &mut ListState<K>, columns: &[Column]) -> Column {
    let at = columns.iter().position(|column| *column == list.sort).map_or(0, |at| at + 1);
    list.sort = columns.get(at).or(columns.first()).copied().unwrap_or(Column::Name);
    list.descending = false;
    list.sort
}

/// Sorts the focused list by a column that is named; `false` when it has no such column.
pub(super) fn sort_by(model: &mut Model, word: &str) -> bool {
    let Some(column) = rows::columns(model.focus).iter().find(|column| column.word() == word) else {
        return false;
    };
    match model.focus {
        Pane::Nodes => model.lists.nodes.sort = *column,
        Pane::Etcd => model.lists.etcd.sort = *column,
        Pane::Budgets => model.lists.budgets.sort = *column,
        Pane::Rollout => model.lists.rollout.sort = *column,
        Pane::Log | Pane::Run => return false,
    }
    true
}

/// Turns the order of the focused list round.
pub(super) fn reverse(model: &mut Model) {
    match model.focus {
        Pane::Nodes => model.lists.nodes.descending ^= true,
        Pane::Etcd => model.lists.etcd.descending ^= true,
        Pane::Budgets => model.lists.budgets.descending ^= true,
        Pane::Rollout => model.lists.rollout.descending ^= true,
        Pane::Log | Pane::Run => {}
    }
}

/// The filter of a pane, if it has one.
pub(super) fn filter(model: &mut Model, pane: Pane) -> Option<&mut String> {
    match pane {
        Pane::Nodes => Some(&mut model.lists.nodes.filter),
        Pane::Etcd => Some(&mut model.lists.etcd.filter),
        Pane::Budgets => Some(&mut model.lists.budgets.filter),
        Pane::Log => Some(&mut model.lists.log.filter),
        Pane::Rollout => Some(&mut model.lists.rollout.filter),
        Pane::Run => None,
    }
}

/// Marks the selected node and goes one on.
pub(super) fn mark(model: &mut Model) {
    let keys = rows::node_keys(model);
    if let Some(key) = model.lists.nodes.current(&keys).cloned() {
        model.lists.nodes.toggle_mark(key);
        model.lists.nodes.step(&keys, 1);
    }
}

/// Copies what is selected.
pub(super) fn copy(model: &mut Model) -> Vec<Effect> {
    let text = match model.focus {
        Pane::Nodes => selected_of(&rows::node_keys(model), &model.lists.nodes).map(|name| name.0),
        Pane::Etcd => rows::visible_members(model)
            .get(rows::selected(model, Pane::Etcd).unwrap_or(usize::MAX))
            .map(|member| member.name.clone()),
        Pane::Budgets => {
            selected_of(&rows::budget_keys(model), &model.lists.budgets).map(|key| key.to_string())
        }
        Pane::Rollout => selected_of(&rows::track_keys(model), &model.lists.rollout).map(|name| name.0),
        Pane::Log => {
            let lines = rows::visible_log(model);
            let at = rows::selected(model, Pane::Log).or(lines.len().checked_sub(1));
            at.and_then(|at| lines.get(at)).map(|(_, line)| line.text.clone())
        }
        Pane::Run => model.open_run().and_then(|run| {
            let step = run.steps.get(rows::selected(model, Pane::Run)?)?;
            Some(step.step.command.clone())
        }),
    };
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        flash(model, Level::Warn, "nothing to copy here");
        return Vec::new();
    };
    flash(model, Level::Info, format!("copied {text}"));
    vec![Effect::Copy(text)]
}

/// Copies the report of the open run, as its journal tells it.
pub(super) fn copy_report(model: &mut Model) -> Vec<Effect> {
    let Some(run) = model.open_run().map(|run| run.id.clone()) else { return Vec::new() };
    flash(model, Level::Info, format!("copied the report; pitstop runs report {run} writes it too"));
    vec![Effect::CopyReport(run)]
}

fn selected_of<K: Ord + Clone>(keys: &[K], list: &ListState<K>) -> Option<K> {
    list.current(keys).cloned()
}
