//! The wall clock of the simulated cluster: real at the start, then moved by tokio's clock, so a paused test moves it.

use std::time::Duration;

use jiff::{Span, Timestamp, fmt::strtime};
use tokio::time::Instant;

/// Wall-clock time at one instant of tokio's clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall: Timestamp,
    started: Instant,
}

impl Clock {
    pub(super) fn new() -> Clock {
        Clock { wall: Timestamp::now(), started: Instant::now() }
    }

    /// The time now.
    pub fn timestamp(self) -> Timestamp {
        let elapsed = Instant::now().saturating_duration_since(self.started);
        self.after(elapsed)
    }

    fn after(self, elapsed: Duration) -> Timestamp {
        self.wall.checked_add(elapsed).unwrap_or(Timestamp::MAX)
    }
}

/// RFC 3339 with seconds, as in `creationTimestamp`.
pub fn seconds(at: Timestamp) -> String {
    format_as("%Y-%m-%dT%H:%M:%SZ", at)
}

/// RFC 3339 with microseconds, as in `renewTime` of leases.
pub fn micros(at: Timestamp) -> String {
    format_as("%Y-%m-%dT%H:%M:%S.%6fZ", at)
}

fn format_as(format: &str, at: Timestamp) -> String {
    strtime::format(format, at).unwrap_or_else(|_| at.to_string())
}

/// `at` moved by whole seconds, which may be negative.
pub fn shifted(at: Timestamp, seconds: i64) -> Timestamp {
    Span::new().try_seconds(seconds).ok().and_then(|span| at.checked_add(span).ok()).unwrap_or(at)
}

/// Reads an RFC 3339 time of an object.
pub fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_two_forms() {
        let at: Timestamp = "2026-03-04T05:06:07.123456789Z".parse().unwrap();
        assert_eq!(seconds(at), "2026-03-04T05:06:07Z");
        assert_eq!(micros(at), "2026-03-04T05:06:07.123456Z");
        assert_eq!(seconds(shifted(at, -8)), "2026-03-04T05:05:59Z");
    }

    #[tokio::test(start_paused = true)]
    async fn follows_the_paused_clock() {
        let clock = Clock::new();
        let before = clock.timestamp();
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.timestamp().duration_since(before).as_secs(), 90);
    }
}
