//! Etcd members, filtered and sorted.

use super::directed;
use crate::console::filter::Filter;
use crate::console::list::Column;
use crate::console::model::Model;
use crate::domain::etcd::{MemberHealth, MemberRow, MemberStatus};
use std::cmp::Ordering;

/// The visible members in their order.
pub fn visible_members(model: &Model) -> Vec<&MemberRow> {
    let list = &model.lists.etcd;
    let filter = Filter::parse(&list.filter, &[]);
    let members = model.known.etcd.iter().flat_map(|etcd| etcd.all_members());
    let mut rows: Vec<&MemberRow> =
        members.filter(|row| filter.passes(|| words(row), |_| Vec::new())).collect();
    rows.sort_by(|a, b| {
        let names = || (&a.name, a.id).cmp(&(&b.name, b.id));
        directed(list.descending, order(list.sort, a, b)).then_with(names)
    });
    rows
}

pub(super) fn words(row: &MemberRow) -> String {
    let role = match (row.is_leader(), row.learner) {
        (true, _) => "leader",
        (_, true) => "learner",
        _ => "follower",
    };
    let node = row.node.as_ref().map_or("", |node| node.as_str());
    let version = row.status.as_ref().map_or("", |status| &status.version);
    [&row.name, node, role, health_word(&row.health), version].join(" ")
}

fn health_word(health: &MemberHealth) -> &'static str {
    match health {
        MemberHealth::Healthy => "healthy",
        MemberHealth::Unhealthy(_) => "unhealthy",
        MemberHealth::Silent(_) => "silent",
        MemberHealth::Unstarted => "unstarted",
    }
}

fn order(column: Column, a: &MemberRow, b: &MemberRow) -> Ordering {
    let by = |get: fn(&MemberStatus) -> u128| b.status.as_ref().map(get).cmp(&a.status.as_ref().map(get));
    match column {
        Column::State => a.health.is_healthy().cmp(&b.health.is_healthy()),
        Column::Lag => b.lag.cmp(&a.lag),
        Column::Size => by(|status| u128::from(status.db_size)),
        Column::Latency => by(|status| status.latency.as_nanos()),
        Column::Version => a
            .status
            .as_ref()
            .map(|status| &status.version)
            .cmp(&b.status.as_ref().map(|status| &status.version)),
        _ => Ordering::Equal,
    }
}
