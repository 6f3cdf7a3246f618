//! The configuration of a breaker.

use std::time::Duration;

use steadfast_core::layer::Observers;
use steadfast_core::{EndpointName, InvalidConfig, Observer};

use super::breaker::CircuitBreaker;
use crate::machine::trips::cusum::Excess;
use crate::machine::{Rate, RateLimits, Rules, Window};

/// Configures a [`CircuitBreaker`].
///
/// Created by [`CircuitBreaker::builder`]. One builder can build many breakers, which share only
/// their observers.
///
/// # Trip rules
///
/// The rules work side by side. The first one that is reached opens the breaker, and
/// [`last_trip`](CircuitBreaker::last_trip) returns it.
///
/// | Rule | Opens at | Default |
/// |---|---|---|
/// | [`consecutive_failures`](Self::consecutive_failures) | a streak | 5 |
/// | [`failures_of_last`](Self::failures_of_last) | failures among the last outcomes, at most 64 | off |
/// | [`excess_failures`](Self::excess_failures) | failures in excess of a share of the calls | off |
/// | [`failure_rate`](Self::failure_rate) | a share of the last calls, by number or time | off |
/// | [`slow_calls`](Self::slow_calls) | a share of slow calls | off |
/// | [`rate_limits`](Self::rate_limits) | a rate limit until its hint, or as one bad call of the rate | neutral |
/// | [`trip`](CircuitBreaker::trip), [`isolate`](CircuitBreaker::isolate) | a call of the method | |
///
/// Windows slide and take constant memory. A window by calls is independent of time: a service with
/// one request per hour is judged by the outcomes of yesterday. The rules except the first are off,
/// because without an alternative a service that fails half of the time is better than none.
///
/// ```
/// use steadfast_breaker::CircuitBreaker;
/// use std::time::Duration;
///
/// let breaker = CircuitBreaker::builder()
///     .name("payments")
///     .consecutive_failures(7)
///     .failures_of_last(10, 20)
///     .recovery_timeout(Duration::from_secs(5))
///     .build()?;
/// # Ok::<(), steadfast_core::InvalidConfig>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct CircuitBreakerBuilder {
    name: EndpointName,
    rules: Rules,
    max_recovery_timeout: Option<Duration>,
    observers: Observers,
}

impl CircuitBreaker {
    /// Creates a builder.
    pub fn builder() -> CircuitBreakerBuilder {
        CircuitBreakerBuilder {
            name: CircuitBreakerBuilder::DEFAULT_NAME.into(),
            rules: Rules::default(),
            max_recovery_timeout: None,
            observers: Observers::new(),
        }
    }
}

impl CircuitBreakerBuilder {
    /// The default name of a breaker.
    pub const DEFAULT_NAME: &'static str = CircuitBreaker::DEFAULT_NAME;
    /// Five: at one failure in a hundred, a streak of five starts once in 10^10 requests.
    pub const DEFAULT_CONSECUTIVE_FAILURES: u32 = 5;
    /// The outcomes behind [`health`](CircuitBreaker::health) without a
    /// [`failures_of_last`](Self::failures_of_last).
    pub const DEFAULT_WINDOW: u32 = 20;
    /// A minute, which is enough for most restarts of a server.
    pub const DEFAULT_RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);
    /// Five minutes: no recovery goes unnoticed for longer.
    pub const DEFAULT_MAX_RECOVERY_TIMEOUT: Duration = Duration::from_secs(300);
    /// One: a recovering service gets one attempt at a time.
    pub const DEFAULT_PROBES: u32 = 1;
    /// Three, because one success may be luck.
    pub const DEFAULT_SUCCESS_THRESHOLD: u32 = 3;
    /// Half a minute, after which a probe without an answer no longer blocks others.
    pub const DEFAULT_PROBE_TIMEOUT: Duration = Duration::from_secs(30);
    /// A tenth, enough to separate breakers that opened together.
    pub const DEFAULT_JITTER: f64 = 0.1;

    /// Sets the name in events, logs and errors.
    pub fn name(mut self, name: impl Into<EndpointName>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the number of consecutive failures that opens the breaker.
    ///
    /// Defaults to [`DEFAULT_CONSECUTIVE_FAILURES`](Self::DEFAULT_CONSECUTIVE_FAILURES). `u32::MAX`
    /// disables the rule in practice.
    ///
    /// A lost HTTP/2 connection fails all its requests at once, which is one event.
    /// Failures with the class [`Transport`](steadfast_core::Class::Transport) within a second
    /// therefore count once if their attempts started before the streak. Later attempts count each.
    pub fn consecutive_failures(mut self, failures: u32) -> Self {
        self.rules.consecutive_failures = failures;
        self
    }

    /// Opens the breaker also at `failures` among the last `window` outcomes, as "10 of the last
    /// 20".
    ///
    /// Defaults to off. The window holds up to 64 outcomes, and is cleared when the breaker closes.
    /// The failures need not be consecutive, so this rule detects a service that fails half of the
    /// time.
    pub fn failures_of_last(mut self, failures: u32, window: u32) -> Self {
        self.rules.failures = Some(failures);
        self.rules.window = window;
        self
    }

    /// Opens the breaker also at this number of failures in excess of `share` of the calls.
    ///
    /// Defaults to off. This is a CUSUM test: a failure adds its part above the share, a success
    /// subtracts the share, and the sum is never negative. It needs no window that fits the outage.
    /// A smaller share of failures never opens the breaker; a larger one opens it sooner. At a
    /// given false-alarm rate, no other rule detects the failure rate of its design faster on
    /// average (Lorden, 1971).
    ///
    /// Beside 7 consecutive failures, 6 in excess of 22 % open the breaker falsely 0.98 times in
    /// 260 million calls if 5 % of them fail. If half of the calls fail, it opens after 20 in the
    /// median, and after 32 in nine of ten cases. "10 of the last 20" needs 19 and 39, and opens
    /// falsely 1.44 times.
    ///
    /// ```
    /// use steadfast_breaker::CircuitBreaker;
    ///
    /// let breaker = CircuitBreaker::builder()
    ///     .consecutive_failures(7)
    ///     .excess_failures(6, 0.22)
    ///     .build()?;
    /// # Ok::<(), steadfast_core::InvalidConfig>(())
    /// ```
    pub fn excess_failures(mut self, failures: u32, share: f64) -> Self {
        self.rules.counting.excess = Some(Excess { failures, share });
        self
    }

    /// Opens the breaker also if at least this share of the calls of a window failed.
    ///
    /// Defaults to off.
    ///
    /// ```
    /// use std::time::Duration;
    /// use steadfast_breaker::{CircuitBreaker, Window};
    ///
    /// // Half of at least 20 among the last 100, independent of time.
    /// let by_calls = CircuitBreaker::builder().failure_rate(0.5, Window::calls(100).min_calls(20));
    /// // A fifth of at least 5 in the last 10 s.
    /// let recent = Window::time(Duration::from_secs(10)).min_calls(5);
    /// let by_time = CircuitBreaker::builder().failure_rate(0.2, recent);
    /// # let _ = (by_calls.build()?, by_time.build()?);
    /// # Ok::<(), steadfast_core::InvalidConfig>(())
    /// ```
    pub fn failure_rate(mut self, share: f64, window: Window) -> Self {
        self.rules.failure_rate = Some(Rate { share, window });
        self
    }

    /// Opens the breaker also if at least this share of the calls of a window took `slow` or
    /// longer, independent of their outcome.
    ///
    /// Defaults to off. A call takes until its verdict, over HTTP until the head of its response. A
    /// cancelled call does not count. A slow probe has failed, independent of the share.
    pub fn slow_calls(mut self, slow: Duration, share: f64, window: Window) -> Self {
        self.rules.slow_calls = Some((slow, Rate { share, window }));
        self
    }

    /// Sets the effect of a verdict of
    /// [`Class::RateLimited`](steadfast_core::Class::RateLimited).
    ///
    /// Defaults to [`RateLimits::Neutral`].
    pub fn rate_limits(mut self, rate_limits: RateLimits) -> Self {
        self.rules.rate_limits = rate_limits;
        self
    }

    /// Sets the time in which traffic grows from a tenth to all after the breaker closed.
    ///
    /// Defaults to zero. Meanwhile the other attempts are rejected, and all rules count. If one of
    /// them opens the breaker before the time is over, that is one more failed recovery.
    pub fn ramp(mut self, time: Duration) -> Self {
        self.rules.ramp = time;
        self
    }

    /// Sets the open time before the first probe.
    ///
    /// Defaults to [`DEFAULT_RECOVERY_TIMEOUT`](Self::DEFAULT_RECOVERY_TIMEOUT). Each failed probe
    /// doubles it, up to the [maximum](Self::max_recovery_timeout). The hint of the verdict that
    /// opens the breaker is a floor. Each `timeout` in the closed state takes back one doubling.
    pub fn recovery_timeout(mut self, timeout: Duration) -> Self {
        self.rules.recovery_timeout = timeout;
        self
    }

    /// Sets the maximum open time, except for a longer hint.
    ///
    /// Defaults to [`DEFAULT_MAX_RECOVERY_TIMEOUT`], or to the
    /// [`recovery_timeout`](Self::recovery_timeout) if that is longer.
    ///
    /// [`DEFAULT_MAX_RECOVERY_TIMEOUT`]: Self::DEFAULT_MAX_RECOVERY_TIMEOUT
    pub fn max_recovery_timeout(mut self, timeout: Duration) -> Self {
        self.max_recovery_timeout = Some(timeout);
        self
    }

    /// Sets the number of concurrent probes of a half-open breaker.
    ///
    /// Defaults to [`DEFAULT_PROBES`](Self::DEFAULT_PROBES).
    pub fn probes(mut self, probes: u32) -> Self {
        self.rules.probes = probes;
        self
    }

    /// Sets the number of probes that must succeed before the breaker closes.
    ///
    /// Defaults to [`DEFAULT_SUCCESS_THRESHOLD`](Self::DEFAULT_SUCCESS_THRESHOLD).
    pub fn success_threshold(mut self, successes: u32) -> Self {
        self.rules.success_threshold = successes;
        self
    }

    /// Sets the time after which the slot of a probe without a verdict is reclaimed.
    ///
    /// Defaults to [`DEFAULT_PROBE_TIMEOUT`](Self::DEFAULT_PROBE_TIMEOUT). A later verdict still
    /// counts while the breaker is half-open.
    pub fn probe_timeout(mut self, timeout: Duration) -> Self {
        self.rules.probe_timeout = timeout;
        self
    }

    /// Sets the share of an open time, from 0 to 1, that jitter may subtract.
    ///
    /// Defaults to [`DEFAULT_JITTER`](Self::DEFAULT_JITTER). Without a failed probe, the open time
    /// is exactly [`recovery_timeout`](Self::recovery_timeout).
    pub fn jitter(mut self, share: f64) -> Self {
        self.rules.jitter = share;
        self
    }

    /// Sets the seed of the jitter, for repeatable runs.
    pub fn seed(mut self, seed: u64) -> Self {
        self.rules.seed = Some(seed);
        self
    }

    /// Adds an observer of the transitions.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.add(observer);
        self
    }

    /// Adds all of `observers`.
    #[allow(clippy::needless_pass_by_value)] // like every other setter
    pub fn observers(mut self, observers: Observers) -> Self {
        self.observers.extend(&observers);
        self
    }

    /// Creates a closed breaker.
    ///
    /// # Errors
    ///
    /// Returns an error that names the field if a number is out of range.
    pub fn build(self) -> Result<CircuitBreaker, InvalidConfig> {
        let rules = self.rules();
        rules.check()?;
        Ok(CircuitBreaker::from_parts(self.name, rules, self.observers))
    }

    /// Returns whether `other` builds breakers with the same rules. Names and observers are not
    /// compared.
    #[must_use]
    pub fn has_rules_of(&self, other: &Self) -> bool {
        self.rules() == other.rules()
    }

    fn rules(&self) -> Rules {
        let or_longer = || Self::DEFAULT_MAX_RECOVERY_TIMEOUT.max(self.rules.recovery_timeout);
        Rules {
            max_recovery_timeout: self.max_recovery_timeout.unwrap_or_else(or_longer),
            ..self.rules
        }
    }
}

#[cfg(test)]
mod tests;
