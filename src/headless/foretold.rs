//! A forecast as text for people, and as JSON with stable names.

use super::text::wrapped;
use crate::domain::drain::Class;
use crate::domain::forecast::{Block, Expectation, Forecast, NodeForecast, Replacement, Verdict};
use crate::domain::ids::PodKey;
use crate::engine::foretell::{Foretold, counts, words};
use serde::Serialize;
use std::collections::BTreeMap;

/// A forecast.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    /// The answer for all nodes together.
    #[serde(flatten)]
    verdict: VerdictPage,
    /// Node by node, in the order in which they are drained.
    nodes: Vec<NodePage>,
    /// What could not be read, each in a sentence.
    notes: Vec<String>,
}

/// An answer.
#[derive(Debug, Serialize)]
struct VerdictPage {
    /// `finishes`, `waits`, `blocked` or `unclear`.
    verdict: &'static str,
    /// The same in words.
    summary: String,
    /// The pods that keep the drain from finishing.
    blocks: Vec<BlockPage>,
    /// Budgets that are waited for, as `namespace/name`.
    waits_for: Vec<String>,
    /// On what it depends, where it cannot be told.
    unclear: Vec<String>,
}

/// One pod that stays behind.
#[derive(Debug, Serialize)]
struct BlockPage {
    namespace: String,
    pod: String,
    /// `namespace/name`; null = something else than a budget.
    budget: Option<String>,
    /// It may not be moved with these options.
    refused: bool,
    why: String,
    /// Whether waiting can help.
    waiting_helps: bool,
    /// What would have to happen for it to help.
    helps_when: Option<String>,
}

/// One node.
#[derive(Debug, Serialize)]
struct NodePage {
    node: String,
    #[serde(flatten)]
    verdict: VerdictPage,
    pods: Vec<PodPage>,
}

/// One pod.
#[derive(Debug, Serialize)]
struct PodPage {
    namespace: String,
    name: String,
    uid: String,
    /// `evict`, `skip`, `refuse`, `terminating` or `finished`.
    class: &'static str,
    /// Why it is skipped or refused.
    reasons: Vec<String>,
    /// `moves`, `waits`, `blocked`, `unclear` or `stays`.
    expected: &'static str,
    /// The budget that it waits for or that blocks it, as `namespace/name`.
    budget: Option<String>,
    /// Why it waits, is blocked, or cannot be told.
    why: Option<String>,
    /// `none`, `elsewhere`, `nowhere`, `unclear`, `lost` or `returns`.
    replacement: &'static str,
    /// Why there is no place for it, or none may be.
    replacement_why: Option<String>,
    /// The node that it is tied to.
    tied_to: Option<String>,
    warnings: Vec<String>,
}

impl Page {
    pub(super) fn new(told: &Foretold) -> Self {
        Self {
            verdict: VerdictPage::new(&told.verdict()),
            nodes: told.nodes.iter().map(NodePage::new).collect(),
            notes: told.notes.clone(),
        }
    }
}

impl VerdictPage {
    fn new(verdict: &Verdict) -> Self {
        let mut page = Self {
            verdict: "finishes",
            summary: verdict.words(),
            blocks: Vec::new(),
            waits_for: Vec::new(),
            unclear: Vec::new(),
        };
        match verdict {
            Verdict::Finishes => {}
            Verdict::Waits { on } => {
                page.verdict = "waits";
                page.waits_for = on.iter().map(ToString::to_string).collect();
            }
            Verdict::Blocked { by } => {
                page.verdict = "blocked";
                page.blocks = by.iter().map(BlockPage::new).collect();
            }
            Verdict::Unclear { why } => {
                page.verdict = "unclear";
                page.unclear.clone_from(why);
            }
        }
        page
    }
}

impl BlockPage {
    fn new(block: &Block) -> Self {
        Self {
            namespace: block.pod.namespace.clone(),
            pod: block.pod.name.clone(),
            budget: block.budget.as_ref().map(ToString::to_string),
            refused: block.refused,
            why: block.why.clone(),
            waiting_helps: block.helps.is_some(),
            helps_when: block.helps.clone(),
        }
    }
}

impl NodePage {
    fn new(node: &NodeForecast) -> Self {
        Self {
            node: node.node.0.clone(),
            verdict: VerdictPage::new(&node.verdict),
            pods: node.pods.iter().map(PodPage::new).collect(),
        }
    }
}

impl PodPage {
    fn new(pod: &Forecast) -> Self {
        let (class, reasons) = match &pod.class {
            Class::Evict => ("evict", Vec::new()),
            Class::Skip(why) => ("skip", why.clone()),
            Class::Refuse(why) => ("refuse", why.clone()),
            Class::Terminating => ("terminating", Vec::new()),
            Class::Finished => ("finished", Vec::new()),
        };
        let (expected, budget, why) = match &pod.expectation {
            Expectation::Moves => ("moves", None, None),
            Expectation::Stays => ("stays", None, None),
            Expectation::Waits { budget, why } => ("waits", Some(budget), Some(why)),
            Expectation::Blocked { budget, why, .. } => ("blocked", budget.as_ref(), Some(why)),
            Expectation::Unclear { budget, why } => ("unclear", budget.as_ref(), Some(why)),
        };
        let (replacement, replacement_why, tied_to) = match &pod.replacement {
            Replacement::None => ("none", None, None),
            Replacement::Elsewhere => ("elsewhere", None, None),
            Replacement::Nowhere { why, tied_to } => ("nowhere", Some(why), tied_to.as_ref()),
            Replacement::Unclear { why } => ("unclear", Some(why), None),
            Replacement::Lost => ("lost", None, None),
            Replacement::Returns { why } => ("returns", Some(why), None),
        };
        Self {
            namespace: pod.pod.namespace.clone(),
            name: pod.pod.name.clone(),
            uid: pod.pod.uid.clone(),
            class,
            reasons,
            expected,
            budget: budget.map(ToString::to_string),
            why: why.cloned(),
            replacement,
            replacement_why: replacement_why.cloned(),
            tied_to: tied_to.map(ToString::to_string),
            warnings: pod.warnings.clone(),
        }
    }
}

/// The columns of a terminal as most are.
const WIDTH: usize = 80;

/// A forecast in lines that fit 80 columns: the answer first, then what stands in the way, then the rest.
pub(super) fn lines(told: &Foretold) -> Vec<String> {
    let mut lines = wrapped("verdict: ", &told.verdict().words(), WIDTH);
    for note in &told.notes {
        lines.extend(wrapped("note: ", note, WIDTH));
    }
    for node in &told.nodes {
        lines.push(String::new());
        if told.nodes.len() > 1 {
            lines.extend(wrapped(&format!("{}: ", node.node), &node.verdict.words(), WIDTH));
            lines.extend(wrapped("  ", &counts(&node.pods), WIDTH));
        } else {
            lines.extend(wrapped(&format!("{}: ", node.node), &counts(&node.pods), WIDTH));
        }
        lines.extend(of_pods(&node.pods));
    }
    lines
}

/// The pods of a node: those that stand in the way each in full, the others by what they have in common.
fn of_pods(pods: &[Forecast]) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut go, mut rest): (Vec<&PodKey>, BTreeMap<String, Vec<&PodKey>>) = (Vec::new(), BTreeMap::new());
    for rank in 0..4 {
        for pod in pods.iter().filter(|pod| place(pod) == rank) {
            lines.extend(wrapped(
                &format!("  {} ", mark(pod)),
                &format!("{}: {}", pod.pod, words(pod)),
                WIDTH,
            ));
        }
    }
    for pod in pods.iter().filter(|pod| place(pod) == 4) {
        match (&pod.class, &pod.expectation) {
            (Class::Evict, Expectation::Moves) => go.push(&pod.pod),
            _ => rest.entry(words(pod)).or_default().push(&pod.pod),
        }
    }
    let list = |pods: &[&PodKey]| pods.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if !go.is_empty() {
        lines.extend(wrapped("  goes at once: ", &list(&go), WIDTH));
    }
    for (words, pods) in &rest {
        lines.extend(wrapped(&format!("  {words}: "), &list(pods), WIDTH));
    }
    for pod in pods {
        for warning in &pod.warnings {
            lines.extend(wrapped("  ! ", &format!("{}: {warning}", pod.pod), WIDTH));
        }
    }
    lines
}

fn place(pod: &Forecast) -> usize {
    match (&pod.class, &pod.expectation) {
        (Class::Refuse(_), _) => 0,
        (_, Expectation::Blocked { .. }) => 1,
        (_, Expectation::Unclear { .. }) => 2,
        (_, Expectation::Waits { .. }) => 3,
        _ => 4,
    }
}

fn mark(pod: &Forecast) -> &'static str {
    match place(pod) {
        0 | 1 => "NO ",
        2 => "?  ",
        _ => "...",
    }
}
