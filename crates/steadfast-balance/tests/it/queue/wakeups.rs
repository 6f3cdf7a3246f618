//! The number of polls that waiting costs.

use steadfast_balance::WhenExhausted;
use steadfast_core::RoutingOptions;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use super::pool_without_slots;
use crate::support::{
    MS, Net, Polls, Reply, SECOND, balancer, get, ok, pool, request_only_to, send_for_status,
    with_headers,
};

#[tokio::test(start_paused = true)]
async fn thousand_waiters_are_polled_a_few_times_each() {
    let net = Net::new();
    let builder = pool(&["a"]).max_wait(1_000 * SECOND);
    let (service, handle) = pool_without_slots(builder, &net).await;
    let polls = Polls::default();
    let start = Instant::now();
    let crowd: Vec<_> = (0..1_000)
        .map(|_| {
            let future = service.clone().oneshot(get());
            tokio::spawn(polls.count(future))
        })
        .collect();
    sleep(50 * MS).await;
    assert_eq!((handle.waiting(), polls.get()), (1_000, 1_000));
    sleep(SECOND).await;
    let served = 1_000 - handle.waiting();
    assert!(served >= 8, "{served}");
    // Only waiters at the head are woken.
    let woken = polls.get() - 1_000;
    assert!(woken <= 6 * served, "{woken} polls for {served}");

    for request in crowd {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
    // The standing queue tests the rate upwards, and the endpoint has no limit.
    assert!(start.elapsed() > 3 * SECOND, "{:?}", start.elapsed());
    assert!(polls.get() <= 7 * 1_000, "{} polls", polls.get());
    assert_eq!(handle.waiting(), 0);
}

/// Among waiters with the same estimate, one is woken when its tokens may be available.
#[tokio::test(start_paused = true)]
async fn waiters_for_tokens_are_polled_a_few_times_each() {
    let net = Net::new();
    let headers = [
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-tokens", "100"),
        ("x-ratelimit-reset-tokens", "9s"),
    ];
    net.on("a", move |n| {
        if n == 0 {
            with_headers(ok(), &headers)
        } else {
            ok()
        }
    });
    let builder = pool(&["a"])
        .max_wait(1_000 * SECOND)
        .when_exhausted(WhenExhausted::Wait);
    let (service, handle) = balancer(builder, &net);
    assert_eq!(send_for_status(&service, get()).await, 200);
    let (polls, start) = (Polls::default(), Instant::now());
    let crowd: Vec<_> = (0..100)
        .map(|n| {
            let options = RoutingOptions::new().estimated_tokens(400 + n % 3);
            let future = service
                .clone()
                .oneshot(crate::support::request_with(options));
            tokio::spawn(polls.count(future))
        })
        .collect();
    for request in crowd {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
    // The bucket refills by 100 tokens per second.
    let took = start.elapsed();
    assert!(took > 390 * SECOND && took < 410 * SECOND, "{took:?}");
    assert!(polls.get() <= 7 * 100, "{} polls", polls.get());
    assert_eq!(handle.waiting(), 0);
}

/// Each answer may have freed a slot.
#[tokio::test(start_paused = true)]
async fn answers_do_not_wake_waiters_behind_the_head() {
    let net = Net::new();
    let (service, handle) = pool_without_slots(pool(&["a", "b"]), &net).await;
    net.on("b", |_| Reply::from(ok()).after(MS));
    let polls = Polls::default();
    for _ in 0..100 {
        let future = service.clone().oneshot(request_only_to("a"));
        tokio::spawn(polls.count(future));
    }
    sleep(MS).await;
    assert_eq!((handle.waiting(), polls.get()), (100, 100));
    let start = Instant::now();
    for _ in 0..50 {
        assert_eq!(send_for_status(&service, request_only_to("b")).await, 200);
    }
    assert!(start.elapsed() < 110 * MS, "{:?}", start.elapsed());
    assert!(polls.get() <= 110, "{} polls", polls.get());
}
