//! Outages: endpoints that hang, that refuse connections, and that recover.

use std::time::Duration;

use stack_tests::{
    SECOND, assert_idle, chat, endpoint, rate_limited, read, served_by, stack, status_of, upstreams,
};
use steadfast::crates::balance::Strategy;
use steadfast::crates::core::BreakerState;
use steadfast::{AiStack, Backoff, Deadline, Endpoint, RequestExt, RetryOn429Layer, Trail};
use steadfast_testkit::{Behavior, Reply};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

const MS: Duration = Duration::from_millis(1);

/// The attempts went to the dead backup, because its port answered at once, and the caller received
/// the `429` after a second.
#[tokio::test(start_paused = true)]
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
    let took = start.elapsed();
    // Jitter adds to a hint.
    assert!((2 * SECOND..=2500 * MS).contains(&took), "{took:?}");
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

/// The ends of the requests of a load.
#[derive(Debug, Default)]
struct Ends {
    sent: usize,
    /// Answers after more than half a second, and callers that left after it.
    slow: usize,
    /// Errors, and answers without success.
    failed: usize,
}

/// Sends 50 requests per second for eight seconds. Callers leave after `patience`.
async fn load(ai: &AiStack, patience: Duration) -> Ends {
    let mut ticks = interval(SECOND / 50);
    let (start, mut requests) = (Instant::now(), JoinSet::new());
    while start.elapsed() < 8 * SECOND {
        ticks.tick().await;
        let ai = ai.clone();
        requests.spawn(async move {
            let sent = Instant::now();
            let answer = timeout(patience, ai.send(chat(false))).await;
            let is_served = match answer {
                Ok(Ok(response)) if response.status() == 200 => Some(read(response).await.is_ok()),
                Ok(_) => Some(false),
                Err(_) => None,
            };
            (is_served, sent.elapsed())
        });
    }
    let mut ends = Ends::default();
    for (is_served, took) in requests.join_all().await {
        ends.sent += 1;
        ends.slow += usize::from(is_served.is_none() || took > SECOND / 2);
        ends.failed += usize::from(is_served == Some(false));
    }
    ends
}

/// An endpoint without a success looked unused, so it received a third of all requests, or all of
/// them, until its attempts timed out after minutes.
///
/// Over real sockets. The clock is paused, so a loaded machine changes nothing.
#[tokio::test(start_paused = true)]
async fn endpoint_that_hangs_from_the_first_request_on_slows_one_percent() {
    for patience in [SECOND / 2, 60 * SECOND] {
        for strategy in [
            Strategy::Failover,
            Strategy::RoundRobin,
            Strategy::LeastLoaded,
            Strategy::Scored,
            Strategy::Headroom,
            Strategy::Sticky,
        ] {
            let [hangs, a, b] = upstreams(["hangs", "a", "b"]).await;
            hangs.set(Behavior::from(Reply::silence()));
            for healthy in [&a, &b] {
                healthy.set(Behavior::from(Reply::ok().latency(10 * MS)));
            }
            let ai = stack([&hangs, &a, &b]).strategy(strategy).build();
            let ends = load(&ai.expect("a stack"), patience).await;
            println!("{strategy:?}, callers of {patience:?}: {ends:?}");
            assert!(ends.sent >= 400, "{ends:?}");
            let bad = ends.slow + ends.failed;
            assert!(
                bad * 100 <= ends.sent,
                "{strategy:?}, {patience:?}: {ends:?}"
            );
        }
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
