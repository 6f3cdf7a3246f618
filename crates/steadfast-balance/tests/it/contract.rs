//! The promises of `tower_service::Service` that every layer of the workspace keeps.

use std::future::{Ready, poll_fn};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use http::{Request, Response};
use steadfast_balance::{
    EndpointBalance, EndpointBalanceLayer, MakeEndpointLayer, NoEndpointLayer, PoolHandle,
    ResponseBody, ResponseFuture,
};
use steadfast_core::{
    BoxError, BreakerState, Class, Classify, ClassifyLayer, DefaultClassifier, Trail, classify_fn,
};
use tokio::time::{advance, sleep, timeout};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};
use tower_test::mock;

use crate::support::gate::{Gates, gated};
use crate::support::ready::{Handle, Mock, calls_what_was_ready};
use crate::support::{
    Body, Client, MS, Net, Reply, SECOND, Stream, balance, get, get_with, limited, of, ok, only,
    pool, reset, send, status, within,
};

/// A handle that has reported readiness, and is not called.
async fn make_ready<S: Service<Request<Body>> + Clone>(service: &S) -> S {
    let mut handle = service.clone();
    let ready = poll_fn(|cx| handle.poll_ready(cx)).await.is_ok();
    assert!(ready);
    handle
}

fn healthy(names: &[&str]) -> Net {
    let net = Net::new();
    for name in names {
        net.on(name, |_| ok());
    }
    net
}

// ===== readiness =====

#[tokio::test(start_paused = true)]
async fn calls_the_handle_that_was_ready() {
    let layer = pool(&["a"]).build().expect("valid");
    let (mut service, mut handle): (mock::Spawn<EndpointBalance<Mock>>, Handle) =
        mock::spawn_layer(layer);
    calls_what_was_ready(&mut service, &mut handle, get).await;
}

/// Which endpoint has to be ready depends on the request, so nothing is known before.
#[tokio::test(start_paused = true)]
async fn is_ready_whatever_its_endpoints_are_and_reserves_nothing() {
    let (net, gates) = (healthy(&["a"]), Gates::default());
    let (service, endpoints) = gated(pool(&["a"]), &net, &gates);
    gates.room("a", 1);
    for _ in 0..3 {
        make_ready(&service).await;
    }
    assert_eq!((gates.asked("a"), of(&endpoints, "a").in_flight), (0, 0));

    gates.room("a", 0);
    gates.fail("a", 1);
    make_ready(&service).await;
    assert_eq!(gates.asked("a"), 0);
}

/// The places of a probe are there for whoever sends a request.
#[tokio::test(start_paused = true)]
async fn poll_ready_takes_no_place_after_a_cooldown() {
    let net = Net::new();
    net.on("a", |n| if n == 0 { limited("1") } else { ok() });
    let (service, _) = balance(pool(&["a"]), &net);
    assert_eq!(status(&service, get()).await, 429);
    advance(SECOND).await;

    let _idle = make_ready(&service).await;
    assert_eq!(status(&service, get()).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_busy_endpoint_does_not_block_the_others() {
    let (net, gates) = (healthy(&["a", "b", "c"]), Gates::default());
    let endpoints = ["a", "b"].map(crate::support::endpoint);
    let builder = EndpointBalanceLayer::builder()
        .endpoints(endpoints)
        .endpoint(crate::support::endpoint("c").tier(1));
    let (service, _) = gated(builder, &net, &gates);

    gates.room("a", 0);
    assert_eq!(status(&service, get()).await, 200);
    gates.room("b", 0);
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b", "c"]), [0, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_endpoint_that_becomes_free_first_wakes_the_request() {
    for first in ["a", "b"] {
        let (net, gates) = (healthy(&["a", "b"]), Gates::default());
        let (service, endpoints) = gated(pool(&["a", "b"]), &net, &gates);
        gates.room("a", 0);
        gates.room("b", 0);
        let mut response = task::spawn(service.clone().oneshot(get()));
        assert_pending!(response.poll());
        assert_eq!(of(&endpoints, "a").in_flight, 0, "it is not sent yet");

        gates.room(first, 1);
        assert!(response.is_woken(), "{first} has room");
        assert_ready_ok!(response.poll());
        assert_eq!(net.count(first), 1);
        assert_eq!(gates.free(first), 1, "nobody holds a place");
    }
}

/// A busy endpoint, say one with a limit of its own and a long stream, says nothing about when
/// another one is back. A request that only waited for its word would stand there for the whole
/// stream, beside an idle endpoint.
#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_busy_endpoint_takes_another_that_recovers() {
    let (net, gates) = (healthy(&["a", "b"]), Gates::default());
    net.on("b", |n| if n == 0 { limited("5") } else { ok() });
    let (service, _) = gated(pool(&["a", "b"]), &net, &gates);
    gates.room("a", 0);
    assert_eq!(status(&service, get()).await, 429);

    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    advance(4999 * MS).await;
    assert_pending!(response.poll());
    sleep(2 * MS).await;
    assert!(response.is_woken(), "b is back");
    assert_ready_ok!(response.poll());
    assert_eq!(net.count("b"), 2);
}

/// The same where another request has to find out whether the limit is over.
#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_busy_endpoint_takes_one_that_comes_back() {
    let (net, gates) = (healthy(&["a", "b"]), Gates::default());
    net.on("b", |n| match n {
        0 => limited("1").into(),
        _ => Reply::from(ok()).after(2 * SECOND),
    });
    let (service, _) = gated(pool(&["a", "b"]), &net, &gates);
    gates.room("a", 0);
    assert_eq!(status(&service, get()).await, 429);
    advance(SECOND).await;

    let probe = tokio::spawn(service.clone().oneshot(get()));
    sleep(MS).await;
    let waiting = tokio::spawn(service.clone().oneshot(get()));
    assert_eq!(probe.await.unwrap().unwrap().status(), 200);
    let waited = timeout(3 * SECOND, waiting).await.expect("b has room");
    assert_eq!(waited.unwrap().unwrap().status(), 200);
    assert_eq!(net.counts(["a", "b"]), [0, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_a_busy_endpoint_no_longer_than_its_deadline() {
    let (net, gates) = (healthy(&["a"]), Gates::default());
    let (service, endpoints) = gated(pool(&["a"]), &net, &gates);
    gates.room("a", 0);
    let request = within(get(), 2 * SECOND);
    let mut response = task::spawn(service.clone().oneshot(request));
    assert_pending!(response.poll());
    sleep(1999 * MS).await;
    assert_pending!(response.poll());
    sleep(2 * MS).await;
    assert!(response.is_woken(), "its time is over");
    let (class, _) = crate::support::exhausted(assert_ready!(response.poll()));
    assert_eq!(class, Class::RateLimited, "busy, and not broken");
    assert_eq!(of(&endpoints, "a").health, 1.0);
}

// ===== endpoints that are lost =====

#[tokio::test(start_paused = true)]
async fn an_endpoint_whose_readiness_fails_is_skipped_and_counted() {
    let (net, gates) = (healthy(&["a", "b"]), Gates::default());
    let (service, endpoints) = gated(pool(&["a", "b"]), &net, &gates);
    let trail = Trail::new();
    gates.fail("a", 1);
    assert_eq!(status(&service, get_with(&trail)).await, 200);
    assert_eq!(net.counts(["a", "b"]), [0, 1]);
    assert_eq!(trail.to_string(), "a: transport, b: success (200)");
    assert!(of(&endpoints, "a").health < 1.0, "its breaker knows");
    assert_eq!(of(&endpoints, "a").in_flight, 0);
}

/// tower's balancer drops such an endpoint for good, and hangs when all are gone.
#[tokio::test(start_paused = true)]
async fn endpoints_that_were_all_lost_come_back() {
    let (net, gates) = (healthy(&["a", "b"]), Gates::default());
    let (service, _) = gated(pool(&["a", "b"]), &net, &gates);
    gates.fail("a", 1);
    gates.fail("b", 1);
    let mut first = task::spawn(service.clone().oneshot(get()));
    let error = assert_ready_err!(first.poll());
    assert_eq!(error.to_string(), "endpoint lost");
    assert_eq!(status(&service, get()).await, 200);
}

/// Its readiness fails, and before that takes the place that was free. So there was no attempt.
#[derive(Clone)]
struct Cooled(Arc<OnceLock<PoolHandle>>);

impl Service<Request<Body>> for Cooled {
    type Response = Response<Stream>;
    type Error = BoxError;
    type Future = Ready<Result<Response<Stream>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let handle = self.0.get().expect("it is set");
        handle.cool("a", SECOND).expect("there is one");
        Poll::Ready(Err("endpoint lost".into()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        unreachable!("it is never ready")
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_admitted_is_not_classified() {
    let classified = Arc::new(AtomicUsize::new(0));
    let count = classified.clone();
    let classify = ClassifyLayer::new(classify_fn(move |outcome| {
        count.fetch_add(1, Ordering::Relaxed);
        DefaultClassifier.classify(outcome)
    }));
    let layer = pool(&["a"]).build().unwrap();
    let handle = Arc::new(OnceLock::new());
    let service = layer.layer(classify.layer(Cooled(handle.clone())));
    handle.set(layer.handle()).unwrap();
    let trail = Trail::new();
    let error = send(&service, get_with(&trail)).await.unwrap_err();
    assert_eq!(error.to_string(), "endpoint lost");
    assert_eq!(classified.load(Ordering::Relaxed), 0);
    assert!(trail.is_empty(), "no attempt was made");
    assert_eq!(of(&layer.handle(), "a").health, 1.0);
}

/// One that waited for a busy endpoint counted a failure of the broken one each time that it
/// was woken, and so opened the breaker alone.
#[tokio::test(start_paused = true)]
async fn a_lost_endpoint_is_counted_once_by_a_request() {
    let (net, gates) = (healthy(&["a", "b"]), Gates::default());
    let (service, endpoints) = gated(pool(&["a", "b"]), &net, &gates);
    gates.fail("a", usize::MAX);
    gates.room("b", 0);
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    for _ in 0..10 {
        gates.room("b", 0);
        assert!(response.is_woken());
        assert_pending!(response.poll());
    }
    assert_eq!(of(&endpoints, "a").health, 0.95, "one of twenty");

    gates.room("b", 1);
    assert_ready_ok!(response.poll());
}

/// The error of the endpoint that was lost is still there when the one that was busy is too.
#[tokio::test(start_paused = true)]
async fn the_error_of_a_lost_endpoint_is_kept_while_another_is_busy() {
    let (net, gates) = (healthy(&["a", "b"]), Gates::default());
    let (service, _) = gated(pool(&["a", "b"]), &net, &gates);
    gates.fail("a", 1);
    gates.room("b", 0);
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    gates.fail("b", 1);
    let error = assert_ready_err!(response.poll());
    assert_eq!(error.to_string(), "endpoint lost");
}

// ===== dropped requests =====

#[tokio::test(start_paused = true)]
#[should_panic(expected = "polled after it was ready")]
async fn a_future_that_has_answered_is_not_polled_again() {
    let net = healthy(&["a"]);
    let (mut service, _) = balance(pool(&["a"]), &net);
    let mut response = task::spawn(service.call(get()));
    let _ = assert_ready_ok!(response.poll());
    let _ = response.poll();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_gives_back_its_place_in_flight() {
    let net = Net::new();
    net.on("a", |_| Reply::never());
    let (service, endpoints) = balance(pool(&["a"]), &net);
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    assert_eq!((of(&endpoints, "a").in_flight, net.running("a")), (1, 1));
    drop(response);
    assert_eq!((of(&endpoints, "a").in_flight, net.running("a")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_gives_back_its_place_after_a_cooldown() {
    let net = Net::new();
    net.on("a", |_| limited("1"));
    let (service, endpoints) = balance(pool(&["a"]), &net);
    assert_eq!(status(&service, get()).await, 429);
    advance(SECOND).await;

    net.on("a", |_| Reply::never());
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    assert!(!of(&endpoints, "a").admissible, "one attempt comes first");
    drop(response);
    // With callers who leave one after the other there would be no end to probes.
    assert!(!of(&endpoints, "a").admissible, "it may still be refused");
    advance(49 * MS).await;
    assert!(!of(&endpoints, "a").admissible);
    advance(MS).await;
    assert!(of(&endpoints, "a").admissible);
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    assert!(!of(&endpoints, "a").admissible, "and again one comes first");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_gives_back_its_place_as_a_probe() {
    let net = Net::new();
    net.on("a", |_| reset());
    let (service, endpoints) = balance(pool(&["a"]), &net);
    for _ in 0..7 {
        status(&service, get()).await;
    }
    assert_eq!(of(&endpoints, "a").breaker, BreakerState::Open);
    advance(5 * SECOND).await;

    net.on("a", |_| Reply::never());
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    assert_eq!(of(&endpoints, "a").breaker, BreakerState::HalfOpen);
    assert!(!of(&endpoints, "a").admissible, "one probe at a time");
    drop(response);
    assert!(of(&endpoints, "a").admissible);
}

/// A ticket of the cooldown is taken before the breaker is asked, which may refuse.
#[tokio::test(start_paused = true)]
async fn a_breaker_that_refuses_leaves_the_cooldown_as_it_was() {
    let net = Net::new();
    net.on("a", |_| limited("1"));
    let (service, endpoints) = balance(pool(&["a"]), &net);
    status(&service, get()).await;
    advance(SECOND).await;
    net.on("a", |_| reset());
    for _ in 0..7 {
        assert_eq!(status(&service, get()).await, 0);
    }
    assert_eq!(of(&endpoints, "a").breaker, BreakerState::Open);
    status(&service, get()).await;
    assert_eq!(net.count("a"), 8, "the last one was not sent");

    advance(5 * SECOND).await;
    net.on("a", |_| ok());
    assert_eq!(status(&service, get()).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_gives_back_the_readiness_it_waited_for() {
    let (net, gates) = (healthy(&["a", "b"]), Gates::default());
    let (service, _) = gated(pool(&["a", "b"]), &net, &gates);
    gates.room("a", 0);
    gates.room("b", 0);
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    drop(response);
    gates.room("a", 1);
    gates.room("b", 1);

    // The same while the attempt runs, whose other candidate was busy.
    net.on("a", |_| Reply::never());
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    assert_eq!((gates.free("a"), gates.free("b")), (0, 1));
    drop(response);
    assert_eq!((gates.free("a"), gates.free("b")), (1, 1));
}

/// Who waited for both and got one has no business in the queue of the other.
#[tokio::test(start_paused = true)]
async fn a_request_leaves_the_queues_of_the_others_when_it_is_sent() {
    let net = healthy(&["a", "b"]);
    net.on("a", |_| Reply::from(ok()).after(10 * SECOND));
    net.on("b", |_| Reply::from(ok()).after(SECOND));
    let layer = pool(&["a", "b"])
        .endpoint_layer(|_| tower::limit::ConcurrencyLimitLayer::new(1))
        .build()
        .expect("valid");
    let service = layer.layer(net.client());
    let tasks: Vec<_> = (0..4)
        .map(|_| tokio::spawn(service.clone().oneshot(get())))
        .collect();
    sleep(5 * SECOND).await;
    assert_eq!(net.counts(["a", "b"]), [1, 3]);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

// ===== clones and types =====

#[tokio::test(start_paused = true)]
async fn clones_and_services_of_a_layer_share_the_state() {
    let net = Net::new();
    net.on("a", |_| limited("1"));
    let layer = pool(&["a"]).build().expect("valid");
    let first = layer.layer(net.client());
    let second = layer.layer(net.client());
    assert_eq!(status(&first, get()).await, 429);
    for service in [&first.clone(), &second] {
        assert_eq!(status(service, get()).await, 0);
    }
    assert_eq!(net.count("a"), 1);
}

#[test]
fn an_endpoint_layer_is_made_once_for_each_endpoint() {
    let made = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = made.clone();
    let layer = pool(&["a", "b"])
        .endpoint_layer(move |endpoint| {
            log.lock().unwrap().push(endpoint.name().to_string());
            tower::layer::util::Identity::new()
        })
        .build()
        .expect("valid");
    let service = layer.layer(Net::new().client());
    let _ = (service.clone(), service);
    assert_eq!(*made.lock().unwrap(), ["a", "b"]);
}

/// A service that is asked while nobody can take the request is not asked at all.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_may_not_be_asked_is_not_made_ready() {
    let (net, gates) = (healthy(&["a", "b"]), Gates::default());
    net.on("a", |_| limited("1"));
    let (service, _) = gated(pool(&["a", "b"]), &net, &gates);
    status(&service, get()).await;
    let asked = gates.asked("a");
    assert_eq!(status(&service, get()).await, 200);
    send(&service, only("a")).await.expect_err("it cools");
    assert_eq!(gates.asked("a"), asked);
}

/// Compiles only while the middleware adds no bounds of its own to these traits.
#[expect(dead_code, reason = "it only has to compile")]
fn keeps_auto_traits<S: Send + Sync>(
    service: EndpointBalance<S>,
    layer: EndpointBalanceLayer<NoEndpointLayer>,
    body: ResponseBody<Stream>,
    handle: PoolHandle,
) where
    NoEndpointLayer: MakeEndpointLayer,
{
    fn check<T: Send + Sync + Clone>(_: T) {}
    fn check_send<T: Send + Unpin>(_: T) {}
    check(service);
    check(layer);
    check(handle);
    check_send(body);
}

#[expect(dead_code, reason = "it only has to compile")]
fn futures_are_send(mut service: EndpointBalance<Client>) {
    fn check<T: Send>(_: T) {}
    let future: ResponseFuture<Client, Body> = service.call(get());
    check(future);
}
