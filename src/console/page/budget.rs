//! All that is known of a budget, and what it blocks.

use super::list;
use crate::console::dialog::{Fact, Tone};
use crate::console::model::Model;
use crate::console::rows::{budget_nodes, budget_pods};
use crate::domain::budget::{Amount, BudgetRow, Demand, UnhealthyPolicy, budgets_of};
use crate::domain::pod::PodRow;
use crate::domain::text::count;

pub(super) fn facts(model: &Model, row: &BudgetRow) -> Vec<Fact> {
    let mut facts = vec![
        verdict(row),
        Fact::plain("asks for", row.demand.to_string()),
        Fact::plain("allowed", format!("{} now", row.allowed)),
        Fact::plain(
            "pods",
            format!("{} healthy, {} needed, {} expected", row.healthy, row.desired, row.expected),
        ),
        unhealthy(row),
    ];
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

/// Why it blocks, which pods it holds back on which nodes, and which ways there are. What changes a budget or a
/// workload is left to the engineer in this version.
pub(super) fn block(model: &Model, row: &BudgetRow) -> Vec<Fact> {
    let mut facts = vec![verdict(row), arithmetic(row)];
    for pod in budget_pods(model, row) {
        let others = budgets_of(pod, model.known.budgets.values());
        if others.len() > 1 {
            let names: Vec<String> = others.iter().map(|budget| budget.key.name.clone()).collect();
            let words = format!(
                "{}: covered by {}: the API server refuses every eviction of it",
                pod.key,
                names.join(", ")
            );
            facts.push(Fact::toned(Tone::Bad, "two budgets", words));
        }
    }
    let nodes =
        budget_nodes(model, row).into_iter().map(|(node, pods)| format!("{node}: {}", count(pods, "pod")));
    let is_blocking = !has_room(row);
    facts.extend(list(Tone::Plain, if is_blocking { "holds back" } else { "covers" }, nodes));
    let unready = budget_pods(model, row).filter(|pod| !pod.ready);
    facts.extend(list(Tone::Attention, "not Ready", unready.map(pod_words)));
    if !is_blocking {
        return facts;
    }
    facts.extend(list(Tone::Plain, "ways out", ways(model, row)));
    facts.push(Fact::toned(
        Tone::Attention,
        "note",
        "this version explains; it does not change budgets or workloads: do that by hand, then drain again",
    ));
    facts
}

/// Whether it allows an eviction now.
pub(super) fn has_room(row: &BudgetRow) -> bool {
    row.allowed > 0 && row.never_allows().is_none()
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

fn arithmetic(row: &BudgetRow) -> Fact {
    let words = format!(
        "{} of {} pods: {} needed, {} healthy, so {} may go",
        row.demand, row.expected, row.desired, row.healthy, row.allowed
    );
    Fact::plain("arithmetic", words)
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

/// The ways out, the safest first (see `never_allows` for the cases).
fn ways(model: &Model, row: &BudgetRow) -> Vec<String> {
    let mut ways = Vec::new();
    let namespace = &row.key.namespace;
    if row.healthy < row.expected {
        ways.push(format!(
            "bring its {} back to Ready",
            count(to_usize(row.expected - row.healthy), "unhealthy pod")
        ));
    }
    let owner = budget_pods(model, row).find_map(|pod| pod.owner.as_ref());
    // where every pod is needed however many there are, another one gives no room
    let helps = match row.demand {
        Demand::Nothing | Demand::MaxUnavailable(Amount::Pods(..=0) | Amount::Percent(..=0)) => false,
        Demand::MinAvailable(Amount::Percent(share)) => share < 100,
        _ => true,
    };
    if helps
        && row.never_allows().is_some()
        && row.sync_failed.is_none()
        && let Some(owner) = owner
    {
        ways.push(format!(
            "add a replica to the workload behind {} {} in {namespace}, drain, take it back",
            owner.kind, owner.name
        ));
    }
    if row.allowed <= 0 && row.never_allows().is_none() {
        ways.push("wait: it has room again when its pods are Ready elsewhere".to_owned());
    }
    if row.sync_failed.is_some() {
        ways.push(
            "repair what its controller cannot compute (the owner of its pods must offer a scale)".to_owned(),
        );
    }
    ways.push(format!(
        "as the last resort, its owner relaxes it: kubectl -n {namespace} edit pdb {}",
        row.key.name
    ));
    ways
}

fn to_usize(number: i32) -> usize {
    usize::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::samples;

    fn words(model: &Model, row: &BudgetRow) -> String {
        let lines = block(model, row).into_iter().map(|fact| format!("{} {}", fact.label, fact.text));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_budget_with_room_blocks_nothing_now() {
        let words = words(&samples::model(), &samples::budget("team-b", "web", 2, 3));
        assert!(words.contains("blocks nothing now") && !words.contains("ways out"), "{words}");
    }

    #[test]
    fn another_replica_is_advised_only_where_it_helps() {
        let model = samples::model();
        let full = samples::budget("team-a", "api", 1, 1);
        assert!(words(&model, &full).contains("add a replica"));
        for demand in [Demand::MaxUnavailable(Amount::Pods(0)), Demand::MinAvailable(Amount::Percent(100))] {
            let never = BudgetRow { demand, ..full.clone() };
            assert!(!words(&model, &never).contains("add a replica"), "{demand}");
        }
    }
}
