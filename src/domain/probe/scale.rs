//! A histogram of fixed size: buckets that are 5 % wide, from 50 µs to some minutes. A percentile is off by 5 % at most.

use std::time::Duration;

/// Upper bounds of the buckets, in microseconds; what is slower than all of them counts in the last one.
const BOUNDS: [u64; 320] = bounds();

const fn bounds() -> [u64; 320] {
    let mut list = [50; 320];
    let mut at = 1;
    while at < list.len() {
        let before: u64 = list[at - 1];
        list[at] = before + if before < 20 { 1 } else { before / 20 };
        at += 1;
    }
    list
}

/// Microseconds of a span.
pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// How often each latency was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scale {
    counts: Vec<u32>,
    total: u64,
}

impl Default for Scale {
    fn default() -> Self {
        Self { counts: vec![0; BOUNDS.len()], total: 0 }
    }
}

impl Scale {
    /// Counts one.
    pub(super) fn add(&mut self, took: Duration) {
        let us = micros(took);
        let at = BOUNDS.partition_point(|bound| *bound < us).min(BOUNDS.len() - 1);
        self.counts[at] = self.counts[at].saturating_add(1);
        self.total += 1;
    }

    /// The time within which `percent` of 100 were: the upper bound of their bucket.
    pub(super) fn percentile(&self, percent: u64) -> Option<u64> {
        let rank = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        BOUNDS.get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_reaches_from_microseconds_to_minutes() {
        assert!(BOUNDS.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(BOUNDS[BOUNDS.len() - 1] > 120_000_000);
    }

    proptest! {
        #[test]
        fn a_percentile_is_off_by_a_twentieth_at_most(
            mut list in proptest::collection::vec(51_u64..100_000_000, 1..300), percent in 1_u64..=99,
        ) {
            let mut scale = Scale::default();
            for us in &list {
                scale.add(Duration::from_micros(*us));
            }
            list.sort_unstable();
            let rank = (list.len() * usize::try_from(percent).unwrap_or(0)).div_ceil(100).max(1);
            let exact = list[rank - 1];
            let found = scale.percentile(percent).unwrap_or(0);
            prop_assert!(found >= exact && found <= exact + exact / 18 + 1, "{found} for {exact}");
        }
    }
}
