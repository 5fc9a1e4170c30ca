//! The answer: whether a drain will finish, and what each obstacle is in one line.

use super::budgets::Hold;
use super::play::{Ended, Fate, Played};
use super::{Expectation, Forecast, Replacement, Scene};
use crate::domain::drain::Class;
use crate::domain::ids::{BudgetKey, NodeName, PodKey};
use crate::domain::node::{NodeRow, Readiness};
use crate::domain::pod::PodRow;
use crate::domain::text::count;
use crate::domain::time::brief;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Finalizers of Kubernetes' own controllers, which always remove them.
const USUAL_FINALIZERS: [&str; 3] = ["batch.kubernetes.io/job-tracking", "foregroundDeletion", "orphan"];
/// A pod whose grace ended longer ago does not end by itself.
const OVERDUE: Duration = Duration::from_mins(1);

/// Something that keeps a drain from finishing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The pod.
    pub pod: PodKey,
    /// The budget that does not allow its eviction; `None` = something else.
    pub budget: Option<BudgetKey>,
    /// It may not be moved with these options: the drain does not even begin.
    pub refused: bool,
    /// Why.
    pub why: String,
    /// What would have to happen for waiting to help; `None` = waiting does not help.
    pub helps: Option<String>,
}

impl Block {
    /// One line: pod, budget, numbers, why, and whether waiting helps.
    pub fn line(&self) -> String {
        let by = self.budget.as_ref().map(|budget| format!("blocked by budget {budget}: "));
        let by = by.unwrap_or_default();
        let wait = match &self.helps {
            _ if self.refused => String::new(),
            None => "; waiting does not help".to_owned(),
            Some(when) => format!("; waiting helps only if {when}"),
        };
        format!("{}: {by}{}{wait}", self.pod, self.why)
    }
}

/// Whether a drain will finish.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Verdict {
    /// It will: every pod can go at once.
    #[default]
    Finishes,
    /// It will, but some pods wait until a budget has room again.
    Waits {
        /// The budgets.
        on: Vec<BudgetKey>,
    },
    /// It will not, while everything stays as it is.
    Blocked {
        /// Every pod that stays behind, and why.
        by: Vec<Block>,
    },
    /// It cannot be told.
    Unclear {
        /// On what it depends.
        why: Vec<String>,
    },
}

impl Verdict {
    /// The answer in a few words.
    pub fn words(&self) -> String {
        match self {
            Self::Finishes => "will finish".to_owned(),
            Self::Waits { on } => {
                let names: Vec<String> = on.iter().map(ToString::to_string).collect();
                format!("will finish, but waits for {}", names.join(", "))
            }
            Self::Blocked { by } => format!("will not finish: {}", blocked_words(by)),
            Self::Unclear { why } => format!("cannot tell: {}", why.join("; ")),
        }
    }

    /// Whether it will not finish.
    pub fn is_blocked(&self) -> bool {
        matches!(self, Self::Blocked { .. })
    }

    /// The answer for several drains together: the gravest, with what all of those say.
    pub fn of_all<'v>(verdicts: impl IntoIterator<Item = &'v Verdict>) -> Verdict {
        let (mut on, mut by, mut why) = (BTreeSet::new(), Vec::new(), Vec::new());
        for verdict in verdicts {
            match verdict {
                Self::Finishes => {}
                Self::Waits { on: some } => on.extend(some.iter().cloned()),
                Self::Blocked { by: some } => by.extend(some.iter().cloned()),
                Self::Unclear { why: some } => why.extend(some.iter().cloned()),
            }
        }
        if !by.is_empty() {
            Self::Blocked { by }
        } else if !why.is_empty() {
            Self::Unclear { why }
        } else if !on.is_empty() {
            Self::Waits { on: on.into_iter().collect() }
        } else {
            Self::Finishes
        }
    }
}

/// `2 pods refused, 3 pods blocked by billing/ledger`.
fn blocked_words(by: &[Block]) -> String {
    let refused = by.iter().filter(|block| block.refused).count();
    let mut budgets: BTreeMap<String, usize> = BTreeMap::new();
    for block in by.iter().filter(|block| !block.refused) {
        let what = match &block.budget {
            Some(budget) => format!("by {budget}"),
            None => format!("({})", block.why),
        };
        *budgets.entry(what).or_default() += 1;
    }
    let refused = (refused > 0).then(|| format!("{} refused with these options", count(refused, "pod")));
    let blocked = budgets.iter().map(|(what, pods)| format!("{} blocked {what}", count(*pods, "pod")));
    refused.into_iter().chain(blocked).collect::<Vec<_>>().join(", ")
}

/// One pod, over all the ways in which it was played.
pub(super) struct Merged<'a> {
    pub row: &'a PodRow,
    pub class: Class,
    pub expectation: Expectation,
    pub replacement: Replacement,
}

/// Replacements that had to go once more, because they came to a node that is drained as well, and found no place the
/// second time: why, by the pod that went first. Where they end so in some ways only, it cannot be told.
pub(super) fn later_ends<'a>(plays: &[Vec<Played<'a>>]) -> BTreeMap<&'a PodKey, Replacement> {
    let mut found: BTreeMap<&PodKey, (usize, String)> = BTreeMap::new();
    for play in plays {
        let mut seen = BTreeSet::new();
        for pod in play.iter().flat_map(|node| &node.pods).filter(|pod| pod.is_ghost) {
            if let Replacement::Nowhere { why, .. } = &pod.replacement
                && seen.insert(&pod.row.key)
            {
                found.entry(&pod.row.key).or_insert((0, why.clone())).0 += 1;
            }
        }
    }
    let end = |(ways, why): (usize, String)| {
        if ways == plays.len() {
            Replacement::Nowhere { why, tied_to: None }
        } else {
            Replacement::Unclear { why }
        }
    };
    found.into_iter().map(|(key, ways)| (key, end(ways))).collect()
}

/// Brings the ways together: what they agree on is expected, what they do not is not to be told.
pub(super) fn merge<'a>(
    scene: &Scene<'a>,
    ways: &[&Played<'a>],
    ends: &BTreeMap<&'a PodKey, Replacement>,
) -> Vec<Merged<'a>> {
    let Some((first, others)) = ways.split_first() else { return Vec::new() };
    let index = |way: &&Played<'a>| -> BTreeMap<&'a PodKey, Ended<'a>> {
        let own = way.pods.iter().filter(|pod| !pod.is_ghost);
        own.map(|pod| (&pod.row.key, pod.clone())).collect()
    };
    let others: Vec<_> = others.iter().map(index).collect();
    let own = first.pods.iter().filter(|pod| !pod.is_ghost);
    own.map(|pod| {
        let mut all = vec![pod.clone()];
        all.extend(others.iter().filter_map(|way| way.get(&pod.row.key).cloned()));
        let replacement = match replacement(&all) {
            Replacement::Elsewhere => ends.get(&pod.row.key).cloned().unwrap_or(Replacement::Elsewhere),
            other => other,
        };
        let expectation = lingers(scene, pod.row, &pod.class)
            .or_else(|| returns(&replacement, &all))
            .unwrap_or_else(|| expectation(&all));
        let replacement = match (replacement, &expectation) {
            // whether it goes at all is not known
            (Replacement::Nowhere { why, .. }, Expectation::Unclear { .. }) => Replacement::Unclear { why },
            (other, _) => other,
        };
        Merged { row: pod.row, class: pod.class.clone(), expectation, replacement }
    })
    .collect()
}

fn expectation(ways: &[Ended<'_>]) -> Expectation {
    let held: Vec<(&Hold, &Vec<String>)> = ways
        .iter()
        .filter_map(|way| match &way.fate {
            Fate::Held(hold, needs) => Some((hold, needs)),
            _ => None,
        })
        .collect();
    if let Some((hold, needs)) = held.first() {
        let budget = hold.budget().cloned();
        let why = why(hold, needs);
        return if held.len() == ways.len() {
            let helps = (!needs.is_empty()).then(|| helps(needs));
            Expectation::Blocked { budget, why, helps }
        } else {
            Expectation::Unclear { budget, why }
        };
    }
    match ways.first().map(|way| (&way.fate, &way.class)) {
        Some((Fate::Stays, Class::Refuse(reasons))) => {
            Expectation::Blocked { budget: None, why: reasons.join("; "), helps: None }
        }
        None | Some((Fate::Stays, _)) => Expectation::Stays,
        Some((Fate::Went(Some(hold)), _)) => hold.budget().cloned().map_or(Expectation::Moves, |budget| {
            let why = match hold {
                Hold::Full(_, wants, has) => {
                    format!("needs {wants} healthy pods, has {has} until another is Ready")
                }
                other => why(other, &[]),
            };
            Expectation::Waits { budget, why }
        }),
        Some(_) => Expectation::Moves,
    }
}

fn why(hold: &Hold, needs: &[String]) -> String {
    match hold {
        Hold::Several(keys) => {
            let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
            format!("more than one budget covers it: {}: every eviction is refused", names.join(", "))
        }
        Hold::Never(_, why) => why.clone(),
        Hold::Stale(_) => "its status is older than its spec: what it will allow is not known".to_owned(),
        Hold::Full(_, wants, has) if needs.is_empty() && has > wants => {
            format!("needs {wants} healthy pods and has {has}, yet allows none: its figures are not settled")
        }
        Hold::Full(_, wants, has) if needs.is_empty() => {
            format!("needs {wants} healthy pods, has {has}: no pod to spare")
        }
        Hold::Full(_, wants, has) => {
            format!("needs {wants} healthy pods, has {has}; missing: {}", few(needs))
        }
    }
}

fn helps(needs: &[String]) -> String {
    if needs.len() == 1 { "it becomes Ready".to_owned() } else { "they become Ready".to_owned() }
}

/// The first two of a list, and how many more.
fn few(list: &[String]) -> String {
    let mut words = list.iter().take(2).cloned().collect::<Vec<_>>().join(", ");
    if let Some(more) = list.len().checked_sub(2).filter(|more| *more > 0) {
        words.push_str(&format!(" and {more} more"));
    }
    words
}

fn replacement(ways: &[Ended<'_>]) -> Replacement {
    let went: Vec<&Replacement> =
        ways.iter().filter(|way| matches!(way.fate, Fate::Went(_))).map(|way| &way.replacement).collect();
    let Some(first) = went.first() else { return Replacement::None };
    let is_same = went.iter().all(|other| std::mem::discriminant(*other) == std::mem::discriminant(*first));
    if is_same {
        return (*first).clone();
    }
    let doubt = went.iter().find_map(|other| match other {
        Replacement::Nowhere { why, .. } | Replacement::Returns { why } | Replacement::Unclear { why } => {
            Some(why.clone())
        }
        _ => None,
    });
    Replacement::Unclear { why: doubt.unwrap_or_default() }
}

/// A pod that comes back on the same node keeps its drain from finishing.
fn returns(replacement: &Replacement, ways: &[Ended<'_>]) -> Option<Expectation> {
    let doubt = ways.iter().find_map(|way| match &way.replacement {
        Replacement::Returns { why } => Some(why.clone()),
        _ => None,
    })?;
    Some(match replacement {
        Replacement::Returns { .. } => {
            Expectation::Blocked { budget: None, why: format!("comes back each time: {doubt}"), helps: None }
        }
        _ => Expectation::Unclear { budget: None, why: format!("may come back: {doubt}") },
    })
}

/// Pods that do not go away although they are told to.
fn lingers(scene: &Scene<'_>, pod: &PodRow, class: &Class) -> Option<Expectation> {
    if matches!(class, Class::Skip(_) | Class::Refuse(_)) {
        return None;
    }
    let blocked = |why: String, helps: &str| {
        Some(Expectation::Blocked { budget: None, why, helps: Some(helps.to_owned()) })
    };
    let unclear = |why: String| Some(Expectation::Unclear { budget: None, why });
    let overdue = pod.deleting.map(|end| scene.now.since(end)).filter(|late| *late > OVERDUE);
    let holders: Vec<&str> = pod
        .finalizers
        .iter()
        .map(String::as_str)
        .filter(|finalizer| !USUAL_FINALIZERS.contains(finalizer))
        .collect();
    if !holders.is_empty() {
        let holders = holders.join(", ");
        return match overdue {
            Some(late) => blocked(
                format!("held by finalizer {holders}, {} after its grace", brief(late)),
                "the controller of the finalizer removes it",
            ),
            None => unclear(format!("goes only when finalizer {holders} is removed by its controller")),
        };
    }
    if pod.is_finished() {
        return None;
    }
    let node = scene.nodes.iter().find(|node| Some(&node.name) == pod.node.as_ref());
    match node.map(|node| node.readiness) {
        Some(Readiness::Unknown) => blocked(
            "the kubelet of its node does not report: it stays Terminating".to_owned(),
            "the node reports again",
        ),
        Some(Readiness::NotReady) => {
            unclear("its node is not Ready: whether it stops there is not known".to_owned())
        }
        _ => overdue
            .and_then(|late| unclear(format!("its grace ended {} ago and it is still there", brief(late)))),
    }
}

/// The answer for a node.
pub(super) fn of_node(
    nodes: &[&NodeRow],
    node: &NodeName,
    pods: &[Forecast],
    ways: &[&Played<'_>],
) -> Verdict {
    if !nodes.iter().any(|row| row.name == *node) {
        return Verdict::Unclear { why: vec![format!("the node {node} is not known")] };
    }
    let (mut on, mut by, mut doubts) = (BTreeSet::new(), Vec::new(), Vec::new());
    for pod in pods {
        match &pod.expectation {
            Expectation::Moves | Expectation::Stays => {}
            Expectation::Waits { budget, .. } => drop(on.insert(budget.clone())),
            Expectation::Blocked { budget, why, helps } => by.push(Block {
                pod: pod.pod.clone(),
                budget: budget.clone(),
                refused: matches!(pod.class, Class::Refuse(_)),
                why: why.clone(),
                helps: helps.clone(),
            }),
            Expectation::Unclear { why, .. } => doubts.push(format!("{}: {why}", pod.pod)),
        }
    }
    doubts.extend(ghosts(ways));
    if !by.is_empty() {
        Verdict::Blocked { by }
    } else if !doubts.is_empty() {
        Verdict::Unclear { why: doubts }
    } else if !on.is_empty() {
        Verdict::Waits { on: on.into_iter().collect() }
    } else {
        Verdict::Finishes
    }
}

/// Replacements that came here from a node drained before, and that are held in one of the ways.
fn ghosts(ways: &[&Played<'_>]) -> BTreeSet<String> {
    let pods = ways.iter().flat_map(|way| &way.pods).filter(|pod| pod.is_ghost);
    pods.filter_map(|pod| match &pod.fate {
        Fate::Held(hold, needs) => {
            Some(format!("the replacement of {}, if it comes here: {}", pod.row.key, why(hold, needs)))
        }
        _ => None,
    })
    .collect()
}
