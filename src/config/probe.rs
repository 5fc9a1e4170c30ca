//! `[[probe]]` and `[[component]]`: what is watched beside the steps of a run.

use super::Span;
use crate::domain::checklist::{ComponentSpec, Expected};
use crate::domain::probe::{Budget, Pace, ProbeSpec, Target, compare};
use crate::domain::selector;
use crate::domain::text::matches_glob;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// One probe, and the contexts (globs) that it is for; none = all.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ProbeTexts")]
pub struct ProbeConfig {
    /// The probe.
    pub spec: ProbeSpec,
    contexts: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProbeTexts {
    name: Option<String>,
    url: String,
    interval: Option<Span>,
    timeout: Option<Span>,
    count: Option<u32>,
    concurrency: Option<usize>,
    failed: Option<u8>,
    slow: Option<u8>,
    slow_after: Option<Span>,
    window: Option<Span>,
    ca: Option<PathBuf>,
    #[serde(default)]
    contexts: Vec<String>,
}

impl TryFrom<ProbeTexts> for ProbeConfig {
    type Error = String;

    fn try_from(texts: ProbeTexts) -> Result<Self, String> {
        let (pace, budget) = (Pace::default(), Budget::default());
        let target = Target::parse(&texts.url)?;
        let name = match texts.name {
            Some(name) if name.trim().is_empty() => return Err("a probe's name cannot be empty".to_owned()),
            Some(name) => crate::domain::text::clean(&name),
            None => target.host(),
        };
        let pace = Pace {
            interval: texts.interval.map_or(pace.interval, |span| span.0),
            timeout: texts.timeout.map_or(pace.timeout, |span| span.0),
            count: texts.count.unwrap_or(pace.count),
            concurrency: texts.concurrency.unwrap_or(pace.concurrency),
        };
        let budget = Budget {
            failed: texts.failed.unwrap_or(budget.failed),
            slow: texts.slow.unwrap_or(budget.slow),
            slow_after: texts.slow_after.map(|span| span.0),
            window: texts.window.map_or(budget.window, |span| span.0),
        };
        if pace.interval < compare::LEAST_INTERVAL || pace.timeout.is_zero() || budget.window.is_zero() {
            return Err(format!("probe {name}: interval is 50ms at least, timeout and window are not 0"));
        }
        if !(1..=100_000).contains(&pace.count) || !(1..=64).contains(&pace.concurrency) {
            return Err(format!("probe {name}: count is 1 to 100000, concurrency 1 to 64"));
        }
        if budget.failed > 100 || budget.slow > 100 {
            return Err(format!("probe {name}: failed and slow are percentages"));
        }
        let spec = ProbeSpec { name, target, pace, budget, ca: texts.ca, is_by_hand: false };
        Ok(Self { spec, contexts: texts.contexts })
    }
}

impl ProbeConfig {
    /// Makes the path of its authorities start at `base`.
    pub(super) fn resolve(&mut self, base: &Path) {
        self.spec.ca.iter_mut().for_each(|path| *path = super::places::resolve(path, base));
    }

    /// Whether it is for a context.
    pub(super) fn is_for(&self, context: &str) -> bool {
        is_for(&self.contexts, context)
    }
}

fn is_for(contexts: &[String], context: &str) -> bool {
    contexts.is_empty() || contexts.iter().any(|pattern| matches_glob(pattern, context))
}

/// One component of the checklist, and the contexts (globs) that it is for; none = all.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ComponentTexts")]
pub struct ComponentConfig {
    /// The component.
    pub spec: ComponentSpec,
    contexts: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ComponentTexts {
    name: String,
    #[serde(default)]
    namespace: Option<String>,
    selector: String,
    expected: Many,
    #[serde(default)]
    contexts: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Many {
    Count(usize),
    Word(String),
}

impl TryFrom<ComponentTexts> for ComponentConfig {
    type Error = String;

    fn try_from(texts: ComponentTexts) -> Result<Self, String> {
        let name = texts.name;
        let selector = selector::parse(&texts.selector)
            .map_err(|why| format!("component {name}: the selector cannot be read: {why}"))?;
        let expected = match texts.expected {
            Many::Count(count) => Expected::Count(count),
            Many::Word(word) if word == "nodes" => Expected::Nodes,
            Many::Word(word) if word == "control-plane" => Expected::ControlPlanes,
            Many::Word(_) => {
                return Err(format!(
                    "component {name}: expected is \"nodes\", \"control-plane\" or a number"
                ));
            }
        };
        let namespace = texts.namespace.unwrap_or_else(|| "kube-system".to_owned());
        Ok(Self { spec: ComponentSpec { name, namespace, selector, expected }, contexts: texts.contexts })
    }
}

impl ComponentConfig {
    /// Whether it is for a context.
    pub(super) fn is_for(&self, context: &str) -> bool {
        is_for(&self.contexts, context)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, parse};
    use crate::domain::checklist::Expected;
    use std::path::Path;
    use std::time::Duration;

    fn config(text: &str) -> Result<Config, String> {
        parse(text, Path::new("/etc/pitstop/config.toml")).map_err(|report| report.message)
    }

    #[test]
    fn probes_and_components_are_those_of_the_file_and_of_the_context() {
        let config = config(
            "[[probe]]\nurl = \"http://web/x?token=topsecret\"\nca = \"ca.pem\"\n\
             [[probe]]\nname = \"east only\"\nurl = \"tcp://db:5432\"\ncontexts = [\"east*\"]\ninterval = \"2s\"\n\
             [[component]]\nname = \"gateway\"\nnamespace = \"edge\"\nselector = \"app=gateway\"\nexpected = 3\n\
             [[cluster.west.probe]]\nurl = \"dns://example.org\"\n\
             [[cluster.west.component]]\nname = \"agent\"\nselector = \"app=agent\"\nexpected = \"nodes\"\n",
        )
        .expect("a configuration");
        let names = |context: &str| -> Vec<String> {
            config.probes(context).into_iter().map(|spec| spec.name).collect()
        };
        assert_eq!(names("east-1"), ["web", "east only"]);
        assert_eq!(names("west"), ["web", "example.org"]);
        assert_eq!(config.probes("east-1")[1].pace.interval, Duration::from_secs(2));
        assert_eq!(config.probes("x")[0].ca.as_deref(), Some(Path::new("/etc/pitstop/ca.pem")));
        let components = config.components("west");
        assert_eq!(components[0].expected, Expected::Count(3));
        assert_eq!(
            (components[1].namespace.as_str(), components[1].expected),
            ("kube-system", Expected::Nodes)
        );
        assert!(!format!("{config:?}").contains("topsecret"));
    }

    #[test]
    fn what_is_wrong_is_named_and_no_address_is_shown() {
        for (text, words) in [
            ("[[probe]]\nurl = \"ftp://topsecret\"\n", "a probe is http://"),
            ("[[probe]]\nurl = \"http://w\"\ninterval = \"1ms\"\n", "interval is 50ms at least"),
            ("[[probe]]\nurl = \"http://w\"\nfailed = 101\n", "percentages"),
            ("[[probe]]\nurl = \"http://w\"\nfailled = 1\n", "unknown field `failled`"),
            (
                "[[component]]\nname = \"x\"\nselector = \"a=b\"\nexpected = \"all\"\n",
                "\"nodes\", \"control-plane\"",
            ),
            (
                "[[component]]\nname = \"x\"\nselector = \"a in b\"\nexpected = 1\n",
                "the selector cannot be read",
            ),
        ] {
            let why = config(text).expect_err(text);
            assert!(why.contains(words) && !why.contains("topsecret"), "{why}");
        }
    }
}
