//! All that is known of an etcd member.

use super::{ago, list};
use crate::console::dialog::{Fact, Tone};
use crate::console::model::Model;
use crate::console::phase::quorum_words;
use crate::domain::etcd::{EtcdView, MemberHealth, MemberRow, MemberStatus};
use crate::domain::text::bytes;

pub(super) fn facts(model: &Model, id: u64) -> Option<Vec<Fact>> {
    let all = model.known.etcd.as_ref()?;
    let has_it = |cluster: &&EtcdView| cluster.members.iter().any(|member| member.id == id);
    let etcd = all.clusters().find(has_it)?;
    let row = etcd.members.iter().find(|member| member.id == id)?;
    let mut facts = vec![Fact::plain("name", &*row.name), role(row)];
    if !etcd.name.is_empty() {
        facts.push(Fact::plain("cluster", &*etcd.name));
    }
    facts.push(Fact::plain(
        "node",
        row.node.as_ref().map_or("could not be matched to a node", |node| node.as_str()),
    ));
    facts.extend(health(row));
    let alarms = etcd.alarms();
    facts.extend(list(
        Tone::Bad,
        "alarms",
        alarms.iter().map(|alarm| alarm.words(&etcd.name_of(alarm.member))),
    ));
    facts.extend(list(Tone::Attention, "advice", row.advice()));
    if let Some(status) = &row.status {
        facts.extend(self::status(model, status, row.lag));
    }
    facts.push(Fact::plain("reached", &*etcd.access));
    facts.extend(list(Tone::Attention, "tried", etcd.tried.iter().cloned()));
    facts.extend(etcd.unseen.iter().map(|words| Fact::toned(Tone::Attention, "unknown", &**words)));
    facts.extend(quorum_words(model).map(|words| Fact::plain("quorum", words)));
    facts.extend(etcd.disagreement.iter().map(|words| Fact::toned(Tone::Bad, "disagreement", &**words)));
    Some(facts)
}

/// Terms and revisions begin at 1: metrics need not tell them.
fn known(number: u64) -> String {
    if number == 0 { "not known".to_owned() } else { number.to_string() }
}

fn role(row: &MemberRow) -> Fact {
    let word = match (row.is_leader(), row.learner) {
        (true, _) => "leader",
        (_, true) => "learner: does not vote",
        _ => "follower",
    };
    Fact::plain("role", word)
}

fn health(row: &MemberRow) -> Vec<Fact> {
    match &row.health {
        MemberHealth::Healthy => vec![Fact::toned(Tone::Good, "health", "healthy")],
        MemberHealth::Unhealthy(reasons) => list(Tone::Bad, "health", reasons.iter().cloned()),
        MemberHealth::Silent(report) => {
            vec![Fact::toned(Tone::Bad, "health", format!("silent: {}", report.line()))]
        }
        MemberHealth::Unstarted => {
            vec![Fact::toned(
                Tone::Bad,
                "health",
                "added, but never started: counts as a voter that is not healthy",
            )]
        }
    }
}

fn status(model: &Model, status: &MemberStatus, lag: Option<u64>) -> Vec<Fact> {
    let mut facts = vec![
        Fact::plain("read", format!("{}, in {} ms", ago(model, status.at), status.latency.as_millis())),
        Fact::plain("version", &*status.version),
        Fact::plain("term", known(status.term)),
        Fact::plain("index", format!("{} committed, {} applied", status.index, status.applied)),
        Fact::plain("lag", lag.map_or("not known".to_owned(), |lag| format!("{lag} entries"))),
        Fact::plain("database", format!("{}, {} in use", bytes(status.db_size), bytes(status.db_in_use))),
        Fact::plain("revision", known(u64::try_from(status.revision).unwrap_or(0))),
    ];
    facts.extend(status.quota.map(|quota| Fact::plain("quota", bytes(quota))));
    facts.extend(list(Tone::Bad, "errors", status.errors.iter().cloned()));
    if status.downgrading {
        facts.push(Fact::toned(Tone::Attention, "downgrade", "in progress"));
    }
    facts
}
