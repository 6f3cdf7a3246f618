//! Bugs that others had, or that we had: each with its story.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use steadfast_balance::{EndpointBalanceLayer, PoolHandle, Strategy};
use steadfast_breaker::CircuitBreaker;
use steadfast_core::{BreakerState, Event};
use tokio::time::{Instant, advance, sleep, timeout};
use tower::ServiceExt;

use crate::support::gate::{Gates, gated};
use crate::support::{
    Events, Http, MS, Net, Polls, Reply, SECOND, answer, balance, endpoint, get, limited, of, ok,
    pool, post, send, status,
};

/// The `Balance` of tower 0.5 drops an endpoint for good when its `poll_ready` fails, as that of a
/// client does whose connection was lost. After a moment in which all of them failed it was empty,
/// its `ready` never returned, and the program hung although all servers were well again.
#[tokio::test(start_paused = true)]
async fn b13_a_pool_whose_endpoints_all_failed_at_once_is_used_again_when_they_are_back() {
    for failures in [1, 2, 50] {
        let (net, gates) = (Net::new(), Gates::default());
        for name in ["a", "b", "c"] {
            net.on(name, |_| ok());
        }
        let builder = pool(&["a", "b", "c"]).strategy(Strategy::LeastLoaded);
        let (service, handle) = gated(builder, &net, &gates);
        for name in ["a", "b", "c"] {
            gates.fail(name, failures);
        }
        let request = || timeout(SECOND, status(&service, get()));
        for _ in 0..failures.min(20) {
            let start = Instant::now();
            assert_eq!(request().await.expect("no hang"), 0);
            assert_eq!(start.elapsed(), Duration::ZERO, "it says so at once");
        }
        for name in ["a", "b", "c"] {
            gates.fail(name, 0);
        }
        // With many failures their breakers are open by now.
        let is_open = |name| of(&handle, name).breaker == BreakerState::Open;
        assert_eq!(
            ["a", "b", "c"].iter().all(|name| is_open(name)),
            failures == 50
        );
        if failures == 50 {
            advance(5 * SECOND).await;
        }
        for _ in 0..30 {
            assert_eq!(request().await.expect("no hang"), 200, "{failures}");
        }
        assert!(handle.status().iter().all(|one| one.in_flight == 0));
    }
}

/// The same at the very start: nobody is there yet.
#[tokio::test(start_paused = true)]
async fn b13_a_pool_that_starts_with_all_endpoints_down_finds_them_when_they_come() {
    let net = Net::new();
    for name in ["a", "b"] {
        net.on(name, |_| crate::support::refused());
    }
    let (service, handle) = balance(pool(&["a", "b"]), &net);
    for _ in 0..100 {
        let answer = timeout(SECOND, send(&service, get())).await;
        answer.expect("no hang").expect_err("nobody is there");
    }
    assert!(handle.status().iter().all(|one| !one.admissible));
    for name in ["a", "b"] {
        net.on(name, |_| ok());
    }
    advance(5 * SECOND).await;
    for _ in 0..30 {
        assert_eq!(status(&service, get()).await, 200);
    }
}

/// Eight callers, each with one request after the other. Returns the share of each endpoint.
async fn shares(service: &(impl Http + Send + Sync + 'static), net: &Net) -> [f64; 4] {
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
                    status(&service, get()).await;
                    // As one who gets an error at once would.
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

/// With `PeakEwma` the `Balance` of tower 0.5 sent 49 % of all requests to an endpoint that failed
/// within 1 ms, beside three that answered in 20 ms: it takes a fast failure for a fast answer, and
/// one with nothing to do for one that has time.
#[tokio::test(start_paused = true)]
async fn b14_an_endpoint_that_fails_fast_is_not_preferred() {
    // Without any breaker that would open, too.
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
            let (service, _) = balance(builder, &net);
            let [bad, b, c, d] = shares(&service, &net).await;
            assert!(bad <= most, "{strategy:?}: {bad} of {most}");
            assert!(bad < b.min(c).min(d), "{strategy:?}: {bad} {b} {c} {d}");
        }
    }
}

/// A server that refuses everything, and says to come back in a second, was asked by each request
/// there was. Whoever is asked a thousand times a second for nothing bans its caller.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_always_refuses_gets_little_more_than_a_request_a_second() {
    for per_second in [10, 1_000] {
        for strategy in [Strategy::Failover, Strategy::LeastLoaded, Strategy::Scored] {
            let net = Net::new();
            net.on("a", |_| limited("1"));
            let (service, handle) = balance(pool(&["a"]).strategy(strategy), &net);
            let polls = Polls::default();
            let start = Instant::now();
            let mut running = Vec::new();
            while start.elapsed() < 20 * SECOND {
                let future = service.clone().oneshot(post());
                running.push(tokio::spawn(polls.count(future)));
                sleep(SECOND / per_second).await;
            }
            let sent = net.count("a");
            assert!(sent <= 24, "{strategy:?} {per_second}: {sent} in 20 s");
            assert!(sent >= 10, "{strategy:?} {per_second}: {sent} in 20 s");
            running.iter().for_each(tokio::task::JoinHandle::abort);
            sleep(MS).await;
            assert_eq!(handle.waiting(), 0);
        }
    }
}

/// It takes a while to refuse, and so there are more under way.
#[tokio::test(start_paused = true)]
async fn refusals_that_come_late_do_not_add_up() {
    let net = Net::new();
    net.on("a", |_| Reply::from(limited("1")).after(50 * MS));
    let (service, _) = balance(pool(&["a"]), &net);
    for _ in 0..20_000 {
        tokio::spawn(service.clone().oneshot(post()));
        sleep(MS).await;
    }
    // Fifty before the first refusal, and then one in 1,050 ms.
    let sent = net.count("a");
    assert!(sent <= 50 + 24, "{sent} in 20 s");
}

fn cooldowns(events: &Events) -> usize {
    events.count(|event| matches!(event, Event::Cooldown { .. }))
}

fn cooling(handle: &PoolHandle) -> Option<Duration> {
    of(handle, "a").cooling
}

/// Each of the refusals of one burst once doubled the cooldown, or moved its end, though all of
/// them are one piece of news.
#[tokio::test(start_paused = true)]
async fn the_refusals_of_one_burst_cool_an_endpoint_once_however_they_come() {
    let net = Net::new();
    let hints = Arc::new(Mutex::new(
        [Some("2"), None, Some("30"), Some("0")].into_iter().cycle(),
    ));
    net.on("a", move |n| {
        let hint = hints.lock().unwrap().next().flatten();
        let refusal = hint.map_or_else(|| answer(429), limited);
        Reply::from(refusal).after((10 + n as u32 % 100 * 10) * MS)
    });
    let events = Events::default();
    let builder = pool(&["a"]).observer(events.observer());
    let (service, handle) = balance(builder.max_wait(Duration::ZERO), &net);
    let burst: Vec<_> = (0..100)
        .map(|_| tokio::spawn(service.clone().oneshot(post())))
        .collect();
    sleep(11 * MS).await;
    assert_eq!(cooling(&handle), Some(1_999 * MS));
    sleep(SECOND).await;
    for request in burst {
        assert_eq!(request.await.unwrap().unwrap().status(), 429);
    }
    assert_eq!((cooling(&handle), cooldowns(&events)), (Some(999 * MS), 1));

    // The next one is asked by one, and not by another hundred.
    sleep(SECOND).await;
    let before = net.count("a");
    net.on("a", |_| limited("3"));
    for _ in 0..100 {
        tokio::spawn(service.clone().oneshot(post()));
    }
    sleep(MS).await;
    assert_eq!(net.count("a") - before, 1);
    assert_eq!(cooldowns(&events), 2);
}
