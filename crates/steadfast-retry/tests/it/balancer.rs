//! Retries over a balancer, played by closures that write the trail.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use steadfast_core::layer::Next;
use steadfast_core::layer::{RecordAttempts, verdict_of};
use steadfast_core::{
    Attempt, Class, Classify, DefaultClassifier, Exhausted, RetryBudget, Trail, Verdict,
};
use steadfast_retry::{ReplayBody, RetryOn429Layer};
use tokio::time::Instant;

use crate::support::{
    Answer, Body, LayerOneshot, Returned, SECOND, answer, layer, limited, refused, request,
};

/// Sends a request through a balancer with these attempts: endpoint, tier, answer, next attempt.
async fn balanced(attempts: Vec<(&'static str, u16, Answer, Next)>) -> (Returned, Duration, usize) {
    balanced_by(layer(), attempts).await
}

async fn balanced_by(
    layer: RetryOn429Layer,
    attempts: Vec<(&'static str, u16, Answer, Next)>,
) -> (Returned, Duration, usize) {
    let attempts = Arc::new(Mutex::new(VecDeque::from(attempts)));
    let left = attempts.clone();
    let client = tower::service_fn(move |request: Request<ReplayBody<Body>>| {
        let trail = Trail::of(request.extensions())
            .expect("the retry layer made it")
            .clone();
        let (endpoint, tier, answer, next) = attempts
            .lock()
            .unwrap()
            .pop_front()
            .expect("no more requests");
        let verdict = match &answer {
            Ok(response) => verdict_of(Ok(response)),
            Err(error) => DefaultClassifier.classify(Err(&**error)),
        };
        if !endpoint.is_empty() {
            let mut attempt = Attempt::new(Instant::now(), verdict);
            attempt.endpoint = Some(endpoint.into());
            attempt.tier = tier;
            trail.record(attempt);
        }
        trail.set_next(next);
        async move { answer }
    });
    let start = Instant::now();
    let outcome = layer.layer_oneshot(client, request("POST")).await;
    let left = left.lock().unwrap().len();
    (outcome, start.elapsed(), left)
}

#[tokio::test(start_paused = true)]
async fn admissible_endpoint_is_tried_without_wait() {
    let (outcome, slept, left) = balanced(vec![
        ("a", 0, Ok(limited("60")), Next::Now),
        ("b", 0, Err(refused()), Next::Now),
        ("c", 0, Ok(limited("60")), Next::Now),
        ("d", 1, Ok(limited("60")), Next::Now),
        ("e", 1, Ok(answer(200)), Next::Never),
    ])
    .await;
    let response = outcome.unwrap();
    assert_eq!(
        (response.status().as_u16(), slept, left),
        (200, Duration::ZERO, 0)
    );
    let trail = Trail::of(response.extensions()).expect("five attempts");
    assert_eq!((trail.len(), trail.failovers()), (5, 4));
}

#[tokio::test(start_paused = true)]
async fn answer_of_lowest_tier_is_returned() {
    let (outcome, _, _) = balanced(vec![
        ("a", 0, Ok(limited("60")), Next::Now),
        ("b", 0, Ok(limited("90")), Next::Now),
        ("fallback", 1, Ok(answer(401)), Next::Never),
    ])
    .await;
    let response = outcome.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(
        response.headers()["retry-after"],
        "90",
        "the last answer of its tier"
    );
    assert_eq!(Trail::of(response.extensions()).map(Trail::len), Some(3));
}

#[tokio::test(start_paused = true)]
async fn soonest_endpoint_ends_wait_before_own_hint() {
    let soon = Instant::now() + 2 * SECOND;
    let (outcome, slept, _) = balanced(vec![
        ("a", 0, Ok(limited("86400")), Next::At(soon)),
        ("b", 0, Ok(answer(200)), Next::Never),
    ])
    .await;
    assert_eq!(outcome.unwrap().status(), 200);
    assert_eq!(slept, 2 * SECOND + SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn rejection_before_first_attempt_starts_wait() {
    let soon = Instant::now() + 2 * SECOND;
    let nobody = || {
        let verdict = Verdict::new(Class::RateLimited).with_hint(Some(2 * SECOND));
        Err(Exhausted::new(Trail::new(), verdict, None).into())
    };
    let (outcome, slept, _) = balanced(vec![
        ("", 0, nobody(), Next::At(soon)),
        ("a", 0, Ok(answer(200)), Next::Never),
    ])
    .await;
    assert_eq!(outcome.unwrap().status(), 200);
    assert_eq!(slept, 2 * SECOND + SECOND / 2);

    let late = Instant::now() + 60 * SECOND;
    let (outcome, slept, _) = balanced(vec![("", 0, nobody(), Next::At(late))]).await;
    let error = outcome.unwrap_err();
    assert_eq!(
        Exhausted::find(&*error).and_then(Exhausted::retry_in),
        Some(2 * SECOND)
    );
    assert_eq!(slept, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn error_without_answer_contains_recovery() {
    let late = Instant::now() + 60 * SECOND;
    let (outcome, _, _) = balanced(vec![
        ("a", 0, Err(refused()), Next::Now),
        ("b", 1, Err(refused()), Next::At(late)),
    ])
    .await;
    let error = outcome.unwrap_err();
    let exhausted = Exhausted::find(&*error).expect("typed");
    assert_eq!(exhausted.retry_in(), Some(60 * SECOND));
    assert_eq!(exhausted.trail().to_string(), "a: connect, b: connect");
}

/// The only attempt was refused, and the balancer reports a recovery.
#[tokio::test(start_paused = true)]
async fn error_after_one_attempt_contains_recovery() {
    let late = Instant::now() + 600 * SECOND;
    let nobody = || {
        let verdict = Verdict::new(Class::Overloaded).with_hint(Some(600 * SECOND));
        Err(Exhausted::new(Trail::new(), verdict, None).into())
    };
    let (outcome, _, _) = balanced(vec![
        ("a", 0, Err(refused()), Next::At(Instant::now())),
        ("", 0, nobody(), Next::At(late)),
    ])
    .await;
    let error = outcome.unwrap_err();
    let exhausted = Exhausted::find(&*error).expect("typed");
    assert!(exhausted.retry_in() > Some(590 * SECOND));
    assert_eq!(exhausted.trail().to_string(), "a: connect");
    let source = std::error::Error::source(exhausted).expect("the error of the attempt");
    assert!(
        source.is::<io::Error>(),
        "not the rejection of the balancer"
    );
}

/// A retry was paid, and the balancer rejected it without an attempt.
#[tokio::test(start_paused = true)]
async fn unsent_retry_costs_no_tokens() {
    let budget = RetryBudget::default();
    let nobody = || Err(Exhausted::new(Trail::new(), Verdict::new(Class::Overloaded), None).into());
    let attempts = vec![
        ("a", 0, Err(refused()), Next::At(Instant::now())),
        ("", 0, nobody(), Next::Never),
    ];
    let layer = layer().budget(budget.clone());
    let (outcome, _, left) = balanced_by(layer, attempts).await;
    outcome.unwrap_err();
    assert_eq!((left, budget.available()), (0, 500));
}
