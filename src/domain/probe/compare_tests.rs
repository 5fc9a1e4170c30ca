//! The rules as tables, and what holds for all figures.

use super::*;
use crate::domain::probe::Target;
use proptest::prelude::*;

fn spec() -> ProbeSpec {
    ProbeSpec::new(Target::parse("http://web").expect("a target"))
}

/// Answers: all, failed, slow, the 95th percentile in milliseconds.
fn digest(total: u64, failed: u64, slow: u64, p95_ms: u64) -> Digest {
    let us = (total > failed).then_some(p95_ms * 1000);
    let why = (failed > 0).then(|| "connection refused".to_owned());
    Digest { total, failed, slow, span_ms: 10_000, p50_us: us, p95_us: us, p99_us: us, why }
}

fn judged(baseline: &Digest, now: &Digest) -> (Verdict, String) {
    recent(&spec(), baseline, now)
}

#[test]
fn the_last_seconds_in_words() {
    let before = digest(100, 0, 0, 38);
    for (now, verdict, words) in [
        (digest(20, 0, 0, 41), Verdict::AsBaseline, "p95 41 ms, baseline 38 ms: as the baseline"),
        (digest(20, 0, 0, 12), Verdict::AsBaseline, "p95 12 ms, baseline 38 ms: as the baseline"),
        (digest(20, 0, 0, 62), Verdict::AsBaseline, "p95 62 ms, baseline 38 ms: as the baseline"),
        (digest(20, 0, 2, 90), Verdict::Slower, "p95 90 ms, baseline 38 ms: slower than the baseline"),
        (digest(5, 0, 0, 41), Verdict::Early, "5 answers so far, baseline p95 38 ms"),
        (digest(5, 5, 0, 0), Verdict::Early, "5 answers so far, baseline p95 38 ms"),
        (digest(20, 1, 0, 41), Verdict::Failing, "1 of 20 failed in the last 10s: connection refused"),
        (digest(20, 2, 0, 41), Verdict::Failing, "2 of 20 failed in the last 10s: connection refused"),
        (digest(20, 3, 0, 41), Verdict::Spent, "3 of 20 failed in the last 10s: connection refused"),
        (digest(20, 20, 0, 0), Verdict::Spent, "20 of 20 failed in the last 10s: connection refused"),
        (digest(20, 0, 6, 300), Verdict::Slower, "p95 300 ms, baseline 38 ms: slower than the baseline"),
        (
            digest(20, 0, 7, 300),
            Verdict::Spent,
            "7 of 20 were slow in the last 10s (over 114 ms, baseline p95 38 ms)",
        ),
        (
            digest(20, 2, 5, 300),
            Verdict::Spent,
            "5 of 20 were slow in the last 10s (over 114 ms, baseline p95 38 ms), 2 failed (connection refused)",
        ),
    ] {
        assert_eq!(judged(&before, &now), (verdict, words.to_owned()));
    }
}

#[test]
fn what_failed_before_is_not_held_against_the_run() {
    let before = digest(100, 20, 0, 38);
    assert_eq!(judged(&before, &digest(20, 4, 0, 41)).0, Verdict::AsBaseline);
    assert_eq!(judged(&before, &digest(20, 5, 0, 41)).0, Verdict::Failing);
    let (verdict, words) = judged(&before, &digest(20, 7, 0, 41));
    assert_eq!(verdict, Verdict::Spent);
    assert_eq!(words, "7 of 20 failed in the last 10s: connection refused; 20 of 100 in the baseline");
    let dead = digest(100, 100, 0, 0);
    assert_eq!(judged(&dead, &digest(20, 20, 0, 0)).0, Verdict::FailedBefore);
    assert!(is_unfit(&dead) && !is_unfit(&before));
}

#[test]
fn the_whole_run_in_figures() {
    let before = digest(100, 0, 0, 38);
    let (verdict, words) = whole(&spec(), &before, &digest(1204, 1, 0, 41));
    assert_eq!(verdict, Verdict::AsBaseline);
    assert_eq!(
        words,
        "as the baseline: 1204 asked, 1 failed (connection refused), p50 41 ms, p95 41 ms, p99 41 ms; \
         baseline of 100: 0 failed, p50 38 ms, p95 38 ms, p99 38 ms"
    );
    for (now, verdict) in [
        (digest(0, 0, 0, 0), Verdict::Early),
        (digest(4, 4, 0, 0), Verdict::Early),
        (digest(4, 0, 1, 140), Verdict::Early),
        (digest(4, 0, 0, 41), Verdict::AsBaseline),
        (digest(1000, 11, 0, 41), Verdict::Failing),
        (digest(1000, 10, 0, 41), Verdict::AsBaseline),
        (digest(1000, 0, 0, 120), Verdict::Slower),
    ] {
        assert_eq!(whole(&spec(), &before, &now).0, verdict, "{now:?}");
    }
}

#[test]
fn an_answer_is_slow_by_the_baseline_or_by_what_is_given() {
    let given = Budget { slow_after: Some(Duration::from_millis(250)), ..Budget::default() };
    assert_eq!(slow_limit(&Budget::default(), &digest(100, 0, 0, 38)), Some(114_000));
    assert_eq!(slow_limit(&Budget::default(), &digest(100, 0, 0, 1)), Some(51_000));
    assert_eq!(slow_limit(&Budget::default(), &digest(100, 100, 0, 0)), None);
    assert_eq!(slow_limit(&given, &digest(100, 0, 0, 38)), Some(250_000));
}

proptest! {
    #[test]
    fn two_bad_answers_never_spend_a_budget(total in 0_u64..200, failed in 0_u64..=2, slow in 0_u64..=2) {
        let total = total.max(failed + slow);
        let (verdict, _) = judged(&digest(100, 0, 0, 38), &digest(total, failed, slow, 40));
        prop_assert_ne!(verdict, Verdict::Spent);
    }

    #[test]
    fn more_failures_never_look_better(total in 10_u64..200, failed in 0_u64..199, before in 0_u64..=50) {
        let failed = failed.min(total - 1);
        let baseline = digest(100, before, 0, 38);
        let one = judged(&baseline, &digest(total, failed, 0, 40)).0;
        let more = judged(&baseline, &digest(total, failed + 1, 0, 40)).0;
        prop_assert!(one != Verdict::Spent || more == Verdict::Spent);
    }

    #[test]
    fn what_is_as_the_baseline_spends_nothing(failed in 0_u64..=100) {
        let baseline = digest(100, failed, 0, 38);
        prop_assert_ne!(judged(&baseline, &baseline).0, Verdict::Spent);
    }
}
