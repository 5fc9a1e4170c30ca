//! What a drain would do now, added up for a question: how many pods go, stay, wait or block, and on what.
//!
//! It rests on the rows that the console has; the run's own prediction step looks anew and more closely.

use super::dialog::{Fact, Toggle, Tone};
use super::model::Model;
use crate::domain::config::DrainOptions;
use crate::domain::drain::{Class, Expectation, Forecast, forecast};
use crate::domain::ids::{BudgetKey, NodeName, PodKey};
use crate::domain::pod::PodRow;
use crate::domain::text::count;
use std::collections::{BTreeMap, BTreeSet};

/// How many names a line lists before it says "and N more".
const NAMES: usize = 4;

/// The sums.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// The pods were not listed yet: nothing below is known.
    pub is_unknown: bool,
    /// Will be evicted at once.
    pub moves: usize,
    /// Stay (`DaemonSet` and static pods, not selected).
    pub stays: usize,
    /// Wait until a budget has room again, per budget, with the words of the last one.
    pub waits: BTreeMap<BudgetKey, (usize, String)>,
    /// Will never be allowed, per budget.
    pub blocked: BTreeMap<BudgetKey, (usize, String)>,
    /// Refused by an option or by two budgets: each with its reason.
    pub refused: Vec<(PodKey, String)>,
    /// What is lost or odd.
    pub warnings: Vec<String>,
    /// Pods with `emptyDir` data.
    pub local_data: usize,
    /// Pods that nothing creates again.
    pub bare: usize,
    /// `DaemonSet` pods.
    pub daemons: usize,
}

impl Tally {
    /// Whether something is known to block.
    pub fn is_blocked(&self) -> bool {
        !self.blocked.is_empty() || !self.refused.is_empty()
    }

    /// How many go, stay and block: a line of a question.
    pub fn count(&self) -> Fact {
        if self.is_unknown {
            return Fact::toned(
                Tone::Attention,
                "count",
                "the pods are not known: what will move or block cannot be told",
            );
        }
        let waits: usize = self.waits.values().map(|(pods, _)| pods).sum();
        let mut words = format!("evicts {}, leaves {}", count(self.moves + waits, "pod"), self.stays);
        let blocked: usize = self.blocked.values().map(|(pods, _)| pods).sum::<usize>() + self.refused.len();
        if blocked > 0 {
            words.push_str(&format!(", {blocked} will block"));
        }
        Fact::plain("count", words)
    }

    /// The obstacles, as lines of a question.
    pub fn obstacles(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        for (budget, (pods, why)) in &self.waits {
            let text = format!("{} of {budget} will wait: {why}", count(*pods, "pod"));
            facts.push(Fact::toned(Tone::Attention, "waits", text));
        }
        for (budget, (pods, why)) in &self.blocked {
            let text = format!("{} on {budget}: {why}", count(*pods, "pod"));
            facts.push(Fact::toned(Tone::Bad, "blocks", text));
        }
        for (pod, why) in self.refused.iter().take(NAMES) {
            facts.push(Fact::toned(Tone::Bad, "blocks", format!("{pod}: {why}")));
        }
        if let Some(more) = self.refused.len().checked_sub(NAMES + 1) {
            facts.push(Fact::toned(Tone::Bad, "", format!("and {} more", more + 1)));
        }
        for (at, text) in self.warnings.iter().take(NAMES).enumerate() {
            facts.push(Fact::toned(Tone::Attention, if at == 0 { "warnings" } else { "" }, text.clone()));
        }
        if let Some(more) = self.warnings.len().checked_sub(NAMES + 1) {
            facts.push(Fact::toned(Tone::Attention, "", format!("and {} more", more + 1)));
        }
        facts
    }

    /// What an option means here.
    pub fn words_for(&self, toggle: Toggle) -> String {
        match toggle {
            Toggle::IgnoreDaemonsets => {
                format!("leave {} where they are", count(self.daemons, "DaemonSet pod"))
            }
            Toggle::DeleteEmptydirData => format!("{} lose local data", count(self.local_data, "pod")),
            Toggle::Force => format!("{} that nothing creates again", count(self.bare, "pod")),
            Toggle::DisableEviction => "delete instead of evict: bypasses the budgets".to_owned(),
        }
    }

    fn add(&mut self, pod: &PodRow, expected: Forecast) {
        match expected.expectation {
            Expectation::Moves => self.moves += 1,
            Expectation::Stays => self.stays += 1,
            Expectation::Waits(budget, why) => {
                let (pods, words) = self.waits.entry(budget).or_default();
                *pods += 1;
                *words = why;
            }
            Expectation::Blocked(Some(budget), why) => {
                let (pods, words) = self.blocked.entry(budget).or_default();
                *pods += 1;
                *words = why;
            }
            Expectation::Blocked(None, why) => self.refused.push((expected.pod.clone(), why)),
        }
        if matches!(expected.class, Class::Evict | Class::Refuse(_)) {
            self.local_data += usize::from(!pod.empty_dirs.is_empty());
            self.bare += usize::from(pod.owner.is_none());
        }
        self.daemons += usize::from(pod.is_daemon());
        self.warnings.extend(expected.warnings.into_iter().map(|text| format!("{}: {text}", expected.pod)));
    }
}

/// Adds up what a drain of these nodes would do.
pub fn tally(model: &Model, nodes: &[NodeName], options: &DrainOptions) -> Tally {
    let known = &model.known;
    if !known.has_pods || !known.has_budgets {
        return Tally { is_unknown: true, ..Tally::default() };
    }
    let keys: BTreeSet<&PodKey> = nodes.iter().filter_map(|node| known.pods_on.get(node)).flatten().collect();
    let on_nodes = keys.iter().filter_map(|key| known.pods.get(*key));
    // whether a DaemonSet still exists is asked by the run's prediction step
    let exists = |_: &PodRow| true;
    let expected =
        forecast(on_nodes, known.pods.values(), known.budgets.values(), options, &exists, model.now);
    let mut tally = Tally::default();
    for one in expected {
        if let Some(pod) = known.pods.get(&one.pod) {
            tally.add(pod, one);
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::samples;

    fn of(model: &Model, node: &str) -> Tally {
        tally(model, &[node.into()], &DrainOptions::default())
    }

    #[test]
    fn a_budget_without_a_pod_to_spare_blocks_and_the_words_say_so() {
        let tally = of(&samples::model(), "worker-1");
        assert!(tally.is_blocked());
        assert_eq!(tally.moves, 1);
        let facts = tally.obstacles();
        assert_eq!(tally.count().text, "evicts 1 pod, leaves 0, 1 will block");
        assert!(facts.iter().any(|fact| fact.text.starts_with("1 pod on team-a/api:")), "{facts:?}");
    }

    #[test]
    fn an_unlisted_cluster_is_unknown_and_not_empty() {
        let mut model = samples::model();
        model.known.has_pods = false;
        let tally = of(&model, "worker-1");
        assert!(tally.is_unknown && tally.count().text.contains("not known"));
    }
}
