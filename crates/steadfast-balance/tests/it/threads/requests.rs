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
    Client, Http, Net, Reply, Stream, answer, endpoint, get_with, limited, ok, only, reset,
    streamed, with,
};

const NAMES: [&str; 3] = ["a", "b", "c"];

const THREADS: u64 = 4;

const REQUESTS: usize = 5000;

fn reply(n: usize) -> Reply {
    // No hint is longer than no time, and refusals are rare: the rate that is learned from them
    // would keep the threads from meeting.
    let mut rng = Rng::with_seed(n as u64);
    match rng.u8(..12) {
        0 | 1 if rng.u8(..) == 0 => limited("0").into(),
        2 => reset().into(),
        3 => answer(503).into(),
        4 if rng.u8(..) == 0 => with(answer(503), &[("retry-after", "0")]).into(),
        5 => Reply::never(),
        6 => streamed(Stream::of(["data"]).broken(reset())).into(),
        _ => ok().into(),
    }
}

/// Polls once, which is enough for a server that answers at once. Returns the attempts.
fn live(service: impl Http) -> usize {
    let trail = Trail::new();
    let mut request = task::spawn(service.oneshot(get_with(&trail)));
    if let Poll::Ready(Ok(response)) = request.poll() {
        use http_body_util::BodyExt;
        let _ = task::spawn(response.into_body().collect()).poll();
    }
    drop(request);
    trail.len()
}

fn run(strategy: Strategy) {
    let net = Net::new();
    for name in NAMES {
        net.on(name, reply);
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
    let (service, handle) = crate::support::balance(builder, &net);
    let start = Barrier::new(THREADS as usize);
    let attempts: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    (0..REQUESTS).map(|_| live(service.clone())).sum::<usize>()
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
    come_back(&net, &service, &handle);
}

/// Waits until each endpoint has left its cooldown and its breaker is closed.
fn come_back(net: &Net, service: &steadfast_balance::EndpointBalance<Client>, handle: &PoolHandle) {
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
            let _ = task::spawn(service.clone().oneshot(only(name))).poll();
        }
        std::thread::yield_now();
    }
}

#[test]
fn concurrent_requests_lose_no_reservation() {
    for strategy in [Strategy::Failover, Strategy::LeastLoaded, Strategy::Scored] {
        run(strategy);
    }
}
