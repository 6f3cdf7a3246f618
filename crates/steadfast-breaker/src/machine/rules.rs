//! The numbers of a breaker.

use std::time::Duration;

use super::trips::CountingRules;
use super::window::Window;

/// The numbers of a breaker. The builder validates them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rules {
    pub(crate) consecutive_failures: u32,
    /// Opens at this number of failures among the last `window` outcomes.
    pub(crate) failures: Option<u32>,
    pub(crate) window: u32,
    /// The rules with a counter of their own.
    pub(crate) counting: CountingRules,
    pub(crate) failure_rate: Option<Rate>,
    pub(crate) slow_calls: Option<(Duration, Rate)>,
    pub(crate) rate_limits: RateLimits,
    pub(crate) recovery_timeout: Duration,
    pub(crate) max_recovery_timeout: Duration,
    pub(crate) probes: u32,
    pub(crate) success_threshold: u32,
    pub(crate) probe_timeout: Duration,
    /// The time in which traffic grows after the breaker closed.
    pub(crate) ramp: Duration,
    pub(crate) jitter: f64,
    /// The seed of the jitter. Without one, each breaker has its own.
    pub(crate) seed: Option<u64>,
}

/// A share of bad calls that opens a breaker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    pub(crate) share: f64,
    pub(crate) window: Window,
}

/// The effect of a rate limit on a breaker.
///
/// A service that refuses a request works, and requests a pause. A retry layer or a balancer
/// follows such hints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RateLimits {
    /// No effect: neither a success nor a failure.
    #[default]
    Neutral,
    /// A bad call of the [failure rate](crate::CircuitBreakerBuilder::failure_rate), and never a
    /// part of a streak.
    Count,
    /// Opens at once, until the hint of the answer. Without a hint it has no effect.
    OpenUntilHint,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            failures: None,
            window: 20,
            counting: CountingRules::default(),
            failure_rate: None,
            slow_calls: None,
            rate_limits: RateLimits::Neutral,
            recovery_timeout: Duration::from_secs(60),
            max_recovery_timeout: Duration::from_secs(300),
            probes: 1,
            success_threshold: 3,
            probe_timeout: Duration::from_secs(30),
            ramp: Duration::ZERO,
            jitter: 0.1,
            seed: None,
        }
    }
}

impl Rate {
    /// Returns whether `bad` calls of `all` reach the share.
    pub(crate) fn is_reached(&self, bad: u64, all: u64) -> bool {
        // Exact: the share is rounded to a millionth once, and counts are not rounded.
        let share = (self.share * 1e6).round() as u128;
        all >= u64::from(self.window.min_calls)
            && bad > 0
            && u128::from(bad) * 1_000_000 >= share * u128::from(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_reached_at_share_and_min_calls() {
        let rate = |share| Rate {
            share,
            window: Window::calls(10).min_calls(4),
        };
        for (share, bad, all, reached) in [
            (0.5, 2, 4, true),
            (0.5, 1, 4, false),
            (0.5, 3, 3, false),
            (0.3, 3, 10, true),
            (0.1, 1, 10, true),
            (0.7, 7, 10, true),
            (0.7, 6, 9, false),
            (1.0, 9, 10, false),
            (1.0, 10, 10, true),
            (0.000_000_1, 0, 10, false),
        ] {
            assert_eq!(
                rate(share).is_reached(bad, all),
                reached,
                "{share} {bad}/{all}"
            );
        }
    }
}
