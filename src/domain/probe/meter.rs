//! Counts the answers of one probe: a baseline, a sliding window, and the whole run in a histogram of fixed size.

use super::compare::{self, Verdict};
use super::scale::{Scale, micros};
use super::{Bar, Digest, ProbeSpec, Reading, Sample};
use crate::domain::time::Stamp;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// No window holds more answers; older ones go.
const MOST: usize = 4096;
/// So many sorts of failures are told apart.
const SORTS: usize = 32;

/// One probe's count.
#[derive(Debug, Clone)]
pub struct Meter {
    spec: ProbeSpec,
    baseline: Option<Digest>,
    first: Tally,
    whole: Tally,
    window: VecDeque<Sample>,
    /// The second that is under way, and the last full one.
    bars: (Option<Bar>, Option<Bar>),
}

/// Answers added up without being kept.
#[derive(Debug, Clone, Default)]
struct Tally {
    scale: Scale,
    total: u64,
    failed: u64,
    slow: u64,
    span: Option<(Stamp, Stamp)>,
    whys: BTreeMap<String, u64>,
}

impl Tally {
    fn add(&mut self, sample: &Sample, slow: Option<u64>) {
        self.total += 1;
        let (from, to) = self.span.unwrap_or((sample.at, sample.at));
        self.span = Some((from.min(sample.at), to.max(sample.at)));
        match &sample.failure {
            None => {
                self.scale.add(sample.took);
                self.slow += u64::from(is_slow(sample, slow));
            }
            Some(why) => {
                self.failed += 1;
                if self.whys.len() < SORTS || self.whys.contains_key(why) {
                    *self.whys.entry(why.clone()).or_default() += 1;
                }
            }
        }
    }

    fn digest(&self) -> Digest {
        let span = self.span.map_or(Duration::ZERO, |(from, to)| to.since(from));
        Digest {
            total: self.total,
            failed: self.failed,
            slow: self.slow,
            span_ms: u64::try_from(span.as_millis()).unwrap_or(u64::MAX),
            p50_us: self.scale.percentile(50),
            p95_us: self.scale.percentile(95),
            p99_us: self.scale.percentile(99),
            why: self.whys.iter().max_by_key(|(_, times)| **times).map(|(why, _)| why.clone()),
        }
    }
}

fn is_slow(sample: &Sample, limit: Option<u64>) -> bool {
    sample.failure.is_none() && limit.is_some_and(|limit| micros(sample.took) > limit)
}

impl Meter {
    /// Before the baseline.
    pub fn new(spec: ProbeSpec) -> Self {
        Self {
            spec,
            baseline: None,
            first: Tally::default(),
            whole: Tally::default(),
            window: VecDeque::new(),
            bars: (None, None),
        }
    }

    /// The probe.
    pub fn spec(&self) -> &ProbeSpec {
        &self.spec
    }

    /// The baseline, once it is taken.
    pub fn baseline(&self) -> Option<&Digest> {
        self.baseline.as_ref()
    }

    /// A baseline that was taken earlier (by another process of the same run).
    pub fn based_on(&mut self, baseline: Digest) {
        self.baseline = Some(baseline);
    }

    /// The baseline is complete, or as complete as it gets.
    pub fn settle_baseline(&mut self) {
        if self.baseline.is_none() {
            self.baseline = Some(self.first.digest());
        }
    }

    /// Counts an answer: for the baseline until that is settled.
    pub fn add(&mut self, sample: Sample) {
        self.draw(&sample);
        let Some(baseline) = &self.baseline else { return self.first.add(&sample, None) };
        let limit = compare::slow_limit(&self.spec.budget, baseline);
        self.whole.add(&sample, limit);
        if self.window.len() >= MOST {
            self.window.pop_front();
        }
        self.window.push_back(sample);
    }

    fn draw(&mut self, sample: &Sample) {
        let wide = self.spec.pace.interval.max(Duration::from_secs(1));
        let wide = i64::try_from(wide.as_millis()).unwrap_or(1000);
        let at = Stamp(sample.at.0.div_euclid(wide) * wide);
        let mut bar = match self.bars.0.take() {
            Some(bar) if bar.at >= at => bar,
            before => {
                self.bars.1 = before.or(self.bars.1);
                Bar { at, ..Bar::default() }
            }
        };
        bar.total += 1;
        match sample.failure {
            Some(_) => bar.failed += 1,
            None => bar.slowest_us = bar.slowest_us.max(Some(micros(sample.took))),
        }
        self.bars.0 = Some(bar);
    }

    /// The answers of the last seconds, added up.
    fn recent(&self, now: Stamp) -> Digest {
        let baseline = self.baseline.as_ref();
        let limit = baseline.and_then(|baseline| compare::slow_limit(&self.spec.budget, baseline));
        let span = self.spec.window();
        let mut tally = Tally::default();
        self.window.iter().filter(|sample| now.since(sample.at) < span).for_each(|one| tally.add(one, limit));
        tally.digest()
    }

    /// How it is doing now.
    pub fn reading(&mut self, now: Stamp) -> Reading {
        let span = self.spec.window();
        while self.window.front().is_some_and(|sample| now.since(sample.at) >= span) {
            self.window.pop_front();
        }
        let recent = self.recent(now);
        let (verdict, words) = if let Some(baseline) = &self.baseline {
            compare::recent(&self.spec, baseline, &recent)
        } else {
            let words = format!("baseline: {} of {} answers", self.first.total, self.spec.pace.count);
            (Verdict::Measuring, words)
        };
        self.read(recent, verdict, words)
    }

    /// How it did over the whole run.
    pub fn account(&self, now: Stamp) -> Reading {
        let (verdict, words) = match &self.baseline {
            Some(baseline) => compare::whole(&self.spec, baseline, &self.whole.digest()),
            None => (Verdict::Measuring, "the baseline was not taken".to_owned()),
        };
        self.read(self.recent(now), verdict, words)
    }

    fn read(&self, recent: Digest, verdict: Verdict, words: String) -> Reading {
        Reading {
            name: self.spec.name.clone(),
            target: self.spec.target.shown(),
            baseline: self.baseline.clone(),
            recent,
            window_ms: u64::try_from(self.spec.window().as_millis()).unwrap_or(u64::MAX),
            whole: self.whole.digest(),
            bar: self.bars.1,
            verdict,
            words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::probe::Target;

    fn meter() -> Meter {
        Meter::new(ProbeSpec::new(Target::parse("http://web/x?token=1").expect("a target")))
    }

    fn sample(ms: i64, took_ms: u64, failure: Option<&str>) -> Sample {
        Sample { at: Stamp(ms), took: Duration::from_millis(took_ms), failure: failure.map(str::to_owned) }
    }

    fn based() -> Meter {
        let mut meter = meter();
        (0..100).for_each(|at| meter.add(sample(at * 10, 20, None)));
        meter.settle_baseline();
        meter
    }

    #[test]
    fn a_baseline_then_a_window_that_slides() {
        let mut meter = meter();
        meter.add(sample(0, 20, None));
        assert_eq!(meter.reading(Stamp(0)).words, "baseline: 1 of 100 answers");
        let mut meter = based();
        assert_eq!(meter.baseline().map(|one| (one.total, one.failed)), Some((100, 0)));
        for at in 0..20 {
            meter.add(sample(1_000 + at * 500, 21, (at >= 17).then_some("connection refused")));
        }
        let reading = meter.reading(Stamp(10_600));
        assert_eq!((reading.verdict, reading.target.as_str()), (Verdict::Spent, "http://web/x?…"));
        assert_eq!(reading.words, "3 of 20 failed in the last 10s: connection refused");
        // the failures have left the window
        (0..20).for_each(|at| meter.add(sample(11_000 + at * 500, 21, None)));
        assert_eq!(meter.reading(Stamp(20_600)).verdict, Verdict::AsBaseline);
        assert_eq!(meter.account(Stamp(20_600)).whole.failed, 3);
    }

    #[test]
    fn the_bar_is_that_of_the_last_full_second() {
        let mut meter = based();
        meter.add(sample(5_000, 10, None));
        meter.add(sample(5_500, 30, Some("x")));
        assert_ne!(meter.reading(Stamp(5_600)).bar.map(|bar| bar.at), Some(Stamp(5_000)));
        meter.add(sample(6_100, 30, None));
        let bar = meter.reading(Stamp(6_200)).bar.expect("a bar");
        assert_eq!((bar.at, bar.total, bar.failed, bar.slowest_us), (Stamp(5_000), 2, 1, Some(10_000)));
    }

    #[test]
    fn nothing_answered_lately_is_said_and_spends_nothing() {
        let mut meter = based();
        meter.add(sample(1_000, 20, None));
        assert_eq!(meter.reading(Stamp(60_000)).verdict, Verdict::Early);
    }
}
