//! The contract of `tower_service::Service`, around any service.

use std::time::Duration;

use crate::support::{Body, Client, MS, answer, get, ok, post};
use http::{Request, Response};
use steadfast_balance::EndpointBalance;
use steadfast_core::{BoxError, RetryBudget};
use steadfast_hedge::{Cloned, Hedge, HedgeLayer, Quantile, ResponseFuture, Share};
use steadfast_testkit::Contract;
use tokio::time::{advance, sleep};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_test::mock;

type Mock = mock::Mock<Request<Body>, Response<Body>>;
type Handle = mock::Handle<Request<Body>, Response<Body>>;

const DELAY: Duration = Duration::from_millis(100);

fn hedge() -> HedgeLayer {
    let layer = HedgeLayer::new().after(DELAY);
    layer.max_share(Share::ALL)
}

fn spawn(layer: HedgeLayer) -> (mock::Spawn<Hedge<Mock>>, Handle) {
    mock::spawn_layer(layer)
}

/// The contract service panics if a handle is called that has not reported readiness itself.
#[tokio::test(start_paused = true)]
async fn ready_handle_takes_the_call() {
    for request in [get, post] {
        for layer in [hedge(), HedgeLayer::new()] {
            let slow = service_fn(|_: Request<Body>| async {
                sleep(2 * DELAY).await;
                Ok::<_, BoxError>(ok())
            });
            let inner = Contract::new(slow);
            let probe = inner.probe();
            let service = layer.layer(inner);
            for _ in 0..3 {
                let response = service.clone().oneshot(request()).await;
                assert_eq!(response.expect("an answer").status(), 200);
            }
            assert!(probe.report().completed >= 3);
            probe.assert_idle();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn hedge_needs_readiness() {
    let (mut service, mut handle) = spawn(hedge());
    handle.allow(2);
    assert_ready_ok!(service.poll_ready());
    let mut response = task::spawn(service.call(get()));
    assert_pending!(response.poll());
    let (_, _first) = handle.next_request().await.expect("a request");
    advance(DELAY).await;
    assert!(response.is_woken());
    assert_pending!(response.poll());
    let (_, respond) = handle.next_request().await.expect("the second attempt");
    respond.send_response(ok());
    assert!(response.is_woken());
    assert_ready_ok!(response.poll());
}

/// A service that is not ready may reserve capacity that other requests need.
#[tokio::test(start_paused = true)]
async fn busy_or_broken_service_skips_hedge() {
    for is_broken in [false, true] {
        let budget = RetryBudget::new(2);
        let (mut service, mut handle) = spawn(hedge().budget(budget.clone()));
        handle.allow(1);
        assert_ready_ok!(service.poll_ready());
        let mut response = task::spawn(service.call(get()));
        assert_pending!(response.poll());
        let (_, respond) = handle.next_request().await.expect("a request");
        if is_broken {
            handle.send_error("lost");
        }
        for _ in 0..3 {
            advance(DELAY).await;
            assert_pending!(response.poll());
            assert_eq!(budget.available(), 2);
        }
        respond.send_response(ok());
        assert_ready_ok!(response.poll());
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_and_its_errors_are_returned() {
    let (mut service, mut handle) = spawn(hedge());
    handle.allow(0);
    assert_pending!(service.poll_ready());
    handle.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());

    let (mut service, mut handle) = spawn(hedge());
    handle.send_error("lost");
    let error = assert_ready_err!(service.poll_ready());
    assert_eq!(error.to_string(), "lost");
}

/// Only a balancer reports that a hedge was not sent, so without one each hedge counts.
#[tokio::test(start_paused = true)]
async fn hedge_without_balancer_counts_as_sent() {
    let budget = RetryBudget::new(2);
    let (mut service, mut handle) = spawn(hedge().budget(budget.clone()));
    handle.allow(2);
    assert_ready_ok!(service.poll_ready());
    let mut response = task::spawn(service.call(get()));
    assert_pending!(response.poll());
    let (_, first) = handle.next_request().await.expect("a request");
    advance(DELAY).await;
    assert_pending!(response.poll());
    let (_, second) = handle.next_request().await.expect("the second attempt");
    second.send_response(answer(503));
    assert_pending!(response.poll());
    assert_eq!(budget.available(), 0);
    first.send_error("reset");
    let response = assert_ready_ok!(response.poll());
    assert_eq!(response.status(), 503, "an answer before an error");
}

/// Two layers would send four attempts.
#[tokio::test(start_paused = true)]
async fn outermost_of_two_layers_hedges() {
    let (mut service, mut handle): (mock::Spawn<Hedge<Hedge<Mock>>>, Handle) =
        mock::spawn_with(|mock| hedge().layer(hedge().layer(mock)));
    handle.allow(10);
    assert_ready_ok!(service.poll_ready());
    let mut response = task::spawn(service.call(get()));
    for _ in 0..4 {
        assert_pending!(response.poll());
        advance(DELAY).await;
    }
    drop(response);
    let mut sent = 0;
    while let std::task::Poll::Ready(Some(_)) = task::spawn(handle.next_request()).poll() {
        sent += 1;
    }
    assert_eq!(sent, 2);
}

#[tokio::test(start_paused = true)]
async fn body_without_copy_is_sent_once() {
    for copies in [true, false] {
        let layer = hedge().copy_body(move |body: &Body| copies.then(|| body.clone()));
        let (mut service, mut handle) = mock::spawn_with(|mock: Mock| layer.layer(mock));
        handle.allow(2);
        assert_ready_ok!(service.poll_ready());
        let mut response = task::spawn(service.call(get()));
        assert_pending!(response.poll());
        advance(DELAY).await;
        assert_pending!(response.poll());
        advance(MS).await;
        let mut bodies = Vec::new();
        while let std::task::Poll::Ready(Some((request, _))) =
            task::spawn(handle.next_request()).poll()
        {
            bodies.push(format!("{:?}", request.into_body()));
        }
        assert_eq!(bodies.len(), 1 + usize::from(copies));
        assert_eq!(bodies.first(), bodies.last());
    }
}

/// The share allows no hedge yet, so each check finds none.
#[tokio::test(start_paused = true)]
async fn zero_delay_does_not_spin() {
    let layer = HedgeLayer::new()
        .after(Duration::ZERO)
        .min_delay(Duration::ZERO);
    let (mut service, mut handle) = spawn(layer);
    handle.allow(2);
    assert_ready_ok!(service.poll_ready());
    let mut response = task::spawn(service.call(get()));
    assert_pending!(response.poll());
    let (_, respond) = handle.next_request().await.expect("a request");
    for _ in 0..10 {
        advance(MS).await;
        assert_pending!(response.poll());
        assert!(!response.is_woken(), "nothing has changed since");
    }
    respond.send_response(ok());
    assert_ready_ok!(response.poll());
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "polled after it was ready")]
async fn finished_future_panics_when_polled() {
    let (mut service, mut handle) = spawn(hedge());
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut response = task::spawn(service.call(post()));
    assert_pending!(response.poll());
    let (_, respond) = handle.next_request().await.expect("a request");
    respond.send_response(ok());
    assert_ready_ok!(response.poll());
    let _ = response.poll();
}

#[test]
fn values_out_of_range_are_rejected() {
    for value in [-0.1, 1.1, f64::NAN] {
        let error = Share::new(value).expect_err("no share");
        assert_eq!(error.field(), "max_share");
    }
    for value in [0.0, 1.0, f64::NAN] {
        let error = Quantile::new(value).expect_err("no quantile");
        assert_eq!(error.field(), "quantile");
    }
}

/// Compiles only if the middleware adds no bounds of its own to these traits.
#[expect(dead_code, reason = "it only has to compile")]
fn keeps_auto_traits<S: Send + Sync + Clone>(service: Hedge<S>, layer: HedgeLayer) {
    fn check<T: Send + Sync + Clone>(_: T) {}
    check(service);
    check(layer);
}

#[expect(dead_code, reason = "it only has to compile")]
fn futures_are_send(mut service: Hedge<EndpointBalance<Client>>) {
    fn check<T: Send>(_: T) {}
    let future: ResponseFuture<EndpointBalance<Client>, Body, Cloned> = service.call(get());
    check(future);
}
