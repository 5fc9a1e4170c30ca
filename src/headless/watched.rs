//! Lines about probes and components: the baseline, a change for better or worse, the end.

use super::text::time;
use crate::domain::checklist::{Component, summary, worse};
use crate::domain::probe::{Moment, Reading, Verdict, compare};
use crate::domain::time::Stamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// The same probe is told of at most this often.
const QUIET: Duration = Duration::from_secs(5);

/// How often it is written, as JSON, how the probes are doing.
const EVERY: Duration = Duration::from_secs(10);

/// Remembers what was told of each probe.
#[derive(Debug, Default)]
pub(super) struct Teller {
    told: BTreeMap<String, (Verdict, Stamp)>,
    written: Option<Stamp>,
}

impl Teller {
    /// Whether it is written now as JSON. Whatever is judged otherwise has an event of its own.
    pub(super) fn is_due(&mut self, at: Stamp) -> bool {
        let is_due = self.written.is_none_or(|last| at.since(last) >= EVERY);
        self.written = if is_due { Some(at) } else { self.written };
        is_due
    }

    /// How the probes are doing: told when it is another judgement than the last one.
    pub(super) fn probed(&mut self, at: Stamp, probes: &[Reading]) -> Vec<String> {
        let mut lines = Vec::new();
        for probe in probes {
            let is_news = match self.told.get(&probe.name) {
                Some((verdict, then)) => *verdict != probe.verdict && at.since(*then) >= QUIET,
                None => true,
            };
            let is_early = matches!(probe.verdict, Verdict::Measuring | Verdict::Early);
            if is_news && !is_early {
                self.told.insert(probe.name.clone(), (probe.verdict, at));
                let mark = if probe.verdict.is_worse() { "! " } else { "" };
                lines.push(format!("{} {mark}{}", time(at), probe.line()));
            }
        }
        lines
    }
}

/// The probes' account at a moment that counts.
pub(super) fn measured(at: Stamp, moment: Moment, probes: &[Reading]) -> Vec<String> {
    let line = |probe: &Reading| match (moment, &probe.baseline) {
        (Moment::Baseline, Some(digest)) => Some(format!(
            "{} probe {} ({}): baseline of {}",
            time(at),
            probe.name,
            probe.target,
            compare::baseline(digest)
        )),
        (Moment::Baseline, None) => Some(format!("{} {}", time(at), probe.line())),
        (Moment::End, _) => {
            let mark = if probe.verdict.is_worse() { "! " } else { "" };
            Some(format!("{} {mark}{}", time(at), probe.line()))
        }
        // why the run is held says it
        (Moment::Spent | Moment::Recovered, _) => None,
    };
    probes.iter().filter_map(line).collect()
}

/// The checklist: in a line before the maintenance, one by one after it.
pub(super) fn counted(head: &str, components: &[Component]) -> Vec<String> {
    if components.iter().all(|one| one.before.is_none()) {
        return vec![format!("{head}{}", summary(components))];
    }
    let worse = worse(components);
    components
        .iter()
        .map(Component::words)
        .map(|words| format!("{head}{}{words}", if worse.contains(&words) { "! " } else { "" }))
        .collect()
}
