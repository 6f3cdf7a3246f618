//! Outages: endpoints that hang, that refuse connections, and that recover.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response};
use stack_tests::{
    SECOND, assert_idle, body_of_text, chat, endpoint, rate_limited, read, served_by, stack,
    status_of, upstreams,
};
use steadfast::crates::balance::Strategy;
use steadfast::crates::core::BreakerState;
use steadfast::{
    AiStack, Backoff, Deadline, Endpoint, RequestBody, RequestExt, RetryOn429Layer, Trail,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

const MS: Duration = Duration::from_millis(1);
const FOREVER: Duration = Duration::from_secs(1 << 30);
const ANSWER: &str = r#"{"object":"chat.completion","choices":[{"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;

/// The attempts went to the dead backup, because its port answered at once, and the caller received
/// the `429` after a second.
#[tokio::test]
async fn request_waits_for_limited_primary_beside_dead_backup() {
    let [primary, backup] = upstreams(["primary", "backup"]).await;
    backup.cut_off();
    primary.script([rate_limited(2)]);
    let ai = stack([&primary, &backup]).build().unwrap();
    let start = Instant::now();
    let request = chat(false).deadline(Deadline::after(60 * SECOND));
    let response = ai.send(request).await.expect("an answer after the hint");
    assert_eq!(response.status(), 200);
    assert_eq!(served_by(&response), "primary");
    assert!(start.elapsed() >= 2 * SECOND, "{:?}", start.elapsed());
    let trail = Trail::of(response.extensions()).expect("several attempts");
    let trail = trail.to_string();
    assert!(
        trail.starts_with("primary: rate_limited (429), backup: connect"),
        "{trail}"
    );
    assert!(trail.ends_with("primary: success (200)"), "{trail}");
    read(response).await.expect("a whole body");
    assert_idle(&ai);
}

/// Makes a stack over `hangs`, which never answers, and over `a` and `b`. Its client is in this
/// process: on the paused clock, a loaded machine changes nothing. Also returns the number of
/// requests at `hangs`.
fn stack_beside_hanging(strategy: Strategy) -> (AiStack, Arc<AtomicU64>) {
    let received = Arc::new(AtomicU64::new(0));
    let count = received.clone();
    let client = tower::service_fn(move |request: Request<RequestBody>| {
        let hangs = request.uri().host() == Some("hangs.test");
        if hangs {
            count.fetch_add(1, Ordering::Relaxed);
        }
        async move {
            sleep(if hangs { FOREVER } else { 10 * MS }).await;
            let response = Response::builder().header("content-type", "application/json");
            Ok::<_, Infallible>(response.body(body_of_text(ANSWER)).expect("a response"))
        }
    });
    let endpoint = |name| Endpoint::new(name, &format!("http://{name}.test/v1")).unwrap();
    let builder = AiStack::builder().endpoints(["hangs", "a", "b"].map(endpoint));
    let ai = builder.strategy(strategy).build_on(client);
    (ai.expect("a stack"), received)
}

/// Sends 50 requests per second for `lasting`. Callers leave after half a second. Returns the
/// number of requests.
async fn load(ai: &AiStack, lasting: Duration) -> u64 {
    let mut ticks = interval(SECOND / 50);
    let (start, mut sent) = (Instant::now(), 0);
    let mut requests = JoinSet::new();
    while start.elapsed() < lasting {
        ticks.tick().await;
        let ai = ai.clone();
        requests.spawn(async move { timeout(SECOND / 2, ai.send(chat(false))).await.is_ok() });
        sent += 1;
    }
    requests.join_all().await;
    sent
}

/// An endpoint without a success looked unused, so it received a third of all requests, or all of
/// them, until its attempts timed out after minutes.
#[tokio::test(start_paused = true)]
async fn endpoint_that_hangs_from_the_first_request_on_slows_one_percent() {
    for strategy in [
        Strategy::Failover,
        Strategy::RoundRobin,
        Strategy::LeastLoaded,
        Strategy::Scored,
        Strategy::Headroom,
        Strategy::Sticky,
    ] {
        let (ai, received) = stack_beside_hanging(strategy);
        let sent = load(&ai, 8 * SECOND).await;
        // Only these requests are slow because of the endpoint.
        let slow = received.load(Ordering::Relaxed);
        println!("{strategy:?}: {slow} of {sent}");
        assert!(
            slow * 100 <= sent.max(400),
            "{strategy:?}: {slow} of {sent}"
        );
    }
}

/// The pool rejected requests within a millisecond, although its endpoints were healthy again.
#[tokio::test]
async fn recovered_endpoint_serves_within_two_seconds_at_one_request_per_second() {
    let [a, b] = upstreams(["a", "b"]).await;
    let minutes = |upstream| {
        let breaker = Endpoint::default_breaker()
            .recovery_timeout(300 * SECOND)
            .max_recovery_timeout(600 * SECOND);
        endpoint(upstream).breaker(breaker)
    };
    let ai = AiStack::builder()
        .endpoints([minutes(&a), minutes(&b)])
        .retry(
            RetryOn429Layer::new()
                .max_attempts(10)
                .backoff(Backoff::new(MS, 2 * MS).unwrap()),
        )
        .build()
        .unwrap();
    a.cut_off();
    b.cut_off();
    let is_open = |name: &str| status_of(&ai, name).breaker == BreakerState::Open;
    while !(is_open("a") && is_open("b")) {
        ai.send(chat(false)).await.expect_err("no endpoint is up");
    }
    a.restore().await.expect("the port is reserved");

    let recovered = Instant::now();
    let mut second = interval(SECOND);
    loop {
        second.tick().await;
        if let Ok(response) = ai.send(chat(false)).await {
            assert_eq!(served_by(&response), "a");
            break;
        }
        assert!(recovered.elapsed() < 2 * SECOND, "{:?}", ai.status());
    }
    // A loaded machine adds to the bound, and no exact time is asserted.
    assert!(recovered.elapsed() <= 2 * SECOND + 500 * MS);
}
