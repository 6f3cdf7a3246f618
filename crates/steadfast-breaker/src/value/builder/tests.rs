//! The checks of a builder, and the comparison of rules.

use super::*;

#[test]
fn only_numbers_belong_to_rules() {
    let builder = CircuitBreaker::builder;
    assert!(builder().has_rules_of(&builder().name("other")));
    let explicit = builder().max_recovery_timeout(Duration::from_secs(300));
    assert!(builder().has_rules_of(&explicit), "the default");
    assert!(!builder().has_rules_of(&builder().probes(2)));
}

fn rejected(builder: CircuitBreakerBuilder) -> (String, String) {
    let error = builder.build().expect_err("an invalid number");
    (error.field().into(), error.value().into())
}

#[test]
fn invalid_number_is_rejected_with_field_and_value() {
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
        assert_eq!(rejected(builder), (field.into(), value.into()));
    }
}

#[test]
fn limits_of_numbers_are_valid() {
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
fn unset_maximum_follows_longer_recovery_timeout() {
    let builder = CircuitBreaker::builder();
    let max = |builder: CircuitBreakerBuilder| builder.rules().max_recovery_timeout.as_secs();
    assert_eq!(max(builder.clone()), 300);
    let hour = builder.clone().recovery_timeout(Duration::from_secs(3600));
    assert_eq!(max(hour), 3600);
    let set = builder.max_recovery_timeout(Duration::from_secs(60));
    assert_eq!(max(set), 60);
}

#[test]
fn error_message_has_field_rule_and_value() {
    for (builder, message) in [
        (
            CircuitBreaker::builder().failures_of_last(21, 20),
            "failures_of_last: need 1 <= failures <= window <= 64, got 21 of 20",
        ),
        (
            CircuitBreaker::builder().probes(0),
            "probes: must be at least 1, got 0",
        ),
    ] {
        assert_eq!(builder.build().unwrap_err().to_string(), message);
    }
}

/// The documented constants are the defaults of the rules.
#[test]
fn default_rules_match_constants() {
    type Builder = CircuitBreakerBuilder;
    let explicit = CircuitBreaker::builder()
        .consecutive_failures(Builder::DEFAULT_CONSECUTIVE_FAILURES)
        .recovery_timeout(Builder::DEFAULT_RECOVERY_TIMEOUT)
        .max_recovery_timeout(Builder::DEFAULT_MAX_RECOVERY_TIMEOUT)
        .probes(Builder::DEFAULT_PROBES)
        .success_threshold(Builder::DEFAULT_SUCCESS_THRESHOLD)
        .probe_timeout(Builder::DEFAULT_PROBE_TIMEOUT)
        .jitter(Builder::DEFAULT_JITTER);
    assert!(explicit.has_rules_of(&CircuitBreaker::builder()));
    assert_eq!(explicit.rules().window, Builder::DEFAULT_WINDOW);
    assert_eq!(explicit.rules(), Rules::default());
}
