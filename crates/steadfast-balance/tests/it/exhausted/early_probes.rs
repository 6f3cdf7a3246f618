//! A pool with open breakers only: probes come forward, and requests wait for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use steadfast_balance::{Endpoint, EndpointBalanceBuilder, EndpointBalanceLayer, Strategy};
use steadfast_core::{BreakerState, Class};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, advance, sleep, sleep_until, timeout};
use tower::ServiceExt;

use super::Balancer;
use crate::support::gate::{Gates, gated_balancer};
use crate::support::{
    MS, Net, Polls, Reply, SECOND, STRATEGIES, balancer, connection_refused, endpoint,
    expect_exhausted, get, ok, request_only_to, send, send_for_status, status_of, with_deadline,
};

/// Endpoints that stay open for a minute.
fn pool_with_long_recovery(names: &[&str]) -> EndpointBalanceBuilder {
    let breaker = || Endpoint::default_breaker().recovery_timeout(60 * SECOND);
    let endpoints = names.iter().map(|name| {
        let breaker = breaker().max_recovery_timeout(120 * SECOND).jitter(0.0);
        endpoint(name).breaker(breaker)
    });
    EndpointBalanceLayer::builder().endpoints(endpoints)
}

/// A server that refuses connections while `down` is set.
fn server_that_may_be_down(net: &Net, name: &str, down: &Arc<AtomicBool>, latency: Duration) {
    let down = down.clone();
    net.on(name, move |_| match down.load(Ordering::Relaxed) {
        true => Reply::from(connection_refused()),
        false => Reply::from(ok()).after(latency),
    });
}

async fn open_all_breakers(service: &Balancer, handle: &steadfast_balance::PoolHandle) {
    for _ in 0..20 {
        let _ = send(service, with_deadline(get(), MS)).await;
    }
    assert!(
        handle
            .status()
            .iter()
            .all(|it| it.breaker == BreakerState::Open)
    );
}

/// The pool answered `503` for up to half a minute after its endpoints were healthy again.
#[tokio::test(start_paused = true)]
async fn recovered_endpoint_serves_within_two_seconds() {
    for strategy in STRATEGIES {
        let (net, down) = (Net::new(), Arc::new(AtomicBool::new(true)));
        for name in ["a", "b"] {
            server_that_may_be_down(&net, name, &down, 20 * MS);
        }
        let builder = pool_with_long_recovery(&["a", "b"]).strategy(strategy);
        let (service, handle) = balancer(builder, &net);
        open_all_breakers(&service, &handle).await;
        // One request per second, as long as the outage lasts.
        for _ in 0..20 {
            assert!(send(&service, get()).await.is_err());
            sleep(SECOND).await;
        }
        down.store(false, Ordering::Relaxed);
        let start = Instant::now();
        while send(&service, get()).await.is_err() {
            sleep(SECOND).await;
        }
        assert!(
            start.elapsed() <= 2 * SECOND,
            "{strategy:?}: {:?}",
            start.elapsed()
        );
        // Further requests close the breakers.
        for _ in 0..20 {
            assert_eq!(send_for_status(&service, get()).await, 200, "{strategy:?}");
            sleep(100 * MS).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_endpoint_gets_at_most_one_early_probe_per_second() {
    let (net, down) = (Net::new(), Arc::new(AtomicBool::new(true)));
    for name in ["a", "b"] {
        server_that_may_be_down(&net, name, &down, 20 * MS);
    }
    let (service, handle) = balancer(pool_with_long_recovery(&["a", "b"]), &net);
    open_all_breakers(&service, &handle).await;
    let before = ["a", "b"].map(|name| net.sent(name).len());
    let start = Instant::now();
    let mut waits = Vec::new();
    while start.elapsed() < 30 * SECOND {
        for _ in 0..5 {
            let service = service.clone();
            waits.push(tokio::spawn(async move {
                let came = Instant::now();
                let answer = send(&service, get()).await;
                (answer.is_ok(), came.elapsed())
            }));
        }
        sleep(50 * MS).await;
    }
    for wait in waits {
        let (served, wait) = wait.await.unwrap();
        assert!(!served && wait <= SECOND + 20 * MS, "{wait:?}");
    }
    for (name, before) in ["a", "b"].into_iter().zip(before) {
        let probes = net.sent(name).len() - before;
        assert!((25..=31).contains(&probes), "{name}: {probes}");
    }
    assert_eq!(handle.waiting(), 0);
}

/// Sends a request each second, and keeps its attempt in flight.
async fn probe_each_second(service: Balancer) {
    let mut sent = Vec::new();
    loop {
        let service = service.clone();
        let mut request =
            tokio_test::task::spawn(async move { send(&service, get()).await.is_ok() });
        assert!(request.poll().is_pending());
        sent.push(request);
        sleep(SECOND).await;
    }
}

/// All requests with 30 s to spare failed after one second, although the outage was a restart.
#[tokio::test(start_paused = true)]
async fn request_with_deadline_rides_out_an_outage_that_is_younger_than_its_time() {
    let (two, lone) = (&["a", "b"][..], &["a"][..]);
    // When the request comes after the last success, its deadline, and the end of its wait.
    for (names, request, age, deadline, end) in [
        // The time of an answer is left.
        (two, get(), 1_500, Some(30), 31_400),
        (two, get(), 1_500, Some(3), 4_400),
        (two, get(), 4_500, Some(30), 34_400),
        (two, get(), 4_500, Some(4), 5_500),
        (two, get(), 1_500, None, 2_500),
        (two, get(), 31_000, Some(30), 32_000),
        (lone, get(), 1_500, Some(30), 31_400),
        (two, request_only_to("a"), 1_500, Some(30), 31_400),
    ] {
        let (net, down) = (Net::new(), Arc::new(AtomicBool::new(false)));
        for &name in names {
            server_that_may_be_down(&net, name, &down, 20 * MS);
        }
        let (service, handle) = balancer(pool_with_long_recovery(names), &net);
        sleep(60 * SECOND).await;
        assert_eq!(send_for_status(&service, get()).await, 200);
        let last = Instant::now();
        down.store(true, Ordering::Relaxed);
        open_all_breakers(&service, &handle).await;
        sleep(age * MS).await;
        // The probes of other requests have no outcome, so the request only waits.
        let probes = names.iter().map(|&name| {
            net.on(name, |_| Reply::never());
            tokio::spawn(probe_each_second(service.clone()))
        });
        let probes: Vec<_> = probes.collect();
        tokio::task::yield_now().await;
        let request = match deadline {
            Some(seconds) => with_deadline(request, seconds * SECOND),
            None => request,
        };
        // A task of its own, behind the probes of the same instant.
        let sent = async move { send(&service, request).await };
        let answer = timeout(30 * SECOND, tokio::spawn(sent)).await;
        expect_exhausted(answer.expect("it was no probe").unwrap());
        let late = last.elapsed().saturating_sub(end * MS);
        assert!(
            last.elapsed() >= end * MS && late < 100 * MS,
            "{age} {deadline:?}: {:?}",
            last.elapsed()
        );
        probes.iter().for_each(JoinHandle::abort);
    }
}

/// Of 20 waiters of a short outage, 15 were rejected although the server had recovered: after the
/// first success, one probe at a time passed.
#[tokio::test(start_paused = true)]
async fn first_success_serves_the_waiters() {
    // The time of an answer, the arrival of the waiters after the opening, and the end of all.
    for (answer, arrival, end) in [(20, 300, 1_100), (5_000, 5_500, 18_500)] {
        let (net, down) = (Net::new(), Arc::new(AtomicBool::new(true)));
        server_that_may_be_down(&net, "a", &down, answer * MS);
        let (service, handle) = balancer(pool_with_long_recovery(&["a"]), &net);
        open_all_breakers(&service, &handle).await;
        down.store(false, Ordering::Relaxed);
        let opened = Instant::now();
        let request = |service: Balancer| async move { send_for_status(&service, get()).await };
        sleep(300 * MS).await;
        let mut requests = JoinSet::new();
        requests.spawn(request(service.clone()));
        sleep((arrival - 300) * MS).await;
        for _ in 0..19 {
            requests.spawn(request(service.clone()));
        }
        assert_eq!(requests.join_all().await, [200; 20], "{answer} ms");
        assert!(opened.elapsed() <= end * MS, "{:?}", opened.elapsed());
        assert_eq!(handle.waiting(), 0);
    }
}

/// A server that can work on one request at a time gets no burst before it has served some. The
/// slow start adds one to ten attempts for each success.
#[tokio::test(start_paused = true)]
async fn waiters_are_released_step_by_step() {
    let (net, down) = (Net::new(), Arc::new(AtomicBool::new(true)));
    server_that_may_be_down(&net, "a", &down, 100 * MS);
    let (service, handle) = balancer(pool_with_long_recovery(&["a"]), &net);
    open_all_breakers(&service, &handle).await;
    down.store(false, Ordering::Relaxed);
    advance(300 * MS).await;
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        let service = service.clone();
        requests.spawn(async move { send_for_status(&service, get()).await });
    }
    sleep(700 * MS).await;
    for expected in [1, 2, 13, 4] {
        sleep(50 * MS).await;
        assert_eq!(status_of(&handle, "a").in_flight, expected);
        sleep(50 * MS).await;
    }
    assert_eq!(requests.join_all().await, [200; 20]);
}

/// A probe that hung kept the only slot for 30 s, so the pool answered `503` to all others.
#[tokio::test(start_paused = true)]
async fn endpoint_that_hung_serves_within_two_seconds_after_its_recovery() {
    for (seed, answer) in (0..40).zip([20 * MS, 500 * MS].into_iter().cycle()) {
        let mut rng = Rng::with_seed(seed);
        let recovery = Duration::from_millis(rng.u64(3_000..25_000));
        let (net, down) = (Net::new(), Arc::new(AtomicBool::new(true)));
        server_that_may_be_down(&net, "a", &down, 20 * MS);
        let (service, handle) = balancer(pool_with_long_recovery(&["a"]), &net);
        open_all_breakers(&service, &handle).await;
        let start = Instant::now();
        let hangs_until = start + recovery;
        net.on("a", move |_| match Instant::now() < hangs_until {
            true => Reply::never(),
            false => Reply::from(ok()).after(answer),
        });
        // One request per second. No caller gives up.
        let mut requests = JoinSet::new();
        for second in 0..40 {
            let (service, came) = (service.clone(), start + second * SECOND);
            requests.spawn(async move {
                sleep_until(came).await;
                let status = send_for_status(&service, get()).await;
                (came, status, came.elapsed())
            });
        }
        let ends = async {
            let mut served = 0;
            while let Some(end) = requests.join_next().await {
                let (came, status, took) = end.unwrap();
                if came >= hangs_until {
                    assert_eq!(status, 200, "{seed}: {recovery:?}, {:?}", came - start);
                    assert!(took <= 2 * SECOND, "{seed}: {recovery:?}, {took:?}");
                    served += 1;
                }
            }
            unreachable!("the hanging ones never end, {served} were served");
        };
        assert!(timeout(60 * SECOND, ends).await.is_err());
        assert_eq!(status_of(&handle, "a").breaker, BreakerState::Closed);
        let stuck = status_of(&handle, "a").in_flight;
        assert!(f64::from(stuck) <= recovery.as_secs_f64() + 1.0, "{stuck}");
    }
}

#[tokio::test(start_paused = true)]
async fn endpoint_that_hangs_forever_holds_few_requests() {
    let (net, down) = (Net::new(), Arc::new(AtomicBool::new(true)));
    server_that_may_be_down(&net, "a", &down, 20 * MS);
    let (service, handle) = balancer(pool_with_long_recovery(&["a"]), &net);
    open_all_breakers(&service, &handle).await;
    net.on("a", |_| Reply::never());
    let mut requests = JoinSet::new();
    let mut stuck = Vec::new();
    for n in 0..600 {
        for _ in 0..5 {
            let service = service.clone();
            requests.spawn(async move { send(&service, get()).await.is_ok() });
        }
        sleep(SECOND).await;
        if [29, 59, 599].contains(&n) {
            stuck.push(status_of(&handle, "a").in_flight);
        }
    }
    assert!((28..=30).contains(&stuck[0]), "{stuck:?}");
    // Then as many as ever: one in the time of a probe slot.
    assert!(stuck[1] <= 31 && stuck[2] <= 50, "{stuck:?}");
    requests.abort_all();
    for _ in 0..20 {
        sleep(SECOND).await;
        let service = service.clone();
        requests.spawn(async move { send(&service, get()).await.is_ok() });
    }
    let stuck = status_of(&handle, "a").in_flight;
    assert!(
        stuck >= 18,
        "the count has forgotten the aborted ones: {stuck}"
    );
    requests.abort_all();
    sleep(SECOND).await;
    down.store(false, Ordering::Relaxed);
    server_that_may_be_down(&net, "a", &down, 20 * MS);
    assert_eq!(
        send_for_status(&service, get()).await,
        200,
        "nothing is left"
    );
}

#[tokio::test(start_paused = true)]
async fn operator_and_other_admissible_endpoints_prevent_early_probes() {
    let (net, down) = (Net::new(), Arc::new(AtomicBool::new(true)));
    server_that_may_be_down(&net, "a", &down, MS);
    net.on("b", |_| Reply::from(ok()));
    let builder = pool_with_long_recovery(&["a", "b"]).strategy(Strategy::Failover);
    let (service, handle) = balancer(builder, &net);
    handle.trip("b").unwrap();
    open_all_breakers(&service, &handle).await;
    handle.reset("b").unwrap();
    let before = net.sent("a").len();
    for _ in 0..10 {
        advance(SECOND).await;
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
    assert_eq!(net.sent("a").len(), before, "another endpoint serves");

    handle.reset("a").unwrap();
    for name in ["a", "b"] {
        handle.trip(name).unwrap();
    }
    advance(5 * SECOND).await;
    let (class, _) = expect_exhausted(send(&service, get()).await);
    assert_eq!(class, Class::Overloaded);
    assert_eq!(net.sent("a").len(), before, "an operator opened it");
    assert_eq!(status_of(&handle, "a").in_flight, 0);
}

/// A waiter that is dropped leaves no probe slot behind.
#[tokio::test(start_paused = true)]
async fn dropped_probe_and_dropped_waiters_leave_the_pool_usable() {
    let (net, down) = (Net::new(), Arc::new(AtomicBool::new(true)));
    server_that_may_be_down(&net, "a", &down, SECOND);
    let (service, handle) = balancer(pool_with_long_recovery(&["a"]), &net);
    open_all_breakers(&service, &handle).await;
    down.store(false, Ordering::Relaxed);
    advance(SECOND).await;
    let requests: Vec<_> = (0..5)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { send_for_status(&service, get()).await })
        })
        .collect();
    sleep(100 * MS).await;
    assert_eq!(status_of(&handle, "a").in_flight, 1, "one probe");
    requests.iter().for_each(tokio::task::JoinHandle::abort);
    sleep(MS).await;
    assert_eq!(
        (handle.waiting(), status_of(&handle, "a").in_flight),
        (0, 0)
    );
    assert_eq!(send_for_status(&service, get()).await, 200);
}

/// A probe was due, and its service was busy. Each waiter polled a thousand times per second.
#[tokio::test(start_paused = true)]
async fn waiter_for_busy_service_does_not_poll_for_a_due_probe() {
    let (net, gates) = (Net::new(), Gates::default());
    net.on("a", |_| Reply::from(connection_refused()));
    let (service, handle) = gated_balancer(pool_with_long_recovery(&["a"]), &net, &gates);
    for _ in 0..20 {
        let _ = send(&service, with_deadline(get(), MS)).await;
    }
    assert_eq!(status_of(&handle, "a").breaker, BreakerState::Open);
    gates.set_free_slots("a", 0);
    advance(5 * SECOND).await;
    let polls = Polls::default();
    let answer = polls
        .count(service.clone().oneshot(with_deadline(get(), SECOND)))
        .await;
    assert!(answer.is_err());
    assert!(polls.get() <= 20, "{} polls", polls.get());
    assert_eq!(handle.waiting(), 0);
}
