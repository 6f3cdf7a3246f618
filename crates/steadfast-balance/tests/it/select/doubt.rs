//! Endpoints that do not answer.

use std::time::Duration;

use steadfast_balance::Strategy;
use steadfast_core::layer::RecordAttempts;
use steadfast_core::{BoxError, Class, Classified, Trail, Verdict};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::support::body::{Ending, Stream};
use crate::support::{
    Http, MS, Net, Reply, SECOND, STRATEGIES, answer, balancer, get, ok, pool, request_only_to,
    send, send_for_status, streamed,
};

/// Sends 50 requests per second for `lasting`. Returns the number of requests without an answer
/// within half a second.
async fn slow_requests(service: &(impl Http + Send + Sync + 'static), lasting: Duration) -> usize {
    let mut requests = JoinSet::new();
    let start = Instant::now();
    while start.elapsed() < lasting {
        let service = service.clone();
        requests.spawn(async move {
            let status = timeout(SECOND / 2, send_for_status(&service, get())).await;
            // A caller that waits for longer is still there.
            status.is_err()
        });
        sleep(20 * MS).await;
    }
    let slow = requests.join_all().await;
    slow.into_iter().filter(|slow| *slow).count()
}

/// Each strategy saw an endpoint without a load, or the first one, until its attempts timed out.
#[tokio::test(start_paused = true)]
async fn endpoint_that_never_answers_slows_one_percent() {
    for strategy in STRATEGIES {
        let net = Net::new();
        net.on("a", |_| Reply::never());
        for name in ["b", "c"] {
            net.on(name, |_| Reply::from(ok()).after(10 * MS));
        }
        let (service, _) = balancer(pool(&["a", "b", "c"]).strategy(strategy), &net);
        let slow = slow_requests(&service, 20 * SECOND).await;
        assert!(slow <= 10, "{strategy:?}: {slow} of 1000");
    }
}

/// An answer of a model takes many seconds. All endpoints are as slow, so none is left out.
#[tokio::test(start_paused = true)]
async fn slow_start_of_all_endpoints_keeps_the_strategy() {
    for (strategy, least, most) in [
        (Strategy::Failover, 85, 100),
        (Strategy::RoundRobin, 25, 40),
    ] {
        let net = Net::new();
        for name in ["a", "b", "c"] {
            net.on(name, |_| Reply::from(ok()).after(20 * SECOND));
        }
        let (service, _) = balancer(pool(&["a", "b", "c"]).strategy(strategy), &net);
        slow_requests(&service, 2 * SECOND).await;
        let a = net.count("a");
        assert!((least..=most).contains(&a), "{strategy:?}: {a} of 100");
    }
}

#[tokio::test(start_paused = true)]
async fn endpoint_in_doubt_returns_after_its_answer() {
    let net = Net::new();
    net.on("a", |n| match n {
        0 => Reply::from(ok()).after(2 * SECOND),
        _ => Reply::from(ok()).after(10 * MS),
    });
    net.on("b", |_| Reply::from(ok()).after(10 * MS));
    let (service, _) = balancer(pool(&["a", "b"]).strategy(Strategy::Failover), &net);
    let late = tokio::spawn({
        let service = service.clone();
        async move { send_for_status(&service, get()).await }
    });
    sleep(SECOND).await;
    for _ in 0..10 {
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
    assert_eq!(net.counts(["a", "b"]), [1, 10]);
    assert_eq!(late.await.unwrap(), 200);
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b"]), [2, 10]);
}

/// A request without another endpoint is not held.
#[tokio::test(start_paused = true)]
async fn endpoint_in_doubt_is_used_if_no_other_can_serve() {
    let net = Net::new();
    net.on("a", |n| match n {
        0 => Reply::never(),
        _ => Reply::from(ok()),
    });
    net.on("b", |_| answer(500));
    let (service, handle) = balancer(pool(&["a", "b"]).strategy(Strategy::Failover), &net);
    handle.disable("b").unwrap();
    let hangs = tokio::spawn({
        let service = service.clone();
        async move { send_for_status(&service, get()).await }
    });
    sleep(SECOND).await;
    assert_eq!(send_for_status(&service, get()).await, 200);
    hangs.abort();
}

fn timed_out() -> BoxError {
    Classified::new(Verdict::new(Class::Timeout), "timed out").into()
}

/// At low traffic, several requests waited for their timeouts before the breaker opened.
#[tokio::test(start_paused = true)]
async fn endpoint_that_stops_answering_is_avoided_after_one_timeout() {
    for strategy in STRATEGIES {
        let net = Net::new();
        for name in ["a", "b"] {
            net.on(name, |_| Reply::from(ok()));
        }
        let (service, _) = balancer(pool(&["a", "b"]).strategy(strategy), &net);
        for _ in 0..4 {
            assert_eq!(send_for_status(&service, request_only_to("a")).await, 200);
            assert_eq!(send_for_status(&service, request_only_to("b")).await, 200);
        }
        net.on("a", |_| Reply::from(timed_out()).after(2 * SECOND));
        assert_eq!(send_for_status(&service, request_only_to("a")).await, 0);
        // A further attempt costs two seconds, so the first one follows after four times as long.
        for second in 0..8 {
            let status = send_for_status(&service, get()).await;
            assert_eq!(status, 200, "{strategy:?} after {second} s");
            sleep(SECOND).await;
        }
        net.on("a", |_| Reply::from(ok()));
        assert_eq!(send_for_status(&service, request_only_to("a")).await, 200);
        // One answer ends the doubt.
        let before = net.count("a");
        for _ in 0..20 {
            assert_eq!(send_for_status(&service, get()).await, 200, "{strategy:?}");
        }
        if matches!(strategy, Strategy::Failover | Strategy::RoundRobin) {
            assert!(net.count("a") > before, "{strategy:?}");
        }
    }
}

/// Each request of the two seconds until its first timeout went to the first endpoint.
#[tokio::test(start_paused = true)]
async fn endpoint_that_falls_silent_is_avoided_before_its_first_timeout() {
    for strategy in STRATEGIES {
        let net = Net::new();
        for name in ["a", "b"] {
            net.on(name, |_| Reply::from(ok()).after(10 * MS));
        }
        let (service, _) = balancer(pool(&["a", "b"]).strategy(strategy), &net);
        for _ in 0..4 {
            assert_eq!(send_for_status(&service, request_only_to("a")).await, 200);
            assert_eq!(send_for_status(&service, request_only_to("b")).await, 200);
        }
        net.on("a", |_| Reply::from(timed_out()).after(2 * SECOND));
        // After half a second without an answer, each caller leaves, and a few others test it
        // again.
        let slow = slow_requests(&service, 2 * SECOND).await;
        assert!(slow <= 12, "{strategy:?}: {slow} of 100");
    }
}

/// Sends a request to `a`, which has served twenty others within these latencies and no longer
/// answers. Returns whether the next request goes there as well, after `wait`.
async fn goes_to_first(wait: Duration, latency: fn(usize) -> Duration) -> bool {
    let net = Net::new();
    net.on("a", move |n| match n {
        0..20 => Reply::from(ok()).after(latency(n)),
        _ => Reply::never(),
    });
    net.on("b", |_| Reply::from(ok()));
    let (service, _) = balancer(pool(&["a", "b"]).strategy(Strategy::Failover), &net);
    for _ in 0..20 {
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
    let waits = tokio::spawn({
        let service = service.clone();
        async move { send_for_status(&service, get()).await }
    });
    sleep(wait).await;
    let second = timeout(SECOND, send_for_status(&service, get())).await;
    waits.abort();
    second.is_err() && net.counts(["a", "b"]) == [22, 0]
}

/// An endpoint with answers of 20 and 180 ms seldom takes longer than 420 ms.
#[tokio::test(start_paused = true)]
async fn doubt_about_a_proven_endpoint_depends_on_the_spread_of_its_latency() {
    let even = |_| 100 * MS;
    let spread = |n: usize| if n % 2 == 0 { 20 * MS } else { 180 * MS };
    assert!(goes_to_first(190 * MS, even).await);
    assert!(!goes_to_first(220 * MS, even).await);
    assert!(goes_to_first(300 * MS, spread).await);
    assert!(!goes_to_first(600 * MS, spread).await);
}

/// Ten slow requests looked like a dead endpoint, because no other one showed that it serves.
#[tokio::test(start_paused = true)]
async fn proven_endpoint_in_doubt_is_tested_every_two_seconds() {
    let net = Net::new();
    net.on("a", |n| match n {
        0 => Reply::from(ok()),
        _ => Reply::never(),
    });
    net.on("b", |_| Reply::from(ok()));
    let (service, _) = balancer(pool(&["a", "b"]).strategy(Strategy::Failover), &net);
    assert_eq!(send_for_status(&service, get()).await, 200);
    let (start, mut requests, mut at) = (Instant::now(), JoinSet::new(), Vec::new());
    while start.elapsed() < 9 * SECOND {
        let (before, service) = (net.count("a"), service.clone());
        requests.spawn(async move { send_for_status(&service, get()).await });
        sleep(100 * MS).await;
        if net.count("a") > before {
            at.push(start.elapsed().as_secs());
        }
    }
    assert_eq!(at, [0, 2, 4, 6, 8]);
    // One answer ends the doubt.
    net.on("a", |_| Reply::from(ok()));
    sleep(2 * SECOND).await;
    let before = net.count("a");
    for _ in 0..10 {
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
    assert_eq!(net.count("a"), before + 10);
}

/// A body may arrive for minutes. Its endpoint has answered.
#[tokio::test(start_paused = true)]
async fn open_stream_of_a_proven_endpoint_raises_no_doubt() {
    let net = Net::new();
    for name in ["a", "b"] {
        net.on(name, |_| streamed(Stream::of(["one"]).end(Ending::Never)));
    }
    let (service, _) = balancer(pool(&["a", "b"]).strategy(Strategy::Failover), &net);
    let _open = send(&service, get()).await.unwrap();
    sleep(10 * SECOND).await;
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b"]), [2, 0]);
}

/// The silence counts from the first attempt that waits, and not from the last answer.
#[tokio::test(start_paused = true)]
async fn idle_time_of_a_proven_endpoint_raises_no_doubt() {
    let net = Net::new();
    for name in ["a", "b"] {
        net.on(name, |_| Reply::from(ok()).after(100 * MS));
    }
    let (service, _) = balancer(pool(&["a", "b"]).strategy(Strategy::Failover), &net);
    assert_eq!(send_for_status(&service, get()).await, 200);
    sleep(10 * SECOND).await;
    let both = tokio::join!(
        send_for_status(&service, get()),
        send_for_status(&service, get())
    );
    assert_eq!(both, (200, 200));
    assert_eq!(net.counts(["a", "b"]), [3, 0]);
}

/// The attempt of a caller that has left waits for nothing.
#[tokio::test(start_paused = true)]
async fn doubt_about_a_proven_endpoint_ends_with_its_last_attempt() {
    let net = Net::new();
    for name in ["a", "b"] {
        net.on(name, |n| match n {
            0 => Reply::from(ok()),
            1 => Reply::never(),
            _ => Reply::from(ok()),
        });
    }
    let (service, _) = balancer(pool(&["a", "b"]).strategy(Strategy::Failover), &net);
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert!(
        timeout(SECOND, send_for_status(&service, get()))
            .await
            .is_err()
    );
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b"]), [3, 0]);
}

/// A caller that leaves is no evidence about an endpoint that serves.
#[tokio::test(start_paused = true)]
async fn cancelled_requests_raise_no_doubt_about_a_proven_endpoint() {
    let net = Net::new();
    for name in ["a", "b"] {
        net.on(name, |_| Reply::from(ok()).after(SECOND));
    }
    let (service, _) = balancer(pool(&["a", "b"]).strategy(Strategy::Failover), &net);
    assert_eq!(send_for_status(&service, get()).await, 200);
    for _ in 0..5 {
        assert!(
            timeout(SECOND / 2, send_for_status(&service, get()))
                .await
                .is_err()
        );
    }
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b"]), [7, 0]);
}

/// A caller that leaves at once, or whose other attempt has answered, is no evidence about an
/// endpoint that has not served yet.
#[tokio::test(start_paused = true)]
async fn only_a_long_silence_of_a_waiting_caller_raises_doubt() {
    for (leaves_after, overtaken, expected) in
        [(10, false, [2, 0]), (60, false, [1, 1]), (60, true, [2, 0])]
    {
        let net = Net::new();
        net.on("a", |n| match n {
            0 => Reply::never(),
            _ => Reply::from(ok()),
        });
        net.on("b", |_| Reply::from(ok()));
        let (service, _) = balancer(pool(&["a", "b"]).strategy(Strategy::Failover), &net);
        let trail = Trail::new();
        if overtaken {
            trail.set_overtaken(false);
        }
        let mut request = get();
        request.extensions_mut().insert(trail);
        let left = timeout(leaves_after * MS, send_for_status(&service, request)).await;
        assert!(left.is_err());
        assert_eq!(send_for_status(&service, get()).await, 200);
        assert_eq!(
            net.counts(["a", "b"]),
            expected,
            "{leaves_after} ms, {overtaken}"
        );
    }
}

/// Each attempt costs a request two seconds. The first pause is four times as long, and each
/// further one twice as long as the one before.
#[tokio::test(start_paused = true)]
async fn attempts_at_a_silent_endpoint_become_rare() {
    let net = Net::new();
    for name in ["a", "b"] {
        net.on(name, |_| Reply::from(ok()));
    }
    let (service, _) = balancer(pool(&["a", "b"]).strategy(Strategy::Failover), &net);
    assert_eq!(send_for_status(&service, get()).await, 200);
    net.on("a", |_| Reply::from(timed_out()).after(2 * SECOND));
    let (start, mut at) = (Instant::now(), Vec::new());
    while start.elapsed() < 70 * SECOND {
        let (before, now) = (net.count("a"), start.elapsed().as_secs());
        send_for_status(&service, get()).await;
        if net.count("a") > before {
            at.push(now);
        }
        sleep(SECOND).await;
    }
    assert_eq!(at, [0, 10, 28, 62]);
}

/// Each caller that left made the endpoint look idle, so the next request went there at once.
#[tokio::test(start_paused = true)]
async fn cancelled_attempt_begins_pause_again() {
    let net = Net::new();
    for name in ["a", "b"] {
        net.on(name, |_| Reply::from(ok()));
    }
    let (service, _) = balancer(pool(&["a", "b"]).strategy(Strategy::Failover), &net);
    assert_eq!(send_for_status(&service, get()).await, 200);
    net.on("a", |_| Reply::from(timed_out()).after(2 * SECOND));
    assert_eq!(send_for_status(&service, get()).await, 0);
    sleep(8 * SECOND).await;
    let left = timeout(SECOND / 2, send_for_status(&service, get())).await;
    assert!(left.is_err(), "the endpoint is tested");
    let before = net.count("a");
    for _ in 0..7 {
        assert_eq!(send_for_status(&service, get()).await, 200);
        sleep(SECOND).await;
    }
    assert_eq!(net.count("a"), before);
}
