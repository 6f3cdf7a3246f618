//! Which requests are sent again, and when.

use std::time::Duration;

use http_body_util::BodyExt;
use steadfast_core::{Deadline, Trail};
use steadfast_retry::{Backoff, RetryOn429Layer};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::{Layer, ServiceBuilder, ServiceExt};

use crate::support::{SECOND, answer, client, layer, limited, refused, request, reset, send};

#[tokio::test(start_paused = true)]
async fn status_429_is_retried_after_its_hint() {
    let answers = vec![Ok(limited("2")), Ok(answer(200))];
    let (outcome, sent) = send(layer(), request("POST"), answers).await;
    let response = outcome.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(sent, [Duration::ZERO, 2 * SECOND + SECOND / 2]);

    let trail = Trail::of(response.extensions()).expect("more than one attempt");
    assert_eq!(trail.to_string(), "rate_limited (429), success (200)");
}

#[tokio::test(start_paused = true)]
async fn first_success_adds_no_extension() {
    let (outcome, sent) = send(layer(), request("POST"), vec![Ok(answer(200))]).await;
    assert!(outcome.unwrap().extensions().is_empty());
    assert_eq!(sent.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn third_failure_is_returned_unmodified() {
    let answers = vec![Ok(limited("1")), Ok(answer(503)), Ok(limited("7"))];
    let (outcome, sent) = send(layer(), request("GET"), answers).await;
    let response = outcome.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "7");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!((&body[..], sent.len()), (&b"body"[..], 3));
}

#[tokio::test(start_paused = true)]
async fn hint_beyond_max_wait_is_returned_at_once() {
    let (outcome, sent) = send(layer(), request("GET"), vec![Ok(limited("86400"))]).await;
    assert_eq!(outcome.unwrap().headers()["retry-after"], "86400");
    assert_eq!(sent, [Duration::ZERO]);
}

#[tokio::test(start_paused = true)]
async fn wait_beyond_deadline_is_not_started() {
    for (deadline, attempts) in [(3 * SECOND, 2), (2 * SECOND, 1)] {
        let mut request = request("GET");
        request.extensions_mut().insert(Deadline::after(deadline));
        let start = Instant::now();
        let answers = vec![Ok(limited("2")), Ok(limited("2")), Ok(answer(200))];
        let (outcome, sent) = send(layer(), request, answers).await;
        assert_eq!(outcome.unwrap().status(), 429);
        assert_eq!(sent.len(), attempts);
        assert!(start.elapsed() < deadline);
    }
}

#[tokio::test(start_paused = true)]
async fn unsafe_request_is_retried_only_after_refusal() {
    for (method, key, outcome, attempts) in [
        ("GET", false, Ok(answer(500)), 2),
        ("POST", false, Ok(answer(500)), 1),
        ("POST", true, Ok(answer(500)), 2),
        ("POST", false, Err(reset()), 1),
        ("PUT", false, Err(reset()), 2),
        ("POST", false, Err(refused()), 2),
        ("GET", false, Ok(answer(400)), 1),
        ("GET", false, Ok(answer(401)), 1),
        ("GET", false, Ok(answer(403)), 1),
        ("GET", false, Ok(answer(504)), 1),
        ("GET", false, Ok(answer(402)), 1),
    ] {
        let name = format!("{method} {outcome:?}");
        let mut request = request(method);
        if key {
            request
                .headers_mut()
                .insert("idempotency-key", "1".parse().unwrap());
        }
        let (_, sent) = send(layer(), request, vec![outcome, Ok(answer(200))]).await;
        assert_eq!(sent.len(), attempts, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn status_500_is_retried_once() {
    let answers = vec![Ok(answer(500)), Ok(answer(500)), Ok(answer(200))];
    let (outcome, sent) = send(layer(), request("GET"), answers).await;
    assert_eq!((outcome.unwrap().status().as_u16(), sent.len()), (500, 2));
}

#[tokio::test(start_paused = true)]
async fn x_should_retry_overrides_rule_of_same_endpoint() {
    for (status, word, attempts) in [(503, "false", 1), (400, "true", 2), (504, "true", 2)] {
        let mut response = answer(status);
        response
            .headers_mut()
            .insert("x-should-retry", word.parse().unwrap());
        let (_, sent) = send(layer(), request("GET"), vec![Ok(response), Ok(answer(200))]).await;
        assert_eq!(sent.len(), attempts, "{status} {word}");
    }
}

/// Two retry layers of three attempts would otherwise make nine.
#[tokio::test(start_paused = true)]
async fn nested_layers_do_not_multiply_attempts() {
    let (client, sent) = client((0..9).map(|_| Ok(limited("1"))).collect());
    let service = ServiceBuilder::new()
        .layer(layer().clone_body())
        .layer(layer())
        .service(client);
    let response = service.oneshot(request("GET")).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), sent.lock().unwrap().len()),
        (429, 3)
    );
}

#[tokio::test(start_paused = true)]
async fn listed_delays_are_the_waits() {
    let backoff = Backoff::list([1, 2, 4].map(Duration::from_secs)).unwrap();
    let layer = layer().backoff(backoff).max_attempts(5);
    let answers = (0..5).map(|_| Ok(answer(503))).collect();
    let (_, sent) = send(layer, request("GET"), answers).await;
    assert_eq!(sent, [0, 1, 3, 7, 11].map(Duration::from_secs));
}

/// Requests of one process would otherwise return together, as with tower's
/// `ExponentialBackoffMaker`, which gives each session the same waits.
#[tokio::test(start_paused = true)]
async fn two_requests_wait_differently() {
    let waits = async |layer: RetryOn429Layer| {
        let answers = vec![Err(reset()), Err(reset()), Err(reset())];
        send(layer, request("GET"), answers).await.1
    };
    let layer = RetryOn429Layer::new();
    assert_ne!(waits(layer.clone()).await, waits(layer).await);

    let seeded = || RetryOn429Layer::new().seed(7);
    let (client, sent) = client((0..6).map(|_| Err(reset())).collect());
    let service = ServiceBuilder::new().layer(seeded()).service(client);
    for _ in 0..2 {
        let outcome = service.clone().oneshot(request("GET")).await;
        outcome.unwrap_err();
    }
    let at: Vec<_> = sent.lock().unwrap().iter().map(|(at, _)| *at).collect();
    assert_ne!(at[1] - at[0], at[4] - at[3], "clones share one generator");
    assert_eq!(waits(seeded()).await, waits(seeded()).await);
}

/// Requests that were refused together would return together. The layer sees its own crowd.
#[tokio::test(start_paused = true)]
async fn refusals_of_other_requests_spread_the_next_wait() {
    let spread = |requests: usize| async move {
        let answers = (0..2 * requests).map(|_| Ok(limited("1")));
        let served = (0..requests).map(|_| Ok(answer(200)));
        let (client, sent) = client(answers.chain(served).collect());
        let service = RetryOn429Layer::new().seed(1).layer(client);
        let all: JoinSet<_> = (0..requests)
            .map(|_| service.clone().oneshot(request("GET")))
            .collect();
        for outcome in all.join_all().await {
            outcome.unwrap();
        }
        let mut sent: Vec<_> = sent.lock().unwrap().iter().map(|(at, _)| *at).collect();
        sent.sort();
        sent[sent.len() - 1] - sent[0]
    };
    let (lone, crowd) = (spread(1).await, spread(100).await);
    assert!(lone <= 2 * SECOND + 3 * SECOND / 4, "{lone:?}");
    assert!(crowd >= 6 * SECOND, "{crowd:?}");
}
