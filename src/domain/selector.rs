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
    /// The label is a greater number than the one value (only of nodes).
    Gt,
    /// The label is a smaller number than the one value (only of nodes).
    Lt,
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
            && self.expressions.iter().all(|need| need.holds(labels))
    }
}

impl Requirement {
    /// Whether labels satisfy it.
    pub fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let have = labels.get(&self.key);
        let number = |text: &String| text.parse::<i64>().ok();
        let both = || have.and_then(number).zip(self.values.first().and_then(number));
        match self.operator {
            Operator::In => have.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => have.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => have.is_some(),
            Operator::DoesNotExist => have.is_none(),
            Operator::Gt => both().is_some_and(|(have, limit)| have > limit),
            Operator::Lt => both().is_some_and(|(have, limit)| have < limit),
        }
    }
}

/// Reads a selector as typed on a command line (`app=web,tier!=db,zone in (a,b),!legacy`), with the grammar of
/// apimachinery's `labels.Parse` except its numeric comparisons.
///
/// # Errors
/// One sentence about the first part that cannot be read.
pub fn parse(text: &str) -> Result<Selector, String> {
    let mut selector = Selector::default();
    for part in split(text) {
        let part = part.trim();
        if part.is_empty() {
            return if text.trim().is_empty() {
                Ok(selector)
            } else {
                Err(format!("selector \"{text}\" has an empty part"))
            };
        }
        selector.expressions.push(requirement(part)?);
    }
    Ok(selector)
}

/// Splits at commas that are not inside parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_i32, 0);
    for (at, ch) in text.char_indices() {
        match ch {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth <= 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn requirement(part: &str) -> Result<Requirement, String> {
    let need = |key: &str, operator, values: Vec<String>| {
        let key = key.trim();
        let is_key = |ch: char| ch.is_ascii_alphanumeric() || "-_./".contains(ch);
        if key.is_empty() || !key.chars().all(is_key) {
            return Err(format!("\"{part}\" is not a label selector"));
        }
        Ok(Requirement { key: key.to_owned(), operator, values })
    };
    if let Some((key, values)) = part.split_once('(') {
        let Some(values) = values.trim_end().strip_suffix(')') else {
            return Err(format!("\"{part}\" lacks a closing parenthesis"));
        };
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        let key = key.trim_end();
        return match key.rsplit_once(char::is_whitespace) {
            Some((key, "in")) => need(key, Operator::In, values),
            Some((key, "notin")) => need(key, Operator::NotIn, values),
            _ => Err(format!("\"{part}\" has neither \"in\" nor \"notin\" before the parenthesis")),
        };
    }
    if let Some((key, value)) = part.split_once("!=") {
        return need(key, Operator::NotIn, vec![value.trim().to_owned()]);
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return need(key, Operator::In, vec![value.trim().to_owned()]);
    }
    match part.strip_prefix('!') {
        Some(key) => need(key, Operator::DoesNotExist, Vec::new()),
        None => need(part, Operator::Exists, Vec::new()),
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

    #[test]
    fn typed_selectors_are_read_as_kubectl_reads_them() {
        let labels =
            BTreeMap::from([("app".to_owned(), "web".to_owned()), ("zone".to_owned(), "b".to_owned())]);
        let cases = [
            ("", true),
            ("app=web", true),
            ("app==web,zone=b", true),
            ("app=web,zone=a", false),
            ("app!=web", false),
            ("tier!=db", true),
            ("zone in (a, b),app", true),
            ("zone notin (a,b)", false),
            ("!legacy", true),
            ("!app", false),
            ("app=", false),
        ];
        for (text, matches) in cases {
            assert_eq!(parse(text).map(|selector| selector.matches(&labels)), Ok(matches), "{text}");
        }
        for text in ["=x", "a b", "zone in (a", "zone on (a)", "app,,zone", ",", "a>5"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
