//! A disruption budget as a row, its arithmetic, and a plain word when it can never allow.

use super::feed::Row;
use super::ids::{BudgetKey, NodeName, PodKey};
use super::pod::PodRow;
use super::selector::Selector;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// An int-or-percent field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// A number of pods.
    Pods(i32),
    /// A share in percent.
    Percent(i32),
}

impl Amount {
    /// The number of pods out of `total`, percentages rounded up (as the disruption controller rounds both fields).
    pub fn of(self, total: i32) -> i32 {
        match self {
            Self::Pods(count) => count,
            Self::Percent(share) => {
                (i64::from(share) * i64::from(total)).div_euclid(100).try_into().unwrap_or(i32::MAX)
                    + i32::from((i64::from(share) * i64::from(total)).rem_euclid(100) != 0)
            }
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods(count) => write!(f, "{count}"),
            Self::Percent(share) => write!(f, "{share}%"),
        }
    }
}

/// What the budget asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    /// `minAvailable`.
    MinAvailable(Amount),
    /// `maxUnavailable`.
    MaxUnavailable(Amount),
    /// Neither field is set: valid, and never allows.
    Nothing,
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinAvailable(amount) => write!(f, "min {amount}"),
            Self::MaxUnavailable(amount) => write!(f, "max unavailable {amount}"),
            Self::Nothing => f.write_str("neither min nor max"),
        }
    }
}

/// `unhealthyPodEvictionPolicy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnhealthyPolicy {
    /// A pod that is not Ready may go only while the budget is met.
    #[default]
    IfHealthyBudget,
    /// A pod that is not Ready may always go.
    AlwaysAllow,
}

/// One budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetRow {
    /// Namespace and name.
    pub key: BudgetKey,
    /// `metadata.uid`.
    pub uid: String,
    /// What it asks for.
    pub demand: Demand,
    /// Which pods it covers.
    pub selector: Selector,
    /// `unhealthyPodEvictionPolicy`.
    pub unhealthy: UnhealthyPolicy,
    /// `status.disruptionsAllowed`.
    pub allowed: i32,
    /// `status.currentHealthy`.
    pub healthy: i32,
    /// `status.desiredHealthy`.
    pub desired: i32,
    /// `status.expectedPods`.
    pub expected: i32,
    /// `metadata.generation`.
    pub generation: i64,
    /// `status.observedGeneration`: when lower, the numbers above are of an older spec.
    pub observed: i64,
    /// Pods whose eviction was accepted and that are not gone yet (`status.disruptedPods`).
    pub disrupted: Vec<String>,
    /// The message of condition `DisruptionAllowed=False/SyncFailed`.
    pub sync_failed: Option<String>,
}

impl Row for BudgetRow {
    type Key = BudgetKey;
    fn key(&self) -> BudgetKey {
        self.key.clone()
    }
}

impl BudgetRow {
    /// Whether the status speaks of the present spec.
    pub fn is_current(&self) -> bool {
        self.observed >= self.generation
    }

    /// Why the budget will not allow an eviction however long one waits, in words; `None` when it may, or when that
    /// cannot be told yet (a status of an older spec, an accepted eviction still under way).
    ///
    /// From the disruption controller's arithmetic (`disruption.go`): nothing is allowed while `desiredHealthy` is not
    /// below `expectedPods`, while `expectedPods` is 0, or while it cannot compute (`SyncFailed`).
    pub fn never_allows(&self) -> Option<String> {
        if let Some(error) = &self.sync_failed {
            return Some(format!("cannot be computed: {error}"));
        }
        match self.demand {
            Demand::Nothing => return Some("sets neither minAvailable nor maxUnavailable".to_owned()),
            Demand::MaxUnavailable(Amount::Pods(..=0) | Amount::Percent(..=0)) => {
                return Some(format!("{} allows no disruption", self.demand));
            }
            Demand::MinAvailable(Amount::Percent(100..)) => {
                return Some("min 100% needs every pod".to_owned());
            }
            _ => {}
        }
        if !self.is_current() || self.allowed > 0 || !self.disrupted.is_empty() {
            return None;
        }
        if self.expected > 0 && self.desired >= self.expected {
            return Some(format!("needs {} of {}: no pod to spare", self.desired, self.expected));
        }
        if self.expected == 0 && self.healthy > 0 {
            return Some("its pods have no controller whose size could be counted".to_owned());
        }
        None
    }

    /// Whether the budget speaks of a pod: same namespace, matching selector.
    pub fn covers(&self, pod: &PodRow) -> bool {
        self.key.namespace == pod.key.namespace && self.selector.matches(&pod.labels)
    }
}

/// The budgets that cover a pod; more than one = its eviction is always refused (HTTP 500).
pub fn budgets_of<'a>(pod: &PodRow, budgets: impl IntoIterator<Item = &'a BudgetRow>) -> Vec<&'a BudgetRow> {
    budgets.into_iter().filter(|budget| budget.covers(pod)).collect()
}

/// How many of a budget's pods are on which node; pods that are not bound yet are left out.
pub fn nodes_of<'a>(
    budget: &BudgetRow,
    pods: impl IntoIterator<Item = &'a PodRow>,
) -> BTreeMap<NodeName, usize> {
    let mut nodes = BTreeMap::new();
    for pod in pods {
        if let (Some(node), true) = (&pod.node, !pod.is_finished() && budget.covers(pod)) {
            *nodes.entry(node.clone()).or_default() += 1;
        }
    }
    nodes
}

/// Pods that the same two or more budgets cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The budgets.
    pub budgets: BTreeSet<BudgetKey>,
    /// Their common pods.
    pub pods: Vec<PodKey>,
}

/// Every overlap: each pod appears at most once, with all budgets that cover it. Finished pods do not count, as
/// their eviction asks no budget.
pub fn overlaps<'a>(
    pods: impl IntoIterator<Item = &'a PodRow>,
    budgets: impl IntoIterator<Item = &'a BudgetRow>,
) -> Vec<Overlap> {
    let mut here: BTreeMap<&str, Vec<&BudgetRow>> = BTreeMap::new();
    for budget in budgets {
        here.entry(&budget.key.namespace).or_default().push(budget);
    }
    let mut found: BTreeMap<BTreeSet<BudgetKey>, Vec<PodKey>> = BTreeMap::new();
    for pod in pods {
        let Some(budgets) = here.get(pod.key.namespace.as_str()) else { continue };
        if budgets.len() < 2 || pod.is_finished() {
            continue;
        }
        let covering: BTreeSet<_> =
            budgets.iter().filter(|budget| budget.covers(pod)).map(|budget| budget.key.clone()).collect();
        if covering.len() > 1 {
            found.entry(covering).or_default().push(pod.key.clone());
        }
    }
    found.into_iter().map(|(budgets, pods)| Overlap { budgets, pods }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_percentages_round_up() {
        assert_eq!(Amount::Percent(30).of(7), 3);
        assert_eq!(Amount::Percent(50).of(3), 2);
        assert_eq!(Amount::Percent(80).of(3), 3);
        assert_eq!(Amount::Percent(100).of(4), 4);
        assert_eq!(Amount::Percent(0).of(4), 0);
    }

    fn budget(demand: Demand, healthy: i32, desired: i32, expected: i32) -> BudgetRow {
        BudgetRow {
            key: BudgetKey { namespace: "shop".into(), name: "web".into() },
            uid: String::new(),
            demand,
            selector: Selector {
                labels: BTreeMap::from([("app".into(), "web".into())]),
                ..Selector::default()
            },
            unhealthy: UnhealthyPolicy::default(),
            allowed: (healthy - desired).max(0) * i32::from(expected > 0),
            healthy,
            desired,
            expected,
            generation: 1,
            observed: 1,
            disrupted: Vec::new(),
            sync_failed: None,
        }
    }

    #[test]
    fn says_what_can_never_allow() {
        use Amount::{Percent, Pods};
        use Demand::{MaxUnavailable, MinAvailable, Nothing};
        let never = |demand, healthy, desired, expected| {
            budget(demand, healthy, desired, expected).never_allows().is_some()
        };
        assert!(never(MaxUnavailable(Pods(0)), 3, 3, 3));
        assert!(never(MaxUnavailable(Percent(0)), 3, 3, 3));
        assert!(!never(MaxUnavailable(Pods(1)), 3, 2, 3));
        assert!(!never(MaxUnavailable(Percent(10)), 3, 2, 3), "a share of the unavailable rounds up");
        assert!(never(MinAvailable(Percent(100)), 5, 5, 5));
        assert!(never(MinAvailable(Percent(80)), 3, 3, 3), "80% of 3 rounds up to 3");
        assert!(never(MinAvailable(Pods(1)), 1, 1, 1));
        assert!(never(MinAvailable(Pods(3)), 2, 3, 3), "even when the third is healthy again");
        assert!(!never(MinAvailable(Pods(2)), 2, 2, 3), "the third may come back");
        assert!(never(Nothing, 3, 0, 0));
        assert!(never(MaxUnavailable(Pods(1)), 2, 0, 0), "bare pods are not counted");
        assert!(!never(MinAvailable(Pods(1)), 0, 1, 0), "no pods at all: nothing is blocked");
    }

    #[test]
    fn does_not_judge_by_an_old_status() {
        let mut row = budget(Demand::MinAvailable(Amount::Pods(1)), 1, 1, 1);
        row.generation = 2;
        assert_eq!(row.never_allows(), None);
        let mut row = budget(Demand::MinAvailable(Amount::Pods(1)), 1, 1, 1);
        row.disrupted.push("web-1".into());
        assert_eq!(row.never_allows(), None);
        row.sync_failed = Some("no scale".into());
        assert_eq!(row.never_allows().as_deref(), Some("cannot be computed: no scale"));
    }

    #[test]
    fn finds_pods_under_two_budgets() {
        let pod = |name: &str, app: &str, namespace: &str| {
            let mut pod = crate::domain::pod::sample(namespace, name);
            pod.labels.insert("app".into(), app.into());
            pod
        };
        let mut all = budget(Demand::MaxUnavailable(Amount::Pods(1)), 3, 2, 3);
        all.key.name = "all".into();
        all.selector = Selector::default();
        let web = budget(Demand::MaxUnavailable(Amount::Pods(1)), 3, 2, 3);
        let pods = [
            pod("a", "web", "shop"),
            pod("b", "db", "shop"),
            pod("c", "web", "other"),
            pod("d", "web", "shop"),
        ];
        let budgets = [all, web];
        let found = overlaps(&pods, &budgets);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].pods.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["a", "d"]);
        assert_eq!(found[0].budgets.len(), 2);
        assert_eq!(budgets_of(&pods[1], &budgets).len(), 1);
        assert!(budgets_of(&pods[2], &budgets).is_empty());
        assert_eq!(nodes_of(&budgets[0], &pods), BTreeMap::from([("worker-1".into(), 3)]));
    }
}
