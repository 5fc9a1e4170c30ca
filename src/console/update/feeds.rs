//! What the sources tell: tables, etcd, hosts, and the log lines about changes that nobody announces.

use crate::console::model::{Known, Model};
use crate::console::msg::{Effect, Orphan};
use crate::console::rollout::Watch;
use crate::domain::access::Answer;
use crate::domain::etcd::EtcdView;
use crate::domain::feed::{Delta, Liveness, Observation, Row, Source, apply, beat};
use crate::domain::ids::{Generation, NodeName, PodKey, RunId};
use crate::domain::log::{Level, LogLine, Origin};
use crate::domain::node::{NodeRow, Readiness};
use crate::domain::pod::PodRow;
use crate::domain::report::Report;
use crate::domain::standing::Leftover;
use crate::domain::time::Stamp;

/// A new connection. What was known of the same context stays (with its age) until the new one tells; another
/// context's knowledge goes.
pub(super) fn joined(model: &mut Model, generation: Generation, context: String) -> Vec<Effect> {
    if generation <= model.known.generation {
        return Vec::new();
    }
    if context != model.setup.policy.context {
        let orphans = std::mem::take(&mut model.known.orphans);
        model.known = Known { orphans, ..Known::default() };
        model.watch = Watch::default();
    }
    model.known.generation = generation;
    model.known.is_joined = true;
    model.known.trouble.clear();
    for source in [Source::Api, Source::Etcd, Source::Ssh] {
        model.known.sources.insert(source, Liveness::Connecting);
    }
    say(model, Level::Info, None, format!("context {context}"));
    model.setup.policy.context.clone_from(&context);
    if model.watch.rollout.seen().is_none() { vec![Effect::RecallRollout(context)] } else { Vec::new() }
}

/// Something seen by the cluster's observer.
pub(super) fn seen(model: &mut Model, seen: Observation) -> Vec<Effect> {
    match seen {
        Observation::Nodes(delta) => return nodes(model, delta),
        Observation::Heartbeats(beats) => beat(&mut model.known.nodes, beats),
        Observation::Pods(deltas) => {
            for delta in deltas {
                pods(model, delta);
            }
            model.known.has_pods = true;
        }
        Observation::Budgets(delta) => {
            apply(&mut model.known.budgets, delta);
            model.known.has_budgets = true;
        }
        Observation::Volumes(delta) => apply(model.known.volumes.get_or_insert_default(), delta),
        Observation::Lock(lock) => model.known.lock = lock,
        Observation::Trouble(kept, Some(report)) => drop(model.known.trouble.insert(kept, report)),
        Observation::Trouble(kept, None) => drop(model.known.trouble.remove(&kept)),
        Observation::Event(line) => model.log.push(line),
        Observation::Liveness(liveness) => return source(model, Source::Api, liveness),
        Observation::Version(version) => model.known.version = Some(version),
    }
    Vec::new()
}

fn nodes(model: &mut Model, delta: Delta<NodeRow>) -> Vec<Effect> {
    let is_first = !std::mem::replace(&mut model.known.has_nodes, true);
    match delta {
        Delta::Reset(rows) => {
            let mut before = std::mem::take(&mut model.known.nodes);
            let effects = rows
                .into_iter()
                .filter_map(|row| {
                    let old = before.remove(&row.name);
                    arrived(model, old, row, is_first)
                })
                .collect();
            for name in before.into_keys() {
                removed(model, name);
            }
            effects
        }
        Delta::Upsert(row) => {
            let old = model.known.nodes.remove(&row.name);
            arrived(model, old, row, false).into_iter().collect()
        }
        Delta::Remove(row) => {
            model.known.nodes.remove(&row.name);
            removed(model, row.name);
            Vec::new()
        }
    }
}

/// A node is new or changed. A boot that nobody asked the host about yet is asked about.
fn arrived(model: &mut Model, old: Option<NodeRow>, mut row: NodeRow, is_first: bool) -> Option<Effect> {
    let name = row.name.clone();
    let old = old.filter(|old| old.uid == row.uid);
    let is_asked = old.as_ref().is_some_and(|old| old.boot_id == row.boot_id);
    match &old {
        Some(old) => {
            keep_boot(old, &mut row, model.now);
            for (level, text) in changes(old, &row) {
                say(model, level, Some(name.clone()), text);
            }
        }
        None if is_first => {}
        None => say(model, Level::Info, Some(name.clone()), format!("{name} joined the cluster")),
    }
    model.known.nodes.insert(name.clone(), row);
    (!is_asked).then_some(Effect::Probe(name))
}

fn removed(model: &mut Model, name: NodeName) {
    model.lists.nodes.marked.remove(&name);
    let text = format!("{name} was removed from the cluster");
    say(model, Level::Warn, Some(name), text);
}

/// A boot that was seen to happen is remembered, as the API does not tell when a node started.
fn keep_boot(old: &NodeRow, row: &mut NodeRow, now: Stamp) {
    if old.boot_id == row.boot_id {
        row.booted = row.booted.or(old.booted);
    } else if !old.boot_id.is_empty() {
        row.booted = row.booted.or(Some(now));
    }
}

/// What changed on a node, as far as it is worth a line.
fn changes(old: &NodeRow, row: &NodeRow) -> Vec<(Level, String)> {
    let name = &row.name;
    let mut lines = Vec::new();
    if old.cordoned != row.cordoned {
        let by = row.cordon.as_ref().map(|note| format!(" by {}", note.holder)).unwrap_or_default();
        let text = if row.cordoned {
            format!("{name} was cordoned{by}")
        } else {
            format!("{name} is schedulable again")
        };
        lines.push((Level::Info, text));
    }
    if !old.boot_id.is_empty() && old.boot_id != row.boot_id {
        lines.push((Level::Info, format!("{name} has booted anew: boot id {}", row.boot_id)));
    }
    if old.readiness != row.readiness {
        let (level, word) = match row.readiness {
            Readiness::Ready => (Level::Info, "is Ready"),
            Readiness::NotReady => (Level::Warn, "is NotReady"),
            Readiness::Unknown => (Level::Warn, "does not report: its state is unknown"),
        };
        lines.push((level, format!("{name} {word}")));
    }
    for pressure in row.pressure.iter().filter(|kind| !old.pressure.contains(*kind)) {
        lines.push((Level::Warn, format!("{name} is under pressure: {pressure}")));
    }
    lines
}

/// Applies a change of the pods and keeps the index by node in step.
fn pods(model: &mut Model, delta: Delta<PodRow>) {
    let known = &mut model.known;
    match delta {
        Delta::Reset(rows) => {
            known.pods = rows.into_iter().map(|row| (row.key(), row)).collect();
            known.pods_on.clear();
            for (key, row) in &known.pods {
                if let Some(node) = &row.node {
                    known.pods_on.entry(node.clone()).or_default().insert(key.clone());
                }
            }
        }
        Delta::Upsert(row) => {
            forget(known, &row.key);
            if let Some(node) = &row.node {
                known.pods_on.entry(node.clone()).or_default().insert(row.key());
            }
            known.pods.insert(row.key(), row);
        }
        Delta::Remove(row) => forget(known, &row.key),
    }
}

fn forget(known: &mut Known, key: &PodKey) {
    let node = known.pods.remove(key).and_then(|row| row.node);
    if let Some(pods) = node.as_ref().and_then(|node| known.pods_on.get_mut(node)) {
        pods.remove(key);
    }
}

/// A round over the etcd members ended. Another leader and another margin are worth a line.
pub(super) fn etcd(model: &mut Model, view: EtcdView) -> Vec<Effect> {
    let leader = |view: &EtcdView| view.leader().map(|member| member.id);
    let margin = |view: &EtcdView| -> Vec<_> {
        view.clusters().map(|cluster| cluster.quorum().map(crate::domain::etcd::Quorum::margin)).collect()
    };
    let mut lines = Vec::new();
    if let Some(quorum) = view.quorum().filter(|_| !view.is_silent()) {
        model.known.heard = Some((quorum, view.at));
    }
    if let Some(old) = &model.known.etcd {
        if let (Some(before), Some(now)) = (leader(old), view.leader())
            && before != now.id
        {
            lines.push((Level::Info, format!("etcd: {} leads now", now.name)));
        }
        let (before, after) = (margin(old), margin(&view));
        if old.quorum().is_some()
            && let Some(quorum) = view.quorum()
            && (before != after || old.is_silent() != view.is_silent())
        {
            let is_worse =
                before.iter().zip(&after).any(|(before, after)| after < before) || view.is_silent();
            let level = if is_worse { Level::Warn } else { Level::Info };
            lines.push((level, view.words().unwrap_or_else(|| quorum.words())));
        }
    }
    model.known.etcd = Some(view);
    for (level, text) in lines {
        say(model, level, None, text);
    }
    Vec::new()
}

/// What the API server allows us. What is missing is said once, with the rule.
pub(super) fn access(model: &mut Model, answers: Vec<Answer>) -> Vec<Effect> {
    let mut missing: Vec<String> = answers.iter().filter_map(|(_, answer)| answer.clone()).collect();
    missing.dedup();
    if !missing.is_empty() && answers != model.known.access {
        say(model, Level::Warn, None, format!("not allowed here: {}", missing.join("; ")));
    }
    model.known.access = answers;
    Vec::new()
}

/// How a source is. A line is written when it starts or stops answering.
pub(super) fn source(model: &mut Model, source: Source, liveness: Liveness) -> Vec<Effect> {
    let name = match source {
        Source::Api => "API server",
        Source::Etcd => "etcd",
        Source::Ssh => "SSH",
    };
    let line = match (model.known.sources.get(&source), &liveness) {
        (Some(Liveness::Failing { report: old, .. }), Liveness::Failing { report, .. })
            if old.kind == report.kind =>
        {
            None
        }
        (_, Liveness::Failing { report, .. }) => Some((Level::Error, report.line())),
        (Some(Liveness::Failing { .. }), Liveness::Live(_)) => {
            Some((Level::Info, "answers again".to_owned()))
        }
        (Some(Liveness::Absent(old)), Liveness::Absent(why)) if old == why => None,
        (_, Liveness::Absent(why)) => Some((Level::Info, why.clone())),
        _ => None,
    };
    if let Some((level, text)) = line {
        say(model, level, None, format!("{name}: {text}"));
    }
    model.known.sources.insert(source, liveness);
    if !model.known.is_joined {
        // without a cluster there are no members and no hosts to ask
        for other in [Source::Etcd, Source::Ssh] {
            model.known.sources.insert(other, Liveness::Absent("no cluster yet".to_owned()));
        }
    }
    Vec::new()
}

/// Runs of earlier processes that did not end: told once.
pub(super) fn orphans(model: &mut Model, orphans: Vec<Orphan>) -> Vec<Effect> {
    for orphan in &orphans {
        say(
            model,
            Level::Warn,
            None,
            format!(
                "an earlier run did not end: {}: {}; left: {}",
                orphan.run,
                orphan.words,
                orphan.left.join("; ")
            ),
        );
    }
    model.is_calling = !orphans.is_empty();
    model.known.orphans = orphans;
    Vec::new()
}

/// What an earlier run left was looked up in the cluster: its journal tells only how it was.
pub(super) fn stands(model: &mut Model, run: &RunId, left: Vec<Leftover>) -> Vec<Effect> {
    let Some(orphan) = model.known.orphans.iter_mut().find(|orphan| orphan.run == *run) else {
        return Vec::new();
    };
    if orphan.now == left {
        return Vec::new();
    }
    let known = left.iter().filter(|one| one.now.is_some());
    let lines: Vec<String> = known.map(Leftover::line).collect();
    orphan.now = left;
    if !lines.is_empty() {
        say(model, Level::Info, None, format!("what {run} left: {}", lines.join("; ")));
    }
    Vec::new()
}

/// A recording was written, or not.
pub(super) fn recorded(model: &mut Model, written: Result<(String, usize), Report>) -> Vec<Effect> {
    let (level, text) = match written {
        Ok((path, messages)) => {
            (Level::Info, format!("recorded {messages} messages; play them with: pitstop replay {path}"))
        }
        Err(report) => (Level::Error, format!("nothing was recorded: {}", report.line())),
    };
    super::flash(model, level, text.clone());
    say(model, level, None, text);
    Vec::new()
}

pub(super) fn say(model: &mut Model, level: Level, node: Option<NodeName>, text: String) {
    let at = model.now;
    model.log.push(LogLine { at, level, origin: Origin::System, op: None, node, text });
}
