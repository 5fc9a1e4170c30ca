//! PodDisruptionBudget objects as rows.

use super::{Condition, Meta, Wire, nullable, tidy, tidy_all, tidy_map};
use crate::domain::budget::{Amount, BudgetRow, Demand, UnhealthyPolicy};
use crate::domain::ids::BudgetKey;
use crate::domain::selector::{Operator, Requirement, Selector};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What is read of a PodDisruptionBudget.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::backend::kube) struct BudgetWire {
    metadata: Meta,
    #[serde(deserialize_with = "nullable")]
    spec: Spec,
    #[serde(deserialize_with = "nullable")]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    min_available: Option<AmountWire>,
    max_unavailable: Option<AmountWire>,
    selector: Option<SelectorWire>,
    unhealthy_pod_eviction_policy: Option<String>,
}

/// An int-or-string.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum AmountWire {
    Count(i32),
    Text(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SelectorWire {
    #[serde(deserialize_with = "nullable")]
    match_labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    match_expressions: Vec<RequirementWire>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RequirementWire {
    key: String,
    operator: String,
    #[serde(deserialize_with = "nullable")]
    values: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    disruptions_allowed: i32,
    current_healthy: i32,
    desired_healthy: i32,
    expected_pods: i32,
    observed_generation: i64,
    #[serde(deserialize_with = "nullable")]
    disrupted_pods: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    conditions: Vec<Condition>,
}

impl Wire for BudgetWire {
    type Row = BudgetRow;

    fn version(&self) -> &str {
        &self.metadata.resource_version
    }

    fn row(self) -> Option<BudgetRow> {
        let Self { metadata, spec, status } = self;
        let failed = status.conditions.into_iter().find(|condition| {
            condition.kind == "DisruptionAllowed"
                && condition.status == "False"
                && condition.reason == "SyncFailed"
        });
        Some(BudgetRow {
            demand: demand(spec.min_available, spec.max_unavailable),
            selector: selector(spec.selector),
            unhealthy: match spec.unhealthy_pod_eviction_policy.as_deref() {
                Some("AlwaysAllow") => UnhealthyPolicy::AlwaysAllow,
                _ => UnhealthyPolicy::IfHealthyBudget,
            },
            allowed: status.disruptions_allowed,
            healthy: status.current_healthy,
            desired: status.desired_healthy,
            expected: status.expected_pods,
            generation: metadata.generation,
            observed: status.observed_generation,
            disrupted: tidy_all(status.disrupted_pods.into_keys()),
            sync_failed: failed.map(|condition| tidy(condition.message)),
            uid: tidy(metadata.uid),
            key: BudgetKey { namespace: tidy(metadata.namespace), name: tidy(metadata.name) },
        })
    }
}

fn demand(min: Option<AmountWire>, max: Option<AmountWire>) -> Demand {
    match (min.and_then(amount), max.and_then(amount)) {
        (_, Some(amount)) => Demand::MaxUnavailable(amount),
        (Some(amount), None) => Demand::MinAvailable(amount),
        (None, None) => Demand::Nothing,
    }
}

fn amount(wire: AmountWire) -> Option<Amount> {
    match wire {
        AmountWire::Count(count) => Some(Amount::Pods(count)),
        AmountWire::Text(text) => {
            text.strip_suffix('%').and_then(|share| share.parse().ok()).map(Amount::Percent)
        }
    }
}

/// A selector; one that the server cannot read matches nothing there, and so here.
pub(super) fn selector(wire: Option<SelectorWire>) -> Selector {
    let Some(wire) = wire else { return Selector { absent: true, ..Selector::default() } };
    let mut selector = Selector { labels: tidy_map(wire.match_labels), ..Selector::default() };
    for need in wire.match_expressions {
        let operator = match need.operator.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            // a selector that the server cannot read matches nothing there
            _ => return Selector { absent: true, ..Selector::default() },
        };
        selector.expressions.push(Requirement {
            key: tidy(need.key),
            operator,
            values: tidy_all(need.values),
        });
    }
    selector
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn row(budget: Value) -> BudgetRow {
        serde_json::from_value::<BudgetWire>(budget).unwrap().row().unwrap()
    }

    #[test]
    fn a_budget_as_the_api_sends_it() {
        let budget = row(json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "generation": 3},
            "spec": {"minAvailable": "50%", "unhealthyPodEvictionPolicy": "AlwaysAllow",
                     "selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}},
            "status": {"disruptionsAllowed": 1, "currentHealthy": 3, "desiredHealthy": 2, "expectedPods": 4,
                       "observedGeneration": 2, "disruptedPods": {"web-1": "2026-01-02T03:04:05Z"},
                       "conditions": [{"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed",
                                       "message": "found no controllers"}]},
        }));
        assert_eq!(budget.demand, Demand::MinAvailable(Amount::Percent(50)));
        assert_eq!((budget.allowed, budget.healthy, budget.desired, budget.expected), (1, 3, 2, 4));
        assert_eq!(budget.unhealthy, UnhealthyPolicy::AlwaysAllow);
        assert!(!budget.is_current());
        assert_eq!(budget.disrupted, ["web-1"]);
        assert_eq!(budget.sync_failed.as_deref(), Some("found no controllers"));
        assert!(budget.selector.matches(&BTreeMap::from([("app".into(), "web".into())])));
    }

    #[test]
    fn absent_and_empty_selectors_differ() {
        let labels = BTreeMap::from([("app".into(), "web".into())]);
        let matches = |spec| row(json!({"metadata": {}, "spec": spec})).selector.matches(&labels);
        assert!(!matches(json!({"maxUnavailable": 1})));
        assert!(matches(json!({"maxUnavailable": 1, "selector": {}})));
        assert_eq!(row(json!({"spec": {}})).demand, Demand::Nothing);
    }
}
