//! Who else maintains the cluster: the maintenance lock, marks of other tools on nodes, their objects, and cordons.

use super::{Scene, names, unknown, verdict};
use crate::domain::actor::Actor;
use crate::domain::gate::{Gate, Offender};
use crate::domain::ids::RunId;
use crate::domain::lock::{LeaseRow, LockChoice};
use crate::domain::node::NodeRow;

/// What a run may begin beside.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Own<'a> {
    /// Our run; `None` = no run asks.
    pub run: Option<&'a RunId>,
    /// The run took the lock, so that it must still be there, and the run's.
    pub is_locked: bool,
    /// What about the lock.
    pub choice: LockChoice,
}

/// Nobody else maintains the cluster: our own lock, other tools' objects, and their marks on the nodes that matter.
pub(super) fn locks(scene: &Scene, own: Own<'_>) -> Gate {
    const ASKS: &str = "nobody else maintains this cluster";
    let lease = match &scene.lease {
        Ok(lease) => lease.as_ref(),
        // the engineer goes on without it: what cannot be read cannot be held against the run
        Err(_) if own.choice == LockChoice::Without => None,
        Err(report) => return unknown(scene, names::LOCKS, ASKS, report),
    };
    let nodes = match &scene.nodes {
        Ok(nodes) => nodes,
        Err(report) => return unknown(scene, names::LOCKS, ASKS, report),
    };
    let mut offenders: Vec<Offender> = held(scene, lease, own).into_iter().collect();
    for row in nodes.values() {
        let matters = scene.node.as_ref().is_none_or(|node| *node == row.name) || row.is_control_plane();
        if matters {
            offenders.extend(row.foreign_locks.iter().map(|mark| {
                Offender::new("Node", row.name.as_str(), format!("is in use by {mark}")).of(tool(mark))
            }));
        }
    }
    offenders.extend(scene.actors.iter().filter_map(|sighting| sighting.as_ref().ok()).flatten().map(seen));
    let unread = scene.actors.iter().find_map(|sighting| sighting.as_ref().err());
    if let Some(report) = unread.filter(|_| offenders.is_empty()) {
        return unknown(scene, names::LOCKS, ASKS, report);
    }
    let evidence = match (lease, own.choice) {
        (Some(row), LockChoice::Adopt) if !own.is_locked => {
            format!("the maintenance lock of {} will be taken over", row.words(scene.at))
        }
        (_, LockChoice::Without) => "the run goes on without the lock; no mark of another tool".to_owned(),
        _ => "no lock, and no mark of another tool".to_owned(),
    };
    verdict(scene, names::LOCKS, ASKS, offenders, evidence)
}

/// The maintenance lock, when it is in the way.
fn held(scene: &Scene, lease: Option<&LeaseRow>, own: Own<'_>) -> Option<Offender> {
    let namespace = scene.settings.lease_namespace.as_str();
    let about = |what: String| Offender::new("Lease", "pitstop", what).within(namespace);
    let Some(row) = lease else {
        let gone = "is not there any more: this run took the maintenance lock";
        return own.is_locked.then(|| about(gone.to_owned()));
    };
    if own.run.is_some() && row.run.as_ref() == own.run {
        return None;
    }
    let words = row.words(scene.at);
    let what = if own.is_locked {
        format!("(the maintenance lock) was lost to {words}")
    } else {
        // the check tells of every lock, also of our own
        let choice = if own.run.is_none() && scene.node.is_none() { LockChoice::Without } else { own.choice };
        row.in_the_way(&scene.settings.holder, choice, scene.at)?;
        format!("(the maintenance lock) is held by {words}")
    };
    let offender = about(what).of(row.holder.clone()).since(row.since);
    let is_dead = row.tombstone.is_some() || row.is_expired(scene.clock);
    Some(if is_dead {
        offender.hint("take it over with --adopt-lock, or clear it with pitstop runs unlock")
    } else {
        offender.hint("wait for that run to end")
    })
}

fn tool(mark: &str) -> &str {
    mark.split_once(':').map_or(mark, |(tool, _)| tool)
}

fn seen(actor: &Actor) -> Offender {
    let on = actor.node.as_ref().map_or_else(String::new, |node| format!(" on {node}"));
    Offender::new(&actor.kind, actor.name.clone(), format!("({}) is at work{on}: {}", actor.tool, actor.what))
        .within(&actor.namespace)
        .of(actor.tool.clone())
        .since(actor.since)
}

/// No node is cordoned: one that is takes no pods, and nobody may remember why.
pub(super) fn cordons(scene: &Scene) -> Gate {
    const ASKS: &str = "no node is cordoned";
    let nodes = match &scene.nodes {
        Ok(nodes) => nodes,
        Err(report) => return unknown(scene, names::CORDONS, ASKS, report),
    };
    let is_known =
        |row: &NodeRow| scene.baseline().is_some_and(|baseline| baseline.cordoned.contains(&row.name));
    let offenders = nodes.values().filter(|row| row.cordoned && !is_known(row)).map(cordoned).collect();
    verdict(scene, names::CORDONS, ASKS, offenders, format!("{} schedulable", nodes.len()))
}

fn cordoned(row: &NodeRow) -> Offender {
    let hint = format!("kubectl uncordon {} once it may take pods again", row.name);
    let Some(note) = &row.cordon else {
        return Offender::new("Node", row.name.as_str(), "is cordoned, by nobody who can be named")
            .hint(hint);
    };
    let why = note.reason.as_ref().map_or_else(String::new, |why| format!(", reason: {why}"));
    let run = note.run.as_ref().map_or_else(String::new, |run| format!(", run {run}"));
    let hint = match &note.run {
        Some(run) => format!("pitstop runs show {run}; {hint}"),
        None => hint,
    };
    Offender::new("Node", row.name.as_str(), format!("is cordoned{why}{run}"))
        .of(note.holder.clone())
        .since(note.since)
        .hint(hint)
}
