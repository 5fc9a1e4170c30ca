//! The wall clock of the back ends: real time, moved along by tokio's clock when a test pauses and advances that.

use crate::domain::time::Stamp;
use std::sync::OnceLock;
use tokio::time::Instant;

/// What both clocks showed when [`now`] was first asked.
struct Base {
    tokio: Instant,
    real: Real,
}

#[expect(clippy::disallowed_types, reason = "the difference to tokio's clock is what this file is about")]
type Real = std::time::Instant;

static BASE: OnceLock<Base> = OnceLock::new();

/// The wall clock, in milliseconds since the epoch.
///
/// Normally the system's clock, so that a machine that slept knows the time. When tokio's clock is paused and advanced,
/// the difference is added, so stamps move as timers do.
pub fn now() -> Stamp {
    let base = BASE.get_or_init(|| Base { tokio: Instant::now(), real: Real::now() });
    let wall = jiff::Timestamp::now().as_millisecond();
    let virtual_ms = millis(Instant::now().saturating_duration_since(base.tokio));
    let real_ms = millis(base.real.elapsed());
    Stamp(wall.saturating_add(virtual_ms).saturating_sub(real_ms))
}

/// So long before now.
pub fn ago(span: std::time::Duration) -> Stamp {
    Stamp(now().0.saturating_sub(millis(span)))
}

fn millis(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// A stamp as RFC 3339 in UTC with whole seconds, as `metav1.Time` is written.
pub fn rfc3339(stamp: Stamp) -> String {
    jiff::Timestamp::from_millisecond(stamp.0).map_or_else(
        |_| String::from("1970-01-01T00:00:00Z"),
        |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}

/// A stamp as RFC 3339 in UTC with microseconds, as `metav1.MicroTime` is written.
pub fn rfc3339_micro(stamp: Stamp) -> String {
    jiff::Timestamp::from_millisecond(stamp.0).map_or_else(
        |_| String::from("1970-01-01T00:00:00.000000Z"),
        |time| time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
    )
}

/// Reads an RFC 3339 time; `None` when it is not one.
pub fn parse(text: &str) -> Option<Stamp> {
    text.parse::<jiff::Timestamp>().ok().map(|time| Stamp(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn follows_a_paused_clock() {
        let before = now();
        tokio::time::advance(Duration::from_hours(1)).await;
        let passed = now().since(before);
        assert!((3599..=3601).contains(&passed.as_secs()), "{passed:?}");
    }

    #[test]
    fn reads_what_it_writes() {
        let stamp = Stamp(1_790_000_000_123);
        assert_eq!(rfc3339(stamp), "2026-09-21T14:13:20Z");
        assert_eq!(rfc3339_micro(stamp), "2026-09-21T14:13:20.123000Z");
        assert_eq!(parse(&rfc3339_micro(stamp)), Some(stamp));
        assert_eq!(parse("yesterday"), None);
    }
}
