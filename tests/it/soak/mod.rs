//! A soak: faults that change all the time, callers that leave, and sums that must add up.
//!
//! It runs for a few seconds in each test run, and for `STEADFAST_SOAK_SECONDS` with `just soak`.

mod callers;
mod servers;

use std::time::Duration;

use stack_tests::{SECOND, assert_idle, chat, endpoint, half_second_timeouts, read, upstreams};
use steadfast::crates::core::BreakerState;
use steadfast::{AiStack, Endpoint, EndpointStatus, RetryOn429Layer, RoutingOptions};
use steadfast_testkit::Upstream;
use tokio::time::{Instant, sleep};

use self::callers::{Callers, Sums};
use self::servers::Weather;

/// The length of the soak in a usual test run.
const SHORT: Duration = Duration::from_secs(5);

fn length() -> Duration {
    let seconds = std::env::var("STEADFAST_SOAK_SECONDS").ok();
    let seconds = seconds.map(|seconds| seconds.parse().expect("a number of seconds"));
    seconds.map_or(SHORT, Duration::from_secs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_add_up_after_changing_faults() {
    let servers = upstreams(["a", "b", "c"]).await;
    // Endpoints return soon, so that the recovery is quick.
    let endpoints = servers.iter().map(|server| {
        let breaker = Endpoint::default_breaker()
            .recovery_timeout(SECOND / 2)
            .max_recovery_timeout(SECOND);
        endpoint(server).breaker(breaker)
    });
    let ai = AiStack::builder()
        .endpoints(endpoints)
        .timeouts(half_second_timeouts())
        .retry(RetryOn429Layer::new().seed(1))
        .deadline(3 * SECOND)
        .build()
        .unwrap();
    let weather = Weather::over(&servers);
    let callers = Callers::start(&ai, &weather);
    let start = Instant::now();
    while start.elapsed() < length() {
        sleep(SECOND / 20).await;
        weather.change().await;
    }
    weather.clear().await;
    let sums = callers.end().await;
    println!("{sums:?}\n{}", ai.snapshot());
    let (served, all) = (sums.healthy_served, sums.healthy);
    println!("{served} of {all} served beside a server that was healthy for two seconds");

    check_requests(&ai, &sums);
    check_attempts(&sums, &servers);
    check_recovery(&ai).await;
    assert_idle(&ai);
    assert_eq!(ai.endpoints().waiting(), 0, "waiters are left");
}

/// Each request ended exactly once, with one of the outcomes.
fn check_requests(ai: &AiStack, sums: &Sums) {
    let snapshot = ai.snapshot();
    assert_eq!(sums.sent, sums.ended(), "{sums:?}");
    assert_eq!(snapshot.total, sums.sent);
    assert_eq!(snapshot.in_flight, 0);
    assert_eq!(snapshot.cancelled, sums.left);
    let ends = snapshot.successful + snapshot.rate_limited + snapshot.other_errors;
    assert_eq!(ends + snapshot.cancelled, snapshot.total);
    // A body that breaks after its head is no success.
    assert_eq!(snapshot.successful, sums.served);
    assert_eq!(snapshot.attempts, sums.attempts);
}

/// The attempts that the callers saw are the answers that the servers counted. Only the answers to
/// attempts without a reader are missing.
fn check_attempts(sums: &Sums, servers: &[Upstream]) {
    for (status, seen) in &sums.answers {
        let answered: u64 = servers.iter().map(|it| it.counts().answered(*status)).sum();
        assert!(*seen <= answered, "{status}: saw {seen} of {answered}");
        let unread = answered - seen;
        assert!(
            unread <= sums.unread(),
            "{status}: {unread} answers are missing: {sums:?}"
        );
    }
}

/// All endpoints serve again, without a permit or a slot that a fault has kept. Each gets requests
/// of its own, because the strategy may prefer another one.
async fn check_recovery(ai: &AiStack) {
    let start = Instant::now();
    loop {
        let mut all = ai.status().into_iter();
        let is_back = |it: &EndpointStatus| it.breaker == BreakerState::Closed && it.admissible;
        let Some(late) = all.find(|it| !is_back(it)) else {
            return;
        };
        assert!(start.elapsed() < 60 * SECOND, "{late:?}");
        let mut request = chat(false);
        let only = RoutingOptions::new().only(late.name.as_str());
        request.extensions_mut().insert(only);
        if let Ok(response) = ai.send(request).await {
            let _ = read(response).await;
        }
        sleep(SECOND / 50).await;
    }
}
