//! When the probes are worse than the baseline, more time between nodes may help; that has a price, and the price is said.

use super::super::time::brief;
use std::time::Duration;

/// The least that an interval grows by.
const LEAST: Duration = Duration::from_secs(10);
/// No interval is suggested beyond this.
const MOST: Duration = Duration::from_mins(10);

/// A longer interval, and by how much the end comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suggestion {
    /// As it is.
    pub from: Duration,
    /// As it could be.
    pub to: Duration,
    /// Intervals that are still to come.
    pub turns_left: usize,
}

/// Twice the interval, at least 10 s more and at most 10 min; `None` = it is as long as that already, or none is to come.
pub fn longer(interval: Duration, turns_left: usize) -> Option<Suggestion> {
    let to = (interval * 2).max(interval + LEAST).min(MOST);
    (to > interval && turns_left > 0).then_some(Suggestion { from: interval, to, turns_left })
}

impl Suggestion {
    /// How much later the end comes.
    pub fn delay(&self) -> Duration {
        self.to.saturating_sub(self.from) * u32::try_from(self.turns_left).unwrap_or(u32::MAX)
    }

    /// In a sentence, without its end.
    pub fn words(&self) -> String {
        let price = format!("the end comes {} later", brief(self.delay()));
        let price = match self.turns_left {
            1 => price,
            turns => format!("{price} ({turns} intervals left)"),
        };
        format!("a longer interval may help: {} instead of {}; {price}", brief(self.to), brief(self.from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_price_of_more_quiet_is_told() {
        let secs = Duration::from_secs;
        let words = |interval, left| longer(interval, left).map(|one| one.words()).unwrap_or_default();
        assert_eq!(
            words(secs(2), 1),
            "a longer interval may help: 12s instead of 2s; the end comes 10s later"
        );
        assert_eq!(
            words(secs(60), 12),
            "a longer interval may help: 2m instead of 60s; the end comes 12m later (12 intervals left)"
        );
        assert_eq!(longer(secs(600), 5), None);
        assert_eq!(longer(secs(60), 0), None, "nothing is to come");
    }
}
