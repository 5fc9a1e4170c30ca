//! Label selectors as the API server evaluates them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `matchExpressions` operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// The value is one of.
    In,
    /// The label is absent or its value is none of.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// Label key.
    pub key: String,
    /// Operator.
    pub operator: Operator,
    /// Values of `In` and `NotIn`.
    #[serde(default)]
    pub values: Vec<String>,
}

/// A `LabelSelector`. A missing selector matches nothing, an empty one everything (policy/v1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    /// No selector at all: matches nothing.
    #[serde(default)]
    pub absent: bool,
    /// `matchLabels`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `matchExpressions`.
    #[serde(default)]
    pub expressions: Vec<Requirement>,
}

impl Selector {
    /// Whether labels satisfy every requirement.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        if self.absent {
            return false;
        }
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.expressions.iter().all(|need| {
                let have = labels.get(&need.key);
                match need.operator {
                    Operator::In => have.is_some_and(|value| need.values.contains(value)),
                    Operator::NotIn => have.is_none_or(|value| !need.values.contains(value)),
                    Operator::Exists => have.is_some(),
                    Operator::DoesNotExist => have.is_none(),
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_matches_nothing_and_empty_everything() {
        let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        assert!(!Selector { absent: true, ..Selector::default() }.matches(&labels));
        assert!(Selector::default().matches(&labels));
        assert!(Selector::default().matches(&BTreeMap::new()));
    }

    #[test]
    fn not_in_accepts_a_missing_label() {
        let need = |operator| Selector {
            expressions: vec![Requirement { key: "tier".into(), operator, values: vec!["db".into()] }],
            ..Selector::default()
        };
        assert!(need(Operator::NotIn).matches(&BTreeMap::new()));
        assert!(!need(Operator::In).matches(&BTreeMap::new()));
        assert!(!need(Operator::Exists).matches(&BTreeMap::new()));
        assert!(need(Operator::DoesNotExist).matches(&BTreeMap::new()));
    }
}
