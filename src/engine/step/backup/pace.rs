//! How far a stream is, how fast, and how long it will still take.

use crate::domain::run::Progress;
use crate::domain::text::bytes;
use crate::domain::time::brief;
use crate::engine::job::Job;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How often it is told.
const EVERY: Duration = Duration::from_millis(250);
/// A rate is told from here on; before it would only jump.
const SETTLED: Duration = Duration::from_millis(500);

/// Tells the progress of one stream, not too often.
pub(super) struct Pace<'a> {
    job: &'a Job,
    what: String,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    begun: Option<Instant>,
    told: Option<Instant>,
}

impl<'a> Pace<'a> {
    /// `what` stands before the figures.
    pub(super) fn new(job: &'a Job, what: impl Into<String>) -> Self {
        Self { job, what: what.into(), seen: Mutex::default() }
    }

    /// So much is done.
    pub(super) fn tell(&self, done: u64, total: Option<u64>) {
        let now = Instant::now();
        let since = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let is_due = seen.told.is_none_or(|at| now.duration_since(at) >= EVERY);
            if !is_due && total.is_none_or(|total| done < total) {
                return;
            }
            seen.told = Some(now);
            now.duration_since(*seen.begun.get_or_insert(now))
        };
        self.job.progress(Progress {
            text: format!("{}{}", self.what, words(done, total, since)),
            done: total.map(|_| done),
            total,
            ..Progress::default()
        });
    }
}

/// `12.0 MiB of 200.0 MiB, 95.3 MiB/s, 2s left`.
fn words(done: u64, total: Option<u64>, since: Duration) -> String {
    let mut words = bytes(done);
    if let Some(total) = total {
        words.push_str(&format!(" of {}", bytes(total)));
    }
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    if since < SETTLED || done == 0 {
        return words;
    }
    let rate = done.saturating_mul(1000) / millis;
    words.push_str(&format!(", {}/s", bytes(rate)));
    if let Some(left) = total.and_then(|total| total.checked_sub(done)).filter(|left| *left > 0 && rate > 0) {
        words.push_str(&format!(", {} left", brief(Duration::from_secs(left.div_ceil(rate)))));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left_are_told_when_they_are_known() {
        const MIB: u64 = 1024 * 1024;
        let of = |done, total, millis| words(done * MIB, total, Duration::from_millis(millis));
        assert_eq!(of(0, Some(200 * MIB), 0), "0 B of 200.0 MiB");
        assert_eq!(of(10, Some(200 * MIB), 100), "10.0 MiB of 200.0 MiB");
        assert_eq!(of(100, Some(200 * MIB), 1000), "100.0 MiB of 200.0 MiB, 100.0 MiB/s, 1s left");
        assert_eq!(of(200, Some(200 * MIB), 2000), "200.0 MiB of 200.0 MiB, 100.0 MiB/s");
        assert_eq!(of(3, None, 2000), "3.0 MiB, 1.5 MiB/s");
    }
}
