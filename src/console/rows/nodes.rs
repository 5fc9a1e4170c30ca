//! Nodes, filtered and sorted.

use super::directed;
use crate::console::filter::Filter;
use crate::console::list::Column;
use crate::console::model::Model;
use crate::console::phase::{booted, node_phase};
use crate::domain::ids::NodeName;
use crate::domain::node::NodeRow;
use crate::domain::text::natural;
use std::cmp::{Ordering, Reverse};

/// The visible nodes in their order.
pub fn visible_nodes(model: &Model) -> Vec<&NodeRow> {
    let list = &model.lists.nodes;
    let filter = Filter::parse(&list.filter, &[]);
    let mut rows: Vec<&NodeRow> = model
        .known
        .nodes
        .values()
        .filter(|row| filter.passes(|| words(model, row), |_| Vec::new()))
        .collect();
    rows.sort_by(|a, b| {
        directed(list.descending, order(model, list.sort, a, b)).then_with(|| natural(&a.name.0, &b.name.0))
    });
    rows
}

pub(super) fn words(model: &Model, row: &NodeRow) -> String {
    let state = node_phase(model, row).word();
    let leader = model.known.etcd.as_ref().and_then(|etcd| etcd.on_node(&row.name));
    let leader = if leader.is_some_and(crate::domain::etcd::MemberRow::is_leader) { "leader" } else { "" };
    let cordoned = if row.cordoned { "cordoned" } else { "" };
    let parts = [&row.name.0, state, cordoned, leader, &row.version, &row.kernel, &row.os_image];
    format!("{} {} {}", parts.join(" "), row.roles.join(" "), row.pressure.join(" "))
}

fn order(model: &Model, column: Column, a: &NodeRow, b: &NodeRow) -> Ordering {
    match column {
        Column::State => node_phase(model, a).urgency().cmp(&node_phase(model, b).urgency()),
        Column::Roles => b.is_control_plane().cmp(&a.is_control_plane()),
        Column::Pods => pods_on(model, &b.name).cmp(&pods_on(model, &a.name)),
        Column::Version => a.version.cmp(&b.version),
        Column::Age => Reverse(a.created).cmp(&Reverse(b.created)),
        Column::Boot => Reverse(booted(model, a)).cmp(&Reverse(booted(model, b))),
        _ => natural(&a.name.0, &b.name.0),
    }
}

/// How many pods are bound to a node (ended ones count too, as in `kubectl describe node`); `None` = not known yet.
pub fn pods_on(model: &Model, node: &NodeName) -> Option<usize> {
    let known = &model.known;
    known.has_pods.then(|| known.pods_on.get(node).map_or(0, std::collections::BTreeSet::len))
}
