//! What a drain would do now, added up for a question: how many pods go, stay, wait or block, on what, and the verdict.
//!
//! It rests on the rows that the console has; the run's own prediction step looks anew and more closely.

use super::dialog::{Fact, Toggle, Tone};
use super::model::Model;
use crate::domain::config::DrainOptions;
use crate::domain::drain::Class;
use crate::domain::forecast::{Expectation, Forecast, Replacement, Scene, Verdict, foresee};
use crate::domain::ids::{BudgetKey, NodeName, PodKey};
use crate::domain::pod::PodRow;
use crate::domain::text::count;
use crate::domain::wave::Admission;
use std::collections::{BTreeMap, BTreeSet};

/// How many names a line lists before it says "and N more".
const NAMES: usize = 4;

/// The sums.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// The pods were not listed yet: nothing below is known.
    pub is_unknown: bool,
    /// Whether the drain will finish.
    pub verdict: Verdict,
    /// Will be evicted at once.
    pub moves: usize,
    /// Stay (`DaemonSet` and static pods, not selected).
    pub stays: usize,
    /// Wait until a budget has room again, per budget, with the words of the last one.
    pub waits: BTreeMap<BudgetKey, (usize, String)>,
    /// Will not be allowed, per budget, and whether waiting helps.
    pub blocked: BTreeMap<BudgetKey, (usize, String)>,
    /// Refused by an option, or held by something else than a budget: each with its reason.
    pub refused: Vec<(PodKey, String)>,
    /// Of which it cannot be told whether they go.
    pub unclear: Vec<(PodKey, String)>,
    /// Replacements that no node takes, by the reason.
    pub homeless: BTreeMap<String, usize>,
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
    /// Whether something is known to stand in the way: a pod that is held or refused, or one that could not run again.
    pub fn is_blocked(&self) -> bool {
        self.verdict.is_blocked() || !self.homeless.is_empty()
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
        let moves = self.moves + waits + self.unclear.len();
        let mut words = format!("evicts {}, leaves {}", count(moves, "pod"), self.stays);
        let blocked: usize = self.blocked.values().map(|(pods, _)| pods).sum::<usize>() + self.refused.len();
        if blocked > 0 {
            words.push_str(&format!(", {blocked} will block"));
        }
        Fact::plain("count", words)
    }

    /// Whether the drain will finish: the first line after the count.
    pub fn verdict(&self) -> Option<Fact> {
        let tone = match (&self.verdict, self.is_unknown) {
            (_, true) => return None,
            (Verdict::Finishes, _) => Tone::Plain,
            (Verdict::Waits { .. } | Verdict::Unclear { .. }, _) => Tone::Attention,
            (Verdict::Blocked { .. }, _) => Tone::Bad,
        };
        let words = match &self.verdict {
            Verdict::Blocked { .. } => "the drain will not finish while everything stays as it is".to_owned(),
            Verdict::Unclear { .. } => "cannot tell whether the drain will finish".to_owned(),
            Verdict::Waits { .. } => "the drain will finish, but has to wait".to_owned(),
            Verdict::Finishes => "the drain will finish: every pod can go at once".to_owned(),
        };
        Some(Fact::toned(tone, "verdict", words))
    }

    /// The obstacles, as lines of a question, the gravest first.
    pub fn obstacles(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        for (budget, (pods, why)) in &self.blocked {
            let text = format!("{} on {budget}: {why}", count(*pods, "pod"));
            facts.push(Fact::toned(Tone::Bad, "blocks", text));
        }
        let named = |list: &[(PodKey, String)]| -> Vec<String> {
            list.iter().map(|(pod, why)| format!("{pod}: {why}")).collect()
        };
        facts.extend(some(Tone::Bad, "blocks", &named(&self.refused)));
        for (why, pods) in &self.homeless {
            let text = format!("{} would have nowhere to run: {why}", count(*pods, "pod"));
            facts.push(Fact::toned(Tone::Bad, "no place", text));
        }
        facts.extend(some(Tone::Attention, "unclear", &named(&self.unclear)));
        for (budget, (pods, why)) in &self.waits {
            let text = format!("{} of {budget} will wait: {why}", count(*pods, "pod"));
            facts.push(Fact::toned(Tone::Attention, "waits", text));
        }
        facts.extend(some(Tone::Attention, "warnings", &self.warnings));
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
        let key = &expected.pod;
        match expected.expectation {
            Expectation::Moves => self.moves += 1,
            Expectation::Stays => self.stays += 1,
            Expectation::Waits { budget, why } => {
                let (pods, words) = self.waits.entry(budget).or_default();
                *pods += 1;
                *words = why;
            }
            Expectation::Blocked { budget, why, helps } => {
                let why = match helps {
                    _ if matches!(expected.class, Class::Refuse(_)) => why,
                    None => format!("{why}; waiting does not help"),
                    Some(when) => format!("{why}; waiting helps only if {when}"),
                };
                match budget {
                    Some(budget) => {
                        let (pods, words) = self.blocked.entry(budget).or_default();
                        *pods += 1;
                        *words = why;
                    }
                    None => self.refused.push((key.clone(), why)),
                }
            }
            Expectation::Unclear { why, .. } => self.unclear.push((key.clone(), why)),
        }
        let is_homeless = matches!(expected.replacement, Replacement::Nowhere { .. });
        if let Replacement::Nowhere { why, tied_to } = expected.replacement {
            let why = tied_to.map_or(why, |node| format!("tied to {node} until it is back"));
            *self.homeless.entry(why).or_default() += 1;
        }
        if matches!(expected.class, Class::Evict | Class::Refuse(_)) {
            self.local_data += usize::from(!pod.empty_dirs.is_empty());
            self.bare += usize::from(pod.owner.is_none());
        }
        self.daemons += usize::from(pod.is_daemon());
        let is_told = |text: &String| is_homeless && (text.contains("nowhere") || text.starts_with("pinned"));
        let warnings = expected.warnings.into_iter().filter(|text| !is_told(text));
        self.warnings.extend(warnings.map(|text| format!("{key}: {text}")));
    }
}

/// The first of some lines, and how many more there are.
fn some(tone: Tone, label: &str, lines: &[String]) -> Vec<Fact> {
    let shown = lines.iter().take(NAMES).enumerate();
    let mut facts: Vec<Fact> =
        shown.map(|(at, text)| Fact::toned(tone, if at == 0 { label } else { "" }, text.clone())).collect();
    if let Some(more) = lines.len().checked_sub(NAMES + 1) {
        facts.push(Fact::toned(tone, "", format!("and {} more", more + 1)));
    }
    facts
}

/// Adds up what a drain of these nodes, one after the other, would do.
pub fn tally(model: &Model, nodes: &[NodeName], options: &DrainOptions) -> Tally {
    let known = &model.known;
    if !known.has_pods || !known.has_budgets || !known.has_nodes {
        return Tally { is_unknown: true, ..Tally::default() };
    }
    let scene = Scene {
        nodes: known.nodes.values().collect(),
        pods: known.pods.values().collect(),
        budgets: known.budgets.values().collect(),
        volumes: known.volumes.as_ref().map(|volumes| volumes.values().collect()),
        // whether a DaemonSet still exists, and what serves webhooks, is asked by the run's prediction step
        lost_daemonsets: BTreeSet::new(),
        admission: Admission::default(),
        now: model.now,
    };
    let told = foresee(&scene, nodes, options);
    let mut tally =
        Tally { verdict: Verdict::of_all(told.iter().map(|node| &node.verdict)), ..Tally::default() };
    for one in told.into_iter().flat_map(|node| node.pods) {
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
