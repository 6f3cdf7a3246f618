//! The checks of the numbers of a breaker.

use std::fmt;
use std::time::Duration;

use steadfast_core::InvalidConfig;

use crate::machine::{OutcomeWindow, Rate, RateLimits, Rules};

impl Rules {
    pub(super) fn check(&self) -> Result<(), InvalidConfig> {
        at_least_one("consecutive_failures", self.consecutive_failures)?;
        at_least_one("probes", self.probes)?;
        at_least_one("success_threshold", self.success_threshold)?;
        more_than_zero("recovery_timeout", self.recovery_timeout)?;
        more_than_zero("probe_timeout", self.probe_timeout)?;
        self.check_window()?;
        self.counting.check()?;
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
        let is_window = (1..=OutcomeWindow::MAX).contains(&self.window);
        require(
            is_window && (1..=self.window).contains(&failures),
            "failures_of_last",
            format_args!("{failures} of {}", self.window),
            "need 1 <= failures <= window <= 64",
        )
    }

    fn check_rate_limits(&self) -> Result<(), InvalidConfig> {
        require(
            self.rate_limits != RateLimits::Count || self.failure_rate.is_some(),
            "rate_limits",
            "Count",
            "`Count` needs a `failure_rate`",
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
            "need 0 < share <= 1",
        )?;
        require(
            self.window.is_possible(),
            field,
            format_args!("{:?}", self.window),
            "need 1 <= min_calls <= calls <= 100,000, or min_calls >= 1 in a time >= 1 ms",
        )
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
    rule: &'static str,
) -> Result<(), InvalidConfig> {
    if holds {
        Ok(())
    } else {
        Err(InvalidConfig::new(field, value, rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `CircuitBreaker::new` does not check them, because it cannot fail.
    #[test]
    fn defaults_are_valid() {
        assert_eq!(Rules::default().check(), Ok(()));
    }
}
