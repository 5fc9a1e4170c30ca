//! One view out of what the health ports said. Pure. It is marked as what is not the whole: nobody listed the members.

use super::metrics::Vitals;
use super::options::Route;
use super::view::{Memory, Reply};
use crate::backend::error::Error;
use crate::domain::etcd::{EtcdView, MemberHealth, MemberRow};
use crate::domain::report::{FailureKind, Report};
use crate::domain::time::Stamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What one health port said.
pub(super) struct Heard {
    pub(super) vitals: Vitals,
    pub(super) latency: Duration,
    pub(super) route: Route,
}

impl Memory {
    /// The view of a round. Members that answered before are kept, as silent; those that others tell of are there too.
    pub(super) fn assemble_heard(&mut self, replies: &[Reply<Heard>], why: &Error, now: Stamp) -> EtcdView {
        let heard = || replies.iter().filter_map(|reply| Some((&reply.node, reply.answer.as_ref().ok()?)));
        let mut words = Vec::new();
        let mut rows: BTreeMap<u64, MemberRow> = BTreeMap::new();
        for (node, heard) in heard() {
            let Some(id) = heard.vitals.id else { continue };
            self.statuses.insert(id, heard.vitals.status(now, heard.latency));
            self.nodes.retain(|known, at| at != node || *known == id);
            self.nodes.insert(id, node.clone());
            let row = self.row(id, health(&heard.vitals), heard.vitals.is_learner);
            if let Some(other) = rows.insert(id, row) {
                let other = other.node.map_or_else(String::new, |node| node.0);
                words.push(format!("{other} and {node} lead to the same member {id:x}"));
            }
        }
        let mut tried = Vec::new();
        for reply in replies {
            let Err(error) = &reply.answer else { continue };
            match self.nodes.iter().find(|(_, node)| **node == reply.node).map(|(id, _)| *id) {
                Some(id) => {
                    let row = self.row(id, MemberHealth::Silent(error.report()), false);
                    rows.entry(id).or_insert(row);
                }
                None => tried.push(format!("{}: {error}", reply.node)),
            }
        }
        for id in heard().flat_map(|(_, heard)| &heard.vitals.others) {
            let report = Report::new(FailureKind::NotFound, "only the metrics of others tell of it");
            let row = self.row(*id, MemberHealth::Silent(report), false);
            rows.entry(*id).or_insert(row);
        }
        let head = heard().map(|(_, heard)| heard.vitals.status(now, heard.latency).index).max();
        let mut members: Vec<MemberRow> = rows.into_values().collect();
        for row in members.iter_mut().filter(|row| row.speaks()) {
            let applied = row.status.as_ref().map(|status| status.applied);
            row.lag = head.zip(applied).map(|(head, applied)| head.saturating_sub(applied));
        }
        members.sort_by(|a, b| (&a.node, a.id).cmp(&(&b.node, b.id)));
        let routes: BTreeSet<&str> = heard().map(|(_, heard)| heard.route.word()).collect();
        EtcdView {
            at: now,
            access: format!("health port, {}", routes.into_iter().collect::<Vec<_>>().join(", ")),
            members,
            disagreement: (!words.is_empty()).then(|| words.join("; ")),
            unseen: Some(format!(
                "only the health ports are read: whether these are all members, their terms and hashes are not known, \
                 because there is no certificate ({why})"
            )),
            tried,
            ..EtcdView::default()
        }
    }

    fn row(&self, id: u64, health: MemberHealth, learner: bool) -> MemberRow {
        let node = self.nodes.get(&id).cloned();
        MemberRow {
            id,
            name: node.as_ref().map_or_else(|| format!("{id:x}"), |node| node.0.clone()),
            node,
            learner,
            health,
            status: self.statuses.get(&id).cloned(),
            lag: None,
            peer_urls: Vec::new(),
        }
    }
}

fn health(vitals: &Vitals) -> MemberHealth {
    let leaderless = (!vitals.has_leader).then(|| "sees no leader".to_owned());
    let problems: Vec<String> = leaderless.into_iter().chain(vitals.troubles.iter().cloned()).collect();
    if problems.is_empty() { MemberHealth::Healthy } else { MemberHealth::Unhealthy(problems) }
}
