//! `WhenExhausted::LeastBad`: one attempt per second uses an endpoint with an open breaker.

use std::time::Duration;

use steadfast_balance::{EndpointBalance, PoolHandle, WhenExhausted};
use steadfast_core::{BreakerState, Class, Exhausted};
use tokio::time::{Instant, advance, sleep};
use tower::ServiceExt;

use super::{open_breaker, pool_with_long_recovery};
use crate::support::gate::{Gated, Gates, gated_balancer};
use crate::support::{
    Client, MS, Net, Polls, Reply, SECOND, balancer, connection_reset, expect_exhausted, get, ok,
    refusal, request_only_to, send, send_for_status, status_of,
};

#[tokio::test(start_paused = true)]
async fn pool_of_open_breakers_gets_one_attempt_per_second() {
    let net = Net::new();
    let builder = pool_with_long_recovery(&["a", "b"]).when_exhausted(WhenExhausted::LeastBad);
    let (service, handle) = balancer(builder, &net);
    // Until both breakers are open, each endpoint also gets one attempt per second.
    open_breaker(&service, &handle, &net, "a").await;
    sleep(SECOND).await;
    open_breaker(&service, &handle, &net, "b").await;
    sleep(SECOND).await;
    let before = net.counts(["a", "b"]);

    let (polls, start) = (Polls::default(), Instant::now());
    let (mut ended, mut tried) = (0, 0);
    while start.elapsed() < 20 * SECOND {
        let error = polls
            .count(send(&service, get()))
            .await
            .expect_err("broken");
        match Exhausted::find(&*error) {
            Some(error) => {
                assert_eq!(error.verdict().class(), Class::Transport);
                ended += 1;
            }
            None => tried += 1,
        }
        sleep(10 * MS).await;
    }
    let after = net.counts(["a", "b"]);
    assert_eq!((ended + tried, tried), (2_000, 20));
    assert_eq!(polls.get(), 2_000, "each ended at once");
    // The endpoint with the soonest recovery gets the attempts.
    assert_eq!([after[0] - before[0], after[1] - before[1]], [20, 0]);
    let sent = net.sent("a");
    let last = &sent[before[0]..];
    assert!(last.windows(2).all(|two| two[1].at - two[0].at >= SECOND));
    assert_eq!(status_of(&handle, "a").in_flight, 0);
}

/// An answer of the least bad endpoint is returned, and a hanging attempt blocks no other request.
#[tokio::test(start_paused = true)]
async fn least_bad_attempt_may_succeed_or_hang() {
    let net = Net::new();
    let builder = pool_with_long_recovery(&["a"]).when_exhausted(WhenExhausted::LeastBad);
    let (service, handle) = balancer(builder, &net);
    open_breaker(&service, &handle, &net, "a").await;
    sleep(SECOND).await;
    net.on("a", |_| Reply::from(ok()).after(MS));
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(send_for_status(&service, get()).await, 0);
    sleep(SECOND).await;

    net.on("a", |_| Reply::never());
    let hung = tokio::spawn(service.clone().oneshot(get()));
    sleep(MS).await;
    assert_eq!(status_of(&handle, "a").in_flight, 1);
    let start = Instant::now();
    let (class, _) = expect_exhausted(send(&service, get()).await);
    assert_eq!((class, start.elapsed()), (Class::Transport, Duration::ZERO));
    hung.abort();
    sleep(MS).await;
    assert_eq!(status_of(&handle, "a").in_flight, 0);
}

/// A cooling endpoint would certainly refuse the attempt.
#[tokio::test(start_paused = true)]
async fn cooling_endpoint_is_never_least_bad() {
    for broken_too in [false, true] {
        let net = Net::new();
        let builder = pool_with_long_recovery(&["a", "b"]).when_exhausted(WhenExhausted::LeastBad);
        let (service, handle) = balancer(builder, &net);
        open_breaker(&service, &handle, &net, "a").await;
        net.on("b", |_| refusal("30"));
        if broken_too {
            open_breaker(&service, &handle, &net, "b").await;
        }
        handle.cool("b", 30 * SECOND).unwrap();
        sleep(SECOND).await;
        let before = net.counts(["a", "b"]);
        for _ in 0..20 {
            let start = Instant::now();
            let _ = expect_exhausted(send(&service, get()).await);
            assert_eq!(start.elapsed(), Duration::ZERO);
            advance(SECOND).await;
        }
        assert_eq!(net.counts(["a", "b"]), before, "{broken_too}");
    }
}

/// A pool with `WhenExhausted::LeastBad`. Endpoint `a` is broken, and `b` is healthy.
async fn least_bad_pool_of_broken_and_healthy(
    net: &Net,
    gates: &Gates,
) -> (EndpointBalance<Gated<Client>>, PoolHandle) {
    let builder = pool_with_long_recovery(&["a", "b"]).when_exhausted(WhenExhausted::LeastBad);
    let (service, handle) = gated_balancer(builder, net, gates);
    net.on("a", |_| connection_reset());
    net.on("b", |_| ok());
    while status_of(&handle, "a").breaker == BreakerState::Closed {
        assert_eq!(send_for_status(&service, request_only_to("a")).await, 0);
    }
    (service, handle)
}

/// Endpoint `b` has just finished a cooldown, and its probe is in flight.
#[tokio::test(start_paused = true)]
async fn endpoint_with_probe_in_flight_is_waited_for() {
    let (net, gates) = (Net::new(), Gates::default());
    let (service, handle) = least_bad_pool_of_broken_and_healthy(&net, &gates).await;
    // The cooldown has just ended, and the probe is in flight.
    handle.cool("b", SECOND).unwrap();
    sleep(SECOND).await;
    net.on("b", |n| {
        if n == 0 {
            Reply::from(ok()).after(30 * MS)
        } else {
            ok().into()
        }
    });
    let before = net.count("a");
    let probe = tokio::spawn(service.clone().oneshot(get()));
    sleep(MS).await;
    assert!(!status_of(&handle, "b").admissible);
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(probe.await.unwrap().unwrap().status(), 200);
    assert_eq!((net.count("a"), net.count("b")), (before, 2));
}

#[tokio::test(start_paused = true)]
async fn busy_endpoint_is_waited_for() {
    let (net, gates) = (Net::new(), Gates::default());
    let (service, _) = least_bad_pool_of_broken_and_healthy(&net, &gates).await;
    let before = net.count("a");
    gates.set_free_slots("b", 0);
    let waits = tokio::spawn(service.oneshot(get()));
    sleep(SECOND).await;
    gates.set_free_slots("b", 1);
    assert_eq!(waits.await.unwrap().unwrap().status(), 200);
    assert_eq!((net.count("a"), net.count("b")), (before, 1));
}
