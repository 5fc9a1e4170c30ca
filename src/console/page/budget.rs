//! All that is known of a budget, and what it blocks.

use super::list;
use crate::console::dialog::{Fact, Tone};
use crate::console::model::Model;
use crate::console::rows::{block_note, budget_nodes, budget_pods};
use crate::domain::budget::{BudgetRow, UnhealthyPolicy};
use crate::domain::pod::PodRow;
use crate::domain::text::count;

pub(super) fn facts(model: &Model, row: &BudgetRow) -> Vec<Fact> {
    let mut facts = vec![verdict(row)];
    facts.extend(block_note(model, row).map(|words| Fact::toned(Tone::Attention, "block", words)));
    facts.extend([
        Fact::plain("asks for", row.demand.to_string()),
        Fact::plain("allowed", format!("{} now", row.allowed)),
        Fact::plain(
            "pods",
            format!("{} healthy, {} needed, {} expected", row.healthy, row.desired, row.expected),
        ),
        unhealthy(row),
    ]);
    if !row.is_current() {
        let words = format!("its status is of generation {}, its spec is {}", row.observed, row.generation);
        facts.push(Fact::toned(Tone::Attention, "stale", words));
    }
    facts.extend(list(
        Tone::Attention,
        "evicted",
        row.disrupted.iter().map(|pod| format!("{pod}: accepted, not gone yet")),
    ));
    let nodes =
        budget_nodes(model, row).into_iter().map(|(node, pods)| format!("{node}: {}", count(pods, "pod")));
    facts.extend(list(Tone::Plain, "nodes", nodes));
    facts.extend(list(Tone::Plain, "covers", budget_pods(model, row).map(pod_words)));
    facts
}

fn verdict(row: &BudgetRow) -> Fact {
    match (row.never_allows(), row.allowed) {
        (Some(why), _) => Fact::toned(Tone::Bad, "verdict", format!("never allows an eviction: {why}")),
        (None, ..=0) => {
            Fact::toned(Tone::Attention, "verdict", "allows no eviction now; may allow one later")
        }
        (None, room) => Fact::toned(
            Tone::Good,
            "verdict",
            format!("allows {} now: it blocks nothing now", count(to_usize(room), "eviction")),
        ),
    }
}

fn unhealthy(row: &BudgetRow) -> Fact {
    Fact::plain(
        "unhealthy",
        match row.unhealthy {
            UnhealthyPolicy::IfHealthyBudget => "a pod that is not Ready may go only while the budget is met",
            UnhealthyPolicy::AlwaysAllow => "a pod that is not Ready may always go",
        },
    )
}

fn pod_words(pod: &PodRow) -> String {
    let node = pod.node.as_ref().map_or("not bound", |node| node.as_str());
    let ready = if pod.ready { "Ready" } else { "not Ready" };
    let waiting = pod.waiting.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("{} on {node}: {ready}{waiting}", pod.key.name)
}

fn to_usize(number: i32) -> usize {
    usize::try_from(number).unwrap_or(0)
}
