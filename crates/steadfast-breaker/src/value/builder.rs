//! The configuration of a breaker.

use std::time::Duration;

use steadfast_core::{EndpointName, InvalidConfig, Observer, Observers};

use crate::machine::rules::{Rate, RateLimits, Rules};
use crate::machine::window::Window;
use crate::value::breaker::CircuitBreaker;

/// Configures a [`CircuitBreaker`].
///
/// Made by [`CircuitBreaker::builder`]. One builder can build many breakers, which share nothing
/// but their observers.
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

impl CircuitBreakerBuilder {
    /// The name of a breaker that was given none.
    pub const DEFAULT_NAME: &'static str = "breaker";
    /// Five: at one failure in a hundred, they come in a row once in ten thousand million.
    pub const DEFAULT_CONSECUTIVE_FAILURES: u32 = 5;
    /// The outcomes that [`health`](CircuitBreaker::health) is taken from if
    /// [`failures_of_last`](Self::failures_of_last) is not set.
    pub const DEFAULT_WINDOW: u32 = 20;
    /// A minute, which a restart of the other side usually fits in.
    pub const DEFAULT_RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);
    /// Five minutes: no recovery goes unnoticed for longer.
    pub const DEFAULT_MAX_RECOVERY_TIMEOUT: Duration = Duration::from_secs(300);
    /// One: whatever is coming up again is asked by one attempt at a time.
    pub const DEFAULT_PROBES: u32 = 1;
    /// Three, because one success may be luck.
    pub const DEFAULT_SUCCESS_THRESHOLD: u32 = 3;
    /// Half a minute, after which a probe that has not answered no longer blocks others.
    pub const DEFAULT_PROBE_TIMEOUT: Duration = Duration::from_secs(30);
    /// A tenth, enough to part breakers that opened together.
    pub const DEFAULT_JITTER: f64 = 0.1;

    pub(crate) fn new() -> Self {
        Self {
            name: Self::DEFAULT_NAME.into(),
            rules: Rules::default(),
            max_recovery_timeout: None,
            observers: Observers::new(),
        }
    }

    /// Sets the name that stands in events, logs and errors.
    pub fn name(mut self, name: impl Into<EndpointName>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the number of failures in a row that open the breaker.
    ///
    /// `u32::MAX` turns the rule off in practice.
    pub fn consecutive_failures(mut self, failures: u32) -> Self {
        self.rules.consecutive_failures = failures;
        self
    }

    /// Opens the breaker also at `failures` among the last `window` outcomes, as "10 of the last
    /// 20".
    ///
    /// Off by default. The window holds up to 64 outcomes, and is empty again when the breaker
    /// closes. Not every failure has to be in a row, so this finds what fails half of the time.
    pub fn failures_of_last(mut self, failures: u32, window: u32) -> Self {
        self.rules.failures = Some(failures);
        self.rules.window = window;
        self
    }

    /// Opens the breaker also at so many failures more than `share` of the calls would be, counted
    /// from where that is the most.
    ///
    /// Off by default. It has no window whose size would have to fit the outage: a failure adds
    /// what it is above the share, a success takes the share off, and the sum is never below zero.
    /// So a share of failures that is smaller goes on for ever, and the greater one is, the sooner
    /// it opens. Of all rules that open as rarely for nothing, none is sooner on average at the
    /// failure rate that it was made for (Lorden, 1971).
    ///
    /// With 7 failures in a row beside it, 6 beyond 22 % open for nothing 0.98 times in 260 million
    /// calls if 5 % of them fail. If half of them fail it takes 20 in the median, and 32 in nine of
    /// ten cases; 10 of the last 20 need 19 and 39, and open 1.44 times.
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
        self.rules.excess = Some((failures, share));
        self
    }

    /// Opens the breaker also when at least this share of the calls of a window failed.
    ///
    /// Off by default.
    ///
    /// ```
    /// use std::time::Duration;
    /// use steadfast_breaker::{CircuitBreaker, Window};
    ///
    /// // Half of at least 20 among the last 100, whenever they were.
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

    /// Opens the breaker also when at least this share of the calls of a window took `slow` or
    /// longer, whatever came of them.
    ///
    /// Off by default. A call takes until its verdict, and one over HTTP until the head of its
    /// response. One that is cancelled is no call. A probe that is so slow has failed, whatever the
    /// share is: a service that comes back has to be quick.
    pub fn slow_calls(mut self, slow: Duration, share: f64, window: Window) -> Self {
        self.rules.slow_calls = Some((slow, Rate { share, window }));
        self
    }

    /// Sets what a verdict of [`Class::RateLimited`](steadfast_core::Class::RateLimited) is.
    pub fn rate_limits(mut self, rate_limits: RateLimits) -> Self {
        self.rules.rate_limits = rate_limits;
        self
    }

    /// Sets how long traffic takes to grow from a tenth to all of it after the breaker has closed.
    ///
    /// None by default. Meanwhile the other attempts are rejected. The rules count as always, and
    /// if one of them opens the breaker before the time is over that is one more failed recovery.
    pub fn ramp(mut self, time: Duration) -> Self {
        self.rules.ramp = time;
        self
    }

    /// Sets how long the breaker stays open before it lets the first probe through.
    ///
    /// Twice as long after each failed probe, up to the [maximum](Self::max_recovery_timeout), and
    /// as long as the hint of the verdict that opened it, if that is longer. The time shrinks by
    /// one such step for each `timeout` that the breaker then stays closed.
    pub fn recovery_timeout(mut self, timeout: Duration) -> Self {
        self.rules.recovery_timeout = timeout;
        self
    }

    /// Sets the longest time that the breaker stays open, unless the answer that opens it asks for
    /// more.
    ///
    /// If it is not set, it is [`DEFAULT_MAX_RECOVERY_TIMEOUT`], or the
    /// [`recovery_timeout`](Self::recovery_timeout) if that is longer.
    ///
    /// [`DEFAULT_MAX_RECOVERY_TIMEOUT`]: Self::DEFAULT_MAX_RECOVERY_TIMEOUT
    pub fn max_recovery_timeout(mut self, timeout: Duration) -> Self {
        self.max_recovery_timeout = Some(timeout);
        self
    }

    /// Sets how many probes a half-open breaker has at a time.
    pub fn probes(mut self, probes: u32) -> Self {
        self.rules.probes = probes;
        self
    }

    /// Sets how many probes must succeed before the breaker closes.
    pub fn success_threshold(mut self, successes: u32) -> Self {
        self.rules.success_threshold = successes;
        self
    }

    /// Sets the time after which a probe without a verdict gives its place to another.
    ///
    /// Its verdict still counts if it comes while the breaker is half-open.
    pub fn probe_timeout(mut self, timeout: Duration) -> Self {
        self.rules.probe_timeout = timeout;
        self
    }

    /// Sets the share of an open time, from 0 to 1, that chance may take off.
    ///
    /// An open time of just [`recovery_timeout`](Self::recovery_timeout) is exact.
    pub fn jitter(mut self, share: f64) -> Self {
        self.rules.jitter = share;
        self
    }

    /// Sets the seed of the random numbers, for runs that can be repeated.
    pub fn seed(mut self, seed: u64) -> Self {
        self.rules.seed = Some(seed);
        self
    }

    /// Adds an observer, which is told of each transition.
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

    /// Creates the breaker, which is closed.
    ///
    /// # Errors
    ///
    /// Returns an error that names the field if a number makes no sense.
    pub fn build(self) -> Result<CircuitBreaker, InvalidConfig> {
        let rules = self.rules();
        rules.check()?;
        Ok(CircuitBreaker::from_parts(self.name, rules, self.observers))
    }

    /// Returns whether a breaker of `other` would follow the same rules. Its name and its observers
    /// are none.
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
mod tests {
    use super::*;

    #[test]
    fn rules_are_the_numbers_and_nothing_else() {
        let builder = CircuitBreaker::builder;
        assert!(builder().has_rules_of(&builder().name("other")));
        let explicit = builder().max_recovery_timeout(Duration::from_secs(300));
        assert!(builder().has_rules_of(&explicit), "the default");
        assert!(!builder().has_rules_of(&builder().probes(2)));
    }

    fn refused(builder: CircuitBreakerBuilder) -> (String, String) {
        let error = builder.build().expect_err("nonsense");
        (error.field().into(), error.value().into())
    }

    #[test]
    fn nonsense_is_refused_with_its_field_and_value() {
        const SECOND: Duration = Duration::from_secs(1);
        let builder = CircuitBreaker::builder;
        for (builder, field, value) in [
            (
                builder().consecutive_failures(0),
                "consecutive_failures",
                "0",
            ),
            (
                builder().failures_of_last(0, 20),
                "failures_of_last",
                "0 of 20",
            ),
            (
                builder().failures_of_last(21, 20),
                "failures_of_last",
                "21 of 20",
            ),
            (
                builder().failures_of_last(1, 65),
                "failures_of_last",
                "1 of 65",
            ),
            (
                builder().failures_of_last(0, 0),
                "failures_of_last",
                "0 of 0",
            ),
            (
                builder().excess_failures(0, 0.2),
                "excess_failures",
                "0 beyond 0.2",
            ),
            (
                builder().excess_failures(6, 1.0),
                "excess_failures",
                "6 beyond 1",
            ),
            (
                builder().excess_failures(6, f64::NAN),
                "excess_failures",
                "6 beyond NaN",
            ),
            (
                builder().recovery_timeout(Duration::ZERO),
                "recovery_timeout",
                "0ns",
            ),
            (
                builder()
                    .recovery_timeout(2 * SECOND)
                    .max_recovery_timeout(SECOND),
                "max_recovery_timeout",
                "1s",
            ),
            (
                builder().failure_rate(0.0, Window::calls(10)),
                "failure_rate",
                "0",
            ),
            (
                builder().failure_rate(1.1, Window::calls(10)),
                "failure_rate",
                "1.1",
            ),
            (
                builder().failure_rate(f64::NAN, Window::calls(10)),
                "failure_rate",
                "NaN",
            ),
            (
                builder().failure_rate(0.5, Window::calls(10).min_calls(11)),
                "failure_rate",
                "Window { span: Calls(10), min_calls: 11 }",
            ),
            (
                builder().failure_rate(0.5, Window::time(Duration::ZERO)),
                "failure_rate",
                "Window { span: Time(0ns), min_calls: 10 }",
            ),
            (
                builder().slow_calls(Duration::ZERO, 0.5, Window::calls(10)),
                "slow_calls",
                "0ns",
            ),
            (
                builder().slow_calls(SECOND, 0.5, Window::calls(0)),
                "slow_calls",
                "Window { span: Calls(0), min_calls: 0 }",
            ),
            (
                builder().rate_limits(RateLimits::Count),
                "rate_limits",
                "Count",
            ),
            (builder().probes(0), "probes", "0"),
            (builder().success_threshold(0), "success_threshold", "0"),
            (
                builder().probe_timeout(Duration::ZERO),
                "probe_timeout",
                "0ns",
            ),
            (builder().jitter(1.1), "jitter", "1.1"),
            (builder().jitter(-0.1), "jitter", "-0.1"),
            (builder().jitter(f64::NAN), "jitter", "NaN"),
        ] {
            assert_eq!(refused(builder), (field.into(), value.into()));
        }
    }

    #[test]
    fn the_edges_are_accepted() {
        let builder = CircuitBreaker::builder;
        for builder in [
            builder().failures_of_last(1, 1),
            builder().failures_of_last(64, 64),
            builder().excess_failures(1, 0.001),
            builder().excess_failures(u32::MAX, 0.999),
            builder().jitter(0.0),
            builder().jitter(1.0),
            builder().consecutive_failures(u32::MAX).probes(u32::MAX),
            builder()
                .recovery_timeout(Duration::MAX)
                .probe_timeout(Duration::MAX),
        ] {
            assert!(builder.clone().build().is_ok(), "{builder:?}");
        }
    }

    #[test]
    fn the_maximum_follows_a_longer_recovery_timeout_unless_it_was_set() {
        let builder = CircuitBreaker::builder();
        let max = |builder: CircuitBreakerBuilder| builder.rules().max_recovery_timeout.as_secs();
        assert_eq!(max(builder.clone()), 300);
        let hour = builder.clone().recovery_timeout(Duration::from_secs(3600));
        assert_eq!(max(hour), 3600);
        let set = builder.max_recovery_timeout(Duration::from_secs(60));
        assert_eq!(max(set), 60);
    }
}
