//! A pool with all endpoints down, and its recovery.

use std::time::Duration;

use steadfast_balance::{Endpoint, Strategy};
use steadfast_core::layer::{Next, RecordAttempts};
use steadfast_core::{BreakerState, Class, Exhausted, Trail};
use tokio::time::{Instant, advance, sleep, timeout};

use crate::support::gate::{Gates, gated_balancer};
use crate::support::rules::servers_with_rule;
use crate::support::{
    Events, MS, Net, Reply, SECOND, answer, balancer, connection_refused, connection_reset,
    expect_exhausted, get, get_with_trail, ok, pool, pool_without_early_probes, send,
    send_for_status, status_of, with_headers,
};

/// The balancer of tower hangs for ever once all its endpoints have failed, even after they
/// recover.
#[tokio::test(start_paused = true)]
async fn pool_down_from_the_start_serves_after_its_servers_recover() {
    let net = Net::new();
    for name in ["a", "b", "c"] {
        net.on(name, |_| connection_refused());
    }
    let (service, _) = balancer(pool(&["a", "b", "c"]), &net);
    for _ in 0..100 {
        let answer = timeout(SECOND, send(&service, get())).await;
        answer
            .expect("the request hangs")
            .expect_err("all are down");
        sleep(100 * MS).await;
    }
    for name in ["a", "b", "c"] {
        net.on(name, |_| ok());
    }
    // By now, the breakers open for 10 s.
    sleep(10 * SECOND).await;
    for _ in 0..100 {
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
}

/// The `Balance` of tower 0.5 drops an endpoint for good if its `poll_ready` fails, as a client
/// does after a lost connection. Once all endpoints had failed, the pool was empty and `ready`
/// never returned. The program hung although all servers had recovered.
#[tokio::test(start_paused = true)]
async fn readiness_errors_of_all_endpoints_do_not_empty_the_pool() {
    for failures in [1, 2, 50] {
        let (net, gates) = (Net::new(), Gates::default());
        for name in ["a", "b", "c"] {
            net.on(name, |_| ok());
        }
        let builder = pool_without_early_probes(&["a", "b", "c"]).strategy(Strategy::LeastLoaded);
        let (service, handle) = gated_balancer(builder, &net, &gates);
        for name in ["a", "b", "c"] {
            gates.fail_readiness(name, failures);
        }
        let request = || timeout(SECOND, send_for_status(&service, get()));
        for _ in 0..failures.min(20) {
            let start = Instant::now();
            assert_eq!(request().await.expect("the request hangs"), 0);
            assert_eq!(start.elapsed(), Duration::ZERO, "the error is immediate");
        }
        for name in ["a", "b", "c"] {
            gates.fail_readiness(name, 0);
        }
        // After many failures, the breakers are open.
        let is_open = |name| status_of(&handle, name).breaker == BreakerState::Open;
        assert_eq!(
            ["a", "b", "c"].iter().all(|name| is_open(name)),
            failures == 50
        );
        if failures == 50 {
            advance(5 * SECOND).await;
        }
        for _ in 0..30 {
            assert_eq!(
                request().await.expect("the request hangs"),
                200,
                "{failures}"
            );
        }
        assert!(handle.status().iter().all(|one| one.in_flight == 0));
    }
}

/// The same failure from the start: no server accepts a connection yet.
#[tokio::test(start_paused = true)]
async fn pool_of_unreachable_servers_serves_once_they_start() {
    let net = Net::new();
    for name in ["a", "b"] {
        net.on(name, |_| crate::support::connection_refused());
    }
    let (service, handle) = balancer(pool(&["a", "b"]), &net);
    for _ in 0..100 {
        let answer = timeout(SECOND, send(&service, get())).await;
        answer
            .expect("the request hangs")
            .expect_err("no server is up");
    }
    assert!(handle.status().iter().all(|one| !one.admissible));
    for name in ["a", "b"] {
        net.on(name, |_| ok());
    }
    advance(5 * SECOND).await;
    for _ in 0..30 {
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn open_breakers_admit_again_after_recovery_timeout() {
    let net = servers_with_rule(&["a", "b"], |_| connection_refused().into());
    let (service, handle) = balancer(
        pool_without_early_probes(&["a", "b"]).strategy(Strategy::RoundRobin),
        &net,
    );
    for _ in 0..20 {
        assert_eq!(send_for_status(&service, get()).await, 0);
    }
    assert_eq!(net.counts(["a", "b"]), [7, 7], "until the breakers open");
    assert!(handle.status().iter().all(|status| !status.admissible));

    net.on("a", |_| ok());
    net.on("b", |_| ok());
    assert_eq!(
        send_for_status(&service, get()).await,
        0,
        "before the recovery timeout"
    );
    sleep(Endpoint::DEFAULT_RECOVERY_TIMEOUT).await;
    for _ in 0..20 {
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
    assert!(handle.status().iter().all(|status| status.admissible));
}

#[tokio::test(start_paused = true)]
async fn pool_of_open_breakers_is_neutral_and_ends_retries() {
    let net = Net::new();
    net.on("a", |_| connection_reset());
    let events = Events::default();
    let (service, _) = balancer(
        pool_without_early_probes(&["a"]).observer(events.observer()),
        &net,
    );
    for _ in 0..7 {
        send_for_status(&service, get()).await;
    }
    events.take();
    let trail = Trail::new();
    let error = send(&service, get_with_trail(&trail)).await.unwrap_err();
    let exhausted = Exhausted::find(&*error).expect("typed");
    assert_eq!(exhausted.retry_in(), Some(5 * SECOND));
    let effect = exhausted.verdict().breaker();
    assert_eq!(effect, steadfast_core::BreakerEffect::Neutral);
    assert_eq!(trail.take_next(), Some(Next::Never));
    assert_eq!(events.take(), ["exhausted Some(5s)"]);
}

/// A cooldown ends by itself, and an open breaker needs a successful probe.
#[tokio::test(start_paused = true)]
async fn cooldown_beside_open_breaker_is_waited_for() {
    let net = Net::new();
    net.on("a", |_| connection_reset());
    net.on("b", |_| crate::support::refusal("60"));
    let (service, _) = balancer(pool(&["a", "b"]), &net);
    for _ in 0..8 {
        send_for_status(&service, get()).await;
    }
    let trail = Trail::new();
    let answer = send(&service, get_with_trail(&trail)).await;
    assert_eq!(
        expect_exhausted(answer),
        (Class::RateLimited, Some(5 * SECOND))
    );
    let limit = tokio::time::Instant::now() + 60 * SECOND;
    assert_eq!(trail.take_next(), Some(Next::At(limit)));
}

#[tokio::test(start_paused = true)]
async fn cooling_endpoint_with_open_breaker_recovers_after_both() {
    let net = Net::new();
    net.on("a", |n| match n {
        0..6 => Reply::from(connection_reset()),
        6 => Reply::from(with_headers(answer(503), &[("retry-after", "9")])),
        _ => Reply::from(ok()),
    });
    let (service, handle) = balancer(pool(&["a"]), &net);
    for _ in 0..7 {
        send_for_status(&service, get()).await;
    }
    let answer = send(&service, get()).await;
    assert_eq!(
        expect_exhausted(answer),
        (Class::Overloaded, Some(9 * SECOND))
    );
    advance(5 * SECOND).await;
    assert_eq!(send_for_status(&service, get()).await, 0);
    advance(4 * SECOND).await;
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(status_of(&handle, "a").breaker, BreakerState::HalfOpen);
}
