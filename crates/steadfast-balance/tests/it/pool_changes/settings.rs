//! `enable`, `disable`, `set_tier`, `set_weight`, `trip`, `reset` and `drain`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt;
use steadfast_balance::{EndpointMode, Strategy, Weight};
use steadfast_core::{BreakerState, Class};
use tokio::time::timeout;
use tokio_test::{assert_pending, assert_ready, task};
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, ServiceExt};

use super::run_ready_tasks;
use super::waiters::answer_within_a_second;
use crate::support::body::Ending;
use crate::support::gate::{Gates, gated_balancer};
use crate::support::rules::servers_with_rule;
use crate::support::{
    Reply, SECOND, Stream, balancer, expect_exhausted, get, ok, pool, send, send_for_status,
    status_of, streamed,
};

#[tokio::test(start_paused = true)]
async fn reenabled_endpoint_keeps_its_service() {
    let net = servers_with_rule(&["a", "b"], |_| ok().into());
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let builder = pool(&["a", "b"]).endpoint_layer(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        ConcurrencyLimitLayer::new(1)
    });
    let layer = builder.build().unwrap();
    let handle = layer.handle();
    let service = layer.layer(net.client());

    // An endpoint that has served a request is not in doubt after the next one.
    assert_eq!(send_for_status(&service, get()).await, 200);
    net.on("a", |_| Reply::never());
    let hanging = tokio::spawn(service.clone().oneshot(get()));
    run_ready_tasks().await;
    handle.disable("a").unwrap();
    assert_eq!(
        send_for_status(&service, get()).await,
        200,
        "b serves the request"
    );
    handle.enable("a").unwrap();
    let next = timeout(SECOND, send_for_status(&service, get())).await;
    assert_eq!(next, Ok(200), "a is still busy");
    assert_eq!(net.counts(["a", "b"]), [2, 2]);
    assert_eq!(status_of(&handle, "a").in_flight, 1);
    assert_eq!(made.load(Ordering::Relaxed), 2);

    hanging.abort();
    run_ready_tasks().await;
    net.on("a", |_| ok());
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b"]), [3, 2], "the slot is free again");
}

#[tokio::test(start_paused = true)]
async fn tier_and_weight_apply_from_the_next_request() {
    let net = servers_with_rule(&["a", "b"], |_| ok().into());
    let (service, handle) = balancer(pool(&["a", "b"]).strategy(Strategy::RoundRobin), &net);
    let send = async |times: usize| {
        let before = net.counts(["a", "b"]);
        for _ in 0..times {
            assert_eq!(send_for_status(&service, get()).await, 200);
        }
        let after = net.counts(["a", "b"]);
        [after[0] - before[0], after[1] - before[1]]
    };
    assert_eq!(send(4).await, [2, 2]);
    handle.set_tier("a", 1).unwrap();
    assert_eq!(send(1).await, [0, 1]);
    handle.set_tier("b", 2).unwrap();
    assert_eq!(send(1).await, [1, 0]);
    handle.set_tier("b", 1).unwrap();
    handle.set_weight("b", Weight::new(3.0).unwrap()).unwrap();
    assert_eq!(send(8).await, [2, 6]);
    let b = status_of(&handle, "b");
    assert_eq!((b.tier, b.weight), (1, 3.0));
}

#[tokio::test(start_paused = true)]
async fn trip_and_reset_change_the_breaker() {
    let net = servers_with_rule(&["a", "b"], |_| ok().into());
    let gates = Gates::default();
    let (service, handle) = gated_balancer(pool(&["a", "b"]), &net, &gates);
    handle.trip("a").unwrap();
    assert_eq!(status_of(&handle, "a").breaker, BreakerState::Open);
    assert_eq!(send_for_status(&service, get()).await, 200);
    // A request at a busy service wakes when the other breaker closes.
    gates.set_free_slots("b", 0);
    let waits = tokio::spawn(service.oneshot(get()));
    run_ready_tasks().await;
    assert!(!waits.is_finished());
    handle.reset("a").unwrap();
    assert_eq!(answer_within_a_second(waits).await.unwrap().status(), 200);
    assert_eq!(net.counts(["a", "b"]), [1, 1]);
    for name in ["trip", "reset"] {
        let unknown = match name {
            "trip" => handle.trip("c"),
            _ => handle.reset("c"),
        };
        assert_eq!(unknown.unwrap_err().endpoint(), &"c", "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn drain_completes_with_the_last_body() {
    let net = servers_with_rule(&["a"], |_| {
        streamed(Stream::of(["1", "2"]).end(Ending::Polled)).into()
    });
    let (service, handle) = balancer(pool(&["a"]), &net);
    let mut first = send(&service, get()).await.unwrap().into_body();
    let second = send(&service, get()).await.unwrap().into_body();

    let mut drain = task::spawn(handle.drain("a").unwrap());
    assert_eq!(status_of(&handle, "a").service, EndpointMode::Draining);
    assert_eq!(
        expect_exhausted(send(&service, get()).await),
        (Class::Overloaded, None)
    );
    assert_pending!(drain.poll());
    drop(second);
    assert_pending!(drain.poll());
    first.frame().await.unwrap().unwrap();
    first.frame().await.unwrap().unwrap();
    assert_pending!(drain.poll());
    assert!(!drain.is_woken());
    assert!(first.frame().await.is_none());
    assert!(drain.is_woken());
    assert_ready!(drain.poll());

    assert_ready!(
        task::spawn(handle.drain("a").unwrap()).poll(),
        "an idle endpoint is drained at once"
    );
    handle.enable("a").unwrap();
    assert_eq!(send_for_status(&service, get()).await, 200);
}

/// Two operators drain the endpoint, and one of them drops the future. A removal meanwhile does not
/// complete the other future.
#[tokio::test(start_paused = true)]
async fn dropped_drain_future_leaves_the_drain_running() {
    let net = servers_with_rule(&["a", "b"], |_| ok().into());
    net.on("a", |_| Reply::from(ok()).after(10 * SECOND));
    let (service, handle) = balancer(pool(&["a", "b"]), &net);
    let running = tokio::spawn(service.clone().oneshot(get()));
    run_ready_tasks().await;

    let mut dropped = task::spawn(handle.drain("a").unwrap());
    let drain = tokio::spawn(handle.drain("a").unwrap());
    assert_pending!(dropped.poll());
    drop(dropped);
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b"]), [1, 1]);
    handle.remove("a").unwrap();
    run_ready_tasks().await;
    assert!(!drain.is_finished());

    let response = running.await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    run_ready_tasks().await;
    assert!(!drain.is_finished(), "the body has not ended");
    drop(response);
    run_ready_tasks().await;
    assert!(drain.is_finished());
}
