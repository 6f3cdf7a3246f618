//! Load and latency in selection: an endpoint that fails fast must not attract traffic.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use steadfast_balance::{EndpointBalanceLayer, Strategy};
use steadfast_breaker::CircuitBreaker;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;

use crate::support::body::Ending;
use crate::support::{
    Http, MS, Net, Reply, SECOND, Stream, answer, balancer, connection_reset, endpoint, get, ok,
    pool, request_only_to, send, send_for_status, status_of, streamed,
};

#[tokio::test(start_paused = true)]
async fn open_streams_count_as_load_until_they_end() {
    let net = Net::new();
    for name in ["a", "b", "c"] {
        net.on(name, |_| streamed(Stream::of(["data"]).end(Ending::Never)));
    }
    let (service, handle) = balancer(pool(&["a", "b", "c"]).strategy(Strategy::LeastLoaded), &net);
    let mut streams = Vec::new();
    for _ in 0..30 {
        streams.push(send(&service, get()).await.unwrap());
    }
    assert_eq!(net.counts(["a", "b", "c"]), [10; 3]);
    // The streams of `b` end, so it gets the next request.
    let mut number = 0;
    streams.retain(|_| {
        number += 1;
        number % 3 != 2
    });
    assert_eq!(status_of(&handle, "b").in_flight, 0);
    streams.push(send(&service, get()).await.unwrap());
    assert_eq!(net.counts(["a", "b", "c"]), [10, 11, 10]);
    drop(streams);
    assert!(handle.status().iter().all(|status| status.in_flight == 0));
}

/// Runs sixteen callers for a minute. Each sends its next request after the last one has ended.
/// Returns the number of requests per endpoint.
async fn closed_loop_load(strategy: Strategy, net: &Net, names: &[&str]) -> Vec<usize> {
    let (service, _) = balancer(pool(names).strategy(strategy), net);
    let end = Instant::now() + 60 * SECOND;
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move {
                while Instant::now() < end {
                    let _ = send(&service, get()).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    names.iter().map(|name| net.count(name)).collect()
}

/// The balancer of tower sends 49 % of the traffic to an endpoint that fails in 1 ms beside three
/// that answer in 20 ms. Such an endpoint is never busy, and its latency is the lowest.
#[tokio::test(start_paused = true)]
async fn fast_failures_attract_no_traffic() {
    for strategy in [Strategy::LeastLoaded, Strategy::Scored] {
        let net = Net::new();
        net.on("a", |_| Reply::from(answer(500)).after(MS));
        for name in ["b", "c", "d"] {
            net.on(name, |_| Reply::from(ok()).after(20 * MS));
        }
        let counts = closed_loop_load(strategy, &net, &["a", "b", "c", "d"]).await;
        let all: usize = counts.iter().sum();
        assert!(all > 40_000, "{strategy:?} {counts:?}");
        assert!(counts[0] * 1000 < all, "{strategy:?} {counts:?}");
    }
}

/// Two of five answers are failures, so the endpoint never has a streak of seven.
#[tokio::test(start_paused = true)]
async fn frequent_fast_failures_attract_no_extra_traffic() {
    for strategy in [Strategy::LeastLoaded, Strategy::Scored] {
        let net = Net::new();
        net.on("a", |n| match n % 5 {
            0 | 2 => Reply::from(answer(500)).after(MS),
            _ => Reply::from(ok()).after(20 * MS),
        });
        for name in ["b", "c", "d"] {
            net.on(name, |_| Reply::from(ok()).after(20 * MS));
        }
        let counts = closed_loop_load(strategy, &net, &["a", "b", "c", "d"]).await;
        let all: usize = counts.iter().sum();
        assert!(
            counts[0] * 4 <= all,
            "more than its share: {strategy:?} {counts:?}"
        );
        assert!(counts[0] > 0, "no traffic at all: {strategy:?} {counts:?}");
    }
}

/// Runs eight callers with sequential requests. Returns the share of each endpoint.
async fn traffic_shares(service: &(impl Http + Send + Sync + 'static), net: &Net) -> [f64; 4] {
    let names = ["bad", "b", "c", "d"];
    let left = Arc::new(AtomicUsize::new(4_000));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (service, left) = (service.clone(), left.clone());
            tokio::spawn(async move {
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_ok()
                {
                    send_for_status(&service, get()).await;
                    // A short pause after each answer, also after an immediate error.
                    sleep(MS).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    net.counts(names).map(|count| count as f64 / 4_000.0)
}

/// With `PeakEwma`, the `Balance` of tower 0.5 sent 49 % of all requests to an endpoint that failed
/// within 1 ms, beside three that answered in 20 ms. It treats a fast failure as a fast answer, and
/// an idle endpoint as one with spare capacity.
#[tokio::test(start_paused = true)]
async fn fast_failing_endpoint_gets_less_traffic_than_healthy_ones() {
    // Also without a breaker that opens.
    let never = || CircuitBreaker::builder().consecutive_failures(1_000_000);
    for strategy in [Strategy::LeastLoaded, Strategy::Scored] {
        for (breaker, most) in [
            (endpoint("bad").breaker(never()), 0.25),
            (endpoint("bad"), 0.01),
        ] {
            let net = Net::new();
            net.on("bad", |_| Reply::from(answer(500)).after(MS));
            for name in ["b", "c", "d"] {
                net.on(name, |_| Reply::from(ok()).after(20 * MS));
            }
            let builder = EndpointBalanceLayer::builder()
                .endpoint(breaker)
                .endpoints(["b", "c", "d"].map(endpoint))
                .strategy(strategy);
            let (service, _) = balancer(builder, &net);
            let [bad, b, c, d] = traffic_shares(&service, &net).await;
            assert!(bad <= most, "{strategy:?}: {bad} of {most}");
            assert!(bad < b.min(c).min(d), "{strategy:?}: {bad} {b} {c} {d}");
        }
    }
}

/// The record of an endpoint fades while it is unused. All callers at once treated a formerly slow
/// endpoint as a perfect one, until its first answer arrived.
#[tokio::test(start_paused = true)]
async fn formerly_slow_endpoint_is_tried_by_one_request_at_a_time() {
    let net = Net::new();
    net.on("a", |_| Reply::from(ok()).after(20 * MS));
    net.on("b", |_| Reply::from(ok()).after(10 * SECOND));
    let (service, handle) = balancer(pool(&["a", "b"]).strategy(Strategy::Scored), &net);
    for name in ["a", "b"] {
        assert_eq!(send_for_status(&service, request_only_to(name)).await, 200);
    }

    // A few failures of `a` give the unused endpoint the better score.
    net.on("a", |n| {
        if n % 10 == 0 {
            answer(500).into()
        } else {
            Reply::from(ok()).after(20 * MS)
        }
    });
    for _ in 0..6000 {
        tokio::spawn(service.clone().oneshot(get()));
        sleep(10 * MS).await;
        assert!(status_of(&handle, "b").in_flight <= 1);
    }
    let [a, b] = net.counts(["a", "b"]);
    assert!(b < 8, "{a} {b}");
}

/// A hanging endpoint has no failure if its callers cancel. It received all requests, because it
/// had no bad record.
#[tokio::test(start_paused = true)]
async fn endpoint_without_any_answer_gets_few_requests() {
    for strategy in [Strategy::LeastLoaded, Strategy::Scored] {
        let net = Net::new();
        net.on("a", |_| Reply::never());
        net.on("b", |_| Reply::from(ok()).after(20 * MS));
        let (service, _) = balancer(pool(&["a", "b"]).strategy(strategy), &net);
        for _ in 0..1000 {
            let request = service.clone().oneshot(get());
            tokio::spawn(timeout(SECOND, request));
            sleep(10 * MS).await;
        }
        let [a, b] = net.counts(["a", "b"]);
        assert!(a < 50, "{strategy:?} {a} {b}");
    }
}

/// An endpoint without a success has no latency, and its answers open no breaker. Ranked first
/// among equals, it received every request of a sequential caller.
#[tokio::test(start_paused = true)]
async fn endpoint_without_success_ranks_last_among_equals() {
    let replies: [fn() -> Reply; 2] = [|| answer(404).into(), Reply::never];
    for reply in replies {
        let net = Net::new();
        net.on("a", |_| Reply::from(ok()).after(20 * MS));
        net.on("b", move |_| reply());
        let (service, _) = balancer(pool(&["a", "b"]).strategy(Strategy::LeastLoaded), &net);
        for _ in 0..20 {
            let _ = timeout(SECOND, service.clone().oneshot(get())).await;
        }
        assert_eq!(net.counts(["a", "b"]), [19, 1], "b gets one request");
    }
}

#[tokio::test(start_paused = true)]
async fn only_successes_update_latency() {
    let net = Net::new();
    net.on("a", |n| match n {
        0 => Reply::from(ok()).after(SECOND),
        1 => Reply::from(answer(500)).after(MS),
        2 => Reply::from(answer(400)).after(MS),
        3 => Reply::from(connection_reset()).after(MS),
        _ => Reply::from(ok()).after(2 * SECOND),
    });
    let (service, handle) = balancer(pool(&["a"]), &net);
    assert_eq!(status_of(&handle, "a").latency, None);
    for expected in [1000, 1000, 1000, 1000, 1200] {
        send_for_status(&service, get()).await;
        let latency = status_of(&handle, "a").latency.expect("known");
        assert_eq!(latency, Duration::from_millis(expected));
    }
}
