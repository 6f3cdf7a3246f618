//! `WhenExhausted::Wait`: the request waits within a bound.

use std::time::Duration;

use steadfast_balance::WhenExhausted;
use steadfast_core::Class;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use super::{open_breaker, pool_with_long_recovery};
use crate::support::gate::{Gates, gated_balancer};
use crate::support::{
    MS, Net, Polls, Reply, SECOND, balancer, expect_exhausted, get, ok, pool,
    pool_without_early_probes, send, with_deadline,
};

#[tokio::test(start_paused = true)]
async fn waiter_is_served_after_cooldown_or_open_breaker() {
    let net = Net::new();
    let builder = pool_without_early_probes(&["a"]).when_exhausted(WhenExhausted::Wait);
    let (service, handle) = balancer(builder, &net);
    net.on("a", |_| ok());
    handle.cool("a", 3 * SECOND).unwrap();
    let polls = Polls::default();
    let start = Instant::now();
    let answer = polls.count(send(&service, get())).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert_eq!(start.elapsed(), 3 * SECOND);
    assert!(polls.get() <= 4, "{} polls", polls.get());

    open_breaker(&service, &handle, &net, "a").await;
    net.on("a", |_| ok());
    let (polls, start) = (Polls::default(), Instant::now());
    let answer = polls.count(send(&service, get())).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert_eq!(start.elapsed(), 5 * SECOND);
    assert!(polls.get() <= 4, "{} polls", polls.get());
    assert_eq!(handle.waiting(), 0);
}

/// A half-open breaker admits one probe at a time, and the other waiters queue for its slot.
#[tokio::test(start_paused = true)]
async fn waiters_are_served_once_probes_close_the_breaker() {
    let net = Net::new();
    let builder = pool_without_early_probes(&["a"]).when_exhausted(WhenExhausted::Wait);
    let (service, handle) = balancer(builder, &net);
    open_breaker(&service, &handle, &net, "a").await;
    net.on("a", |_| Reply::from(ok()).after(100 * MS));
    let (polls, start) = (Polls::default(), Instant::now());
    let crowd: Vec<_> = (0..100)
        .map(|_| tokio::spawn(polls.count(service.clone().oneshot(get()))))
        .collect();
    for request in crowd {
        assert_eq!(request.await.unwrap().expect("an answer").status(), 200);
    }
    // Three probes, then 10, 20, 40 and the others at once.
    assert_eq!(start.elapsed(), 5 * SECOND + 700 * MS);
    assert!(polls.get() <= 1_000, "{} polls", polls.get());
    assert_eq!(handle.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn max_wait_and_deadline_bound_the_wait() {
    let waiting = |wait| {
        let builder = pool_with_long_recovery(&["a"]).when_exhausted(WhenExhausted::Wait);
        builder.max_wait(wait)
    };
    let net = Net::new();
    let (service, handle) = balancer(waiting(2 * SECOND), &net);
    net.on("a", |_| ok());

    // A longer cooldown makes the wait pointless.
    handle.cool("a", 2001 * MS).unwrap();
    let start = Instant::now();
    let answer = send(&service, get()).await;
    assert_eq!(
        expect_exhausted(answer),
        (Class::RateLimited, Some(2001 * MS))
    );
    let answer = send(&service, with_deadline(get(), SECOND)).await;
    assert_eq!(
        expect_exhausted(answer),
        (Class::RateLimited, Some(2001 * MS))
    );
    assert_eq!(start.elapsed(), Duration::ZERO);

    // A breaker may close early.
    let (service, handle) = balancer(waiting(2 * SECOND), &net);
    open_breaker(&service, &handle, &net, "a").await;
    for (wait, expected) in [(10 * SECOND, 2 * SECOND), (SECOND, SECOND)] {
        let (polls, start) = (Polls::default(), Instant::now());
        let answer = polls
            .count(send(&service, with_deadline(get(), wait)))
            .await;
        let (class, retry_in) = expect_exhausted(answer);
        assert_eq!(class, Class::Transport);
        assert!(retry_in > Some(50 * SECOND));
        assert_eq!(start.elapsed(), expected);
        assert!(polls.get() <= 4, "{} polls", polls.get());
    }
    assert_eq!(handle.waiting(), 0);
}

/// The wait has no end, and some endpoints never become ready.
#[tokio::test(start_paused = true)]
async fn waiters_are_polled_rarely() {
    let gates = Gates::default();
    let net = Net::new();
    for when in [
        WhenExhausted::Fail,
        WhenExhausted::Wait,
        WhenExhausted::LeastBad,
    ] {
        let builder = pool(&["a", "b", "c"]).when_exhausted(when);
        let (service, handle) = gated_balancer(builder, &net, &gates);
        for name in ["a", "b"] {
            gates.set_free_slots(name, 0);
        }
        handle.cool("c", 20 * SECOND).unwrap();
        net.on("c", |_| Reply::never());
        let polls = Polls::default();
        let crowd: Vec<_> = (0..20)
            .map(|_| tokio::spawn(polls.count(service.clone().oneshot(get()))))
            .collect();
        let start = Instant::now();
        sleep(60 * SECOND).await;
        assert_eq!(start.elapsed(), 60 * SECOND);
        // A waiter is polled at most every 100 ms once a slot may be free.
        assert!(polls.get() <= 20 * 800, "{when:?}: {} polls", polls.get());
        crowd.iter().for_each(tokio::task::JoinHandle::abort);
        sleep(MS).await;
        assert_eq!(handle.waiting(), 0);
    }
}
