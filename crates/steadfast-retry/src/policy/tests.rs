use std::time::Duration;

use http::Request;
use steadfast_core::layer::{Next, Observers, TICK};
use steadfast_core::{Class, Deadline, RetryBudget, Safety, Verdict};
use tokio::time::Instant;

use super::*;
use crate::backoff::{Backoff, Jitter};
use crate::overrides::RetryOverride;
use crate::random::RandomSource;

const SECOND: Duration = Duration::from_secs(1);

fn policy() -> Policy {
    Policy {
        max_attempts: 3,
        max_wait: 30 * SECOND,
        backoff: Backoff::default(),
        budget: Some(RetryBudget::default()),
        safety: Safety::idempotent(),
        refusals: Refusals::default(),
        observers: Observers::new(),
        // The longest possible waits.
        random: RandomSource::given(|| 1.0),
    }
}

fn limits() -> Limits {
    Limits {
        max_attempts: 3,
        max_wait: 30 * SECOND,
        deadline: None,
        safe: true,
    }
}

fn limits_with_deadline() -> Limits {
    Limits {
        deadline: Some(Deadline::after(60 * SECOND)),
        ..limits()
    }
}

fn outcome(class: Class, next: Option<Next>) -> Outcome {
    Outcome {
        verdict: Verdict::new(class),
        next,
        attempted: true,
        owed: true,
        paid: 0,
        first: false,
        late: class == Class::Timeout,
        young: false,
        started: Instant::now(),
        others: 0,
        at_fault: false,
        caller: (0, 0),
    }
}

fn spent(attempts: u32) -> Spent {
    Spent {
        attempts,
        ..Spent::default()
    }
}

/// Returns the wait of a decision, or `None` if it gives up.
fn wait(decision: &Decision) -> Option<Duration> {
    match decision {
        Decision::GiveUp(_) => None,
        Decision::Again { wait, .. } => Some(*wait),
    }
}

#[tokio::test(start_paused = true)]
async fn class_decides_retry_without_balancer() {
    let now = Instant::now();
    for (class, expected) in [
        (Class::RateLimited, true),
        (Class::Overloaded, true),
        (Class::Connect, true),
        (Class::Transport, true),
        (Class::ServerError, true),
        (Class::Timeout, false),
        (Class::QuotaExhausted, false),
        (Class::Unauthorized, false),
        (Class::ContextTooLong, false),
        (Class::ContentPolicy, false),
        (Class::ModelUnavailable, false),
        (Class::CallerFault, false),
    ] {
        let decision = policy().decide(outcome(class, None), limits(), spent(1), now);
        assert_eq!(wait(&decision).is_some(), expected, "{class}");
    }
}

#[tokio::test(start_paused = true)]
async fn jitter_only_adds_to_hint() {
    let now = Instant::now();
    let mut limited = outcome(Class::RateLimited, None);
    limited.verdict = limited.verdict.with_hint(Some(2 * SECOND));
    for (jitter, chance, expected) in [
        (Jitter::Full, 0.0, 2 * SECOND),
        (Jitter::Full, 1.0, 2 * SECOND + SECOND / 2),
        (Jitter::Equal, 0.0, 2 * SECOND),
        (Jitter::Equal, 1.0, 2 * SECOND + SECOND / 4),
        (Jitter::Decorrelated, 0.0, 2 * SECOND),
        (Jitter::None, 1.0, 2 * SECOND),
    ] {
        let policy = Policy {
            backoff: Backoff::default().jitter(jitter),
            random: RandomSource::given(move || chance),
            ..policy()
        };
        let decision = policy.decide(limited, limits(), spent(1), now);
        assert_eq!(wait(&decision), Some(expected), "{jitter:?} at {chance}");
    }
}

/// Without a hint, the waits are random already. A lone client waited 5 s on average after its
/// second hint of 1 s.
#[tokio::test(start_paused = true)]
async fn hint_in_vain_spreads_wait_by_evidence_of_crowd() {
    let now = Instant::now();
    let quarter = SECOND / 4;
    for (class, hint, (waits, others), expected) in [
        (
            Class::RateLimited,
            Some(SECOND),
            (0, 0),
            SECOND + SECOND / 2,
        ),
        (
            Class::RateLimited,
            Some(SECOND),
            (0, 99),
            SECOND + SECOND / 2,
        ),
        (Class::RateLimited, Some(SECOND), (1, 0), SECOND + quarter),
        (Class::RateLimited, Some(SECOND), (1, 3), 2 * SECOND),
        (Class::RateLimited, Some(SECOND), (1, 31), 9 * SECOND),
        (Class::RateLimited, Some(SECOND), (1, u32::MAX), 9 * SECOND),
        (Class::RateLimited, Some(20 * SECOND), (1, 0), 25 * SECOND),
        (Class::RateLimited, Some(SECOND), (2, 1), 17 * SECOND),
        (Class::RateLimited, Some(SECOND), (3, 1), 9 * SECOND),
        // It waited 8 s on average after its third hint of 1 s.
        (Class::RateLimited, Some(SECOND), (2, 0), SECOND + quarter),
        (Class::RateLimited, Some(20 * SECOND), (2, 0), 25 * SECOND),
        (Class::RateLimited, Some(SECOND), (3, 0), 25 * SECOND),
        (Class::RateLimited, Some(quarter), (3, 0), 25 * quarter),
        (Class::RateLimited, Some(Duration::ZERO), (3, 0), 4 * SECOND),
        (Class::RateLimited, Some(SECOND), (4, 0), 17 * SECOND),
        (Class::RateLimited, Some(Duration::ZERO), (1, 0), SECOND),
        (Class::RateLimited, None, (1, 99), SECOND),
        (Class::Overloaded, Some(SECOND), (1, 99), 2 * SECOND),
    ] {
        let mut limited = outcome(class, None);
        limited.others = others;
        limited.verdict = limited.verdict.with_hint(hint);
        let spent = Spent { waits, ..spent(1) };
        let decision = policy().decide(limited, limits(), spent, now);
        assert_eq!(
            wait(&decision),
            Some(expected),
            "{class} {hint:?} after {waits}, {others} others"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn wait_is_started_only_within_time_left() {
    let now = Instant::now();
    let at = |wait| outcome(Class::RateLimited, Some(Next::At(now + wait)));
    let none = None;
    let by = |deadline| Some(Deadline::at(now + deadline));
    for (wait_for, deadline, slept, expected) in [
        (
            29 * SECOND,
            none,
            Duration::ZERO,
            Some(29 * SECOND + SECOND / 2),
        ),
        (30 * SECOND, none, Duration::ZERO, Some(30 * SECOND)),
        (31 * SECOND, none, Duration::ZERO, None),
        (86_400 * SECOND, none, Duration::ZERO, None),
        (SECOND, none, 29 * SECOND, Some(SECOND)),
        (SECOND, none, 30 * SECOND, None),
        (Duration::ZERO, none, 29 * SECOND, Some(SECOND / 2)),
        (Duration::ZERO, none, 30 * SECOND, None),
        (Duration::ZERO, none, 30 * SECOND - TICK, Some(TICK)),
        (Duration::ZERO, none, 30 * SECOND - TICK / 2, None),
        // A deadline replaces the maximum, and leaves half of the rest for the attempt.
        (
            40 * SECOND,
            by(60 * SECOND),
            Duration::ZERO,
            Some(40 * SECOND + SECOND / 2),
        ),
        (
            SECOND,
            by(60 * SECOND),
            40 * SECOND,
            Some(SECOND + SECOND / 2),
        ),
        (
            SECOND,
            by(SECOND + SECOND / 5),
            Duration::ZERO,
            Some(SECOND + SECOND / 10),
        ),
        (SECOND, by(SECOND), Duration::ZERO, None),
        (Duration::ZERO, by(2 * TICK), Duration::ZERO, Some(TICK)),
        (Duration::ZERO, by(TICK), Duration::ZERO, None),
        (Duration::ZERO, by(Duration::ZERO), Duration::ZERO, None),
    ] {
        let spent = Spent { slept, ..spent(1) };
        let limits = Limits {
            deadline,
            ..limits()
        };
        let decision = policy().decide(at(wait_for), limits, spent, now);
        assert_eq!(
            wait(&decision),
            expected,
            "{wait_for:?} {deadline:?} {slept:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn move_after_refusal_is_immediate_and_free() {
    let now = Instant::now();
    for (class, attempts, expected, cost) in [
        (Class::RateLimited, 3, Some(Duration::ZERO), 0),
        (Class::Connect, 99, Some(Duration::ZERO), 0),
        (Class::Unauthorized, 3, Some(Duration::ZERO), 0),
        (Class::ServerError, 2, Some(Duration::ZERO), 2),
        (Class::Timeout, 2, Some(Duration::ZERO), 2),
        (Class::ServerError, 3, None, 0),
    ] {
        let policy = policy();
        let decision = policy.decide(
            outcome(class, Some(Next::Now)),
            limits(),
            spent(attempts),
            now,
        );
        assert_eq!(wait(&decision), expected, "{class}");
        let budget = policy.budget.as_ref().expect("there is one");
        assert_eq!(budget.capacity() - budget.available(), cost, "{class}");
    }
}

#[tokio::test(start_paused = true)]
async fn unprocessed_attempt_costs_less() {
    let now = Instant::now();
    for (class, hint, cost) in [
        (Class::RateLimited, None, 1),
        (Class::Connect, None, 1),
        (Class::Local, None, 1),
        (Class::Overloaded, Some(SECOND), 5),
        (Class::Overloaded, None, 14),
        (Class::Transport, None, 14),
        (Class::ServerError, None, 14),
    ] {
        let policy = policy();
        let failed = Outcome {
            verdict: Verdict::new(class).with_hint(hint),
            ..outcome(class, Some(Next::At(now)))
        };
        let decision = policy.decide(failed, limits(), spent(1), now);
        let budget = policy.budget.as_ref().expect("there is one");
        assert_eq!(budget.capacity() - budget.available(), cost, "{class}");
        drop(decision);
        assert_eq!(budget.available(), budget.capacity(), "not used");
    }
}

/// A caller with 30 s to spare got the failure of a restart after two seconds, and the `429` of
/// its last attempt after four.
#[tokio::test(start_paused = true)]
async fn attempt_that_cost_nothing_is_free_below_a_balancer_with_a_deadline() {
    let now = Instant::now();
    let next = Some(Next::At(now + SECOND));
    let at_once = Some(Next::At(now));
    for (class, next, young, is_free) in [
        (Class::Connect, at_once, true, true),
        // The refusal has begun no cooldown, so nothing else bounds its repeats.
        (Class::RateLimited, at_once, true, false),
        (Class::Connect, next, true, true),
        (Class::Connect, next, false, true),
        (Class::RateLimited, next, true, true),
        // A deadline of ten minutes is no reason to repeat a refusal for five.
        (Class::RateLimited, next, false, false),
        // Without a balancer, the attempts at the only endpoint are limited.
        (Class::Connect, None, true, false),
        (Class::RateLimited, None, true, false),
        (Class::Transport, next, true, false),
        (Class::Overloaded, next, true, false),
    ] {
        let case = format!("{class} {next:?} {young}");
        let policy = policy();
        let failed = Outcome {
            young,
            ..outcome(class, next)
        };
        let last = policy.decide(failed, limits_with_deadline(), spent(3), now);
        assert_eq!(wait(&last).is_some(), is_free, "{case}");
        if class == Class::RateLimited && next.is_some() {
            // The endpoint does not take the request before the end of its hint.
            let hinted = Outcome {
                verdict: failed.verdict.with_hint(Some(SECOND)),
                ..failed
            };
            let last = policy.decide(hinted, limits_with_deadline(), spent(3), now);
            assert_eq!(wait(&last).is_some(), young, "{case} with a hint");
        }
        let decision = policy.decide(failed, limits_with_deadline(), spent(1), now);
        let Decision::Again { counts, .. } = decision else {
            panic!("{case}: {decision:?}");
        };
        assert_eq!(counts, !is_free, "{case}");
        let budget = policy.budget.as_ref().expect("there is one");
        let is_paid = budget.available() < budget.capacity();
        assert_eq!(is_paid, !is_free, "{case}");
    }
}

/// No breaker bounds the repeats of a refused stream.
#[tokio::test(start_paused = true)]
async fn neutral_connect_counts() {
    let now = Instant::now();
    for (verdict, is_free) in [
        (Verdict::new(Class::Connect), true),
        (Verdict::new(Class::Connect).neutral(), false),
    ] {
        let failed = Outcome {
            verdict,
            ..outcome(Class::Connect, Some(Next::At(now)))
        };
        let last = policy().decide(failed, limits_with_deadline(), spent(3), now);
        assert_eq!(wait(&last).is_some(), is_free, "{verdict:?}");
    }
}

/// The deadline cut a further attempt, and the caller got a timeout in place of the failed connect.
#[tokio::test(start_paused = true)]
async fn attempt_counts_shortly_before_the_deadline() {
    let now = Instant::now();
    let policy = policy();
    let backoff = policy.backoff.bound(0);
    // A connect that took long would take as long again.
    for (left, took, is_free) in [
        (backoff, Duration::ZERO, false),
        (10 * backoff, Duration::ZERO, true),
        (10 * backoff, 10 * backoff, false),
    ] {
        let limits = Limits {
            deadline: Some(Deadline::after(left)),
            ..limits()
        };
        let failed = Outcome {
            started: now - took,
            ..outcome(Class::Connect, Some(Next::At(now)))
        };
        let last = policy.decide(failed, limits, spent(3), now);
        assert_eq!(wait(&last).is_some(), is_free, "{left:?} {took:?}");
        let other = policy.decide(failed, limits, spent(1), now);
        assert!(wait(&other).is_some(), "{left:?}: an attempt is left");
    }
}

/// After a free move, a request without a slot lost one of its attempts.
#[tokio::test(start_paused = true)]
async fn rejection_with_a_time_is_free_with_a_deadline() {
    let now = Instant::now();
    for (wait_for, young, is_free) in [
        (SECOND, true, true),
        (SECOND, false, false),
        (Duration::ZERO, true, false),
    ] {
        let policy = policy();
        let rejected = Outcome {
            attempted: false,
            young,
            ..outcome(Class::RateLimited, Some(Next::At(now + wait_for)))
        };
        let last = policy.decide(rejected, limits(), spent(3), now);
        assert_eq!(wait(&last).is_some(), is_free, "{wait_for:?} {young}");
    }
}

/// The endpoint was silent, so nothing shows that the request itself is slow.
#[tokio::test(start_paused = true)]
async fn silent_timeout_is_no_late_attempt_and_costs_as_much_as_a_move() {
    let now = Instant::now();
    for (late, expected, cost) in [(false, true, 2), (true, false, 0)] {
        let policy = policy();
        let silent = Outcome {
            late,
            ..outcome(Class::Timeout, Some(Next::At(now)))
        };
        let spent = Spent {
            late: 2 * u32::from(late),
            ..spent(2)
        };
        let decision = policy.decide(silent, limits(), spent, now);
        assert_eq!(wait(&decision).is_some(), expected, "{late}");
        let budget = policy.budget.as_ref().expect("there is one");
        assert_eq!(budget.capacity() - budget.available(), cost, "{late}");
    }
}

#[tokio::test(start_paused = true)]
async fn empty_budget_ends_retries_but_not_free_moves() {
    let now = Instant::now();
    let policy = Policy {
        budget: Some(RetryBudget::new(0)),
        ..policy()
    };
    let decide =
        |class, next| wait(&policy.decide(outcome(class, Some(next)), limits(), spent(1), now));
    assert_eq!(decide(Class::RateLimited, Next::At(now)), None);
    assert_eq!(decide(Class::ServerError, Next::Now), None);
    assert_eq!(decide(Class::RateLimited, Next::Now), Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn possibly_processed_request_is_repeated_only_if_safe() {
    let now = Instant::now();
    for (class, hint, expected) in [
        (Class::ServerError, None, false),
        (Class::Transport, None, false),
        (Class::Overloaded, None, false),
        (Class::Overloaded, Some(SECOND), true),
        (Class::RateLimited, None, true),
        (Class::Connect, None, true),
    ] {
        let unsafe_post = Outcome {
            verdict: Verdict::new(class).with_hint(hint),
            ..outcome(class, Some(Next::Now))
        };
        let limits = Limits {
            safe: false,
            ..limits()
        };
        let decision = policy().decide(unsafe_post, limits, spent(1), now);
        assert_eq!(wait(&decision).is_some(), expected, "{class} {hint:?}");
    }
}

#[test]
fn method_key_override_or_setting_makes_request_safe() {
    let head = |method, key: bool, extension: Option<bool>| {
        let mut request = Request::builder().method(method).uri("/search");
        if key {
            request = request.header("idempotency-key", "1");
        }
        if let Some(safe) = extension {
            request = request.extension(RetryOverride::new().safe(safe));
        }
        request.body(()).unwrap().into_parts().0
    };
    let all = Policy {
        safety: Safety::always(),
        ..policy()
    };
    let searches = || Policy {
        safety: Safety::when(|head| head.uri.path().ends_with("search")),
        ..policy()
    };
    for (policy, head, expected) in [
        (policy(), head("GET", false, None), true),
        (policy(), head("PUT", false, None), true),
        (policy(), head("POST", false, None), false),
        (policy(), head("PATCH", false, None), false),
        (policy(), head("POST", true, None), true),
        (policy(), head("POST", false, Some(true)), true),
        (policy(), head("GET", false, Some(false)), false),
        (all, head("POST", false, None), true),
        (searches(), head("POST", false, None), true),
        (searches(), head("POST", false, Some(false)), false),
    ] {
        assert_eq!(policy.limits(&head, false).safe, expected, "{head:?}");
    }
}

/// A balancer that rejects a request at once has made no attempt.
#[tokio::test(start_paused = true)]
async fn wait_for_first_endpoint_does_not_count() {
    let now = Instant::now();
    let refused = Outcome {
        attempted: false,
        owed: false,
        first: true,
        ..outcome(Class::Transport, Some(Next::At(now + SECOND)))
    };
    let policy = policy();
    let limits = Limits {
        safe: false,
        ..limits()
    };
    let decision = policy.decide(refused, limits, spent(99), now);
    assert!(
        matches!(decision, Decision::Again { counts: false, .. }),
        "{decision:?}"
    );
    let budget = policy.budget.as_ref().expect("there is one");
    assert_eq!(budget.available(), budget.capacity());
}

/// A balancer reported another endpoint, and then had none. The next attempt is a retry.
#[tokio::test(start_paused = true)]
async fn wait_after_rejected_move_is_paid() {
    let now = Instant::now();
    let refused = Outcome {
        attempted: false,
        ..outcome(Class::RateLimited, Some(Next::At(now + SECOND)))
    };
    let policy = policy();
    let decision = policy.decide(refused, limits(), spent(2), now);
    assert!(
        matches!(decision, Decision::Again { counts: true, .. }),
        "{decision:?}"
    );
    let budget = policy.budget.as_ref().expect("there is one");
    assert_eq!(budget.capacity() - budget.available(), 1);
    assert_eq!(wait(&policy.decide(refused, limits(), spent(3), now)), None);
}

#[tokio::test(start_paused = true)]
async fn server_error_is_repeated_once_at_same_endpoint() {
    let now = Instant::now();
    for (once, expected) in [(1, true), (2, false)] {
        let spent = Spent { once, ..spent(1) };
        let decision = policy().decide(outcome(Class::ServerError, None), limits(), spent, now);
        assert_eq!(wait(&decision).is_some(), expected);
    }
}

#[test]
fn retry_override_replaces_layer_settings() {
    let head = |given: RetryOverride| {
        let request = Request::builder().extension(given).body(()).unwrap();
        request.into_parts().0
    };
    let policy = policy();
    let given = RetryOverride::new().max_attempts(7).max_wait(SECOND);
    let limits = policy.limits(&head(given), false);
    assert_eq!((limits.max_attempts, limits.max_wait), (7, SECOND));
    let unset = head(RetryOverride::new());
    assert_eq!(policy.limits(&unset, false).max_attempts, 3);

    assert!(policy.may_retry(&head(given)));
    assert!(!policy.may_retry(&head(RetryOverride::never())));
    let off = Policy {
        max_attempts: 1,
        ..self::policy()
    };
    assert!(!off.may_retry(&head(RetryOverride::new())));
    assert!(off.may_retry(&head(given)));
}

/// A layer above has read the request, and the caller decides.
#[test]
fn noted_request_is_safe_unless_overridden() {
    let policy = policy();
    for (given, noted, expected) in [
        (None, false, false),
        (None, true, true),
        (Some(false), true, false),
        (Some(true), false, true),
    ] {
        let given = RetryOverride {
            safe: given,
            ..RetryOverride::new()
        };
        let request = Request::post("/").extension(given).body(()).unwrap();
        let (head, ()) = request.into_parts();
        assert_eq!(policy.limits(&head, noted).safe, expected, "{given:?}");
        assert_eq!(policy.may_repeat(&head, noted), expected, "{given:?}");
    }
}

/// A balancer may reject a request and still report an admissible endpoint.
#[tokio::test(start_paused = true)]
async fn rejection_without_attempt_is_not_repeated_at_once() {
    let nobody = Outcome {
        attempted: false,
        ..outcome(Class::RateLimited, Some(Next::Now))
    };
    let decision = policy().decide(nobody, limits(), spent(1), Instant::now());
    assert!(wait(&decision) >= Some(TICK), "{decision:?}");
}

/// A move was paid and not sent. The next attempt is a retry at the same endpoint.
#[tokio::test(start_paused = true)]
async fn reserved_tokens_are_not_paid_again() {
    for (paid, first, cost) in [(0, false, 14), (2, false, 12), (14, false, 0), (0, true, 0)] {
        let now = Instant::now();
        let known = Outcome {
            paid,
            first,
            ..outcome(Class::Transport, Some(Next::At(now)))
        };
        let policy = policy();
        let _decision = policy.decide(known, limits(), spent(1), now);
        let budget = policy.budget.as_ref().expect("there is one");
        assert_eq!(
            budget.capacity() - budget.available(),
            cost,
            "{paid} {first}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn no_attempt_starts_after_deadline() {
    let now = Instant::now();
    let late = Limits {
        deadline: Some(Deadline::at(now)),
        ..limits()
    };
    let decision = policy().decide(
        outcome(Class::RateLimited, Some(Next::Now)),
        late,
        spent(1),
        now,
    );
    assert_eq!(wait(&decision), None);
}
