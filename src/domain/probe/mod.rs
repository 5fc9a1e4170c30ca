//! Probes: questions that are asked of an application all through a run, and what their answers say about it.
//!
//! A baseline is taken before anything is touched. Then the probe goes on at a steady pace; the answers of the last
//! seconds are held against the baseline, and an error budget says when the run may not go on by itself.
//! [`meter`] counts, [`compare`] judges, both pure.

pub mod compare;
pub mod meter;
mod scale;
mod suggest;
mod target;

pub use compare::Verdict;
pub use meter::Meter;
pub use suggest::{Suggestion, longer};
pub use target::Target;

use super::time::{Stamp, brief};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// How often and how long a probe asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// From one question to the next, in the course of a run.
    pub interval: Duration,
    /// An answer that takes longer is a failure.
    pub timeout: Duration,
    /// Questions of the baseline.
    pub count: u32,
    /// So many of them are under way at the same time.
    pub concurrency: usize,
}

impl Default for Pace {
    fn default() -> Self {
        let quarter = Duration::from_millis(250);
        Self { interval: quarter, timeout: Duration::from_secs(2), count: 100, concurrency: 2 }
    }
}

/// How much may go wrong before a run does not go on by itself any more: shares of the answers in a sliding window,
/// on top of what went wrong in the baseline already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Percent of the answers that may fail.
    pub failed: u8,
    /// Percent of the answers that may fail or be slow.
    pub slow: u8,
    /// An answer is slow after this time; `None` = after three times the baseline's 95th percentile, and at least 50 ms
    /// more than that.
    pub slow_after: Option<Duration>,
    /// How far back is looked; stretched so that at least [`LEAST_WINDOW`] questions fit in.
    pub window: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self { failed: 10, slow: 30, slow_after: None, window: Duration::from_secs(10) }
    }
}

/// So many questions are in a window at least, whatever the interval.
pub const LEAST_WINDOW: u32 = 20;

/// A probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeSpec {
    /// Its name, unique in a run.
    pub name: String,
    /// What is asked.
    pub target: Target,
    /// How often.
    pub pace: Pace,
    /// What may go wrong.
    pub budget: Budget,
    /// A PEM file of the authorities to trust instead of the machine's own, for `https://`.
    pub ca: Option<PathBuf>,
    /// Given by its address on the command line, and not configured: the journal of a run keeps the address, so that whoever
    /// goes on with the run asks it too.
    pub is_by_hand: bool,
}

impl ProbeSpec {
    /// A probe given by hand: with the usual pace and budget, named after its target.
    pub fn new(target: Target) -> Self {
        let (name, pace, budget) = (target.host(), Pace::default(), Budget::default());
        Self { name, target, pace, budget, ca: None, is_by_hand: true }
    }

    /// How far back its window reaches.
    pub fn window(&self) -> Duration {
        self.budget.window.max(self.pace.interval * LEAST_WINDOW)
    }
}

/// Gives probes of the same name numbers: `web`, `web (2)`.
pub fn named_apart(mut specs: Vec<ProbeSpec>) -> Vec<ProbeSpec> {
    for at in 1..specs.len() {
        let (before, rest) = specs.split_at_mut(at);
        let same = |name: &str| before.iter().any(|known| known.name == name);
        if !same(&rest[0].name) {
            continue;
        }
        // one more number than there are probes before it is enough
        let free = (2..=at + 2).map(|number| format!("{} ({number})", rest[0].name)).find(|name| !same(name));
        rest[0].name = free.unwrap_or_default();
    }
    specs
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When it came, or was given up.
    pub at: Stamp,
    /// How long it took.
    pub took: Duration,
    /// Why it failed, in a few words without anything that changes from one failure to the next; `None` = it is good.
    pub failure: Option<String>,
}

/// Answers, added up. Times are microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Answers, failures included.
    pub total: u64,
    /// Of these, failures.
    pub failed: u64,
    /// Good ones that were slow.
    #[serde(default)]
    pub slow: u64,
    /// From the first to the last, in milliseconds.
    pub span_ms: u64,
    /// Half of the good answers were at least as fast; `None` = there was no good one.
    pub p50_us: Option<u64>,
    /// 95 of 100 were.
    pub p95_us: Option<u64>,
    /// 99 of 100 were.
    pub p99_us: Option<u64>,
    /// The most frequent failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Digest {
    /// `p50 12 ms, p95 41 ms, p99 80 ms`.
    pub fn latencies(&self) -> String {
        let one = |name: &str, us: Option<u64>| us.map(|us| format!("{name} {}", millis(us)));
        let parts = [one("p50", self.p50_us), one("p95", self.p95_us), one("p99", self.p99_us)];
        let words: Vec<String> = parts.into_iter().flatten().collect();
        if words.is_empty() { "no good answer".to_owned() } else { words.join(", ") }
    }

    /// `0 failed`, `3 failed (connection refused)`.
    pub fn failures(&self) -> String {
        match &self.why {
            Some(why) if self.failed > 0 => format!("{} failed ({why})", self.failed),
            _ => format!("{} failed", self.failed),
        }
    }

    /// Answers a second, in words: `2.0/s`.
    pub fn rate(&self) -> String {
        let tenths = (self.total * 10_000).checked_div(self.span_ms).unwrap_or(0);
        format!("{}.{}/s", tenths / 10, tenths % 10)
    }
}

/// A time in microseconds as people read it: `0.4 ms`, `41 ms`, `1.3 s`.
pub fn millis(us: u64) -> String {
    match us {
        0..10_000 => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        10_000..1_000_000 => format!("{} ms", us / 1000),
        _ => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

/// The answers of one second (or of one interval, when that is longer), for a line of bars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar {
    /// Where it begins.
    pub at: Stamp,
    /// Answers.
    pub total: u32,
    /// Of these, failures.
    pub failed: u32,
    /// The slowest good answer, in microseconds.
    pub slowest_us: Option<u64>,
}

/// What one probe says at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The probe.
    pub name: String,
    /// What it asks, without a login and without what stands behind a `?`.
    pub target: String,
    /// Before anything was touched; `None` = still under way.
    pub baseline: Option<Digest>,
    /// The last seconds.
    pub recent: Digest,
    /// How many seconds that are, in milliseconds.
    pub window_ms: u64,
    /// All since the baseline.
    pub whole: Digest,
    /// The last full second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bar: Option<Bar>,
    /// How the last seconds are.
    pub verdict: Verdict,
    /// The same in words: `p95 41 ms, baseline 38 ms: as the baseline`.
    pub words: String,
}

impl Reading {
    /// Name and words in one line.
    pub fn line(&self) -> String {
        format!("probe {}: {}", self.name, self.words)
    }

    /// The judgement alone: `as the baseline`.
    pub fn judgement(&self) -> &str {
        self.words.split_once(':').map_or(self.words.as_str(), |(judgement, _)| judgement)
    }

    /// How far back the last seconds reach.
    pub fn window(&self) -> String {
        brief(Duration::from_millis(self.window_ms))
    }
}

/// When the probes' account was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// Before anything was touched.
    Baseline,
    /// The error budget of one of them is spent.
    Spent,
    /// It is not spent any more.
    Recovered,
    /// At the end.
    End,
}

impl Moment {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Spent => "error budget spent",
            Self::Recovered => "recovered",
            Self::End => "at the end",
        }
    }
}

/// So many bars are kept for the screen.
pub const BARS: usize = 60;

/// What is shown of a probe: its last reading, and the bars of the last minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The last reading.
    pub reading: Reading,
    /// The oldest first.
    pub bars: Vec<Bar>,
}

/// Takes new readings over into what is shown.
pub fn show(shown: &mut Vec<Shown>, readings: &[Reading]) {
    for reading in readings {
        let at = shown.iter().position(|known| known.reading.name == reading.name);
        let at = at.unwrap_or_else(|| {
            shown.push(Shown { reading: reading.clone(), bars: Vec::new() });
            shown.len() - 1
        });
        let known = &mut shown[at];
        known.reading.clone_from(reading);
        let Some(bar) = reading.bar else { continue };
        if known.bars.last().is_none_or(|last| last.at < bar.at) {
            known.bars.push(bar);
        }
        let old = known.bars.len().saturating_sub(BARS);
        known.bars.drain(..old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_at_a_glance() {
        let words: Vec<String> = [0, 450, 9_999, 41_234, 1_340_000].into_iter().map(millis).collect();
        assert_eq!(words, ["0.0 ms", "0.4 ms", "9.9 ms", "41 ms", "1.3 s"]);
    }

    #[test]
    fn probes_of_one_name_are_told_apart() {
        let spec = |url: &str| ProbeSpec::new(Target::parse(url).expect("a target"));
        let specs =
            vec![spec("http://web/a"), spec("http://web/b"), spec("tcp://db:1"), spec("http://web/c")];
        let names: Vec<String> = named_apart(specs).into_iter().map(|spec| spec.name).collect();
        assert_eq!(names, ["web", "web (2)", "db:1", "web (3)"]);
    }

    #[test]
    fn a_window_holds_enough_questions_to_judge() {
        let mut spec = ProbeSpec::new(Target::parse("http://web").expect("a target"));
        assert_eq!(spec.window(), Duration::from_secs(10));
        spec.pace.interval = Duration::from_secs(5);
        assert_eq!(spec.window(), Duration::from_secs(100));
    }
}
