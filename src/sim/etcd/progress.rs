//! How far the raft log of the simulated etcd has come: it grows by the clock while a leader commits.

use std::time::Duration;

use tokio::time::Instant;

/// A position that grows at a steady rate while it runs and rests while it does not.
#[derive(Clone, Debug)]
pub struct Progress {
    index: u64,
    revision_offset: i64,
    per_second: u32,
    running_since: Option<Instant>,
}

impl Progress {
    /// Rests at `index`, where the key space has `revision`.
    pub fn new(index: u64, revision: i64, per_second: u32) -> Self {
        let revision_offset = revision - i64::try_from(index).unwrap_or(i64::MAX);
        Self { index, revision_offset, per_second, running_since: None }
    }

    /// The last committed index at `now`.
    pub fn index(&self, now: Instant) -> u64 {
        let grown = self.running_since.map_or(0, |since| {
            let millis =
                now.saturating_duration_since(since).as_millis() * u128::from(self.per_second) / 1000;
            u64::try_from(millis).unwrap_or(u64::MAX)
        });
        self.index.saturating_add(grown)
    }

    /// The key space's revision once `index` is applied.
    pub fn revision_at(&self, index: u64) -> i64 {
        i64::try_from(index).unwrap_or(i64::MAX).saturating_add(self.revision_offset)
    }

    /// Goes on from `now`, or rests.
    pub fn set_running(&mut self, runs: bool, now: Instant) {
        if runs != self.running_since.is_some() {
            self.index = self.index(now);
            self.running_since = runs.then_some(now);
        }
    }

    /// One more entry that changes no key (an alarm request, an election).
    pub fn append(&mut self) {
        self.index += 1;
        self.revision_offset -= 1;
    }
}

/// How a member that was away closes the gap: evenly, within [`CATCH_UP`].
#[derive(Clone, Copy, Debug)]
pub struct CatchUp {
    /// When it started to receive entries.
    pub since: Instant,
    /// Where it stood then.
    pub from: u64,
    /// How long it takes.
    pub takes: Duration,
}

/// Time in which a returned member catches up, at speed 1.
pub const CATCH_UP: Duration = Duration::from_secs(2);

impl CatchUp {
    /// The index applied at `now`, on the way to `committed`.
    pub fn applied(&self, committed: u64, now: Instant) -> u64 {
        let gap = committed.saturating_sub(self.from);
        let passed = now.saturating_duration_since(self.since);
        if passed >= self.takes {
            return committed;
        }
        let part = u128::from(gap) * passed.as_millis() / self.takes.as_millis().max(1);
        self.from + u64::try_from(part).unwrap_or(gap).min(gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_grows_only_while_it_runs() {
        let start = Instant::now();
        let second = |n| start + Duration::from_secs(n);
        let mut progress = Progress::new(1000, 400, 5);
        assert_eq!(progress.index(second(10)), 1000);
        progress.set_running(true, second(10));
        assert_eq!(progress.index(second(12)), 1010);
        progress.set_running(false, second(12));
        assert_eq!(progress.index(second(60)), 1010);
        assert_eq!(progress.revision_at(1010), 410);
        progress.append();
        assert_eq!(progress.revision_at(progress.index(second(60))), 410);
    }

    #[test]
    fn a_gap_closes_evenly() {
        let since = Instant::now();
        let gap = CatchUp { since, from: 100, takes: Duration::from_secs(2) };
        assert_eq!(gap.applied(300, since), 100);
        assert_eq!(gap.applied(300, since + Duration::from_secs(1)), 200);
        assert_eq!(gap.applied(300, since + Duration::from_secs(9)), 300);
    }
}
