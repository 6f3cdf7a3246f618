//! Requests that are rejected on arrival or at their bound, and the empty queue after them.

use std::time::Duration;

use steadfast_balance::WhenExhausted;
use steadfast_core::layer::{Next, RecordAttempts};
use steadfast_core::{Class, Deadline, Exhausted, RoutingOptions, Trail};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;

use super::{counting, learn_rate, limited_pool, spawn};
use crate::support::{
    Answer, MS, Net, Polls, Reply, SECOND, balance, exhausted, get, get_with, limited, ok, only,
    pool, send, status, within,
};

#[tokio::test(start_paused = true)]
async fn request_without_slot_before_deadline_is_rejected_on_arrival() {
    let net = Net::new();
    let (service, handle) = limited_pool(pool(&["a"]).max_wait(Duration::ZERO), &net).await;
    let (class, turn) = exhausted(send(&service, get()).await);
    assert_eq!(class, Class::RateLimited);
    let turn = turn.expect("it has a rate");
    assert!(!turn.is_zero() && turn <= 110 * MS, "{turn:?}");
    assert_eq!(handle.waiting(), 0);

    let (service, handle) = limited_pool(pool(&["a"]), &Net::new()).await;
    // A refusal takes up to 50 ms to come, as far as is known, and an answer the same.
    let too_soon = turn + 48 * MS;
    let trail = Trail::new();
    let start = Instant::now();
    let answer = send(&service, within(get_with(&trail), too_soon)).await;
    let (class, retry_in) = exhausted(answer);
    assert_eq!((class, retry_in), (Class::RateLimited, Some(turn)));
    assert_eq!(trail.take_next(), Some(Next::Never));
    assert!(trail.is_empty(), "nobody was asked");
    assert_eq!((start.elapsed(), handle.waiting()), (Duration::ZERO, 0));

    let soon_enough = turn + 60 * MS;
    let answer = send(&service, within(get(), soon_enough)).await;
    assert_eq!(answer.expect("it waited").status(), 200);
}

/// Each request waited until its deadline, and all but the first few in vain.
#[tokio::test(start_paused = true)]
async fn long_queue_rejects_short_deadline_on_arrival() {
    let net = Net::new();
    net.on("a", counting(20.0));
    let (service, handle) = balance(pool(&["a"]), &net);
    learn_rate(&service, &handle, "a").await;

    let crowd: Vec<_> = (0..60).map(|_| spawn(&service, get())).collect();
    sleep(MS).await;
    assert_eq!(handle.waiting(), 60);
    let start = Instant::now();
    let polls = Polls::default();
    for _ in 0..10 {
        let request = within(get(), 2 * SECOND);
        let answer = polls.count(service.clone().oneshot(request)).await;
        assert_eq!(exhausted(answer).0, Class::RateLimited);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!((polls.get(), handle.waiting()), (10, 60));
    // They come to the end of the queue, and it is not that long.
    let patient = spawn(&service, within(get(), 6 * SECOND));
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
    net.on("a", counting(20.0));
    let (service, handle) = balance(pool(&["a", "b"]), &net);
    net.on("b", |_| Reply::from(limited("60")).after(500 * MS));
    learn_rate(&service, &handle, "a").await;
    let trail = Trail::new();
    let mut request = get_with(&trail);
    request
        .extensions_mut()
        .insert(RoutingOptions::new().only("b"));
    let first = spawn(&service, request);
    sleep(MS).await;
    let crowd: Vec<_> = (0..100).map(|_| spawn(&service, only("a"))).collect();
    assert_eq!(first.await.unwrap().unwrap().status(), 429);
    assert!(handle.waiting() >= 80, "{}", handle.waiting());

    let start = Instant::now();
    let answer = send(&service, within(get_with(&trail), SECOND)).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert!(start.elapsed() <= 200 * MS, "{:?}", start.elapsed());
    crowd.iter().for_each(JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn waiters_of_one_endpoint_do_not_delay_another() {
    let net = Net::new();
    net.on("a", counting(20.0));
    net.on("b", counting(20.0));
    let (service, handle) = balance(pool(&["a", "b"]), &net);
    learn_rate(&service, &handle, "a").await;
    learn_rate(&service, &handle, "b").await;

    let crowd: Vec<_> = (0..200).map(|_| spawn(&service, only("a"))).collect();
    sleep(MS).await;
    assert!(handle.waiting() >= 150, "{}", handle.waiting());
    let start = Instant::now();
    let answer = send(&service, within(only("b"), SECOND)).await;
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
        let (service, handle) = limited_pool(builder, &net).await;
        let start = Instant::now();
        for request in [get(), within(get(), 20 * SECOND)] {
            let (class, _) = exhausted(send(&service, request).await);
            assert_eq!(class, Class::RateLimited, "{when:?}");
        }
        assert_eq!((start.elapsed(), handle.waiting()), (Duration::ZERO, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn waiter_is_rejected_at_max_wait() {
    let net = Net::new();
    let (service, handle) = limited_pool(pool(&["a"]).max_wait(250 * MS), &net).await;
    let start = Instant::now();
    let crowd: Vec<_> = (0..10).map(|_| spawn(&service, get())).collect();
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
        let (service, handle) = limited_pool(builder, &net).await;
        let in_vain = send(&service, within(get(), MS)).await;
        assert_eq!(exhausted(in_vain).0, Class::RateLimited);
        let far = Instant::now() + Duration::from_secs(1 << 62);
        let mut last = get();
        last.extensions_mut().insert(Deadline::at(far));
        for request in [get(), within(get(), Duration::MAX), last] {
            assert_eq!(status(&service, request).await, 200, "{when:?}");
        }
        assert_eq!(handle.waiting(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn queue_is_empty_after_all_waiters_left() {
    let net = Net::new();
    net.on("b", |_| Reply::from(ok()));
    let (service, handle) = limited_pool(pool(&["a", "b"]), &net).await;
    // Their endpoint is gone.
    let orphans: Vec<_> = (0..5).map(|_| spawn(&service, only("a"))).collect();
    sleep(MS).await;
    assert_eq!(handle.waiting(), 5);
    handle.remove("a").unwrap();
    for orphan in orphans {
        let (class, retry_in) = exhausted(orphan.await.unwrap());
        assert_eq!((class, retry_in), (Class::Overloaded, None));
    }
    assert_eq!(handle.waiting(), 0);

    // Their endpoint begins to cool, and they go on.
    let (service, handle) = limited_pool(pool(&["a", "b"]), &Net::new()).await;
    let patient: Vec<_> = (0..5).map(|_| spawn(&service, only("a"))).collect();
    sleep(MS).await;
    handle.cool("a", 5 * SECOND).unwrap();
    sleep(4 * SECOND).await;
    assert_eq!(handle.waiting(), 5);
    for request in patient {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
    // Or they do not, and leave.
    let leaving = timeout(
        30 * MS,
        futures_all((0..5).map(|_| spawn(&service, only("a")))),
    );
    assert!(leaving.await.is_err());
    sleep(MS).await;
    assert_eq!(handle.waiting(), 0);
}

/// Awaits all tasks. If it is dropped, it aborts the unfinished ones.
async fn futures_all(tasks: impl Iterator<Item = JoinHandle<Answer>>) {
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
