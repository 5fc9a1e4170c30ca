//! Tolerations, affinities and spread constraints of pods, and the node affinity of volumes.

use super::budget::{SelectorWire, selector};
use super::{nullable, tidy, tidy_all, tidy_map};
use crate::domain::placement::{NodeTerm, PodTerm, Rules, Spread, Toleration};
use crate::domain::selector::{Operator, Requirement, Selector};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// Tolerations that every pod gets by admission; they say nothing about where it may start.
const OF_EVERY_POD: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TolerationWire {
    key: Option<String>,
    operator: Option<String>,
    value: Option<String>,
    effect: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_field_names, reason = "the names are Kubernetes' own")]
pub(super) struct AffinityWire {
    #[serde(deserialize_with = "nullable")]
    node_affinity: NodeAffinity,
    #[serde(deserialize_with = "nullable")]
    pod_affinity: PodAffinity,
    #[serde(deserialize_with = "nullable")]
    pod_anti_affinity: PodAffinity,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeAffinity {
    required_during_scheduling_ignored_during_execution: Option<TermsWire>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct TermsWire {
    #[serde(deserialize_with = "nullable")]
    node_selector_terms: Vec<TermWire>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TermWire {
    #[serde(deserialize_with = "nullable")]
    match_expressions: Vec<NeedWire>,
    #[serde(deserialize_with = "nullable")]
    match_fields: Vec<NeedWire>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NeedWire {
    key: String,
    operator: String,
    #[serde(deserialize_with = "nullable")]
    values: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodAffinity {
    #[serde(deserialize_with = "nullable")]
    required_during_scheduling_ignored_during_execution: Vec<PodTermWire>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodTermWire {
    label_selector: Option<SelectorWire>,
    #[serde(deserialize_with = "nullable")]
    namespaces: Vec<String>,
    namespace_selector: Option<IgnoredAny>,
    topology_key: String,
    #[serde(deserialize_with = "nullable")]
    match_label_keys: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SpreadWire {
    max_skew: u32,
    topology_key: String,
    when_unsatisfiable: String,
    label_selector: Option<SelectorWire>,
    min_domains: Option<u32>,
    node_affinity_policy: Option<String>,
    node_taints_policy: Option<String>,
    #[serde(deserialize_with = "nullable")]
    match_label_keys: Vec<String>,
}

/// The rules of a pod, without its tolerations for what every pod tolerates.
pub(super) fn rules(
    tolerations: Vec<TolerationWire>,
    affinity: AffinityWire,
    spread: Vec<SpreadWire>,
    ports: Vec<String>,
    labels: &BTreeMap<String, String>,
) -> Option<Box<Rules>> {
    let hard = spread.into_iter().filter(|wire| wire.when_unsatisfiable == "DoNotSchedule");
    let rules = Rules {
        tolerations: tolerations.into_iter().filter_map(TolerationWire::read).collect(),
        node_terms: affinity
            .node_affinity
            .required_during_scheduling_ignored_during_execution
            .map(TermsWire::read),
        apart: affinity.pod_anti_affinity.read(labels),
        near: affinity.pod_affinity.read(labels),
        spread: hard.map(|wire| wire.read(labels)).collect(),
        ports,
    };
    (!rules.is_empty()).then(|| Box::new(rules))
}

impl TolerationWire {
    pub(super) fn covers_cordon(&self) -> bool {
        let is_exists = self.operator.as_deref() == Some("Exists");
        let has_key = match self.key.as_deref() {
            None | Some("") => is_exists,
            Some(key) => key == "node.kubernetes.io/unschedulable",
        };
        has_key && matches!(self.effect.as_deref(), None | Some("" | "NoSchedule"))
    }

    fn read(self) -> Option<Toleration> {
        let key = self.key.unwrap_or_default();
        let effect = self.effect.unwrap_or_default();
        if OF_EVERY_POD.contains(&key.as_str()) && effect == "NoExecute" {
            return None;
        }
        Some(Toleration {
            key: tidy(key),
            value: tidy(self.value.unwrap_or_default()),
            exists: self.operator.as_deref() == Some("Exists"),
            effect: tidy(effect),
        })
    }
}

impl TermsWire {
    pub(super) fn read(self) -> Vec<NodeTerm> {
        let needs = |wires: Vec<NeedWire>| wires.into_iter().map(NeedWire::read).collect::<Option<Vec<_>>>();
        self.node_selector_terms
            .into_iter()
            .map(|term| match (needs(term.match_expressions), needs(term.match_fields)) {
                (Some(expressions), Some(fields)) => NodeTerm { expressions, fields },
                // what cannot be read holds for no node
                _ => NodeTerm::default(),
            })
            .collect()
    }
}

impl NeedWire {
    fn read(self) -> Option<Requirement> {
        let operator = match self.operator.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            "Gt" => Operator::Gt,
            "Lt" => Operator::Lt,
            _ => return None,
        };
        Some(Requirement { key: tidy(self.key), operator, values: tidy_all(self.values) })
    }
}

impl PodAffinity {
    fn read(self, labels: &BTreeMap<String, String>) -> Vec<PodTerm> {
        self.required_during_scheduling_ignored_during_execution
            .into_iter()
            .map(|term| PodTerm {
                selector: joined(term.label_selector, term.match_label_keys, labels),
                namespaces: tidy_all(term.namespaces),
                everywhere: term.namespace_selector.is_some(),
                topology: tidy(term.topology_key),
            })
            .collect()
    }
}

impl SpreadWire {
    fn read(self, labels: &BTreeMap<String, String>) -> Spread {
        Spread {
            selector: joined(self.label_selector, self.match_label_keys, labels),
            topology: tidy(self.topology_key),
            skew: self.max_skew.max(1),
            least_places: self.min_domains.unwrap_or(1),
            honors_taints: self.node_taints_policy.as_deref() == Some("Honor"),
            ignores_affinity: self.node_affinity_policy.as_deref() == Some("Ignore"),
        }
    }
}

/// A selector joined with the pod's own values of some labels (`matchLabelKeys`).
fn joined(wire: Option<SelectorWire>, keys: Vec<String>, labels: &BTreeMap<String, String>) -> Selector {
    let mut selector = selector(wire);
    let own = keys.into_iter().filter_map(|key| labels.get_key_value(&key));
    selector.labels.extend(tidy_map(own.map(|(key, value)| (key.clone(), value.clone())).collect()));
    selector
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(tolerations: Value, affinity: Value, spread: Value) -> Option<Box<Rules>> {
        let labels = BTreeMap::from([("hash".to_owned(), "h1".to_owned())]);
        rules(
            serde_json::from_value(tolerations).unwrap(),
            serde_json::from_value(affinity).unwrap(),
            serde_json::from_value(spread).unwrap(),
            Vec::new(),
            &labels,
        )
    }

    #[test]
    fn a_pod_as_most_are_has_no_rules() {
        let usual = json!([
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
        ]);
        let soft = json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]);
        assert_eq!(read(usual, json!({"nodeAffinity": null}), soft), None);
    }

    #[test]
    fn rules_are_read_in_full() {
        let rules = read(
            json!([{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]),
            json!({
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["4"]}]},
                    {"matchExpressions": [{"key": "cores", "operator": "Unheard"}]}]}},
                "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                    {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname",
                     "matchLabelKeys": ["hash"]}]},
            }),
            json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": {}, "nodeTaintsPolicy": "Honor"}]),
        )
        .expect("rules");
        assert_eq!(rules.tolerations[0].key, "gpu");
        let terms = rules.node_terms.expect("terms");
        assert_eq!(terms[0].expressions[0].operator, Operator::Gt);
        assert_eq!(terms[1], NodeTerm::default(), "what cannot be read holds for no node");
        assert_eq!(rules.apart[0].selector.labels.len(), 2);
        assert!(!rules.apart[0].everywhere && rules.near.is_empty());
        assert!(rules.spread[0].honors_taints && rules.spread[0].least_places == 1);
    }
}
