//! The share and the budget that hedges use, and the latencies that are measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use http::Request;
use steadfast_core::{RetryBudget, Trail};
use steadfast_hedge::{CopyBody, HedgeLayer, Share};
use tokio::time::{advance, sleep};
use tokio_test::{assert_pending, task};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

use crate::support::gate::{Gates, gated_balancer};
use crate::support::{
    Body, DELAY, MS, Net, Reply, SECOND, answer, balancer, connection_reset, gated_stack, get,
    get_with_trail, hedge, hedge_at_p95, in_flight, ok, pool, post, request_only_to, save_up_share,
    send_for_status, servers, share, stack, timed, with_deadline,
};

#[tokio::test(start_paused = true)]
async fn hedges_never_exceed_their_share() {
    let net = servers([("a", SECOND), ("b", MS)]);
    let layer = hedge().max_share(share(0.05));
    let (service, _) = stack(&layer, pool(&["a", "b"]), &net);
    for n in 1..=200 {
        assert_eq!(send_for_status(&service, get()).await, 200);
        assert_eq!(net.count("b"), n / 20, "after {n}");
    }
}

/// A request that waits for a share gets it soon after other requests have earned it.
#[tokio::test(start_paused = true)]
async fn missing_share_is_checked_again() {
    let net = Net::new();
    net.on("a", |n| match n {
        0 => Reply::from(ok()).after(90 * MS),
        1 => Reply::never(),
        _ => Reply::from(ok()),
    });
    net.on("b", |_| ok());
    let layer = hedge().max_share(share(0.34));
    let (service, _) = stack(&layer, pool(&["a", "b"]), &net);
    // After an answer that took 90 ms, an endpoint is not in doubt while the next one takes 150 ms.
    assert_eq!(send_for_status(&service, get()).await, 200);
    let response = tokio::spawn(service.clone().oneshot(get()));
    sleep(150 * MS).await;
    assert_eq!(
        net.counts(["a", "b"]),
        [2, 0],
        "the share is two thirds of a hedge"
    );
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(net.count("b"), 0);
    // An eighth of the delay, and the timer is less than a millisecond late.
    sleep(14 * MS).await;
    assert_eq!(net.count("b"), 1);
    response.await.expect("no panic").expect("an answer");
}

/// In an outage, each slow request once searched the balancer once per delay until its end.
#[tokio::test(start_paused = true)]
async fn unsent_hedges_become_rare() {
    let net = Net::new();
    net.on("a", |_| Reply::never());
    let searches = Arc::new(AtomicUsize::new(0));
    let (service, _) = balancer(pool(&["a"]), &net);
    let counted = searches.clone();
    let service = ServiceBuilder::new()
        .layer(hedge())
        .map_request(move |request: Request<Body>| {
            counted.fetch_add(1, Ordering::Relaxed);
            request
        })
        .service(service);
    let response = tokio::time::timeout(10 * SECOND, service.oneshot(get()));
    response.await.expect_err("it hangs");
    // After 0.1, 0.2, 0.4, 0.8 and 1.6 s, and then each second, beside the first attempt.
    assert_eq!(searches.load(Ordering::Relaxed), 1 + 5 + 8);
    assert_eq!(net.count("a"), 1);
}

/// Each request that waited for a share woke eight times per delay.
#[tokio::test(start_paused = true)]
async fn checks_of_a_used_up_share_become_rare() {
    let net = Net::new();
    net.on("a", |_| Reply::never());
    net.on("b", |_| ok());
    let layer = hedge().max_share(share(0.05));
    let (service, _) = stack(&layer, pool(&["a", "b"]), &net);
    let (mut response, mut polls) = (Box::pin(service.oneshot(get())), 0);
    let polled = std::future::poll_fn(|cx| {
        polls += 1;
        response.as_mut().poll(cx)
    });
    let response = tokio::time::timeout(10 * SECOND, polled).await;
    assert!(response.is_err(), "the share is a twentieth of a hedge");
    // At most 12.5 ms apart in the first 0.8 s, then a sixty-fourth of the time. Not 800.
    assert!((150..=250).contains(&polls), "{polls}");
}

/// A parked request for readiness once took the permit that another request had returned.
#[tokio::test(start_paused = true)]
async fn hedge_that_is_not_ready_holds_no_permit() {
    let net = Net::new();
    net.on("a", |n| match n {
        0 => Reply::never(),
        1 => Reply::from(ok()).after(150 * MS),
        _ => Reply::from(ok()),
    });
    let (service, _) = balancer(pool(&["a"]), &net);
    let service = ServiceBuilder::new()
        .layer(hedge())
        .concurrency_limit(2)
        .service(service);
    let hangs = tokio::spawn(service.clone().oneshot(get()));
    let other = tokio::spawn(service.clone().oneshot(get()));
    // Both hedges were due after 100 ms, and the next check is after 200 ms.
    sleep(160 * MS).await;
    assert!(other.is_finished());
    let third = tokio::time::timeout(10 * MS, service.oneshot(get()));
    assert!(third.await.expect("a permit is free").is_ok());
    hangs.abort();
}

#[tokio::test(start_paused = true)]
async fn winning_hedge_refunds_budget() {
    for (a, b, left) in [(SECOND, MS, 10), (150 * MS, SECOND, 8)] {
        let net = servers([("a", a), ("b", b)]);
        let budget = RetryBudget::new(10);
        let (service, _) = stack(&hedge().budget(budget.clone()), pool(&["a", "b"]), &net);
        let mut response = task::spawn(service.oneshot(get()));
        assert_pending!(response.poll());
        assert_eq!(budget.available(), 10);
        advance(DELAY).await;
        assert_pending!(response.poll());
        assert_eq!(budget.available(), 8);
        response.await.expect("an answer");
        assert_eq!(budget.available(), left);
    }
}

#[tokio::test(start_paused = true)]
async fn failed_or_dropped_hedge_spends_budget() {
    let net = servers([("a", SECOND)]);
    net.on("b", |n| {
        if n == 0 {
            Reply::from(connection_reset())
        } else {
            Reply::never()
        }
    });
    let budget = RetryBudget::new(4);
    let layer = hedge().budget(budget.clone());
    let (service, _) = stack(&layer, pool(&["a", "b"]), &net);
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(budget.available(), 2);
    tokio::time::timeout(200 * MS, service.clone().oneshot(get()))
        .await
        .expect_err("it left");
    assert_eq!(budget.available(), 0);
}

#[tokio::test(start_paused = true)]
async fn unsent_hedge_costs_no_share() {
    let net = servers([("a", SECOND), ("b", MS)]);
    let layer = hedge().max_share(share(0.5));
    let (service, endpoints) = stack(&layer, pool(&["a", "b"]), &net);
    endpoints.disable("b").expect("it is there");
    for _ in 0..2 {
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
    endpoints.enable("b").expect("it is there");
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b"]), [3, 1]);
}

/// More endpoints do not cause more hedges.
#[tokio::test(start_paused = true)]
async fn max_hedges_limits_hedges_of_request() {
    for (layer, expected) in [(hedge(), [1, 1, 0]), (hedge().max_hedges(0), [1, 0, 0])] {
        let net = servers([("a", 10 * SECOND), ("b", 10 * SECOND), ("c", 10 * SECOND)]);
        let (service, _) = stack(&layer, pool(&["a", "b", "c"]), &net);
        let before = save_up_share(&service, &net).await;
        assert_eq!(send_for_status(&service, get()).await, 200);
        let counts = net.counts(["a", "b", "c"]);
        assert_eq!([0, 1, 2].map(|at| counts[at] - before[at]), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn min_delay_is_lower_bound_of_delay() {
    let net = servers([("a", SECOND), ("b", MS)]);
    let (service, _) = stack(&hedge().min_delay(300 * MS), pool(&["a", "b"]), &net);
    let (_, took) = timed(send_for_status(&service, get())).await;
    assert_eq!(took, 301 * MS);
}

/// Fast failures would make all other answers look slow.
#[tokio::test(start_paused = true)]
async fn latency_of_failures_is_not_measured() {
    let net = servers([("b", MS)]);
    net.on("a", |n| match n {
        0..150 => Reply::from(answer(404)),
        _ => Reply::from(ok()).after(20 * MS),
    });
    let layer = hedge_at_p95();
    let (service, _) = stack(&layer, pool(&["a", "b"]), &net);
    for _ in 0..250 {
        send_for_status(&service, get()).await;
    }
    assert_eq!(net.counts(["a", "b"]), [250, 0]);
}

#[tokio::test(start_paused = true)]
async fn queueing_time_is_not_measured() {
    let net = servers([("a", 20 * MS), ("b", MS)]);
    let (service, gates) = gated_stack(&hedge_at_p95(), &["a", "b"], &net);
    gates.set_free_slots("b", 0);
    for _ in 0..100 {
        gates.set_free_slots("a", 0);
        let response = tokio::spawn(service.clone().oneshot(get()));
        sleep(SECOND).await;
        gates.set_free_slots("a", 1);
        response.await.expect("no panic").expect("an answer");
    }
    gates.set_free_slots("a", 1);
    gates.set_free_slots("b", 1);
    net.on("a", |_| Reply::never());
    let (code, took) = timed(send_for_status(&service, get())).await;
    assert_eq!(code, 200);
    assert!(took < 25 * MS, "{took:?}");
}

/// A caller may keep a finished future, which must not keep an attempt in flight.
#[tokio::test(start_paused = true)]
async fn loser_is_dropped_before_answer_is_returned() {
    for (a, b) in [(SECOND, MS), (110 * MS, SECOND)] {
        let net = servers([("a", a), ("b", b)]);
        let (mut service, endpoints) = stack(&hedge(), pool(&["a", "b"]), &net);
        let trail = Trail::new();
        let mut response = task::spawn(service.call(get_with_trail(&trail)));
        for _ in 0..100 {
            if let Poll::Ready(answer) = response.poll() {
                drop(answer);
                break;
            }
            advance(10 * MS).await;
        }
        assert_eq!((net.running("a"), net.running("b")), (0, 0));
        assert_eq!((in_flight(&endpoints), trail.len()), (vec![0, 0], 2));
    }
}

/// Counts the copies that a layer makes.
fn counted(layer: HedgeLayer) -> (HedgeLayer<impl CopyBody<Body> + Clone>, Arc<AtomicUsize>) {
    let copies = Arc::new(AtomicUsize::new(0));
    let count = copies.clone();
    let layer = layer.copy_body(move |body: &Body| {
        count.fetch_add(1, Ordering::Relaxed);
        Some(body.clone())
    });
    (layer, copies)
}

/// A copy for a hedge that cannot be sent is wasted.
#[tokio::test(start_paused = true)]
async fn request_that_cannot_be_hedged_is_not_copied() {
    let none = || hedge().max_share(Share::NONE);
    let late: fn() -> Request<Body> = || with_deadline(get(), DELAY);
    let bound: fn() -> Request<Body> = || request_only_to("a");
    for (layer, request, expected) in [
        (hedge(), bound, 0),
        (hedge(), late, 0),
        (hedge(), post, 0),
        (hedge().max_hedges(0), get, 0),
        (none(), get, 0),
        (hedge(), get, 1),
    ] {
        let (layer, copies) = counted(layer);
        let net = servers([("a", MS)]);
        let (service, _) = balancer(pool(&["a"]), &net);
        assert_eq!(send_for_status(&layer.layer(service), request()).await, 200);
        assert_eq!(copies.load(Ordering::Relaxed), expected);
    }
}

/// The cost of its hedge stays available for other requests.
#[tokio::test(start_paused = true)]
async fn queued_request_pays_and_copies_no_hedge() {
    let net = servers([("a", 150 * MS), ("b", MS)]);
    let budget = RetryBudget::new(2);
    let (layer, copies) = counted(hedge().budget(budget.clone()));
    let gates = Gates::default();
    let (service, _) = gated_balancer(pool(&["a", "b"]), &net, &gates);
    gates.set_free_slots("a", 0);
    gates.set_free_slots("b", 0);
    let mut response = task::spawn(layer.layer(service).oneshot(get()));
    for _ in 0..9 {
        assert_pending!(response.poll());
        advance(DELAY / 2).await;
    }
    assert_eq!(copies.load(Ordering::Relaxed), 1);
    gates.set_free_slots("a", 1);
    gates.set_free_slots("b", 1);
    response.await.expect("an answer");
    assert_eq!((net.counts(["a", "b"]), budget.available()), ([1, 1], 2));
    assert_eq!(copies.load(Ordering::Relaxed), 2);
}

/// If the budget pays no hedge, the share stays available.
#[tokio::test(start_paused = true)]
async fn hedge_without_budget_costs_no_share() {
    let net = servers([("a", SECOND), ("b", MS)]);
    let budget = RetryBudget::new(2);
    let all = budget.try_withdraw(2).expect("it is full");
    let layer = hedge().budget(budget.clone()).max_share(share(0.5));
    let (service, _) = stack(&layer, pool(&["a", "b"]), &net);
    for _ in 0..2 {
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
    drop(all);
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b"]), [3, 1]);
}
