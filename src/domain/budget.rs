//! A disruption budget as a row, its arithmetic, and a plain word when it can never allow.

use super::feed::Row;
use super::ids::BudgetKey;
use super::selector::Selector;
use serde::{Deserialize, Serialize};
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

    /// Why the budget will not allow an eviction however long one waits, in words; `None` when it may.
    ///
    /// Static test: nothing allowed although every expected pod is healthy, plus the cases in which the
    /// controller cannot compute (`disruption.go`: `SyncFailed`, neither field set).
    pub fn never_allows(&self) -> Option<String> {
        if let Some(error) = &self.sync_failed {
            return Some(format!("cannot be computed: {error}"));
        }
        if !self.is_current() {
            return None;
        }
        match self.demand {
            Demand::Nothing => return Some("sets neither minAvailable nor maxUnavailable".to_owned()),
            Demand::MaxUnavailable(amount) if amount.of(self.expected.max(1)) <= 0 => {
                return Some(format!("maxUnavailable {amount} allows no disruption"));
            }
            Demand::MinAvailable(Amount::Percent(share)) if share >= 100 => {
                return Some("minAvailable 100% needs every pod".to_owned());
            }
            _ => {}
        }
        if self.expected > 0 && self.desired >= self.expected {
            return Some(format!("needs {} of {}: no pod to spare", self.desired, self.expected));
        }
        None
    }
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
}
