//! All that is known of a node.

use super::{ago, list};
use crate::console::dialog::{Fact, Tone};
use crate::console::model::Model;
use crate::console::phase::{Phase, booted, node_phase};
use crate::console::rows::pods_on;
use crate::domain::budget::budgets_of;
use crate::domain::host::Need;
use crate::domain::node::NodeRow;
use crate::domain::pod::PodRow;
use crate::domain::text::count;
use crate::domain::time::brief;

pub(super) fn facts(model: &Model, row: &NodeRow) -> Vec<Fact> {
    let mut facts = vec![state(model, row), Fact::plain("roles", row.roles.join(", "))];
    facts.extend(row.ready_since.map(|since| Fact::plain("since", ago(model, since))));
    facts.extend(row.heartbeat.map(|at| Fact::plain("sign of life", ago(model, at))));
    facts.extend(cordon(model, row));
    facts.extend(list(Tone::Attention, "pressure", row.pressure.iter().cloned()));
    facts.extend(list(Tone::Attention, "in use by", row.foreign_locks.iter().cloned()));
    facts.push(Fact::plain("kubelet", &*row.version));
    facts.push(Fact::plain("kernel", format!("{}, {}", row.kernel, row.os_image)));
    facts.extend(row.address.iter().map(|address| Fact::plain("address", &**address)));
    facts.extend(row.created.map(|at| Fact::plain("created", ago(model, at))));
    facts.push(match booted(model, row) {
        Some(at) => Fact::plain("booted", ago(model, at)),
        None => {
            Fact::toned(Tone::Dim, "booted", "not known: the API does not tell, and the host was not asked")
        }
    });
    facts.push(ssh(model, row));
    facts.push(need(model, row));
    facts.extend(power(model, row));
    facts.push(Fact::toned(Tone::Dim, "boot id", &*row.boot_id));
    facts.push(Fact::toned(Tone::Dim, "machine id", &*row.machine_id));
    facts.push(Fact::toned(Tone::Dim, "uid", &*row.uid));
    facts.extend(list(Tone::Plain, "taints", row.taints.iter().cloned()));
    facts.extend(member(model, row));
    facts.extend(pods(model, row));
    facts
}

fn state(model: &Model, row: &NodeRow) -> Fact {
    let phase = node_phase(model, row);
    let tone = match phase {
        Phase::Ready => Tone::Good,
        Phase::NotReady(_) | Phase::Unknown(_) => Tone::Bad,
        Phase::Cordoned | Phase::Draining { .. } | Phase::Rebooting(_) => Tone::Attention,
    };
    let cordoned = if row.cordoned && phase != Phase::Cordoned { ", cordoned" } else { "" };
    Fact::toned(tone, "state", format!("{}{cordoned}", phase.word()))
}

/// Whether the host answers over SSH, and when it did last.
fn ssh(model: &Model, row: &NodeRow) -> Fact {
    let last = model.known.hosts.get(&row.name).map(|facts| format!("answered {}", ago(model, facts.at)));
    match (model.known.away.get(&row.name), last) {
        (Some(away), last) => {
            let last = last.map(|last| format!("; {last}")).unwrap_or_default();
            let words = format!("no answer since {}: {}{last}", ago(model, away.since), away.report.line());
            Fact::toned(Tone::Attention, "ssh", words)
        }
        (None, Some(last)) => Fact::plain("ssh", last),
        (None, None) => Fact::toned(Tone::Dim, "ssh", "the host was not asked"),
    }
}

/// What the management controller said of the power, once it was asked.
fn power(model: &Model, row: &NodeRow) -> Option<Fact> {
    let reading = model.known.power.get(&row.name)?;
    let at = ago(model, reading.at);
    Some(match &reading.state {
        Ok(state) => Fact::plain("power", format!("{state}, {at}")),
        Err(report) => Fact::toned(Tone::Attention, "power", format!("not known, {at}: {}", report.line())),
    })
}

/// Whether the host needs a reboot, as far as it was asked.
fn need(model: &Model, row: &NodeRow) -> Fact {
    let Some(known) = model.known.needs.get(&row.name) else {
        return Fact::toned(Tone::Dim, "needs reboot", "the host was not asked (b asks)");
    };
    let at = ago(model, known.at);
    match &known.need {
        Need::Needed(reasons) => {
            Fact::toned(Tone::Attention, "needs reboot", format!("yes, {at}: {}", reasons.join("; ")))
        }
        Need::NotNeeded => Fact::plain("needs reboot", format!("no, {at}")),
        Need::Unknown(why) => Fact::toned(Tone::Attention, "needs reboot", format!("not known, {at}: {why}")),
    }
}

fn cordon(model: &Model, row: &NodeRow) -> Vec<Fact> {
    let Some(note) = &row.cordon else { return Vec::new() };
    let mut words = format!("by {}", note.holder);
    if let Some(since) = note.since {
        words.push_str(&format!(", {}", ago(model, since)));
    }
    if let Some(run) = &note.run {
        words.push_str(&format!(", run {run}"));
    }
    if let Some(reason) = &note.reason {
        words.push_str(&format!(": {reason}"));
    }
    vec![Fact::toned(Tone::Attention, "cordoned", words)]
}

fn member(model: &Model, row: &NodeRow) -> Vec<Fact> {
    let clusters = model.known.etcd.iter().flat_map(|etcd| etcd.clusters());
    let members = clusters.filter_map(|cluster| Some((cluster, cluster.on_node(&row.name)?)));
    members
        .map(|(cluster, member)| {
            let role = match (member.is_leader(), member.learner) {
                (true, _) => "leader",
                (_, true) => "learner",
                _ => "follower",
            };
            let health = if member.health.is_healthy() { "healthy" } else { "not healthy" };
            let of = if cluster.name.is_empty() { String::new() } else { format!(" ({})", cluster.name) };
            Fact::plain("etcd", format!("{}{of}: {role}, {health}", member.name))
        })
        .collect()
}

fn pods(model: &Model, row: &NodeRow) -> Vec<Fact> {
    let Some(number) = pods_on(model, &row.name) else {
        return vec![Fact::toned(Tone::Dim, "pods", "not known yet")];
    };
    let capacity = row.pod_capacity.map(|room| format!(" of {room}")).unwrap_or_default();
    let mut facts = vec![Fact::plain("pods", format!("{number}{capacity}"))];
    let keys = model.known.pods_on.get(&row.name).into_iter().flatten();
    for pod in keys.filter_map(|key| model.known.pods.get(key)) {
        facts.push(Fact::toned(
            if pod.ready { Tone::Plain } else { Tone::Attention },
            "",
            pod_words(model, pod),
        ));
    }
    facts
}

fn pod_words(model: &Model, pod: &PodRow) -> String {
    let mut words = format!("{}  {:?}", pod.key, pod.phase);
    if let Some(reason) = &pod.waiting {
        words.push_str(&format!(" ({reason})"));
    }
    if let Some(end) = pod.deleting {
        let left = end.since(model.now);
        words.push_str(&if left.is_zero() {
            ", ending, grace over".to_owned()
        } else {
            format!(", ending within {}", brief(left))
        });
    }
    if let Some(owner) = &pod.owner {
        words.push_str(&format!(", {} {}", owner.kind, owner.name));
    } else if !pod.mirror {
        words.push_str(", no controller");
    }
    if pod.restarts > 0 {
        words.push_str(&format!(", {}", count(usize::try_from(pod.restarts).unwrap_or(0), "restart")));
    }
    let budgets = budgets_of(pod, model.known.budgets.values());
    for budget in budgets {
        words.push_str(&format!(", budget {} allows {}", budget.key.name, budget.allowed));
    }
    words
}
