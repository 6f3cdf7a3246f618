//! Requests of several threads, interleaved at every step of the balancer.

use std::sync::Barrier;
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use steadfast_balance::{Endpoint, EndpointBalanceLayer, PoolHandle, Strategy};
use steadfast_core::{BreakerState, Trail};
use tokio::time::Instant;
use tokio_test::task;
use tower::ServiceExt;

use crate::support::{
    Client, Http, Net, Reply, Stream, answer, connection_reset, endpoint, get_with_trail, ok,
    refusal, request_only_to, streamed, with_headers,
};

const NAMES: [&str; 3] = ["a", "b", "c"];

const THREADS: u64 = 4;

const REQUESTS: usize = 5000;

fn random_reply(n: usize) -> Reply {
    // All hints are zero, and refusals are rare. A rate learned from more refusals would keep
    // the threads apart.
    let mut rng = Rng::with_seed(n as u64);
    match rng.u8(..12) {
        0 | 1 if rng.u8(..) == 0 => refusal("0").into(),
        2 => connection_reset().into(),
        3 => answer(503).into(),
        4 if rng.u8(..) == 0 => with_headers(answer(503), &[("retry-after", "0")]).into(),
        5 => Reply::never(),
        6 => streamed(Stream::of(["data"]).broken(connection_reset())).into(),
        _ => ok().into(),
    }
}

/// Polls once, which is enough for a server that answers at once. Returns the attempts.
fn poll_request_once(service: impl Http) -> usize {
    let trail = Trail::new();
    let mut request = task::spawn(service.oneshot(get_with_trail(&trail)));
    if let Poll::Ready(Ok(response)) = request.poll() {
        use http_body_util::BodyExt;
        let _ = task::spawn(response.into_body().collect()).poll();
    }
    drop(request);
    trail.len()
}

fn run_threads(strategy: Strategy) {
    let net = Net::new();
    for name in NAMES {
        net.on(name, random_reply);
    }
    let breaker = || {
        Endpoint::default_breaker()
            .recovery_timeout(Duration::from_micros(100))
            .max_recovery_timeout(Duration::from_micros(200))
    };
    let builder = EndpointBalanceLayer::builder()
        .endpoints(NAMES.map(|name| endpoint(name).breaker(breaker())))
        .strategy(strategy)
        .max_wait(Duration::ZERO);
    let (service, handle) = crate::support::balancer(builder, &net);
    let start = Barrier::new(THREADS as usize);
    let attempts: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    (0..REQUESTS)
                        .map(|_| poll_request_once(service.clone()))
                        .sum::<usize>()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });

    let sent: usize = NAMES.iter().map(|name| net.count(name)).sum();
    assert_eq!(sent, attempts, "{strategy:?}");
    assert!(sent > REQUESTS, "{strategy:?}: {sent}");
    for status in handle.status() {
        assert_eq!(status.in_flight, 0, "{strategy:?}: {status:?}");
    }
    assert_full_recovery(&net, &service, &handle);
}

/// Waits until each endpoint has left its cooldown and its breaker is closed.
fn assert_full_recovery(
    net: &Net,
    service: &steadfast_balance::EndpointBalance<Client>,
    handle: &PoolHandle,
) {
    for name in NAMES {
        net.on(name, |_| ok());
    }
    let is_well = || {
        let all = handle.status();
        let well = |status: &steadfast_balance::EndpointStatus| {
            status.admissible && status.breaker == BreakerState::Closed
        };
        all.iter().all(well)
    };
    let end = Instant::now() + Duration::from_secs(10);
    while !is_well() {
        assert!(Instant::now() < end, "{:?}", handle.status());
        for name in NAMES {
            let _ = task::spawn(service.clone().oneshot(request_only_to(name))).poll();
        }
        std::thread::yield_now();
    }
}

#[test]
fn concurrent_requests_lose_no_reservation() {
    for strategy in [Strategy::Failover, Strategy::LeastLoaded, Strategy::Scored] {
        run_threads(strategy);
    }
}
