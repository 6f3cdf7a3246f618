//! Requests that are rejected on arrival or at their bound, and the empty queue after them.

use std::time::Duration;

use steadfast_balance::WhenExhausted;
use steadfast_core::layer::{Next, RecordAttempts};
use steadfast_core::{Class, Deadline, Exhausted, RoutingOptions, Trail};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;

use super::{learn_rate, pool_without_slots, server_with_limit, spawn_request};
use crate::support::{
    Answer, MS, Net, Polls, Reply, SECOND, balancer, expect_exhausted, get, get_with_trail, ok,
    pool, refusal, request_only_to, send, send_for_status, with_deadline,
};

#[tokio::test(start_paused = true)]
async fn request_without_slot_before_deadline_is_rejected_on_arrival() {
    let net = Net::new();
    let (service, handle) = pool_without_slots(pool(&["a"]).max_wait(Duration::ZERO), &net).await;
    let (class, turn) = expect_exhausted(send(&service, get()).await);
    assert_eq!(class, Class::RateLimited);
    let turn = turn.expect("the rate is known");
    assert!(!turn.is_zero() && turn <= 110 * MS, "{turn:?}");
    assert_eq!(handle.waiting(), 0);

    let (service, handle) = pool_without_slots(pool(&["a"]), &Net::new()).await;
    // The expected latency is 50 ms.
    let too_soon = turn + 48 * MS;
    let trail = Trail::new();
    let start = Instant::now();
    let answer = send(&service, with_deadline(get_with_trail(&trail), too_soon)).await;
    let (class, retry_in) = expect_exhausted(answer);
    assert_eq!((class, retry_in), (Class::RateLimited, Some(turn)));
    assert_eq!(trail.take_next(), Some(Next::Never));
    assert!(trail.is_empty(), "no attempt was sent");
    assert_eq!((start.elapsed(), handle.waiting()), (Duration::ZERO, 0));

    let soon_enough = turn + 60 * MS;
    let answer = send(&service, with_deadline(get(), soon_enough)).await;
    assert_eq!(answer.expect("served after a wait").status(), 200);
}

/// Each request waited until its deadline, and all but the first few in vain.
#[tokio::test(start_paused = true)]
async fn long_queue_rejects_short_deadline_on_arrival() {
    let net = Net::new();
    net.on("a", server_with_limit(20.0));
    let (service, handle) = balancer(pool(&["a"]), &net);
    learn_rate(&service, &handle, "a").await;

    let crowd: Vec<_> = (0..60).map(|_| spawn_request(&service, get())).collect();
    sleep(MS).await;
    assert_eq!(handle.waiting(), 60);
    let start = Instant::now();
    let polls = Polls::default();
    for _ in 0..10 {
        let request = with_deadline(get(), 2 * SECOND);
        let answer = polls.count(service.clone().oneshot(request)).await;
        let (class, retry_in) = expect_exhausted(answer);
        assert_eq!(class, Class::RateLimited);
        // The hint counts the 60 waiters. It was the time until the next slot, 50 ms.
        let retry_in = retry_in.expect("the rate is known");
        assert!(
            (2 * SECOND..=4 * SECOND).contains(&retry_in),
            "{retry_in:?}"
        );
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!((polls.get(), handle.waiting()), (10, 60));
    // The new request is served within 6 s from the end of the queue.
    let patient = spawn_request(&service, with_deadline(get(), 6 * SECOND));
    assert_eq!(patient.await.unwrap().unwrap().status(), 200);
    for request in crowd {
        let _ = request.await.unwrap();
    }
    assert_eq!(handle.waiting(), 0);
}

/// Its position is before the later waiters.
#[tokio::test(start_paused = true)]
async fn retried_request_is_not_rejected_for_later_waiters() {
    let net = Net::new();
    net.on("a", server_with_limit(20.0));
    let (service, handle) = balancer(pool(&["a", "b"]), &net);
    net.on("b", |_| Reply::from(refusal("60")).after(500 * MS));
    learn_rate(&service, &handle, "a").await;
    let trail = Trail::new();
    let mut request = get_with_trail(&trail);
    request
        .extensions_mut()
        .insert(RoutingOptions::new().only("b"));
    let first = spawn_request(&service, request);
    sleep(MS).await;
    let crowd: Vec<_> = (0..100)
        .map(|_| spawn_request(&service, request_only_to("a")))
        .collect();
    assert_eq!(first.await.unwrap().unwrap().status(), 429);
    assert!(handle.waiting() >= 80, "{}", handle.waiting());

    let start = Instant::now();
    let answer = send(&service, with_deadline(get_with_trail(&trail), SECOND)).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert!(start.elapsed() <= 200 * MS, "{:?}", start.elapsed());
    crowd.iter().for_each(JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn waiters_of_one_endpoint_do_not_delay_another() {
    let net = Net::new();
    net.on("a", server_with_limit(20.0));
    net.on("b", server_with_limit(20.0));
    let (service, handle) = balancer(pool(&["a", "b"]), &net);
    learn_rate(&service, &handle, "a").await;
    learn_rate(&service, &handle, "b").await;

    let crowd: Vec<_> = (0..200)
        .map(|_| spawn_request(&service, request_only_to("a")))
        .collect();
    sleep(MS).await;
    assert!(handle.waiting() >= 150, "{}", handle.waiting());
    let start = Instant::now();
    let answer = send(&service, with_deadline(request_only_to("b"), SECOND)).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert!(start.elapsed() <= 120 * MS, "{:?}", start.elapsed());
    for request in crowd {
        let _ = request.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn zero_max_wait_rejects_on_arrival() {
    for when in [
        WhenExhausted::Fail,
        WhenExhausted::Wait,
        WhenExhausted::LeastBad,
    ] {
        let net = Net::new();
        let builder = pool(&["a"]).max_wait(Duration::ZERO).when_exhausted(when);
        let (service, handle) = pool_without_slots(builder, &net).await;
        let start = Instant::now();
        for request in [get(), with_deadline(get(), 20 * SECOND)] {
            let (class, _) = expect_exhausted(send(&service, request).await);
            assert_eq!(class, Class::RateLimited, "{when:?}");
        }
        assert_eq!((start.elapsed(), handle.waiting()), (Duration::ZERO, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn waiter_is_rejected_at_max_wait() {
    let net = Net::new();
    let (service, handle) = pool_without_slots(pool(&["a"]).max_wait(250 * MS), &net).await;
    let start = Instant::now();
    let crowd: Vec<_> = (0..10).map(|_| spawn_request(&service, get())).collect();
    let mut refused = 0;
    for request in crowd {
        match request.await.unwrap() {
            Ok(response) => assert_eq!(response.status(), 200),
            Err(error) => {
                let exhausted = Exhausted::find(&*error).expect("typed");
                assert_eq!(exhausted.verdict().class(), Class::RateLimited);
                assert_eq!(start.elapsed(), 250 * MS);
                refused += 1;
            }
        }
    }
    assert_eq!((refused, handle.waiting()), (8, 0));
}

#[tokio::test(start_paused = true)]
async fn maximum_deadline_does_not_overflow() {
    for when in [WhenExhausted::Fail, WhenExhausted::Wait] {
        let net = Net::new();
        let builder = pool(&["a"]).max_wait(Duration::MAX).when_exhausted(when);
        let (service, handle) = pool_without_slots(builder, &net).await;
        let in_vain = send(&service, with_deadline(get(), MS)).await;
        assert_eq!(expect_exhausted(in_vain).0, Class::RateLimited);
        let far = Instant::now() + Duration::from_secs(1 << 62);
        let mut last = get();
        last.extensions_mut().insert(Deadline::at(far));
        for request in [get(), with_deadline(get(), Duration::MAX), last] {
            assert_eq!(send_for_status(&service, request).await, 200, "{when:?}");
        }
        assert_eq!(handle.waiting(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn queue_is_empty_after_all_waiters_left() {
    let net = Net::new();
    net.on("b", |_| Reply::from(ok()));
    let (service, handle) = pool_without_slots(pool(&["a", "b"]), &net).await;
    // The endpoint of the waiters is removed.
    let orphans: Vec<_> = (0..5)
        .map(|_| spawn_request(&service, request_only_to("a")))
        .collect();
    sleep(MS).await;
    assert_eq!(handle.waiting(), 5);
    handle.remove("a").unwrap();
    for orphan in orphans {
        let (class, retry_in) = expect_exhausted(orphan.await.unwrap());
        assert_eq!((class, retry_in), (Class::Overloaded, None));
    }
    assert_eq!(handle.waiting(), 0);

    // The endpoint starts a cooldown, and the waiters continue.
    let (service, handle) = pool_without_slots(pool(&["a", "b"]), &Net::new()).await;
    let patient: Vec<_> = (0..5)
        .map(|_| spawn_request(&service, request_only_to("a")))
        .collect();
    sleep(MS).await;
    handle.cool("a", 5 * SECOND).unwrap();
    sleep(4 * SECOND).await;
    assert_eq!(handle.waiting(), 5);
    for request in patient {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
    // The waiters are dropped.
    let leaving = timeout(
        30 * MS,
        await_or_abort((0..5).map(|_| spawn_request(&service, request_only_to("a")))),
    );
    assert!(leaving.await.is_err());
    sleep(MS).await;
    assert_eq!(handle.waiting(), 0);
}

/// Awaits all tasks. If it is dropped, it aborts the unfinished ones.
async fn await_or_abort(tasks: impl Iterator<Item = JoinHandle<Answer>>) {
    struct Abort(Vec<JoinHandle<Answer>>);
    impl Drop for Abort {
        fn drop(&mut self) {
            self.0.iter().for_each(JoinHandle::abort);
        }
    }
    let mut all = Abort(tasks.collect());
    for task in &mut all.0 {
        let _ = task.await;
    }
}
