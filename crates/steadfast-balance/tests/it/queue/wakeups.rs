//! The number of polls that waiting costs.

use steadfast_balance::WhenExhausted;
use steadfast_core::RoutingOptions;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use super::limited_pool;
use crate::support::{MS, Net, Polls, Reply, SECOND, balance, get, ok, only, pool, status, with};

#[tokio::test(start_paused = true)]
async fn thousand_waiters_are_polled_a_few_times_each() {
    let net = Net::new();
    let builder = pool(&["a"]).max_wait(1_000 * SECOND);
    let (service, handle) = limited_pool(builder, &net).await;
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
    // Only those at the head are woken, and not the crowd behind them.
    let woken = polls.get() - 1_000;
    assert!(woken <= 6 * served, "{woken} polls for {served}");

    for request in crowd {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
    assert!(start.elapsed() > 10 * SECOND, "{:?}", start.elapsed());
    assert!(polls.get() <= 7 * 1_000, "{} polls", polls.get());
    assert_eq!(handle.waiting(), 0);
}

/// Among waiters with the same estimate, one is woken when its tokens may be available.
#[tokio::test(start_paused = true)]
async fn waiters_for_tokens_are_polled_a_few_times_each() {
    let net = Net::new();
    let tells = [
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-tokens", "100"),
        ("x-ratelimit-reset-tokens", "9s"),
    ];
    net.on("a", move |n| if n == 0 { with(ok(), &tells) } else { ok() });
    let builder = pool(&["a"])
        .max_wait(1_000 * SECOND)
        .when_exhausted(WhenExhausted::Wait);
    let (service, handle) = balance(builder, &net);
    assert_eq!(status(&service, get()).await, 200);
    let (polls, start) = (Polls::default(), Instant::now());
    let crowd: Vec<_> = (0..100)
        .map(|n| {
            let wishes = RoutingOptions::new().estimated_tokens(400 + n % 3);
            let future = service.clone().oneshot(crate::support::wishing(wishes));
            tokio::spawn(polls.count(future))
        })
        .collect();
    for request in crowd {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
    // A hundred come back each second.
    let took = start.elapsed();
    assert!(took > 390 * SECOND && took < 410 * SECOND, "{took:?}");
    assert!(polls.get() <= 7 * 100, "{} polls", polls.get());
    assert_eq!(handle.waiting(), 0);
}

/// Each answer may have freed a slot.
#[tokio::test(start_paused = true)]
async fn answers_do_not_wake_waiters_behind_the_head() {
    let net = Net::new();
    let (service, handle) = limited_pool(pool(&["a", "b"]), &net).await;
    net.on("b", |_| Reply::from(ok()).after(MS));
    let polls = Polls::default();
    for _ in 0..100 {
        let future = service.clone().oneshot(only("a"));
        tokio::spawn(polls.count(future));
    }
    sleep(MS).await;
    assert_eq!((handle.waiting(), polls.get()), (100, 100));
    let start = Instant::now();
    for _ in 0..50 {
        assert_eq!(status(&service, only("b")).await, 200);
    }
    assert!(start.elapsed() < 110 * MS, "{:?}", start.elapsed());
    assert!(polls.get() <= 110, "{} polls", polls.get());
}
