//! Where the pods that went run again: which new pod took the place of which, by owner, and how it is.

use crate::domain::feed::Delta;
use crate::domain::ids::{NodeName, PodKey};
use crate::domain::pod::{Owner, Phase, PodRow};
use std::collections::{BTreeMap, BTreeSet};

/// A pod that went.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) key: PodKey,
    pub(super) owner: Option<Owner>,
    /// Nothing brings it back: finished, or without an owner.
    pub(super) is_for_good: bool,
}

/// Pods elsewhere whose owners have pods on the nodes that are drained.
#[derive(Debug, Default)]
pub(super) struct Successors {
    /// All pods of the cluster are followed; else nothing is known of other nodes.
    is_wide: bool,
    owners: BTreeSet<String>,
    /// Those that were elsewhere before.
    before: BTreeSet<PodKey>,
    elsewhere: BTreeMap<PodKey, PodRow>,
}

/// One pod that went, and what came in its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    /// Its place is taken by a Ready pod, or nothing is to take it.
    pub(super) is_settled: bool,
}

impl Successors {
    pub(super) fn new(is_wide: bool) -> Self {
        Self { is_wide, ..Self::default() }
    }

    /// Learns the owners and the pods elsewhere; `is_here` = on a node that is drained.
    pub(super) fn changed(&mut self, delta: &Delta<PodRow>, is_here: impl Fn(&NodeName) -> bool) {
        if !self.is_wide {
            return;
        }
        let here = |row: &PodRow| row.node.as_ref().is_some_and(&is_here);
        match delta {
            Delta::Reset(rows) => {
                let is_first = self.owners.is_empty();
                for row in rows.iter().filter(|row| here(row)) {
                    self.owners.extend(row.owner.as_ref().map(|owner| owner.uid.clone()));
                }
                self.elsewhere = rows
                    .iter()
                    .filter(|row| !here(row) && self.is_known(row))
                    .map(|row| (row.key.clone(), row.clone()))
                    .collect();
                if is_first {
                    self.before = self.elsewhere.keys().cloned().collect();
                }
            }
            Delta::Upsert(row) if here(row) => {
                self.owners.extend(row.owner.as_ref().map(|owner| owner.uid.clone()));
                self.elsewhere.remove(&row.key);
            }
            Delta::Upsert(row) if self.is_known(row) => {
                self.elsewhere.insert(row.key.clone(), row.clone());
            }
            Delta::Upsert(_) => {}
            Delta::Remove(row) => {
                self.elsewhere.remove(&row.key);
            }
        }
    }

    fn is_known(&self, row: &PodRow) -> bool {
        !row.is_daemon() && row.owner.as_ref().is_some_and(|owner| self.owners.contains(&owner.uid))
    }

    /// Whether a Ready pod of the same owner runs elsewhere: the service goes on without this one.
    pub(super) fn has_ready_sibling(&self, pod: &PodRow) -> bool {
        let Some(owner) = &pod.owner else { return false };
        self.elsewhere.values().any(|other| {
            other.ready
                && other.deleting.is_none()
                && other.owner.as_ref().is_some_and(|known| known.uid == owner.uid)
        })
    }

    /// A line for each pod that went, in the order given. Pods of one owner are paired in the order in which they went
    /// and came; a StatefulSet's by name.
    pub(super) fn lines<'a>(&self, gone: impl IntoIterator<Item = &'a Gone>) -> Vec<Line> {
        let mut new: Vec<&PodRow> =
            self.elsewhere.values().filter(|row| !self.before.contains(&row.key)).collect();
        new.sort_by_key(|row| (row.created, &row.key));
        gone.into_iter().map(|gone| self.line(gone, &mut new)).collect()
    }

    fn line(&self, gone: &Gone, new: &mut Vec<&PodRow>) -> Line {
        let of = |words: String, is_settled| Line { text: format!("{}: gone{words}", gone.key), is_settled };
        let Some(owner) = &gone.owner else { return of("; nothing creates it again".to_owned(), true) };
        if gone.is_for_good || !self.is_wide {
            return of(String::new(), true);
        }
        let is_named = owner.kind == "StatefulSet";
        let place = new.iter().position(|row| {
            row.owner.as_ref().is_some_and(|known| known.uid == owner.uid)
                && (!is_named || row.key.name == gone.key.name)
        });
        match place.map(|at| new.remove(at)) {
            None => of("; nothing has taken its place yet".to_owned(), false),
            Some(row) => {
                let (words, is_ready) = state(row);
                of(format!("; {} {words}", row.key.name), is_ready)
            }
        }
    }
}

fn state(row: &PodRow) -> (String, bool) {
    let why = row.waiting.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    match &row.node {
        _ if row.is_finished() => ("has ended".to_owned(), true),
        None => (format!("is Pending{why}"), false),
        Some(node) if row.ready => (format!("runs on {node}, Ready"), true),
        Some(node) if row.phase == Phase::Pending => (format!("starts on {node}{why}"), false),
        Some(node) => (format!("runs on {node}, not Ready yet{why}"), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::pod::sample;

    fn on(node: &str, name: &str) -> PodRow {
        PodRow { node: Some(node.into()), ..sample("shop", name) }
    }

    fn gone(row: &PodRow) -> Gone {
        Gone { key: row.key.clone(), owner: row.owner.clone(), is_for_good: false }
    }

    #[test]
    fn each_pod_that_went_is_told_where_it_runs_now() {
        let mut known = Successors::new(true);
        let here = |node: &NodeName| node.as_str() == "w1";
        let old = [on("w1", "a"), on("w1", "b"), on("w2", "c")];
        known.changed(&Delta::Reset(old.to_vec()), here);
        assert!(known.has_ready_sibling(&old[0]));
        let went: Vec<Gone> = old[..2].iter().map(gone).collect();
        let texts = |known: &Successors| -> Vec<String> {
            known.lines(&went).into_iter().map(|line| line.text).collect()
        };
        assert_eq!(texts(&known)[0], "shop/a: gone; nothing has taken its place yet", "c was there before");
        known.changed(&Delta::Upsert(on("w2", "d")), here);
        let pending = PodRow {
            node: None,
            ready: false,
            phase: Phase::Pending,
            waiting: Some("Unschedulable: 0/2 nodes are available".into()),
            ..sample("shop", "e")
        };
        known.changed(&Delta::Upsert(pending), here);
        assert_eq!(
            texts(&known),
            [
                "shop/a: gone; d runs on w2, Ready",
                "shop/b: gone; e is Pending: Unschedulable: 0/2 nodes are available"
            ]
        );
        assert!(!known.lines(&went)[1].is_settled);
    }

    #[test]
    fn what_is_not_followed_is_not_claimed() {
        let known = Successors::new(false);
        assert_eq!(known.lines(&[gone(&on("w1", "a"))])[0].text, "shop/a: gone");
    }
}
