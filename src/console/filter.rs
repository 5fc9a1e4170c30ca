//! Filters as typed: words that must all be found, `!word` that must not, `key:value` for what the row knows by name.

/// A filter, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    negated: bool,
    key: Option<String>,
    word: String,
}

impl Filter {
    /// Takes a text apart. `keys` are the names that may stand before a colon; any other colon is part of the word.
    pub fn parse(text: &str, keys: &[&str]) -> Self {
        let terms = text.split_whitespace().filter_map(|raw| {
            let (negated, raw) = raw.strip_prefix('!').map_or((false, raw), |rest| (true, rest));
            let (key, word) = match raw.split_once(':') {
                Some((key, word)) if keys.contains(&key) => (Some(key.to_owned()), word),
                _ => (None, raw),
            };
            (!word.is_empty()).then(|| Term { negated, key, word: word.to_lowercase() })
        });
        Self { terms: terms.collect() }
    }

    /// Whether every row passes.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether a row passes: `text` is what free words are looked for in, `named` answers for a key (lower case not
    /// needed).
    pub fn passes(&self, text: impl FnOnce() -> String, named: impl Fn(&str) -> Vec<String>) -> bool {
        if self.terms.is_empty() {
            return true;
        }
        let text = text().to_lowercase();
        self.terms.iter().all(|term| {
            let found = match &term.key {
                None => text.contains(&term.word),
                Some(key) => named(key).iter().any(|value| value.to_lowercase() == term.word),
            };
            found != term.negated
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(filter: &str, text: &str) -> bool {
        Filter::parse(filter, &["node"]).passes(
            || text.to_owned(),
            |key| if key == "node" { vec!["CP-1".to_owned()] } else { Vec::new() },
        )
    }

    #[test]
    fn every_word_must_be_found_and_negated_ones_not() {
        assert!(passes("", "x") && passes("WORK 1", "worker-1") && !passes("work 2", "worker-1"));
        assert!(passes("!drain", "cordon") && !passes("!cord", "cordon"));
    }

    #[test]
    fn a_known_key_compares_the_whole_value() {
        assert!(passes("node:cp-1", "") && !passes("node:cp", "") && passes("!node:cp-2", ""));
        assert!(passes("team:web", "team:web/pdb"), "an unknown key is an ordinary word");
        assert!(passes("node:", "anything"), "a key without a value is being typed");
    }
}
