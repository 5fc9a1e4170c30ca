//! Wall-clock stamps and durations as plain numbers; nothing here reads a clock.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(pub i64);

impl Stamp {
    /// Time passed from `earlier` to `self`; zero when `earlier` is later (clocks of hosts differ).
    pub fn since(self, earlier: Stamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Time of day in UTC: `03:12:44`.
    pub fn time_of_day(self) -> String {
        let secs = self.0.div_euclid(1000).rem_euclid(86_400);
        format!("{:02}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60)
    }

    /// `self` moved forward.
    #[must_use]
    pub fn plus(self, span: Duration) -> Stamp {
        Stamp(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// A duration in at most two units, as `kubectl` prints ages: `850ms`, `42s`, `3m12s`, `5h2m`, `12d`.
pub fn brief(span: Duration) -> String {
    let secs = span.as_secs();
    match secs {
        0 if span.as_millis() == 0 => "0s".to_owned(),
        0 => format!("{}ms", span.as_millis()),
        1..=119 => format!("{secs}s"),
        120..=599 if !secs.is_multiple_of(60) => format!("{}m{}s", secs / 60, secs % 60),
        120..=10_799 => format!("{}m", secs / 60),
        10_800..=28_799 if !(secs / 60).is_multiple_of(60) => format!("{}h{}m", secs / 3600, secs / 60 % 60),
        10_800..=172_799 => format!("{}h", secs / 3600),
        _ => format!("{}d", secs / 86_400),
    }
}

/// How long ago something was: as [`brief`], and `<1s` where clocks and reading say no more.
pub fn age(span: Duration) -> String {
    if span.as_secs() == 0 { "<1s".to_owned() } else { brief(span) }
}

/// A running clock: `01:42`, or `1:01:42` from an hour on.
pub fn clock(span: Duration) -> String {
    let secs = span.as_secs();
    if secs < 3600 {
        format!("{:02}:{:02}", secs / 60, secs % 60)
    } else {
        format!("{}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60)
    }
}

/// Reads a duration as kubectl's flags take it: `0`, `90s`, `5m`, `1h30m`, `250ms`.
///
/// # Errors
/// A sentence that says what is expected.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration: write 90s, 5m or 1h30m");
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|ch: char| !ch.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.find(|ch: char| ch.is_ascii_digit()).unwrap_or(rest.len());
        let unit_ms = match &rest[..letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        rest = &rest[letters..];
        total = number
            .checked_mul(unit_ms)
            .and_then(|ms| total.checked_add(Duration::from_millis(ms)))
            .ok_or_else(wrong)?;
    }
    Ok(total)
}

/// Durations as a number of seconds (`1800`, `0.5`) in JSON. The form that serde gives them itself is read as well.
pub mod seconds {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Wire {
        Seconds(f64),
        Parts { secs: u64, nanos: u32 },
    }

    /// Writes it.
    ///
    /// # Errors
    /// The writer's.
    pub fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        if span.subsec_nanos() == 0 {
            to.serialize_u64(span.as_secs())
        } else {
            // the nearest number: `1.235`, and not `1.2349999999999999`
            let exact = format!("{}.{:09}", span.as_secs(), span.subsec_nanos()).parse();
            to.serialize_f64(exact.unwrap_or(span.as_secs_f64()))
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// It is neither a number of seconds nor serde's own form.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        match Wire::deserialize(from)? {
            Wire::Seconds(count) => Duration::try_from_secs_f64(count).map_err(serde::de::Error::custom),
            Wire::Parts { secs, nanos } => Ok(Duration::new(secs, nanos)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brief_has_at_most_two_units() {
        let cases = [
            (0, "0s"),
            (42, "42s"),
            (119, "119s"),
            (192, "3m12s"),
            (600, "10m"),
            (10_920, "3h2m"),
            (18_120, "5h2m"),
            (86_400, "24h"),
            (1_036_800, "12d"),
        ];
        for (secs, text) in cases {
            assert_eq!(brief(Duration::from_secs(secs)), text, "{secs}");
        }
        assert_eq!(brief(Duration::from_millis(850)), "850ms");
    }

    #[test]
    fn a_stamp_from_the_future_has_no_age() {
        assert_eq!(Stamp(5).since(Stamp(9)), Duration::ZERO);
    }

    #[test]
    fn spans_are_read_as_kubectl_writes_them() {
        let cases = [
            ("0", 0),
            ("90s", 90_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("2d", 172_800_000),
        ];
        for (text, ms) in cases {
            assert_eq!(parse_span(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "m", "5 m", "-5s", "1.5h", "99999999999999999999s", "99999999999999999d"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }
}
