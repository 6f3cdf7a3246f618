//! The numbers of a breaker.

use std::fmt;
use std::time::Duration;

use steadfast_core::InvalidConfig;

use crate::machine::cusum::Cusum;
use crate::machine::outcome_window::OutcomeWindow;
use crate::machine::window::Window;
use crate::value::builder::CircuitBreakerBuilder as Builder;

/// The numbers of a breaker, checked before one is made of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rules {
    pub(crate) consecutive_failures: u32,
    /// Opens at so many failures among the last `window` outcomes, if at all.
    pub(crate) failures: Option<u32>,
    pub(crate) window: u32,
    /// Opens at so many failures beyond a share, if at all.
    pub(crate) excess: Option<(u32, f64)>,
    pub(crate) failure_rate: Option<Rate>,
    pub(crate) slow_calls: Option<(Duration, Rate)>,
    pub(crate) rate_limits: RateLimits,
    pub(crate) recovery_timeout: Duration,
    pub(crate) max_recovery_timeout: Duration,
    pub(crate) probes: u32,
    pub(crate) success_threshold: u32,
    pub(crate) probe_timeout: Duration,
    /// How long traffic grows after the breaker has closed.
    pub(crate) ramp: Duration,
    pub(crate) jitter: f64,
    /// Of the random numbers. Each breaker has its own if none is set.
    pub(crate) seed: Option<u64>,
}

/// A share of bad calls that is too much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    pub(crate) share: f64,
    pub(crate) window: Window,
}

/// What a rate limit is to a breaker.
///
/// A service that refuses a request works, and asks to be left alone for a while. That is the
/// business of a retry or of a balancer, where there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RateLimits {
    /// Nothing: neither a success nor a failure.
    #[default]
    Neutral,
    /// A bad call for the [failure rate](crate::CircuitBreakerBuilder::failure_rate), and never
    /// one of a row.
    Count,
    /// A reason to open at once, until the hint of the answer. Without a hint it is nothing.
    OpenUntilHint,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            consecutive_failures: Builder::DEFAULT_CONSECUTIVE_FAILURES,
            failures: None,
            window: Builder::DEFAULT_WINDOW,
            excess: None,
            failure_rate: None,
            slow_calls: None,
            rate_limits: RateLimits::Neutral,
            recovery_timeout: Builder::DEFAULT_RECOVERY_TIMEOUT,
            max_recovery_timeout: Builder::DEFAULT_MAX_RECOVERY_TIMEOUT,
            probes: Builder::DEFAULT_PROBES,
            success_threshold: Builder::DEFAULT_SUCCESS_THRESHOLD,
            probe_timeout: Builder::DEFAULT_PROBE_TIMEOUT,
            ramp: Duration::ZERO,
            jitter: Builder::DEFAULT_JITTER,
            seed: None,
        }
    }
}

impl Rules {
    pub(crate) fn check(&self) -> Result<(), InvalidConfig> {
        at_least_one("consecutive_failures", self.consecutive_failures)?;
        at_least_one("probes", self.probes)?;
        at_least_one("success_threshold", self.success_threshold)?;
        more_than_zero("recovery_timeout", self.recovery_timeout)?;
        more_than_zero("probe_timeout", self.probe_timeout)?;
        self.check_window()?;
        self.check_excess()?;
        if let Some(rate) = &self.failure_rate {
            rate.check("failure_rate")?;
        }
        if let Some((slow, rate)) = &self.slow_calls {
            more_than_zero("slow_calls", *slow)?;
            rate.check("slow_calls")?;
        }
        self.check_rate_limits()?;
        self.check_max_recovery_timeout()?;
        self.check_jitter()
    }

    fn check_window(&self) -> Result<(), InvalidConfig> {
        let failures = self.failures.unwrap_or(1);
        require(
            (1..=OutcomeWindow::MAX).contains(&self.window)
                && (1..=self.window).contains(&failures),
            "failures_of_last",
            format_args!("{failures} of {}", self.window),
            "must be 1 or more failures of a window of no fewer, and at most 64",
        )
    }

    fn check_excess(&self) -> Result<(), InvalidConfig> {
        let Some((failures, share)) = self.excess else {
            return Ok(());
        };
        require(
            failures >= 1 && Cusum::is_possible(share),
            "excess_failures",
            format_args!("{failures} beyond {share}"),
            "must be 1 or more failures beyond a share between 0.001 and 0.999",
        )
    }

    fn check_rate_limits(&self) -> Result<(), InvalidConfig> {
        require(
            self.rate_limits != RateLimits::Count || self.failure_rate.is_some(),
            "rate_limits",
            "Count",
            "needs `failure_rate`, in which they count",
        )
    }

    fn check_max_recovery_timeout(&self) -> Result<(), InvalidConfig> {
        require(
            self.max_recovery_timeout >= self.recovery_timeout,
            "max_recovery_timeout",
            format_args!("{:?}", self.max_recovery_timeout),
            "must not be shorter than `recovery_timeout`",
        )
    }

    fn check_jitter(&self) -> Result<(), InvalidConfig> {
        require(
            // `contains` is false for NaN too.
            (0.0..=1.0).contains(&self.jitter),
            "jitter",
            self.jitter,
            "must be between 0 and 1",
        )
    }
}

impl Rate {
    fn check(&self, field: &str) -> Result<(), InvalidConfig> {
        require(
            self.share > 0.0 && self.share <= 1.0,
            field,
            self.share,
            "must be a share of calls, more than 0 and at most 1",
        )?;
        require(
            self.window.is_possible(),
            field,
            format_args!("{:?}", self.window),
            "must have a window of 1 to 100,000 calls or of 1 ms or more, with 1 or more \
             `min_calls`, and no more than it holds",
        )
    }

    /// Whether so many bad calls of all are too many.
    pub(crate) fn is_reached(&self, bad: u64, all: u64) -> bool {
        // Exact: the share is rounded to a millionth once, and no count is.
        let share = (self.share * 1e6).round() as u128;
        all >= u64::from(self.window.min_calls)
            && bad > 0
            && u128::from(bad) * 1_000_000 >= share * u128::from(all)
    }
}

fn at_least_one(field: &str, value: u32) -> Result<(), InvalidConfig> {
    require(value >= 1, field, value, "must be at least 1")
}

fn more_than_zero(field: &str, value: Duration) -> Result<(), InvalidConfig> {
    require(
        !value.is_zero(),
        field,
        format_args!("{value:?}"),
        "must be longer than zero",
    )
}

fn require(
    holds: bool,
    field: &str,
    value: impl fmt::Display,
    reason: &'static str,
) -> Result<(), InvalidConfig> {
    if holds {
        Ok(())
    } else {
        Err(InvalidConfig::new(field, value, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_what_it_says() {
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

    /// `CircuitBreaker::new` does not check them, because it cannot fail.
    #[test]
    fn the_defaults_pass_their_own_check() {
        assert_eq!(Rules::default().check(), Ok(()));
    }
}
