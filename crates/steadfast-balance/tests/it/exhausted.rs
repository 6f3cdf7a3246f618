//! What becomes of requests that no endpoint can take: they end, wait, or go to the least bad one.

use std::time::Duration;

use http::StatusCode;
use steadfast_balance::{EndpointBalance, EndpointBalanceBuilder, EndpointBalanceLayer};
use steadfast_balance::{PoolHandle, WhenExhausted};
use steadfast_core::layer::RecordAttempts;
use steadfast_core::{BreakerState, Class, Event, Exhausted, Next, Trail};
use tokio::time::{Instant, advance, sleep, timeout};
use tower::{Layer, ServiceExt};

use crate::support::gate::{Gated, Gates, gated};
use crate::support::{
    Client, Events, MS, Net, Polls, Reply, SECOND, answer, balance, endpoint, exhausted, get,
    get_with, limited, of, ok, only, pool, reset, send, status, within,
};

type Balancer = EndpointBalance<Client>;

const MINUTE: Duration = Duration::from_secs(60);

/// Endpoints whose breakers stay open for a minute.
fn fragile(names: &[&str]) -> EndpointBalanceBuilder {
    let breaker = || {
        let breaker = steadfast_balance::Endpoint::default_breaker();
        let breaker = breaker.max_recovery_timeout(MINUTE);
        breaker.recovery_timeout(MINUTE).jitter(0.0)
    };
    let endpoints = names.iter().map(|name| endpoint(name).breaker(breaker()));
    EndpointBalanceLayer::builder().endpoints(endpoints)
}

/// Lets an endpoint fail until its breaker opens.
async fn open(service: &Balancer, handle: &PoolHandle, net: &Net, name: &str) {
    net.on(name, |_| reset());
    while of(handle, name).breaker == BreakerState::Closed {
        assert_eq!(status(service, only(name)).await, 0);
    }
}

// ===== fail =====

#[tokio::test(start_paused = true)]
async fn a_request_ends_at_once_and_says_why_and_until_when() {
    let net = Net::new();
    let events = Events::default();
    let builder = pool(&["a", "b"]).observer(events.observer());
    let (service, handle) = balance(builder, &net);
    for name in ["a", "b"] {
        open(&service, &handle, &net, name).await;
        sleep(SECOND).await;
    }
    events.take();

    // Broken since 2 s and since 1 s, for 5 s.
    let trail = Trail::new();
    let start = Instant::now();
    let error = send(&service, get_with(&trail)).await.expect_err("broken");
    let error = Exhausted::find(&*error).expect("typed");
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(error.verdict().class(), Class::Overloaded);
    assert_eq!(error.retry_in(), Some(3 * SECOND));
    let response = error.to_response::<()>();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "3");
    assert_eq!(
        trail.take_next(),
        Some(Next::Never),
        "it does not pass by itself"
    );
    assert_eq!(events.take(), ["exhausted Some(3s)"]);

    // A limit does, though another one is back sooner.
    sleep(3 * SECOND).await;
    net.on("b", |_| limited("9"));
    sleep(SECOND).await;
    assert_eq!(status(&service, only("b")).await, 429);
    assert_eq!(status(&service, only("a")).await, 0);
    assert_eq!(of(&handle, "a").breaker, BreakerState::Open);
    let trail = Trail::new();
    let answer = send(&service, get_with(&trail)).await;
    assert_eq!(exhausted(answer), (Class::RateLimited, Some(9 * SECOND)));
    let back = Instant::now() + 9 * SECOND;
    assert_eq!(trail.take_next(), Some(Next::At(back)));
}

/// What it met on its way is what its caller should hear of.
#[tokio::test(start_paused = true)]
async fn the_root_cause_comes_along() {
    let net = Net::new();
    let (service, handle) = balance(pool(&["a", "b"]), &net);
    open(&service, &handle, &net, "b").await;
    net.on("a", |_| answer(500));
    let trail = Trail::new();
    assert_eq!(status(&service, get_with(&trail)).await, 500);
    trail.set_next(Next::Now);
    let error = send(&service, get_with(&trail)).await.expect_err("broken");
    let error = Exhausted::find(&*error).expect("typed");
    assert_eq!(error.trail().to_string(), "a: server_error (500)");
}

// ===== wait =====

#[tokio::test(start_paused = true)]
async fn who_waits_gets_through_a_cooldown_and_through_an_open_breaker() {
    let net = Net::new();
    let builder = pool(&["a"]).when_exhausted(WhenExhausted::Wait);
    let (service, handle) = balance(builder, &net);
    net.on("a", |_| ok());
    handle.cool("a", 3 * SECOND).unwrap();
    let polls = Polls::default();
    let start = Instant::now();
    let answer = polls.count(send(&service, get())).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert_eq!(start.elapsed(), 3 * SECOND);
    assert!(polls.get() <= 4, "{} polls", polls.get());

    open(&service, &handle, &net, "a").await;
    net.on("a", |_| ok());
    let (polls, start) = (Polls::default(), Instant::now());
    let answer = polls.count(send(&service, get())).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert_eq!(start.elapsed(), 5 * SECOND);
    assert!(polls.get() <= 4, "{} polls", polls.get());
    assert_eq!(handle.waiting(), 0);
}

/// Half-open, there is a place for one at a time, and the others wait for that.
#[tokio::test(start_paused = true)]
async fn a_crowd_gets_through_an_open_breaker() {
    let net = Net::new();
    let builder = pool(&["a"]).when_exhausted(WhenExhausted::Wait);
    let (service, handle) = balance(builder, &net);
    open(&service, &handle, &net, "a").await;
    net.on("a", |_| Reply::from(ok()).after(100 * MS));
    let (polls, start) = (Polls::default(), Instant::now());
    let crowd: Vec<_> = (0..100)
        .map(|_| tokio::spawn(polls.count(service.clone().oneshot(get()))))
        .collect();
    for request in crowd {
        assert_eq!(request.await.unwrap().expect("an answer").status(), 200);
    }
    // Three probes, and then all the others at once.
    assert_eq!(start.elapsed(), 5 * SECOND + 400 * MS);
    assert!(polls.get() <= 1_000, "{} polls", polls.get());
    assert_eq!(handle.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_longer_than_the_bound() {
    let waiting = |wait| {
        let builder = fragile(&["a"]).when_exhausted(WhenExhausted::Wait);
        builder.max_wait(wait)
    };
    let net = Net::new();
    let (service, handle) = balance(waiting(2 * SECOND), &net);
    net.on("a", |_| ok());

    // A cooldown that is longer is known to be in vain.
    handle.cool("a", 2001 * MS).unwrap();
    let start = Instant::now();
    let answer = send(&service, get()).await;
    assert_eq!(exhausted(answer), (Class::RateLimited, Some(2001 * MS)));
    let answer = send(&service, within(get(), SECOND)).await;
    assert_eq!(exhausted(answer), (Class::RateLimited, Some(2001 * MS)));
    assert_eq!(start.elapsed(), Duration::ZERO);

    // A breaker may be closed before its time.
    let (service, handle) = balance(waiting(2 * SECOND), &net);
    open(&service, &handle, &net, "a").await;
    for (wait, expected) in [(10 * SECOND, 2 * SECOND), (SECOND, SECOND)] {
        let (polls, start) = (Polls::default(), Instant::now());
        let answer = polls.count(send(&service, within(get(), wait))).await;
        let (class, retry_in) = exhausted(answer);
        assert_eq!(class, Class::Overloaded);
        assert!(retry_in > Some(50 * SECOND));
        assert_eq!(start.elapsed(), expected);
        assert!(polls.get() <= 4, "{} polls", polls.get());
    }
    assert_eq!(handle.waiting(), 0);
}

/// Without an end to it, and with endpoints whose services never become ready.
#[tokio::test(start_paused = true)]
async fn waiting_takes_time_and_no_work() {
    let gates = Gates::default();
    let net = Net::new();
    for when in [
        WhenExhausted::Fail,
        WhenExhausted::Wait,
        WhenExhausted::LeastBad,
    ] {
        let builder = pool(&["a", "b", "c"]).when_exhausted(when);
        let (service, handle) = gated(builder, &net, &gates);
        for name in ["a", "b"] {
            gates.room(name, 0);
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
        // Each looks again every 100 ms at most once something could have come free.
        assert!(polls.get() <= 20 * 800, "{when:?}: {} polls", polls.get());
        crowd.iter().for_each(tokio::task::JoinHandle::abort);
        sleep(MS).await;
        assert_eq!(handle.waiting(), 0);
    }
}

// ===== the least bad =====

#[tokio::test(start_paused = true)]
async fn a_pool_of_open_breakers_gets_an_attempt_a_second() {
    let net = Net::new();
    let builder = fragile(&["a", "b"]).when_exhausted(WhenExhausted::LeastBad);
    let (service, handle) = balance(builder, &net);
    // Each is let through once a second as the least bad one, too, until both are open.
    open(&service, &handle, &net, "a").await;
    sleep(SECOND).await;
    open(&service, &handle, &net, "b").await;
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
                assert_eq!(error.verdict().class(), Class::Overloaded);
                ended += 1;
            }
            None => tried += 1,
        }
        sleep(10 * MS).await;
    }
    let after = net.counts(["a", "b"]);
    assert_eq!((ended + tried, tried), (2_000, 20));
    assert_eq!(polls.get(), 2_000, "each ended at once");
    // The one that recovers first.
    assert_eq!([after[0] - before[0], after[1] - before[1]], [20, 0]);
    let sent = net.sent("a");
    let last = &sent[before[0]..];
    assert!(last.windows(2).all(|two| two[1].at - two[0].at >= SECOND));
    assert_eq!(of(&handle, "a").in_flight, 0);
}

/// Its answer is as good as any, and one that hangs holds nobody up.
#[tokio::test(start_paused = true)]
async fn the_least_bad_endpoint_may_answer_after_all_or_never() {
    let net = Net::new();
    let builder = fragile(&["a"]).when_exhausted(WhenExhausted::LeastBad);
    let (service, handle) = balance(builder, &net);
    open(&service, &handle, &net, "a").await;
    sleep(SECOND).await;
    net.on("a", |_| Reply::from(ok()).after(MS));
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(status(&service, get()).await, 0);
    sleep(SECOND).await;

    net.on("a", |_| Reply::never());
    let hung = tokio::spawn(service.clone().oneshot(get()));
    sleep(MS).await;
    assert_eq!(of(&handle, "a").in_flight, 1);
    let start = Instant::now();
    let (class, _) = exhausted(send(&service, get()).await);
    assert_eq!(
        (class, start.elapsed()),
        (Class::Overloaded, Duration::ZERO)
    );
    hung.abort();
    sleep(MS).await;
    assert_eq!(of(&handle, "a").in_flight, 0);
}

/// It would refuse for certain, and be the more angry.
#[tokio::test(start_paused = true)]
async fn a_limited_endpoint_is_never_the_least_bad() {
    for broken_too in [false, true] {
        let net = Net::new();
        let builder = fragile(&["a", "b"]).when_exhausted(WhenExhausted::LeastBad);
        let (service, handle) = balance(builder, &net);
        open(&service, &handle, &net, "a").await;
        net.on("b", |_| limited("30"));
        if broken_too {
            open(&service, &handle, &net, "b").await;
        }
        handle.cool("b", 30 * SECOND).unwrap();
        sleep(SECOND).await;
        let before = net.counts(["a", "b"]);
        for _ in 0..20 {
            let start = Instant::now();
            let _ = exhausted(send(&service, get()).await);
            assert_eq!(start.elapsed(), Duration::ZERO);
            advance(SECOND).await;
        }
        assert_eq!(net.counts(["a", "b"]), before, "{broken_too}");
    }
}

/// A pool that takes the least bad, whose endpoint `a` is broken and `b` is well.
async fn broken_and_well(net: &Net, gates: &Gates) -> (EndpointBalance<Gated<Client>>, PoolHandle) {
    let builder = fragile(&["a", "b"]).when_exhausted(WhenExhausted::LeastBad);
    let (service, handle) = gated(builder, net, gates);
    net.on("a", |_| reset());
    net.on("b", |_| ok());
    while of(&handle, "a").breaker == BreakerState::Closed {
        assert_eq!(status(&service, only("a")).await, 0);
    }
    (service, handle)
}

/// Another one is well, and only busy for the moment.
#[tokio::test(start_paused = true)]
async fn a_broken_endpoint_is_not_asked_while_another_only_has_to_be_waited_for() {
    let (net, gates) = (Net::new(), Gates::default());
    let (service, handle) = broken_and_well(&net, &gates).await;
    // It has just come through a cooldown, and the answer to the first attempt is awaited.
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
    assert!(!of(&handle, "b").admissible);
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(probe.await.unwrap().unwrap().status(), 200);
    assert_eq!((net.count("a"), net.count("b")), (before, 2));
}

#[tokio::test(start_paused = true)]
async fn a_broken_endpoint_is_not_asked_while_another_is_only_busy() {
    let (net, gates) = (Net::new(), Gates::default());
    let (service, _) = broken_and_well(&net, &gates).await;
    let before = net.count("a");
    gates.room("b", 0);
    let waits = tokio::spawn(service.oneshot(get()));
    sleep(SECOND).await;
    gates.room("b", 1);
    assert_eq!(waits.await.unwrap().unwrap().status(), 200);
    assert_eq!((net.count("a"), net.count("b")), (before, 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_is_never_kept_by_a_pool_without_endpoints() {
    for when in [
        WhenExhausted::Fail,
        WhenExhausted::Wait,
        WhenExhausted::LeastBad,
    ] {
        let events = Events::default();
        let builder = EndpointBalanceLayer::builder()
            .when_exhausted(when)
            .observer(events.observer());
        let layer = builder.build_empty().expect("valid");
        let service = layer.layer(Net::new().client());
        let answer = timeout(SECOND, send(&service, get())).await;
        let answer = answer.expect("no hang");
        assert_eq!(exhausted(answer), (Class::Overloaded, None), "{when:?}");
        assert_eq!(
            events.count(|event| matches!(event, Event::Exhausted { .. })),
            1
        );
    }
}
