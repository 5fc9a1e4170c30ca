//! How answers are held against a baseline. Every threshold stands here, with the least number of answers that it needs:
//! two answers out of the ordinary say nothing.

use super::{Budget, Digest, ProbeSpec, millis};
use crate::domain::time::brief;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A window with fewer answers spends no budget.
pub const LEAST_ANSWERS: u64 = 10;
/// Fewer failures in a window spend no budget.
pub const LEAST_FAILED: u64 = 3;
/// Fewer failed or slow answers in a window spend no budget.
pub const LEAST_SLOW: u64 = 5;
/// Percentiles of fewer answers are not compared: the 95th percentile of 20 is the second slowest.
pub const LEAST_COMPARED: u64 = 20;
/// A 95th percentile of more than this much of the baseline's, in percent, is slower,
const SLOWER: u64 = 150;
/// when it is also slower by this much at least, in microseconds.
const SLOWER_BY: u64 = 25_000;
/// A single answer is slow after three times the baseline's 95th percentile, and at least this much more, in microseconds.
const SLOW_BY: u64 = 50_000;

/// How a probe is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The baseline is being taken.
    Measuring,
    /// Too few answers to say anything.
    Early,
    /// As the baseline, or better.
    AsBaseline,
    /// Slower than the baseline, within the budget.
    Slower,
    /// More failures than in the baseline, within the budget.
    Failing,
    /// It failed before anything was touched, and still does: nothing can be told from it.
    FailedBefore,
    /// The error budget is spent.
    Spent,
}

impl Verdict {
    /// Whether there is something to look at.
    pub fn is_worse(self) -> bool {
        matches!(self, Self::Slower | Self::Failing | Self::Spent)
    }

    /// Worse ones are larger.
    pub fn urgency(self) -> u8 {
        match self {
            Self::AsBaseline => 0,
            Self::Early => 1,
            Self::Measuring => 2,
            Self::Slower => 3,
            Self::FailedBefore => 4,
            Self::Failing => 5,
            Self::Spent => 6,
        }
    }
}

/// After how many microseconds an answer is slow; `None` = the baseline had no good answer to tell.
pub fn slow_limit(budget: &Budget, baseline: &Digest) -> Option<u64> {
    let given = budget.slow_after.map(|span| u64::try_from(span.as_micros()).unwrap_or(u64::MAX));
    given.or_else(|| baseline.p95_us.map(|p95| (p95 * 3).max(p95 + SLOW_BY)))
}

/// Whether `part` of `total` is more than the baseline's share and `percent` on top.
fn exceeds(part: u64, total: u64, before: (u64, u64), percent: u8) -> bool {
    let (part_before, total_before) = (u128::from(before.0), u128::from(before.1.max(1)));
    let (part, total) = (u128::from(part), u128::from(total.max(1)));
    // part / total > part_before / total_before + percent / 100
    part * 100 * total_before > (part_before * 100 + u128::from(percent) * total_before) * total
}

/// Whether most of the baseline failed: what fails as much later is no news.
pub fn is_unfit(baseline: &Digest) -> bool {
    baseline.failed * 2 >= baseline.total
}

/// Why the error budget is spent, in words; `None` = it is not.
fn spent(spec: &ProbeSpec, baseline: &Digest, recent: &Digest, span: &str) -> Option<String> {
    if recent.total < LEAST_ANSWERS {
        return None;
    }
    let failed_before = (baseline.failed, baseline.total);
    if recent.failed >= LEAST_FAILED
        && exceeds(recent.failed, recent.total, failed_before, spec.budget.failed)
    {
        return Some(failing(baseline, recent, span));
    }
    let bad = recent.failed + recent.slow;
    let bad_before = (baseline.failed + baseline.slow, baseline.total);
    if bad >= LEAST_SLOW && exceeds(bad, recent.total, bad_before, spec.budget.slow) {
        let limit = slow_limit(&spec.budget, baseline)
            .map_or_else(String::new, |us| format!("over {}, ", millis(us)));
        let p95 =
            baseline.p95_us.map_or_else(|| "no good answer".to_owned(), |us| format!("p95 {}", millis(us)));
        let also = if recent.failed > 0 { format!(", {}", recent.failures()) } else { String::new() };
        return Some(format!(
            "{} of {} were slow in the last {span} ({limit}baseline {p95}){also}",
            recent.slow, recent.total
        ));
    }
    None
}

fn failing(baseline: &Digest, recent: &Digest, span: &str) -> String {
    let why = recent.why.as_deref().unwrap_or("no answer");
    let before = match baseline.failed {
        0 => String::new(),
        failed => format!("; {failed} of {} in the baseline", baseline.total),
    };
    format!("{} of {} failed in the last {span}: {why}{before}", recent.failed, recent.total)
}

/// The last seconds against the baseline.
pub fn recent(spec: &ProbeSpec, baseline: &Digest, recent: &Digest) -> (Verdict, String) {
    let span = brief(spec.window());
    if let Some(words) = spent(spec, baseline, recent, &span) {
        return (Verdict::Spent, words);
    }
    if recent.total < LEAST_ANSWERS {
        let answers =
            crate::domain::text::count(usize::try_from(recent.total).unwrap_or(usize::MAX), "answer");
        return (Verdict::Early, format!("{answers} so far, baseline {}", figures(baseline)));
    }
    if is_unfit(baseline) && recent.failed > 0 {
        return (Verdict::FailedBefore, failing(baseline, recent, &span));
    }
    if recent.failed > 0 && exceeds(recent.failed, recent.total, (baseline.failed, baseline.total), 0) {
        return (Verdict::Failing, failing(baseline, recent, &span));
    }
    latency(baseline, recent)
}

/// All answers against the baseline, at the end of a run. A few good answers are as the baseline when none of them was slow;
/// from a few that are not nothing can be told.
pub fn whole(spec: &ProbeSpec, baseline: &Digest, whole: &Digest) -> (Verdict, String) {
    let head = format!(
        "{} asked, {}, {}; baseline of {}: {}, {}",
        whole.total,
        whole.failures(),
        whole.latencies(),
        baseline.total,
        baseline.failures(),
        baseline.latencies()
    );
    let is_quick = match (whole.p99_us, slow_limit(&spec.budget, baseline)) {
        (Some(slowest), Some(limit)) => whole.failed == 0 && slowest <= limit,
        _ => false,
    };
    let (verdict, words) = match (is_unfit(baseline), whole.total) {
        (false, 1..LEAST_ANSWERS) if is_quick => (Verdict::AsBaseline, "as the baseline, by few answers"),
        (_, ..LEAST_ANSWERS) => (Verdict::Early, "too few to compare"),
        (true, _) if whole.failed > 0 => (Verdict::FailedBefore, "it failed before already"),
        _ if whole.failed >= LEAST_FAILED
            && exceeds(whole.failed, whole.total, (baseline.failed, baseline.total), 1) =>
        {
            (Verdict::Failing, "worse than the baseline")
        }
        _ if is_slower(baseline, whole) => (Verdict::Slower, "slower than the baseline"),
        _ => (Verdict::AsBaseline, "as the baseline"),
    };
    (verdict, format!("{words}: {head}"))
}

fn is_slower(baseline: &Digest, now: &Digest) -> bool {
    let enough =
        baseline.total - baseline.failed >= LEAST_COMPARED && now.total - now.failed >= LEAST_COMPARED;
    match (baseline.p95_us, now.p95_us) {
        (Some(before), Some(now)) if enough => now * 100 > before * SLOWER && now > before + SLOWER_BY,
        _ => false,
    }
}

fn latency(baseline: &Digest, recent: &Digest) -> (Verdict, String) {
    let Some(now) = recent.p95_us else { return (Verdict::Early, "no good answer yet".to_owned()) };
    let Some(before) = baseline.p95_us else {
        return (Verdict::Early, format!("p95 {}, and no good answer in the baseline", millis(now)));
    };
    let figures = format!("p95 {}, baseline {}", millis(now), millis(before));
    if is_slower(baseline, recent) {
        (Verdict::Slower, format!("{figures}: slower than the baseline"))
    } else {
        (Verdict::AsBaseline, format!("{figures}: as the baseline"))
    }
}

/// A baseline in a few words: `p95 38 ms`, `20 of 20 failed: connection refused`.
pub fn figures(baseline: &Digest) -> String {
    match (baseline.p95_us, baseline.failed) {
        (Some(p95), 0) => format!("p95 {}", millis(p95)),
        (p95, failed) => {
            let why = baseline.why.as_deref().unwrap_or("no answer");
            let p95 = p95.map_or_else(String::new, |us| format!("p95 {}, ", millis(us)));
            format!("{p95}{failed} of {} failed: {why}", baseline.total)
        }
    }
}

/// A baseline in full: `100 answers at 52.1/s, 0 failed, p50 12 ms, p95 38 ms, p99 77 ms`.
pub fn baseline(digest: &Digest) -> String {
    format!("{} answers at {}, {}, {}", digest.total, digest.rate(), digest.failures(), digest.latencies())
}

/// The shortest interval that makes sense: there is no probe that never rests.
pub const LEAST_INTERVAL: Duration = Duration::from_millis(50);

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
