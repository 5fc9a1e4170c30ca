//! Pauses between attempts: doubled up to a limit, with jitter, so that many watches do not come back in step.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(15);

/// The next pause.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }

    /// All is well again.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// The pause to make now: between three and five quarters of the nominal one.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        pause.mul_f64(0.75 + rand::random::<f64>() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_limit_with_jitter() {
        let mut backoff = Backoff::new();
        let pauses: Vec<Duration> = (0..8).map(|_| backoff.next()).collect();
        assert!(pauses[0] >= FIRST.mul_f64(0.75) && pauses[0] <= FIRST.mul_f64(1.25));
        assert!(pauses[7] >= LONGEST.mul_f64(0.75) && pauses[7] <= LONGEST.mul_f64(1.25));
        backoff.reset();
        assert!(backoff.next() <= FIRST.mul_f64(1.25));
    }
}
