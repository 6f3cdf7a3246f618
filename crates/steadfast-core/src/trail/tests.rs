use super::*;
use crate::layer::RecordAttempts;
use crate::{Class, Verdict};
use http::StatusCode;
use tokio::time::Instant;

fn attempt(endpoint: &str, class: Class) -> Attempt {
    Attempt {
        endpoint: Some(endpoint.into()),
        ..Attempt::new(Instant::now(), Verdict::new(class))
    }
}

#[test]
fn attempts_are_printed_in_order() {
    let trail = Trail::new();
    assert!(trail.is_empty());
    trail.record(attempt("primary", Class::RateLimited));
    let mut last = attempt("backup", Class::Success);
    last.status = Some(StatusCode::OK);
    trail.record(last);

    assert_eq!(trail.len(), 2);
    assert_eq!(
        trail.to_string(),
        "primary: rate_limited, backup: success (200)"
    );
    assert_eq!(
        trail.last().and_then(|last| last.endpoint),
        Some("backup".into())
    );
}

#[test]
fn retry_at_the_same_endpoint_is_no_failover() {
    let trail = Trail::new();
    for endpoint in ["a", "a", "b", "a"] {
        trail.record(attempt(endpoint, Class::Transport));
    }
    assert_eq!(trail.failovers(), 2);
}

/// The winner is recorded before the attempt that lost, and neither followed the other.
#[test]
fn hedge_is_no_failover() {
    let trail = Trail::new();
    trail.record(Attempt {
        hedge: true,
        ..attempt("b", Class::Success)
    });
    trail.record(attempt("a", Class::Cancelled));
    assert_eq!(trail.failovers(), 0);
}

#[test]
fn endless_retries_keep_a_bounded_number_of_attempts() {
    let trail = Trail::new();
    for n in 0..1000 {
        trail.record(attempt(&n.to_string(), Class::RateLimited));
    }
    let attempts = trail.attempts();
    assert_eq!((trail.len(), attempts.len()), (1000, Trail::MAX_ATTEMPTS));
    assert_eq!(attempts[0].endpoint, Some("0".into()));
    assert_eq!(attempts[127].endpoint, Some("999".into()));
}

#[test]
fn next_is_taken_once() {
    let trail = Trail::new();
    trail.set_next(Next::Now);
    assert_eq!(trail.clone().take_next(), Some(Next::Now));
    assert_eq!(trail.take_next(), None);
    assert_eq!(trail.last_next(), Some(Next::Now));
}

#[test]
fn receipt_is_taken_once() {
    let trail = Trail::new();
    for (n, endpoint) in [(1, "a"), (2, "b"), (3, "a")] {
        trail.record(attempt(endpoint, Class::ServerError).with_receipt(Some((0, n))));
    }
    let at_a = |attempt: &Attempt| attempt.endpoint == Some("a".into());
    assert_eq!(trail.take_receipts(&at_a), [(0, 1), (0, 3)]);
    assert_eq!(trail.take_receipts(&|_| true), [(0, 2)]);
}

/// A layer that sleeps between attempts would otherwise make an old request look new.
#[tokio::test(start_paused = true)]
async fn arrival_belongs_to_request_and_not_to_attempt() {
    let start = Instant::now();
    let trail = Trail::since(start);
    tokio::time::advance(std::time::Duration::from_secs(5)).await;
    trail.record(attempt("primary", Class::RateLimited));
    assert_eq!(trail.clone().arrived(), start);
    assert_eq!(Trail::new().arrived(), Instant::now());
}

#[test]
fn retries_are_claimed_once() {
    let trail = Trail::new();
    assert!(!trail.is_claimed());
    assert!(trail.claim_retries());
    assert!(trail.is_claimed());
    assert!(!trail.clone().claim_retries());
}

#[test]
fn tier_belongs_to_last_attempt_until_set() {
    let trail = Trail::new();
    assert_eq!(trail.tier(), 0);
    let mut first = attempt("primary", Class::RateLimited);
    first.tier = 1;
    trail.record(first);
    assert_eq!(trail.tier(), 1);
    trail.set_tier(0);
    assert_eq!(trail.tier(), 0);
}
