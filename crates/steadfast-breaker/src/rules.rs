//! The numbers of a breaker.

use std::fmt;
use std::time::Duration;

use steadfast_core::InvalidConfig;

use crate::CircuitBreakerBuilder as Builder;
use crate::window::Window;

/// The numbers of a breaker, checked before one is made of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) consecutive_failures: u32,
    /// Opens at so many failures among the last `window` outcomes, if at all.
    pub(crate) failures: Option<u32>,
    pub(crate) window: u32,
    pub(crate) recovery_timeout: Duration,
    pub(crate) max_recovery_timeout: Duration,
    pub(crate) probes: u32,
    pub(crate) success_threshold: u32,
    pub(crate) probe_timeout: Duration,
    pub(crate) jitter: f64,
    /// Of the random numbers. Each breaker has its own if none is set.
    pub(crate) seed: Option<u64>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            consecutive_failures: Builder::DEFAULT_CONSECUTIVE_FAILURES,
            failures: None,
            window: Builder::DEFAULT_WINDOW,
            recovery_timeout: Builder::DEFAULT_RECOVERY_TIMEOUT,
            max_recovery_timeout: Builder::DEFAULT_MAX_RECOVERY_TIMEOUT,
            probes: Builder::DEFAULT_PROBES,
            success_threshold: Builder::DEFAULT_SUCCESS_THRESHOLD,
            probe_timeout: Builder::DEFAULT_PROBE_TIMEOUT,
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
        self.check_max_recovery_timeout()?;
        self.check_jitter()
    }

    fn check_window(&self) -> Result<(), InvalidConfig> {
        let failures = self.failures.unwrap_or(1);
        require(
            (1..=Window::MAX).contains(&self.window) && (1..=self.window).contains(&failures),
            "failures_of_last",
            format_args!("{failures} of {}", self.window),
            "must be 1 or more failures of a window of no fewer, and at most 64",
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

    /// `CircuitBreaker::new` does not check them, because it cannot fail.
    #[test]
    fn the_defaults_pass_their_own_check() {
        assert_eq!(Rules::default().check(), Ok(()));
    }
}
