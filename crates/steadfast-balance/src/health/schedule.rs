//! The times and thresholds of health checks.

use std::time::Duration;

use fastrand::Rng;
use steadfast_core::InvalidConfig;

/// The times and thresholds of health checks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// The time between two checks of one endpoint.
    pub(super) interval: Duration,
    /// The time limit of a check.
    pub(super) timeout: Duration,
    /// The random part of the interval, from 0 to 1.
    pub(super) jitter: f64,
    /// The consecutive successes that end a bench.
    pub(super) healthy: u32,
    /// The consecutive failures that open the breaker.
    pub(super) unhealthy: u32,
}

impl Schedule {
    /// Rejects values out of range.
    pub(super) fn validate(&self) -> Result<(), InvalidConfig> {
        for (field, time) in [("interval", self.interval), ("timeout", self.timeout)] {
            if time.is_zero() {
                return Err(InvalidConfig::new(field, "0s", "must be positive"));
            }
        }
        for (field, checks) in [("healthy", self.healthy), ("unhealthy", self.unhealthy)] {
            if checks == 0 {
                return Err(InvalidConfig::new(field, 0, "must be positive"));
            }
        }
        // `contains` is false for NaN.
        if !(0.0..=1.0).contains(&self.jitter) {
            let reason = "must be from 0 to 1";
            return Err(InvalidConfig::new("jitter", self.jitter, reason));
        }
        Ok(())
    }

    /// Returns the random delay of the first check of an endpoint.
    pub(super) fn first(&self, rng: &mut Rng) -> Duration {
        Duration::try_from_secs_f64(self.interval.as_secs_f64() * self.jitter * rng.f64())
            .unwrap_or(Duration::MAX)
    }

    /// Returns the time from one check to the next, with jitter.
    pub(super) fn next(&self, rng: &mut Rng) -> Duration {
        let share = 1.0 + self.jitter * (2.0 * rng.f64() - 1.0);
        Duration::try_from_secs_f64(self.interval.as_secs_f64() * share).unwrap_or(Duration::MAX)
    }
}
