//! Disruption budgets, filtered and sorted, and the pods that they cover.

use super::directed;
use crate::console::filter::Filter;
use crate::console::list::Column;
use crate::console::model::Model;
use crate::domain::budget::BudgetRow;
use crate::domain::ids::{NodeName, PodKey};
use crate::domain::pod::PodRow;
use crate::domain::remedy::{Facts, note};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The visible budgets in their order.
pub fn visible_budgets(model: &Model) -> Vec<&BudgetRow> {
    let list = &model.lists.budgets;
    let filter = Filter::parse(&list.filter, &["node"]);
    let named = |row: &BudgetRow| -> Vec<String> {
        budget_nodes(model, row).into_keys().map(|node| node.0).collect()
    };
    let mut rows: Vec<&BudgetRow> =
        model.known.budgets.values().filter(|row| filter.passes(|| words(row), |_| named(row))).collect();
    rows.sort_by(|a, b| directed(list.descending, order(list.sort, a, b)));
    rows
}

pub(super) fn words(row: &BudgetRow) -> String {
    let state = match urgency(row) {
        0 => "never blocked",
        1 => "blocked",
        _ => "free",
    };
    format!("{} {} {state}", row.key, row.demand)
}

/// 0 = never allows, 1 = allows nothing now, 2 = has room.
fn urgency(row: &BudgetRow) -> u8 {
    match row.allowed {
        _ if row.never_allows().is_some() => 0,
        ..=0 => 1,
        _ => 2,
    }
}

fn order(column: Column, a: &BudgetRow, b: &BudgetRow) -> Ordering {
    match column {
        Column::State => urgency(a).cmp(&urgency(b)),
        Column::Allowed => a.allowed.cmp(&b.allowed),
        Column::Pods => b.expected.cmp(&a.expected),
        _ => a.key.cmp(&b.key),
    }
}

/// The pods that a budget covers, ended ones left out.
pub fn budget_pods<'m>(model: &'m Model, budget: &'m BudgetRow) -> impl Iterator<Item = &'m PodRow> {
    let namespace = &budget.key.namespace;
    let first = PodKey { namespace: namespace.clone(), name: String::new(), uid: String::new() };
    model
        .known
        .pods
        .range(first..)
        .take_while(move |(key, _)| key.namespace == *namespace)
        .map(|(_, pod)| pod)
        .filter(|pod| !pod.is_finished() && budget.selector.matches(&pod.labels))
}

/// Why a budget blocks, in the fewest words, by the rows alone; `None` = it blocks nothing now, or the pods are not known.
pub fn block_note(model: &Model, budget: &BudgetRow) -> Option<String> {
    if !model.known.has_pods {
        return None;
    }
    let others = model.known.budgets.values().filter(|other| other.key.namespace == budget.key.namespace);
    let facts = Facts::from_rows(budget, budget_pods(model, budget), others, &model.known.nodes, model.now);
    note(&facts)
}

/// On which nodes the pods of a budget are, and how many on each.
pub fn budget_nodes(model: &Model, budget: &BudgetRow) -> BTreeMap<NodeName, usize> {
    let mut nodes = BTreeMap::new();
    for node in budget_pods(model, budget).filter_map(|pod| pod.node.as_ref()) {
        *nodes.entry(node.clone()).or_insert(0) += 1;
    }
    nodes
}
