//! How fast the simulated world goes.

use std::time::Duration;

/// The factor by which every delay of the simulated cluster is shortened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    speed: f64,
}

impl Pace {
    /// A pace of `speed` simulated seconds a second; what is not a positive number counts as 1.
    pub fn new(speed: f64) -> Self {
        let is_usable = speed.is_finite() && speed > 0.0;
        Self { speed: if is_usable { speed } else { 1.0 } }
    }

    /// How long `duration` of the simulated world lasts.
    #[must_use]
    pub fn of(self, duration: Duration) -> Duration {
        Duration::try_from_secs_f64(duration.as_secs_f64() / self.speed).unwrap_or(Duration::MAX)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_divides_a_delay() {
        assert_eq!(Pace::new(4.0).of(Duration::from_secs(2)), Duration::from_millis(500));
        assert_eq!(Pace::new(0.0).of(Duration::from_secs(2)), Duration::from_secs(2));
    }
}
