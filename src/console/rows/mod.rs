//! What the panes list: rows filtered and sorted, as pure functions of the model.

mod budgets;
mod etcd;
mod log;
mod nodes;
mod rollout;

pub use budgets::{block_note, budget_nodes, budget_pods, visible_budgets};
pub use etcd::visible_members;
pub use log::visible_log;
pub use nodes::{pods_on, visible_nodes};
pub use rollout::visible_tracks;

use super::list::Column;
use super::model::{Model, Pane};
use std::cmp::Ordering;

/// What a pane can be sorted by, in the order of the key `s`.
pub fn columns(pane: Pane) -> &'static [Column] {
    match pane {
        Pane::Nodes => &[
            Column::Name,
            Column::State,
            Column::Roles,
            Column::Pods,
            Column::Version,
            Column::Age,
            Column::Boot,
        ],
        Pane::Etcd => {
            &[Column::Name, Column::State, Column::Lag, Column::Size, Column::Latency, Column::Version]
        }
        Pane::Budgets => &[Column::State, Column::Name, Column::Allowed, Column::Pods],
        Pane::Rollout => &[Column::State, Column::Name, Column::Roles],
        Pane::Log | Pane::Run => &[],
    }
}

/// The place of the selected row among the visible rows of a pane; `None` without rows, and in a log that follows.
pub fn selected(model: &Model, pane: Pane) -> Option<usize> {
    let lists = &model.lists;
    match pane {
        Pane::Nodes => lists.nodes.position(&node_keys(model)),
        Pane::Etcd => lists.etcd.position(&member_keys(model)),
        Pane::Budgets => lists.budgets.position(&budget_keys(model)),
        Pane::Log if lists.log.selected.is_none() => None,
        Pane::Log => lists.log.position(&line_keys(model)),
        Pane::Rollout => lists.rollout.position(&track_keys(model)),
        Pane::Run => {
            let run = model.open_run()?;
            lists.run.selected.or_else(|| run.current()).or(run.steps.len().checked_sub(1))
        }
    }
}

/// Keys of the visible nodes.
pub fn node_keys(model: &Model) -> Vec<crate::domain::ids::NodeName> {
    visible_nodes(model).into_iter().map(|row| row.name.clone()).collect()
}

/// Keys of the visible nodes of the rollout.
pub fn track_keys(model: &Model) -> Vec<crate::domain::ids::NodeName> {
    visible_tracks(model).into_iter().map(|track| track.name.clone()).collect()
}

/// Keys of the visible members.
pub fn member_keys(model: &Model) -> Vec<u64> {
    visible_members(model).into_iter().map(|row| row.id).collect()
}

/// Keys of the visible budgets.
pub fn budget_keys(model: &Model) -> Vec<crate::domain::ids::BudgetKey> {
    visible_budgets(model).into_iter().map(|row| row.key.clone()).collect()
}

/// Numbers of the visible log lines.
pub fn line_keys(model: &Model) -> Vec<u64> {
    visible_log(model).into_iter().map(|(number, _)| number).collect()
}

/// Whether a word (in lower case) stands in some row of a pane, where its filter looks.
pub fn mentions(model: &Model, pane: Pane, word: &str) -> bool {
    let has = |text: String| text.to_lowercase().contains(word);
    let known = &model.known;
    match pane {
        Pane::Nodes => known.nodes.values().any(|row| has(nodes::words(model, row))),
        Pane::Etcd => known.etcd.iter().flat_map(|etcd| etcd.all_members()).any(|row| has(etcd::words(row))),
        Pane::Budgets => {
            known.budgets.values().any(|row| has(budgets::words(row)))
                || known.nodes.keys().any(|node| has(node.0.clone()))
        }
        Pane::Log => model.log.iter().any(|(_, line)| has(log::words(line))),
        Pane::Run => false,
        Pane::Rollout => model.watch.rollout.members().into_iter().any(|track| has(rollout::words(track))),
    }
}

/// The order of two rows, turned round when asked; equal ones stay in the order of their names.
fn directed(descending: bool, order: Ordering) -> Ordering {
    if descending { order.reverse() } else { order }
}

#[cfg(test)]
mod tests;
