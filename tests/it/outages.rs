//! Outages: endpoints that hang, that refuse connections, and that recover.

use std::time::Duration;

use stack_tests::{
    SECOND, assert_idle, chat, endpoint, rate_limited, read, served_by, stack, status_of, upstreams,
};
use steadfast::crates::balance::Strategy;
use steadfast::crates::core::BreakerState;
use steadfast::{AiStack, Deadline, Endpoint, RequestExt, Trail};
use steadfast_testkit::Reply;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

const MS: Duration = Duration::from_millis(1);

/// The attempts went to the dead backup, because its port answered at once, and the caller received the
/// `429` after a second.
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

/// Sends 50 requests per second for `lasting`. Returns the number of requests, and of those without an
/// answer half a second after the last one.
async fn load(ai: &AiStack, lasting: Duration) -> (usize, usize) {
    let mut ticks = interval(SECOND / 50);
    let start = Instant::now();
    let mut requests = JoinSet::new();
    while start.elapsed() < lasting {
        ticks.tick().await;
        let ai = ai.clone();
        requests.spawn(async move {
            let answer = timeout(SECOND / 2, ai.send(chat(false))).await;
            answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status() == 200))
        });
    }
    let in_time = requests.join_all().await;
    let slow = in_time.iter().filter(|in_time| !**in_time).count();
    (in_time.len(), slow)
}

/// An endpoint without a success looked unused, so it received a third of all requests, or all of them,
/// until its attempts timed out after minutes.
#[tokio::test]
async fn endpoint_that_hangs_from_the_first_request_on_slows_one_percent() {
    let mut all = JoinSet::new();
    for strategy in [
        Strategy::Failover,
        Strategy::RoundRobin,
        Strategy::LeastLoaded,
        Strategy::Scored,
        Strategy::Headroom,
        Strategy::Sticky,
    ] {
        all.spawn(async move {
            let servers = upstreams(["hangs", "a", "b"]).await;
            servers[0].set(Reply::silence());
            let ai = stack(&servers).strategy(strategy).build().unwrap();
            let (sent, slow) = load(&ai, 10 * SECOND).await;
            assert!(sent >= 400, "{sent}");
            assert!(slow * 100 <= sent, "{strategy:?}: {slow} of {sent} slow");
        });
    }
    while let Some(done) = all.join_next().await {
        done.expect("no panic");
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
        .build()
        .unwrap();
    for upstream in [&a, &b] {
        upstream.cut_off();
        ai.endpoints().trip(&upstream.name()).expect("an endpoint");
        let status = status_of(&ai, &upstream.name());
        assert_eq!(status.breaker, BreakerState::Open);
    }
    ai.send(chat(false)).await.expect_err("no endpoint is up");
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
